"""Market data to many readers: encoded once, shared, conflated or cut off, never waiting for anybody."""

from __future__ import annotations

import asyncio

import pytest

from tradebot.runtime import fanout as fanout_module
from tradebot.runtime.fanout import MAX_BATCH_EVENTS, Fanout, FanoutReader
from tradebot.runtime.stream_hub import MAX_SUBSCRIBERS, SlowReaderError, TooManySubscribersError

Event = tuple[str, int]
"""(instrument, value); an instrument in capitals is a trade and is never superseded."""
Filter = frozenset[str]
BTC_ETH = frozenset({"btc", "eth"})


class Feed(Fanout[Filter, Event]):
    """A fan-out that counts its encodings."""

    def __init__(self) -> None:
        self.encodings = 0
        super().__init__(self._encode_text, lambda wanted, event: event[0].lower() in wanted, conflate)

    def _encode_text(self, wanted: Filter, events: list[Event]) -> bytes:
        self.encodings += 1
        return " ".join(f"{name}{value}" for name, value in events).encode()


def conflate(events: list[Event]) -> list[Event]:
    """Keep the last quote per instrument and every trade of the last ten."""
    last = {name: i for i, (name, _) in enumerate(events) if name.islower()}
    trades = [i for i, (name, _) in enumerate(events) if name.isupper()][-10:]
    return [events[i] for i in sorted([*last.values(), *trades])]


async def read(reader: FanoutReader[Filter, Event]) -> str:
    message = await reader.next_message(5)
    assert message is not None
    return message.decode()


async def test_events_pending_for_all_readers_are_encoded_once_and_shared() -> None:
    feed = Feed()
    with feed.subscribe(BTC_ETH) as one, feed.subscribe(BTC_ETH) as two:
        feed.publish(("btc", 1))
        feed.publish(("eth", 2))
        first, second = await one.next_message(), await two.next_message()

    assert first == b"btc1 eth2"
    assert second is first
    assert feed.encodings == 1


async def test_a_filter_is_its_own_group() -> None:
    feed = Feed()
    with feed.subscribe(BTC_ETH) as both, feed.subscribe(frozenset({"eth"})) as eth:
        feed.publish(("btc", 1))
        feed.publish(("eth", 2))

        assert await read(both) == "btc1 eth2"
        assert await read(eth) == "eth2"


async def test_a_reader_gets_nothing_from_before_its_snapshot() -> None:
    feed = Feed()
    with feed.subscribe(BTC_ETH) as early:
        feed.publish(("btc", 1))
        with feed.subscribe(BTC_ETH) as late:
            feed.publish(("btc", 2))

            assert await read(late) == "btc2"
            assert [await read(early), await read(early)] == ["btc1", "btc2"]


async def test_a_waiting_reader_is_woken() -> None:
    feed = Feed()
    with feed.subscribe(BTC_ETH) as reader:
        waiting = asyncio.ensure_future(read(reader))
        await asyncio.sleep(0)
        feed.publish(("btc", 1))

        assert await waiting == "btc1"


async def test_an_idle_reader_gets_an_empty_message() -> None:
    with Feed().subscribe(BTC_ETH) as reader:
        assert await reader.next_message(0.01) == b""


async def test_a_batch_is_closed_at_its_bound_though_no_reader_is_free() -> None:
    feed = Feed()
    with feed.subscribe(BTC_ETH) as reader:
        for i in range(MAX_BATCH_EVENTS + 1):
            feed.publish(("btc", i))

        assert len((await read(reader)).split()) == MAX_BATCH_EVENTS
        assert await read(reader) == f"btc{MAX_BATCH_EVENTS}"


async def test_a_slow_reader_gets_the_newest_quotes_and_a_count_of_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout_module, "MAX_LAG_BATCHES", 3)
    feed = Feed()
    with feed.subscribe(BTC_ETH) as slow, feed.subscribe(BTC_ETH) as quick:
        for i in range(4):
            feed.publish(("btc", i))
            feed.publish(("BTC", i))
            await read(quick)
        caught_up = await read(slow)
        feed.publish(("eth", 9))

        assert caught_up == "BTC0 BTC1 BTC2 btc3 BTC3"
        assert slow.conflated_events == 3
        assert quick.conflated_events == 0
        assert await read(slow) == "eth9"


async def test_a_slow_lossless_reader_is_cut_off_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "MAX_LOSSLESS_LAG_BATCHES", 2)
    feed = Feed()
    with feed.subscribe(BTC_ETH, lossless=True) as slow, feed.subscribe(BTC_ETH) as quick:
        for i in range(3):
            feed.publish(("btc", i))
            await read(quick)
        with pytest.raises(SlowReaderError, match="batches behind; resubscribe"):
            await read(slow)


async def test_closing_ends_every_reader_also_one_that_waits() -> None:
    feed = Feed()
    reader = feed.subscribe(BTC_ETH)
    waiting = asyncio.ensure_future(reader.next_message(60))
    await asyncio.sleep(0)
    feed.close()

    assert await asyncio.wait_for(waiting, 5) is None
    assert feed.readers == 0


async def test_readers_are_bounded_and_forgotten_when_they_leave() -> None:
    feed = Feed()
    readers = [feed.subscribe(frozenset({str(i)})) for i in range(MAX_SUBSCRIBERS)]
    with pytest.raises(TooManySubscribersError):
        feed.subscribe(BTC_ETH)
    readers[0].close()
    readers[0].close()
    feed.subscribe(BTC_ETH)

    assert feed.readers == MAX_SUBSCRIBERS
