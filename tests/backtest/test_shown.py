"""What the other cores are shown of many rows: the newest of each sort, or everything where that would lose a price."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.shown import Shown
from tests.engine.builders import columns
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, MarketRow, RowKind
from tradebot.core.row_block import RowBlock

MARKETS = 3


def bbo(market: int, bid: int, ask: int, at_ns: int) -> list[MarketRow]:
    return [
        MarketRow(RowKind.BBO, market, BUY_FLAG, bid, 1, at_ns, at_ns, at_ns),
        MarketRow(RowKind.BBO, market, SELL_FLAG | LAST_FLAG, ask, 1, at_ns, at_ns, at_ns),
    ]


def other(kind: RowKind, market: int, at_ns: int) -> list[MarketRow]:
    return [MarketRow(kind, market, SELL_FLAG, 100, 2, at_ns, at_ns, at_ns)]


@st.composite
def some_rows(draw: st.DrawFn) -> list[MarketRow]:
    rows: list[MarketRow] = []
    for at_ns in range(draw(st.integers(1, 12))):
        market = draw(st.integers(0, MARKETS - 1))
        kind = draw(st.sampled_from([RowKind.BBO, RowKind.TRADE, RowKind.BOOK_LEVEL]))
        rows += bbo(market, 99, 101, at_ns) if kind is RowKind.BBO else other(kind, market, at_ns)
    return rows


def newest(rows: list[MarketRow]) -> list[MarketRow]:
    """The slow way: per market the last bid, offer, trade and row."""
    last: dict[tuple[int, str], int] = {}
    for i, row in enumerate(rows):
        last[row.instrument, "any"] = i
        if row.kind == RowKind.TRADE:
            last[row.instrument, "trade"] = i
        elif row.kind == RowKind.BBO:
            last[row.instrument, "bid" if row.side_flags & BUY_FLAG else "ask"] = i
    return [rows[i] for i in sorted(set(last.values()))]


@settings(max_examples=200, deadline=None)
@given(batches=st.lists(some_rows(), min_size=1, max_size=3))
def test_of_good_rows_the_newest_of_each_sort_are_shown_in_order(batches: list[list[MarketRow]]) -> None:
    shown = Shown(MARKETS)
    for rows in batches:  # what an earlier batch picked is forgotten
        part = shown.of(RowBlock.of(columns(rows)), 0, len(rows))

        assert part.rows() == newest(rows)


def test_where_the_newest_pair_is_crossed_every_row_is_shown() -> None:
    rows = [*bbo(0, 99, 101, 1), *other(RowKind.TRADE, 1, 2), *bbo(0, 102, 101, 3)]

    assert Shown(2).of(RowBlock.of(columns(rows)), 0, len(rows)).rows() == rows


def test_only_the_rows_asked_for_are_looked_at() -> None:
    rows = [*other(RowKind.TRADE, 0, 1), *other(RowKind.TRADE, 0, 2), *other(RowKind.TRADE, 0, 3)]

    assert Shown(1).of(RowBlock.of(columns(rows)), 0, 2).rows() == [rows[1]]
