"""The engine as a client: market data from marketdata, intents to execd. Each link is redialled for ever."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import structlog

from engine.bars import NEVER_NS, Bar
from engine.holdings import REDUCER
from engine.runner import SeriesRequest
from engine.shell import LiveEngine
from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import TransientError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import CancelWish, OrderIntent
from tradebot.core.market import RowKind
from tradebot.core.order_events import PositionView
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1.market_data_service_pb2_grpc import MarketDataServiceStub
from tradebot.runtime.clock import NS_PER_MS
from tradebot.runtime.feeding import feed
from tradebot.runtime.outbox import Outbox
from tradebot.wire.fields import read_optional_decimal
from tradebot.wire.instruments import instrument_from_wire
from tradebot.wire.intents import answer_from_wire, intent_to_wire
from tradebot.wire.market import rows_from_wire, sequences_from_wire
from tradebot.wire.orders import event_from_wire, snapshot_from_wire

_log = structlog.get_logger(__name__)

MAX_HISTORY_BARS: Final = 1_000
"""What ListBars gives at most."""
HISTORY_FACTOR: Final = 4
"""Bars asked for per bar needed: exponential averages forget their seed only slowly."""
HISTORY_WAIT_NS: Final = 10_000_000_000
"""How long history may lag behind the first bar of the stream before we go on with a hole."""
HISTORY_RETRY_S: Final = 0.2
CALL_TIMEOUT_S: Final = 5.0
SILENCE_S: Final = 5.0
"""A stream without even a heartbeat for so long is broken off."""

_LIGHT_KINDS: Final = (RowKind.TRADE, RowKind.BBO, RowKind.BOOK_STATE)
_DEPTH_KINDS: Final = (*_LIGHT_KINDS, RowKind.BOOK_LEVEL, RowKind.BOOK_CLEAR, RowKind.SNAPSHOT_LEVEL)


class MarketLink:
    """One subscription after the other; after each start, history for the bars."""

    def __init__(
        self, engine: LiveEngine, channel: grpc.aio.Channel, *, lossless: bool, silence_s: float = SILENCE_S
    ) -> None:
        self._engine = engine
        self._silence_s = silence_s
        self._stub = MarketDataServiceStub(channel)
        self._lossless = lossless
        self._messages = 0
        self._incarnation = ""
        self._backfill: asyncio.Task[None] | None = None

    async def session(self) -> None:
        """Subscribe and read until the stream ends."""
        core = self._engine.core
        kinds = _DEPTH_KINDS if core.needs_depth else _LIGHT_KINDS
        offered = await self._stub.ListInstruments(
            market_pb.ListInstrumentsRequest(), wait_for_ready=True, timeout=CALL_TIMEOUT_S
        )
        followed = {item.instrument_id for item in offered.instruments}
        wanted = [name for name in core.instrument_ids if name in followed]
        if not wanted:
            raise TransientError("marketdata follows no instrument of any strategy; see venues.<name>.symbols")
        request = market_pb.SubscribeRequest(
            instrument_ids=wanted,
            kinds=[int(kind) for kind in kinds],  # type: ignore[misc]
            lossless=self._lossless,
        )
        stream = self._stub.Subscribe(request, wait_for_ready=True)
        self._messages, self._incarnation = 0, ""
        watchdog = asyncio.create_task(self._watch_silence(stream), name="engine market watchdog")
        try:
            await feed(stream, self._take)
        finally:
            watchdog.cancel()
            self._forget_backfill()
            stream.cancel()
            self._engine.market_lost()

    def _take(self, message: market_pb.SubscribeResponse) -> None:
        self._messages += 1
        if message.incarnation and message.incarnation != self._incarnation:
            self._incarnation = message.incarnation
            self._start(message)
            self._forget_backfill()
            self._backfill = asyncio.get_running_loop().create_task(self._feed_history(), name="engine history")
        if message.rows.kind:
            rows = message.rows
            self._engine.take_rows(rows_from_wire(rows), sequences_from_wire(rows), rows.sent_time_ns)
        self._engine.conflated_rows = message.conflated_rows
        if self._backfill is not None and self._backfill.done():
            history, self._backfill = self._backfill, None
            history.result()

    def _forget_backfill(self) -> None:
        if self._backfill is not None:
            self._backfill.cancel()
            self._backfill = None

    async def _watch_silence(self, stream: grpc.aio.UnaryStreamCall[Any, Any]) -> None:
        """A hung marketdata keeps the connection open and sends nothing: its last prices must not count as live."""
        seen = -1
        while seen != self._messages:
            seen = self._messages
            await asyncio.sleep(self._silence_s)
        _log.warning("market_silent", seconds=self._silence_s)
        stream.cancel()

    def _start(self, message: market_pb.SubscribeResponse) -> None:
        engine = self._engine
        instruments: list[tuple[int, Instrument]] = [
            (item.instrument_index, instrument_from_wire(item)) for item in message.instruments
        ]
        engine.core.market_started(message.incarnation, instruments)
        engine.market_up = True
        missing = sorted(set(engine.core.instrument_ids) - {item.instrument_id for _, item in instruments})
        _log.info("market_up", incarnation=message.incarnation, instruments=len(instruments), missing=missing)

    async def _feed_history(self) -> None:
        """Feed every bar series; a venue that has no such bars leaves the strategy to warm up by itself."""
        engine = self._engine
        while wanted := engine.core.history_wanted():
            for request in wanted:
                bars = await self._history(request)
                if bars is None:
                    continue
                engine.core.feed_history(request.instrument_id, request.interval_ns, bars, engine.clock.now_ns())
                engine.schedule()
                _log.info("history_fed", instrument_id=request.instrument_id, bars=len(bars))
            await asyncio.sleep(HISTORY_RETRY_S)

    async def _history(self, request: SeriesRequest) -> list[Bar] | None:
        """Return closed bars that reach the first bar of the stream; None: not yet, ask again."""
        if request.bars == 0:
            return []
        if request.first_open_ns == NEVER_NS:
            return None
        now_ns = self._engine.clock.now_ns()
        if now_ns < request.first_open_ns:
            return None
        gap = (request.first_open_ns - request.seen_to_ns) // request.interval_ns if request.seen_to_ns else 0
        limit = min(MAX_HISTORY_BARS, max(request.bars * HISTORY_FACTOR, gap))
        try:
            answer = await self._stub.ListBars(
                market_pb.ListBarsRequest(
                    instrument_id=request.instrument_id,
                    interval_ms=request.interval_ns // NS_PER_MS,
                    limit=limit,
                ),
                timeout=CALL_TIMEOUT_S,
            )
        except grpc.aio.AioRpcError as exc:
            if exc.code() in (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.UNIMPLEMENTED,
            ):
                _log.warning("no_history", instrument_id=request.instrument_id, reason=exc.details())
                return []
            if now_ns < request.first_open_ns + HISTORY_WAIT_NS:
                return None
            _log.warning("no_history", instrument_id=request.instrument_id, reason=exc.details())
            return []
        bars = [bar_from_wire(bar) for bar in answer.bars]
        reaches = bool(bars) and bars[-1].close_time_ns >= request.first_open_ns
        if not reaches and now_ns < request.first_open_ns + HISTORY_WAIT_NS:
            return None
        if not reaches:
            _log.warning("history_has_hole", instrument_id=request.instrument_id, bars=len(bars))
        return bars


class ExecutionLink:
    """Intents up, answers and order events down."""

    def __init__(self, engine: LiveEngine, channel: grpc.aio.Channel, build: str) -> None:
        self._engine = engine
        self._stub = ExecutionServiceStub(channel)
        self._build = build

    async def session(self) -> None:
        """Open the stream and talk until it ends."""
        engine = self._engine
        outbox: Outbox[OrderIntent] = Outbox()
        cancels: Outbox[CancelWish] = Outbox()
        call = self._stub.SubmitIntents(wait_for_ready=True)
        writer: asyncio.Task[None] | None = None
        canceler: asyncio.Task[None] | None = None
        try:
            hello = execution_pb.SubmitIntentsRequest(strategy_ids=[*engine.core.runs, REDUCER], build_hash=self._build)
            await call.write(hello)
            first = await call.read()  # read() throughout: one call may not mix it with iteration
            if not isinstance(first, execution_pb.SubmitIntentsResponse):
                raise TransientError("execd closed the stream before its first message")
            engine.execution_started(
                outbox,
                [snapshot_from_wire(order) for order in first.orders],
                [_position_from_wire(view) for view in first.positions],
            )
            self._take(first)
            outbox.write_through(call, _encode)
            writer = asyncio.create_task(self._write(call, outbox), name="engine intents")
            engine.cancels = cancels
            canceler = asyncio.create_task(self._cancel_all(call, cancels), name="engine cancels")
            while isinstance(message := await call.read(), execution_pb.SubmitIntentsResponse):
                self._take(message)
        finally:
            engine.execution_lost()
            engine.cancels = None
            for closed in (outbox, cancels):
                closed.close()
            for task in (writer, canceler):
                if task is not None:
                    task.cancel()
            call.cancel()

    def _take(self, message: execution_pb.SubmitIntentsResponse) -> None:
        self._engine.take_execution(
            [answer_from_wire(answer) for answer in message.answers],
            [event_from_wire(event) for event in message.order_events],
        )

    @staticmethod
    async def _write(
        call: grpc.aio.StreamStreamCall[execution_pb.SubmitIntentsRequest, execution_pb.SubmitIntentsResponse],
        outbox: Outbox[OrderIntent],
    ) -> None:
        try:
            async for intents in outbox.batches():
                await call.write(_encode(intents))
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            call.cancel()  # the reader sees the end and reports it

    async def _cancel_all(
        self,
        call: grpc.aio.StreamStreamCall[execution_pb.SubmitIntentsRequest, execution_pb.SubmitIntentsResponse],
        cancels: Outbox[CancelWish],
    ) -> None:
        """Cancel one after the other. A refusal is logged: the order's own events say what became of it."""
        try:
            async for wishes in cancels.batches():
                for wish in wishes:
                    request = execution_pb.CancelOrderRequest(client_order_id=wish.client_order_id, reason="STRATEGY")
                    answer = await self._stub.CancelOrder(request, timeout=CALL_TIMEOUT_S)
                    if not answer.accepted:
                        _log.warning("cancel_refused", client_order_id=wish.client_order_id, reason=answer.reason)
        except grpc.aio.AioRpcError as exc:
            _log.warning("cancel_failed", reason=f"{exc.code().name}: {exc.details()}")
            call.cancel()  # the reader sees the end; a reconnect brings execd's view of every order


def _encode(intents: list[OrderIntent]) -> execution_pb.SubmitIntentsRequest:
    return execution_pb.SubmitIntentsRequest(intents=[intent_to_wire(intent) for intent in intents])


def bar_from_wire(bar: market_pb.Bar) -> Bar:
    """Return a closed bar."""
    return Bar(
        bar.open_time_ns,
        bar.close_time_ns,
        float(parse_decimal(bar.open, "bar.open")),
        float(parse_decimal(bar.high, "bar.high")),
        float(parse_decimal(bar.low, "bar.low")),
        float(parse_decimal(bar.close, "bar.close")),
        float(parse_decimal(bar.volume, "bar.volume")),
        bar.trade_count,
    )


def _position_from_wire(view: execution_pb.PositionView) -> PositionView:
    return PositionView(
        view.strategy_id,
        view.instrument_id,
        parse_decimal(view.qty or "0", "position.qty"),
        parse_decimal(view.avg_price or "0", "position.avg_price"),
        read_optional_decimal(view.stop_price, "position.stop_price"),
    )
