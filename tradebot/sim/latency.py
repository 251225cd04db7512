"""Latency: things happen when they arrive, not when they were sent.

`DelayLine` keeps items until their arrival time in a total order (time, then order of sending). A simulation holds one
line per direction: requests on their way to the venue, events on their way back.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tradebot.core.errors import InvariantError

MAX_IN_FLIGHT: Final = 1_000_000
"""More items than this on one line means that nobody drains it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latency:
    """Fixed one-way delays of a simulated venue link."""

    order_ns: int = 0
    """From our send to the matching engine."""
    response_ns: int = 0
    """From the matching engine to us."""


class DelayLine(Generic[T]):
    """Items ordered by arrival time. Equal times keep the order of sending."""

    __slots__ = ("_heap", "_sent")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        self._sent = 0

    def __len__(self) -> int:
        return len(self._heap)

    def send(self, arrival_ns: int, item: T) -> None:
        """Put an item on the line."""
        if len(self._heap) >= MAX_IN_FLIGHT:
            raise InvariantError(f"delay line holds {MAX_IN_FLIGHT} items: nobody takes them off")
        heapq.heappush(self._heap, (arrival_ns, self._sent, item))
        self._sent += 1

    def next_arrival_ns(self) -> int | None:
        """Return when the next item arrives, None when the line is empty."""
        return self._heap[0][0] if self._heap else None

    def arrived(self, now_ns: int) -> list[tuple[int, T]]:
        """Take off everything that has arrived by `now_ns`, as (arrival_ns, item) in order."""
        items: list[tuple[int, T]] = []
        while self._heap and self._heap[0][0] <= now_ns:
            arrival_ns, _, item = heapq.heappop(self._heap)
            items.append((arrival_ns, item))
        return items
