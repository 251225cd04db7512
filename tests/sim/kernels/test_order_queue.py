"""Feeds of single orders: our place in the queue is exact, whatever happens around us."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kernels import kit
from tests.sim.kernels.kit import Step, models, scripts
from tests.sim.kernels.reference import Model
from tests.sim.kernels.reference_orders import OrderReference, Resting
from tradebot.core import columns
from tradebot.core.columns import BOTH, BUYER, MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels import api, queues
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.feed import Feed

pytestmark = pytest.mark.timeout(300)
ADD, CANCEL, MODIFY, FILL = columns.ORDER_ADD, columns.ORDER_CANCEL, columns.ORDER_MODIFY, columns.ORDER_FILL
TRADE, CLEAR = columns.TRADE, columns.CLEAR
Row = tuple[int, int, int, int, int, int]
"""Exchange time, local time, flags, price, quantity, order id."""


def order_columns(rows: Sequence[Row]) -> MarketColumns:
    table = [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.zeros(0)] * 6
    exchange, local, flags, price, qty, ids = table
    return MarketColumns(
        exchange.astype(np.int64), local.astype(np.int64), flags.astype(np.uint8), price.astype(np.int64),
        qty.astype(np.int64), ids.astype(np.int64),
    )  # fmt: skip


class Venue:
    """Writes what a venue with time priority would publish."""

    def __init__(self, fills_remove: bool) -> None:
        self.fills_remove = fills_remove
        self.orders: list[Resting] = []
        self.rows: list[Row] = []
        self.now = self.local = 100
        self.next_id = 1

    def tell(self, kind: int, side: int, price: int, qty: int, id_: int) -> None:
        flags = kind | BOTH | (BUYER if side > 0 else 0)
        self.rows.append((self.now, self.local, flags, price, qty, id_))

    def add(self, side: int, price: int, qty: int) -> None:
        order = Resting(self.next_id, side, price, qty)
        self.next_id += 1
        self.orders.append(order)
        self.tell(ADD, side, price, qty, order.id)

    def drop(self, order: Resting) -> None:
        self.orders.remove(order)
        self.tell(CANCEL, order.side, 0, 0, order.id)

    def take(self, side: int, qty: int, most: int) -> None:
        """A taker: matches best price first, at a price the oldest; the order is the order of the list."""
        makers = sorted((one for one in self.orders if one.side == -side), key=lambda one: one.price * side)
        for maker in makers[:most]:
            done = min(qty, maker.qty)
            if not done:
                return
            qty -= done
            self.tell(FILL, maker.side, maker.price, done, maker.id)
            if not self.fills_remove:
                left = maker.qty - done
                self.tell(MODIFY if left else CANCEL, maker.side, maker.price, left, maker.id)
            maker.qty -= done
            if not maker.qty:
                self.orders.remove(maker)

    def modify(self, order: Resting, price: int, qty: int) -> None:
        if price != order.price or qty > order.qty:
            self.orders.remove(order)
            self.orders.append(order)
        order.price, order.qty = price, qty
        self.tell(MODIFY, order.side, price, qty, order.id)

    def snapshot(self, side: int) -> None:
        """Begin a side anew; a few orders are gone, the others are told again in any order."""
        self.tell(CLEAR, side, 0, 0, 0)
        for order in reversed([one for one in self.orders if one.side == side]):
            self.tell(ADD, side, order.price, order.qty, order.id)


@st.composite
def order_feeds(draw: st.DrawFn) -> tuple[MarketColumns, bool]:
    """Draw what a venue publishes, order by order."""
    venue = Venue(draw(st.booleans()))
    for side, price in ((1, 99), (1, 98), (-1, 101), (-1, 102), (1, 99), (-1, 101)):
        venue.add(side, price, draw(st.integers(1, 4)))
    for _ in range(draw(st.integers(5, 45))):
        venue.now += draw(st.integers(0, 3))
        venue.local = max(venue.local, venue.now + draw(st.integers(0, 4)))
        side = draw(st.sampled_from((1, -1)))
        choice = draw(st.integers(0, 39))
        order = draw(st.sampled_from(venue.orders)) if venue.orders else None
        if choice == 0:
            venue.snapshot(side)
        elif choice == 1:
            venue.tell(TRADE, side, draw(st.integers(98, 102)), 1, 0)
        elif choice < 18 or order is None:
            venue.add(side, draw(kit.BID_PRICES if side > 0 else kit.ASK_PRICES), draw(st.integers(1, 4)))
        elif choice < 25:
            venue.drop(order)
        elif choice < 31:
            price = draw(kit.BID_PRICES if order.side > 0 else kit.ASK_PRICES)
            venue.modify(order, draw(st.sampled_from((order.price, price))), draw(st.integers(1, 4)))
        else:
            venue.take(side, draw(st.integers(1, 5)), 3)
    return order_columns(venue.rows), venue.fills_remove


def fifo_models() -> st.SearchStrategy[Model]:
    return models().map(lambda model: dataclasses.replace(model, queue=queues.FIFO, impact=False))


def run_both(feed: tuple[MarketColumns, bool], model: Model, script: list[Step]) -> tuple[list[Any], list[Any]]:
    rows, fills_remove = feed
    made = Feed.of_orders(rows, model.smallest_entry_ns, fills_remove=fills_remove)
    found = kit.play_kernels(kit.simulator_of(made, model), script)
    return found, kit.play_reference([OrderReference(rows, model, fills_remove=fills_remove)], script)


@given(order_feeds(), fifo_models(), scripts())
@settings(max_examples=250, deadline=None)
def test_kernels_agree_with_the_reference_order_by_order(
    feed: tuple[MarketColumns, bool], model: Model, script: list[Step]
) -> None:
    found, expected = run_both(feed, model, script)

    assert found == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(order_feeds(), fifo_models(), scripts())
@settings(max_examples=1_500, deadline=None)
def test_kernels_agree_with_the_reference_order_by_order_at_length(
    feed: tuple[MarketColumns, bool], model: Model, script: list[Step]
) -> None:
    found, expected = run_both(feed, model, script)

    assert found == expected


def both(kind: int, at_ns: int, side: int, price: int, qty: int, id_: int) -> Row:
    return (at_ns, at_ns, kind | BOTH | (BUYER if side > 0 else 0), price, qty, id_)


def ahead_after(*later: Row) -> tuple[float, list[int]]:
    """Rest 5 lots behind orders 1 (3 lots) and 2 (4 lots) at 99; return what is ahead then, and our fills."""
    rows = [both(ADD, 100, 1, 99, 3, 1), both(ADD, 101, 1, 99, 4, 2), both(ADD, 101, -1, 105, 9, 3), *later]
    feed = Feed.of_orders(order_columns(rows))
    simulator = kit.simulator_of(feed, Model(queue=queues.FIFO, partial_fills=True))
    sim = simulator.handle
    market = api.market(sim, 0)
    api.elapse(sim, 1)
    api.submit_buy(market, 99, 5, at.GTC)
    api.elapse(sim, 100)
    simulator.run(lambda _handle: None)
    ours = next(one for one in simulator.block().orders if one[at.ID] > 0)
    return float(ours.view(np.float64)[at.F_AHEAD]), [int(row[4]) for row in simulator.fills()]


def test_an_order_behind_us_that_leaves_does_not_bring_us_forward() -> None:
    joins, leaves = both(ADD, 110, 1, 99, 6, 9), both(CANCEL, 111, 1, 0, 0, 9)

    assert ahead_after(joins, leaves) == (7.0, [])


def test_an_order_ahead_of_us_that_leaves_brings_us_forward_by_its_whole_quantity() -> None:
    assert ahead_after(both(CANCEL, 110, 1, 0, 0, 1)) == (4.0, [])
    assert ahead_after(both(CANCEL, 110, 1, 0, 0, 2)) == (3.0, [])


def test_a_smaller_order_keeps_its_place_and_a_larger_one_goes_behind_us() -> None:
    assert ahead_after(both(MODIFY, 110, 1, 99, 1, 2)) == (4.0, [])
    assert ahead_after(both(MODIFY, 110, 1, 99, 8, 2)) == (3.0, [])
    assert ahead_after(both(MODIFY, 110, 1, 99, 8, 2), both(CANCEL, 111, 1, 0, 0, 2)) == (3.0, [])


def test_a_match_of_an_order_behind_us_would_have_been_ours_one_ahead_of_us_is_not() -> None:
    behind = both(ADD, 110, 1, 99, 6, 9)

    assert ahead_after(behind, both(FILL, 111, 1, 99, 2, 1)) == (5.0, [])
    assert ahead_after(behind, both(FILL, 111, 1, 99, 2, 9)) == (7.0, [2])


def test_a_snapshot_in_the_middle_gives_each_order_its_place_back() -> None:
    again = [both(CLEAR, 110, 1, 0, 0, 0), both(ADD, 110, 1, 99, 4, 2), both(ADD, 110, 1, 99, 7, 20)]

    assert ahead_after(*again) == (4.0, [])  # 2 is told again, 1 is gone, 20 came after us


BAD = {
    "already": (both(ADD, 110, 1, 98, 1, 1), "the order is in the book already"),
    "unknown": (both(CANCEL, 110, 1, 0, 0, 77), "id 77: the order is not in the book"),
    "side": (both(MODIFY, 110, -1, 99, 1, 1), "the order is of the other side"),
    "too much": (both(FILL, 110, 1, 99, 4, 1), "more is filled than the order has left"),
    "quantity": (both(ADD, 110, 1, 98, -1, 8), "its quantity is zero, negative or absurd"),
    "price": (both(ADD, 110, 1, 1 << 50, 1, 8), "drop the outliers"),
    "a level": (both(columns.LEVEL, 110, 1, 98, 1, 0), "a kind that a feed of orders does not have"),
    "one clock": ((110, 110, ADD | columns.AT_LOCAL, 98, 1, 8), "both clocks must have seen"),
    "time": (both(ADD, 90, 1, 98, 1, 8), "its exchange time is before the row above"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_number(name: str) -> None:
    row, text = BAD[name]
    rows = [both(ADD, 100, 1, 99, 3, 1), both(MODIFY, 101, 1, 97, 3, 1), both(MODIFY, 101, 1, 99, 3, 1), row]
    with pytest.raises(InvariantError, match=text) as caught:
        Feed.of_orders(order_columns(rows))

    assert "row 3" in str(caught.value) or name == "price"


def test_the_strategy_sees_levels_trades_and_the_orders_they_came_from() -> None:
    rows = [both(ADD, 100, 1, 99, 3, 11), both(ADD, 100, -1, 101, 2, 12), both(FILL, 103, 1, 99, 1, 11)]
    simulator = kit.simulator_of(Feed.of_orders(order_columns(rows)), Model(queue=queues.FIFO))
    sim = simulator.handle  # an address: the simulator has to live
    market = api.market(sim, 0)
    api.elapse(sim, 10)

    seen = [
        (api.row_flags(market, row) & (columns.KIND_MASK | BUYER), api.row_price(market, row),
         api.row_qty(market, row), api.row_order_id(market, row))
        for row in range(api.rows_end(market))
    ]  # fmt: skip
    assert seen == [
        (columns.LEVEL | BUYER, 99, 3, 11), (columns.LEVEL, 101, 2, 12), (TRADE, 99, 1, 11),
        (columns.LEVEL | BUYER, 99, 2, 11),
    ]  # fmt: skip
    assert (api.best_bid(market), api.depth_at(market, 1, 99)) == (99, 2)


def test_the_exact_queue_is_refused_where_orders_have_no_ids() -> None:
    rows = kit.make_columns([kit.Happening(100, 100, columns.LEVEL, True, 99, 1)])

    with pytest.raises(InvariantError, match=r"needs Feed\.of_orders"):
        kit.make_simulator(rows, Model(queue=queues.FIFO))
