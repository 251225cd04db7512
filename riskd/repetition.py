"""What was approved before, for the checks that compare an entry with those before it. Folded from decisions, so it
survives a restart.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from tradebot.core.orders import Side

MAX_RECENT: Final = 10_000
"""Entries remembered for RAT-07; at a rate of 100 a second that is 100 s."""
SIZES: Final = 100
"""Entries whose median SIZ-05 takes."""
MAX_SIZE_LOGS: Final = 2_000
"""(strategy, instrument) pairs with one; the one used longest ago is forgotten, and counts anew."""

Entry = tuple[str, str, Side, int, int]
"""Strategy, instrument, side, quantity, price."""


class SizeLog:
    """The latest quantities of one strategy in one instrument, in order of time and of size."""

    __slots__ = ("_by_size", "_by_time")

    def __init__(self) -> None:
        self._by_time: deque[int] = deque()
        self._by_size: list[int] = []

    def add(self, qty: int) -> None:
        """Take a quantity, and forget the oldest beyond SIZES."""
        if len(self._by_time) == SIZES:
            del self._by_size[bisect_left(self._by_size, self._by_time.popleft())]
        self._by_time.append(qty)
        insort(self._by_size, qty)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._by_time)

    @property
    def median(self) -> int:
        """The lower median; 0 without any."""
        return self._by_size[(len(self._by_size) - 1) // 2] if self._by_size else 0

    def quantities(self) -> tuple[int, ...]:
        """Return them, oldest first."""
        return tuple(self._by_time)


class Repetition:
    """Approved entries."""

    def __init__(self) -> None:
        self.recent: dict[Entry, int] = {}
        """Entry -> when it was last approved, oldest first."""
        self.sizes: dict[tuple[str, str], SizeLog] = {}
        """By (strategy, instrument), used longest ago first."""

    def entered(self, entry: Entry, time_ns: int) -> None:
        """Take an approved entry."""
        self.recent.pop(entry, None)
        self.recent[entry] = time_ns
        if len(self.recent) > MAX_RECENT:
            del self.recent[next(iter(self.recent))]
        key = entry[:2]
        log = self.sizes.pop(key, None) or SizeLog()
        self.sizes[key] = log
        log.add(entry[3])
        if len(self.sizes) > MAX_SIZE_LOGS:
            del self.sizes[next(iter(self.sizes))]

    def digest(self) -> list[object]:
        """Return everything folded."""
        return [
            [(*key[:2], key[2].name, *key[3:], at) for key, at in self.recent.items()],
            [(key, log.quantities()) for key, log in self.sizes.items()],
        ]
