"""Holds: the level is always the join, epochs only rise, and nothing is lowered but by its rule."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from riskd.holds import HIGHEST_LEVEL, Action, is_allowed
from tests.riskd.kit import BTC, ETH, SECOND, Desk, violations
from tradebot.core.accounts import VenueAlarm
from tradebot.core.errors import RejectedError
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, Side

SCOPES = (
    SYSTEM_SCOPE,
    Scope(ScopeKind.VENUE, "binance"),
    Scope(ScopeKind.INSTRUMENT, BTC),
    Scope(ScopeKind.STRATEGY, "s1"),
)
ELSEWHERE = (Scope(ScopeKind.VENUE, "okx"), Scope(ScopeKind.INSTRUMENT, ETH), Scope(ScopeKind.STRATEGY, "s2"))
R, C, _, P, H, K = TradingLevel  # RUNNING CAUTIOUS REDUCE_ONLY PAUSED HALTED KILLED

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


@pytest.mark.parametrize(("action", "level"), list(itertools.product(Action, TradingLevel)))
def test_the_level_gate_is_the_table(action: Action, level: TradingLevel) -> None:
    assert is_allowed(action, level) is MATRIX[action][level]


def test_the_table_is_complete() -> None:
    assert set(MATRIX) == set(HIGHEST_LEVEL) == set(Action)


def hold_at(desk: Desk, level: TradingLevel, scope: Scope) -> None:
    if level is not R:
        desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role="trader", command_id=f"{level}{scope}", duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip


@pytest.mark.parametrize(("level", "scope"), list(itertools.product(TradingLevel, SCOPES)))
def test_orders_pass_the_gate_by_level_and_scope(level: TradingLevel, scope: Scope) -> None:
    desk = Desk()
    desk.buy("0.01")
    hold_at(desk, level, scope)
    wanted = {
        Action.ENTRY: desk.plain(qty="0.001"),
        Action.STRATEGY_EXIT: desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001"),
        Action.OPERATOR_REDUCE: desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", strategy_id="manual:ana"),
    }
    covered = {
        action: scope.kind is not ScopeKind.STRATEGY or action is not Action.OPERATOR_REDUCE for action in wanted
    }

    for action, answer in wanted.items():
        allowed = MATRIX[action][level if covered[action] else R]
        assert (answer.approval is not None) is allowed, (action, answer)
        assert ("STA-01" in violations(answer)) is not allowed


@pytest.mark.parametrize("scope", ELSEWHERE)
def test_a_hold_elsewhere_changes_nothing_here(scope: Scope) -> None:
    desk = Desk()
    hold_at(desk, K, scope)

    assert desk.plain(qty="0.001").approval is not None


def test_a_raise_moves_only_the_fence_of_its_scope_and_a_clear_moves_none() -> None:
    desk = Desk()
    hold_at(desk, P, Scope(ScopeKind.INSTRUMENT, ETH))
    table = desk.gate.state.holds.table()
    btc, eth = table.fence_for("binance", BTC, "s1"), table.fence_for("binance", ETH, "s1")
    (hold,) = desk.gate.state.holds.holds.values()
    clear(desk, hold.hold_id)
    after = desk.gate.state.holds.table()

    assert btc < eth == table.epoch
    assert after.epoch == table.epoch + 1
    assert after.fence_for("binance", ETH, "s1") == eth
    assert after.level_for("binance", ETH, "s1") is R


def clear(desk: Desk, hold_id: str, role: str = "trader", phrase: str = "", reason: str = "looked into it") -> str:
    result = desk.gate.clear_hold(
        hold_id, reason=reason, operator="ana", role=role, command_id=f"{desk.now_ns}{hold_id}{role}{phrase}{reason}",
        typed_phrase=phrase, now_ns=desk.now_ns,
    )  # fmt: skip
    return "CLEARED" if result.cleared else result.reason


def test_one_key_clears_a_halt_and_a_reason_is_needed() -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold,) = desk.gate.state.holds.holds

    assert clear(desk, hold, reason="ok") == "REASON_TOO_SHORT"
    assert clear(desk, "H99") == "UNKNOWN_HOLD"
    assert clear(desk, hold) == "CLEARED"
    assert desk.levels() == "RUNNING"


def test_a_kill_takes_the_second_key_the_cool_off_and_the_phrase_and_lands_in_cautious() -> None:
    desk = Desk()
    hold_at(desk, K, SYSTEM_SCOPE)
    (hold,) = desk.gate.state.holds.holds
    phrase = f"CLEAR {hold}"

    assert clear(desk, hold, "trader", phrase) == "SECOND_KEY_NEEDED"
    assert clear(desk, hold, "risk", phrase) == "COOL_OFF"
    desk.now_ns += 15 * 60 * SECOND - 1
    assert clear(desk, hold, "risk", phrase) == "COOL_OFF"
    desk.now_ns += 1
    assert clear(desk, hold, "risk", "CLEAR") == "PHRASE_MISMATCH"
    assert clear(desk, hold, "risk", phrase) == "CLEARED"
    assert desk.levels() == "CAUTIOUS"
    desk.wait(30 * 60)
    assert desk.levels() == "RUNNING"


def test_an_auto_hold_is_cleared_by_nobody_but_its_cause() -> None:
    desk = Desk()
    desk.venue(alarms=(VenueAlarm("POSITION_MISMATCH", "", "1 BTC"),))
    (hold,) = desk.gate.state.holds.holds

    assert clear(desk, hold, "risk", f"CLEAR {hold}") == "AUTO_ONLY"


def test_resume_clears_operators_one_key_holds_and_nothing_else() -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    hold_at(desk, P, Scope(ScopeKind.INSTRUMENT, BTC))
    hold_at(desk, K, Scope(ScopeKind.INSTRUMENT, ETH))
    desk.venue(alarms=(VenueAlarm("FILL_ANOMALY", ETH, "seen"),))
    with pytest.raises(RejectedError):
        desk.gate.resume(reason="go", operator="ana", role="trader", command_id="r0", now_ns=desk.now_ns)
    cleared = desk.gate.resume(reason="all is well", operator="ana", role="trader", command_id="r1", now_ns=desk.now_ns)

    assert sorted(h.level.name for h in cleared) == ["HALTED", "PAUSED"]
    assert sorted(h.cause for h in desk.gate.state.holds.holds.values()) == ["FILL_ANOMALY", "OPERATOR"]
    assert desk.gate.state.audit[-1].command == "RESUME"


def test_a_timed_hold_ends_by_itself_and_a_repeated_command_raises_once() -> None:
    desk = Desk()

    def raise_once() -> Hold:
        return desk.gate.raise_hold(
            P, SYSTEM_SCOPE, reason="lunch", operator="ana", role="trader", command_id="c", duration_s=60,
            now_ns=desk.now_ns,
        )  # fmt: skip

    assert raise_once() == raise_once()
    desk.wait(59.9)
    assert desk.levels() == "PAUSED"
    desk.wait(0.1)
    assert desk.levels() == "RUNNING"


@pytest.mark.parametrize(
    ("level", "scope"), [(R, SYSTEM_SCOPE), (H, Scope(ScopeKind.SYSTEM, "x")), (H, Scope(ScopeKind.VENUE))]
)
def test_a_hold_that_says_nothing_is_refused(level: TradingLevel, scope: Scope) -> None:
    desk = Desk()
    with pytest.raises(RejectedError):
        desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role="trader", command_id="c", duration_s=0, now_ns=desk.now_ns
        )


@dataclass
class ModelHold:
    level: TradingLevel
    scope: Scope
    release: ReleaseRule
    raised_ns: int
    until_ns: int
    operators: bool = True
    """Raised by an operator, not by riskd."""


PROBES = [(v, i, s) for v in ("binance", "okx") for i in (BTC, ETH) for s in ("s1", "s2")]


class HoldsAgainstAModel(RuleBasedStateMachine):
    """Random operator lives against the most naive model: a dict of holds and max()."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.model: dict[str, ModelHold] = {}
        self.epoch = self.desk.gate.state.holds.epoch
        self.commands = 0

    @rule(
        level=st.sampled_from(list(TradingLevel)[1:]),
        scope=st.sampled_from(SCOPES + ELSEWHERE),
        duration=st.sampled_from([0, 0, 30, 300]),
    )
    def raise_(self, level: TradingLevel, scope: Scope, duration: int) -> None:
        self.commands += 1
        now_ns = self.desk.now_ns
        hold = self.desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role="trader", command_id=f"c{self.commands}", duration_s=duration,
            now_ns=now_ns,
        )  # fmt: skip
        timed = duration > 0 and level is not K
        release = ReleaseRule.TIMED if timed else ReleaseRule.TWO_KEY if level is K else ReleaseRule.ONE_KEY
        self.model[hold.hold_id] = ModelHold(level, scope, release, now_ns, now_ns + duration * SECOND)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), role=st.sampled_from(["trader", "risk"]), right=st.booleans())
    def clear(self, data: st.DataObject, role: str, right: bool) -> None:
        self.commands += 1
        hold_id = data.draw(st.sampled_from(sorted(self.model)))
        hold, now_ns = self.model[hold_id], self.desk.now_ns
        before = set(self.desk.gate.state.holds.holds)
        done = self.desk.gate.clear_hold(
            hold_id, reason="because it is over", operator="ana", role=role, command_id=f"c{self.commands}",
            typed_phrase=f"CLEAR {hold_id}" if right else "no", now_ns=now_ns,
        ).cleared  # fmt: skip
        two_key = hold.release is ReleaseRule.TWO_KEY
        cooled = now_ns - hold.raised_ns >= 15 * 60 * SECOND
        second_key = two_key or not hold.operators
        assert done is (not second_key or (role == "risk" and right and (cooled or not two_key)))
        if done:
            del self.model[hold_id]
            if two_key:
                (fresh,) = set(self.desk.gate.state.holds.holds) - before
                until_ns = now_ns + 30 * 60 * SECOND
                self.model[fresh] = ModelHold(C, hold.scope, ReleaseRule.TIMED, now_ns, until_ns, False)

    @rule(seconds=st.sampled_from([1, 29, 31, 299, 900, 1800]))
    def wait(self, seconds: int) -> None:
        self.desk.wait(seconds)
        now_ns = self.desk.now_ns
        for hold_id, hold in list(self.model.items()):
            if hold.release is ReleaseRule.TIMED and hold.until_ns <= now_ns:
                del self.model[hold_id]

    @rule()
    def restart(self) -> None:
        gate = self.desk.replayed()
        assert gate.state.digest() == self.desk.gate.state.digest()
        gate._ledger._sink = self.desk.sink  # the journal goes on
        self.desk.gate = gate
        gate.start(f"life{self.commands}", self.desk.now_ns)
        self.desk.hello()
        self.desk.account()
        self.desk.venue()

    @invariant()
    def the_level_is_the_join_of_what_covers(self) -> None:
        holds = self.desk.gate.state.holds
        for venue, instrument_id, strategy_id in PROBES:
            wanted = max(
                (h.level for h in self.model.values() if h.scope.covers(venue, instrument_id, strategy_id)), default=R
            )
            assert holds.level_for(venue, instrument_id, strategy_id) is wanted
            assert holds.table().level_for(venue, instrument_id, strategy_id) is wanted

    @invariant()
    def the_epoch_only_rises(self) -> None:
        assert self.desk.gate.state.holds.epoch >= self.epoch
        self.epoch = self.desk.gate.state.holds.epoch


HoldsAgainstAModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestHoldsAgainstAModel = HoldsAgainstAModel.TestCase


def test_repeating_a_clear_is_answered_as_done_and_changes_nothing() -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold,) = desk.gate.state.holds.holds
    first = clear(desk, hold)
    epoch = desk.gate.state.holds.epoch
    again = clear(desk, hold)

    assert (first, again) == ("CLEARED", "CLEARED")
    assert desk.gate.state.holds.epoch == epoch


def test_beyond_the_most_holds_a_raise_covers_the_whole_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskd.keeper.MAX_HOLDS", 2)
    desk = Desk()
    for name in ("a", "b", "c"):
        hold_at(desk, P, Scope(ScopeKind.STRATEGY, name))

    assert desk.levels() == "PAUSED"


def test_the_last_hold_of_a_kill_is_cautious_in_its_scope_only() -> None:
    desk = Desk()
    hold_at(desk, K, Scope(ScopeKind.INSTRUMENT, ETH))
    (hold,) = desk.gate.state.holds.holds
    desk.now_ns += 15 * 60 * SECOND
    clear(desk, hold, "risk", f"CLEAR {hold}")

    assert desk.gate.state.holds.level_for("binance", ETH, "s1") is C
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is R
