"""When market data would have been received: for data without receive times, or to ask what a slower line costs.

Constant, drawn from quantiles, or interpolated from measured latencies. Rows of one exchange time arrive together, and
no row overtakes another: one stream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from tradebot.core.columns import BOTH, Int64s, MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.latency import uniform
from tradebot.sim.kernels.memory import Words


@dataclass(frozen=True, slots=True)
class ConstantFeed:
    """Every row takes the same time."""

    latency_ns: int

    def __post_init__(self) -> None:
        """Raise InvariantError for a negative latency."""
        if self.latency_ns < 0:
            raise InvariantError(f"a feed latency is negative: {self.latency_ns}")


@dataclass(frozen=True, slots=True)
class SampledFeed:
    """Drawn independently for each moment."""

    quantiles_ns: tuple[int, ...]
    """At equal steps of probability, rising; at least two."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise InvariantError for what is no distribution."""
        quantiles = list(self.quantiles_ns)
        if len(quantiles) < 2 or quantiles[0] < 0 or quantiles != sorted(quantiles):
            raise InvariantError("feed latency quantiles must be two or more, >= 0 and rising")


@dataclass(frozen=True, slots=True)
class RecordedFeed:
    """Measured latencies, interpolated in time; before the first and after the last they stay constant."""

    exchange_ns: Int64s
    """When it was measured, rising; shape (n,), n >= 1."""
    latency_ns: Int64s

    def __post_init__(self) -> None:
        """Raise InvariantError, naming the row, for measurements that cannot be."""
        if not len(self.exchange_ns) == len(self.latency_ns) > 0:
            raise InvariantError("recorded feed latencies need columns of equal length, one row at least")
        bad = self.latency_ns < 0
        bad[1:] |= np.diff(self.exchange_ns) <= 0
        if bad.any():
            raise InvariantError(f"recorded feed latency row {int(np.argmax(bad))}: below zero or out of order")


FeedLatency = ConstantFeed | SampledFeed | RecordedFeed


@compiled
def draw(words: Words, quantiles: Words, moments: Words) -> None:
    """Fill `moments` with latencies."""
    for number in range(len(moments)):
        place = uniform(words) * (len(quantiles) - 1)
        below = int(place)
        moments[number] = quantiles[below] + int((place - below) * (quantiles[below + 1] - quantiles[below]))


def received(rows: MarketColumns, latency: FeedLatency) -> MarketColumns:
    """Return the same rows with other receive times.

    Raises:
        InvariantError: If a row is of one clock only: where streams overtake each other there is no one latency.
    """
    if (rows.flags & np.uint8(BOTH) != BOTH).any():
        row = int(np.argmax(rows.flags & np.uint8(BOTH) != BOTH))
        raise InvariantError(f"market data row {row}: it is of one clock only, so it has no feed latency")
    times = rows.exchange_time_ns
    match latency:
        case ConstantFeed():
            local = times + latency.latency_ns
        case SampledFeed():
            words = np.zeros(at.MARKET_WORDS, np.int64)
            words[at.RANDOM] = latency.seed
            starts = np.flatnonzero(np.diff(times, prepend=times[:1] - 1))
            moments = np.zeros(len(starts), np.int64)
            draw(cast(Words, words), cast(Words, np.array(latency.quantiles_ns, np.int64)), cast(Words, moments))
            local = times + np.repeat(moments, np.diff(starts, append=len(times)))
        case _:
            first = int(latency.exchange_ns[0])  # small numbers, so that floats are exact
            found = np.interp(times - first, latency.exchange_ns - first, latency.latency_ns)
            local = times + found.astype(np.int64)
    return replace(rows, local_time_ns=np.ascontiguousarray(np.maximum.accumulate(local)))
