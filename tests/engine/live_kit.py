"""A live engine between two small servers that play marketdata and execd, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from engine.catalog import load_catalog, make_settings
from engine.client import ExecutionLink, MarketLink
from engine.runner import EngineCore, EngineOptions
from engine.service import EngineServicer
from engine.shell import LiveEngine
from engine.switch_shell import SwitchFile
from tests.engine.builders import columns
from tests.support.builders import BTC, make_instrument
from tradebot.core.instruments import Instrument
from tradebot.core.market import MarketRow
from tradebot.rpc.common.v1 import intent_pb2
from tradebot.rpc.engine.v1.engine_service_pb2_grpc import EngineServiceStub, add_EngineServiceServicer_to_server
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1.execution_service_pb2_grpc import (
    ExecutionServiceServicer,
    add_ExecutionServiceServicer_to_server,
)
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1.market_data_service_pb2_grpc import (
    MarketDataServiceServicer,
    add_MarketDataServiceServicer_to_server,
)
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.config import CommonConfig, Mode, TransportConfig
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.grpc_server import RpcServer, ServiceBinding
from tradebot.runtime.identity import Role
from tradebot.wire.instruments import instrument_to_wire
from tradebot.wire.market import rows_to_wire

Context = grpc.aio.ServicerContext[Any, Any]
WAIT_S = 10.0
SERVICES = {
    Role.MARKETDATA: "tradebot.rpc.marketdata.v1.MarketDataService",
    Role.EXECD: "tradebot.rpc.execution.v1.ExecutionService",
    Role.ENGINE: "tradebot.rpc.engine.v1.EngineService",
}


class MarketServer(MarketDataServiceServicer):
    """Serves what the test puts into it; one subscriber."""

    def __init__(self, incarnation: str, instruments: list[tuple[int, Instrument]]) -> None:
        self.incarnation = incarnation
        self.instruments = instruments
        self.requests: list[market_pb.SubscribeRequest] = []
        self.bars: list[market_pb.Bar] = []
        self._messages: asyncio.Queue[market_pb.SubscribeResponse | None] = asyncio.Queue()
        self._sequence = 1

    def push(self, rows: list[MarketRow], sent_time_ns: int = 0) -> None:
        """Send rows as one message."""
        wire = rows_to_wire(columns(rows), self._sequence, sent_time_ns or rows[-1].receive_time_ns)
        self._sequence += len(rows)
        self._messages.put_nowait(market_pb.SubscribeResponse(rows=wire))

    def hang_up(self) -> None:
        """End the stream."""
        self._messages.put_nowait(None)

    async def Subscribe(
        self, request: market_pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[market_pb.SubscribeResponse]:
        self.requests.append(request)
        yield market_pb.SubscribeResponse(
            incarnation=self.incarnation,
            instruments=[instrument_to_wire(item, index) for index, item in self.instruments],
            snapshot=True,
        )
        while (message := await self._messages.get()) is not None:
            yield message

    async def ListBars(self, request: market_pb.ListBarsRequest, context: Context) -> market_pb.ListBarsResponse:
        return market_pb.ListBarsResponse(bars=self.bars[-request.limit :])

    async def ListInstruments(self, request: Any, context: Context) -> market_pb.ListInstrumentsResponse:
        return market_pb.ListInstrumentsResponse(
            incarnation=self.incarnation,
            instruments=[instrument_to_wire(item, index) for index, item in self.instruments],
        )

    async def GetBook(self, request: Any, context: Context) -> market_pb.GetBookResponse:
        return market_pb.GetBookResponse()

    async def WatchStatus(self, request: Any, context: Context) -> AsyncIterator[market_pb.WatchStatusResponse]:
        yield market_pb.WatchStatusResponse()


class ExecutionServer(ExecutionServiceServicer):
    """Takes intents and says what the test tells it to."""

    def __init__(self) -> None:
        self.strategy_ids: list[list[str]] = []
        self.builds: list[str] = []
        self.intents: list[intent_pb2.OrderIntent] = []
        self.positions: list[execution_pb.PositionView] = []
        self._down: asyncio.Queue[execution_pb.SubmitIntentsResponse | None] = asyncio.Queue()

    def push(self, message: execution_pb.SubmitIntentsResponse) -> None:
        """Send one message down."""
        self._down.put_nowait(message)

    def hang_up(self) -> None:
        """End the stream."""
        self._down.put_nowait(None)

    async def SubmitIntents(
        self, request_iterator: AsyncIterator[execution_pb.SubmitIntentsRequest], context: Context
    ) -> AsyncIterator[execution_pb.SubmitIntentsResponse]:
        first = await anext(aiter(request_iterator))
        self.strategy_ids.append(list(first.strategy_ids))
        self.builds.append(first.build_hash)
        yield execution_pb.SubmitIntentsResponse(positions=self.positions)
        reader = asyncio.create_task(self._read(request_iterator))
        try:
            while (message := await self._down.get()) is not None:
                yield message
        finally:
            reader.cancel()

    async def _read(self, requests: AsyncIterator[execution_pb.SubmitIntentsRequest]) -> None:
        async for request in requests:
            self.intents.extend(request.intents)

    async def SubmitIntent(self, request: Any, context: Context) -> Any: ...
    async def CancelOrder(self, request: Any, context: Context) -> Any: ...
    async def ListOrders(self, request: Any, context: Context) -> Any: ...
    async def Explain(self, request: Any, context: Context) -> Any: ...
    async def Audit(self, request: Any, context: Context) -> Any: ...
    async def WatchOrders(self, request: Any, context: Context) -> AsyncIterator[Any]:
        yield

    async def WatchStatus(self, request: Any, context: Context) -> AsyncIterator[Any]:
        yield


@dataclass
class LiveKit:
    """Everything a test touches."""

    common: CommonConfig
    engine: LiveEngine
    market: MarketServer
    execution: ExecutionServer
    servers: dict[Role, RpcServer] = field(default_factory=dict)
    crashes: list[BaseException] = field(default_factory=list)

    async def serve(self, role: Role, add: Callable[[Any, Any], None], servicer: object) -> None:
        """Start (or start again) one of the servers."""
        server = RpcServer(
            role,
            self.common,
            [ServiceBinding(SERVICES[role], add, servicer)],
            on_crash=lambda _, error: self.crashes.append(error),
        )
        await server.start()
        self.servers[role] = server

    async def restart_market(self, market: MarketServer) -> None:
        """marketdata dies and another one comes up."""
        await self.servers[Role.MARKETDATA].stop(0)
        self.market = market
        await self.serve(Role.MARKETDATA, add_MarketDataServiceServicer_to_server, market)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a fact; a test fails when it does not come."""
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  any fact of the engine, which has no event for it
                await asyncio.sleep(0.005)


