"""What single checks answer by themselves: inputs that are nothing, and the figures that a row tells."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskd.case import Case
from riskd.checks import CHECKS
from riskd.conduct_checks import breaker_ppm, move_ppm
from riskd.inputs import BLOCK, PASS, SOFT, InputMissing, notional_of, worth_of
from riskd.order_settings import BreakerRule
from riskd.price_trail import PriceTrail
from riskd.rules import make_rule
from riskd.units import to_units, to_units_floor
from tests.riskd.kit import BTC, Desk, make_test_limits
from tests.riskd.test_inputs_degraded import case_of
from tests.support.builders import make_instrument

UNIT = 10**12


def case_of_plain(desk: Desk) -> Case:
    return case_of(desk, lambda d: d.intent(qty="0.001"))[0]


def test_a_venue_that_never_reconciled_is_not_said_to_have_done_so_long_ago() -> None:
    case = case_of_plain(Desk())
    assert case.venue_status is not None
    case.venue_status = replace(case.venue_status, reconciled_time_ns=0)

    assert CHECKS["STA-03"](case)[1:] == ("STREAM_RECONCILING", 90_000, 0)


@pytest.mark.parametrize(("qty", "price"), [(0, UNIT), (UNIT, 0)])
def test_nothing_at_a_price_and_something_at_none_have_no_value(qty: int, price: int) -> None:
    case = case_of_plain(Desk())
    case.qty, case.price = qty, price

    with pytest.raises(InputMissing):
        notional_of(case)


def test_an_asset_whose_rate_is_nothing_has_no_worth() -> None:
    desk = Desk()
    desk.gate.board.views[BTC].good_ask = 0

    with pytest.raises(InputMissing):
        worth_of(case_of_plain(desk), "BTC", UNIT)


def test_a_jump_from_nothing_is_a_missing_input() -> None:
    trail = PriceTrail()
    trail.add(0, 1)

    with pytest.raises(InputMissing):
        move_ppm(UNIT, trail)


@pytest.mark.parametrize(
    ("lots", "row"),
    [
        (1_000, (PASS, "", 1_000)), (1_001, (SOFT, "ORDER_SIZE_OUTLIER", 1_000)),
        (2_001, (BLOCK, "ORDER_SIZE_OUTLIER", 2_000)),
    ],
)  # fmt: skip
def test_an_outlier_is_told_its_bound(lots: int, row: tuple[int, str, int]) -> None:
    desk = Desk(limits=make_test_limits({"SIZ-05": {"soft_multiple": 5, "hard_multiple": 10, "min_orders": 1}}))
    desk.plain(qty="0.002")
    case = case_of_plain(desk)
    case.qty = lots * UNIT // 100_000

    assert CHECKS["SIZ-05"](case) == (*row[:2], row[2] * UNIT // 100_000, case.qty)


@pytest.mark.parametrize(("sigma_ppm", "widest"), [(0, 30_000), (5_000, 30_000), (5_001, 30_006)])
def test_a_jump_is_measured_by_what_the_market_does_when_that_is_more(sigma_ppm: int, widest: int) -> None:
    assert breaker_ppm(BreakerRule(move_ppm=30_000, sigmas=6, hold_ns=1), sigma_ppm) == widest


@pytest.mark.parametrize(("lot", "min_qty", "dust"), [("0.00001", "0.001", "0.001"), ("0.001", "0.00001", "0.001")])
def test_what_is_less_than_a_lot_or_the_least_order_is_dust(lot: str, min_qty: str, dust: str) -> None:
    rule = make_rule(make_instrument(BTC, lot=lot, min_qty=min_qty), make_test_limits())

    assert rule.dust_qty == to_units(Decimal(dust)) - 1


@pytest.mark.parametrize(
    ("value", "units"),
    [("1.5E-12", 1), ("-1.5E-12", -2), ("2E-12", 2), ("-2E-12", -2), ("0", 0)],
)
def test_what_is_computed_is_rounded_down(value: str, units: int) -> None:
    assert to_units_floor(Decimal(value)) == units
