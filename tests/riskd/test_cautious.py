"""CAUTIOUS: half size and, for new entries, no adds, spacing, a cool-down after a loss."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.riskd.kit import BTC, ETH, Desk, make_test_limits, violations
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel
from tradebot.core.orders import OrderRole, Side


def cautious(desk: Desk) -> Desk:
    desk.gate.raise_hold(
        TradingLevel.CAUTIOUS, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip
    return desk


def refused(desk: Desk, instrument_id: str = BTC, qty: str = "0.001") -> bool:
    price = "60000" if instrument_id == BTC else "3000"
    found = violations(desk.plain(qty=qty, instrument_id=instrument_id, limit_price=price))
    assert set(found.values()) <= {"CAUTIOUS_FILTER"}, found
    return bool(found)


def test_a_position_is_not_added_to_and_another_instrument_may_be_entered() -> None:
    desk = Desk()
    desk.buy("0.001")
    desk.wait(3_600)
    cautious(desk)

    assert refused(desk)
    assert not refused(desk, ETH, "0.01")


def test_after_a_losing_exit_an_instrument_cools_down() -> None:
    desk = Desk()
    desk.buy("0.001")
    desk.wait(600)
    desk.quote(BTC, "59999.99", "60000.01")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
    desk.fill(f"c{desk.orders}", "0.001", "59990", side=Side.SELL)
    cautious(desk)
    desk.wait(899)
    assert refused(desk)
    desk.wait(1)
    assert not refused(desk)


def test_the_orders_of_a_parent_that_was_let_pass_are_not_asked_again() -> None:
    desk = cautious(Desk())
    parent = desk.intent(qty="0.002")
    assert desk.ask(parent).verdict.name != "BLOCK"
    for _ in range(2):
        answer = desk.ask(None, desk.order(parent, terms_qty=Decimal("0.001")))
        assert answer.approval is not None, answer


def test_the_filters_can_be_switched_off_and_do_nothing_at_running() -> None:
    off = make_test_limits(cautious={"adds": True, "entry_spacing_s": 0, "loss_cooldown_s": 0})
    for desk in (cautious(Desk(limits=off)), Desk()):
        desk.buy("0.001")
        assert not refused(desk)


@pytest.mark.parametrize("qty", ["0.0083", "0.0084"])
def test_sizes_are_halved(qty: str) -> None:
    desk = cautious(Desk())
    answer = desk.plain(qty=qty)  # SIZ-02: 10 % of 10,000, halved: 500

    assert (answer.approval is not None) is (qty == "0.0083")


@pytest.mark.parametrize(("ask", "wide"), [("60126.13", False), ("60126.14", True)])
def test_the_widest_spread_is_a_narrower_one(ask: str, wide: bool) -> None:
    """30 bps x 0.7 = 21 bps."""
    limits = make_test_limits({"MKT-04": {"max_spread_bps": {"*": 30}}})
    desk, running = cautious(Desk(limits=limits)), Desk(limits=limits)
    for one in (desk, running):
        one.quote(BTC, "60000", ask)  # the mid is 60,063

    assert not violations(running.plain(qty="0.001", limit_price="60063"))
    assert violations(desk.plain(qty="0.001", limit_price="60063")) == ({"MKT-04": "SPREAD_TOO_WIDE"} if wide else {})


@pytest.mark.parametrize(("lots", "thin"), [(450, False), (449, True)])
def test_the_least_depth_is_a_larger_one_and_sizes_are_cut_to_it(lots: int, thin: bool) -> None:
    """3 x 1.5 x 100 lots."""
    limits = make_test_limits({"MKT-06": {"status": "enforced", "min_depth_multiple": 3}})
    desk, running = cautious(Desk(limits=limits)), Desk(limits=limits)
    for one in (desk, running):
        one.quote(BTC, "59999.99", "60000.01", lots=lots)

    assert not violations(running.plain(qty="0.001"))
    assert violations(desk.plain(qty="0.001")) == ({"MKT-06": "INSUFFICIENT_DEPTH"} if thin else {})
    sized = cautious(Desk(limits=limits))
    sized.quote(BTC, "59999.99", "60000.01", lots=lots)
    assert sized.plain(qty=None).approved_qty == Decimal("0.00099" if thin else "0.001")
