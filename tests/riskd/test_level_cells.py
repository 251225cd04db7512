"""Every cell of level x action x scope: the table below is the design's, the cells are asked of a real gate. Those of
execd's own actions are asked of execd: tests/execd/test_level_cells.py.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache

import pytest

from riskd.holds import HIGHEST_LEVEL, Action, is_allowed
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits, violations
from tests.riskd.test_flatten import reduce_order
from tradebot.core.approvals import ApprovalAnswer, ApproveOrder, ReduceCommand, VenueAction
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderEventKind, OrderRole, OrderType, Side, TimeInForce

SCOPES = (
    SYSTEM_SCOPE,
    Scope(ScopeKind.VENUE, "binance"),
    Scope(ScopeKind.INSTRUMENT, BTC),
    Scope(ScopeKind.STRATEGY, "s1"),
)
ELSEWHERE = (Scope(ScopeKind.VENUE, "okx"), Scope(ScopeKind.INSTRUMENT, ETH), Scope(ScopeKind.STRATEGY, "s2"))
RUNNING = TradingLevel.RUNNING

MATRIX: dict[Action, tuple[bool, bool, bool, bool, bool, bool]] = {
    # RUNNING CAUTIOUS REDUCE_ONLY PAUSED HALTED KILLED, as the design's table has them
    Action.ENTRY: (True, True, False, False, False, False),
    Action.AMEND_ENTRY: (True, True, False, False, False, False),
    Action.STRATEGY_EXIT: (True, True, True, False, False, False),
    Action.OPERATOR_REDUCE: (True, True, True, True, True, False),
    Action.RISKD_REDUCE: (True, True, True, True, True, False),
    Action.FLATTEN: (True, True, True, True, True, True),
    Action.PROTECTION: (True, True, True, True, True, False),
    Action.AMEND_PROTECTION: (True, True, True, True, True, False),
    Action.EMERGENCY_EXIT: (True, True, True, True, True, False),
    Action.CANCEL_ENTRY: (True, True, True, True, True, True),
    Action.CANCEL_PROTECTION: (True, True, True, True, True, True),
    Action.WORKING_ENTRY: (True, True, False, False, False, False),
    Action.WORKING_PROTECTION: (True, True, True, True, True, True),
    Action.READ: (True, True, True, True, True, True),
}
EXECDS = {
    Action.CANCEL_ENTRY, Action.CANCEL_PROTECTION, Action.WORKING_ENTRY, Action.WORKING_PROTECTION, Action.READ,
}  # fmt: skip
"""Never asked of riskd: execd reads the level table for these."""


@dataclass(frozen=True)
class Held:
    """A desk at a level, and what is open there."""

    desk: Desk
    command: ReduceCommand | None = None
    """Of a closing ladder: flatten, or riskd's own reduction."""
    entry: str = ""
    stop: str = ""
    """Working orders that may be amended."""


@cache
def held_desk(level: TradingLevel, scope: Scope, closing: Action | None) -> Held:
    """A desk with a position and either a ladder that closes it or orders to amend, and then one hold."""
    desk = Desk(limits=make_test_limits(cautious={"adds": True, "entry_spacing_s": 0, "loss_cooldown_s": 0}))
    desk.buy("0.01")
    match closing:
        case Action.FLATTEN:
            held = Held(desk, begin_ladder(desk))
        case Action.RISKD_REDUCE:
            held = Held(desk, begin_reduction(desk))
        case _:
            held = Held(desk, entry=working(desk, Action.ENTRY), stop=working(desk, Action.PROTECTION))
    if level is not RUNNING:
        desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role="trader", command_id="h", duration_s=0, now_ns=desk.now_ns
        )
    return held


def begin_ladder(desk: Desk) -> ReduceCommand:
    """Begin to flatten, and clear the halt that came with it: what is asked next meets one hold at most."""
    (command, *_) = desk.gate.flatten(
        Scope(ScopeKind.STRATEGY, "s1"), reason="test", operator="ana", role="trader", command_id="f",
        typed_phrase="FLATTEN DEMO 1", now_ns=desk.now_ns,
    ).reduces  # fmt: skip
    halt = next(iter(desk.gate.state.holds.holds))
    desk.gate.clear_hold(
        halt, reason="only the ladder", operator="ana", role="trader", command_id="c", typed_phrase="",
        now_ns=desk.now_ns,
    )  # fmt: skip
    return command


