"""Market data frames and answers, client half: combined-envelope and bare streams, depth snapshots, klines.

Decoding is typed by stream name, so a frame that breaks the documentation names its field; unknown keys are ignored.
Timestamps are milliseconds, or microseconds when the connection asked for them: told apart by size.
Source: Binance Spot documentation, "WebSocket Streams" and "Market data endpoints" (read 2026-07-21); see NOTES.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, NoReturn, TypeVar

import msgspec

from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.market import BUY_FLAG, SELL_FLAG, HistoryBar
from tradebot.venues.api import (
    BarEvent,
    BboEvent,
    BookDelta,
    BookSnapshot,
    ControlReply,
    Feed,
    FrameError,
    MarketEvent,
    PlannedShutdown,
    RestLimits,
    RestRequest,
    TradeEvent,
    VenueSpec,
)
from tradebot.venues.binance import BAR_INTERVALS_MS, SPEC
from tradebot.venues.binance.limits import EXCHANGE_INFO_WEIGHT, KLINES_WEIGHT, MAX_DEPTH, depth_weight, read_limits
from tradebot.venues.binance.symbols import VENUE, decode_instruments
from tradebot.venues.steps import OffStepError, StepReader

_ENVELOPE_START: Final = b'{"stream":"'
_NAME_AT: Final = len(_ENVELOPE_START)
_SHUTDOWN_STREAM: Final = b"!serverShutdown"
_FIRST_MICROSECOND_STAMP: Final = 10**14
"""A larger stamp counts microseconds (this millisecond would be in the year 5138)."""
_STREAMS_IN_URL: Final = 50
"""Further ones are subscribed with frames; the address stays below 2 kB."""
_MAX_ROUTES: Final = 4_096
"""Stream names remembered, the ignored ones included."""
_INTERVAL_MS: Final = {name: interval for interval, name in BAR_INTERVALS_MS.items()}

Level = tuple[str, str]
DataT = TypeVar("DataT")


class _Envelope(msgspec.Struct, Generic[DataT]):
    data: DataT


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Depth(msgspec.Struct):
    E: int
    s: str
    U: int
    u: int
    b: list[Level]
    a: list[Level]


class _BookTicker(msgspec.Struct, gc=False):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str


class _KlineBody(msgspec.Struct, gc=False):
    t: int
    i: str
    o: str
    h: str
    l: str  # noqa: E741 - the venue's field name
    c: str
    v: str
    n: int
    x: bool


class _Kline(msgspec.Struct, gc=False):
    s: str
    k: _KlineBody


class _Shutdown(msgspec.Struct, gc=False):
    E: int


class _Snapshot(msgspec.Struct, rename="camel"):
    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class _KlineRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `GET /api/v3/klines`; more elements follow."""

    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int
    quote_volume: str
    trades: int


