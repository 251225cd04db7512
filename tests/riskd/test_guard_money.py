"""The guards count the portfolio's own money: funding, contracts paid in coin, and the same round trips as reports."""

from __future__ import annotations

from typing import Any

import pytest

from riskd import reports
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits
from tests.riskd.test_guards import clear, hold_of, limits_with, losing, morning
from tests.riskd.test_money import COIN, SWAP, entry, trade
from tests.support.builders import make_instrument, make_perpetual
from tradebot.core.levels import Scope, ScopeKind
from tradebot.core.orders import Side

S1 = Scope(ScopeKind.STRATEGY, "s1")
UNIT = 10**12


def contracts(check_id: str, *, soft: dict[str, Any] | None = None, **values: Any) -> Desk:
    """A desk with a linear and an inverse perpetual, one guard, and no pause."""
    off = {"PNL-01": {"status": "not_applicable", "reason": "not what this is about"}}
    was_on = {check_id: values} if check_id.startswith("POS") else limits_with(check_id, **values)
    desk = Desk(
        limits=make_test_limits({**off, **was_on}, soft_caps=soft),
        instruments=(
            make_instrument(BTC),
            make_instrument(ETH),
            make_perpetual(SWAP),
            make_perpetual(COIN, inverse=True, multiplier="100", lot="1"),
        ),
    )
    desk.quote(SWAP, "59999.9", "60000.1")
    desk.quote(COIN, "60000", "60000.1")
    desk.gate.accountant.forget_equity()
    desk.wait(1)
    return desk


@pytest.mark.parametrize(("paid", "halts"), [("-4.99", False), ("-5", True)])
def test_a_round_trip_that_funding_made_a_loss_counts_as_one(paid: str, halts: bool) -> None:
    desk = contracts("PNL-06", halt_after=1)
    trade(desk, 1, "0.1", "60000")
    desk.say(ledger=[entry(desk, paid, instrument_id=SWAP)])
    trade(desk, 2, "0.1", "60050", side=Side.SELL)  # 5 earned

    assert (desk.gate.state.holds.find("PNL-06", S1) is not None) is halts
    assert (COIN in desk.gate.state.guards.losing_exits, SWAP in desk.gate.state.guards.losing_exits) == (False, halts)


def test_funding_counts_in_a_strategys_day() -> None:
    desk = contracts("PNL-07", halt_at_pct=-1)
    trade(desk, 1, "0.1", "59999.9")
    desk.say(ledger=[entry(desk, "-99.99", instrument_id=SWAP)])
    assert desk.gate.state.holds.find("PNL-07", S1) is None
    desk.say(ledger=[entry(desk, "-0.01", instrument_id=SWAP, name="e2")])

    assert hold_of(desk, "PNL-07", S1).level.name == "HALTED"


def test_a_loss_that_is_paid_in_coin_counts_in_a_strategys_day() -> None:
    desk = contracts("PNL-07", halt_at_pct=-1)
    trade(desk, 1, "60", "60000", instrument_id=COIN)
    trade(desk, 2, "60", "59020", side=Side.SELL, instrument_id=COIN)  # 6,000 x (1/59,020 - 1/60,000) x 60,000.01
    assert desk.gate.state.holds.find("PNL-07", S1) is None  # 99.63
    trade(desk, 3, "1", "60000", instrument_id=COIN)
    trade(desk, 4, "1", "59700", side=Side.SELL, instrument_id=COIN)  # half a dollar more

    assert hold_of(desk, "PNL-07", S1).level.name == "HALTED"


@pytest.mark.parametrize(("count", "held"), [("5", False), ("6", True)])
def test_contracts_paid_in_coin_fill_a_soft_cap_with_what_they_are_worth(count: str, held: bool) -> None:
    soft = {"soft_pct": 5, "hard_pct": 10, "max_notional": 5000}
    desk = contracts("POS-02", soft={}, **soft)
    trade(desk, 1, count, "60000", instrument_id=COIN)  # 100 USD each; 500 are allowed
    desk.wait(1)

    assert (desk.gate.state.holds.find("POS-02", Scope(ScopeKind.INSTRUMENT, COIN)) is not None) is held
    assert not desk.gate.state.flattens  # far below the hard cap


@pytest.mark.parametrize("per", ["strategy", "system"])
def test_reports_show_the_streak_that_halts_and_a_cleared_halt_begins_it_again(per: str) -> None:
    desk = morning(limits_with("PNL-06", halt_after=2, per=per))
    losing(desk, 2)
    scope = S1 if per == "strategy" else Scope(ScopeKind.SYSTEM, "")
    log = desk.gate.state.portfolio.streak(scope)
    assert (log.losses_in_row, log.acted) == (2, 2)
    assert reports.pnl(desk.gate, desk.now_ns).strategies["s1"].losses_in_row == 2
    assert clear(desk, hold_of(desk, "PNL-06", scope)) == "CLEARED"

    assert (log.losses_in_row, log.acted, log.stats().trips) == (0, 0, 2)
    assert desk.replayed().state.digest() == desk.gate.state.digest()
