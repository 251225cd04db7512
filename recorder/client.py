"""Streams in: each session follows one stream until it ends; `redial` starts the next one.

A session hands rows to the recorder together with the position they bring the stream to. Order events and risk events
are resumed by sequence and never skipped in silence: a hole becomes a GAP event.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final
from uuid import uuid4

import grpc
import structlog
from google.protobuf.json_format import MessageToDict

from recorder.book_snapshots import BookSnapshots
from recorder.order_rows import SOURCE as ORDERS_SOURCE
from recorder.order_rows import event_entries, gap_entry, snapshot_entries
from recorder.requirement import NAME, Requirement
from recorder.risk_rows import SOURCE as RISK_SOURCE
from recorder.risk_rows import PnlRecord, PositionRecord, Positions, RiskEventRecord, risk_event_entry
from recorder.shell import Recorder
from recorder.tables import Entry, StreamPosition
from recorder.tape import Tape
from tradebot.core.instruments import Instrument
from tradebot.core.market import RowKind
from tradebot.rpc.common.v1 import level_pb2
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1 import execution_service_pb2_grpc as execution_grpc
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2_grpc as market_grpc
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as risk_grpc
from tradebot.runtime.clock import Clock
from tradebot.wire.fields import enum_name
from tradebot.wire.instruments import instrument_from_wire
from tradebot.wire.market import last_sequence_from_wire, rows_from_wire
from tradebot.wire.orders import event_from_wire, snapshot_from_wire

LOOK_S: Final = 1.0
"""Between two looks at whether the database is written."""
CALL_TIMEOUT_S: Final = 5.0
TAPE_SOURCE: Final = "marketdata.tape"
TAPE_KINDS: Final = (
    RowKind.TRADE,
    RowKind.MARK_PRICE,
    RowKind.INDEX_PRICE,
    RowKind.FUNDING_RATE,
    RowKind.OPEN_INTEREST,
)
BOOK_KINDS: Final = (RowKind.BOOK_LEVEL, RowKind.BOOK_CLEAR, RowKind.SNAPSHOT_LEVEL, RowKind.BOOK_STATE)

_log = structlog.get_logger(__name__)


class Links:
    """Sessions with the other daemons."""

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        marketdata: grpc.aio.Channel,
        execd: grpc.aio.Channel,
        riskd: grpc.aio.Channel,
        *,
        build: str,
    ) -> None:
        self._recorder = recorder
        self._build = build
        self._clock = clock
        self._marketdata = market_grpc.MarketDataServiceStub(marketdata)
        self._execd = execution_grpc.ExecutionServiceStub(execd)
        self._riskd = risk_grpc.RiskServiceStub(riskd)
        self._tape = Tape(recorder.stored_bars)
        self._books = BookSnapshots(recorder.section.book_levels, recorder.section.book_interval_ms)
        self._positions = Positions(recorder.section.pnl_interval_ms)
        self.messages = 0

    async def tape(self) -> None:
        """Trades, funding, open interest: lossless, resumed."""
        stored = self._recorder.position(TAPE_SOURCE)
        request = market_pb.SubscribeRequest(kinds=[kind.value for kind in TAPE_KINDS], lossless=True)  # type: ignore[misc]
        if stored is not None:
            request.incarnation, request.resume_after_sequence = stored.incarnation, stored.sequence
        incarnation, first = "", True
        # Head of the last heartbeat: when the next one comes, every row up to it has been sent to us.
        idle_head: int | None = None
        async for message in self._marketdata.Subscribe(request, wait_for_ready=True):
            self.messages += 1
            incarnation = message.incarnation or incarnation
            entries = self._tape.set_instruments(_instruments(message)) if message.instruments else []
            if first:
                resumed = stored is not None and incarnation == stored.incarnation and not message.snapshot
                if resumed:
                    self._tape.resume()
                else:
                    self._tape.break_off()
                first = False
            position = None
            if message.HasField("rows") and message.rows.kind:
                entries += self._tape.apply(rows_from_wire(message.rows))
                position = StreamPosition(TAPE_SOURCE, incarnation, last_sequence_from_wire(message.rows))
            else:
                if idle_head is not None:
                    position = StreamPosition(TAPE_SOURCE, incarnation, idle_head)
                idle_head = message.head_sequence
            self._recorder.accept(entries, position)

    async def books(self) -> None:
        """Books: conflated when we are slow, from a fresh snapshot each time."""
        request = market_pb.SubscribeRequest(kinds=[kind.value for kind in BOOK_KINDS])  # type: ignore[misc]
        async for message in self._marketdata.Subscribe(request, wait_for_ready=True):
            self.messages += 1
            if message.instruments:
                self._books.set_instruments(_instruments(message))
            if message.HasField("rows") and message.rows.kind:
                self._recorder.accept(self._books.apply(rows_from_wire(message.rows)))

    async def orders(self) -> None:
        """Order events: lossless, resumed."""
        async for message, stored, first in self._resumed(ORDERS_SOURCE, self._watch_orders):
            await self._recorder.wait_room()
            entries = [entry for order in message.snapshot for entry in snapshot_entries(snapshot_from_wire(order))]
            events = [event for event in message.events if event.sequence > stored.sequence]
            for event in events:
                entries += event_entries(event_from_wire(event), stored.incarnation)
            self._advance(stored, events, entries, message.sequence if first else stored.sequence)

    async def risk_events(self) -> None:
        """Holds, decisions, commands: lossless, resumed."""
        async for message, stored, first in self._resumed(RISK_SOURCE, self._watch_risk_events):
            await self._recorder.wait_room()
            events = [event for event in message.events if event.sequence > stored.sequence]
            entries = [risk_event_entry(_risk_event(event), stored.incarnation) for event in events]
            self._advance(stored, events, entries, message.sequence if first else stored.sequence)

    async def positions(self) -> None:
        """Positions: a snapshot at each connect, then changes."""
        async for message in self._riskd.WatchPositions(risk_pb.WatchPositionsRequest(), wait_for_ready=True):
            self.messages += 1
            if message.positions or message.snapshot:
                await self._recorder.wait_room()
                records = [_position(item) for item in message.positions]
                self._recorder.accept(self._positions.apply(records, message.snapshot, message.time_ns))

    async def pnl(self) -> None:
        """PnL: sampled."""
        async for message in self._riskd.WatchPnl(risk_pb.WatchPnlRequest(), wait_for_ready=True):
            self.messages += 1
            await self._recorder.wait_room()
            record = PnlRecord(
                message.time_ns, message.realized_pnl, message.unrealized_pnl, message.fees, message.equity
            )
            self._recorder.accept(self._positions.pnl(record))

    async def requirement(self) -> None:
        """Raise and clear the recorder's own hold, as the database is. What stands is asked for first: it may be of an
        earlier life, or of a call whose answer never came.
        """
        own = Requirement()
        standing = await self._riskd.ListHolds(risk_pb.ListHoldsRequest(), timeout=CALL_TIMEOUT_S)
        for hold in standing.holds:
            own.told(hold.cause, hold.raised_by, hold.hold_id)
        while True:
            failure = self._recorder.failure
            if own.must_raise(failure):
                answer = await self._riskd.RaiseHold(
                    risk_pb.RaiseHoldRequest(
                        level=level_pb2.TRADING_LEVEL_REDUCE_ONLY,
                        scope=level_pb2.Scope(kind=level_pb2.SCOPE_KIND_SYSTEM),
                        reason=failure,
                        operator=NAME,
                        command_id=uuid4().hex,
                    ),
                    timeout=CALL_TIMEOUT_S,
                )
                own.hold_id = answer.hold.hold_id
            elif own.must_clear(failure):
                request = risk_pb.ClearHoldRequest(
                    hold_id=own.hold_id, reason="the database is written", operator=NAME, command_id=uuid4().hex
                )
                await self._riskd.ClearHold(request, timeout=CALL_TIMEOUT_S)
                own.hold_id = ""
            await asyncio.sleep(LOOK_S)

    def _watch_orders(self, incarnation: str, sequence: int) -> Any:
        request = execution_pb.WatchOrdersRequest(incarnation=incarnation, resume_after_sequence=sequence)
        return self._execd.WatchOrders(request, wait_for_ready=True)

    def _watch_risk_events(self, incarnation: str, sequence: int) -> Any:
        request = risk_pb.WatchRiskEventsRequest(
            incarnation=incarnation, resume_after_sequence=sequence, build_hash=self._build
        )
        return self._riskd.WatchRiskEvents(request, wait_for_ready=True)

    async def _resumed(
        self, source: str, watch: Callable[[str, int], Any]
    ) -> AsyncIterator[tuple[Any, StreamPosition, bool]]:
        """Yield each message with the position before it, and whether it is the first one.

        A log that is not the one in the database (the first contact, or a new incarnation) is read from its beginning.
        """
        stored = self._recorder.position(source) or StreamPosition(source, "", 0)
        while True:
            call, first, incarnation = watch(stored.incarnation, stored.sequence), True, stored.incarnation
            async for message in call:
                self.messages += 1
                incarnation = message.incarnation or incarnation
                if incarnation != stored.incarnation:
                    break
                yield message, stored, first
                stored, first = self._recorder.position(source) or stored, False
            if incarnation == stored.incarnation:
                return
            call.cancel()
            stored = StreamPosition(source, incarnation, 0)

    def _advance(self, stored: StreamPosition, events: Sequence[Any], entries: list[Entry], sequence: int) -> None:
        """Hand the rows of one message over; a hole before them becomes an event of its own."""
        reached = StreamPosition(stored.source, stored.incarnation, events[-1].sequence if events else sequence)
        next_sequence = events[0].sequence if events else sequence + 1
        if next_sequence != stored.sequence + 1:
            _log.warning("stream_gap", source=stored.source, written_to=stored.sequence, resumed_at=next_sequence)
            entries.append(
                gap_entry(stored.source, stored.incarnation, next_sequence, stored.sequence, self._clock.now_ns())
            )
        if entries or self._recorder.position(stored.source) != reached:
            self._recorder.accept(entries, reached)


def _instruments(message: market_pb.SubscribeResponse) -> list[tuple[int, Instrument]]:
    return [(item.instrument_index, instrument_from_wire(item)) for item in message.instruments]


def _position(item: risk_pb.Position) -> PositionRecord:
    return PositionRecord(
        symbol=item.instrument_id,
        strategy=item.strategy_id,
        qty=item.qty or "0",
        avg_price=item.avg_price or "0",
        realized_pnl=item.realized_pnl or "0",
        unrealized_pnl=item.unrealized_pnl,
        fees_paid=item.fees_paid or "0",
        opened_ns=item.opened_time_ns,
        updated_ns=item.updated_time_ns,
    )


def _risk_event(event: risk_pb.RiskEvent) -> RiskEventRecord:
    tree = MessageToDict(event, preserving_proto_field_name=True)
    for key in ("sequence", "kind", "time_ns"):  # columns of their own
        tree.pop(key, None)
    kind = enum_name(risk_pb.RiskEventKind, event.kind, "RISK_EVENT_KIND_")
    return RiskEventRecord(event.sequence, event.time_ns, kind, json.dumps(tree, separators=(",", ":")))
