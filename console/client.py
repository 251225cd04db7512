"""gRPC client of the console: one task per stream, each redialled for ever, and the operator's commands.

Works with any subset of the daemons, also with none: a stream that ends tells the store at once, so what came from it
turns stale in the same frame. The only module here, with `stop_client.py`, that knows protobuf.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from console.config import ConsoleConfig
from console.model import (
    Command,
    ExecdFacts,
    Explanation,
    Source,
)
from console.stop_client import StopClient
from console.stop_keys import StopLevel
from console.store import Store
from console.wire_client import (
    beat_from_wire,
    book_from_wire,
    explanation_from_wire,
    kill_from_wire,
    ladder_from_wire,
    pnl_from_wire,
    position_from_wire,
    rules_from_wire,
    strategy_from_wire,
    with_items,
)
from tradebot.core.errors import RejectedError, TransientError
from tradebot.core.levels import TradingLevel
from tradebot.rpc.engine.v1 import engine_service_pb2 as engine_pb
from tradebot.rpc.engine.v1 import engine_service_pb2_grpc as engine_grpc
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1 import execution_service_pb2_grpc as execution_grpc
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2_grpc as market_grpc
from tradebot.rpc.recorder.v1 import recorder_service_pb2 as recorder_pb
from tradebot.rpc.recorder.v1 import recorder_service_pb2_grpc as recorder_grpc
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as risk_grpc
from tradebot.runtime.clock import Clock
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.identity import Role
from tradebot.wire.levels import LEVELS, hold_from_wire
from tradebot.wire.orders import event_from_wire, snapshot_from_wire

CALL_TIMEOUT_S: Final = 5.0
BOOK_TIMEOUT_S: Final = 1.0
NO_BOOK_WAIT_S: Final = 0.5
AUDIT_RECORDS: Final = 50
"""Searched at start for the last command of a person."""
PEOPLE: Final = frozenset({"viewer", "trader", "risk"})
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_command_id() -> str:
    """Return a ULID: 48 bits of time, 80 of chance. The same command sent twice keeps its id and changes nothing."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


