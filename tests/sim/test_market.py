"""One market over the kernels: what its ladder forgets and keeps when it is widened, and what it lists."""

from __future__ import annotations

import pytest

from tests.sim.kit import NOW_NS, fills, make_engine, make_order, make_rules
from tradebot.core.errors import InvariantError
from tradebot.core.market import BUY_FLAG, SELL_FLAG, RowColumns, RowKind
from tradebot.core.orders import OrderType, Side, TimeInForce
from tradebot.core.row_block import RowBlock
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import SimEvent

BUY, SELL = Side.BUY, Side.SELL
NEAR = 3_000_000
FAR = (40, 900_000, 2_700_000, 3_300_000, 9_000_000)
"""Prices outside the ladder that NEAR begins."""


def engine_at(price: int, *, is_recorded: bool) -> MatchingEngine:
    funds = {"USDT": 10**9, "COIN": 10**6}
    engine = make_engine(
        balances={"me": funds},
        bids={price - 1: 10, price - 2: 10},
        asks={price + 1: 10},
        last_price=price,
        is_recorded=is_recorded,
        rules=make_rules(max_price=10**9),
    )
    engine.place(make_order(BUY, 2, price - 1), NOW_NS)
    engine.place(make_order(SELL, 2, price + 2), NOW_NS)
    engine.place(make_order(BUY, 3, price + 1, time_in_force=TimeInForce.IOC), NOW_NS)
    engine.place(make_order(SELL, 1, price - 9, stop_price=price - 5, order_type=OrderType.STOP_LIMIT), NOW_NS)
    return engine


def play(engine: MatchingEngine, *rows: tuple[RowKind, int, int, int]) -> list[SimEvent]:
    columns = RowColumns()
    for kind, flag, price, lots in rows:
        columns.append((kind, 0, flag, price, lots, 1, NOW_NS, NOW_NS))
    return engine.on_rows(columns, 0, len(columns), NOW_NS)


def told(events: list[SimEvent]) -> list[tuple[int, int]]:
    return [(price, lots) for _, price, lots in fills(events)]


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("far", FAR)
def test_a_price_outside_the_ladder_changes_nothing_but_its_own_level(far: int, is_recorded: bool) -> None:
    wide, narrow = (engine_at(NEAR, is_recorded=is_recorded) for _ in range(2))
    side = BUY if far < NEAR else SELL
    wide.markets[0].set_background(side, far, 7)
    rows = [
        (RowKind.TRADE, SELL_FLAG, NEAR - 1, 11),
        (RowKind.BOOK_LEVEL, BUY_FLAG, NEAR - 1, 4),
        (RowKind.TRADE, SELL_FLAG, NEAR - 5, 2),
        (RowKind.BOOK_LEVEL, BUY_FLAG, NEAR + 3, 1),
    ]

    assert [told(play(wide, row)) for row in rows] == [told(play(narrow, row)) for row in rows]
    for one in Side:
        listed = [level for level in wide.markets[0].offers(one) if level[0] != far]
        assert listed == narrow.markets[0].offers(one)
    assert wide.markets[0].last_price == narrow.markets[0].last_price
    assert wide.markets[0].background_at(side, far) == 7


def test_rows_far_away_are_still_one_call() -> None:
    engine = engine_at(NEAR, is_recorded=True)
    columns = RowColumns()
    for i, price in enumerate(price for price in FAR if price < NEAR):
        columns.append((RowKind.BOOK_LEVEL, 0, BUY_FLAG, price, 5, 1, i, i))

    assert engine.take_rows(RowBlock.of(columns), 0, 10) == len(columns)
    assert list(engine.markets[0].levels(BUY))[-2:] == [900_000, 40]


def test_a_price_that_no_ladder_reaches_is_an_error_that_names_the_market() -> None:
    engine = engine_at(NEAR, is_recorded=True)

    with pytest.raises(InvariantError, match=r"sim:COIN-USDT: price 10{11} ticks is too far"):
        engine.markets[0].set_background(SELL, 10**11, 1)


def test_a_listing_shows_ours_live_and_the_background_alone_when_asked() -> None:
    market = engine_at(NEAR, is_recorded=False).markets[0]

    assert market.offers(SELL) == [(NEAR + 1, 7), (NEAR + 2, 2)]
    assert market.levels(SELL) == {NEAR + 1: 7}
    assert market.offers(BUY, 1) == [(NEAR - 1, 12)]
    assert market.touch == (NEAR - 1, 10, NEAR + 1, 7)


def test_a_long_side_is_listed_whole() -> None:
    engine = make_engine(bids=dict.fromkeys(range(100, 5_100), 1), asks={}, rules=make_rules(max_price=10**6))

    assert len(engine.markets[0].levels(BUY)) == 5_000
    assert len(engine.markets[0].levels(BUY, 4_999)) == 4_999
