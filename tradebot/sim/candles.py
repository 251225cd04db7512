"""Candles (klines) from trades, in integers: one-second and one-minute bars kept, longer ones summed from minutes.

A second without trades still has a bar, flat at the last price with no volume, as the venues give it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

NS_PER_MS: Final = 1_000_000
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
MAX_SECOND_BARS: Final = 20_000
"""One-second bars kept: five and a half hours."""
MAX_MINUTE_BARS: Final = 20_000
"""One-minute bars kept: almost two weeks."""
MAX_SILENT_SECONDS: Final = MAX_SECOND_BARS
"""Flat bars made at most in one go after a silence; older ones would fall out at once."""


@dataclass(slots=True)
class Candle:
    """One bar. Prices in ticks, quantities in lots, values in tick-lots."""

    open_time_ms: int
    interval_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    tick_lots: int = 0
    """Sum of price x quantity; times the Money of one tick-lot it is the quote volume."""
    trades: int = 0
    taker_buy_lots: int = 0
    taker_buy_tick_lots: int = 0
    first_trade_id: int = -1
    last_trade_id: int = -1

    def add_trade(self, price: int, lots: int, buyer_is_taker: bool, trade_id: int) -> None:
        """Count one trade in."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        if not self.trades:
            # An empty bar starts at the previous close; its first trade is its true open.
            self.open = self.high = self.low = price
            self.first_trade_id = trade_id
        self.close = price
        self.lots += lots
        self.tick_lots += price * lots
        self.trades += 1
        self.last_trade_id = trade_id
        if buyer_is_taker:
            self.taker_buy_lots += lots
            self.taker_buy_tick_lots += price * lots

    def moved(self, ticks: int) -> Candle:
        """Return the same bar at prices so many ticks higher, none below one."""
        return replace(
            self,
            open=max(1, self.open + ticks),
            high=max(1, self.high + ticks),
            low=max(1, self.low + ticks),
            close=max(1, self.close + ticks),
            tick_lots=max(self.lots, self.tick_lots + ticks * self.lots),
            taker_buy_tick_lots=max(self.taker_buy_lots, self.taker_buy_tick_lots + ticks * self.taker_buy_lots),
        )

    def merge(self, later: Candle) -> None:
        """Count a later, shorter bar in."""
        if later.trades:
            if not self.trades:
                self.open, self.high, self.low = later.open, later.high, later.low
                self.first_trade_id = later.first_trade_id
            self.high = max(self.high, later.high)
            self.low = min(self.low, later.low)
            self.last_trade_id = later.last_trade_id
            self.close = later.close
        self.lots += later.lots
        self.tick_lots += later.tick_lots
        self.trades += later.trades
        self.taker_buy_lots += later.taker_buy_lots
        self.taker_buy_tick_lots += later.taker_buy_tick_lots


class CandleStore:
    """Bars of one market. The last bar of each series is the one still forming."""

    __slots__ = ("_minutes", "_seconds")

    def __init__(self) -> None:
        self._seconds: deque[Candle] = deque(maxlen=MAX_SECOND_BARS)
        self._minutes: deque[Candle] = deque(maxlen=MAX_MINUTE_BARS)

    def load(self, seconds: Iterable[Candle]) -> None:
        """Take finished one-second bars in order, e.g. generated history."""
        for bar in seconds:
            self._seconds.append(bar)
            self._add_to_minute(bar)

    def on_trade(self, time_ms: int, price: int, lots: int, buyer_is_taker: bool, trade_id: int) -> None:
        """Count one trade in, closing bars that are over."""
        self.advance(time_ms, price)
        self._seconds[-1].add_trade(price, lots, buyer_is_taker, trade_id)
        self._minutes[-1].add_trade(price, lots, buyer_is_taker, trade_id)

    def advance(self, time_ms: int, price: int = 0) -> list[Candle]:
        """Open the bars of `time_ms` and return the one-second bars that ended; `price` starts the very first bar."""
        second = time_ms - time_ms % SECOND_MS
        ended: list[Candle] = []
        if not self._seconds:
            if not price:
                return ended
            self._seconds.append(Candle(second, SECOND_MS, price, price, price, price))
        missing = (second - self._seconds[-1].open_time_ms) // SECOND_MS
        close = self._seconds[-1].close
        for back in range(min(missing, MAX_SILENT_SECONDS) - 1, -1, -1):
            ended.append(self._seconds[-1])
            self._seconds.append(Candle(second - back * SECOND_MS, SECOND_MS, close, close, close, close))
        self._open_minute(second, close)
        return ended

    def current(self, interval_ms: int) -> Candle | None:
        """Return the forming bar of an interval."""
        found = self.bars(interval_ms, limit=1)
        return found[-1] if found else None

    def bars(self, interval_ms: int, *, start_ms: int = 0, end_ms: int | None = None, limit: int = 500) -> list[Candle]:
        """Return bars by open time in [start, end]: the first `limit` from a given start, else the last `limit`."""
        series: Sequence[Candle] = self._seconds if interval_ms == SECOND_MS else self._minutes
        factor = 1 if interval_ms in (SECOND_MS, MINUTE_MS) else interval_ms // MINUTE_MS
        if not start_ms and end_ms is None:
            # The common case: only what the newest `limit` bars can need.
            wanted = limit * factor
            skip = max(0, len(series) - wanted)
            picked = [series[i] for i in range(skip, len(series))]
            return picked[-limit:] if factor == 1 else _grouped(picked, interval_ms)[-limit:]
        picked = list(series) if factor == 1 else _grouped(series, interval_ms)
        picked = [b for b in picked if b.open_time_ms >= start_ms and (end_ms is None or b.open_time_ms <= end_ms)]
        return picked[:limit] if start_ms else picked[-limit:]

    def _add_to_minute(self, second: Candle) -> None:
        self._open_minute(second.open_time_ms, second.open)
        self._minutes[-1].merge(second)

    def _open_minute(self, time_ms: int, price: int) -> None:
        minute = time_ms - time_ms % MINUTE_MS
        if not self._minutes:
            self._minutes.append(Candle(minute, MINUTE_MS, price, price, price, price))
        close = self._minutes[-1].close
        missing = (minute - self._minutes[-1].open_time_ms) // MINUTE_MS
        for back in range(min(missing, MAX_MINUTE_BARS) - 1, -1, -1):
            self._minutes.append(Candle(minute - back * MINUTE_MS, MINUTE_MS, close, close, close, close))


def _grouped(minutes: Iterable[Candle], interval_ms: int) -> list[Candle]:
    """Sum minute bars into longer ones, aligned to the epoch."""
    bars: list[Candle] = []
    for minute in minutes:
        start = minute.open_time_ms - minute.open_time_ms % interval_ms
        if not bars or bars[-1].open_time_ms != start:
            bars.append(Candle(start, interval_ms, minute.open, minute.open, minute.open, minute.open))
        bars[-1].merge(minute)
    return bars
