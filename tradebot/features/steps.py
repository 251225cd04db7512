"""The arithmetic of every feature, one observation at a time.

Plain functions on floats and indexable buffers, written so that CPython and numba execute the same IEEE operations in
the same order: no fused operations, no powers, sums in a fixed order, floats made explicit before a division.
Buffers (`ring`) are lists in the incremental form and arrays in the column form.
"""

from __future__ import annotations

import math
from typing import Protocol

RSI_NEUTRAL = 50.0
"""RSI of a market that did not move at all; the ratio of gains to losses is undefined there."""


class Values(Protocol):
    """A list of floats or a float64 array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> float: ...


class Ring(Values, Protocol):
    """A list or array that is written in place."""

    def __setitem__(self, index: int, value: float, /) -> None: ...


def simple_return_step(previous: float, value: float) -> float:
    """Return value / previous - 1."""
    return value / previous - 1.0


def log_return_step(previous: float, value: float) -> float:
    """Return ln(value / previous)."""
    return math.log(value / previous)


def ema_step(average: float, value: float, alpha: float) -> float:
    """Move an exponential average by the share `alpha` towards `value`."""
    return average + alpha * (value - average)


def seeded_average_step(count: int, average: float, value: float, length: int, alpha: float) -> float:
    """Return the average after `value`: the plain mean of the first `length` values, then exponential.

    Args:
        count: Values seen before this one.
        average: Their average.
        value: The new one.
        length: Values that seed the average.
        alpha: 1 / length is Wilder's smoothing, 2 / (length + 1) the usual exponential one.
    """
    if count < length:
        return average + (value - average) / float(count + 1)
    return ema_step(average, value, alpha)


def true_range(high: float, low: float, previous_close: float) -> float:
    """Return the largest of high - low, |high - previous close|, |low - previous close|."""
    widest = high - low
    up = abs(high - previous_close)
    if up > widest:
        widest = up
    down = abs(low - previous_close)
    if down > widest:
        widest = down
    return widest


def rsi_value(average_gain: float, average_loss: float) -> float:
    """Return 100 x gain / (gain + loss), 50 when both are zero."""
    total = average_gain + average_loss
    if total == 0.0:
        return RSI_NEUTRAL
    return 100.0 * average_gain / total


def microprice_step(bid: float, bid_qty: float, ask: float, ask_qty: float) -> float:
    """Return the mid weighted by the opposite quantities; the plain mid when both are zero."""
    total = bid_qty + ask_qty
    if total == 0.0:
        return (bid + ask) / 2.0
    return (bid * ask_qty + ask * bid_qty) / total


def imbalance_step(bid_total: float, ask_total: float) -> float:
    """Return (bids - asks) / (bids + asks), in [-1, 1]; 0 for an empty book."""
    total = bid_total + ask_total
    if total == 0.0:
        return 0.0
    return (bid_total - ask_total) / total


def total_of(quantities: Values, levels: int) -> float:
    """Return the sum of the first `levels` quantities, best first."""
    total = 0.0
    for index in range(min(levels, len(quantities))):
        total += float(quantities[index])
    return total


def ofi_step(previous_bid_qty: float, bid_qty: float, previous_ask_qty: float, ask_qty: float) -> float:
    """Return max(0, growth of the bid quantity) - max(0, growth of the ask quantity)."""
    bid_growth = bid_qty - previous_bid_qty
    ask_growth = ask_qty - previous_ask_qty
    if bid_growth < 0.0:
        bid_growth = 0.0
    if ask_growth < 0.0:
        ask_growth = 0.0
    return bid_growth - ask_growth


def highest(ring: Values, count: int) -> float:
    """Return the largest of the first `count` elements."""
    best = ring[0]
    for index in range(1, count):
        if ring[index] > best:
            best = ring[index]
    return best


def lowest(ring: Values, count: int) -> float:
    """Return the smallest of the first `count` elements."""
    best = ring[0]
    for index in range(1, count):
        if ring[index] < best:
            best = ring[index]
    return best


def rolling_step(
    ring: Ring, index: int, count: int, mean: float, spread: float, value: float
) -> tuple[int, int, float, float]:
    """Put `value` into a full or filling window and return (next index, count, mean, spread).

    `spread` is the sum of squared distances from the mean. The update is Welford's, for a window with replacement.
    It is computed afresh each time the ring wraps, so rounding never accumulates over more than one window.
    """
    size = len(ring)
    if count < size:
        ring[index] = value
        count += 1
        delta = value - mean
        mean += delta / float(count)
        spread += delta * (value - mean)
    else:
        oldest = ring[index]
        ring[index] = value
        old_mean = mean
        mean += (value - oldest) / float(size)
        spread += (value - oldest) * (value - mean + oldest - old_mean)
    index += 1
    if index == size:
        index = 0
        total = 0.0
        for position in range(size):
            total += ring[position]
        mean = total / float(size)
        spread = 0.0
        for position in range(size):
            distance = ring[position] - mean
            spread += distance * distance
    if spread < 0.0:
        spread = 0.0
    return index, count, mean, spread


def deviation(spread: float, count: int) -> float:
    """Return the sample standard deviation; 0 for fewer than two values."""
    if count < 2:
        return 0.0
    return math.sqrt(spread / float(count - 1))


def z_score(value: float, mean: float, standard_deviation: float) -> float:
    """Return how many standard deviations `value` lies above the mean; 0 when nothing varies."""
    if standard_deviation == 0.0:
        return 0.0
    return (value - mean) / standard_deviation
