"""Budgets in a sliding window, and growing waits: how often we may ask, connect or speak. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from tradebot.core.errors import InvariantError

MAX_ENTRIES: Final = 16_384
"""Requests remembered per window."""


class RateBudget:
    """At most `limit` units in any window of `window_ns`. What the venue counts itself overrides what we count."""

    def __init__(self, limit: float, window_ns: int) -> None:
        if limit <= 0 or window_ns <= 0:
            raise InvariantError(f"budget of {limit} per {window_ns} ns")
        self._limit = limit
        self._window_ns = window_ns
        self._spent: deque[tuple[int, float]] = deque()
        self._used = 0.0
        self._blocked_until_ns = 0

    def wait_ns(self, units: float, now_ns: int) -> int:
        """Return how long to wait before spending, 0 = now."""
        self._expire(now_ns)
        blocked = max(0, self._blocked_until_ns - now_ns)
        if self._used + units <= self._limit or not self._spent:
            return blocked
        free = self._used + units - self._limit
        for spent_ns, spent in self._spent:
            free -= spent
            if free <= 0:
                return max(blocked, spent_ns + self._window_ns - now_ns)
        return max(blocked, self._window_ns)

    def spend(self, units: float, now_ns: int) -> None:
        """Note that units were used now."""
        self._expire(now_ns)
        if len(self._spent) >= MAX_ENTRIES:
            _, oldest = self._spent.popleft()
            self._used -= oldest
        self._spent.append((now_ns, units))
        self._used += units

    def observe(self, used: float, now_ns: int) -> None:
        """Take over the venue's own count of the window when it is higher: others use the same address."""
        self._expire(now_ns)
        if used > self._used:
            self.spend(used - self._used, now_ns)

    def block(self, duration_ns: int, now_ns: int) -> None:
        """Spend nothing for so long."""
        self._blocked_until_ns = max(self._blocked_until_ns, now_ns + duration_ns)

    def _expire(self, now_ns: int) -> None:
        horizon = now_ns - self._window_ns
        while self._spent and self._spent[0][0] <= horizon:
            _, units = self._spent.popleft()
            self._used -= units
        if not self._spent:
            self._used = 0.0


class Backoff:
    """Exponential waits with full jitter between `least_ns` and `most_ns`."""

    def __init__(self, least_ns: int, most_ns: int) -> None:
        self._least_ns = least_ns
        self._most_ns = most_ns
        self._ceiling_ns = least_ns

    def next_wait_ns(self, chance: float) -> int:
        """Return the next wait.

        Args:
            chance: Uniform in [0, 1): decides where between the shortest and the present ceiling.
        """
        wait_ns = self._least_ns + int(chance * (self._ceiling_ns - self._least_ns))
        self._ceiling_ns = min(self._ceiling_ns * 2, self._most_ns)
        return wait_ns

    def reset(self) -> None:
        """Start again with the shortest wait."""
        self._ceiling_ns = self._least_ns
