"""Features for live use: small objects that take one observation and give the value after it.

Each gives NaN until it has seen enough (`ready`), so a comparison with an unfinished feature is false both ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from tradebot.features import steps
from tradebot.features.steps import microprice_step

NAN = math.nan


class AtrKind(Enum):
    """Smoothing of the true range."""

    WILDER = "wilder"
    """alpha = 1 / length."""
    EWMA = "ewma"
    """alpha = 2 / (length + 1)."""


def smoothing(length: int, kind: AtrKind) -> float:
    """Return the alpha of a kind."""
    return 1.0 / length if kind is AtrKind.WILDER else 2.0 / (length + 1)


def _positive(length: int, name: str) -> int:
    if length < 1:
        raise ValueError(f"{name} must be at least 1, not {length}")
    return length


class Return:
    """Return over the last `length` observations, simple or logarithmic."""

    __slots__ = ("_count", "_index", "_log", "_ring", "value")

    def __init__(self, length: int = 1, *, log: bool = False) -> None:
        self._ring = [0.0] * _positive(length, "length")
        self._index = 0
        self._count = 0
        self._log = log
        self.value = NAN

    @property
    def ready(self) -> bool:
        return self._count > len(self._ring)

    def update(self, price: float) -> float:
        """Take a price (> 0) and give the return since `length` prices ago."""
        previous = self._ring[self._index]
        if self._count >= len(self._ring):
            step = steps.log_return_step if self._log else steps.simple_return_step
            self.value = step(previous, price)
        self._count += 1
        self._ring[self._index] = price
        self._index = (self._index + 1) % len(self._ring)
        return self.value


class Ema:
    """Exponential average with alpha = 2 / (length + 1), seeded with the first value; ready after `length` values."""

    __slots__ = ("_alpha", "_average", "_count", "_length")

    def __init__(self, length: int) -> None:
        self._length = _positive(length, "length")
        self._alpha = 2.0 / (length + 1)
        self._average = 0.0
        self._count = 0

    @property
    def ready(self) -> bool:
        return self._count >= self._length

    @property
    def value(self) -> float:
        return self._average if self._count >= self._length else NAN

    def update(self, value: float) -> float:
        self._average = steps.ema_step(self._average, value, self._alpha) if self._count else value
        self._count += 1
        return self.value


class Rsi:
    """Wilder's relative strength index: mean of the first `length` changes, then smoothed by 1 / length."""

    __slots__ = ("_average_gain", "_average_loss", "_count", "_length", "_previous")

    def __init__(self, length: int = 14) -> None:
        self._length = _positive(length, "length")
        self._previous = NAN
        self._count = 0
        self._average_gain = 0.0
        self._average_loss = 0.0

    @property
    def ready(self) -> bool:
        return self._count >= self._length

    @property
    def value(self) -> float:
        return steps.rsi_value(self._average_gain, self._average_loss) if self.ready else NAN

    def update(self, price: float) -> float:
        previous, self._previous = self._previous, price
        if previous == previous:  # not the first price
            change = price - previous
            gain, loss = (change, 0.0) if change > 0.0 else (0.0, -change)
            alpha = 1.0 / self._length
            self._average_gain = steps.seeded_average_step(self._count, self._average_gain, gain, self._length, alpha)
            self._average_loss = steps.seeded_average_step(self._count, self._average_loss, loss, self._length, alpha)
            self._count += 1
        return self.value


class Atr:
    """Average true range. The first bar has no previous close, so its range is high - low."""

    __slots__ = ("_alpha", "_average", "_count", "_length", "_previous_close")

    def __init__(self, length: int = 14, kind: AtrKind = AtrKind.WILDER) -> None:
        self._length = _positive(length, "length")
        self._alpha = smoothing(length, kind)
        self._average = 0.0
        self._count = 0
        self._previous_close = 0.0

    @property
    def ready(self) -> bool:
        return self._count >= self._length

    @property
    def value(self) -> float:
        return self._average if self._count >= self._length else NAN

    def update(self, high: float, low: float, close: float) -> float:
        widest = steps.true_range(high, low, self._previous_close) if self._count else high - low
        self._average = steps.seeded_average_step(self._count, self._average, widest, self._length, self._alpha)
        self._count += 1
        self._previous_close = close
        return self.value


