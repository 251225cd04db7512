"""Latency figures over the newest samples: a ring of nanoseconds, sorted only when somebody asks."""

from __future__ import annotations

from typing import Final

SAMPLES: Final = 4_096


class LatencyRing:
    """The newest SAMPLES durations."""

    __slots__ = ("_next", "_ring", "count")

    def __init__(self) -> None:
        self._ring: list[int] = []
        self._next = 0
        self.count = 0
        """Samples ever taken."""

    def add(self, duration_ns: int) -> None:
        """Take one sample."""
        self.count += 1
        if len(self._ring) < SAMPLES:
            self._ring.append(duration_ns)
        else:
            self._ring[self._next] = duration_ns
            self._next = (self._next + 1) % SAMPLES

    def percentile_us(self, percent: float) -> int:
        """Return a percentile in whole microseconds, 0 without samples."""
        if not self._ring:
            return 0
        ordered = sorted(self._ring)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] // 1_000

    def since(self, count: int) -> list[int]:
        """Return the samples taken after the first `count`, oldest first, as far as they are kept."""
        new = min(self.count - count, len(self._ring))
        return (self._ring[self._next :] + self._ring[: self._next])[-new:] if new else []

    def __len__(self) -> int:
        return len(self._ring)
