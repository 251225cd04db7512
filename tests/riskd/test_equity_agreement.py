"""PNL-09: the equity that a margin account tells, against ours; at the limit, above it, and what cannot be compared."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.riskd.edges.kit import perpetual
from tests.riskd.kit import BTC, Desk, make_test_limits, violations
from tradebot.core.accounts import MarginState
from tradebot.core.levels import Hold

LIMIT = {"PNL-09": {"status": "enforced", "max_drift_pct": "0.2"}}


def told(desk: Desk, balance: str, seconds: float = 2) -> None:
    """The venue tells its figure of a margin account, so long after the last one."""
    desk.wait(seconds)
    zero = Decimal(0)
    desk.say(margins=[MarginState("binance", "main", "USDT", Decimal(balance), zero, zero, desk.now_ns)])


def hold_of(desk: Desk) -> Hold | None:
    return next((hold for hold in desk.gate.state.holds.listed() if hold.cause == "PNL-09"), None)


def agreeing(usdt: str = "10000") -> Desk:
    return Desk(limits=make_test_limits(LIMIT), usdt=usdt)


def disagreeing() -> Desk:
    """A desk whose venue told twice that it is 20.01 of 10,000 less."""
    desk = agreeing()
    for _ in range(2):
        told(desk, "9979.99")
    return desk


@pytest.mark.parametrize(
    ("balance", "held"),
    [("10000", False), ("9980", False), ("9979.99", True), ("10020", False), ("10020.01", True), ("0", True)],
)
def test_the_venue_is_paused_when_it_tells_twice_what_is_beyond_the_limit(balance: str, held: bool) -> None:
    desk = agreeing()
    told(desk, balance)
    assert hold_of(desk) is None
    told(desk, balance)
    hold = hold_of(desk)

    assert (hold is not None) is held
    refused = violations(desk.plain(qty="0.001"))
    assert refused == ({"STA-01": "TRADING_PAUSED"} if held else {})
    assert hold is None or (hold.level.name, hold.scope.name) == ("PAUSED", "binance")


def test_two_tellings_of_nearly_the_same_moment_prove_nothing() -> None:
    desk = agreeing()
    told(desk, "9000")
    told(desk, "9000", seconds=1.9)
    assert hold_of(desk) is None
    told(desk, "9000", seconds=0.1)

    assert hold_of(desk) is not None


def test_what_is_told_before_the_order_log_was_read_to_its_end_is_not_compared() -> None:
    desk = agreeing()
    desk.hello(head=desk.sequence + 1)
    for _ in range(2):
        told(desk, "9000")
    assert hold_of(desk) is None
    desk.hello()
    for _ in range(2):
        told(desk, "9000")

    assert hold_of(desk) is not None


def test_it_ends_when_both_agree_and_a_single_difference_is_forgotten_by_then() -> None:
    desk = disagreeing()
    told(desk, "10000")
    assert hold_of(desk) is None
    told(desk, "9000")
    told(desk, "10000")
    told(desk, "9000")

    assert hold_of(desk) is None


def test_it_outlives_a_restart_and_what_cannot_be_compared() -> None:
    desk = disagreeing()
    gate = desk.replayed()
    assert [hold.cause for hold in gate.state.holds.listed() if hold.cause == "PNL-09"] == ["PNL-09"]
    desk.gate.state.portfolio.snapshot_venues.clear()
    desk.gate.accountant.forget_equity()
    told(desk, "10000")

    assert hold_of(desk) is not None


@pytest.mark.parametrize("usdt", ["0", "-1"])
def test_an_account_that_is_worth_nothing_is_not_compared(usdt: str) -> None:
    desk = agreeing(usdt=usdt)
    for _ in range(2):
        told(desk, "5")

    assert hold_of(desk) is None


def test_a_difference_in_coin_costs_what_the_coin_does() -> None:
    desk = agreeing()
    desk.quote(BTC, "50000", "60000")
    zero = Decimal(0)
    for _ in range(2):
        desk.wait(2)
        desk.say(margins=[MarginState("binance", "main", "BTC", Decimal("0.00035"), zero, zero, desk.now_ns)])

    assert hold_of(desk) is not None  # 21 of 10,000 at the ask, 17.5 at the bid; the limit is 20


def test_the_open_result_of_a_perpetual_belongs_to_its_margin_account() -> None:
    desk = perpetual(usdt="10000", limits=LIMIT)
    desk.buy("0.01")
    desk.quote(BTC, "66000", "66000.01")  # 60 open
    for _ in range(2):
        told(desk, "10060")
    assert hold_of(desk) is None
    for _ in range(2):
        told(desk, "10000")

    assert hold_of(desk) is not None
