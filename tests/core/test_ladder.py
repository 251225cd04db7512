"""The compiled book agrees with the plain one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.core.books import Book
from tradebot.core.errors import InvariantError
from tradebot.core.ladder import FIRST_SIZE, LadderBook, Ladders
from tradebot.core.market import BUY_FLAG, SELL_FLAG, MarketRow, RowColumns
from tradebot.core.orders import Side
from tradebot.core.row_block import RowBlock

CHANGES = st.lists(
    st.tuples(
        st.sampled_from([BUY_FLAG, SELL_FLAG]),
        st.one_of(st.integers(1, 40), st.integers(1, 10**6), st.sampled_from([7, 7 + FIRST_SIZE, 7 + 2 * FIRST_SIZE])),
        st.one_of(st.just(0), st.integers(1, 9)),
    ),
    max_size=120,
)


def assert_same(ladder: LadderBook, book: Book) -> None:
    assert (dict(ladder.bids), dict(ladder.asks)) == (book.bids, book.asks)
    assert (ladder.best_bid, ladder.best_ask) == (book.best_bid, book.best_ask)
    assert ladder.touch == book.touch
    assert ladder.is_crossed == book.is_crossed
    assert ladder.top(Side.BUY, 3) == book.top(Side.BUY, 3)
    assert ladder.top(Side.SELL, 3) == book.top(Side.SELL, 3)
    assert (len(ladder.bids), len(ladder.asks)) == (len(book.bids), len(book.asks))


@settings(max_examples=150, deadline=None)
@given(CHANGES, CHANGES)
def test_two_ladders_side_by_side_are_two_plain_books(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    ladders = Ladders(2)
    books = [Book(), Book()]
    for index, changes in enumerate((first, second)):
        for change in changes:
            LadderBook(ladders, index).set_level(*change)
            books[index].set_level(*change)
    for index, book in enumerate(books):
        assert_same(LadderBook(ladders, index), book)
    LadderBook(ladders, 0).clear()

    assert_same(LadderBook(ladders, 0), Book())
    assert_same(LadderBook(ladders, 1), books[1])


def test_a_side_grows_and_forgets_emptied_levels_and_the_other_books_stay() -> None:
    ladders = Ladders(2)
    grown, other, book = LadderBook(ladders, 1), LadderBook(ladders, 0), Book()
    other.set_level(SELL_FLAG, 5, 5)
    for price in range(1, 20_000):
        for one in (grown, book):
            one.set_level(BUY_FLAG, price, 1)
            if price > 3_000 and price % 5:
                one.set_level(BUY_FLAG, price - 2_000, 0)

    assert_same(grown, book)
    assert dict(other.asks) == {5: 5}


def test_a_block_holds_what_columns_hold() -> None:
    rows = [MarketRow(1, 0, 5, 100 + i, i, 7, 10 * i, 10 * i + 3) for i in range(5)]
    columns = RowColumns()
    columns.extend(rows)
    block = RowBlock.of(columns)

    assert [block.row(i) for i in range(len(block))] == rows
    assert block.columns(1, 3).rows() == rows[1:3]
    assert block.first_after(13) == 2
    assert block.first_after(12) == 1
    assert block.take(block.receive_time_ns > 20).columns().rows() == rows[2:]
    with pytest.raises(InvariantError, match="shape"):
        RowBlock(block.data[:3])
