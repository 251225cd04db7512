"""The order table: terminal orders stay terminal, quantities are conserved whatever the order of events."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import make_execution, make_terms
from tradebot.core.errors import InvariantError
from tradebot.core.orders import (
    ORDER_TRANSITIONS,
    OrderEventKind,
    OrderState,
    OrderStatus,
    next_status,
)

_FILLS = {OrderEventKind.FILL, OrderEventKind.FILL_COMPLETE}
_REOPENING = _FILLS | {OrderEventKind.RECOVERED}


def test_only_a_fill_or_a_recovery_moves_an_order_out_of_a_terminal_status() -> None:
    for (status, kind), after in ORDER_TRANSITIONS.items():
        if status.is_terminal and after is not status:
            assert kind in _REOPENING, (status, kind, after)


def test_a_late_fill_books_quantity_without_reopening_a_canceled_order() -> None:
    order = OrderState(make_terms(qty="2"))
    order.apply(OrderEventKind.ACCEPTED, 1)
    order.apply(OrderEventKind.CANCELED, 2)

    assert order.apply_fill(make_execution(qty="1"), 3)

    assert order.status is OrderStatus.CANCELED
    assert order.filled_qty == Decimal(1)
    assert order.leaves_qty == 0


def test_late_cancel_ack_does_not_reopen_a_filled_order() -> None:
    order = OrderState(make_terms(qty="1"))
    order.apply_fill(make_execution(qty="1"), 1)
    order.apply(OrderEventKind.CANCELED, 2)
    order.apply(OrderEventKind.ACCEPTED, 3)

    assert order.status is OrderStatus.FILLED


def test_every_live_status_can_become_unknown_and_unknown_can_end_every_way() -> None:
    live = [s for s in OrderStatus if not s.is_terminal]
    for status in live:
        assert next_status(status, OrderEventKind.OUTCOME_UNKNOWN) is OrderStatus.UNKNOWN
    ends = {next_status(OrderStatus.UNKNOWN, k) for s, k in ORDER_TRANSITIONS if s is OrderStatus.UNKNOWN}
    assert {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED} <= ends


def test_the_same_execution_is_booked_once() -> None:
    order = OrderState(make_terms(qty="2"))

    assert order.apply_fill(make_execution(exec_id="7", qty="1"), 1)
    assert not order.apply_fill(make_execution(exec_id="7", qty="1"), 2)
    assert order.filled_qty == Decimal(1)


def test_fills_beyond_the_ordered_quantity_are_an_invariant_breach() -> None:
    order = OrderState(make_terms(qty="1"))

    with pytest.raises(InvariantError, match="exceed"):
        order.apply_fill(make_execution(qty="1.5"), 1)


def test_an_edge_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(InvariantError, match="impossible"):
        next_status(OrderStatus.FILLED, OrderEventKind.ASKED)


@given(st.lists(st.sampled_from(list(OrderEventKind)), max_size=12), st.integers(1, 5))
def test_any_legal_order_of_events_conserves_quantity(kinds: list[OrderEventKind], qty: int) -> None:
    order = OrderState(make_terms(qty=str(qty)))
    booked = 0
    for number, kind in enumerate(kinds):
        if kind in _FILLS:
            if booked < qty:
                booked += order.apply_fill(make_execution(exec_id=str(number), qty="1"), number)
        elif (order.status, kind) in ORDER_TRANSITIONS:
            order.apply(kind, number)

    assert order.filled_qty == booked
    assert 0 <= order.leaves_qty <= qty - booked
    if booked == qty:
        assert order.status is OrderStatus.FILLED
