"""Time for the shells. Pure cores are told `now_ns`; only this module reads a clock.

`now_ns` is wall time at process start plus monotonic time elapsed since, so it never steps: an NTP jump can neither
expire an approval nor revive one. Wall time proper reaches a core only as a ClockSample event built from
`ClockReading`.
"""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class ClockReading(NamedTuple):
    """One look at both clocks, UTC nanoseconds. `wall_ns - now_ns` is how far the wall clock stepped or drifted since
    start.
    """

    now_ns: int
    wall_ns: int


class Clock(Protocol):
    """What a shell needs from a clock."""

    def now_ns(self) -> int:
        """Return UTC nanoseconds that never step backwards or jump."""
        ...

    def read(self) -> ClockReading:
        """Return the steady and the wall clock together."""
        ...


class SystemClock:
    """The clock of a running process."""

    __slots__ = ("_offset_ns",)

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return self._offset_ns + time.monotonic_ns()

    def read(self) -> ClockReading:
        return ClockReading(self._offset_ns + time.monotonic_ns(), time.time_ns())


class ManualClock:
    """A clock that moves when told to; for tests and the backtest's virtual time."""

    __slots__ = ("_now_ns", "_wall_error_ns")

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._wall_error_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def read(self) -> ClockReading:
        return ClockReading(self._now_ns, self._now_ns + self._wall_error_ns)

    def advance(self, delta_ns: int) -> int:
        """Move on by `delta_ns` >= 0 and return the new time."""
        if delta_ns < 0:
            raise ValueError(f"a clock never goes back: {delta_ns} ns")
        self._now_ns += delta_ns
        return self._now_ns

    def set(self, now_ns: int) -> None:
        """Jump forward to `now_ns`."""
        self.advance(now_ns - self._now_ns)

    def step_wall(self, error_ns: int) -> None:
        """Make the wall clock wrong by `error_ns`; the steady clock stays as it is."""
        self._wall_error_ns = error_ns