class Keltner:
    """Keltner channel: EMA of the close plus and minus `multiple` times ATR."""

    __slots__ = ("_atr", "_ema", "_multiple", "lower", "middle", "upper")

    def __init__(
        self, ema_length: int = 20, atr_length: int = 14, multiple: float = 2.0, kind: AtrKind = AtrKind.EWMA
    ) -> None:
        self._ema = Ema(ema_length)
        self._atr = Atr(atr_length, kind)
        self._multiple = multiple
        self.middle = NAN
        self.upper = NAN
        self.lower = NAN

    @property
    def ready(self) -> bool:
        return self._ema.ready and self._atr.ready

    @property
    def atr(self) -> float:
        return self._atr.value

    def update(self, high: float, low: float, close: float) -> tuple[float, float, float]:
        """Take a closed bar and give (middle, upper, lower), all NaN until both averages are ready."""
        middle = self._ema.update(close)
        width = self._multiple * self._atr.update(high, low, close)
        if self.ready:
            self.middle, self.upper, self.lower = middle, middle + width, middle - width
        return self.middle, self.upper, self.lower


class Donchian:
    """Highest high and lowest low of the last `length` bars, the current one included.

    A breakout rule compares with the channel *before* the bar: read `upper` and `lower` before `update`.
    """

    __slots__ = ("_count", "_highs", "_index", "_lows", "lower", "upper")

    def __init__(self, length: int = 20) -> None:
        self._highs = [0.0] * _positive(length, "length")
        self._lows = [0.0] * length
        self._index = 0
        self._count = 0
        self.upper = NAN
        self.lower = NAN

    @property
    def ready(self) -> bool:
        return self._count == len(self._highs)

    def update(self, high: float, low: float) -> tuple[float, float]:
        """Take a closed bar and give (upper, lower)."""
        size = len(self._highs)
        self._highs[self._index] = high
        self._lows[self._index] = low
        self._index = (self._index + 1) % size
        self._count = min(self._count + 1, size)
        if self._count == size:
            self.upper, self.lower = steps.highest(self._highs, size), steps.lowest(self._lows, size)
        return self.upper, self.lower


class RollingStatistics:
    """Mean, sample standard deviation and z-score over the last `length` values, at constant cost per value."""

    __slots__ = ("_count", "_index", "_last", "_ring", "_spread", "mean")

    def __init__(self, length: int) -> None:
        if length < 2:
            raise ValueError(f"length must be at least 2, not {length}")
        self._ring = [0.0] * length
        self._index = 0
        self._count = 0
        self._spread = 0.0
        self._last = NAN
        self.mean = 0.0
        """Mean of the values seen so far, at most the window."""

    @property
    def ready(self) -> bool:
        return self._count == len(self._ring)

    @property
    def deviation(self) -> float:
        return steps.deviation(self._spread, self._count)

    @property
    def z_score(self) -> float:
        """z-score of the last value within its own window; NaN until the window is full."""
        return steps.z_score(self._last, self.mean, self.deviation) if self.ready else NAN

    def update(self, value: float) -> float:
        """Take a value and give its z-score."""
        self._last = value
        self._index, self._count, self.mean, self._spread = steps.rolling_step(
            self._ring, self._index, self._count, self.mean, self._spread, value
        )
        return self.z_score


class OrderFlowImbalance:
    """Growth of the best bid quantity minus growth of the best ask quantity, with its rolling z-score.

    Signal: z-score above a threshold says up, below its negative down.
    """

    __slots__ = ("_ask_qty", "_bid_qty", "_seen", "_statistics", "value")

    def __init__(self, length: int = 100) -> None:
        self._statistics = RollingStatistics(length)
        self._bid_qty = 0.0
        self._ask_qty = 0.0
        self._seen = False
        self.value = NAN

    @property
    def ready(self) -> bool:
        return self._statistics.ready

    @property
    def z_score(self) -> float:
        return self._statistics.z_score

    def update(self, bid_qty: float, ask_qty: float) -> float:
        """Take the quantities at the best bid and ask and give the imbalance since the last call."""
        if self._seen:
            self.value = steps.ofi_step(self._bid_qty, bid_qty, self._ask_qty, ask_qty)
            self._statistics.update(self.value)
        self._seen = True
        self._bid_qty, self._ask_qty = bid_qty, ask_qty
        return self.value


def microprice(bid: float, bid_qty: float, ask: float, ask_qty: float) -> float:
    """Return the mid weighted by the opposite quantities; in the unit of the prices given (ticks are fine)."""
    return microprice_step(bid, bid_qty, ask, ask_qty)


def depth_imbalance(bid_qtys: Sequence[float], ask_qtys: Sequence[float], levels: int) -> float:
    """Return (bids - asks) / (bids + asks) over the best `levels` of each side, quantities best first."""
    return steps.imbalance_step(steps.total_of(bid_qtys, levels), steps.total_of(ask_qtys, levels))
