"""Every cause of a hold in the table of causes: trip it, kill -9 at that moment, restart: same level, same remaining
time, same baselines. A cause without a way to trip it here fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from riskd.causes import RAISED, all_causes
from riskd.gate import RiskGate
from riskd.holds import ALARMS
from riskd.journal_watch import JournalHealth
from riskd.records import HoldRaised, MemorySink, decode_record
from tests.riskd.edges.conduct_edges import repeating
from tests.riskd.edges.kit import limited
from tests.riskd.kit import BTC, ETH, SECOND, WATCHES, Desk, make_test_limits
from tests.riskd.test_conduct import acknowledged, jump, paying
from tests.riskd.test_equity_agreement import disagreeing
from tests.riskd.test_eyes_drift import looks, settled_desk
from tests.riskd.test_eyes_orders import OURS, PTR_05, eyes_desk, look_and_hear, seen
from tests.riskd.test_flatten import flatten
from tests.riskd.test_guards import desk_loss, limits_with, losing, morning, stale_loss, worth
from tests.riskd.test_limit_changes import cap, changed, tree_of
from tests.riskd.test_limits_file import file_of, start_on
from tests.riskd.test_profiles import shipped
from tests.riskd.test_protection_watch import pass_time, watched
from tests.riskd.test_resting import desk_with_entry
from tests.riskd.test_saga_desk import DRILLED, drill
from tests.riskd.test_soft_caps import FAR, SOFTENED, caps, drifted, move, wait
from tests.support.builders import make_instrument
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import StopLatch
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import OrderEventKind

DOWN_NS = 20 * SECOND


def held(desk: Desk, cause: str) -> list[Hold]:
    return [hold for hold in desk.gate.state.holds.holds.values() if hold.cause == cause]


def guarded(check_id: str, equity: str, **values: object) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = morning(limits_with(check_id, **values))
        worth(desk, equity)
        return desk

    return trip


def raised_by(role: str, level: TradingLevel, scope: Scope, *, duration_s: int = 0) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = Desk()
        desk.gate.raise_hold(
            level, scope, reason="why", operator=role, role=role, command_id="c", duration_s=duration_s,
            now_ns=desk.now_ns,
        )  # fmt: skip
        return desk

    return trip


def softened(check_id: str) -> Callable[[], Desk]:
    return lambda: drifted(make_test_limits({**FAR, check_id: SOFTENED[check_id]}, soft_caps={}))


def rested() -> Desk:
    desk = desk_with_entry()
    desk.wait(66)
    return desk


def alarmed(cause: str) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = Desk()
        desk.venue(alarms=(VenueAlarm(cause, BTC, "seen"),))
        return desk

    return trip


def operator() -> Desk:
    desk = Desk()
    desk.gate.raise_hold(
        TradingLevel.PAUSED, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=600,
        now_ns=desk.now_ns,
    )  # fmt: skip
    return desk


def stopped() -> Desk:
    desk = Desk()
    desk.gate.stop(StopLatch("stop1", TradingLevel.HALTED, "ana", "", desk.now_ns), "trader", desk.now_ns)
    return desk


def after_a_clear() -> Desk:
    desk = guarded("PNL-03", "9400", halt_at_pct=-6)()
    desk.wait(3_600)
    (hold,) = held(desk, "PNL-03")
    done = desk.gate.clear_hold(
        hold.hold_id, reason="looked into it", operator="bob", role="risk", command_id="x",
        typed_phrase=f"CLEAR {hold.hold_id}", now_ns=desk.now_ns,
    )  # fmt: skip
    assert done.cleared, done.reason
    return desk


def after_a_kill() -> Desk:
    desk = Desk()
    desk.gate.stop(StopLatch("stop1", TradingLevel.KILLED, "ana", "", desk.now_ns), "trader", desk.now_ns)
    (hold,) = held(desk, "STOP")
    desk.wait(900)
    desk.begin_anew()
    done = desk.gate.clear_hold(
        hold.hold_id, reason="looked into it", operator="bob", role="risk", command_id="x",
        typed_phrase=f"CLEAR {hold.hold_id}", now_ns=desk.now_ns,
    )  # fmt: skip
    assert done.cleared, done.reason
    return desk


def silent() -> Desk:
    desk = Desk()
    desk.gate.session_lost(desk.now_ns)
    return desk


def lost_log() -> Desk:
    desk = Desk()
    desk.buy("0.01")
    desk.hello(log="another")
    return desk


def contradicted() -> Desk:
    dear = make_instrument(ETH, min_notional="300")
    return Desk(limits=shipped("intraday"), usdt="5000", instruments=(make_instrument(BTC), dear))


def loosened() -> Desk:
    return start_on(Desk(limits=file_of(tree_of())), file_of(changed(tree_of(), cap(4_000))))


def without_buyer() -> Desk:
    desk = Desk()
    desk.buy("0.01")
    flatten(desk, "FLATTEN DEMO 1")
    for _ in range(40):
        desk.wait(2)
    return desk


def day_pause() -> Desk:
    desk = morning({"PNL-01": {"pause_min": 60}})
    worth(desk, "9800")
    return desk


def half_size() -> Desk:
    desk = day_pause()
    desk.wait(3_601)
    assert [hold.level.name for hold in held(desk, "PNL-01")] == ["CAUTIOUS"]
    return desk


def streak(**values: int) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = morning(limits_with("PNL-06", **values))
        losing(desk, 2)
        return desk

    return trip


def strategy_loss() -> Desk:
    desk = morning(limits_with("PNL-07", halt_at_pct=-1))
    desk_loss(desk, "100")
    return desk


def suspect() -> Desk:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    stale_loss(desk)
    return desk


def target() -> Desk:
    desk = morning(day_target={"target_pct": 5, "action": "pause"})
    worth(desk, "10500")
    return desk


def two_held() -> Desk:
    changes: dict[str, dict[str, Any] | None] = {
        "POS-04": {"hard_pct": 20, "soft_pct": 7},
        "POS-02": {"hard_pct": 20, "soft_pct": 20},
        "POS-07": {"status": "enforced", "hard_pct": 20, "soft_pct": 7, "max_notional": 5000},
    }
    limits = caps(changes)
    desk = Desk(limits=replace(limits, file=limits.file.model_copy(update={"cluster_pins": ((BTC, ETH),)})))
    desk.account(("USDT", "10000"), ("BTC", "0"), ("ETH", "0"))
    desk.buy("0.008")
    desk.buy("0.06", "3000", instrument_id=ETH)
    move(desk, "70000")
    return desk


def too_old() -> Desk:
    desk = drifted(caps({"POS-14": {"status": "enforced", "soft_h": 24, "hard_h": 48}}), price="60000")
    desk.wait(24 * 3_600)
    wait(desk, 2)
    return desk


def above_the_hard_cap() -> Desk:
    desk = drifted(price="140000")
    wait(desk, 300)
    return desk


def rewritten() -> Desk:
    desk = Desk()
    desk.gate.journal_doubted("record 7 is another one", desk.now_ns)
    return desk


def drilled() -> Desk:
    desk = Desk(limits=make_test_limits(**DRILLED))
    assert not drill(desk).reason
    return desk


def chatty() -> Desk:
    desk = limited("RAT-04", max_ratio=3, min_orders=2)
    for _ in range(4):
        desk.plain(qty="0.0001")
        desk.event(f"c{desk.orders}", OrderEventKind.EXPIRED)
    desk.wait(1)
    return desk


def refused(strategy: int, venue: int) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = limited("RAT-05", strategy_per_minute=strategy, venue_per_minute=venue, pause_min=10)
        for _ in range(3):
            desk.plain(qty="0.001")
            desk.event(f"c{desk.orders}", OrderEventKind.SENT)
            desk.event(f"c{desk.orders}", OrderEventKind.REJECTED)
        desk.wait(1)
        return desk

    return trip


def repeated() -> Desk:
    desk = repeating(3)
    desk.wait(1)
    return desk


def seen_order(client_order_id: str, **checks: dict[str, Any]) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = eyes_desk(**checks)
        look_and_hear(desk, seen(desk, client_order_id))
        return desk

    return trip


def seen_balance(asset: str, amount: str) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = settled_desk()
        looks(desk, 2, fills=(), **{asset: amount})
        return desk

    return trip


def unseen() -> Desk:
    desk = Desk()
    desk.buy()
    desk.quote(BTC, None, None, BookState.GAP)
    desk.wait(61)
    return desk


def silent_eyes() -> Desk:
    desk = eyes_desk()
    desk.look()
    desk.wait_without_looks(31.001)
    return desk


def unprotected(seconds: float) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = watched()
        pass_time(desk, seconds)
        return desk

    return trip


def silent_market(seconds: int) -> Callable[[], Desk]:
    def trip() -> Desk:
        desk = Desk(
            limits=make_test_limits({"PTR-07": WATCHES["PTR-07"] | {"watched": ["marketdata"]}}), attended=False
        )
        for _ in range(seconds):
            desk.wait(1)
        return desk

    return trip


def full_disk() -> Desk:
    desk = Desk(limits=make_test_limits({"PTR-08": WATCHES["PTR-08"]}), attended=False)
    desk.gate.journal_measured(JournalHealth(0, 0, 0, 0), desk.now_ns)
    desk.wait(1)
    return desk


def failed_journal() -> Desk:
    desk = Desk()
    desk.gate.journal_failed_before("write failed", desk.now_ns)
    return desk


TRIPPED: dict[str, tuple[Callable[[], Desk], ...]] = {
    "OPERATOR": (operator,),
    "STOP": (stopped,),
    "AFTER_<cause>": (after_a_clear,),
    "AFTER_KILL": (after_a_kill,),
    "NO_SESSION": (silent,),
    "STARTUP_RECONCILE": (lambda: Desk(connect=False),),
    "ORDER_LOG_LOST": (lost_log,),
    "PROFILE_CONTRADICTS": (contradicted,),
    "LIMITS_LOOSENED": (loosened,),
    "FLATTEN_INCOMPLETE": (without_buyer,),
    "PNL-01": (day_pause, half_size),
    "PNL-02": (
        guarded("PNL-02", "9600", halt_at_pct=-4),
        guarded("PNL-02", "9850", max_loss=150),
        guarded("PNL-02", "9700", max_drawdown_pct=3),
    ),
    "PNL-03": (guarded("PNL-03", "9400", halt_at_pct=-6),),
    "PNL-04": (guarded("PNL-04", "9000", halt_at_pct=-10),),
    "PNL-05": (guarded("PNL-05", "9900", pause_at_pct=-1),),
    "PNL-06": (streak(pause_after=2, pause_min=60, halt_after=4), streak(halt_after=2)),
    "PNL-07": (strategy_loss,),
    "PRICE_SUSPECT": (suspect,),
    "MARKS_OLD": (unseen,),
    "DAY_TARGET": (target,),
    "ENGINE": (raised_by("engine", TradingLevel.PAUSED, Scope(ScopeKind.STRATEGY, "s1")),),
    "MARKETDATA": (raised_by("marketdata", TradingLevel.PAUSED, Scope(ScopeKind.VENUE, "binance"), duration_s=60),),
    "RECORDER": (raised_by("recorder", TradingLevel.REDUCE_ONLY, SYSTEM_SCOPE),),
    "SPC-09": (rested,),
    "POS-02": (drifted,),
    **{check_id: (softened(check_id),) for check_id in SOFTENED},
    "POS-04": (two_held,),
    "POS-07": (two_held,),
    "POS-14": (too_old,),
    "JOURNAL_REWRITTEN": (rewritten,),
    "DRILL": (drilled,),
    "MKT-07": (lambda: jump("61800"),),
    "RAT-04": (chatty,),
    "RAT-05": (refused(strategy=2, venue=9), refused(strategy=9, venue=2)),
    "RAT-06": (repeated,),
    "PNL-08": (lambda: paying("60090", "60090.01"),),
    "PNL-09": (disagreeing,),
    "PTR-01": (seen_order(OURS),),
    "PTR-03": (seen_balance("BTC", "0.02"),),
    "PTR-04": (seen_balance("USDT", "9300"),),
    "PTR-05": (seen_order("web_1a2b", PTR_05=PTR_05),),
    "PTR-06": (unprotected(7), unprotected(17)),
    "PTR-07": (silent_market(4), silent_market(7)),
    "PTR-08": (full_disk, failed_journal),
    "PTR-09": (lambda: acknowledged(4, 500),),
    "EYES_SILENT": (silent_eyes,),
    "<POS cap>_HARD": (above_the_hard_cap,),
    "EXECD_<any other alarm>": (alarmed("SOMETHING_NEW"),),
    **{cause: (alarmed(cause),) for cause in ALARMS},
}
CASES = [(cause, trip) for cause, trips in TRIPPED.items() for trip in trips]
REAL_NAMES = {
    "AFTER_<cause>": "AFTER_PNL-03",
    "<POS cap>_HARD": "POS-02_HARD",
    "EXECD_<any other alarm>": "EXECD_SOMETHING_NEW",
}


def baselines(gate: RiskGate) -> list[object]:
    """Everything that a guard measures from."""
    state = gate.state
    return [
        state.guards.digest()[1:], state.loss, state.portfolio.money_digest(), sorted(state.soft_caps.items()),
        state.clusters, (state.portfolio.day, state.portfolio.day_start, state.portfolio.peak),
        sorted(state.flattens.items()), state.holds.epoch, list(state.holds.cleared_latches),
    ]  # fmt: skip


def times(hold: Hold) -> tuple[object, ...]:
    return hold.hold_id, hold.cause, hold.level, hold.scope, hold.release, hold.until_ns, hold.clear_after_ns


def test_every_cause_of_the_table_is_tripped_here() -> None:
    assert {spec.cause for spec in all_causes()} == TRIPPED.keys()
    assert {spec.cause for spec in RAISED} <= TRIPPED.keys()


@pytest.mark.parametrize(("cause", "trip"), CASES, ids=[cause for cause, _ in CASES])
def test_a_guard_is_the_same_after_a_kill_at_the_moment_it_tripped(cause: str, trip: Callable[[], Desk]) -> None:
    desk = trip()
    before = held(desk, REAL_NAMES.get(cause, cause))
    assert before, desk.gate.state.holds.holds
    again = desk.replayed()
    assert baselines(again) == baselines(desk.gate)
    assert list(map(times, again.state.holds.holds.values())) == list(map(times, desk.gate.state.holds.holds.values()))
    epoch, down_until_ns = again.state.holds.epoch, desk.now_ns + DOWN_NS
    again.start("life2", down_until_ns)
    after = again.state.holds.holds

    assert [times(after[hold.hold_id]) for hold in before] == [times(hold) for hold in before]
    assert again.state.holds.epoch >= epoch
    kept = baselines(again)
    kept[-2] = epoch
    assert kept == baselines(desk.gate)
    for hold in before:
        in_force = again.state.holds.level_for("binance", BTC, "s1" if hold.scope.name != ETH else "")
        assert max(in_force, hold.level) >= hold.level
        if hold.release is ReleaseRule.TIMED:
            assert hold.until_ns > down_until_ns
            again.handle_timer(hold.until_ns - 1)
            assert hold.hold_id in again.state.holds.holds
            again.handle_timer(hold.until_ns)
            assert hold.hold_id not in again.state.holds.holds


@pytest.mark.parametrize(("cause", "trip"), CASES, ids=[cause for cause, _ in CASES])
def test_a_journal_cut_anywhere_after_the_hold_still_holds_it(cause: str, trip: Callable[[], Desk]) -> None:
    desk = trip()
    (hold, *_) = held(desk, REAL_NAMES.get(cause, cause))
    records = desk.sink.records
    raised = next(
        number for number, pair in enumerate(records)
        if isinstance(record := decode_record(*pair), HoldRaised) and record.hold.hold_id == hold.hold_id
    )  # fmt: skip
    for cut in range(raised + 1, len(records) + 1, max(1, (len(records) - raised) // 8)):
        gate = desk.new_gate(MemorySink())
        gate.restore(records[:cut])
        assert gate.state.holds.holds[hold.hold_id].level is hold.level
        gate.start("again", desk.now_ns)
        gate.handle_timer(desk.now_ns)
        assert gate.state.holds.holds[hold.hold_id].until_ns == hold.until_ns
