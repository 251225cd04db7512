"""The row log and its readers: same bytes for all who keep up, honesty for those who do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.book import BookRules
from marketdata.conflation import MAX_TRADES, conflate
from marketdata.market import Market
from marketdata.publisher import (
    CONFLATE_ABOVE_ROWS,
    MAX_CONFLATED_ROWS,
    MAX_READERS,
    Reader,
    TooManyReadersError,
    TooSlowError,
)
from marketdata.row_log import MAX_BATCHES, PAGE_ROWS, RowFilter, RowLog
from tests.marketdata.market_kit import T0, RowReader, delta, snapshot, trade
from tests.support.builders import make_instrument
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.wire.market import MAX_BATCH_ROWS, rows_from_wire, sequences_from_wire

ALL = RowFilter()
KEPT_ROWS = 131_072


def make_market(instruments: int = 1, kept_rows: int = KEPT_ROWS) -> Market:
    """Return markets without any event yet."""
    market = Market(kept_rows)
    market.add([make_instrument(f"binance:C{i}-USDT") for i in range(instruments)], BookRules())
    for book in market.books:
        book.link_up(T0)
    return market


def go_live(market: Market, instrument: int = 0, last_id: int = 10) -> None:
    """Bring one book to LIVE."""
    book = market.books[instrument]
    book.handle_delta(delta(last_id, instrument=instrument), T0)
    book.handle_snapshot(book.snapshot_asked(T0), snapshot(last_id, instrument=instrument), T0)
    market.commit()


def publish_trades(market: Market, count: int, instrument: int = 0, first_id: int = 1) -> None:
    """Publish trades in one commit."""
    for trade_id in range(first_id, first_id + count):
        market.handle(trade(trade_id, instrument=instrument), T0)
    market.commit()


def drain(reader: Reader, now_ns: int = T0) -> Iterator[pb.SubscribeResponse]:
    """Yield messages until nothing waits."""
    while message := reader.next_message(now_ns):
        yield pb.SubscribeResponse.FromString(message)


def rows_of(reader: Reader) -> list[MarketRow]:
    """Return all waiting rows."""
    return [row for message in drain(reader) for row in rows_from_wire(message.rows).rows()]


def test_a_new_reader_starts_with_the_book_as_it_is_and_goes_on_with_what_comes() -> None:
    market = make_market()
    go_live(market)
    market.handle(delta(11, bids=[(99, 3)]), T0)
    market.commit()
    reader = market.publisher.subscribe(ALL, T0)
    messages = list(drain(reader))
    market.handle(delta(12, bids=[(99, 0), (98, 1)]), T0)
    market.commit()
    (live,) = drain(reader)
    known = RowReader()
    for message in (*messages, live):
        known.fold(rows_from_wire(message.rows))

    assert [message.snapshot for message in messages] == [True]
    assert set(sequences_from_wire(messages[0].rows)) == {market.log.head_sequence - 2}
    assert live.rows.first_sequence == messages[0].rows.first_sequence + 1
    assert known.book.bids == market.books[0].book.bids == {100: 5, 98: 1}
    assert known.state is BookState.LIVE


def test_readers_that_keep_up_share_the_very_same_bytes() -> None:
    market = make_market()
    readers = [market.publisher.subscribe(ALL, T0) for _ in range(3)]
    for reader in readers:
        list(drain(reader))
    publish_trades(market, 5)
    first, second, third = (reader.next_message(T0) for reader in readers)

    assert first
    assert first is second is third


def test_a_batch_is_what_was_waiting() -> None:
    market = make_market()
    reader = market.publisher.subscribe(ALL, T0)
    list(drain(reader))
    publish_trades(market, 3)
    publish_trades(market, 4, first_id=4)
    (message,) = drain(reader)

    assert len(message.rows.kind) == 7


def test_a_message_never_has_more_rows_than_the_bound() -> None:
    market = make_market()
    reader = market.publisher.subscribe(ALL, T0, lossless=True)
    list(drain(reader))
    publish_trades(market, 3 * MAX_BATCH_ROWS + 5)
    sizes = [len(message.rows.kind) for message in drain(reader)]

    assert sum(sizes) == 3 * MAX_BATCH_ROWS + 5
    assert max(sizes) <= MAX_BATCH_ROWS


def test_a_reader_a_little_behind_gets_several_batches_in_one_message() -> None:
    market = make_market()
    fast, slow = (market.publisher.subscribe(ALL, T0) for _ in range(2))
    list(drain(fast)), list(drain(slow))
    for trade_id in range(1, 51):
        publish_trades(market, 1, first_id=trade_id)
        assert len(list(drain(fast))) == 1
    (message,) = drain(slow)

    assert [row.id for row in rows_from_wire(message.rows).rows()] == list(range(1, 51))
    assert len(set(sequences_from_wire(message.rows))) == 50


def test_a_filter_keeps_the_sequences_of_the_whole_stream() -> None:
    market = make_market(2)
    everything = market.publisher.subscribe(ALL, T0)
    some = market.publisher.subscribe(RowFilter(frozenset({1}), frozenset({int(RowKind.TRADE)})), T0)
    list(drain(everything)), list(drain(some))
    go_live(market)
    for trade_id in (1, 2, 3):
        market.handle(trade(trade_id, instrument=trade_id % 2), T0)
    market.commit()
    sequence_of = {
        row: sequence
        for message in drain(everything)
        for sequence, row in zip(sequences_from_wire(message.rows), rows_from_wire(message.rows).rows(), strict=True)
    }
    (message,) = drain(some)
    picked = rows_from_wire(message.rows).rows()

    assert [(row.instrument, row.id) for row in picked] == [(1, 1), (1, 3)]
    assert list(sequences_from_wire(message.rows)) == [sequence_of[row] for row in picked]


def test_rows_that_do_not_pass_a_filter_make_no_message() -> None:
    market = make_market()
    reader = market.publisher.subscribe(RowFilter(kinds=frozenset({int(RowKind.BBO)})), T0)
    list(drain(reader))
    publish_trades(market, 10)

    assert reader.next_message(T0) == b""
    assert reader.backlog_rows == 0


def test_a_lossless_reader_resumes_exactly_where_it_was() -> None:
    market = make_market()
    publish_trades(market, 100)
    reader = market.publisher.subscribe(ALL, T0, lossless=True, resume_after=60)

    assert [row.id for row in rows_of(reader)] == list(range(61, 101))


def test_a_resumed_reader_gets_back_in_step_with_the_others() -> None:
    market = make_market()
    steady = market.publisher.subscribe(ALL, T0)
    publish_trades(market, 100)
    list(drain(steady))
    back = market.publisher.subscribe(ALL, T0, lossless=True, resume_after=60)
    list(drain(back))
    publish_trades(market, 1, first_id=101)

    assert steady.next_message(T0) is back.next_message(T0)


def test_a_place_that_is_gone_is_answered_with_a_snapshot() -> None:
    market = make_market(kept_rows=PAGE_ROWS)
    go_live(market)
    publish_trades(market, 5 * PAGE_ROWS)
    for trade_id in range(5):
        publish_trades(market, PAGE_ROWS, first_id=10**6 * (trade_id + 1))
    reader = market.publisher.subscribe(ALL, T0, lossless=True, resume_after=3)
    never = market.publisher.subscribe(ALL, T0, lossless=True, resume_after=10**9)

    assert next(drain(reader)).snapshot
    assert next(drain(never)).snapshot


def test_a_lossless_reader_that_is_too_slow_is_told_and_never_skips() -> None:
    market = make_market(kept_rows=PAGE_ROWS)
    reader = market.publisher.subscribe(ALL, T0, lossless=True)
    list(drain(reader))
    for number in range(6):
        publish_trades(market, PAGE_ROWS, first_id=1 + number * PAGE_ROWS)

    with pytest.raises(TooSlowError, match="oldest kept"):
        list(drain(reader))


def test_the_log_keeps_a_bounded_number_of_rows() -> None:
    log = RowLog(kept_rows=2 * PAGE_ROWS)
    for number in range(40 * PAGE_ROWS):
        log.tail.append((1, 0, 5, number, 1, number, T0, T0))
        if number % 100 == 0:
            log.commit()
            log.cut()
    log.commit()
    held = log.head_sequence - log.first_sequence + 1

    assert 2 * PAGE_ROWS <= held <= 4 * PAGE_ROWS
    assert len(log.rows_after(log.first_sequence - 1, 10**9).kind) == held


def test_a_reader_behind_more_cuts_than_are_kept_still_gets_every_row() -> None:
    market = make_market()
    fast, slow = (market.publisher.subscribe(ALL, T0, lossless=True) for _ in range(2))
    list(drain(fast)), list(drain(slow))
    count = MAX_BATCHES + 100
    for trade_id in range(1, count + 1):
        publish_trades(market, 1, first_id=trade_id)
        fast.next_message(T0)

    assert market.log.batch(market.log.end_batch - MAX_BATCHES) is not None
    assert market.log.batch(market.log.end_batch - MAX_BATCHES - 1) is None
    assert [row.id for row in rows_of(slow)] == list(range(1, count + 1))


@given(st.lists(st.integers(1, 700), min_size=1, max_size=40), st.lists(st.integers(0, 3), min_size=40, max_size=40))
@settings(max_examples=30, deadline=None)
def test_lossless_readers_of_any_pace_get_every_row_once_in_order(commits: list[int], pace: list[int]) -> None:
    market = make_market()
    readers = [market.publisher.subscribe(ALL, T0, lossless=True) for _ in range(2)]
    odd = market.publisher.subscribe(RowFilter(kinds=frozenset({int(RowKind.TRADE)})), T0, lossless=True)
    got: dict[Reader, list[int]] = {reader: [] for reader in (*readers, odd)}
    next_id = 1

    def take(reader: Reader, at_most: int) -> None:
        for _ in range(at_most):
            message = pb.SubscribeResponse.FromString(reader.next_message(T0))
            got[reader] += [row.id for row in rows_from_wire(message.rows).rows() if row.kind == RowKind.TRADE]

    for count, turns in zip(commits, pace, strict=False):
        publish_trades(market, count, first_id=next_id)
        next_id += count
        take(readers[0], 1)
        take(readers[1], turns % 2)
        take(odd, turns // 2)
    for reader in got:
        take(reader, 50)

    assert all(ids == list(range(1, next_id)) for ids in got.values())


def test_a_slow_lossy_reader_gets_the_newest_book_and_every_trade() -> None:
    market = make_market()
    go_live(market)
    reader = market.publisher.subscribe(ALL, T0)
    known = RowReader()
    for message in drain(reader):
        known.fold(rows_from_wire(message.rows))
    update_id = 11
    for round_ in range(CONFLATE_ABOVE_ROWS):
        market.handle(delta(update_id, bids=[(90 + round_ % 10, round_ + 1)]), T0)
        update_id += 1
        if round_ % 64 == 0:
            market.handle(trade(round_ // 64 + 1), T0)
            market.commit()
    market.commit()
    published = reader.backlog_rows
    messages = list(drain(reader))
    for message in messages:
        known.fold(rows_from_wire(message.rows))

    assert known.book.bids == market.books[0].book.bids
    assert len(known.trades) == CONFLATE_ABOVE_ROWS // 64
    assert messages[-1].conflated_rows == reader.conflated_rows
    assert messages[-1].head_sequence == market.log.head_sequence
    assert reader.conflated_rows + sum(len(message.rows.kind) for message in messages) == published
    assert len(known.book.bids) + 200 > known.rows - 10


def test_a_lossy_reader_that_slept_through_everything_starts_again_with_a_snapshot() -> None:
    market = make_market()
    go_live(market)
    reader = market.publisher.subscribe(ALL, T0)
    list(drain(reader))
    publish_trades(market, MAX_CONFLATED_ROWS + 1)
    (message,) = drain(reader)

    assert message.snapshot
    assert message.conflated_rows == MAX_CONFLATED_ROWS + 1


def test_conflation_marks_only_the_last_row_of_a_book_as_an_event() -> None:
    rows = RowColumns()
    for price, side in ((1, BUY_FLAG), (2, SELL_FLAG), (1, BUY_FLAG), (3, SELL_FLAG)):
        rows.append((RowKind.BOOK_LEVEL, 0, side | LAST_FLAG, price, 1, 1, T0, T0))
    kept = conflate(rows)

    assert kept == [1, 2, 3]
    assert [rows.side_flags[i] for i in kept] == [SELL_FLAG, BUY_FLAG, SELL_FLAG | LAST_FLAG]


def test_conflation_forgets_everything_of_a_book_before_it_was_cleared() -> None:
    rows = RowColumns()
    rows.append((RowKind.BOOK_LEVEL, 0, BUY_FLAG | LAST_FLAG, 1, 1, 1, T0, T0))
    rows.append((RowKind.BOOK_STATE, 0, LAST_FLAG, BookState.GAP, 0, 1, T0, T0))
    rows.append((RowKind.BOOK_CLEAR, 0, 0, 0, 0, 2, T0, T0))
    rows.append((RowKind.SNAPSHOT_LEVEL, 0, BUY_FLAG | LAST_FLAG, 5, 1, 2, T0, T0))
    rows.append((RowKind.BOOK_LEVEL, 0, BUY_FLAG | LAST_FLAG, 5, 2, 3, T0, T0))
    rows.append((RowKind.BOOK_STATE, 0, LAST_FLAG, BookState.LIVE, 0, 2, T0, T0))
    rows.append((RowKind.BOOK_LEVEL, 1, SELL_FLAG | LAST_FLAG, 9, 2, 3, T0, T0))

    assert conflate(rows) == [2, 4, 5, 6]


def test_conflation_bounds_the_trades_and_keeps_the_newest() -> None:
    rows = RowColumns()
    for trade_id in range(MAX_TRADES + 10):
        rows.append((RowKind.TRADE, 0, BUY_FLAG | LAST_FLAG, 1, 1, trade_id, T0, T0))
    kept = conflate(rows)

    assert (len(kept), kept[0]) == (MAX_TRADES, 10)


def test_lower_ranks_are_woken_first() -> None:
    market, woken = make_market(), list[int]()
    for rank in (1, 0, 1):
        reader = market.publisher.subscribe(ALL, T0, rank=rank)
        reader.wake = lambda rank=rank: woken.append(rank)  # type: ignore[misc]
    publish_trades(market, 1)

    assert woken == [0, 1, 1]


def test_a_commit_without_rows_wakes_nobody() -> None:
    market, woken = make_market(), list[int]()
    reader = market.publisher.subscribe(ALL, T0)
    reader.wake = lambda: woken.append(1)
    market.commit()

    assert woken == []


def test_the_number_of_readers_is_bounded() -> None:
    market = make_market()
    for _ in range(MAX_READERS):
        market.publisher.subscribe(ALL, T0)
    with pytest.raises(TooManyReadersError):
        market.publisher.subscribe(ALL, T0)


def test_a_reader_that_left_gets_nothing_more() -> None:
    market = make_market()
    reader = market.publisher.subscribe(ALL, T0)
    market.publisher.unsubscribe(reader)

    assert market.publisher.readers == 0


def woken_by(reader: Reader) -> list[str]:
    """Count the reader's wake-ups in a list."""
    woken: list[str] = []
    reader.wake = lambda: woken.append("woken")
    return woken


