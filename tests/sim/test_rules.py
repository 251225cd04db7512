"""Trading rules name the first one that is broken."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kit import make_order, make_rules
from tradebot.core.orders import OrderType, Side
from tradebot.sim.orders import RejectReason
from tradebot.sim.rng import SplitMix64
from tradebot.sim.rules import MarketRules


def limited_rules(**changes: Any) -> MarketRules:
    """Return rules with low limits on everything."""
    rules = make_rules(max_price=Decimal(1_000), **changes)
    one = rules.instrument
    narrow = {
        "min_qty": Decimal(2),
        "max_qty": Decimal(50),
        "market_max_qty": Decimal(10),
        "min_notional": Decimal(300),
    }
    return MarketRules(
        type(one)(**{**one.__dict__, **narrow, "max_notional": Decimal(4_000)}), rules.min_price, rules.max_price
    )


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        (make_order(Side.BUY, 5, 100), None),
        (make_order(Side.BUY, 5, 1_001), RejectReason.PRICE_FILTER),
        (make_order(Side.BUY, 5, 100, stop_price=1_001, order_type=OrderType.STOP_LIMIT), RejectReason.PRICE_FILTER),
        (make_order(Side.BUY, 15, 501), RejectReason.PERCENT_PRICE),
        (make_order(Side.BUY, 49, 19), RejectReason.PERCENT_PRICE),
        (make_order(Side.BUY, 1, 400), RejectReason.LOT_SIZE),
        (make_order(Side.BUY, 51, 50), RejectReason.LOT_SIZE),
        (make_order(Side.BUY, 11), RejectReason.MARKET_LOT_SIZE),
        (make_order(Side.BUY, 2, 149), RejectReason.NOTIONAL),
        (make_order(Side.BUY, 41, 100), RejectReason.NOTIONAL),
        (make_order(Side.BUY, 2), RejectReason.NOTIONAL),
        (make_order(Side.BUY, 10), None),
        (make_order(Side.BUY, 0, quote_money=299 * 10**12), RejectReason.NOTIONAL),
        (make_order(Side.BUY, 0, quote_money=300 * 10**12), None),
    ],
)
def test_the_first_broken_rule_is_named(order: Any, broken: RejectReason | None) -> None:
    assert limited_rules().broken_by(order, last_price=100) is broken


@settings(deadline=None)
@given(
    down=st.decimals("0.01", "1", places=4),
    up=st.decimals("1", "9", places=3),
    price=st.integers(1, 9_000),
    last=st.integers(1, 1_000),
)
def test_a_price_is_too_far_exactly_where_the_multipliers_of_the_last_price_say(
    down: Decimal, up: Decimal, price: int, last: int
) -> None:
    rules = replace(make_rules(), price_multiplier_down=down, price_multiplier_up=up)
    broken = rules.broken_by(make_order(Side.BUY, 5, price), last)

    assert (broken is RejectReason.PERCENT_PRICE) == (not Fraction(down) * last <= price <= Fraction(up) * last)


def test_the_generator_is_the_published_one_and_its_distributions_have_their_means() -> None:
    # First outputs of SplitMix64 for seed 1234567, from the authors' reference implementation.
    rng = SplitMix64(1234567)
    assert [rng.next_u64() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    uniform = [rng.uniform() for _ in range(20_000)]
    normal = [rng.normal() for _ in range(20_000)]
    waiting = [rng.exponential(3.0) for _ in range(20_000)]

    assert all(0.0 <= u < 1.0 for u in uniform)
    assert sum(uniform) / len(uniform) == pytest.approx(0.5, abs=0.01)
    assert sum(normal) / len(normal) == pytest.approx(0.0, abs=0.03)
    assert sum(x * x for x in normal) / len(normal) == pytest.approx(1.0, abs=0.05)
    assert sum(waiting) / len(waiting) == pytest.approx(3.0, abs=0.1)
