"""The writing half of a stream: put never waits, batches hold what was pending."""

from __future__ import annotations

import asyncio

import pytest

from tradebot.runtime.outbox import Outbox, OutboxFullError


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