@pytest.mark.parametrize(
    "row_filter", [RowFilter(kinds=frozenset({int(RowKind.BBO)})), RowFilter(instruments=frozenset({1}))]
)
def test_a_reader_sleeps_through_rows_that_its_filter_leaves_out_and_is_not_behind(row_filter: RowFilter) -> None:
    market = make_market(2)
    go_live(market)
    reader = market.publisher.subscribe(row_filter, T0)
    rows_of(reader)
    woken = woken_by(reader)

    for first_id in (1, 11, 21):
        publish_trades(market, 10, first_id=first_id)

    assert (woken, reader.backlog_rows, reader.next_message(T0)) == ([], 0, b"")


def test_a_reader_that_slept_through_rows_gets_the_next_one_that_passes_with_its_sequence() -> None:
    market = make_market()
    go_live(market)
    reader = market.publisher.subscribe(RowFilter(kinds=frozenset({int(RowKind.TRADE)})), T0)
    everything = market.publisher.subscribe(ALL, T0)
    rows_of(reader)
    list(drain(everything))
    woken = woken_by(reader)

    market.books[0].handle_delta(delta(11, instrument=0), T0)
    market.commit()
    publish_trades(market, 1)

    (message,) = drain(reader)
    sequences = [s for m in drain(everything) for s in sequences_from_wire(m.rows)]
    assert woken == ["woken"]
    assert list(sequences_from_wire(message.rows)) == sequences[-1:]
