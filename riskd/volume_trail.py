"""How much was traded in an instrument within the last minute. Volatile like the marks it comes from.

A lower bound: riskd reads a paced stream, of which a reader that fell behind gets the latest trades alone; what was
traded before riskd began to watch, or since the last sample, does not count either.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from riskd.price_trail import MINUTE_NS, STALE_NS, STEP_NS

MAX_SAMPLES: Final = 62
"""Of a minute, one a second, both ends."""


class VolumeTrail:
    """One instrument, sampled once a second. Quantities in units, added up since riskd began to watch."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()

    def add(self, traded: int, now_ns: int) -> None:
        """Take the total of now; twice within a second says nothing new. A clock that was set back begins anew."""
        samples = self._samples
        if samples and now_ns < samples[-1][0]:
            samples.clear()
        elif samples and now_ns - samples[-1][0] < STEP_NS:
            return
        samples.append((now_ns, traded))
        while samples[0][0] < now_ns - MINUTE_NS or len(samples) > MAX_SAMPLES:
            samples.popleft()

    def is_fresh(self, now_ns: int) -> bool:
        """Return whether the latest sample is young."""
        return bool(self._samples) and 0 <= now_ns - self._samples[-1][0] <= STALE_NS

    def minute(self) -> int:
        """Return what was traded in the minute before the latest sample, at least."""
        return self._samples[-1][1] - self._samples[0][1] if self._samples else 0
