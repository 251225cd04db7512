"""How often something happened lately: counts in buckets of time, O(log n) to ask, bounded in memory.

A bucket counts until its last instant has left the window, so a count is never too small; it is too large by at most
one bucket's width. Asking changes nothing: a fold of the same records gives the same counter.
"""

from __future__ import annotations

from bisect import bisect_left


class WindowCount:
    """One counter."""

    __slots__ = ("_before", "_buckets", "_kept_ns", "_total", "_width_ns")

    def __init__(self, width_ns: int, kept_ns: int) -> None:
        """Prepare.

        Args:
            width_ns: Of a bucket.
            kept_ns: Longest window that will be asked for; older buckets are forgotten.
        """
        self._width_ns = width_ns
        self._kept_ns = kept_ns
        self._buckets: list[int] = []
        """Numbers of the buckets that are not empty, ascending."""
        self._before: list[int] = []
        """What was counted before each of them."""
        self._total = 0

    def add(self, now_ns: int) -> None:
        """Count one; a clock that was set back counts into the latest bucket."""
        bucket = now_ns // self._width_ns
        if not self._buckets or bucket > self._buckets[-1]:
            old = self._first(now_ns, self._kept_ns)
            del self._buckets[:old], self._before[:old]
            self._buckets.append(bucket)
            self._before.append(self._total)
        self._total += 1

    def count(self, now_ns: int, window_ns: int) -> int:
        """Return how many there were within a window that ends now."""
        buckets = self._buckets
        oldest = (now_ns - window_ns) // self._width_ns
        if not buckets or buckets[-1] < oldest:
            return 0
        return self._total - self._before[0 if buckets[0] >= oldest else bisect_left(buckets, oldest)]

    def _first(self, now_ns: int, window_ns: int) -> int:
        return bisect_left(self._buckets, (now_ns - window_ns) // self._width_ns)

    def digest(self) -> tuple[object, ...]:
        """Return all of it."""
        return self._total, tuple(self._buckets), tuple(self._before)
