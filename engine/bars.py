"""Bars from trades, cut on the venue's event time.

A bar covers [open time, close time) and is handed out once, after it closed: it closes when something with a venue
time at or after its end was seen, or by a timer at its end plus a grace. An interval without trades gives a flat bar at
the last price with zero volume, so bar-counting features keep wall time. Before the first trade there are no bars. The
interval in which we begin to listen is incomplete and is left out. A trade that arrives after its bar closed is counted
in the bar that is open (`late_trades`): a closed bar never changes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradebot.core.values import value

NEVER_NS: Final = 1 << 62
"""Later than any time."""
MAX_CARRIED_BARS: Final = 600
"""A longer silence is a hole, not a quiet market: the bars in it are skipped and counted."""


@value(frozen=True, slots=True)
class Bar:
    """One closed bar. Floats: prices in quote asset, volume in base units; for statistics, never for order prices."""

    open_time_ns: int
    close_time_ns: int
    """Exclusive."""
    open: float
    high: float
    low: float
    close: float
    volume: float
    trade_count: int


@value(frozen=True, slots=True)
class Scale:
    """Converts ticks or lots to the nearest float of the decimal value (ticks x 0.01 would be off by one bit)."""

    numerator: int
    denominator: int

    @classmethod
    def of(cls, step: Decimal) -> Scale:
        return cls(*step.as_integer_ratio())

    def __call__(self, steps: int) -> float:
        return steps * self.numerator / self.denominator


class BarBuilder:
    """Bars of one instrument and one interval."""

    __slots__ = (
        "_close",
        "_count",
        "_high",
        "_low",
        "_open",
        "_price",
        "_qty",
        "_volume",
        "close_time_ns",
        "first_open_ns",
        "interval_ns",
        "last_price",
        "late_trades",
        "skipped_bars",
    )

    def __init__(self, interval_ns: int, price: Scale, qty: Scale) -> None:
        """Begin empty; `start` or the first event sets the first interval.

        Args:
            interval_ns: Bar length, > 0; bars are aligned to multiples of it since 1970.
            price: Ticks to price.
            qty: Lots to base units.
        """
        self.interval_ns = interval_ns
        self._price = price
        self._qty = qty
        self._open = self._high = self._low = self._close = 0
        self._volume = 0
        self._count = 0
        self.first_open_ns = NEVER_NS
        """Start of the first bar; NEVER_NS before the first event."""
        self.close_time_ns = NEVER_NS
        """End of the bar being built; NEVER_NS before the first event."""
        self.last_price: int | None = None
        """Ticks of the last trade, or the close of the last bar of history."""
        self.late_trades = 0
        self.skipped_bars = 0

    @property
    def started(self) -> bool:
        return self.first_open_ns != NEVER_NS

    @property
    def open_time_ns(self) -> int:
        """Start of the bar being built."""
        return self.close_time_ns - self.interval_ns

    def start(self, time_ns: int) -> None:
        """Begin with the first whole interval at or after `time_ns`; what came before belongs to an incomplete bar."""
        begin = -(-time_ns // self.interval_ns) * self.interval_ns
        self.first_open_ns = begin
        self.close_time_ns = begin + self.interval_ns
        self._volume = self._count = 0

    def advance(self, time_ns: int) -> list[Bar]:
        """Close every bar that ends at or before `time_ns` and return them, oldest first."""
        bars: list[Bar] = []
        while self.close_time_ns <= time_ns:
            missing = (time_ns - self.close_time_ns) // self.interval_ns
            if missing > MAX_CARRIED_BARS and self._count == 0:
                self.skipped_bars += missing
                self.close_time_ns += missing * self.interval_ns
                continue
            bar = self._finish()
            if bar is not None:
                bars.append(bar)
        return bars

    def add_trade(self, event_time_ns: int, price: int, qty: int) -> None:
        """Count one trade (ticks, lots). The caller has advanced to its time first."""
        self.last_price = price
        if event_time_ns < self.open_time_ns:
            if event_time_ns < self.first_open_ns:
                return  # belongs to the incomplete interval in which we began
            self.late_trades += 1
        if self._count == 0:
            self._open = self._high = self._low = price
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._close = price
        self._volume += qty
        self._count += 1

    def add_trades(self, first: int, high: int, low: int, last: int, volume: int, count: int) -> None:
        """Count several trades at once, none of them late. The caller has advanced to their time first."""
        self.last_price = last
        if self._count == 0:
            self._open, self._high, self._low = first, high, low
        else:
            self._high, self._low = max(self._high, high), min(self._low, low)
        self._close = last
        self._volume += volume
        self._count += count

    def _finish(self) -> Bar | None:
        open_time, close_time = self.open_time_ns, self.close_time_ns
        self.close_time_ns += self.interval_ns
        if self._count == 0:
            if self.last_price is None:
                return None
            flat = self._price(self.last_price)
            return Bar(open_time, close_time, flat, flat, flat, flat, 0.0, 0)
        price = self._price
        bar = Bar(
            open_time,
            close_time,
            price(self._open),
            price(self._high),
            price(self._low),
            price(self._close),
            self._qty(self._volume),
            self._count,
        )
        self._volume = self._count = 0
        return bar
