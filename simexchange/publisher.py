"""Publishes one symbol: its tape, candles, touch and book diffs, as frames for whoever subscribed.

A frame is rendered only when somebody wants its stream, and once for everybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from typing import Final

from tradebot.core.market import BUY_FLAG
from tradebot.core.orders import Side
from tradebot.sim.candles import CandleStore
from tradebot.sim.market import Market
from tradebot.venues.server_api import Depth, PublicTrade, Stream, StreamCodec, Touch

NS_PER_MS: Final = 1_000_000
MAX_TAPE: Final = 50_000
"""Public trades kept for queries."""
DIFF_MS: Final = 100
SLOW_DIFF_MS: Final = 1_000
PARTIAL_LEVELS: Final = (5, 10, 20)
KLINE_INTERVALS_MS: Final = (60_000, 180_000, 300_000, 900_000, 1_800_000, 3_600_000, 14_400_000, 86_400_000)
"""Intervals whose forming bar is sent every two seconds; one-second bars are sent when they close."""
FORMING_EVERY_MS: Final = 2_000

Frame = tuple[Stream, str]


class SymbolPublisher:
    """Everything public of one symbol. Frames collect in `out` until the shell takes them."""

    def __init__(self, instrument: int, codec: StreamCodec, wanted: Container[Stream], out: list[Frame]) -> None:
        self.instrument = instrument
        self.candles = CandleStore()
        self.tape: deque[PublicTrade] = deque(maxlen=MAX_TAPE)
        self._codec = codec
        self._wanted = wanted
        self._out = out
        self._trade = Stream("trade", instrument)
        self._agg_trade = Stream("agg_trade", instrument)
        self._book_ticker = Stream("book_ticker", instrument)
        self._second_klines = Stream("kline", instrument, 1_000)

    def on_trade(self, one: PublicTrade, *, send: bool = True) -> None:
        """Count a trade of the tape in. `send` False: its own frame passes through from a recording."""
        self.tape.append(one)
        self.on_second(one.time_ms)
        self.candles.on_trade(one.time_ms, one.price, one.lots, not one.buyer_is_maker, one.trade_id)
        if send:
            self.send_trade(self._trade, one)
        self.send_trade(self._agg_trade, one)

    def send_trade(self, stream: Stream, one: PublicTrade) -> None:
        """Send a trade on one stream."""
        if stream in self._wanted:
            self._out.append((stream, self._codec.trade(stream, one.time_ms, one)))

    def send_touch(self, touch: Touch) -> None:
        """Send the best bid and ask."""
        if self._book_ticker in self._wanted:
            self._out.append((self._book_ticker, self._codec.book_ticker(self._book_ticker, touch)))

    def pass_on(self, stream: Stream, payload: str) -> None:
        """Send a recorded frame as it is."""
        if stream in self._wanted:
            self._out.append((stream, payload))

    def send_partial(self, pace_ms: int, market_depth: Depth) -> None:
        """Send the top of the book to the partial depth streams of one pace."""
        for levels in PARTIAL_LEVELS:
            stream = Stream("partial_depth", self.instrument, pace_ms, levels)
            if stream in self._wanted:
                top = Depth(market_depth.last_update_id, market_depth.bids[:levels], market_depth.asks[:levels])
                self._out.append((stream, self._codec.partial_depth(stream, top)))

    def wants_partial(self, pace_ms: int) -> bool:
        """True when somebody listens to a partial depth stream of this pace."""
        return any(Stream("partial_depth", self.instrument, pace_ms, n) in self._wanted for n in PARTIAL_LEVELS)

    def on_second(self, time_ms: int) -> None:
        """Close the one-second bars that are over and send the forming longer ones when due."""
        ended = self.candles.advance(time_ms)
        if not ended:
            return
        if self._second_klines in self._wanted:
            for bar in ended:
                payload = self._codec.kline(self._second_klines, bar.open_time_ms + 1_000, bar, is_closed=True)
                self._out.append((self._second_klines, payload))
        for bar in ended:
            end_ms = bar.open_time_ms + 1_000
            if not end_ms % FORMING_EVERY_MS:
                self._send_klines(end_ms)

    def _send_klines(self, end_ms: int) -> None:
        for interval_ms in KLINE_INTERVALS_MS:
            stream = Stream("kline", self.instrument, interval_ms)
            if stream in self._wanted:
                is_closed = not end_ms % interval_ms
                bars = self.candles.bars(interval_ms, limit=2)
                # At the boundary the new bar is already open: the closed one is the one before.
                found = [b for b in bars if b.open_time_ms <= end_ms - 1 < b.open_time_ms + interval_ms]
                if found:
                    self._out.append((stream, self._codec.kline(stream, end_ms, found[0], is_closed=is_closed)))


class _Diff:
    """Levels changed since the last diff of one pace."""

    __slots__ = ("first_id", "levels", "stream")

    def __init__(self, stream: Stream, first_id: int) -> None:
        self.stream = stream
        self.first_id = first_id
        self.levels: dict[tuple[int, int], int] = {}


class LiveBook:
    """The displayed book of a live market as a stream of numbered changes: diffs, snapshots and touch."""

    def __init__(
        self,
        market: Market,
        publisher: SymbolPublisher,
        codec: StreamCodec,
        wanted: Container[Stream],
        out: list[Frame],
        loses_diff: Callable[[], bool],
    ) -> None:
        self._market = market
        self._publisher = publisher
        self._codec = codec
        self._wanted = wanted
        self._out = out
        self.update_id = 1
        """Id of the newest change."""
        self.touch = Touch(0, 0, 0, 0, 0)
        self._loses_diff = loses_diff
        self._diffs = [_Diff(Stream("depth", market.index, pace), 2) for pace in (DIFF_MS, SLOW_DIFF_MS)]

    def drain(self) -> None:
        """Number the changes of the last action and send the touch when it moved."""
        changes = self._market.changes
        if not changes:
            return
        for flag, price, lots in changes:
            self.update_id += 1
            for diff in self._diffs:
                diff.levels[flag, price] = lots
        changes.clear()
        touch = self.read_touch()
        if not _same(touch, self.touch):
            self.touch = touch
            self._publisher.send_touch(touch)

    def read_touch(self) -> Touch:
        """Return the displayed best bid and ask."""
        market = self._market
        bid, ask = market.best(Side.BUY) or 0, market.best(Side.SELL) or 0
        return Touch(
            self.update_id,
            bid,
            market.displayed_at(Side.BUY, bid) if bid else 0,
            ask,
            market.displayed_at(Side.SELL, ask) if ask else 0,
        )

    def flush(self, now_ms: int) -> None:
        """Send the diffs that are due at a multiple of 100 ms."""
        for diff in self._diffs:
            pace_ms = diff.stream.interval_ms
            if now_ms % pace_ms:
                continue
            if diff.levels:
                if diff.stream in self._wanted and not self._loses_diff():
                    self._out.append((diff.stream, self._render(diff, now_ms)))
                diff.levels.clear()
                diff.first_id = self.update_id + 1
            if self._publisher.wants_partial(pace_ms):
                self._publisher.send_partial(pace_ms, self.snapshot(max(PARTIAL_LEVELS)))

    def _render(self, diff: _Diff, now_ms: int) -> str:
        bids = [(price, lots) for (flag, price), lots in diff.levels.items() if flag == BUY_FLAG]
        asks = [(price, lots) for (flag, price), lots in diff.levels.items() if flag != BUY_FLAG]
        bids.sort(reverse=True)
        asks.sort()
        return self._codec.depth(diff.stream, now_ms, diff.first_id, self.update_id, bids, asks)

    def snapshot(self, limit: int) -> Depth:
        """Return the displayed book as of the newest change."""
        return Depth(self.update_id, self._top(Side.BUY, limit), self._top(Side.SELL, limit))

    def _top(self, side: Side, limit: int) -> list[tuple[int, int]]:
        return self._market.offers(side, limit)


def _same(one: Touch, other: Touch) -> bool:
    return (one.bid, one.bid_lots, one.ask, one.ask_lots) == (other.bid, other.bid_lots, other.ask, other.ask_lots)
