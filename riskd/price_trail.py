"""Where the mid of an instrument was in the last minutes, one sample a second: what a jump and a drift are measured
against. Volatile like the marks it comes from.
"""

from __future__ import annotations

from collections import deque
from typing import Final

STEP_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * STEP_NS
TRAIL_NS: Final = 5 * MINUTE_NS
STALE_NS: Final = 5 * STEP_NS
"""A trail whose latest sample is older says nothing about now."""
MAX_SAMPLES: Final = 302
"""Of five minutes, one a second, both ends."""


class PriceTrail:
    """One instrument. Prices in units."""

    __slots__ = ("_minute", "_samples", "_sum")

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()
        self._minute: deque[tuple[int, int]] = deque()
        """Those of the last minute, and the latest one before it."""
        self._sum = 0

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self._samples)

    def add(self, mid: int, now_ns: int) -> None:
        """Take the mid of now; twice within a second says nothing new. A clock that was set back begins anew."""
        samples, minute = self._samples, self._minute
        if samples and now_ns < samples[-1][0]:
            samples.clear()
            minute.clear()
            self._sum = 0
        elif samples and now_ns - samples[-1][0] < STEP_NS:
            return
        samples.append((now_ns, mid))
        minute.append((now_ns, mid))
        self._sum += mid
        while samples[0][0] < now_ns - TRAIL_NS or len(samples) > MAX_SAMPLES:
            self._sum -= samples.popleft()[1]
        while len(minute) > 1 and minute[1][0] <= now_ns - MINUTE_NS:
            minute.popleft()

    def is_fresh(self, now_ns: int) -> bool:
        """Return whether the latest sample is young."""
        return bool(self._samples) and 0 <= now_ns - self._samples[-1][0] <= STALE_NS

    def mean(self) -> int:
        """Return the mean of five minutes, rounded down; 0 without samples."""
        return self._sum // len(self._samples) if self._samples else 0

    def minute_ago(self) -> int:
        """Return the mid of a minute ago, or of as long ago as is known; 0 without samples."""
        return self._minute[0][1] if self._minute else 0
