"""The book with its cached touch against plain max and min."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.books import MAX_DEAD_PRICES, Book
from tradebot.core.market import BUY_FLAG, SELL_FLAG
from tradebot.core.orders import Side

changes = st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 3)), max_size=60)


@given(changes)
def test_the_cached_touch_equals_a_full_search_after_every_change(rows: list[tuple[bool, int, int]]) -> None:
    book = Book()
    for is_bid, price, qty in rows:
        book.set_level(BUY_FLAG if is_bid else SELL_FLAG, price, qty)

        assert book.best_bid == max(book.bids, default=None)
        assert book.best_ask == min(book.asks, default=None)
        assert book.top(Side.BUY, 3) == sorted(book.bids.items(), reverse=True)[:3]
        assert book.top(Side.SELL, 3) == sorted(book.asks.items())[:3]


def test_clear_forgets_everything() -> None:
    book = Book()
    book.set_level(BUY_FLAG, 10, 1)
    book.clear()

    assert book.best_bid is None
    assert not book.bids


def test_dead_prices_never_outnumber_the_living_ones_without_bound() -> None:
    book = Book()
    book.set_level(BUY_FLAG, 10**9, 1)
    for price in range(1, 4 * MAX_DEAD_PRICES):
        book.set_level(BUY_FLAG, price, 1)
        book.set_level(BUY_FLAG, price, 0)

    assert len(book._bid_heap) <= MAX_DEAD_PRICES + 4
    assert book.best_bid == 10**9


def test_the_touch_shows_zero_for_an_empty_side() -> None:
    book = Book()
    book.set_level(SELL_FLAG, 11, 4)

    assert book.touch == (0, 0, 11, 4)
