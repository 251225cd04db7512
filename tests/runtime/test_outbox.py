"""The writing half of a stream: put never waits, batches hold what was pending."""

from __future__ import annotations

import asyncio
import random

import pytest

from tradebot.runtime.outbox import LINGER_S, Outbox, OutboxFullError


async def test_everything_pending_goes_in_one_batch_in_order() -> None:
    outbox = Outbox[int]()
    outbox.put_all([1, 2])
    outbox.put(3)

    assert await outbox.next_batch() == [1, 2, 3]
    assert len(outbox) == 0


async def test_a_batch_is_bounded_and_the_rest_follows() -> None:
    outbox = Outbox[int](max_batch=2)
    outbox.put_all([1, 2, 3])

    assert await outbox.next_batch() == [1, 2]
    assert await outbox.next_batch() == [3]


async def test_a_waiting_writer_is_woken_by_the_first_item_and_takes_all_that_came_with_it() -> None:
    outbox = Outbox[int]()
    waiting = asyncio.ensure_future(outbox.next_batch())
    await asyncio.sleep(0)
    outbox.put_all([1, 2])

    assert await asyncio.wait_for(waiting, 5) == [1, 2]


async def test_an_idle_writer_gets_an_empty_batch() -> None:
    assert await Outbox[int]().next_batch(idle_s=0.01) == []


async def test_a_full_outbox_refuses_and_keeps_what_it_has() -> None:
    outbox = Outbox[int](max_pending=2)
    outbox.put_all([1, 2])
    with pytest.raises(OutboxFullError, match="2 items wait"):
        outbox.put(3)

    assert await outbox.next_batch() == [1, 2]


async def test_closing_lets_the_writer_finish_what_is_pending() -> None:
    outbox = Outbox[int](max_batch=2)
    outbox.put_all([1, 2, 3])
    outbox.close()

    assert [batch async for batch in outbox.batches()] == [[1, 2], [3]]


async def test_closing_wakes_a_waiting_writer() -> None:
    outbox = Outbox[int]()
    waiting = asyncio.ensure_future(outbox.next_batch())
    await asyncio.sleep(0)
    outbox.close()

    assert await asyncio.wait_for(waiting, 5) is None


class Link:
    """A call that takes messages at once, unless it is told to refuse."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.refuses = False

    def write_now(self, items: list[int]) -> bool:
        if not self.refuses:
            self.taken.append(items)
        return not self.refuses

    async def write(self, items: list[int]) -> None:
        self.taken.append(items)


def _through(max_batch: int = 256, max_pending: int = 65_536) -> tuple[Outbox[int], Link]:
    outbox, link = Outbox[int](max_pending, max_batch), Link()
    outbox.write_through(link, list)
    return outbox, link


async def test_an_urgent_item_leaves_at_once_over_a_link() -> None:
    outbox, link = _through()
    outbox.put(1)
    outbox.put_all([2, 3])

    assert link.taken == [[1], [2, 3]]
    assert len(outbox) == 0


async def test_a_call_that_cannot_write_now_is_left_to_the_writing_task() -> None:
    outbox = Outbox[int]()
    outbox.write_through(object(), list)  # grpc.aio's calls have no write_now
    outbox.put(1)

    assert await outbox.next_batch() == [1]


async def test_refused_items_keep_their_place_before_later_ones() -> None:
    outbox, link = _through()
    link.refuses = True
    outbox.put(1)
    outbox.put(2)
    link.refuses = False
    outbox.put(3)

    assert link.taken == [[1, 2, 3]]
    assert len(outbox) == 0


async def test_lingering_items_travel_along_with_an_urgent_one() -> None:
    outbox, link = _through()
    outbox.put(1, urgent=False)
    outbox.put(2, urgent=False)
    assert link.taken == []
    outbox.put(3)

    assert link.taken == [[1, 2, 3]]


async def test_lingering_items_leave_by_themselves_in_the_end() -> None:
    outbox, link = _through()
    outbox.put(1, urgent=False)
    outbox.put(2, urgent=False)
    await asyncio.sleep(4 * LINGER_S)

    assert link.taken == [[1, 2]]


async def test_nothing_overtakes_a_batch_that_the_writing_task_has_not_written_yet() -> None:
    """Before: what was put while the task was between its batch and its write went out first."""
    outbox, link = _through()
    link.refuses = True
    outbox.put(1)
    batch = await outbox.next_batch()
    link.refuses = False
    outbox.put(2)
    assert (batch, link.taken) == ([1], [])
    link.taken.append(batch or [])

    assert await asyncio.wait_for(outbox.next_batch(), 5) == [2]


async def test_more_than_a_batch_goes_through_the_writing_task_in_order() -> None:
    outbox, link = _through(max_batch=2)
    outbox.put_all([1, 2, 3])
    outbox.put(4)
    outbox.close()
    async for items in outbox.batches():
        await link.write(items)

    assert link.taken == [[1, 2], [3, 4]]


@pytest.mark.parametrize("seed", range(20))
async def test_order_is_kept_whatever_the_call_does(seed: int) -> None:
    rng = random.Random(seed)
    outbox, link = _through(max_batch=5)

    async def write() -> None:
        async for items in outbox.batches():
            for _ in range(rng.randrange(3)):  # the call opens, the socket is full …
                await asyncio.sleep(0)
            await link.write(items)

    writer = asyncio.create_task(write())
    for number in range(500):
        link.refuses = rng.random() < 0.5
        outbox.put(number, urgent=rng.random() < 0.7)
        if rng.random() < 0.3:
            await asyncio.sleep(0)
    outbox.close()
    await asyncio.wait_for(writer, 5)

    assert [item for items in link.taken for item in items] == list(range(500))


async def test_a_full_outbox_refuses_over_a_link_too() -> None:
    outbox, link = _through(max_pending=2)
    link.refuses = True
    outbox.put_all([1, 2])
    with pytest.raises(OutboxFullError):
        outbox.put(3)
    link.refuses = False

    assert await outbox.next_batch() == [1, 2]
