"""Random lives of operators, alarms, stops, sessions, restarts, days and clocks against the most naive model.

The model is a dict of holds and max(). After every step: the level is the join of what covers, the epoch never falls
and rises with every change, nothing dropped without a journaled release that was legal, and a replay equals the live
state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from riskd.clock_trust import BootTime
from riskd.control_book import SELF_TEST
from riskd.records import Command, HoldCleared, HoldRaised, HoldRetimed, decode_record
from tests.riskd.kit import BTC, ETH, OPERATOR_KEYS, SECOND, START_NS, TEAM, UPTIME_NS, Desk, make_test_limits
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import StopLatch
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel

SCOPES = (
    SYSTEM_SCOPE,
    Scope(ScopeKind.VENUE, "binance"),
    Scope(ScopeKind.VENUE, "okx"),
    Scope(ScopeKind.INSTRUMENT, BTC),
    Scope(ScopeKind.INSTRUMENT, ETH),
    Scope(ScopeKind.STRATEGY, "s1"),
    Scope(ScopeKind.STRATEGY, "s2"),
)
PROBES = [(v, i, s) for v in ("binance", "okx") for i in (BTC, ETH) for s in ("s1", "s2")]
R, C, REDUCE, P, H, K = TradingLevel
COOL_OFF_NS = 15 * 60 * SECOND
AFTER_NS = 30 * 60 * SECOND
AFTER_KILL_NS = 24 * 3600 * SECOND
SIGN_OFF_NS = 5 * 60 * SECOND
ALARM = VenueAlarm("POSITION_MISMATCH", "", "1 BTC")


@dataclass
class ModelHold:
    """What the model knows of a hold."""

    level: TradingLevel
    scope: Scope
    release: ReleaseRule
    raised_ns: int
    until_ns: int = 0
    operators: bool = True
    """Raised by an operator, not by riskd."""
    cool_ns: int = 0
    """End of the cool-off."""

    def __post_init__(self) -> None:
        self.cool_ns = self.raised_ns + COOL_OFF_NS


class Lives(RuleBasedStateMachine):
    """See the module."""

    top: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(limits=make_test_limits(**self.top))
        self.model: dict[str, ModelHold] = {}
        self.signed: dict[str, tuple[str, str, int, int]] = {}
        self.epoch = self.desk.gate.state.holds.epoch
        self.commands = 0
        self.read = len(self.desk.sink.records)
        self.journal: dict[str, Hold] = {}
        self.session = True
        self.riskd_ns = self.execd_ns = self.tested_ns = 0
        """When each process started, and when the limits were tested."""
        self.moved_ns = 0
        """By how much somebody moved the clock."""

    # ---- what happens

    def command(self) -> str:
        self.commands += 1
        return f"c{self.commands}"

    def fresh(self) -> str:
        """Return the one hold that the gate has and the model does not."""
        (hold_id,) = set(self.desk.gate.state.holds.holds) - set(self.model)
        return hold_id

    @rule(
        level=st.sampled_from(list(TradingLevel)[1:]),
        scope=st.sampled_from(SCOPES),
        duration=st.sampled_from([0, 0, 30, 300]),
        role=st.sampled_from(["trader", "risk"]),
    )
    def raise_(self, level: TradingLevel, scope: Scope, duration: int, role: str) -> None:
        now_ns = self.desk.now_ns
        hold = self.desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role=role, command_id=self.command(), duration_s=duration,
            now_ns=now_ns,
        )  # fmt: skip
        timed = duration > 0 and level is not K
        release = ReleaseRule.TIMED if timed else ReleaseRule.TWO_KEY if level is K else ReleaseRule.ONE_KEY
        self.model[hold.hold_id] = ModelHold(level, scope, release, now_ns, now_ns + duration * SECOND if timed else 0)

    @precondition(lambda self: self.model)
    @rule(
        data=st.data(),
        who=st.sampled_from(
            [("ana", "trader"), ("ana", "risk"), ("bob", "risk"), ("tom", "trader"), ("eve", "viewer")]
        ),
        typed=st.booleans(),
        reason=st.sampled_from(["because it is over", "because it is over", "ok"]),
        signed=st.sampled_from([True, True, True, False]),
    )
    def clear(self, data: st.DataObject, who: tuple[str, str], typed: bool, reason: str, signed: bool) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.model)))
        hold, now_ns = self.model[hold_id], self.desk.now_ns
        known = not self.top or (signed and OPERATOR_KEYS[who[0]][0] == who[1])
        may = known and self.judge(hold_id, hold, *who, typed, len(reason) >= 8)
        command_id = self.command()
        proof = self.desk.prove("CLEAR", hold_id, who[0], reason, command_id) if signed else None
        done = self.desk.gate.clear_hold(
            hold_id, reason=reason, operator=who[0], role=who[1], command_id=command_id,
            typed_phrase=f"CLEAR {hold_id}" if typed else "no", now_ns=now_ns, proof=proof,
        ).cleared  # fmt: skip

        assert done is may
        if done:
            del self.model[hold_id]
            if hold.release is ReleaseRule.TWO_KEY:
                until_ns = now_ns + (AFTER_KILL_NS if hold.level is K else AFTER_NS)
                self.model[self.fresh()] = ModelHold(
                    C, hold.scope, ReleaseRule.TIMED, now_ns, until_ns, operators=False
                )

    def judge(self, hold_id: str, hold: ModelHold, operator: str, role: str, typed: bool, reason: bool) -> bool:
        """The rule of release, said again in the plainest words."""
        if role == "viewer" or not reason or hold.release is ReleaseRule.AUTO:
            return False
        if hold.release is ReleaseRule.ONE_KEY or (hold.release is ReleaseRule.TIMED and hold.operators):
            return True
        cooled = self.desk.now_ns >= hold.cool_ns
        if hold.release is ReleaseRule.TWO_KEY:
            cooled = cooled and self.session
        if hold.level is K:
            cooled = cooled and min(self.riskd_ns, self.execd_ns) > hold.raised_ns and self.tested_ns >= self.riskd_ns
        if not self.top:
            return role == "risk" and cooled and typed
        if not (cooled and typed):
            return False
        earlier = self.signed.get(hold_id)
        epoch = self.desk.gate.state.holds.epoch
        if earlier is not None and earlier[2] == epoch and self.desk.now_ns - earlier[3] <= SIGN_OFF_NS:
            if earlier[1] != role and earlier[0] == operator:
                return False
            if earlier[1] != role:
                del self.signed[hold_id]
                return True
        self.signed[hold_id] = (operator, role, epoch, self.desk.now_ns)
        return False

    @rule()
    def resume(self) -> None:
        command_id = self.command()
        self.desk.gate.resume(
            reason="all is well", operator="ana", role="trader", command_id=command_id, now_ns=self.desk.now_ns,
            proof=self.desk.prove("RESUME", "", "ana", "all is well", command_id),
        )  # fmt: skip
        for hold_id, hold in list(self.model.items()):
            if hold.release is ReleaseRule.ONE_KEY:
                del self.model[hold_id]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), seconds=st.sampled_from([10, 3_600]))
    def extend(self, data: st.DataObject, seconds: int) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.model)))
        hold = self.model[hold_id]
        done = self.desk.gate.keeper.extend_hold(
            hold_id, seconds, reason="", operator="ana", role="trader", command_id=self.command(),
            now_ns=self.desk.now_ns,
        ).cleared  # fmt: skip

        assert done is (hold.release is ReleaseRule.TIMED)
        if done:
            hold.until_ns += seconds * SECOND

    @rule(level=st.sampled_from([H, K]), late=st.booleans())
    def stop(self, level: TradingLevel, late: bool) -> None:
        """A stop reaches both stop services: execd's copy comes before or after our own."""
        latch = StopLatch(self.command(), level, "ana", "drill", self.desk.now_ns)
        if self.session and late:
            self.desk.say(latches=[latch])
        self.desk.gate.stop(latch, "trader", self.desk.now_ns)
        if self.session and not late:
            self.desk.say(latches=[latch])
        release = ReleaseRule.TWO_KEY if level is K else ReleaseRule.ONE_KEY
        self.model[self.fresh()] = ModelHold(level, SYSTEM_SCOPE, release, self.desk.now_ns)

    @precondition(lambda self: self.session)
    @rule(cleared=st.booleans())
    def alarm(self, cleared: bool) -> None:
        self.desk.venue(alarms=(VenueAlarm(ALARM.cause, "", "over", cleared=True) if cleared else ALARM,))
        venue = Scope(ScopeKind.VENUE, "binance")
        known = [key for key, h in self.model.items() if h.release is ReleaseRule.AUTO and h.level is P]
        if cleared:
            for key in known:
                del self.model[key]
        elif not known:
            self.model[self.fresh()] = ModelHold(P, venue, ReleaseRule.AUTO, self.desk.now_ns, operators=False)

    @rule(seconds=st.sampled_from([1, 29, 31, 299, 900, 1800, 86_400]))
    def wait(self, seconds: int) -> None:
        """Time passes; the longest wait rolls the UTC day."""
        self.desk.wait(seconds)
        self.drop_expired()

    def drop_expired(self) -> None:
        for hold_id, hold in list(self.model.items()):
            if hold.release is ReleaseRule.TIMED and hold.until_ns <= self.desk.now_ns:
                del self.model[hold_id]

    @precondition(lambda self: self.session)
    @rule()
    def lose_the_session(self) -> None:
        self.desk.gate.session_lost(self.desk.now_ns)
        self.session = False
        self.model[self.fresh()] = ModelHold(REDUCE, SYSTEM_SCOPE, ReleaseRule.AUTO, self.desk.now_ns, operators=False)

    @precondition(lambda self: not self.session)
    @rule(anew=st.booleans())
    def dial_again(self, anew: bool) -> None:
        if anew:
            self.execd_ns = self.desk.execd_started_ns = self.desk.now_ns
        self.desk.hello()
        self.desk.account()
        self.desk.venue()
        self.session = True
        for key in [k for k, h in self.model.items() if h.release is ReleaseRule.AUTO and h.level is REDUCE]:
            del self.model[key]

    def boot(self) -> BootTime:
        """Return what the system tells of its uptime: the clock that nobody moved."""
        return BootTime("boot", UPTIME_NS + self.desk.now_ns - START_NS - self.moved_ns)

    @rule(down_s=st.sampled_from([0, 20, 7_200]))
    def restart(self, down_s: int) -> None:
        """The process dies and comes back after some time, on a clock that is right."""
        gate = self.desk.replayed()
        assert gate.state.digest() == self.desk.gate.state.digest()
        gate._ledger._sink = self.desk.sink  # the journal goes on
        self.desk.gate = gate
        self.desk.now_ns += down_s * SECOND
        gate.start(f"life{self.command()}", self.desk.now_ns, self.boot())
        self.riskd_ns = self.desk.now_ns
        self.desk.hello()
        self.desk.account()
        self.desk.venue()
        self.session = True
        for key in [k for k, h in self.model.items() if h.release is ReleaseRule.AUTO and h.level is REDUCE]:
            del self.model[key]
        self.signed.clear()
        self.desk.gate.handle_timer(self.desk.now_ns)
        self.drop_expired()

    @rule()
    def test_the_limits(self) -> None:
        self.tested_ns = self.desk.now_ns
        self.desk.gate.controls_tested(SELF_TEST, self.desk.limits.hash, ["PRC-01"], [], self.desk.now_ns)

    @rule(jump_s=st.sampled_from([-7_200, 7_200]))
    def clock_jump(self, jump_s: int) -> None:
        """The clock was moved while the process was down, as the time since the boot tells."""
        gate = self.desk.replayed()
        gate._ledger._sink = self.desk.sink
        stood_ns, self.desk.gate = gate.state.guards.last_ns, gate
        self.desk.now_ns += jump_s * SECOND
        self.moved_ns += jump_s * SECOND
        gate.start(f"life{self.command()}", self.desk.now_ns, self.boot())
        self.riskd_ns = self.desk.now_ns
        self.desk.hello()
        self.desk.account()
        self.desk.venue()
        self.session = True
        self.signed.clear()
        for key in [k for k, h in self.model.items() if h.release is ReleaseRule.AUTO and h.level is REDUCE]:
            del self.model[key]
        moved_ns = self.desk.now_ns - stood_ns
        for hold in self.model.values():
            hold.until_ns += moved_ns if hold.until_ns else 0
            if hold.release is ReleaseRule.TWO_KEY:  # elsewhere it only keeps a person from acting in haste
                hold.cool_ns = hold.cool_ns + moved_ns if hold.cool_ns > stood_ns else 0

    # ---- what always holds

    @invariant()
    def the_level_is_the_join_of_what_covers(self) -> None:
        holds = self.desk.gate.state.holds
        assert set(holds.holds) == set(self.model)
        for probe in PROBES:
            wanted = max((h.level for h in self.model.values() if h.scope.covers(*probe)), default=R)
            assert holds.level_for(*probe) is wanted
            assert holds.table().level_for(*probe) is wanted

    @invariant()
    def every_release_in_the_journal_was_legal(self) -> None:
        """Read what was journaled since the last look: epochs rise by one change each, and each drop has its reason."""
        keyed: set[str] = set()
        for kind, payload in self.desk.sink.records[self.read :]:
            match decode_record(kind, payload):
                case HoldRaised(hold=hold, epoch=epoch):
                    assert epoch == self.epoch + 1
                    self.epoch = epoch
                    self.journal[hold.hold_id] = hold
                case HoldRetimed() as moved:
                    old = self.journal[moved.hold_id]
                    self.journal[moved.hold_id] = Hold(
                        old.hold_id, old.level, old.scope, old.cause, old.raised_by, old.raised_ns, old.release,
                        old.evidence, moved.until_ns, old.latch_id, moved.clear_after_ns,
                    )  # fmt: skip
                case Command(command="CLEAR" | "RESUME", role="trader" | "risk") as command:
                    keyed.add(command.command_id)
                case HoldCleared() as cleared:
                    assert cleared.epoch == self.epoch + 1
                    self.epoch = cleared.epoch
                    gone = self.journal.pop(cleared.hold_id)
                    assert cleared.hold == gone
                    assert self.is_legal(gone, cleared, bool(keyed))
                case _:
                    pass
        self.read = len(self.desk.sink.records)
        assert self.desk.gate.state.holds.epoch == self.epoch
        assert self.journal == self.desk.gate.state.holds.holds

    @staticmethod
    def is_legal(hold: Hold, cleared: HoldCleared, keyed: bool) -> bool:
        if cleared.operator == "riskd":
            timed = hold.release is ReleaseRule.TIMED and cleared.time_ns >= hold.until_ns
            return timed or hold.release is ReleaseRule.AUTO
        cooled = hold.release is not ReleaseRule.TWO_KEY or cleared.time_ns >= hold.clear_after_ns
        return hold.release is not ReleaseRule.AUTO and cooled and (keyed or hold.release is ReleaseRule.ONE_KEY)

    @invariant()
    def a_replay_equals_the_live_state(self) -> None:
        if self.commands % 5 == 0:
            assert self.desk.replayed().state.digest() == self.desk.gate.state.digest()


class TeamLives(Lives):
    """The same with two people for two keys."""

    top = TEAM


def run(machine: type[Lives], examples: int, steps: int) -> None:
    quiet = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=quiet)


@pytest.mark.parametrize("machine", [Lives, TeamLives])
def test_levels_against_the_model(machine: type[Lives]) -> None:
    run(machine, 30, 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [Lives, TeamLives])
def test_levels_against_the_model_for_long(machine: type[Lives]) -> None:
    run(machine, 500, 100)
