"""Kills in the gate: every KILLED hold begins one; drills touch only their own; what crashes leave."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskd.gate import RiskGate
from riskd.records import DrillDone, KillSaga, MemorySink, RecordType
from riskd.saga import DONE, Step
from riskd.saga_book import DRILL_OPEN_NS, DRILL_STRATEGY
from riskd.saga_desk import DrillAnswer
from tests.riskd.kit import BTC, ETH, KEY, SECOND, Desk, make_test_limits
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import SessionDown, StopLatch
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, VenueRead
from tradebot.core.orders import OrderEventKind

DRILLED = {"strategies": {"s1": {"instruments": ["*"]}, "manual:*": {"instruments": ["*"]}}}


def kill(desk: Desk, scope: Scope = SYSTEM_SCOPE, command_id: str = "k") -> SessionDown:
    desk.gate.raise_hold(
        TradingLevel.KILLED, scope, reason="out", operator="ana", role="trader", command_id=command_id, duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip
    return desk.gate.take_down()


def drill(desk: Desk, command_id: str = "d1", role: str = "trader", **changes: Any) -> DrillAnswer:
    how: dict[str, Any] = {"prepare": False, "typed_phrase": ""} | changes
    return desk.gate.start_drill(
        "ana", role, command_id, how["typed_phrase"], prepare=how["prepare"], now_ns=desk.now_ns
    )


def kills(desk: Desk) -> list[KillSaga]:
    return list(desk.gate.state.kills.kills.values())


def answer(desk: Desk, command: MassCancel, *, head: int = 0, error: str = "") -> SessionDown:
    """execd answers an attempt with a read that shows nothing."""
    read = VenueRead("binance", desk.now_ns, error)
    epoch = desk.gate.state.holds.epoch
    report = MassCancelReport(command.kill_id, command.attempt, epoch, head, 0, (read,) if command.read_venues else ())
    return desk.say(mass_cancels=[report])


def finish(desk: Desk, down: SessionDown) -> None:
    """Answer every command until nothing more is wanted, at most a minute."""
    for _ in range(60):
        commands = down.mass_cancels
        down = SessionDown()
        for command in commands:
            down.mass_cancels += answer(desk, command).mass_cancels
        if all(saga.outcome for saga in kills(desk)):
            return
        down.mass_cancels += desk.wait(1).mass_cancels
    raise AssertionError(kills(desk))


def test_the_hold_comes_first_then_the_kill_then_the_command_with_the_level_table() -> None:
    desk = Desk()
    before = len(desk.sink.records)
    down = kill(desk)
    written = [RecordType(kind).name for kind, _ in desk.sink.records[before:]]

    assert written == ["HOLD_RAISED", "COMMAND", "KILL_SAGA", "KILL_SAGA"]
    assert [(c.kill_id, c.attempt, c.scope) for c in down.mass_cancels] == [(kills(desk)[0].kill_id, 1, SYSTEM_SCOPE)]
    assert down.levels is not None
    assert down.levels.level_for("", "", "") is TradingLevel.KILLED


def test_a_stop_an_alarm_and_an_operator_all_begin_one() -> None:
    desk = Desk()
    desk.gate.stop(StopLatch("L1", TradingLevel.KILLED, "ana", "F9", desk.now_ns), "trader", desk.now_ns)
    desk.venue(alarms=(VenueAlarm("UNAPPROVED_ORDER", "", "order 5"),))
    kill(desk, Scope(ScopeKind.INSTRUMENT, BTC))
    desk.wait(0.1)

    assert [saga.scope.kind for saga in kills(desk)] == [ScopeKind.SYSTEM, ScopeKind.VENUE, ScopeKind.INSTRUMENT]


def test_a_latch_that_execd_alone_got_begins_one_when_it_dials() -> None:
    desk = Desk()
    desk.gate.session_lost(desk.now_ns)
    down = desk.hello(latches=(StopLatch("L1", TradingLevel.KILLED, "ana", "riskd was down", desk.now_ns),))

    assert len(kills(desk)) == len(down.mass_cancels) == 1


def test_a_halt_begins_none() -> None:
    desk = Desk()
    desk.gate.stop(StopLatch("L1", TradingLevel.HALTED, "ana", "F9", desk.now_ns), "trader", desk.now_ns)
    desk.wait(1)

    assert kills(desk) == []


def test_a_kill_of_nothing_is_done_after_two_reads_and_names_its_steps() -> None:
    desk = Desk()
    finish(desk, kill(desk))
    (saga,) = kills(desk)

    assert saga.outcome == DONE
    assert [Step(mark.step).name for mark in saga.marks] == ["LATCH", "FENCE", "CONFIRM", "REPORT"]
    assert desk.levels() == "KILLED"


def test_a_crash_between_hold_and_kill_begins_it_at_the_start() -> None:
    desk = Desk()
    kill(desk)
    records = [row for row in desk.sink.records if row[0] != RecordType.KILL_SAGA]
    sink = MemorySink()
    sink.records = list(records)
    desk.gate, desk.sink = desk.new_gate(sink), sink
    desk.gate.restore(records)
    desk.gate.start("life2", desk.now_ns)
    desk.hello()

    assert [saga.step for saga in kills(desk)] == [Step.FENCE]


def test_a_report_that_knows_more_of_the_order_log_than_riskd_waits_for_the_events() -> None:
    desk = Desk()
    down = kill(desk)
    down = answer(desk, down.mass_cancels[0])
    (read,) = down.mass_cancels
    ahead = desk.sequence + 1
    answer(desk, read, head=ahead)
    early = kills(desk)[0].clean_reads
    desk.event("c99", OrderEventKind.SENT)
    desk.wait(0.1)

    assert (read.read_venues, early) == (True, 0)
    assert kills(desk)[0].clean_reads == 1


def test_a_scope_that_is_traded_nowhere_is_done_at_once_and_says_so() -> None:
    desk = Desk()
    finish(desk, kill(desk, Scope(ScopeKind.INSTRUMENT, "binance:TYPO-USDT")))

    assert "binance:TYPO-USDT is traded nowhere" in kills(desk)[0].marks[-1].evidence


def test_a_position_whose_promised_stop_is_gone_is_closed_and_one_without_a_promise_stays() -> None:
    desk = Desk()
    desk.buy("0.001")
    desk.buy("0.02", "3000", instrument_id=ETH, protection=ProtectionPlan())
    down = kill(desk)
    answer(desk, down.mass_cancels[0])
    desk.wait(0.5)
    jobs = [(job.instrument_id, job.cause) for job in desk.gate.state.flattens.values()]

    assert jobs == [(BTC, "FLATTEN")]
    assert kills(desk)[0].step == Step.FLATTEN


def test_an_unproven_order_delays_the_closing_of_its_own_instrument_only() -> None:
    desk = Desk()
    desk.buy("0.001")
    desk.buy("0.02", "3000", instrument_id=ETH)
    desk.plain(qty="0.001")
    desk.event(f"c{desk.orders}", OrderEventKind.SENT)
    down = kill(desk)
    answer(desk, down.mass_cancels[0])
    desk.wait(0.5)

    assert kills(desk)[0].step == Step.RESOLVE
    assert [job.instrument_id for job in desk.gate.state.flattens.values()] == [ETH]


def test_flattening_a_killed_scope_makes_the_kill_see_it_through() -> None:
    desk = Desk()
    desk.buy("0.02", "3000", instrument_id=ETH, protection=ProtectionPlan())
    down = kill(desk)
    finish(desk, down)
    done = kills(desk)[0]
    desk.gate.flatten(
        SYSTEM_SCOPE, reason="all out", operator="ana", role="trader", command_id="f", typed_phrase="FLATTEN DEMO 1",
        now_ns=desk.now_ns,
    )  # fmt: skip
    again = kills(desk)[0]  # at once: the closing may be over before the next look

    assert (done.outcome, done.left) == (DONE, [f"0.02 {ETH} of s1 stays"])
    assert (again.outcome, again.flatten, Step(again.step)) == ("", True, Step.FLATTEN)


def test_closing_that_was_asked_for_while_execd_is_away_is_remembered_by_the_kill() -> None:
    desk = Desk()
    desk.buy("0.001")
    kill(desk)
    desk.gate.session_lost(desk.now_ns)
    answered = desk.gate.flatten(
        SYSTEM_SCOPE, reason="all out", operator="ana", role="trader", command_id="f", typed_phrase="FLATTEN DEMO 1",
        now_ns=desk.now_ns,
    )  # fmt: skip

    assert (answered.reason, kills(desk)[0].flatten) == ("KILL_CLOSES", True)


def test_clearing_the_hold_ends_an_unfinished_kill_and_its_closing() -> None:
    desk = Desk()
    desk.buy("0.001")
    down = kill(desk)
    answer(desk, down.mass_cancels[0])
    desk.wait(0.1)
    assert desk.gate.state.flattens
    (saga,) = kills(desk)
    desk.now_ns += 20 * 60 * SECOND
    desk.begin_anew()
    desk.gate.clear_hold(
        saga.kill_id, reason="false alarm", operator="ana", role="risk", command_id="c",
        typed_phrase=f"CLEAR {saga.kill_id}", now_ns=desk.now_ns,
    )  # fmt: skip
    later = desk.wait(5)

    assert kills(desk)[0].outcome == "RELEASED"
    assert not desk.gate.state.flattens
    assert not later.reduces
    assert not later.mass_cancels
    assert desk.replayed().state.digest() == desk.gate.state.digest()


# ---- drills


def test_a_drill_kills_its_own_strategy_records_itself_and_clears_its_own_hold_only() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    kill(desk, Scope(ScopeKind.STRATEGY, "s9"))
    begun = drill(desk)
    level = desk.gate.state.holds.level_for("binance", BTC, DRILL_STRATEGY)
    others = desk.gate.state.holds.level_for("binance", BTC, "s1")
    finish(desk, desk.gate.take_down())
    last = desk.gate.state.kills.last_drill

    assert (level, others) == (TradingLevel.KILLED, TradingLevel.RUNNING)
    assert last is not None
    assert (last.kill_id, last.operator, last.environment) == (begun.kill_id, "ana", "demo")
    assert SECOND <= last.duration_ns <= 5 * SECOND
    assert [hold.scope.name for hold in desk.gate.state.holds.holds.values()] == ["s9"]
    assert desk.gate.state.kills.kills[begun.kill_id].outcome == DONE


def test_a_drill_closes_its_position() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    desk.open_drill()
    desk.buy("0.001", strategy_id=DRILL_STRATEGY)
    drill(desk)
    answer(desk, desk.gate.take_down().mass_cancels[0])
    down = desk.wait(0.1)

    assert [(r.strategy_id, r.qty) for r in down.reduces] == [(DRILL_STRATEGY, Decimal("0.001"))]


@pytest.mark.parametrize(
    ("role", "connected", "reason"),
    [("viewer", True, "NOT_PERMITTED"), ("engine", True, "NOT_PERMITTED"), ("trader", False, "NO_SESSION")],
)
def test_who_and_when_no_drill_begins(role: str, connected: bool, reason: str) -> None:
    desk = Desk()
    if not connected:
        desk.gate.session_lost(desk.now_ns)

    assert drill(desk, role=role).reason == reason
    assert not kills(desk)


def test_two_drills_at_once_are_one_and_a_repeated_command_is_the_first() -> None:
    desk = Desk()
    first, again, second = drill(desk), drill(desk), drill(desk, "d2")

    assert (again.kill_id, second.reason) == (first.kill_id, "DRILL_RUNNING")


def enter(desk: Desk, qty: str = "0.001") -> str:
    """Return the check that refuses an entry of the drill; empty when none does."""
    return desk.plain(qty=qty, strategy_id=DRILL_STRATEGY).check_id


def test_the_drills_strategy_enters_only_for_a_minute_after_a_drill_was_prepared() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    assert enter(desk) == "AUT-02"

    assert drill(desk, "p", prepare=True) == DrillAnswer("")
    assert not kills(desk)
    decide_at = desk.now_ns + DRILL_OPEN_NS
    state = desk.gate.state.kills
    assert (state.is_open(decide_at), state.is_open(decide_at + 1)) == (True, False)
    assert enter(desk) == ""


def test_other_operators_need_no_drill() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))

    assert desk.plain(strategy_id="manual:ana").approval is not None


def test_what_a_prepared_drill_opened_riskd_kills_when_nobody_does() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    drill(desk, "p", prepare=True)
    desk.buy("0.001", strategy_id=DRILL_STRATEGY)
    desk.wait(60)
    assert not kills(desk)

    down = desk.wait(0.1)
    (saga,) = kills(desk)
    assert (saga.scope.name, saga.flatten, saga.operator) == (DRILL_STRATEGY, True, "ana")
    assert down.mass_cancels
    assert enter(desk)


def test_a_prepared_drill_without_orders_is_closed_without_a_kill() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    drill(desk, "p", prepare=True)
    desk.wait(61)

    assert not kills(desk)
    assert desk.gate.kills.idle
    assert drill(desk, "p2", prepare=True) == DrillAnswer("")


def test_a_drill_is_not_prepared_again_beside_its_orders_and_a_repeated_command_prolongs_nothing() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    drill(desk, "p", prepare=True)
    enter(desk)
    desk.wait(30)
    assert drill(desk, "p", prepare=True) == DrillAnswer("")
    assert drill(desk, "p2", prepare=True).reason == "DRILL_OPEN"

    desk.wait(31)
    assert len(kills(desk)) == 1


def test_a_prepared_drill_survives_a_crash_and_ends_with_its_kill() -> None:
    desk = Desk(limits=make_test_limits(**DRILLED))
    drill(desk, "p", prepare=True)
    enter(desk)
    replayed = desk.replayed()
    assert replayed.state.digest() == desk.gate.state.digest()
    assert replayed.state.kills.opened is not None

    drill(desk, "d")
    assert desk.gate.state.kills.opened is None
    assert len(kills(desk)) == 1


@pytest.mark.parametrize("phrase", ["", "DRILL DEMO", "drill real", "DRILL REAL"])
def test_in_real_a_drill_wants_its_phrase(phrase: str) -> None:
    desk = Desk(connect=False)
    desk.gate = RiskGate(desk.limits, environment="real", signer=KEY, sink=desk.sink, venues=("binance",))
    desk.gate.start("real1", desk.now_ns)
    desk.hello()
    answered = drill(desk, typed_phrase=phrase)

    assert bool(answered.kill_id) is (phrase == "DRILL REAL")
    assert answered.kill_id or "type exactly: DRILL REAL" in answered.detail


def test_a_crash_before_its_hold_was_cleared_does_not_record_a_drill_twice() -> None:
    desk = Desk()
    begun = drill(desk)
    finish(desk, desk.gate.take_down())
    records = desk.sink.records
    at = next(n for n, (kind, _) in enumerate(records) if kind == RecordType.DRILL_DONE)
    sink = MemorySink()
    sink.records = list(records[: at + 1])
    desk.gate, desk.sink = desk.new_gate(sink), sink
    desk.gate.restore(sink.records[:])
    assert begun.kill_id in desk.gate.state.holds.holds
    desk.gate.start("life2", desk.now_ns)
    desk.hello()

    assert begun.kill_id not in desk.gate.state.holds.holds
    assert sum(kind == RecordType.DRILL_DONE for kind, _ in sink.records) == 1
    assert isinstance(desk.gate.state.kills.last_drill, DrillDone)