def begin_reduction(desk: Desk) -> ReduceCommand:
    """Let riskd reduce the position by itself, as above a soft cap."""
    job = desk.gate._flattener.reduce(BTC, "s1", 0, desk.now_ns)
    assert job is not None
    desk.gate._ledger.commit(job)
    (command,) = desk.gate.handle_timer(desk.now_ns).reduces
    return command


def working(desk: Desk, action: Action) -> str:
    """Leave an order of this kind working."""
    assert ask(Held(desk), action).approval is not None
    desk.event(f"c{desk.orders}", OrderEventKind.SENT)
    return f"c{desk.orders}"


def ask(held: Held, action: Action) -> ApprovalAnswer:
    """Ask for the smallest order of this kind."""
    desk = held.desk
    sell = {"role": OrderRole.EXIT, "side": Side.SELL, "qty": "0.0001"}
    stop = {
        "terms_time_in_force": TimeInForce.GTC,
        "terms_order_type": OrderType.STOP_LIMIT,
        "terms_stop_price": "59700",
        "terms_price": "59600",
    }
    match action:
        case Action.ENTRY:
            return desk.plain(qty="0.0002", time_in_force=TimeInForce.GTC)
        case Action.AMEND_ENTRY:
            intent = desk.intent(qty="0.0002", time_in_force=TimeInForce.GTC)
            return desk.ask(intent, amended(desk.order(intent), held.entry))
        case Action.STRATEGY_EXIT:
            return desk.plain(**sell)
        case Action.OPERATOR_REDUCE:
            return desk.plain(**sell, strategy_id="manual:ana")
        case Action.RISKD_REDUCE | Action.FLATTEN:
            assert held.command is not None
            return desk.ask(None, reduce_order(desk, held.command))
        case Action.EMERGENCY_EXIT:
            return desk.ask(None, replace(desk.order(desk.intent(**sell)), role=OrderRole.EMERGENCY_EXIT))
        case _:
            order = replace(desk.order(desk.intent(**sell), **stop), role=OrderRole.PROTECTION)
            return desk.ask(None, amended(order, held.stop) if action is Action.AMEND_PROTECTION else order)


def amended(order: ApproveOrder, old: str) -> ApproveOrder:
    return replace(order, action=VenueAction.REPLACE, replaces_client_order_id=old)


def expected(action: Action, level: TradingLevel, scope: Scope) -> bool:
    own = action is Action.OPERATOR_REDUCE and scope.kind is ScopeKind.STRATEGY  # the operator is no such strategy
    return MATRIX[action][RUNNING if own else level]


CLOSING = (Action.FLATTEN, Action.RISKD_REDUCE)
ASKED = [action for action in Action if action not in EXECDS]


@pytest.mark.parametrize(
    ("level", "action", "scope"),
    [
        pytest.param(level, action, scope, id=f"{level.name}-{action.name}-{scope.kind.name}")
        for level, action, scope in itertools.product(TradingLevel, ASKED, SCOPES)
    ],
)
def test_each_cell_of_level_action_and_scope(level: TradingLevel, action: Action, scope: Scope) -> None:
    held = held_desk(level, scope, action if action in CLOSING else None)
    covered = held.desk.gate.state.holds.level_for("binance", BTC, "s1")
    answer = ask(held, action)
    allowed = expected(action, level, scope)

    assert covered is level
    assert is_allowed(action, level) is MATRIX[action][level]
    assert ("STA-01" not in violations(answer)) is allowed, answer
    assert (answer.approval is not None) is allowed, answer


@pytest.mark.parametrize("scope", ELSEWHERE)
@pytest.mark.parametrize("action", ASKED)
def test_a_kill_elsewhere_changes_no_cell_here(action: Action, scope: Scope) -> None:
    held = held_desk(TradingLevel.KILLED, scope, action if action in CLOSING else None)

    assert ask(held, action).approval is not None


def test_the_table_is_complete() -> None:
    assert set(MATRIX) == set(HIGHEST_LEVEL) == set(Action)
