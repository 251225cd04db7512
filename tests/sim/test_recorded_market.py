"""Our orders against a recording: history does not change, and nothing is used twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kit import NOW_NS, fills, make_engine, make_order
from tradebot.core.market import BUY_FLAG, SELL_FLAG, RowColumns, RowKind
from tradebot.core.orders import Liquidity, Side, TimeInForce
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import OrderReport, SimEvent, TapeTrade

BUY, SELL = Side.BUY, Side.SELL


def play(engine: MatchingEngine, *rows: tuple[RowKind, Side, int, int, int]) -> list[SimEvent]:
    """Apply rows of (kind, side, price, lots, id)."""
    columns = RowColumns()
    for kind, side, price, lots, row_id in rows:
        columns.append((kind, 0, BUY_FLAG if side is BUY else SELL_FLAG, price, lots, row_id, 0, 0))
    return engine.on_rows(columns, 0, len(columns), NOW_NS)


def trade(aggressor: Side, price: int, lots: int) -> tuple[RowKind, Side, int, int, int]:
    return RowKind.TRADE, aggressor, price, lots, 1


def level(side: Side, price: int, lots: int, row_id: int = 1) -> tuple[RowKind, Side, int, int, int]:
    return RowKind.BOOK_LEVEL, side, price, lots, row_id


def bbo(side: Side, price: int, lots: int, row_id: int) -> tuple[RowKind, Side, int, int, int]:
    return RowKind.BBO, side, price, lots, row_id


def recorded_engine() -> MatchingEngine:
    return make_engine(bids={99: 10, 98: 10}, asks={101: 10, 102: 10}, is_recorded=True)


def test_displayed_quantity_is_not_taken_twice_until_the_recording_speaks_again() -> None:
    engine = recorded_engine()
    first = engine.place(make_order(BUY, 8, 101, time_in_force=TimeInForce.IOC), NOW_NS)
    second = engine.place(make_order(BUY, 8, 101, time_in_force=TimeInForce.IOC), NOW_NS)
    play(engine, level(SELL, 101, 10))
    third = engine.place(make_order(BUY, 8, 101, time_in_force=TimeInForce.IOC), NOW_NS)

    assert [sum(lots for _, _, lots in fills(one.events)) for one in (first, second, third)] == [8, 2, 8]


def test_a_taker_walks_on_when_the_touch_is_used_up() -> None:
    engine = recorded_engine()
    engine.place(make_order(BUY, 10), NOW_NS)
    outcome = engine.place(make_order(BUY, 3), NOW_NS)

    assert [(price, lots) for _, price, lots in fills(outcome.events)] == [(102, 3)]


def test_our_fills_do_not_print_on_a_recorded_tape_or_move_its_last_price() -> None:
    engine = recorded_engine()
    outcome = engine.place(make_order(BUY, 10), NOW_NS)

    assert not any(isinstance(event, TapeTrade) for event in outcome.events)
    assert engine.markets[0].last_price == 100


def test_a_trade_at_our_price_eats_the_queue_first() -> None:
    engine = recorded_engine()
    mine = make_order(BUY, 4, 99)
    engine.place(mine, NOW_NS)

    assert fills(play(engine, trade(SELL, 99, 10))) == []
    events = play(engine, trade(SELL, 99, 3))
    assert fills(events) == [(mine.client_order_id, 99, 3)]
    assert [e.fill.liquidity for e in events if isinstance(e, OrderReport) and e.fill] == [Liquidity.MAKER]


def test_two_of_our_orders_at_one_price_keep_the_background_between_them() -> None:
    engine = recorded_engine()
    first, second = make_order(BUY, 2, 99), make_order(BUY, 2, 99)
    engine.place(first, NOW_NS)
    play(engine, level(BUY, 99, 15))
    engine.place(second, NOW_NS)
    events = play(engine, trade(SELL, 99, 16))

    assert fills(events) == [(first.client_order_id, 99, 2)]
    assert fills(play(engine, trade(SELL, 99, 3))) == [(second.client_order_id, 99, 2)]


def test_a_trade_through_our_price_fills_us_at_our_price_up_to_its_quantity() -> None:
    engine = recorded_engine()
    mine = make_order(BUY, 5, 100)
    engine.place(mine, NOW_NS)

    assert fills(play(engine, trade(SELL, 99, 3))) == [(mine.client_order_id, 100, 3)]


def test_a_level_cut_below_our_queue_moves_us_up() -> None:
    engine = recorded_engine()
    mine = make_order(BUY, 4, 99)
    engine.place(mine, NOW_NS)
    play(engine, level(BUY, 99, 2))
    play(engine, level(BUY, 99, 50))

    assert fills(play(engine, trade(SELL, 99, 3))) == [(mine.client_order_id, 99, 1)]


def test_a_book_that_moves_through_our_order_fills_it_with_what_is_displayed() -> None:
    engine = recorded_engine()
    mine = make_order(BUY, 5, 100)
    engine.place(mine, NOW_NS)
    events = play(engine, level(SELL, 100, 3))

    assert fills(events) == [(mine.client_order_id, 100, 3)]
    assert fills(play(engine, level(SELL, 99, 1), level(SELL, 98, 9))) == [
        (mine.client_order_id, 100, 1),
        (mine.client_order_id, 100, 1),
    ]


def test_the_newer_best_price_beats_an_older_book_event() -> None:
    engine = recorded_engine()
    play(engine, bbo(BUY, 99, 10, 20), bbo(SELL, 103, 4, 20), level(SELL, 101, 10, 15), level(SELL, 105, 7, 15))

    market = engine.markets[0]
    assert market.best(SELL) == 103
    assert market.levels(SELL)[105] == 7
    outcome = engine.place(make_order(BUY, 5), NOW_NS)
    assert [(price, lots) for _, price, lots in fills(outcome.events)] == [(103, 4), (105, 1)]


def test_a_newer_book_event_beats_the_best_price_before_it() -> None:
    engine = recorded_engine()
    play(engine, bbo(SELL, 103, 4, 20), level(SELL, 101, 10, 21))

    assert engine.markets[0].best(SELL) == 101


def test_a_snapshot_forgets_the_book_before_it() -> None:
    engine = recorded_engine()
    play(engine, (RowKind.BOOK_CLEAR, BUY, 0, 0, 1), (RowKind.SNAPSHOT_LEVEL, BUY, 90, 5, 1))

    assert (engine.markets[0].best(BUY), engine.markets[0].best(SELL)) == (90, None)


def test_two_accounts_that_meet_after_a_crossing_trade_the_same_lots() -> None:
    funds = {"USDT": 10**6, "COIN": 10**4}
    engine = make_engine(balances={"me": funds, "you": funds}, is_recorded=True)
    mine, yours = make_order(BUY, 5, 100), make_order(SELL, 4, 100, account="you")
    engine.place(mine, NOW_NS)
    play(engine, level(SELL, 100, 3))
    events = engine.place(yours, NOW_NS).events

    assert fills(events) == [(mine.client_order_id, 100, 2), (yours.client_order_id, 100, 2)]


def test_what_we_took_from_a_level_is_not_ahead_of_us_there() -> None:
    engine = recorded_engine()
    engine.place(make_order(SELL, 6, 99, time_in_force=TimeInForce.IOC), NOW_NS)
    mine = make_order(BUY, 2, 99)
    engine.place(mine, NOW_NS)

    assert fills(play(engine, trade(SELL, 99, 5))) == [(mine.client_order_id, 99, 1)]


row_sides = st.sampled_from(Side)
row_prices = st.integers(97, 103)
row_lots = st.integers(0, 6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("level"), row_sides, row_prices, row_lots),
            st.tuples(st.just("trade"), row_sides, row_prices, st.integers(1, 6)),
            st.tuples(st.just("order"), row_sides, row_prices, st.integers(1, 6)),
        ),
        max_size=40,
    )
)
def test_nothing_displayed_is_used_twice_and_no_order_of_ours_stays_crossed(
    script: list[tuple[str, Side, int, int]],
) -> None:
    engine = make_engine(is_recorded=True)
    market = engine.markets[0]
    shown: dict[tuple[Side, int], int] = {}
    used: dict[tuple[Side, int], int] = {}
    for name, side, price, lots in script:
        if name == "level":
            best = market.best_background(side.opposite)
            if lots and best is not None and (price >= best if side is BUY else price <= best):
                continue  # a recorded book is not crossed
            shown[side, price], used[side, price] = lots, 0
            events = play(engine, level(side, price, lots))
        elif name == "trade":
            events = play(engine, trade(side, price, lots))
        else:
            events = engine.place(make_order(side, lots, price), NOW_NS).events
        for event in events:
            if isinstance(event, OrderReport) and event.fill and event.fill.liquidity is Liquidity.TAKER:
                key = (event.terms.side.opposite, event.fill.price)
                used[key] = used.get(key, 0) + event.fill.lots

        assert all(lots_used <= shown.get(key, 0) for key, lots_used in used.items())
        for own_side in Side:
            for own_price in {order.terms.price for order in engine.open_orders("me") if order.terms.side is own_side}:
                against = market.best(own_side.opposite)
                assert against is None or (own_price - against) * own_side.sign < 0
        engine.assert_consistent()