class _ErrorBody(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""


class _Head(msgspec.Struct, gc=False):
    """Fields by which a frame without a known stream name is told apart."""

    stream: str | None = None
    e: str = ""
    s: str = ""
    u: int | None = None
    id: int | str | None = None
    code: int | None = None
    msg: str = ""
    error: _ErrorBody | None = None


_SHUTDOWN: Final = msgspec.json.Decoder(_Shutdown)
_SHUTDOWN_ENVELOPE: Final = msgspec.json.Decoder(_Envelope[_Shutdown])
_HEAD: Final = msgspec.json.Decoder(_Head)
_SNAPSHOT: Final = msgspec.json.Decoder(_Snapshot)
_KLINE_ROWS: Final = msgspec.json.Decoder(list[_KlineRow])
_DECODERS: Final[dict[Feed, tuple[Any, Any]]] = {
    Feed.TRADES: (msgspec.json.Decoder(_Envelope[_Trade]), msgspec.json.Decoder(_Trade)),
    Feed.BOOK: (msgspec.json.Decoder(_Envelope[_Depth]), msgspec.json.Decoder(_Depth)),
    Feed.BBO: (msgspec.json.Decoder(_Envelope[_BookTicker]), msgspec.json.Decoder(_BookTicker)),
    Feed.BARS: (msgspec.json.Decoder(_Envelope[_Kline]), msgspec.json.Decoder(_Kline)),
}
"""(inside the combined envelope, bare)."""
_FEED_OF_EVENT: Final = {"trade": Feed.TRADES, "depthUpdate": Feed.BOOK, "kline": Feed.BARS}


class _Market:
    """One instrument as its frames need it."""

    __slots__ = ("index", "off_tick", "prices", "qtys", "symbol")

    def __init__(self, index: int, instrument: Instrument) -> None:
        self.index = index
        self.symbol = instrument.venue_symbol
        self.prices = StepReader(instrument.tick_size)
        self.qtys = StepReader(instrument.lot_size, floor=True)
        self.off_tick = 0
        """Prices between two ticks left out so far."""

    def changes(self, levels: list[Level], where: str) -> list[tuple[int, int]]:
        """Return (ticks, lots) of changed levels."""
        prices, qtys = self.prices, self.qtys
        try:
            return [(prices[price], qtys[qty]) for price, qty in levels]
        except OffStepError:
            return self._on_tick(levels, where, standing=False)
        except ValueError as exc:
            _refuse(where, str(exc))

    def standing(self, levels: list[Level], where: str) -> list[tuple[int, int]]:
        """Return (ticks, lots) of the levels of a snapshot."""
        try:
            return self._on_tick(levels, where, standing=True)
        except ValueError as exc:
            _refuse(where, str(exc))

    def _on_tick(self, levels: list[Level], where: str, *, standing: bool) -> list[tuple[int, int]]:
        """Leave out orders from before a change of the tick size: they may stand between two ticks, and go away.

        One that changes to another quantity is refused: that is also how a tick size that became finer would look.
        """
        found: list[tuple[int, int]] = []
        for price, qty in levels:
            lots = self.qtys[qty]
            try:
                found.append((self.prices[price], lots))
            except OffStepError as exc:
                if lots and not standing:
                    _refuse(where, f"{exc}: if the venue changed its tick size, restart to load it")
                self.off_tick += 1
        return found


Reader = Callable[[_Market, bytes, bool], MarketEvent | None]


class BinanceCodec:
    """See `MarketDataCodec`."""

    def __init__(self, instruments: Sequence[tuple[int, Instrument]]) -> None:
        self._markets = {instrument.venue_symbol: _Market(index, instrument) for index, instrument in instruments}
        self._by_index = {market.index: market for market in self._markets.values()}
        self._routes: dict[bytes, tuple[Reader, _Market] | None] = {}

    @property
    def off_step_amounts(self) -> int:
        """See `MarketDataCodec.off_step_amounts`: old orders keep finer steps, see NOTES."""
        return sum(market.qtys.floored + market.off_tick for market in self._markets.values())

    def decode(self, frame: bytes) -> MarketEvent | None:
        """See `MarketDataCodec.decode`."""
        if not frame.startswith(_ENVELOPE_START):
            return self._decode_other(frame)
        name = frame[_NAME_AT : frame.find(b'"', _NAME_AT)]
        try:
            route = self._routes[name]
        except KeyError:
            route = self._add_route(name)
        if route is not None:
            return _read(route[0], route[1], frame, True)
        if name == _SHUTDOWN_STREAM:
            return PlannedShutdown(_ns(_decode(_SHUTDOWN_ENVELOPE, frame, "!serverShutdown").data.E))
        return None

    def decode_snapshot(self, index: int, body: bytes) -> BookSnapshot:
        """See `MarketDataCodec.decode_snapshot`."""
        market = self._by_index[index]
        where = f"depth snapshot {market.symbol}"
        answer = _decode(_SNAPSHOT, body, where)
        bids, asks = market.standing(answer.bids, f"{where} bids"), market.standing(answer.asks, f"{where} asks")
        if answer.last_update_id < 0 or not all(qty for _, qty in bids) or not all(qty for _, qty in asks):
            _refuse(where, "lastUpdateId is negative or a level has quantity 0")
        return BookSnapshot(market.index, answer.last_update_id, 0, bids, asks)

    def decode_bars(self, index: int, interval_ms: int, body: bytes) -> list[HistoryBar]:
        """See `MarketDataCodec.decode_bars`."""
        where = f"klines {self._by_index[index].symbol}"
        rows = _decode(_KLINE_ROWS, body, where)
        return [
            _bar(where, row.open_time, interval_ms, (row.open, row.high, row.low, row.close, row.volume), row.trades)
            for row in rows
        ]

    def _add_route(self, name: bytes) -> tuple[Reader, _Market] | None:
        symbol, _, channel = name.decode("utf-8", "replace").partition("@")
        market = self._markets.get(symbol.upper())
        feed = _feed_of(channel)
        route = (_READERS[feed], market) if market is not None and feed is not None else None
        if len(self._routes) < _MAX_ROUTES:
            self._routes[name] = route
        return route

    def _decode_other(self, frame: bytes) -> MarketEvent | None:
        """Frames of bare streams, answers to control frames, and envelopes with another key order."""
        head = _decode(_HEAD, frame, "frame")
        if head.stream is not None:
            route = self._add_route(head.stream.encode())
            return None if route is None else _read(route[0], route[1], frame, True)
        if head.e == "serverShutdown":
            return PlannedShutdown(_ns(_decode(_SHUTDOWN, frame, "serverShutdown").E))
        feed = _FEED_OF_EVENT.get(head.e)
        if feed is None and not head.e and head.s and head.u is not None:
            feed = Feed.BBO  # the only bare event without a type
        if feed is not None:
            market = self._markets.get(head.s)
            return None if market is None else _read(_READERS[feed], market, frame, False)
        if head.e:
            return None
        return _control_reply(head)


class BinanceMarketData:
    """See `MarketDataVenue`."""

    @property
    def spec(self) -> VenueSpec:
        return SPEC

    def instruments_request(self, symbols: Sequence[str]) -> RestRequest:
        listed = msgspec.json.encode(list(symbols)).decode()
        return RestRequest("/api/v3/exchangeInfo", {"symbols": listed}, EXCHANGE_INFO_WEIGHT)

    def decode_instruments(self, body: bytes, symbols: Sequence[str]) -> list[Instrument]:
        return decode_instruments(body, symbols)

    def codec(self, instruments: Sequence[tuple[int, Instrument]]) -> BinanceCodec:
        return BinanceCodec(instruments)

    def stream_name(self, instrument: Instrument, feed: Feed) -> str:
        return f"{instrument.venue_symbol.lower()}@{_CHANNELS[feed]}"

    def stream_url(self, base_url: str, streams: Sequence[str]) -> str:
        return f"{base_url.rstrip('/')}/stream?streams={'/'.join(streams[:_STREAMS_IN_URL])}"

    def streams_to_subscribe(self, streams: Sequence[str]) -> Sequence[str]:
        return streams[_STREAMS_IN_URL:]

    def subscribe(self, streams: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode({"method": "SUBSCRIBE", "params": list(streams), "id": request_id})

    def snapshot_request(self, instrument: Instrument, depth: int) -> RestRequest:
        limit = min(depth, MAX_DEPTH)
        params = {"symbol": instrument.venue_symbol, "limit": str(limit)}
        return RestRequest("/api/v3/depth", params, depth_weight(limit))

    def bars_request(self, instrument: Instrument, interval_ms: int, limit: int, end_time_ns: int) -> RestRequest:
        params = {
            "symbol": instrument.venue_symbol,
            "interval": BAR_INTERVALS_MS[interval_ms],
            "limit": str(min(limit, SPEC.max_bars)),
        }
        if end_time_ns:
            params["endTime"] = str((end_time_ns - 1) // 1_000_000)  # inclusive at the venue
        return RestRequest("/api/v3/klines", params, KLINES_WEIGHT)

    def read_limits(self, status: int, headers: Mapping[str, str], body: bytes) -> RestLimits:
        return read_limits(status, headers, body)


MARKET_DATA: Final = BinanceMarketData()

_CHANNELS: Final = {
    Feed.TRADES: "trade",
    Feed.BOOK: "depth@100ms",
    Feed.BBO: "bookTicker",
    Feed.BARS: "kline_1m",
}


def _feed_of(channel: str) -> Feed | None:
    match channel:
        case "trade":
            return Feed.TRADES
        case "depth" | "depth@100ms" | "depth@1000ms":
            return Feed.BOOK
        case "bookTicker":
            return Feed.BBO
        case _:
            return Feed.BARS if channel.startswith("kline_") else None


def _read_trade(market: _Market, frame: bytes, enveloped: bool) -> TradeEvent:
    trade: _Trade = _data(Feed.TRADES, market, frame, enveloped)
    try:
        price, qty = market.prices[trade.p], market.qtys[trade.q]
    except ValueError as exc:
        _refuse(f"{market.symbol}@trade p or q", str(exc))
    if not qty or not price:
        _refuse(f"{market.symbol}@trade p or q", "a trade has a price and a quantity above 0")
    # m: the buyer was the maker, so the taker sold.
    aggressor = SELL_FLAG if trade.m else BUY_FLAG
    return TradeEvent(market.index, aggressor, price, qty, trade.t, _ns(trade.T))


def _read_depth(market: _Market, frame: bytes, enveloped: bool) -> BookDelta:
    depth: _Depth = _data(Feed.BOOK, market, frame, enveloped)
    where = f"{market.symbol}@depth"
    if not 0 < depth.U <= depth.u:
        _refuse(f"{where} U, u", f"first id {depth.U} and last id {depth.u} are not in order")
    bids, asks = market.changes(depth.b, f"{where} b"), market.changes(depth.a, f"{where} a")
    return BookDelta(market.index, depth.U, depth.u, _ns(depth.E), bids, asks)


def _read_book_ticker(market: _Market, frame: bytes, enveloped: bool) -> BboEvent | None:
    bbo: _BookTicker = _data(Feed.BBO, market, frame, enveloped)
    prices, qtys = market.prices, market.qtys
    try:
        return BboEvent(market.index, bbo.u, prices[bbo.b], qtys[bbo.B], prices[bbo.a], qtys[bbo.A], 0)
    except OffStepError:  # an old order has become the best one: the book, which leaves it out, decides
        market.off_tick += 1
        return None
    except ValueError as exc:
        _refuse(f"{market.symbol}@bookTicker b, B, a or A", str(exc))


def _read_kline(market: _Market, frame: bytes, enveloped: bool) -> BarEvent:
    body = _data(Feed.BARS, market, frame, enveloped).k
    where = f"{market.symbol}@kline"
    interval_ms = _INTERVAL_MS.get(body.i)
    if interval_ms is None:
        _refuse(f"{where} i", f"interval {body.i!r} is not in the documentation")
    bar = _bar(where, body.t, interval_ms, (body.o, body.h, body.l, body.c, body.v), body.n)
    return BarEvent(market.index, bar, body.x)


_READERS: Final[dict[Feed, Reader]] = {
    Feed.TRADES: _read_trade,
    Feed.BOOK: _read_depth,
    Feed.BBO: _read_book_ticker,
    Feed.BARS: _read_kline,
}


def _read(reader: Reader, market: _Market, frame: bytes, enveloped: bool) -> MarketEvent | None:
    try:
        return reader(market, frame, enveloped)
    except FrameError as exc:
        raise FrameError(str(exc), market.index) from exc


def _data(feed: Feed, market: _Market, frame: bytes, enveloped: bool) -> Any:
    """Decode the payload of one stream and check that it is about the stream's symbol."""
    in_envelope, bare = _DECODERS[feed]
    try:
        data = in_envelope.decode(frame).data if enveloped else bare.decode(frame)
    except msgspec.MsgspecError as exc:
        raise FrameError(f"{VENUE} {market.symbol}@{_CHANNELS[feed]}: {exc}") from exc
    if data.s != market.symbol:
        _refuse(f"{market.symbol}@{_CHANNELS[feed]} s", f"the frame is about {data.s!r}")
    return data


def _decode(decoder: msgspec.json.Decoder[DataT], body: bytes, where: str) -> DataT:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as exc:
        raise FrameError(f"{VENUE} {where}: {exc}") from exc


def _control_reply(head: _Head) -> ControlReply:
    request_id = head.id if isinstance(head.id, int) else 0
    if head.error is not None:
        return ControlReply(request_id, f"{head.error.code} {head.error.msg}")
    return ControlReply(request_id, "" if head.code is None else f"{head.code} {head.msg}")


def _bar(
    where: str, open_time: int, interval_ms: int, texts: tuple[str, str, str, str, str], trades: int
) -> HistoryBar:
    try:
        open_, high, low, close, volume = (parse_decimal(text, "ohlcv") for text in texts)
    except RejectedError as exc:
        raise FrameError(f"{VENUE} {where}: {exc}") from exc
    if not Decimal(0) < low <= min(open_, close) <= max(open_, close) <= high or volume < 0:
        _refuse(where, f"impossible bar o {open_} h {high} l {low} c {close} v {volume}")
    open_ns = _ns(open_time)
    return HistoryBar(open_ns, open_ns + interval_ms * 1_000_000, open_, high, low, close, volume, trades)


def _ns(stamp: int) -> int:
    """Return a venue stamp as UTC nanoseconds."""
    if stamp <= 0:
        _refuse("time stamp", f"{stamp} is not a time")
    return stamp * 1_000_000 if stamp < _FIRST_MICROSECOND_STAMP else stamp * 1_000


def _refuse(where: str, what: str) -> NoReturn:
    raise FrameError(f"{VENUE} {where}: {what}")
