"""When something is due, by key: a heap whose outdated entries are skipped, so a change costs O(log n)."""

from __future__ import annotations

import heapq
from typing import Final

SLACK: Final = 64
"""The heap may hold this many entries more than twice the keys before it is built again."""


class Deadlines:
    """One due time per key."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def set(self, key: str, due_ns: int | None) -> None:
        """A key is due then; None = never."""
        if due_ns is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due_ns:
            self._due[key] = due_ns
            heapq.heappush(self._heap, (due_ns, key))
            if len(self._heap) > 2 * len(self._due) + SLACK:
                self._heap = [(at_ns, name) for name, at_ns in self._due.items()]
                heapq.heapify(self._heap)

    def next_ns(self) -> int | None:
        """Return the earliest due time."""
        heap, due = self._heap, self._due
        while heap:
            due_ns, key = heap[0]
            if due.get(key) == due_ns:
                return due_ns
            heapq.heappop(heap)
        return None

    def take(self, now_ns: int) -> list[str]:
        """Return and forget the keys that are due."""
        taken = []
        while (due_ns := self.next_ns()) is not None and due_ns <= now_ns:
            key = heapq.heappop(self._heap)[1]
            del self._due[key]
            taken.append(key)
        return taken