class GrpcLink:
    """Channels to every daemon, acting as one operator role."""

    def __init__(
        self, common: CommonConfig, settings: ConsoleConfig, role: Role, operator: str, store: Store, clock: Clock
    ) -> None:
        self._settings = settings
        self._operator = operator
        self._store = store
        self._clock = clock
        self._metadata = (("tradebot-operator", operator),)
        self._channels = {
            name: open_channel(common, name, role) for name in ("marketdata", "engine", "riskd", "execd", "recorder")
        }
        self._market: Any = market_grpc.MarketDataServiceStub(self._channels["marketdata"])
        self._engine: Any = engine_grpc.EngineServiceStub(self._channels["engine"])
        self._risk: Any = risk_grpc.RiskServiceStub(self._channels["riskd"])
        self._execution: Any = execution_grpc.ExecutionServiceStub(self._channels["execd"])
        self._recorder: Any = recorder_grpc.RecorderServiceStub(self._channels["recorder"])
        self._stopper = StopClient(common, role, operator, store, clock)

    async def run(self) -> None:
        """Keep every stream alive, for ever."""
        sessions: dict[Source, Callable[[], Awaitable[None]]] = {
            Source.MARKETDATA: self._watch_marketdata,
            Source.ENGINE: self._watch_engine,
            Source.RISKD: self._watch_riskd,
            Source.EXECD: self._watch_execd,
            Source.RECORDER: self._watch_recorder,
            Source.PNL: self._watch_pnl,
            Source.POSITIONS: self._watch_positions,
            Source.RISK_EVENTS: self._watch_risk_events,
            Source.ORDERS: self._watch_orders,
            Source.BOOK: self._poll_book,
        }
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stopper.keep_pinging(), name="stop ping")
            for source, session in sessions.items():
                group.create_task(redial(source.value, self._telling_the_end(source, session)), name=source.value)

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
        await self._stopper.close()

    def _telling_the_end(self, source: Source, session: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def life() -> None:
            try:
                await session()
            except RejectedError as exc:
                # A value of a newer contract: the stream is unusable, the console is not.
                raise TransientError(f"{source.value} said something this console does not know: {exc}") from exc
            finally:
                self._store.closed(source)

        return life

    # --- streams ------------------------------------------------------------------------------------------------------

    async def _watch_marketdata(self) -> None:
        request = market_pb.ListInstrumentsRequest()
        answer = await self._market.ListInstruments(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        self._store.instruments([rules for item in answer.instruments if (rules := rules_from_wire(item)) is not None])
        async for message in self._market.WatchStatus(market_pb.WatchStatusRequest(), metadata=self._metadata):
            now_ns = self._clock.now_ns()
            self._store.beat(beat_from_wire(message.status), now_ns)
            self._store.books([book_from_wire(row) for row in message.books], now_ns)

    async def _watch_engine(self) -> None:
        async for message in self._engine.WatchStatus(engine_pb.WatchStatusRequest(), metadata=self._metadata):
            now_ns = self._clock.now_ns()
            self._store.beat(beat_from_wire(message.status), now_ns)
            self._store.strategies([strategy_from_wire(row) for row in message.strategies], now_ns)

    async def _watch_riskd(self) -> None:
        async for message in self._risk.WatchStatus(risk_pb.WatchStatusRequest(), metadata=self._metadata):
            self._store.beat(beat_from_wire(message.status), self._clock.now_ns())
            self._store.kills([kill_from_wire(kill) for kill in message.kills])
            self._take_level(message.system_level)

    async def _watch_execd(self) -> None:
        async for message in self._execution.WatchStatus(execution_pb.WatchStatusRequest(), metadata=self._metadata):
            self._store.beat(beat_from_wire(message.status), self._clock.now_ns())
            self._store.execd_facts(
                ExecdFacts(message.risk_session_up, message.unknown_orders, message.working_orders, message.latch)
            )

    async def _watch_recorder(self) -> None:
        async for message in self._recorder.WatchStatus(recorder_pb.WatchStatusRequest(), metadata=self._metadata):
            beat = beat_from_wire(message.status)
            rows = sum(table.rows for table in message.tables)
            extra = () if beat.item("rows_written") is not None else (("rows_written", str(rows)),)
            self._store.beat(with_items(beat, extra), self._clock.now_ns())

    async def _watch_pnl(self) -> None:
        async for message in self._risk.WatchPnl(risk_pb.WatchPnlRequest(), metadata=self._metadata):
            self._store.pnl(pnl_from_wire(message), self._clock.now_ns())

    async def _watch_positions(self) -> None:
        request = risk_pb.WatchPositionsRequest()
        sequence: int | None = None
        async for message in self._risk.WatchPositions(request, metadata=self._metadata):
            first = sequence is None
            if sequence is not None and not message.snapshot and message.sequence > sequence + 1:
                raise TransientError(f"positions: gap {sequence} -> {message.sequence}")
            sequence = message.sequence
            self._store.positions(
                [position_from_wire(row) for row in message.positions],
                self._clock.now_ns(),
                snapshot=message.snapshot or first,
                sent_ns=message.time_ns,
            )

    async def _watch_risk_events(self) -> None:
        await self._ask_last_command()
        first = True
        async for message in self._risk.WatchRiskEvents(risk_pb.WatchRiskEventsRequest(), metadata=self._metadata):
            self._store.heard(Source.RISK_EVENTS, self._clock.now_ns())
            if first:
                self._store.all_holds([hold_from_wire(hold) for hold in message.holds])
                first = False
            for event in message.events:
                self._take_risk_event(event)
            self._take_level(message.system_level)

    def _take_risk_event(self, event: risk_pb.RiskEvent) -> None:
        match event.kind:
            case risk_pb.RISK_EVENT_KIND_HOLD_RAISED:
                self._store.hold_raised(hold_from_wire(event.hold))
            case risk_pb.RISK_EVENT_KIND_HOLD_CLEARED:
                if not event.hold.hold_id:
                    raise TransientError(f"a hold without id was cleared ({event.text}): asking for all holds again")
                self._store.hold_cleared(event.hold.hold_id)
            case risk_pb.RISK_EVENT_KIND_COMMAND:
                self._store.command(Command(event.time_ns, event.operator, event.text))
            case _:
                pass  # approvals and refusals arrive with their orders

    async def _ask_last_command(self) -> None:
        request = risk_pb.ListAuditRequest(limit=AUDIT_RECORDS)
        answer = await self._risk.ListAudit(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        for record in answer.records:
            if record.role not in PEOPLE:
                continue
            reason = f": '{record.reason}'" if record.reason else ""
            text = " ".join(part for part in (record.command, record.arguments, record.result) if part)
            self._store.command(Command(record.time_ns, record.operator, f"{text}{reason}"))

    async def _watch_orders(self) -> None:
        """Start with a snapshot each time: the console keeps nothing over a reconnect."""
        sequence: int | None = None
        async for message in self._execution.WatchOrders(execution_pb.WatchOrdersRequest(), metadata=self._metadata):
            now_ns = self._clock.now_ns()
            if sequence is None or message.snapshot:
                self._store.all_orders([snapshot_from_wire(item) for item in message.snapshot], now_ns)
                sequence = None
            self._store.heard(Source.ORDERS, now_ns)
            for event in message.events:
                if sequence is not None and event.sequence > sequence + 1:
                    raise TransientError(f"orders: gap {sequence} -> {event.sequence}")
                self._store.order_event(event_from_wire(event), now_ns)
                sequence = event.sequence
            if sequence is not None and message.sequence > sequence:
                raise TransientError(f"orders: gap {sequence} -> {message.sequence} at the tail")
            sequence = message.sequence

    async def _poll_book(self) -> None:
        period_s = 1 / self._settings.book_hz
        while True:
            name = self._store.selected_instrument
            if not name:
                await asyncio.sleep(NO_BOOK_WAIT_S)
                continue
            request = market_pb.GetBookRequest(instrument_id=name, depth=self._settings.book_depth)
            answer = await self._market.GetBook(request, metadata=self._metadata, timeout=BOOK_TIMEOUT_S)
            self._store.ladder(ladder_from_wire(answer), self._clock.now_ns())
            await asyncio.sleep(period_s)

    def _take_level(self, value: int) -> None:
        level: TradingLevel | None = LEVELS.get(value)
        if level is not None:
            self._store.system_level(level)

    # --- commands -----------------------------------------------------------------------------------------------------

    async def stop(self, level: StopLevel) -> None:
        """Stop now."""
        await self._stopper.stop(new_command_id(), level)

    async def cancel_order(self, client_order_id: str, reason: str) -> str:
        """Cancel one order."""
        request = execution_pb.CancelOrderRequest(
            client_order_id=client_order_id, reason=reason, command_id=new_command_id()
        )
        answer, failure = await self._call("execd", self._execution.CancelOrder, request)
        name = client_order_id[-4:]
        if answer is None:
            return f"cancel {name}: {failure}"
        if answer.accepted:
            return f"cancel {name}: on its way"
        return f"cancel {name} refused: {answer.reason} {answer.detail}".rstrip()

    async def set_strategy(self, strategy_id: str, enabled: bool, reason: str) -> str:
        """Switch one strategy."""
        request = engine_pb.SetStrategyEnabledRequest(
            strategy_id=strategy_id, enabled=enabled, reason=reason, command_id=new_command_id()
        )
        answer, failure = await self._call("engine", self._engine.SetStrategyEnabled, request)
        if answer is None:
            return f"{strategy_id}: {failure}"
        return f"{strategy_id} is {'on' if answer.strategy.enabled else 'off'}"

    async def clear_hold(self, hold_id: str, reason: str) -> str:
        """Clear one ONE_KEY hold."""
        request = risk_pb.ClearHoldRequest(
            hold_id=hold_id, reason=reason, operator=self._operator, command_id=new_command_id()
        )
        answer, failure = await self._call("riskd", self._risk.ClearHold, request)
        if answer is None:
            return f"hold not cleared: {failure}"
        if not answer.cleared:
            return f"hold not cleared: {answer.reason} {answer.detail}".rstrip()
        highest = max((LEVELS[hold.level] for hold in answer.remaining), default=TradingLevel.RUNNING)
        return f"hold cleared, {len(answer.remaining)} remain, highest {highest.name}"

    async def explain(self, client_order_id: str) -> Explanation:
        """Return what led to an order."""
        request = execution_pb.ExplainRequest(client_order_id=client_order_id)
        answer, failure = await self._call("execd", self._execution.Explain, request)
        return Explanation(missing=(failure,)) if answer is None else explanation_from_wire(answer)

    async def _call(self, daemon: str, method: Any, request: Any) -> tuple[Any, str]:
        """Return (answer, "") or (None, what went wrong)."""
        try:
            return await method(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S), ""
        except grpc.aio.AioRpcError as exc:
            if exc.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return None, f"{daemon} does not answer; it may or may not have happened"
            return None, f"{daemon}: {exc.code().name} {exc.details() or ''}".rstrip()
