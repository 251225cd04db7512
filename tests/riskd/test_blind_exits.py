"""Closing without a book: nothing that is broken forbids it, and a slip of the decimals is refused all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.riskd.kit import BTC, SECOND, Desk, violations
from tests.riskd.test_flatten import flatten, reduce_order
from tradebot.core.approvals import ApprovalAnswer, Verdict
from tradebot.core.orders import OrderRole, Side


def silent_for_too_long() -> Desk:
    desk = Desk()
    desk.buy("0.01")
    desk.gate.board.lost()
    desk.now_ns += 3_601 * SECOND
    desk.venue()
    return desk


def restarted_without_marketdata() -> Desk:
    desk = Desk()
    desk.buy("0.01")
    desk.begin_anew()
    assert not desk.gate.board.views[BTC].good_ns
    return desk


def never_listed() -> Desk:
    desk = restarted_without_marketdata()
    desk.gate.board.views.clear()
    return desk


def priced_in_the_future() -> Desk:
    """A good price of the far future would never age."""
    desk = Desk()
    desk.buy("0.01")
    desk.gate.board.views[BTC].good_ns += 9_000 * SECOND
    return desk


BLIND = pytest.mark.parametrize(
    "make", [silent_for_too_long, restarted_without_marketdata, never_listed, priced_in_the_future]
)


def leave(desk: Desk, price: str, **changes: object) -> ApprovalAnswer:
    return desk.plain(qty="0.01", side=Side.SELL, role=OrderRole.EXIT, limit_price=price, **changes)


@BLIND
@pytest.mark.parametrize("strategy_id", ["s1", "manual:ana"])
def test_a_position_can_be_closed_within_half_its_last_known_price(make: Callable[[], Desk], strategy_id: str) -> None:
    desk = make()
    too_low = leave(desk, "29999.99", strategy_id=strategy_id)
    at_half = leave(desk, "30000", strategy_id=strategy_id)

    assert violations(too_low) == {"PRC-01": "PRICE_COLLAR"}
    assert at_half.verdict is Verdict.ALLOW


@BLIND
def test_what_an_operator_closes_is_approved(make: Callable[[], Desk]) -> None:
    desk = make()
    (command,) = flatten(desk, "FLATTEN DEMO 1").reduces

    assert violations(desk.ask(None, reduce_order(desk, command))) == {}


@pytest.mark.parametrize("make", [silent_for_too_long, restarted_without_marketdata, never_listed])
def test_an_entry_is_refused(make: Callable[[], Desk]) -> None:
    assert violations(make().plain(qty="0.001"))["PRC-01"] == "CHECK_INPUT_MISSING"


def test_within_its_age_the_last_good_price_keeps_its_own_collar() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.gate.board.lost()
    desk.now_ns += 3_600 * SECOND
    desk.venue()

    assert violations(leave(desk, "58199.99")) == {"PRC-01": "PRICE_COLLAR"}
    assert leave(desk, "58200").verdict is Verdict.ALLOW


def test_the_last_good_price_is_known_better_than_what_was_paid() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.quote(BTC, "99999.99", "100000.01")
    desk.gate.board.lost()
    desk.now_ns += 3_601 * SECOND
    desk.venue()

    assert violations(leave(desk, "49999.99")) == {"PRC-01": "PRICE_COLLAR"}
    assert leave(desk, "50000").verdict is Verdict.ALLOW
