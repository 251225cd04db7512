"""One position against exact fractions: any sequence of fills, any product, to the last unit per fill."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import make_instrument
from tests.support.slow_pnl import SlowPosition
from tradebot.core.instruments import Product
from tradebot.core.pnl import SPOT, UNIT, Contract, Inventory, contract_of

sizes = st.sampled_from(["1", "0.01", "0.001", "10", "100", "0.000001"])
fills = st.lists(
    st.tuples(
        st.sampled_from([1, -1]),
        st.integers(1, 10**14),  # units: up to 100
        st.integers(10**6, 10**17),  # prices from 0.000001 to 100,000
    ),
    min_size=1,
    max_size=30,
)


def exact(units: int) -> Fraction:
    return Fraction(units, UNIT)


@settings(max_examples=150, deadline=None)
@given(st.booleans(), sizes, fills, st.integers(10**6, 10**17))
def test_realized_and_open_result_agree_with_lots_in_fractions(
    inverse: bool, size: str, rows: list[tuple[int, int, int]], mark: int
) -> None:
    contract = Contract(int(Fraction(size) * UNIT), inverse)
    slow = SlowPosition("inverse" if inverse else "linear", Fraction(size))
    held, moved = Inventory(), 0
    for side, qty, price in rows:
        flow = contract.flow(side * qty, price)
        moved += flow
        held.apply(side * qty, flow)
        slow.trade(side, exact(qty), exact(price))

    assert exact(held.qty) == slow.held
    assert held.realized + held.entry_flow == moved  # conserved to the last unit
    # Each fill rounds its flow once and the share of its entry once, both against us; marking rounds once more.
    slack = Fraction(2 * len(rows), UNIT)
    total = exact(held.realized + held.unrealized(contract, mark))
    assert 0 <= slow.realized + slow.open_result(exact(mark)) - total <= Fraction(len(rows) + 1, UNIT)
    assert -slack <= exact(held.realized) - slow.realized <= slack


@settings(max_examples=80, deadline=None)
@given(st.booleans(), fills)
def test_the_average_price_is_the_weighted_one_or_for_inverse_contracts_the_harmonic_one(
    inverse: bool, rows: list[tuple[int, int, int]]
) -> None:
    contract = Contract(100 * UNIT, inverse)
    slow, held = SlowPosition("inverse" if inverse else "linear", Fraction(100)), Inventory()
    for side, _, price in rows:
        qty = 10 * UNIT  # whole contracts, so that the flow has digits enough to speak of a price
        held.apply(side * qty, contract.flow(side * qty, max(price, UNIT)))
        slow.trade(side, exact(qty), exact(max(price, UNIT)))

    average = exact(contract.average_price(held.qty, held.entry_flow))
    assert abs(average - slow.average()) * 10**6 <= slow.average()


@pytest.mark.parametrize("inverse", [False, True])
def test_twenty_thousand_fills_drift_by_nothing(inverse: bool) -> None:
    rng, contract, held, moved = random.Random(7), Contract(UNIT // 1000, inverse), Inventory(), 0
    for _ in range(20_000):
        qty = rng.choice([-1, 1]) * rng.randrange(1, 10**14)
        flow = contract.flow(qty, rng.randrange(10**12, 10**17))
        moved += flow
        held.apply(qty, flow)
    flow = contract.flow(-held.qty, 50_000 * UNIT)
    held.apply(-held.qty, flow)

    assert (held.qty, held.entry_flow) == (0, 0)
    assert held.realized == moved + flow


def test_a_fill_of_a_linear_buy_costs_its_value_rounded_up_and_a_sell_brings_it_rounded_down() -> None:
    assert SPOT.flow(1, 1) == -1
    assert SPOT.flow(-1, 1) == 0
    assert SPOT.flow(2 * UNIT, 3 * UNIT) == -6 * UNIT
    assert Contract(UNIT // 100).flow(3 * UNIT, 50_000 * UNIT) == -1_500 * UNIT


def test_an_inverse_buy_is_worth_its_coin_rounded_down_and_a_sell_owes_it_rounded_up() -> None:
    contract = Contract(100 * UNIT, True)

    assert contract.flow(3 * UNIT, 7 * UNIT) == 300 * UNIT // 7
    assert contract.flow(-3 * UNIT, 7 * UNIT) == -(300 * UNIT // 7 + 1)


def test_notional_is_never_understated() -> None:
    inverse = Contract(100 * UNIT, True)

    assert (SPOT.notional(1, 1), SPOT.notional(-1, 1)) == (1, 1)
    assert inverse.notional(3 * UNIT, 7 * UNIT) == inverse.notional(-3 * UNIT, 7 * UNIT) == 300 * UNIT // 7 + 1
    assert inverse.quote_notional(-3 * UNIT, 7 * UNIT) == 300 * UNIT
    assert Contract(1, True).quote_notional(1, UNIT) == 1
    assert SPOT.quote_notional(-2 * UNIT, 3 * UNIT) == 6 * UNIT


def test_an_amount_buys_a_quantity_rounded_down() -> None:
    hundredth, inverse = Contract(UNIT // 100), Contract(100 * UNIT, True)

    assert SPOT.qty_for(100 * UNIT, 30 * UNIT) == 100 * UNIT // 30
    assert hundredth.qty_for(100 * UNIT, 30 * UNIT) == 10_000 * UNIT // 30
    assert inverse.qty_for(250 * UNIT, 30 * UNIT) == 25 * UNIT // 10
    for contract in (SPOT, hundredth, inverse):
        assert contract.qty_for(0, UNIT) == contract.qty_for(-UNIT, UNIT) == 0
        assert contract.qty_for(1, 10**30) == 0


def test_a_flat_position_has_no_price_and_no_open_result() -> None:
    held = Inventory()
    held.apply(UNIT, SPOT.flow(UNIT, 100 * UNIT))
    held.apply(-UNIT, SPOT.flow(-UNIT, 110 * UNIT))

    assert (held.qty, held.entry_flow, held.realized) == (0, 0, 10 * UNIT)
    assert SPOT.average_price(0, 0) == SPOT.average_price(UNIT, 0) == 0
    assert held.unrealized(SPOT, 500 * UNIT) == 0


def test_an_average_is_rounded_to_the_nearest_unit() -> None:
    assert SPOT.average_price(3 * UNIT, -2) == 1
    assert SPOT.average_price(3 * UNIT, -1) == 0
    assert SPOT.average_price(2 * UNIT, -1) == 1  # a half goes up
    assert Contract(UNIT, True).average_price(UNIT, 3 * UNIT) == UNIT // 3


def test_the_contract_of_an_instrument_follows_its_product() -> None:
    spot = make_instrument()
    swap = replace(spot, product=Product.LINEAR_PERPETUAL, contract_multiplier=Decimal("0.01"))
    inverse = replace(spot, product=Product.INVERSE_PERPETUAL, settle="BTC", contract_multiplier=Decimal(1))

    assert contract_of(spot) is SPOT
    assert contract_of(swap) == Contract(UNIT // 100, False)
    assert contract_of(inverse) == Contract(UNIT, True)
    for bad in ("0", "-1", "1e-13"):
        with pytest.raises(ArithmeticError, match="multiplier"):
            contract_of(replace(spot, contract_multiplier=Decimal(bad)))
