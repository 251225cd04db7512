"""SPC-09 after the approval: an entry that outlives its lifetime holds its instrument until it is over."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.riskd.kit import BTC, ETH, SECOND, Desk, make_test_limits
from tradebot.core.approvals import LeasePing
from tradebot.core.levels import TradingLevel
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms, OrderType, Side, TimeInForce

BY_EXECD: dict[str, dict[str, Any]] = {
    "SPC-09": {"status": "enforced", "max_resting_s": 60, "ended_by": "execd"},
    "PTR-07": {"status": "not_applicable", "reason": "not what this test is about"},
}


def desk_with_entry(**changes: Any) -> Desk:
    """An approved entry that rests at the venue."""
    desk = Desk(limits=make_test_limits(BY_EXECD))
    desk.wait(1)
    answer = desk.plain(time_in_force=TimeInForce.GTC, **changes)
    assert answer.approval is not None, answer
    tell(desk, "c1")
    return desk


def tell(desk: Desk, client_order_id: str) -> None:
    for kind in (OrderEventKind.ASKED, OrderEventKind.SENT, OrderEventKind.ACCEPTED):
        facts = stranger(desk, client_order_id) if kind is OrderEventKind.ASKED else None
        desk.event(client_order_id, kind, facts=facts)


def stranger(desk: Desk, client_order_id: str) -> OrderFacts:
    terms = OrderTerms(client_order_id, BTC, Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))
    return OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, desk.now_ns)


def level(desk: Desk, instrument_id: str = BTC) -> TradingLevel:
    return desk.gate.state.holds.level_for("binance", instrument_id, "s1")


def test_a_good_till_canceled_entry_passes_where_execd_ends_it_and_only_there() -> None:
    assert Desk(limits=make_test_limits(BY_EXECD)).plain(time_in_force=TimeInForce.GTC).approval is not None
    venue = {"SPC-09": {"status": "enforced", "max_resting_s": 60}}

    assert Desk(limits=make_test_limits(venue)).plain(time_in_force=TimeInForce.GTC).check_id == "SPC-09"


@pytest.mark.parametrize(("check", "told_ms"), [(BY_EXECD["SPC-09"], 60_000), (None, 0)])
def test_every_lease_says_how_long_an_entry_may_rest(check: dict[str, Any] | None, told_ms: int) -> None:
    off = {"status": "not_applicable", "reason": "not what this test is about"}
    desk = Desk(limits=make_test_limits({"SPC-09": check or off}))
    down = desk.say(ping=LeasePing(1, desk.now_ns))

    assert down.lease is not None
    assert down.lease.entry_lifetime_ms == told_ms


def test_an_entry_that_rests_longer_holds_its_instrument_and_no_other() -> None:
    desk = desk_with_entry()
    desk.wait(65)
    assert level(desk) is TradingLevel.RUNNING

    desk.wait(1)

    assert level(desk) is TradingLevel.REDUCE_ONLY
    assert level(desk, ETH) is TradingLevel.RUNNING
    (hold,) = desk.gate.state.holds.holds.values()
    assert hold.cause == "SPC-09"
    assert hold.evidence == "c1 rests for 66 s, limit 60 s"


def test_the_hold_ends_with_the_entry() -> None:
    desk = desk_with_entry()
    desk.wait(70)
    desk.event("c1", OrderEventKind.CANCELED)
    desk.wait(1)

    assert level(desk) is TradingLevel.RUNNING


def test_a_restart_forgets_neither_the_age_nor_the_hold() -> None:
    desk = desk_with_entry()
    desk.wait(40)
    desk.gate = desk.replayed()
    desk.gate.start("life2", desk.now_ns)
    desk.hello()
    desk.account()
    desk.venue()
    desk.wait(27)

    assert "SPC-09" in {hold.cause for hold in desk.gate.state.holds.holds.values()}


def test_an_entry_that_riskd_never_approved_ages_from_its_first_event() -> None:
    desk = Desk(limits=make_test_limits(BY_EXECD))
    desk.wait(1)
    tell(desk, "x1")
    desk.wait(66)

    assert any(hold.cause == "SPC-09" for hold in desk.gate.state.holds.holds.values())


def test_what_never_left_is_no_resting_order() -> None:
    desk = Desk(limits=make_test_limits(BY_EXECD))
    desk.wait(1)
    desk.plain(time_in_force=TimeInForce.GTC)
    desk.wait(100)

    assert not [hold for hold in desk.gate.state.holds.holds.values() if hold.cause == "SPC-09"]


def test_a_position_may_stay_as_long_as_it_likes() -> None:
    desk = desk_with_entry()
    desk.fill("c1", "0.01")
    desk.wait(100)

    assert level(desk) is TradingLevel.RUNNING
    assert desk.now_ns > 100 * SECOND
