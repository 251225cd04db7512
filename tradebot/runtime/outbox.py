"""The writing half of a bidirectional stream: put never waits, one task writes, everything pending goes in one message.

Reader tasks put and go on reading, so two daemons that are both busy writing can never block each other. A full outbox
means that the peer has stopped reading: the stream is broken off instead of growing without end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Generic

from tradebot.core.errors import TransientError
from tradebot.runtime.sequenced_log import ItemT
from tradebot.runtime.wakeup import Wakeup

MAX_PENDING_ITEMS = 65_536
MAX_BATCH_ITEMS = 256
"""Measured knee: larger messages gain little and make the first item in them wait for the last."""


class OutboxFullError(TransientError):
    """The peer does not read. End the stream; the session protocol says what the peer missed."""


class Outbox(Generic[ItemT]):
    """Items waiting to be written. All methods belong to the loop's thread."""

    def __init__(self, max_pending: int = MAX_PENDING_ITEMS, max_batch: int = MAX_BATCH_ITEMS) -> None:
        self._items: deque[ItemT] = deque()
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._wakeup = Wakeup()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, item: ItemT) -> None:
        """Queue one item.

        Raises:
            OutboxFullError: At `max_pending`; nothing was queued.
        """
        if len(self._items) >= self._max_pending:
            raise OutboxFullError(f"outbox full: {self._max_pending} items wait for a peer that does not read")
        self._items.append(item)
        self._wakeup.wake()

    def put_all(self, items: Iterable[ItemT]) -> None:
        """Queue several items in order."""
        for item in items:
            self.put(item)

    def close(self) -> None:
        """No more items: the batches end after what is pending."""
        self._closed = True
        self._wakeup.wake()

    async def next_batch(self, idle_s: float | None = None) -> list[ItemT] | None:
        """Return everything pending, up to `max_batch`; an empty list after `idle_s` without items; None at the end."""
        items = self._items
        if not items:
            if not self._closed:
                await self._wakeup.wait(idle_s)
            if not items and self.closed:
                return None
        if len(items) <= self._max_batch:
            batch = list(items)
            items.clear()
            return batch
        return [items.popleft() for _ in range(self._max_batch)]

    async def batches(self, idle_s: float | None = None) -> AsyncIterator[list[ItemT]]:
        """Iterate over `next_batch` until closed."""
        while (batch := await self.next_batch(idle_s)) is not None:
            yield batch
