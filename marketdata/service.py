"""MarketDataService: gRPC in, market, gRPC out. No decisions.

How a subscription's messages are written is in `subscription_shell`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from marketdata.feed import FeedSource
from marketdata.market import Market
from marketdata.publisher import TooManyReadersError, TooSlowError
from marketdata.row_log import RowFilter
from marketdata.status import StatusBoard
from marketdata.subscription_shell import Subscription
from tradebot.core.amounts import format_decimal
from tradebot.core.errors import DisconnectedError
from tradebot.core.instruments import Instrument
from tradebot.core.market import BookState
from tradebot.core.orders import Side
from tradebot.rpc.common.v1 import status_pb2
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2_grpc as pb_grpc
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.runtime.clock import NS_PER_MS, Clock
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import Role, caller_role
from tradebot.runtime.stream_hub import HEARTBEAT_S, SlowReaderError, TooManySubscribersError
from tradebot.runtime.wakeup import Wakeup
from tradebot.wire.instruments import instrument_to_wire
from tradebot.wire.market import bar_to_wire, encode_facts

MAX_BARS: Final = 1_000
MAX_INTERVAL_MS: Final = 1_000
"""Longest pause between messages that a reader may ask for: heartbeats come once a second."""
DEFAULT_DEPTH: Final = 10
_SERVICE_NAME: Final = "tradebot.rpc.marketdata.v1.MarketDataService"

_INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
_DAEMON_STATES: Final = {
    "starting": status_pb2.DAEMON_STATE_STARTING,
    "ok": status_pb2.DAEMON_STATE_OK,
    "degraded": status_pb2.DAEMON_STATE_DEGRADED,
    "stopping": status_pb2.DAEMON_STATE_STOPPING,
}


class MarketDataServicer(pb_grpc.MarketDataServiceServicer):
    """See the proto for the meaning of every field."""

    def __init__(
        self,
        market: Market,
        sources: list[FeedSource],
        board: StatusBoard,
        clock: Clock,
        incarnation: str,
        build: str,
    ) -> None:
        self._build = build
        self._market = market
        self._sources = sources
        self._board = board
        self._clock = clock
        self._incarnation = incarnation

    def binding(self) -> ServiceBinding:
        """Return what a server needs to serve this."""
        return ServiceBinding(_SERVICE_NAME, pb_grpc.add_MarketDataServiceServicer_to_server, self)

    async def ListInstruments(self, request: pb.ListInstrumentsRequest, context: Any) -> pb.ListInstrumentsResponse:
        indexes = await self._indexes(list(request.instrument_ids), context)
        return pb.ListInstrumentsResponse(incarnation=self._incarnation, instruments=self._instruments(indexes))

    # A coroutine that writes: a generator would cost one more turn per message.
    async def Subscribe(  # type: ignore[override]
        self, request: pb.SubscribeRequest, context: Any
    ) -> None:
        indexes = await self._indexes(list(request.instrument_ids), context)
        row_filter = RowFilter(
            frozenset(indexes) if request.instrument_ids else None,
            frozenset(request.kinds) if request.kinds else None,
        )
        if row_filter.kinds and not row_filter.kinds <= set(rows_pb2.RowKind.values()[1:]):
            await context.abort(_INVALID, "kinds: a value is unspecified or unknown")
        publisher, now_ns = self._market.publisher, self._clock.now_ns
        resumable = request.lossless and request.incarnation == self._incarnation
        try:
            reader = publisher.subscribe(
                row_filter,
                now_ns(),
                lossless=request.lossless,
                depth=request.depth,
                resume_after=request.resume_after_sequence if resumable else None,
                rank=0 if caller_role() is Role.ENGINE else 1,
            )
        except TooManyReadersError as exc:
            raise TooManySubscribersError(str(exc)) from exc
        pause_s = min(request.min_interval_ms, MAX_INTERVAL_MS) / 1000
        header = pb.SubscribeResponse(
            incarnation=self._incarnation, instruments=self._instruments(indexes), build_hash=self._build
        )
        subscription = Subscription(publisher, reader, context, now_ns, self._heartbeat, pause_s)
        try:
            await subscription.run(header.SerializeToString())
        except TooSlowError as exc:
            raise SlowReaderError(str(exc)) from exc
        except grpc.aio.InternalError:
            return  # how grpcio says that the reader left while we were writing to it
        finally:
            publisher.unsubscribe(reader)

    async def GetBook(self, request: pb.GetBookRequest, context: Any) -> pb.GetBookResponse:
        (index,) = await self._indexes([request.instrument_id], context)
        book, instrument = self._market.books[index], self._market.instruments[index]
        answer = pb.GetBookResponse(
            instrument_id=instrument.instrument_id,
            state=book.state.value,  # type: ignore[arg-type]
            update_id=book.update_id,
            event_time_ns=book.event_time_ns,
            receive_time_ns=book.book_receive_ns,
        )
        if book.state is BookState.LIVE:
            depth = request.depth or DEFAULT_DEPTH
            answer.bids.extend(_level(instrument, *level) for level in book.book.top(Side.BUY, depth))
            answer.asks.extend(_level(instrument, *level) for level in book.book.top(Side.SELL, depth))
        return answer

    async def ListBars(self, request: pb.ListBarsRequest, context: Any) -> pb.ListBarsResponse:
        (index,) = await self._indexes([request.instrument_id], context)
        if not 0 < request.limit <= MAX_BARS:
            await context.abort(_INVALID, f"limit {request.limit}: must be 1..{MAX_BARS}")
        if request.end_time_ns < 0:
            await context.abort(_INVALID, f"end_time_ns {request.end_time_ns}: must not be negative")
        source = next(source for source in self._sources if source.covers(index))
        if request.interval_ms not in source.bar_intervals_ms:
            offered = ", ".join(str(interval) for interval in sorted(source.bar_intervals_ms))
            await context.abort(_INVALID, f"interval_ms {request.interval_ms} is not offered; use one of {offered}")
        bars = await source.bars(index, request.interval_ms, request.limit, request.end_time_ns)
        return pb.ListBarsResponse(bars=[bar_to_wire(bar) for bar in bars])

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        wakeup = Wakeup()
        while True:
            yield self._status()
            await wakeup.wait(HEARTBEAT_S)

    def _heartbeat(self, conflated_rows: int) -> bytes:
        return encode_facts(conflated_rows=conflated_rows, head_sequence=self._market.log.head_sequence)

    async def _indexes(self, instrument_ids: list[str], context: Any) -> list[int]:
        """Return the column indexes; all when none is named."""
        if not self._board.loaded:
            raise DisconnectedError("instruments are not loaded yet: the venue has not answered; try again")
        if not instrument_ids:
            return list(range(len(self._market.instruments)))
        found = {instrument_id: self._market.index_of(instrument_id) for instrument_id in instrument_ids}
        unknown = [instrument_id for instrument_id, index in found.items() if index is None]
        if unknown:
            text = f"instrument_id {', '.join(unknown)!r} is not followed: add it to venues.<name>.symbols"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        return [index for index in found.values() if index is not None]

    def _instruments(self, indexes: list[int]) -> list[Any]:
        return [instrument_to_wire(self._market.instruments[index], index) for index in indexes]

    def _status(self) -> pb.WatchStatusResponse:
        facts = self._board.read()
        status = status_pb2.DaemonStatus(
            daemon="marketdata",
            incarnation=self._incarnation,
            version=facts.version,
            mode=facts.mode,
            state=_DAEMON_STATES[facts.state],
            summary=facts.summary,
            started_time_ns=facts.started_time_ns,
            time_ns=facts.time_ns,
            items=[status_pb2.StatusItem(name=name, value=str(value)) for name, value in facts.items.items()],
            venue_links=[
                status_pb2.VenueLink(venue=link.venue, channel="public", state=link.state, age_ms=link.age_ms)
                for link in facts.links
            ],
        )
        return pb.WatchStatusResponse(status=status, books=self._books(facts.time_ns))

    def _books(self, now_ns: int) -> list[pb.BookStatus]:
        return [_book_status(self._market, index, now_ns) for index in range(len(self._market.instruments))]


def _level(instrument: Instrument, ticks: int, lots: int) -> pb.BookLevel:
    return pb.BookLevel(price=format_decimal(instrument.price(ticks)), qty=format_decimal(instrument.qty(lots)))


def _book_status(market: Market, index: int, now_ns: int) -> pb.BookStatus:
    book, instrument = market.books[index], market.instruments[index]
    bid, bid_qty, ask, ask_qty = book.touch
    status = pb.BookStatus(
        instrument_id=instrument.instrument_id,
        state=book.state.value,  # type: ignore[arg-type]
        age_ms=max(0, now_ns - book.progress_ns) // NS_PER_MS if book.progress_ns else 0,
        gaps=book.gaps,
    )
    if book.last_trade_price:
        status.last_price = format_decimal(instrument.price(book.last_trade_price))
    if book.state is BookState.LIVE:
        if bid:
            status.bid_price, status.bid_qty = _price(instrument, bid), format_decimal(instrument.qty(bid_qty))
        if ask:
            status.ask_price, status.ask_qty = _price(instrument, ask), format_decimal(instrument.qty(ask_qty))
    return status


def _price(instrument: Instrument, ticks: int) -> str:
    return format_decimal(instrument.price(ticks))
