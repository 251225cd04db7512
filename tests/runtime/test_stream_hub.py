"""Lossless streams resume, tell slow readers, and beat while idle."""

from __future__ import annotations

import asyncio

import pytest

from tradebot.runtime.sequenced_log import SequencedLog
from tradebot.runtime.stream_hub import (
    MAX_BATCH_ITEMS,
    MAX_SUBSCRIBERS,
    SlowReaderError,
    StreamHub,
    StreamSubscription,
    TooManySubscribersError,
)


def make_hub(capacity: int = 8, published: str = "") -> StreamHub[str]:
    hub = StreamHub(SequencedLog[str]("life-1", capacity))
    for item in published:
        hub.publish(item)
    return hub


async def read(subscription: StreamSubscription[str]) -> tuple[int, str]:
    """Return (first sequence, items) of the next batch."""
    batch = await subscription.next_batch(idle_s=5)
    assert batch is not None
    return batch.first_sequence, "".join(batch.items)


async def test_a_new_reader_starts_after_its_snapshot() -> None:
    hub = make_hub(published="ab")
    with hub.subscribe() as subscription:
        hub.publish("c")

        assert not subscription.resumed
        assert await read(subscription) == (3, "c")


async def test_a_reader_resumes_where_it_was() -> None:
    hub = make_hub(published="abcd")
    with hub.subscribe("life-1", 2) as subscription:
        assert subscription.resumed
        assert await read(subscription) == (3, "cd")


@pytest.mark.parametrize(("incarnation", "resume_after"), [("life-0", 2), ("life-1", 1), ("life-1", 9), ("", 3)])
async def test_a_point_that_cannot_be_resumed_means_a_snapshot(incarnation: str, resume_after: int) -> None:
    hub = make_hub(capacity=2, published="abcd")
    with hub.subscribe(incarnation, resume_after) as subscription:
        assert not subscription.resumed
        assert subscription.position == 4


async def test_everything_published_while_waiting_comes_in_one_batch() -> None:
    hub = make_hub()
    with hub.subscribe() as subscription:
        waiting = asyncio.ensure_future(read(subscription))
        await asyncio.sleep(0)
        for item in "abc":
            hub.publish(item)

        assert await waiting == (1, "abc")


async def test_a_batch_is_bounded() -> None:
    hub = make_hub(capacity=MAX_BATCH_ITEMS * 2, published="x" * MAX_BATCH_ITEMS)
    with hub.subscribe("life-1", 0) as subscription:
        hub.publish("y")
        first = await read(subscription)
        second = await read(subscription)

    assert first == (1, "x" * MAX_BATCH_ITEMS)
    assert second == (MAX_BATCH_ITEMS + 1, "y")


async def test_an_idle_reader_gets_an_empty_batch_that_shows_the_position() -> None:
    hub = make_hub(published="ab")
    with hub.subscribe("life-1", 2) as subscription:
        batch = await subscription.next_batch(idle_s=0.01)

    assert batch is not None
    assert (batch.first_sequence, batch.items) == (3, [])


async def test_a_slow_reader_is_told_and_the_others_are_not_held_up() -> None:
    hub = make_hub(capacity=4)
    with hub.subscribe() as slow, hub.subscribe() as quick:
        for item in "abcdef":
            hub.publish(item)
            await read(quick)
        with pytest.raises(SlowReaderError, match="wanted sequence 1, oldest kept is 3"):
            await read(slow)

        assert quick.position == 6


async def test_closing_the_hub_lets_readers_finish() -> None:
    hub = make_hub()
    with hub.subscribe() as subscription:
        hub.publish("a")
        hub.close()

        assert await read(subscription) == (1, "a")
        assert await subscription.next_batch() is None
    with hub.subscribe() as late:
        assert await late.next_batch() is None


async def test_closing_wakes_a_waiting_reader() -> None:
    hub = make_hub()
    subscription = hub.subscribe()
    waiting = asyncio.ensure_future(subscription.next_batch(idle_s=60))
    await asyncio.sleep(0)
    subscription.close()

    assert await asyncio.wait_for(waiting, 5) is None
    assert hub.subscribers == 0


async def test_subscribers_are_bounded_and_forgotten_when_they_leave() -> None:
    hub = make_hub()
    readers = [hub.subscribe() for _ in range(MAX_SUBSCRIBERS)]
    with pytest.raises(TooManySubscribersError):
        hub.subscribe()
    readers[0].close()
    hub.subscribe()

    assert hub.subscribers == MAX_SUBSCRIBERS


async def test_a_listener_is_told_every_item_in_the_turn_that_publishes_it() -> None:
    hub: StreamHub[str] = StreamHub(SequencedLog("one", 8))
    told: list[str] = []
    hub.publish("before")

    with hub.listen(told.append, lambda: told.append("end")):
        hub.publish("a")
        hub.publish("b")
        assert (told, hub.subscribers) == (["a", "b"], 1)
    hub.publish("after")

    assert (told, hub.subscribers) == (["a", "b"], 0)


async def test_a_listener_hears_that_the_hub_closes() -> None:
    hub: StreamHub[str] = StreamHub(SequencedLog("one", 8))
    told: list[str] = []
    with hub.listen(told.append, lambda: told.append("end")):
        hub.close()

    with hub.listen(told.append, lambda: told.append("late")):
        pass

    assert told == ["end", "late"]


async def test_listeners_count_as_subscribers() -> None:
    hub: StreamHub[str] = StreamHub(SequencedLog("one", 8))
    for _ in range(MAX_SUBSCRIBERS - 1):
        hub.subscribe()

    with hub.listen(lambda item: None, lambda: None), pytest.raises(TooManySubscribersError):
        hub.subscribe()