@asynccontextmanager
async def live_engine(
    folder: Path,
    kind: str = "every_tick",
    *,
    instruments: list[str] | None = None,
    unfollowed: Container[str] = (),
    silence_s: float = 30.0,
    **params: object,
) -> AsyncIterator[LiveKit]:
    """Run a live engine with one strategy `s1`, linked to a market and an execution server."""
    catalog = load_catalog()
    names = instruments or [BTC]
    settings = make_settings(catalog, "s1", kind, tuple(names), params)
    core = EngineCore([settings], catalog, "live-1", EngineOptions())
    common = CommonConfig(mode=Mode.DEMO, transport=TransportConfig(run_dir=folder))
    engine = LiveEngine(core, SystemClock())
    followed = [name for name in names if name not in unfollowed]
    market = MarketServer("md-1", [(index, make_instrument(name)) for index, name in enumerate(followed)])
    kit = LiveKit(common, engine, market, ExecutionServer())
    await kit.serve(Role.MARKETDATA, add_MarketDataServiceServicer_to_server, market)
    await kit.serve(Role.EXECD, add_ExecutionServiceServicer_to_server, kit.execution)
    switches = SwitchFile(folder)
    servicer = EngineServicer(engine, switches, engine.clock, Mode.DEMO)
    await kit.serve(Role.ENGINE, add_EngineServiceServicer_to_server, servicer)
    market_link = MarketLink(
        engine, open_channel(common, Role.MARKETDATA, Role.ENGINE), lossless=False, silence_s=silence_s
    )
    execution_link = ExecutionLink(engine, open_channel(common, Role.EXECD, Role.ENGINE), "build")
    links = [
        asyncio.create_task(redial("marketdata", market_link.session)),
        asyncio.create_task(redial("execd", execution_link.session)),
    ]
    try:
        yield kit
    finally:
        for link in links:
            link.cancel()
        results = await asyncio.gather(*links, return_exceptions=True)
        engine.stop()
        for server in kit.servers.values():
            await server.stop(0)
        failures = [error for error in results if not isinstance(error, asyncio.CancelledError)]
        assert not failures, failures
        assert kit.crashes == []


def engine_stub(kit: LiveKit, role: Role = Role.TRADER) -> Any:
    """Return a client of the engine's own service."""
    return EngineServiceStub(open_channel(kit.common, Role.ENGINE, role))
