"""PRC-06: where an order would be liquidated, from the worst price at which it may be entered."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from riskd.case import Case
from riskd.inputs import BLOCK, PASS
from riskd.margin_checks import MARGIN_CHECKS
from tests.riskd.edges.kit import perpetual
from tests.riskd.kit import BTC, STRICT, Desk
from tests.riskd.test_inputs_degraded import case_of
from tradebot.core.accounts import PositionMargin
from tradebot.core.orders import Side

UNIT = 10**12
QTY = Fraction(1, 10)
RATE = Fraction(5, 100)


def entering(side: Side, price: str, *, usdt: str = "1000", desk: Desk | None = None) -> Case:
    """Return the case of an entry of 0.1 BTC with a stop at half a percent and a book of 59999.99 to 60000.01."""
    desk = desk or perpetual(usdt=usdt, limits={"PRC-06": STRICT["PRC-06"]})
    return case_of(desk, lambda d: d.intent(side=side, qty="0.1", limit_price=price))[0]


def distance(side: Side, price: Fraction, entry: Fraction) -> Fraction:
    """Solve margin + open result = maintenance margin for the price; return how far it is from the order's price."""
    margin = 1000 - QTY * price / 1000  # the balance without the order's fee
    found = (entry - side.sign * margin / QTY) / (1 - side.sign * RATE)
    return side.sign * (price - found)


@pytest.mark.parametrize(
    ("side", "price", "entry"),
    [
        (Side.BUY, "60500", "60500"),
        (Side.BUY, "59000", "60000.01"),
        (Side.SELL, "59500", "59500"),
        (Side.SELL, "61000", "59999.99"),
    ],
)
def test_an_order_counts_as_entered_at_its_limit_or_the_touch_whichever_is_worse(
    side: Side, price: str, entry: str
) -> None:
    _, _, _, found = MARGIN_CHECKS["PRC-06"](entering(side, price))

    assert abs(Fraction(found, UNIT) - distance(side, Fraction(price), Fraction(entry))) < Fraction(1, 10**9)


def test_a_liquidation_price_that_the_venue_told_of_a_position_that_is_closed_says_nothing() -> None:
    desk = perpetual(usdt="1000", limits={"PRC-06": STRICT["PRC-06"]})
    desk.say(position_margins=[PositionMargin(BTC, Decimal(5), Decimal(59900), Decimal(0), False, 2)])
    _, _, _, found = MARGIN_CHECKS["PRC-06"](entering(Side.BUY, "60500", desk=desk))

    assert Fraction(found, UNIT) > 7_000


def test_an_order_that_closes_a_position_to_the_last_lot_cannot_be_liquidated_whatever_the_margin() -> None:
    desk = perpetual(usdt="1000", limits={"PRC-06": STRICT["PRC-06"]})
    desk.account(("USDT", "0"))
    desk.gate.decider.books.portfolio.net[BTC] = -UNIT // 10
    outcome, _, wanted, _ = MARGIN_CHECKS["PRC-06"](entering(Side.BUY, "60500", desk=desk))

    assert outcome == PASS
    assert wanted > 0


def test_the_nearer_of_the_price_that_is_computed_and_the_one_that_the_venue_told_counts() -> None:
    desk = perpetual(usdt="1000", limits={"PRC-06": STRICT["PRC-06"]})
    desk.say(position_margins=[PositionMargin(BTC, Decimal(5), Decimal(59000), Decimal(0), False, 2)])
    desk.gate.decider.books.portfolio.net[BTC] = UNIT // 100
    _, _, _, same_side = MARGIN_CHECKS["PRC-06"](entering(Side.BUY, "60500", desk=desk))
    desk.say(position_margins=[PositionMargin(BTC, Decimal(5), Decimal(59900), Decimal(0), False, 3)])
    _, _, _, other_side = MARGIN_CHECKS["PRC-06"](entering(Side.SELL, "59500", desk=desk))

    assert same_side == 1_500 * UNIT
    assert other_side > 1_000 * UNIT  # what is told of the long position says nothing of a short one


def test_a_position_whose_whole_value_the_venue_keeps_as_margin_takes_no_more() -> None:
    desk = perpetual(usdt="1000", limits={"PRC-06": STRICT["PRC-06"]})
    desk.say(position_margins=[PositionMargin(BTC, Decimal(5), None, Decimal(6050), False, 2)])
    desk.gate.decider.books.portfolio.net[BTC] = UNIT // 10
    row = MARGIN_CHECKS["PRC-06"](entering(Side.BUY, "60500", desk=desk))

    assert (row[0], row[3]) == (BLOCK, 0)
