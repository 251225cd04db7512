"""Book snapshots: rebuilt from rows, sampled, never from a book that is not live."""

from __future__ import annotations

import json

from recorder.book_snapshots import BookSnapshots
from recorder.tables import Entry
from tests.support.builders import make_instrument
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind

SECOND = 1_000_000_000


def level(
    side: int, ticks: int, lots: int, *, at: int, kind: RowKind = RowKind.BOOK_LEVEL, last: bool = True
) -> MarketRow:
    return MarketRow(kind, 0, side | (LAST_FLAG if last else 0), ticks, lots, 7, at, at)


def state(value: BookState, at: int) -> MarketRow:
    return MarketRow(RowKind.BOOK_STATE, 0, LAST_FLAG, value, 0, 0, at, at)


def apply(books: BookSnapshots, *rows: MarketRow) -> list[Entry]:
    packed = RowColumns()
    packed.extend(rows)
    return books.apply(packed)


def live_book(levels: int = 10, interval_ms: int = 1_000) -> BookSnapshots:
    books = BookSnapshots(levels, interval_ms)
    books.set_instruments([(0, make_instrument())])
    apply(
        books,
        MarketRow(RowKind.BOOK_CLEAR, 0, 0, 0, 0, 1, SECOND, SECOND),
        level(BUY_FLAG, 100, 5, at=SECOND, kind=RowKind.SNAPSHOT_LEVEL, last=False),
        level(BUY_FLAG, 99, 6, at=SECOND, kind=RowKind.SNAPSHOT_LEVEL, last=False),
        level(SELL_FLAG, 102, 7, at=SECOND, kind=RowKind.SNAPSHOT_LEVEL, last=False),
        state(BookState.LIVE, SECOND),
    )
    return books


def test_a_snapshot_lists_levels_best_first_as_exact_decimals() -> None:
    (entry,) = apply(live_book(), level(SELL_FLAG, 101, 8, at=2 * SECOND))
    _, _, bid_px, bid_qty, ask_px, ask_qty, update_id, _ = entry.row

    assert json.loads(str(bid_px)) == ["1", "0.99"]
    assert json.loads(str(bid_qty)) == ["0.00005", "0.00006"]
    assert json.loads(str(ask_px)) == ["1.01", "1.02"]
    assert json.loads(str(ask_qty)) == ["0.00008", "0.00007"]
    assert update_id == 7


def test_at_most_one_snapshot_per_interval() -> None:
    rows = [level(SELL_FLAG, 103, qty, at=2 * SECOND + qty * SECOND // 10) for qty in range(1, 25)]

    assert len(apply(live_book(), *rows)) == 3


def test_a_book_that_is_not_live_is_not_written() -> None:
    books = live_book()

    assert apply(books, state(BookState.GAP, 2 * SECOND), level(BUY_FLAG, 98, 1, at=3 * SECOND)) == []


def test_depth_is_bounded() -> None:
    (entry,) = apply(live_book(levels=1), level(BUY_FLAG, 98, 1, at=2 * SECOND))

    assert json.loads(str(entry.row[2])) == ["1"]


def test_nothing_is_written_before_the_venue_event_is_whole() -> None:
    books = live_book()

    assert apply(books, level(BUY_FLAG, 98, 1, at=2 * SECOND, last=False)) == []
    assert len(apply(books, level(BUY_FLAG, 97, 1, at=2 * SECOND))) == 1
