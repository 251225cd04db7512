"""Every cell of level x action x scope that execd acts on by itself; riskd is never asked of these. The other actions:
tests/riskd/test_level_cells.py, whose table this reads.
"""

from __future__ import annotations

import itertools

import pytest

from execd.gateway import CancelPurpose
from riskd.holds import Action
from tests.execd.desk_kit import DeskKit
from tests.execd.test_lease_and_levels import resting_entry, with_position
from tests.riskd.test_level_cells import ELSEWHERE, EXECDS, MATRIX, SCOPES
from tradebot.core.approvals import LevelEntry, LevelTable
from tradebot.core.levels import Scope, TradingLevel
from tradebot.core.orders import OrderRole, OrderStatus
from tradebot.venues.api_orders import RequestKind

ACTIONS = [action for action in Action if action in EXECDS]


class CountingKit(DeskKit):
    """Counts the reads at the venue."""

    reads_done = 0

    def serve_reads(self) -> None:
        self.reads_done += len(self.reads)
        super().serve_reads()


def at(level: TradingLevel, scope: Scope) -> tuple[CountingKit, str]:
    """A position behind its stop and a resting entry, and then this level."""
    kit = CountingKit()
    with_position(kit)
    entry = resting_entry(kit, intent_id="entry")
    kit.levels(LevelTable(7, (LevelEntry(scope, level, 7),)))
    return kit, entry


def is_done(action: Action, level: TradingLevel, scope: Scope) -> bool:
    """Return whether execd does it, or leaves the order where it is."""
    kit, entry = at(level, scope)
    (stop,) = kit.by_role(OrderRole.PROTECTION)
    match action:
        case Action.WORKING_ENTRY:
            return not kit.serve_cancels() and kit.status(entry) is OrderStatus.NEW
        case Action.CANCEL_ENTRY:
            kit.desk.on_cancel(entry, "", kit.now_ns)
            kit.pump()
            return kit.serve_cancels() > 0 and kit.status(entry) is OrderStatus.CANCELED
        case Action.WORKING_PROTECTION:
            kit.serve_cancels()
            kit.advance(5_000)
            return [order.id for order in kit.working_stops()] == [stop.id]
        case Action.CANCEL_PROTECTION:
            kit.serve_cancels()
            kit.desk.state.cancel(stop, "FLAT", kit.now_ns, CancelPurpose.FLAT)
            kit.pump()
            (frame,) = kit.take_sends(RequestKind.CANCEL)
            return bool(frame["params"]["origClientOrderId"] == stop.id)
        case _:
            kit.serve_cancels()
            kit.reads_done = 0
            kit.advance(120_000)
            return kit.reads_done > 0


@pytest.mark.parametrize(
    ("level", "action", "scope"),
    [
        pytest.param(level, action, scope, id=f"{level.name}-{action.name}-{scope.kind.name}")
        for level, action, scope in itertools.product(TradingLevel, ACTIONS, SCOPES)
    ],
)
def test_each_cell_of_level_action_and_scope(level: TradingLevel, action: Action, scope: Scope) -> None:
    assert is_done(action, level, scope) is MATRIX[action][level]


@pytest.mark.parametrize("scope", ELSEWHERE)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_kill_elsewhere_changes_no_cell_here(action: Action, scope: Scope) -> None:
    assert is_done(action, TradingLevel.KILLED, scope)
