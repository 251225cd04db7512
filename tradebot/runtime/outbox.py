"""The writing half of a bidirectional stream: put never waits, everything pending goes in one message. One task writes,
or, over a link that can, `put` itself: that saves the message a turn of the loop.

Reader tasks put and go on reading, so two daemons that are both busy writing can never block each other. A full outbox
means that the peer has stopped reading: the stream is broken off instead of growing without end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Generic

from tradebot.core.errors import TransientError
from tradebot.runtime.sequenced_log import ItemT
from tradebot.runtime.wakeup import Wakeup

MAX_PENDING_ITEMS = 65_536
LINGER_S = 0.005
"""Longest time an item that is not urgent waits before it is written by itself."""
MAX_BATCH_ITEMS = 256
"""Measured knee: larger messages gain little and make the first item in them wait for the last."""


class OutboxFullError(TransientError):
    """The peer does not read. End the stream; the session protocol says what the peer missed."""


class Outbox(Generic[ItemT]):
    """Items waiting to be written. All methods belong to the loop's thread."""

    def __init__(self, max_pending: int = MAX_PENDING_ITEMS, max_batch: int = MAX_BATCH_ITEMS) -> None:
        self._items: deque[ItemT] = deque()
        self._loop = asyncio.get_running_loop()
        self._linger: asyncio.TimerHandle | None = None
        self._urgent = False
        self._taken = False
        """A batch is with the writing task, which may not have written it yet: nothing may overtake it."""
        self._write_now: Callable[[list[ItemT]], bool] | None = None
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._wakeup = Wakeup()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        return self._closed

    def write_through(self, call: Any, encode: Callable[[list[ItemT]], Any]) -> None:
        """Let urgent items leave at once where the call can do that; the writing task takes what it does not.

        Args:
            call: A running call or a handler's context.
            encode: Makes one message of several items.
        """
        write_now = getattr(call, "write_now", None)  # grpc.aio's calls have none
        if write_now is not None:
            self._write_now = lambda items: write_now(encode(items))

    def put(self, item: ItemT, *, urgent: bool = True) -> None:
        """Queue one item.

        Args:
            item: What to write.
            urgent: False lets it wait up to LINGER_S for company: a message costs 50 us on each side, an item 1 us.

        Raises:
            OutboxFullError: At `max_pending`; nothing was queued.
        """
        if len(self._items) >= self._max_pending:
            raise OutboxFullError(f"outbox full: {self._max_pending} items wait for a peer that does not read")
        self._items.append(item)
        if urgent:
            self._hurry()
        elif self._linger is None:
            self._linger = self._loop.call_later(LINGER_S, self._lingered)

    def _lingered(self) -> None:
        self._linger = None
        if self._items:
            self._hurry()

    def _hurry(self) -> None:
        items, write_now = self._items, self._write_now
        if write_now is not None and not self._taken and len(items) <= self._max_batch and write_now(list(items)):
            items.clear()
            return
        self._urgent = True
        self._wakeup.wake()

    def put_all(self, items: Iterable[ItemT]) -> None:
        """Queue several items in order."""
        for item in items:
            if len(self._items) >= self._max_pending:
                raise OutboxFullError(f"outbox full: {self._max_pending} items wait for a peer that does not read")
            self._items.append(item)
        if self._items:
            self._hurry()

    def close(self) -> None:
        """No more items: the batches end after what is pending."""
        self._closed = True
        self._wakeup.wake()

    async def next_batch(self, idle_s: float | None = None) -> list[ItemT] | None:
        """Return everything pending, up to `max_batch`; an empty list after `idle_s` without items; None at the end.

        Asking for the next one says that the last one was written.
        """
        items = self._items
        self._taken = False
        if not self._urgent:
            if not self._closed:
                await self._wakeup.wait(idle_s)
            if not items and self.closed:
                return None
        self._urgent = len(items) > self._max_batch
        self._taken = bool(items)
        if len(items) <= self._max_batch:
            batch = list(items)
            items.clear()
            return batch
        return [items.popleft() for _ in range(self._max_batch)]

    async def batches(self, idle_s: float | None = None) -> AsyncIterator[list[ItemT]]:
        """Iterate over `next_batch` until closed."""
        while (batch := await self.next_batch(idle_s)) is not None:
            yield batch
