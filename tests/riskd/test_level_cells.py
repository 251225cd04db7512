"""Every cell of level x action x scope: the table below is the design's, the cells are asked of a real gate."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest

from riskd.holds import HIGHEST_LEVEL, Action, is_allowed
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits, violations
from tests.riskd.test_flatten import reduce_order
from tradebot.core.approvals import ApprovalAnswer, ReduceCommand
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce

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
"""Never asked of riskd: execd reads the level table for these, and its own tests hold it to them."""

NOBODYS = {Action.RISKD_REDUCE, Action.AMEND_ENTRY, Action.AMEND_PROTECTION}
"""Asked here without the open command or order that they name: the level may let them pass, another check does not."""


@cache
def held_desk(level: TradingLevel, scope: Scope, ladder: bool) -> tuple[Desk, ReduceCommand | None]:
    """A desk with a position, perhaps a ladder that closes it, and then one hold."""
    desk = Desk(limits=make_test_limits(cautious={"adds": True, "entry_spacing_s": 0, "loss_cooldown_s": 0}))
    desk.buy("0.01")
    command = begin_ladder(desk) if ladder else None
    if level is not RUNNING:
        desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role="trader", command_id="h", duration_s=0, now_ns=desk.now_ns
        )
    return desk, command


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


def ask(desk: Desk, command: ReduceCommand | None, action: Action) -> ApprovalAnswer:
    """Ask for the smallest order of this kind."""
    sell = {"role": OrderRole.EXIT, "side": Side.SELL, "qty": "0.0001"}
    never = ReduceCommand("none", BTC, "s1", Side.SELL, Decimal("0.0001"), 50, "FLATTEN")
    stop = {
        "terms_time_in_force": TimeInForce.GTC,
        "terms_order_type": OrderType.STOP_LIMIT,
        "terms_stop_price": "59700",
        "terms_price": "59600",
    }
    match action:
        case Action.ENTRY:
            return desk.plain(qty="0.0002")
        case Action.AMEND_ENTRY:
            intent = desk.intent(qty="0.0002")
            return desk.ask(intent, replace(desk.order(intent), replaces_client_order_id="old-entry"))
        case Action.STRATEGY_EXIT:
            return desk.plain(**sell)
        case Action.OPERATOR_REDUCE:
            return desk.plain(**sell, strategy_id="manual:ana")
        case Action.RISKD_REDUCE:
            return desk.ask(None, reduce_order(desk, never))
        case Action.FLATTEN:
            assert command is not None
            return desk.ask(None, reduce_order(desk, command))
        case Action.EMERGENCY_EXIT:
            return desk.ask(None, replace(desk.order(desk.intent(**sell)), role=OrderRole.EMERGENCY_EXIT))
        case _:
            order = replace(desk.order(desk.intent(**sell), **stop), role=OrderRole.PROTECTION)
            old = "old-stop" if action is Action.AMEND_PROTECTION else ""
            return desk.ask(None, replace(order, replaces_client_order_id=old))


def expected(action: Action, level: TradingLevel, scope: Scope) -> bool:
    own = action is Action.OPERATOR_REDUCE and scope.kind is ScopeKind.STRATEGY  # the operator is no such strategy
    return MATRIX[action][RUNNING if own else level]


@pytest.mark.parametrize(
    ("level", "action", "scope"),
    [
        pytest.param(level, action, scope, id=f"{level.name}-{action.name}-{scope.kind.name}")
        for level, action, scope in itertools.product(TradingLevel, Action, SCOPES)
    ],
)
def test_each_cell_of_level_action_and_scope(level: TradingLevel, action: Action, scope: Scope) -> None:
    desk, command = held_desk(level, scope, action is Action.FLATTEN)
    covered = desk.gate.state.holds.level_for("binance", BTC, "s1")

    assert covered is level
    assert is_allowed(action, level) is MATRIX[action][level]
    if action not in EXECDS:
        answer = ask(desk, command, action)
        allowed = expected(action, level, scope)
        assert ("STA-01" not in violations(answer)) is allowed, answer
        assert (answer.approval is not None) is (allowed and action not in NOBODYS), answer


@pytest.mark.parametrize("scope", ELSEWHERE)
@pytest.mark.parametrize("action", [action for action in Action if action not in EXECDS])
def test_a_kill_elsewhere_changes_no_cell_here(action: Action, scope: Scope) -> None:
    desk, command = held_desk(TradingLevel.KILLED, scope, action is Action.FLATTEN)

    assert "STA-01" not in violations(ask(desk, command, action))


def test_the_table_is_complete() -> None:
    assert set(MATRIX) == set(HIGHEST_LEVEL) == set(Action)
