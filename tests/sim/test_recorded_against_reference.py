"""The engine over a recording and a slow, obvious venue agree on every fill, end, level and place in a queue."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kit import NOW_NS, make_engine
from tests.sim.recorded_reference import RecordedReference
from tests.sim.test_against_reference import make_placed, merged, order_steps
from tests.sim.test_perpetuals import perpetual
from tradebot.core.market import BUY_FLAG, SELL_FLAG, BookState, RowColumns, RowKind
from tradebot.core.orders import Side
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import NewOrder, OrderReport, SimEvent

# The first test of a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)

LAST_PRICE = 100
Row = tuple[RowKind, Side, int, int, int]
"""Kind, side, price, lots, id."""
LEVELS = (RowKind.BOOK_LEVEL, RowKind.BOOK_LEVEL, RowKind.BBO, RowKind.BBO, RowKind.SNAPSHOT_LEVEL)
sides, ids = st.sampled_from(Side), st.integers(0, 4)
prices, lots = st.integers(98, 102), st.integers(1, 9)
rows: st.SearchStrategy[Row] = st.one_of(
    st.tuples(st.sampled_from(LEVELS), sides, prices, st.sampled_from((0, 2, 2, 3, 5)), ids),
    st.tuples(st.sampled_from(LEVELS), sides, prices, st.sampled_from((0, 2, 2, 3, 5)), ids),
    st.tuples(st.just(RowKind.TRADE), sides, prices, st.integers(1, 6), ids),
    st.tuples(st.just(RowKind.TRADE), sides, prices, st.integers(1, 6), ids),
    st.sampled_from(
        [
            (RowKind.BOOK_CLEAR, Side.BUY, 0, 0, 0),
            (RowKind.BOOK_STATE, Side.BUY, int(BookState.LIVE), 0, 0),
            (RowKind.BOOK_STATE, Side.BUY, int(BookState.STALE), 0, 0),
            (RowKind.MARK_PRICE, Side.BUY, 100, 0, 0),
        ]
    ),
)
# Mapped, a choice among many is one branch of the choice around it: else orders would be rare among the rows.
row_step: st.SearchStrategy[Any] = rows.map(tuple)
order_step: st.SearchStrategy[Any] = st.one_of(*order_steps()).map(tuple)
scripts = st.lists(st.one_of(row_step, order_step), min_size=15, max_size=40)


def play_row(engine: MatchingEngine, row: Row) -> list[SimEvent]:
    kind, side, price, lots, row_id = row
    columns = RowColumns()
    columns.append((kind, 0, BUY_FLAG if side is Side.BUY else SELL_FLAG, price, lots, row_id, NOW_NS, NOW_NS))
    return engine.on_rows(columns, 0, 1, NOW_NS)


def tell(reference: RecordedReference, row: Row) -> None:
    kind, side, price, lots, row_id = row
    match kind:
        case RowKind.TRADE:
            reference.row_trade(side, price, lots)
        case RowKind.BBO:
            reference.row_bbo(side, price, lots, row_id)
        case RowKind.BOOK_LEVEL | RowKind.SNAPSHOT_LEVEL:
            reference.row_level(side, price, lots, row_id, snapshot=kind is RowKind.SNAPSHOT_LEVEL)
        case RowKind.BOOK_CLEAR:
            reference.row_clear()
        case RowKind.BOOK_STATE if price != BookState.LIVE:
            reference.row_clear()


def play_order(engine: MatchingEngine, name: str, number: int, placed: list[NewOrder]) -> tuple[list[SimEvent], bool]:
    if name == "place":
        outcome = engine.place(placed[-1], NOW_NS)
    else:
        new = placed[number % len(placed)]
        order = engine.open_order(new.account, new.client_order_id)
        outcome = engine.cancel(new.account, order.order_id if order else 0, NOW_NS)
    return outcome.events, outcome.rejection is None


def fills_of(events: list[SimEvent]) -> list[tuple[Any, ...]]:
    return [
        (event.terms.client_order_id, event.fill.price, event.fill.liquidity.name.lower(), event.fill.lots)
        for event in events
        if isinstance(event, OrderReport) and event.fill is not None
    ]


def state_of(engine: MatchingEngine) -> Any:
    market = engine.markets[0]
    return (
        [list(market.levels(side).items()) for side in Side],
        [market.offers(side) for side in Side],
        market.last_price,
        sorted(
            (order.terms.client_order_id, order.leaves_lots, market.queue_ahead(order.slot) if order.working else 0)
            for account in engine.accounts
            for order in engine.open_orders(account)
        ),
    )


def state_of_reference(reference: RecordedReference) -> Any:
    resting, waiting = reference.resting, reference.waiting
    return (
        [[(one.price, one.lots) for one in reference.shown(side)] for side in Side],
        [reference.offers(side) for side in Side],
        reference.last_price,
        sorted(
            [(one.new.client_order_id, one.new.lots - one.done, one.ahead) for one in resting]
            + [(one.new.client_order_id, one.new.lots, 0) for one in waiting]
        ),
    )


def spot() -> MatchingEngine:
    funds = {"USDT": 10**9, "COIN": 10**9}
    return make_engine(balances={"me": funds, "you": funds}, last_price=LAST_PRICE, is_recorded=True)


def swap() -> MatchingEngine:
    """A perpetual has one account, and orders that only reduce."""
    funds = {"me": {"USDT": 10**9}}
    return make_engine(balances=funds, last_price=LAST_PRICE, is_recorded=True, rules=perpetual())


def compare(engine: MatchingEngine, script: list[Any]) -> None:
    """Play a script in both and compare after every step."""
    reference = RecordedReference(LAST_PRICE)
    placed: list[NewOrder] = []
    ended: dict[str, str] = {}
    for step in script:
        reference.fills.clear()
        if isinstance(step[0], RowKind):
            events = play_row(engine, step)
            tell(reference, step)
        else:
            name, values = step
            if name == "place":
                placed.append(make_placed(values, len(placed)))
            elif not placed:
                continue
            number = values.get("number", 0)
            events, taken = play_order(engine, name, number, placed)
            chosen = placed[number % len(placed)].client_order_id
            assert taken == (reference.place(placed[-1]) if name == "place" else reference.cancel(chosen)), step
        ended |= {
            event.terms.client_order_id: event.status.name
            for event in events
            if isinstance(event, OrderReport) and event.status.is_terminal
        }

        assert merged(fills_of(events)) == merged(reference.fills), step
        assert ended == reference.ended, step
        assert state_of(engine) == state_of_reference(reference), step
        engine.assert_consistent()


def with_reduce_only(step: Any, reduces: bool) -> Any:
    return (step[0], step[1] | {"account": "me", "reduce_only": reduces}) if step[0] == "place" else step


@st.composite
def swap_scripts(draw: st.DrawFn) -> list[Any]:
    """Begin with a book and a position, so that there is something to reduce."""
    levels = ((Side.BUY, 99), (Side.BUY, 98), (Side.SELL, 101), (Side.SELL, 102))
    taker = {"side": draw(sides), "lots": draw(lots), "account": "me", "reduce_only": False}
    reducing = {"side": st.just(taker["side"].opposite), "lots": lots, "price": prices, "reduce_only": st.just(True)}
    steps = st.one_of(
        row_step,
        st.builds(with_reduce_only, order_step, st.booleans()),
        st.tuples(st.just("place"), st.fixed_dictionaries({**reducing, "account": st.just("me")})),
    )
    begin = [(RowKind.SNAPSHOT_LEVEL, side, price, 5, 0) for side, price in levels]
    return [*begin, ("place", taker), *draw(st.lists(steps, min_size=15, max_size=40))]


@settings(max_examples=400, deadline=None)
@given(scripts)
def test_a_recording_and_the_reference_agree(script: list[Any]) -> None:
    compare(spot(), script)


@settings(max_examples=200, deadline=None)
@given(swap_scripts())
def test_orders_that_only_reduce_and_the_reference_agree(script: list[Any]) -> None:
    compare(swap(), script)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=5_000, deadline=None)
@given(scripts, swap_scripts())
def test_a_recording_and_the_reference_agree_at_length(script: list[Any], other: list[Any]) -> None:
    compare(spot(), script)
    compare(swap(), other)
