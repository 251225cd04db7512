"""The memory behind a resumable stream: contiguous sequence numbers from 1 per incarnation, the newest items kept.
Pure.

A subscriber that comes back within the kept range continues where it was; any other one takes a snapshot.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from tradebot.core.errors import InvariantError

ItemT = TypeVar("ItemT")


class SequencedLog(Generic[ItemT]):
    """A ring of the last `capacity` items. Items are shared between readers: never change one after appending."""

    def __init__(self, incarnation: str, capacity: int, last_sequence: int = 0) -> None:
        """Start empty.

        Args:
            incarnation: Id of this life of the stream; a durable stream keeps it over restarts.
            capacity: Items kept, > 0.
            last_sequence: Sequence number of the item before the first one that will be appended.
        """
        if capacity <= 0 or last_sequence < 0:
            raise InvariantError(f"sequenced log with capacity {capacity} after sequence {last_sequence}")
        self.incarnation = incarnation
        self._capacity = capacity
        self._items: list[ItemT] = []
        self._base = last_sequence + 1
        """Sequence number of ring slot 0 in the first round."""
        self._last = last_sequence

    @property
    def last_sequence(self) -> int:
        """Sequence number of the newest item."""
        return self._last

    @property
    def first_sequence(self) -> int:
        """Sequence number of the oldest item kept; one above `last_sequence` when nothing is."""
        return self._last - len(self._items) + 1

    def append(self, item: ItemT) -> int:
        """Add one item and return its sequence number."""
        self._last += 1
        if len(self._items) < self._capacity:
            self._items.append(item)
        else:
            self._items[(self._last - self._base) % self._capacity] = item
        return self._last

    def holds_after(self, sequence: int) -> bool:
        """Return whether everything after `sequence` is still here; False also for a point that was never reached."""
        return self.first_sequence - 1 <= sequence <= self._last

    def after(self, sequence: int, limit: int) -> list[ItemT]:
        """Return up to `limit` items after `sequence`, oldest first.

        Raises:
            InvariantError: If that point is gone; ask `holds_after` first.
        """
        if not self.holds_after(sequence):
            raise InvariantError(f"sequence {sequence} is outside {self.first_sequence - 1}..{self._last}")
        count = min(limit, self._last - sequence)
        start = (sequence + 1 - self._base) % self._capacity
        head = self._items[start : start + count]
        return head if len(head) == count else head + self._items[: count - len(head)]
