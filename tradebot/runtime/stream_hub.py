"""Lossless, resumable streams: one log, any number of readers, each with nothing but a position.

The publisher never waits: a reader whose position has fallen out of the log is told so (SlowReaderError) and must
reconnect. Between items a reader gets an empty batch every `idle_s`, which its handler sends as a heartbeat with the
last sequence number. A listener is told every item in the turn that publishes it, without a task of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from tradebot.core.errors import TransientError
from tradebot.runtime.sequenced_log import ItemT, SequencedLog
from tradebot.runtime.wakeup import Wakeup

MAX_BATCH_ITEMS = 1_024
MAX_SUBSCRIBERS = 64
HEARTBEAT_S = 1.0


class SlowReaderError(TransientError):
    """This reader is too slow: what it needs next is no longer kept. Handlers answer RESOURCE_EXHAUSTED with this
    text.
    """


class TooManySubscribersError(TransientError):
    """MAX_SUBSCRIBERS are connected. Handlers answer RESOURCE_EXHAUSTED with this text."""


@dataclass(slots=True)
class StreamBatch(Generic[ItemT]):
    """What was waiting; `items[i]` has sequence `first_sequence + i`. Empty: a heartbeat is due."""

    first_sequence: int
    items: list[ItemT]


class StreamHub(Generic[ItemT]):
    """One stream of this daemon. All methods belong to the loop's thread."""

    def __init__(self, log: SequencedLog[ItemT]) -> None:
        self.log = log
        self._subscriptions: set[StreamSubscription[ItemT]] = set()
        self._listeners: dict[Callable[[ItemT], None], Callable[[], None]] = {}
        """What is told of an item, and of the end."""
        self._closed = False

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions) + len(self._listeners)

    def publish(self, item: ItemT) -> int:
        """Append one item, tell the listeners, wake the readers that wait, return its sequence number."""
        sequence = self.log.append(item)
        for take in self._listeners:
            take(item)
        for subscription in self._subscriptions:
            subscription.wakeup.wake()
        return sequence

    def subscribe(self, incarnation: str = "", resume_after: int = 0) -> StreamSubscription[ItemT]:
        """Start reading after `resume_after` if it can be resumed, else after the newest item.

        `resumed` of the result tells which. When it is False, the caller takes its snapshot now, in the same step of
        the loop, so that the snapshot and the position belong together.

        Raises:
            TooManySubscribersError: At MAX_SUBSCRIBERS.
        """
        self._make_room()
        resumed = incarnation == self.log.incarnation and self.log.holds_after(resume_after)
        subscription = StreamSubscription(self, resume_after if resumed else self.log.last_sequence, resumed)
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.close()
        return subscription

    @contextmanager
    def listen(self, take: Callable[[ItemT], None], ended: Callable[[], None]) -> Iterator[None]:
        """Tell `take` every item from now on, until the block is left.

        Args:
            take: Called by `publish`; must neither wait nor raise nor change who listens.
            ended: Called when the hub closes.

        Raises:
            TooManySubscribersError: At MAX_SUBSCRIBERS.
        """
        self._make_room()
        self._listeners[take] = ended
        if self._closed:
            ended()
        try:
            yield
        finally:
            del self._listeners[take]

    def _make_room(self) -> None:
        if self.subscribers >= MAX_SUBSCRIBERS:
            raise TooManySubscribersError(f"{MAX_SUBSCRIBERS} subscribers are connected already")

    def close(self) -> None:
        """End every subscription: readers get what is left and then stop."""
        self._closed = True
        for ended in list(self._listeners.values()):
            ended()
        for subscription in list(self._subscriptions):
            subscription.close()

    def discard(self, subscription: StreamSubscription[ItemT]) -> None:
        """Forget a reader; `StreamSubscription.close` calls this."""
        self._subscriptions.discard(subscription)


class StreamSubscription(Generic[ItemT]):
    """One reader. Use as a context manager so that it is always forgotten at the end."""

    def __init__(self, hub: StreamHub[ItemT], position: int, resumed: bool) -> None:
        self._hub = hub
        self.position = position
        """Sequence number of the last item handed out."""
        self.resumed = resumed
        self.wakeup = Wakeup()
        self._closed = False

    async def next_batch(self, idle_s: float | None = HEARTBEAT_S) -> StreamBatch[ItemT] | None:
        """Return everything waiting, up to MAX_BATCH_ITEMS; an empty batch after `idle_s` without items; None at the
        end.

        Raises:
            SlowReaderError: If the next item is no longer kept.
        """
        log = self._hub.log
        if self.position == log.last_sequence:
            if not self._closed:
                await self.wakeup.wait(idle_s)
            if self.closed and self.position == log.last_sequence:
                return None
        if not log.holds_after(self.position):
            raise SlowReaderError(
                f"slow reader: wanted sequence {self.position + 1}, oldest kept is {log.first_sequence}; resubscribe"
            )
        items = log.after(self.position, MAX_BATCH_ITEMS)
        batch = StreamBatch(self.position + 1, items)
        self.position += len(items)
        return batch

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._hub.discard(self)
        self.wakeup.wake()

    def __enter__(self) -> StreamSubscription[ItemT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
