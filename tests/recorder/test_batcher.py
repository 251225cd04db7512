"""Bounded queues: what is dropped, what never is, and what a batch holds."""

from __future__ import annotations

from recorder.batcher import MAX_WAITING, MAX_WAITING_LOSSLESS, Batcher
from recorder.tables import Entry, Op, StreamPosition

MS = 1_000_000


def trade(id_: int) -> Entry:
    return Entry(Op.TRADE, (id_, "binance:BTC-USDT", "1", "1", "BUY", id_, id_))


def event(sequence: int) -> Entry:
    return Entry(Op.EVENT, ("execd.orders", "log1", sequence, sequence, "SENT", "", "c1", "{}"))


def test_market_data_beyond_its_bound_drops_the_oldest_rows_and_counts_them() -> None:
    batcher = Batcher(flush_rows=10, flush_interval_ms=100)
    bound = MAX_WAITING[Op.TRADE]
    batcher.add((trade(id_) for id_ in range(bound + 3)), now_ns=0)
    batch = batcher.take()

    assert batch is not None
    assert [entry.row[5] for entry in batch.entries] == list(range(3, bound + 3))
    assert batcher.dropped()["trades"] == 3


def test_order_rows_are_never_dropped_and_a_full_queue_asks_the_stream_to_wait() -> None:
    batcher = Batcher(flush_rows=10, flush_interval_ms=100)
    batcher.add((event(n) for n in range(MAX_WAITING_LOSSLESS)), now_ns=0)

    assert not batcher.has_room()

    batcher.add([event(MAX_WAITING_LOSSLESS)], now_ns=0)
    batch = batcher.take()

    assert batch is not None
    assert len(batch.entries) == MAX_WAITING_LOSSLESS + 1
    assert batcher.dropped()["events"] == 0
    assert batcher.has_room()


def test_a_batch_takes_everything_so_its_positions_are_true() -> None:
    batcher = Batcher(flush_rows=1, flush_interval_ms=100)
    batcher.add([event(1), trade(1), event(2)], now_ns=0)
    batcher.set_position(StreamPosition("execd.orders", "log1", 2), now_ns=0)
    batch = batcher.take()

    assert batch is not None
    assert [entry.row[2] for entry in batch.entries if entry.op is Op.EVENT] == [1, 2]
    assert batch.positions == [StreamPosition("execd.orders", "log1", 2)]
    assert batcher.take() is None


def test_a_row_waits_at_most_the_flush_interval() -> None:
    batcher = Batcher(flush_rows=1_000, flush_interval_ms=250)
    batcher.add([trade(1)], now_ns=0)

    assert not batcher.is_due(249 * MS)
    assert batcher.next_due_ns() == 250 * MS
    assert batcher.is_due(250 * MS)


def test_enough_rows_make_a_batch_due_at_once() -> None:
    batcher = Batcher(flush_rows=2, flush_interval_ms=250)
    batcher.add([trade(1)], now_ns=0)
    early = batcher.is_due(0)
    batcher.add([trade(2)], now_ns=0)

    assert not early
    assert batcher.is_due(0)


def test_a_bar_replaces_its_older_self() -> None:
    batcher = Batcher(flush_rows=10, flush_interval_ms=100)
    for close in ("1", "2", "3"):
        batcher.add([Entry(Op.BAR, (60, "binance:BTC-USDT", "1", "3", "1", close, "1", 1, 1, 9))], now_ns=0)
    batch = batcher.take()

    assert batch is not None
    assert [entry.row[5] for entry in batch.entries] == ["3"]


def test_a_position_without_rows_is_written_too() -> None:
    batcher = Batcher(flush_rows=10, flush_interval_ms=100)
    batcher.set_position(StreamPosition("riskd.events", "run1", 5), now_ns=7)

    assert batcher.is_due(7 + 100 * MS)
    batch = batcher.take()
    assert batch is not None
    assert batch.positions[0].sequence == 5
