"""Margin arithmetic: published worked examples, and the liquidation price by definition."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from riskd.margin import EXHAUSTED_PPM, MarginUse, initial_margin, liquidation_price, maintenance_margin, use
from tradebot.core.accounts import MarginState
from tradebot.core.pnl import SPOT, UNIT, Contract, Inventory

USD = Contract(UNIT, True)


def held(contract: Contract, qty: int, price: int) -> Inventory:
    inventory = Inventory()
    inventory.apply(qty * UNIT, contract.flow(qty * UNIT, price * UNIT))
    return inventory


def test_initial_and_maintenance_margin_by_published_examples() -> None:
    """BitDu help, "Initial Margin & Maintenance Margin": 1 BTC at 10,000 with 50x needs 200. BitMart help: 1,000 USDT
    with 50x needs 20 and keeps 5 at 0.5 %. Flipster help: 0.1 BTC at 30,000, 10x and 1 %: 300 and 30.
    """
    assert initial_margin(10_000 * UNIT, 50 * UNIT) == 200 * UNIT
    assert (initial_margin(1_000 * UNIT, 50 * UNIT), maintenance_margin(1_000 * UNIT, 5_000)) == (20 * UNIT, 5 * UNIT)
    assert (initial_margin(3_000 * UNIT, 10 * UNIT), maintenance_margin(3_000 * UNIT, 10_000)) == (
        300 * UNIT,
        30 * UNIT,
    )


def test_margins_round_up_and_a_deduction_never_makes_them_negative() -> None:
    assert initial_margin(10, 3 * UNIT) == 4
    assert maintenance_margin(1, 1) == 1
    assert maintenance_margin(1_000 * UNIT, 5_000, 2 * UNIT) == 3 * UNIT
    assert maintenance_margin(1_000 * UNIT, 5_000, 6 * UNIT) == 0


def test_a_margin_account_shows_its_use_rounded_up() -> None:
    def state(balance: str) -> MarginState:
        return MarginState("okx", "main", "USDT", Decimal(balance), Decimal(60), Decimal(1), 0)

    assert use(state("300")) == MarginUse(200_000, 3_334)
    assert use(state("0")) == use(state("-5")) == MarginUse(EXHAUSTED_PPM, EXHAUSTED_PPM)


@pytest.mark.parametrize(
    ("qty", "margin", "rate_ppm", "price"),
    [
        # Long 1 at 20,000, 50x: margin 400, maintenance 0.5 % of the value: 19,600 / 0.995.
        (1, 400, 5_000, Fraction(19_600 * 1000, 995)),
        (-1, 400, 5_000, Fraction(20_400 * 1000, 1005)),
        # No maintenance margin: the bankruptcy price.
        (1, 400, 0, Fraction(19_600)),
        (-1, 400, 0, Fraction(20_400)),
    ],
)
def test_a_linear_position_is_liquidated_where_only_maintenance_margin_is_left(
    qty: int, margin: int, rate_ppm: int, price: Fraction
) -> None:
    found = liquidation_price(SPOT, qty * UNIT, held(SPOT, qty, 20_000).entry_flow, margin * UNIT, rate_ppm)

    assert found is not None
    assert 0 <= (Fraction(found, UNIT) - price) * qty < Fraction(1, UNIT)  # towards the market, by less than a unit


def test_the_tier_deduction_moves_the_liquidation_away() -> None:
    flow = held(SPOT, 1, 20_000).entry_flow

    assert liquidation_price(SPOT, UNIT, flow, 400 * UNIT, 10_000, 100 * UNIT) == -(-19_500 * 100 * UNIT // 99)


def test_a_fully_paid_long_and_a_covered_inverse_short_are_never_liquidated() -> None:
    assert liquidation_price(SPOT, UNIT, held(SPOT, 1, 20_000).entry_flow, 20_000 * UNIT, 5_000) is None
    assert liquidation_price(USD, -10_000 * UNIT, held(USD, -10_000, 20_000).entry_flow, UNIT // 2, 5_000) is None


def test_a_venue_that_keeps_maintenance_margin_of_the_entry_value_is_the_same_with_that_much_less_margin() -> None:
    """Bybit help centre, "Liquidation Price Calculation (USDT Contract)": entry -+ (initial - maintenance) / size."""
    for qty, price in ((1, 19_700), (-1, 20_300)):
        inventory = held(SPOT, qty, 20_000)
        left = initial_margin(20_000 * UNIT, 50 * UNIT) - maintenance_margin(20_000 * UNIT, 5_000)
        assert liquidation_price(SPOT, qty * UNIT, inventory.entry_flow, left, 0) == price * UNIT


def test_an_inverse_position_is_liquidated_by_the_coin_value_of_its_contracts() -> None:
    # Long: margin V / 10 and gain V - v / p leave v / p x 0.5 %, so p = entry x (1 + 0.005) / (1 + 1 / 10).
    for qty, price in ((10_000, Fraction(20_000 * 1005, 1100)), (-10_000, Fraction(20_000 * 995, 900))):
        inventory = held(USD, qty, 20_000)
        margin = abs(inventory.entry_flow) // 10
        found = liquidation_price(USD, qty * UNIT, inventory.entry_flow, margin, 5_000)
        assert found is not None
        assert float(Fraction(found, UNIT)) == pytest.approx(float(price), rel=1e-9)


@given(
    st.booleans(), st.booleans(), st.integers(1, 10_000), st.integers(10, 100_000), st.integers(2, 50),
    st.integers(0, 9_000),
)  # fmt: skip
def test_at_the_liquidation_price_the_margin_left_is_the_maintenance_margin(
    inverse: bool, short: bool, size: int, price: int, leverage: int, rate_ppm: int
) -> None:
    contract = Contract(100 * UNIT, True) if inverse else Contract(UNIT // 100)
    qty = -size if short else size
    inventory = held(contract, qty, price)
    value = contract.notional(qty * UNIT, price * UNIT)
    margin = initial_margin(value, leverage * UNIT)
    found = liquidation_price(contract, qty * UNIT, inventory.entry_flow, margin, rate_ppm)
    assume(found is not None)
    assert found is not None

    def left(at: int) -> int:
        notional = contract.notional(qty * UNIT, at)
        return margin + inventory.unrealized(contract, at) - maintenance_margin(notional, rate_ppm)

    step = max(1, found // 10**6)
    away = step if qty > 0 else -step
    assert left(found + away) > 0 > left(found - away)
