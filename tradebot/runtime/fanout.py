"""Market data to many readers: events are encoded once per filter, the bytes are shared, slow readers are conflated or
cut off.

There is no timer: events wait only while every reader of the group is busy writing, and then go out together. A reader
that lags more than MAX_LAG_BATCHES either loses superseded events (`conflate` decides which) or, when lossless, is
disconnected with a reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from tradebot.runtime.stream_hub import HEARTBEAT_S, MAX_SUBSCRIBERS, SlowReaderError, TooManySubscribersError
from tradebot.runtime.wakeup import Wakeup

FilterT = TypeVar("FilterT", bound=Hashable)
EventT = TypeVar("EventT")

MAX_BATCH_EVENTS = 1_024
"""A batch is closed at this size even when no reader is free."""
MAX_LAG_BATCHES = 64
MAX_LOSSLESS_LAG_BATCHES = 1_024


class _Batch(Generic[EventT]):
    __slots__ = ("encoded", "events")

    def __init__(self, events: list[EventT], encoded: bytes | None) -> None:
        self.events = events
        self.encoded = encoded


class Fanout(Generic[FilterT, EventT]):
    """All readers of one kind of stream. All methods belong to the loop's thread."""

    def __init__(
        self,
        encode: Callable[[FilterT, list[EventT]], bytes],
        accepts: Callable[[FilterT, EventT], bool],
        conflate: Callable[[list[EventT]], list[EventT]],
    ) -> None:
        """Set the three hooks, all pure.

        Args:
            encode: Events of one batch to the bytes of one message; runs when the first reader takes the batch.
            accepts: Whether an event passes a filter.
            conflate: A slow reader's events, oldest first, to fewer: at most a fixed number per instrument, order kept.
        """
        self._encode = encode
        self._accepts = accepts
        self._conflate = conflate
        self._groups: dict[FilterT, _Group[FilterT, EventT]] = {}
        self._readers = 0

    @property
    def readers(self) -> int:
        return self._readers

    def publish(self, event: EventT) -> None:
        """Hand one event to every group whose filter accepts it."""
        for group in self._groups.values():
            if self._accepts(group.filter, event):
                group.add(event)

    def subscribe(self, filter_: FilterT, *, lossless: bool = False) -> FanoutReader[FilterT, EventT]:
        """Start reading with the next event. The caller takes its snapshot in the same step of the loop.

        Raises:
            TooManySubscribersError: At MAX_SUBSCRIBERS.
        """
        if self._readers >= MAX_SUBSCRIBERS:
            raise TooManySubscribersError(f"{MAX_SUBSCRIBERS} subscribers are connected already")
        group = self._groups.get(filter_)
        if group is None:
            group = self._groups[filter_] = _Group(filter_, self._encode, self._conflate)
        group.seal()  # what is pending happened before this reader's snapshot
        reader = FanoutReader(self, group, lossless)
        group.readers.append(reader)
        self._readers += 1
        return reader

    def close(self) -> None:
        """End every reader."""
        for group in list(self._groups.values()):
            for reader in list(group.readers):
                reader.close()

    def discard(self, reader: FanoutReader[FilterT, EventT], group: _Group[FilterT, EventT]) -> None:
        """Forget a reader; `FanoutReader.close` calls this."""
        if reader in group.readers:
            group.readers.remove(reader)
            self._readers -= 1
            if not group.readers:
                del self._groups[group.filter]


class _Group(Generic[FilterT, EventT]):
    """Readers with the same filter; they share batches and bytes."""

    def __init__(
        self,
        filter_: FilterT,
        encode: Callable[[FilterT, list[EventT]], bytes],
        conflate: Callable[[list[EventT]], list[EventT]],
    ) -> None:
        self.filter = filter_
        self.readers: list[FanoutReader[FilterT, EventT]] = []
        self._pending: list[EventT] = []
        self._encode = encode
        self._conflate = conflate

    def add(self, event: EventT) -> None:
        self._pending.append(event)
        if len(self._pending) >= MAX_BATCH_EVENTS:
            self.seal()
        for reader in self.readers:
            reader.wakeup.wake()

    def seal(self) -> None:
        """Close the pending batch and queue it for every reader."""
        if not self._pending:
            return
        batch = _Batch(self._pending, None)
        self._pending = []
        for reader in self.readers:
            reader.offer(batch, self._conflate)

    def bytes_of(self, batch: _Batch[EventT]) -> bytes:
        if batch.encoded is None:
            batch.encoded = self._encode(self.filter, batch.events)
        return batch.encoded


class FanoutReader(Generic[FilterT, EventT]):
    """One reader. Use as a context manager so that it is always forgotten at the end."""

    def __init__(self, fanout: Fanout[FilterT, EventT], group: _Group[FilterT, EventT], lossless: bool) -> None:
        self._fanout = fanout
        self._group = group
        self._lossless = lossless
        self._queue: deque[_Batch[EventT]] = deque()
        self.wakeup = Wakeup()
        self.conflated_events = 0
        """Events left out for this reader so far."""
        self._too_slow = False
        self._closed = False

    async def next_message(self, idle_s: float | None = HEARTBEAT_S) -> bytes | None:
        """Return the bytes of the next message; b"" after `idle_s` without events; None at the end.

        Raises:
            SlowReaderError: If this lossless reader has lagged too far.
        """
        self._group.seal()
        if not self._queue and not self._closed and not self._too_slow:
            await self.wakeup.wait(idle_s)
            self._group.seal()
        if self._too_slow:
            raise SlowReaderError(f"slow reader: {MAX_LOSSLESS_LAG_BATCHES} batches behind; resubscribe")
        if self._closed:
            return None
        return self._group.bytes_of(self._queue.popleft()) if self._queue else b""

    def offer(self, batch: _Batch[EventT], conflate: Callable[[list[EventT]], list[EventT]]) -> None:
        """Queue a batch; the group calls this."""
        queue = self._queue
        queue.append(batch)
        if self._lossless:
            if len(queue) > MAX_LOSSLESS_LAG_BATCHES:
                queue.clear()
                self._too_slow = True
        elif len(queue) > MAX_LAG_BATCHES:
            events = [event for waiting in queue for event in waiting.events]
            kept = conflate(events)
            self.conflated_events += len(events) - len(kept)
            queue.clear()
            queue.append(_Batch(kept, None))

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._fanout.discard(self, self._group)
        self.wakeup.wake()

    def __enter__(self) -> FanoutReader[FilterT, EventT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
