"""Realized volatility per instrument from one-minute returns of the mid, exponentially weighted. Statistics: floats.

Volatile like the marks it comes from: a restart begins anew, and until it is warm nobody trusts it.
Source: the usual EWMA of squared returns (RiskMetrics, 1996), zero mean, scaled to a day by the square root of time.
"""

from __future__ import annotations

import math
from typing import Final

STEP_NS: Final = 60 * 1_000_000_000
MIN_PER_DAY: Final = 1440
MAX_GAP_STEPS: Final = 10
"""After a longer silence the next return is no minute's work: it starts the measurement anew."""


class Volatility:
    """One instrument."""

    __slots__ = ("_mid", "_sampled_ns", "samples", "variance")

    def __init__(self) -> None:
        self._mid = 0
        self._sampled_ns = 0
        self.samples = 0
        """Returns seen."""
        self.variance = 0.0
        """Of one minute."""

    def sample(self, mid: int, now_ns: int, half_life_min: int) -> None:
        """Take the mid of now, in units; called about once a minute."""
        elapsed = (now_ns - self._sampled_ns) / STEP_NS
        if self._mid and 0 < elapsed <= MAX_GAP_STEPS:
            square = (mid / self._mid - 1.0) ** 2 / elapsed
            # Until the half-life is full of samples their plain mean is the better estimate.
            weight = max(1.0 - 0.5 ** (1.0 / half_life_min), 1.0 / (self.samples + 1))
            self.variance += weight * (square - self.variance)
            self.samples += 1
        elif self._mid:
            self.samples, self.variance = 0, 0.0
        self._mid, self._sampled_ns = mid, now_ns

    def daily_ppm(self) -> int:
        """Return the volatility of a day in ppm, rounded up."""
        return math.ceil(math.sqrt(self.variance * MIN_PER_DAY) * 1e6)

    def minute_ppm(self) -> int:
        """Return the volatility of a minute in ppm, rounded down: a limit is never overstated."""
        return int(math.sqrt(self.variance) * 1e6)
