"""Positions against a slow, obvious FIFO-free ledger: cash plus inventory must tell the same story."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.orders import Side
from tradebot.core.positions import Position

fills = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(1, 50), st.integers(1, 200), st.integers(-2, 2)), max_size=40
)


@given(fills, st.integers(1, 200))
def test_realized_plus_unrealized_minus_fees_equals_the_cash_ledger(
    rows: list[tuple[Side, int, int, int]], mark: int
) -> None:
    position = Position()
    cash, inventory = Decimal(0), Decimal(0)
    for side, qty, price, fee in rows:
        position.apply_fill(side, Decimal(qty), Decimal(price), Decimal(fee))
        cash -= side.sign * qty * Decimal(price) + fee
        inventory += side.sign * qty

    total = position.realized_pnl + position.unrealized_pnl(Decimal(mark)) - position.fees_paid

    assert position.qty == inventory
    assert abs(total - (cash + inventory * mark)) < Decimal("1e-18")


def test_a_flip_closes_at_the_old_average_and_opens_at_the_fill_price() -> None:
    position = Position()
    position.apply_fill(Side.BUY, Decimal(2), Decimal(100))

    realized = position.apply_fill(Side.SELL, Decimal(5), Decimal(110))

    assert realized == Decimal(20)
    assert position.qty == Decimal(-3)
    assert position.avg_price == Decimal(110)


def test_a_fee_in_the_base_asset_shrinks_the_position_and_costs_its_value_once() -> None:
    position = Position()
    position.apply_fill(Side.BUY, Decimal(1), Decimal(100), Decimal("0.1"))
    position.remove_base(Decimal("0.001"))

    total = position.unrealized_pnl(Decimal(100)) + position.realized_pnl - position.fees_paid

    assert position.qty == Decimal("0.999")
    assert total == Decimal("-0.1")
