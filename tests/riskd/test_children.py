"""A part of a parent is asked again for what may have changed since: the house, the clock, the rules, the market."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.riskd.kit import DEPLOYED, LIQUID, MARKET, SECOND, Desk, make_test_limits, violations
from tradebot.core.approvals import ApprovalAnswer, Verdict


def at_venue(**changes: Any) -> Callable[[Desk], object]:
    return lambda desk: desk.venue(**changes)


def another_build(desk: Desk) -> None:
    desk.gate.decider.books.fleet.build = "other"


def unwatched(desk: Desk) -> None:
    desk.gate.board.trails.clear()


def no_trades(desk: Desk) -> None:
    desk.gate.board.volumes.clear()


def drilled_too_long_ago(desk: Desk) -> None:
    desk.drilled(desk.now_ns - 86_401 * SECOND)


def child(change: Callable[[Desk], object]) -> ApprovalAnswer:
    """Ask for half of a parent that was let pass before something changed."""
    checks = {"SIZ-04": LIQUID["SIZ-04"], "STA-07": MARKET["STA-07"], **DEPLOYED}
    desk = Desk(limits=make_test_limits(checks))
    desk.drilled()
    desk.liquid()
    parent = desk.intent(qty="0.002")
    assert desk.ask(parent).verdict is Verdict.ALLOW
    change(desk)
    return desk.ask(None, desk.order(parent, terms_qty=Decimal("0.001")))


@pytest.mark.parametrize(
    ("change", "check_id", "reason"),
    [
        (another_build, "AUT-05", "BUILD_MISMATCH"),
        (at_venue(clock_offset_ns=300 * SECOND), "AUT-06", "CLOCK_UNTRUSTED"),
        (unwatched, "STA-07", "CHECK_INPUT_MISSING"),
        (drilled_too_long_ago, "STA-09", "KILLSWITCH_UNTESTED"),
        (at_venue(rules_hash="other"), "SPC-10", "INSTRUMENT_RULES_STALE"),
        (no_trades, "SIZ-04", "CHECK_INPUT_MISSING"),
    ],
)
def test_what_changed_after_the_parent_refuses_its_parts(
    change: Callable[[Desk], object], check_id: str, reason: str
) -> None:
    assert violations(child(change)) == {check_id: reason}


def test_a_part_of_a_parent_passes_while_nothing_changed() -> None:
    assert child(lambda desk: None).verdict is Verdict.ALLOW
