"""What a margin balance carries and how much more fits beside it, against sums in exact fractions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest

from riskd.case import Case
from riskd.margin_room import margin_available, margin_needed, margin_qty, notional_carried, notional_qty
from riskd.worst_case import leaning_qty, worst_qty
from tests.riskd.edges.kit import perpetual
from tests.riskd.kit import BTC, ETH, Desk, violations
from tests.riskd.test_inputs_degraded import case_of
from tradebot.core.accounts import PositionMargin
from tradebot.core.instruments import Product
from tradebot.core.orders import Side

UNIT = 10**12
LEVERAGE = {BTC: 5, ETH: 3}


def carrying(rng: random.Random, asks: tuple[str, str], product: Product = Product.LINEAR_PERPETUAL) -> Iterator[Case]:
    """Yield cases of a BTC entry while two perpetuals, held and ordered on both sides, hang on one balance."""
    desk = perpetual(product, both=True, usdt="10000")
    told = (PositionMargin(name, Decimal(much), None, Decimal(0), False, 2) for name, much in LEVERAGE.items())
    desk.say(position_margins=list(told))
    books, tick = desk.gate.decider.books, Decimal("0.01")
    for name, ask in zip((BTC, ETH), asks, strict=True):
        desk.quote(name, str(Decimal(ask) - tick), ask)
    for _ in range(100):
        for name in (BTC, ETH):
            committed = books.commitments.by_instrument[name]
            books.portfolio.net[name] = rng.choice([0, 3, -2]) * UNIT // 7
            committed.buy, committed.sell = rng.choice([0, UNIT // 3]), rng.choice([0, UNIT // 3, 2 * UNIT])
        side = rng.choice([Side.BUY, Side.SELL])
        yield case_of(desk, lambda d, side=side: d.intent(side=side, qty="0.01", limit_price=asks[0]))[0]  # type: ignore[misc]


def worth(case: Case, name: str, worst: int) -> int:
    """Return what a quantity is worth at the ask, rounded up."""
    return ceil(Fraction(worst * case.books.board.views[name].ask, UNIT))


def worst_of(case: Case, name: str) -> int:
    held, committed = case.books.portfolio.net[name], case.books.commitments.by_instrument[name]
    return max(held + committed.buy, committed.sell - held, 0)


@pytest.mark.parametrize("seed", range(2))
def test_margin_is_needed_for_the_worse_side_of_everything_that_the_balance_carries(seed: int) -> None:
    for case in carrying(random.Random(seed), ("60000.01", "3000.01")):
        own = worth(case, BTC, worst_qty(case, case.qty))
        beside = worth(case, ETH, worst_of(case, ETH))
        fee = ceil(Fraction(case.qty * case.price * case.books.commitments.fee_ppm, UNIT * 10**6))
        margins = ceil(Fraction(own, LEVERAGE[BTC])) + ceil(Fraction(beside, LEVERAGE[ETH]))

        assert margin_needed(case, case.qty) == margins + fee
        assert notional_carried(case, case.qty) == own + beside


@pytest.mark.parametrize("product", [Product.LINEAR_PERPETUAL, Product.INVERSE_PERPETUAL])
@pytest.mark.parametrize("asks", [("60000.01", "3000.01"), ("0.02", "3000.01")])
def test_what_is_sized_fits_and_hardly_more_would(product: Product, asks: tuple[str, str]) -> None:
    rng, tight = random.Random(1), 0
    for case in carrying(rng, asks, product):
        room = rng.choice([0, 5, 1_000, UNIT, 1_000 * UNIT]) + rng.randrange(10)
        by_margin = margin_qty(case, margin_needed(case, 0) + room)
        by_notional = notional_qty(case, notional_carried(case, 0) + room)

        assert not by_margin or margin_needed(case, by_margin) <= margin_needed(case, 0) + room
        assert not by_notional or notional_carried(case, by_notional) <= notional_carried(case, 0) + room
        if room < 1_000 or leaning_qty(case, 0) != worst_qty(case, 0) or product is Product.INVERSE_PERPETUAL:
            continue
        tight += 1
        more = 2_000 * UNIT // case.price + UNIT // 10**6  # a few hundred units of money, a millionth of a coin
        assert margin_needed(case, by_margin + more + by_margin // 10**6) > margin_needed(case, 0) + room
        assert notional_carried(case, by_notional + more) > notional_carried(case, 0) + room

    assert tight > 10 or product is Product.INVERSE_PERPETUAL


def test_what_spot_orders_reserved_of_the_balance_carries_nothing() -> None:
    desk = perpetual(usdt="1000")
    case, _, _ = case_of(desk, lambda d: d.intent(qty="0.01"))
    desk.gate.decider.books.commitments.by_asset["binance", "USDT"] = 300 * UNIT

    assert margin_available(case) == 700 * UNIT


def test_a_leverage_of_nothing_is_a_missing_input() -> None:
    desk: Desk = perpetual()
    desk.say(position_margins=[PositionMargin(BTC, Decimal(0), None, Decimal(0), False, 2)])

    assert violations(desk.plain(qty="0.001"))["POS-01"] == "CHECK_INPUT_MISSING"
