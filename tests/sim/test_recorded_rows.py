"""Recorded rows taken many at a time and one by one leave the same market, the same queues and the same fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kit import NOW_NS, make_engine, make_order
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, MarketRow, RowColumns, RowKind
from tradebot.core.orders import OrderType, Side
from tradebot.core.row_block import RowBlock
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import SimEvent

KINDS = [
    RowKind.TRADE,
    RowKind.TRADE,
    RowKind.BBO,
    RowKind.BOOK_LEVEL,
    RowKind.BOOK_LEVEL,
    RowKind.BOOK_LEVEL,
    RowKind.SNAPSHOT_LEVEL,
    RowKind.BOOK_CLEAR,
    RowKind.BOOK_STATE,
    RowKind.MARK_PRICE,
]
ROWS = st.lists(
    st.builds(
        lambda kind, side, price, qty, row_id, wait: (kind, side, price, qty, row_id, wait),
        st.sampled_from(KINDS),
        st.sampled_from([BUY_FLAG, SELL_FLAG]),
        st.integers(96, 104),
        st.integers(0, 6),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    max_size=40,
)
ORDERS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.sampled_from([OrderType.LIMIT, OrderType.LIMIT, OrderType.STOP, OrderType.TAKE_PROFIT]),
        st.integers(96, 104),
        st.integers(1, 8),
    ),
    max_size=8,
)


def play(
    rows: Sequence[tuple[int, ...]], orders: Sequence[tuple[Any, ...]], *, many: bool
) -> tuple[list[list[SimEvent]], Any]:
    engine = make_engine(is_recorded=True, bids={99: 5, 98: 5}, asks={101: 5, 102: 5})
    columns = RowColumns()
    now_ns = NOW_NS
    for kind, side, price, qty, row_id, wait in rows:
        now_ns += wait
        columns.append(MarketRow(kind, 0, side | LAST_FLAG, price, qty, row_id, now_ns, now_ns))
    block, said, done = RowBlock.of(columns), [], 0

    def run_to(stop: int) -> None:
        nonlocal done
        while done < stop:
            at_ns = columns.receive_time_ns[stop - 1]
            if many:
                done = engine.take_rows(RowBlock(block.data[:, :stop].copy()), done, at_ns)
            if done < stop:
                said.append(engine.on_rows(columns, done, done + 1, columns.receive_time_ns[done]))
                done += 1

    for number, (at, side, order_type, price, lots) in enumerate(sorted(orders, key=lambda one: one[0])):
        run_to(min(at, len(rows)))
        given_prices = {"price": price} if order_type is OrderType.LIMIT else {"stop_price": price}
        new = make_order(side, lots, order_type=order_type, client_order_id=str(number), **given_prices)
        said.append(engine.place(new, NOW_NS + number).events)
    run_to(len(rows))
    said.append(probe_touch(engine, now_ns))
    return [events for events in said if events], snapshot(engine)


def probe_touch(engine: MatchingEngine, now_ns: int) -> list[SimEvent]:
    """Find out from which update id on a book event at the touch is believed."""
    columns = RowColumns()
    for row_id in range(6):
        columns.append(MarketRow(RowKind.BOOK_LEVEL, 0, BUY_FLAG, 100, 10 + row_id, row_id, now_ns, now_ns))
    return engine.on_rows(columns, 0, len(columns), now_ns)


def snapshot(engine: MatchingEngine) -> Any:
    market = engine.markets[0]
    engine.assert_consistent()
    return (
        market.levels(Side.BUY),
        market.levels(Side.SELL),
        market.touch,
        market.last_price,
        [
            (order.order_id, order.status, order.filled_lots, market.queue_ahead(order.slot))
            for order in engine.open_orders("me")
        ],
    )


@settings(max_examples=150, deadline=None)
@given(ROWS, ORDERS)
def test_many_rows_at_once_and_one_by_one_are_the_same(
    rows: Sequence[tuple[int, ...]], orders: Sequence[tuple[Any, ...]]
) -> None:
    assert play(rows, orders, many=True) == play(rows, orders, many=False)


def test_many_resting_prices_move_up_in_their_queues_either_way() -> None:
    rows = [(int(RowKind.BOOK_LEVEL), BUY_FLAG, 21 + i, 3, 0, 1) for i in range(78)]
    orders = [(at, Side.BUY, OrderType.LIMIT, 21 + i, 1) for i in range(66) for at in (0, 78)]

    assert play(rows, orders, many=True) == play(rows, orders, many=False)


def test_rows_that_touch_no_order_are_one_call() -> None:
    engine = make_engine(is_recorded=True, bids={99: 5}, asks={101: 5})
    engine.place(make_order(Side.BUY, 1, 90), NOW_NS)
    columns = RowColumns()
    columns.extend([MarketRow(RowKind.TRADE, 0, SELL_FLAG, 91 + i % 7, 1, 0, i, NOW_NS + i) for i in range(1_000)])
    columns.append(MarketRow(RowKind.TRADE, 0, SELL_FLAG, 90, 1, 0, 1_000, NOW_NS + 1_000))

    assert engine.take_rows(RowBlock.of(columns), 0, NOW_NS + 2_000) == 1_000
    assert engine.take_rows(RowBlock.of(columns), 1_000, NOW_NS + 2_000) == 1_000
