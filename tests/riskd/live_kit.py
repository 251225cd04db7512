"""riskd's shell on Unix sockets in this process, with a real journal, dialled by real clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from riskd.gate import RiskGate
from riskd.limits import Limits
from riskd.service import RiskServicer
from riskd.shell import LateSink, LiveGate
from riskd.stop_flag import StopFlag
from riskd.stop_service import StopServicer
from tests.riskd.kit import KEY, Desk, make_test_limits
from tradebot.core.approvals import SessionDown, SessionUp, StopLatch
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.risk.v1.risk_service_pb2_grpc import RiskServiceStub
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.config import CommonConfig, Mode
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.journal import Journal
from tradebot.runtime.stop_service import StopServer
from tradebot.wire.risk import down_from_wire, up_to_wire


class Session:
    """execd's end of one session."""

    def __init__(self, stub: Any) -> None:
        self._call: Any = stub.Session()

    async def say(self, up: SessionUp) -> None:
        await self._call.write(up_to_wire(up))

    async def hear(self) -> SessionDown:
        message = await asyncio.wait_for(self._call.read(), 5)
        if not isinstance(message, pb.SessionResponse):
            raise EOFError(str(await self._call.code()))
        return down_from_wire(message)

    async def ask(self, up: SessionUp) -> SessionDown:
        await self.say(up)
        return await self.hear()

    async def end(self) -> grpc.StatusCode:
        """Wait until the server ends it; return the status."""
        try:
            while isinstance(await asyncio.wait_for(self._call.read(), 5), pb.SessionResponse):
                pass
        except grpc.aio.AioRpcError:
            pass  # the code says it
        code: grpc.StatusCode = await self._call.code()
        return code

    def close(self) -> None:
        self._call.cancel()


@dataclass
class Live:
    """A running riskd."""

    common: CommonConfig
    gate: RiskGate
    live: LiveGate
    clock: ManualClock
    journal: Journal
    channels: list[grpc.aio.Channel]

    def stub(self, role: Role) -> Any:
        """Return a stub; the generated types do not know that its channel is asynchronous."""
        channel = open_channel(self.common, Role.RISKD, role)
        self.channels.append(channel)
        return RiskServiceStub(channel)

    def session(self) -> Session:
        return Session(self.stub(Role.EXECD))

    def puppet(self) -> Desk:
        """Return a desk whose words (hello, accounts, asks, events) are built for this gate's clock."""
        desk = Desk(limits=self.gate.limits, now_ns=self.clock.now_ns(), connect=False)
        desk.gate = self.gate
        return desk


@asynccontextmanager
async def running(state: Path, clock: ManualClock, limits: Limits | None = None) -> AsyncIterator[Live]:
    """Run riskd's shell on a state folder."""
    common = CommonConfig(mode=Mode.DEMO, state_dir=state)
    flag, sink = StopFlag(), LateSink()
    gate = RiskGate(
        limits or make_test_limits(),
        environment="demo",
        signer=KEY,
        sink=sink,
        venues=("binance",),
        stop_flag=flag,
        build="build",
    )
    directory = common.journal_dir("riskd")
    loop = asyncio.get_running_loop()
    journal = Journal.open(
        directory,
        clock=clock,
        segment_bytes=1 << 20,
        on_record=lambda record: gate.restore_one(record.record_type, record.payload),
        loop=loop,
    )
    sink.open(journal)
    gate.start(f"life{journal.appended_seq}", clock.now_ns())
    live = LiveGate(gate, clock, journal, incarnation=f"run{journal.appended_seq}")

    def tell_loop(latch: StopLatch, role: str) -> None:
        loop.call_soon_threadsafe(live.stopped, latch, role)

    def crash(where: str, error: BaseException) -> None:
        raise AssertionError(where) from error

    server = RpcServer(Role.RISKD, common, [RiskServicer(live, directory).binding()], on_crash=crash)
    stops = StopServicer(flag, journal, journal.flush, tell_loop, clock)
    stop_server = StopServer(Role.RISKD, common, stops.binding())
    await server.start()
    stop_server.start()
    running_gate = Live(common, gate, live, clock, journal, [])
    try:
        yield running_gate
    finally:
        for channel in running_gate.channels:
            await channel.close()
        live.close()
        await server.stop(0)
        stop_server.stop()
        journal.close()
