"""Holds: who may raise and clear them, by which rule, and what comes after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from riskd.asks import make_case
from riskd.control_book import SELF_TEST
from riskd.controls import control_lines
from riskd.holds import OPERATOR_CAUSE, HoldBook, may_raise
from riskd.records import HoldCleared
from tests.riskd.kit import BTC, ETH, OPERATOR_KEYS, SECOND, START_NS, TEAM, Desk, make_test_limits, violations
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import ApprovalAsk, StopLatch
from tradebot.core.errors import ConfigError, InvariantError, RejectedError
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.operator_commands import OperatorCommand, OperatorProof

ELSEWHERE = (Scope(ScopeKind.VENUE, "okx"), Scope(ScopeKind.INSTRUMENT, ETH), Scope(ScopeKind.STRATEGY, "s2"))
R, C, _, P, H, K = TradingLevel  # RUNNING CAUTIOUS REDUCE_ONLY PAUSED HALTED KILLED


def hold_at(desk: Desk, level: TradingLevel, scope: Scope) -> None:
    if level is not R:
        desk.gate.raise_hold(
            level, scope, reason="", operator="ana", role="trader", command_id=f"{level}{scope}", duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip


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
    desk.begin_anew()
    assert clear(desk, hold, "risk", phrase) == "CLEARED"
    assert desk.levels() == "CAUTIOUS"
    desk.wait(24 * 3600 - 1)
    assert desk.levels() == "CAUTIOUS"
    desk.wait(1)
    assert desk.levels() == "RUNNING"


def test_what_was_killed_goes_on_in_new_processes_only_with_limits_that_were_tested() -> None:
    desk = Desk()
    hold_at(desk, K, SYSTEM_SCOPE)
    (hold,) = desk.gate.state.holds.holds
    desk.now_ns += 15 * 60 * SECOND

    def refusal() -> str:
        done = desk.gate.clear_hold(
            hold, reason="looked into it", operator="ana", role="risk", command_id=f"c{desk.now_ns}",
            typed_phrase=f"CLEAR {hold}", now_ns=desk.now_ns,
        )  # fmt: skip
        return f"{done.reason} {done.detail}"

    assert "restart riskd and execd first" in refusal()
    desk.begin_anew(execd=False)
    assert "restart execd first" in refusal()
    desk.begin_anew(tested=False)
    assert refusal().startswith("SELF_TEST_NEEDED")
    desk.gate.controls_tested(SELF_TEST, desk.limits.hash, ["PRC-01"], ["POS-02"], desk.now_ns)
    assert refusal().endswith("did not refuse what they must: POS-02")
    desk.gate.controls_tested(SELF_TEST, desk.limits.hash, ["PRC-01", "POS-02"], [], desk.now_ns)
    assert refusal() == " "


def test_after_a_kill_entries_are_a_tenth_for_a_day_and_less_where_the_profile_says_less() -> None:
    sizes = []
    for killed, factor in ((False, "0.5"), (True, "0.5"), (True, "0.05")):
        desk = Desk(limits=make_test_limits(cautious_size_factor=factor))
        before = desk.gate.settings.order_cap
        assert before is not None
        hold_at(desk, K if killed else C, SYSTEM_SCOPE)
        (hold,) = desk.gate.state.holds.holds
        if killed:
            desk.now_ns += 15 * 60 * SECOND
            desk.begin_anew()
            clear(desk, hold, "risk", f"CLEAR {hold}")
            hold_at(desk, C, SYSTEM_SCOPE)  # another one beside it changes nothing
        case = make_case(
            ApprovalAsk(1, desk.now_ns, desk.intent()), desk.gate.decider.books, desk.gate.state,
            desk.gate.session.statuses, R, desk.now_ns,
        )  # fmt: skip
        sizes.append(case.factor_ppm)

    assert sizes == [500_000, 100_000, 50_000]


def test_of_two_holds_of_one_cause_and_scope_the_higher_one_is_found() -> None:
    for levels in ((C, H), (H, C)):
        desk = Desk()
        for level in levels:
            hold_at(desk, level, SYSTEM_SCOPE)
        found = desk.gate.state.holds.find(OPERATOR_CAUSE, SYSTEM_SCOPE)

        assert found is not None
        assert found.level is H


def test_nothing_grave_is_let_go_while_a_venue_is_not_reconciled() -> None:
    desk = Desk()
    desk.hello(log="another")  # execd's order log is lost
    desk.venue(reconciling=True)
    (hold,) = (h.hold_id for h in desk.gate.state.holds.holds.values() if h.cause == "ORDER_LOG_LOST")
    desk.now_ns += 15 * 60 * SECOND

    assert clear(desk, hold, "risk", f"CLEAR {hold}") == "STREAM_RECONCILING"
    desk.venue()
    assert clear(desk, hold, "risk", f"CLEAR {hold}", "looked again") == "CLEARED"


def test_the_second_key_waits_for_the_cool_off_whatever_it_ends_early() -> None:
    desk = Desk()
    desk.gate.keeper.raise_(
        P, SYSTEM_SCOPE, "PNL-05", ReleaseRule.TIMED, desk.now_ns, "", until_ns=desk.now_ns + 3_600 * SECOND
    )
    desk.gate.keeper.raise_(
        H, SYSTEM_SCOPE, "PNL-02", ReleaseRule.ONE_KEY, desk.now_ns, "", clear_after_ns=desk.now_ns + 86_400 * SECOND
    )
    holds = list(desk.gate.state.holds.holds)

    desk.now_ns += 15 * 60 * SECOND - 1
    assert [clear(desk, hold, "risk", f"CLEAR {hold}") for hold in holds] == ["COOL_OFF", "COOL_OFF"]
    desk.now_ns += 1
    assert [clear(desk, hold, "risk", f"CLEAR {hold}") for hold in holds] == ["CLEARED", "CLEARED"]


@pytest.mark.parametrize("cause", ["EYES_SILENT", "PTR-06", "POS-02", "PNL-09", "PROFILE_CONTRADICTS"])
def test_execds_all_clear_ends_nothing_that_riskd_raised(cause: str) -> None:
    desk = Desk()
    venue = Scope(ScopeKind.VENUE, "binance")
    desk.gate.keeper.raise_(P, venue, cause, ReleaseRule.AUTO, desk.now_ns, "seen")
    desk.venue(alarms=(VenueAlarm(cause, "", "over", cleared=True),))
    assert desk.gate.state.holds.find(cause, venue) is not None

    desk.venue(alarms=(VenueAlarm(cause, "", "seen"),))  # and its own alarm of that name is another cause
    assert {h.cause for h in desk.gate.state.holds.holds.values()} == {cause, f"EXECD_{cause}"}


def test_the_name_of_what_does_not_exist_is_told_with_the_names_of_what_does() -> None:
    keeper, connected = Desk(connect=False).gate.keeper, Desk().gate.keeper
    wrong = Scope(ScopeKind.VENUE, "binanec")

    assert connected.unknown_name(wrong) == "there is no venue 'binanec'; known: binance"
    assert f"known: {BTC}, {ETH}" in connected.unknown_name(Scope(ScopeKind.INSTRUMENT, "binance:BTC-USDC"))
    for scope in (SYSTEM_SCOPE, Scope(ScopeKind.VENUE, "binance"), Scope(ScopeKind.STRATEGY, "any")):
        assert not connected.unknown_name(scope)
    assert not keeper.unknown_name(wrong)  # nothing is known yet: nothing may keep a stop from being raised


def test_a_command_id_that_was_used_for_less_does_not_swallow_a_kill() -> None:
    desk = Desk()

    def raise_at(level: TradingLevel) -> Hold:
        return desk.gate.raise_hold(
            level, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="same", duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip

    raise_at(H)
    assert raise_at(K).level is K
    assert desk.levels() == "KILLED"


def test_holds_beyond_the_bound_are_one_per_cause_and_a_person_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskd.keeper.MAX_HOLDS", 2)
    desk = Desk()
    for instrument_id in (BTC, ETH):
        desk.venue(alarms=(VenueAlarm("UNRESOLVED_ORDER", instrument_id, "sent"),))
    for _ in range(5):
        desk.venue(alarms=(VenueAlarm("POSITION_MISMATCH", "", "1 BTC"),))
        hold_at(desk, H, Scope(ScopeKind.INSTRUMENT, ETH))
    beyond = list(desk.gate.state.holds.holds.values())[2:]

    assert [(h.cause, h.scope, h.release) for h in beyond] == [
        ("POSITION_MISMATCH", SYSTEM_SCOPE, ReleaseRule.ONE_KEY),
        ("OPERATOR", SYSTEM_SCOPE, ReleaseRule.ONE_KEY),
    ]
    assert clear(desk, beyond[0].hold_id) == "CLEARED"


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


def test_repeating_a_clear_is_answered_as_done_and_changes_nothing() -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold,) = desk.gate.state.holds.holds
    first = clear(desk, hold)
    epoch = desk.gate.state.holds.epoch
    again = clear(desk, hold)

    assert (first, again) == ("CLEARED", "CLEARED")
    assert desk.gate.state.holds.epoch == epoch


def test_operators_holds_alike_are_two_and_the_longer_one_holds() -> None:
    desk = Desk()
    for command_id, seconds in (("c1", 60), ("c2", 120)):
        desk.gate.raise_hold(
            P, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id=command_id, duration_s=seconds,
            now_ns=desk.now_ns,
        )  # fmt: skip
    assert desk.gate.state.holds.next_expiry_ns() == START_NS + 60 * SECOND
    desk.wait(60)
    assert desk.levels() == "PAUSED"
    desk.wait(60)

    assert desk.levels() == "RUNNING"


def test_every_stop_has_a_hold_of_its_own() -> None:
    desk = Desk()
    for latch_id in ("s1", "s2"):
        desk.gate.stop(StopLatch(latch_id, H, "ana", "F9", desk.now_ns), "trader", desk.now_ns)
    first, second = desk.gate.state.holds.holds.values()
    clear(desk, first.hold_id)

    assert (first.latch_id, second.latch_id) == ("s1", "s2")
    assert desk.levels() == "HALTED"


def test_after_two_kills_a_tenth_of_the_size_lasts_a_day_from_the_second() -> None:
    desk = Desk()
    for command_id in ("k1", "k2"):
        desk.gate.raise_hold(
            K, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id=command_id, duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip
    desk.now_ns += 15 * 60 * SECOND
    desk.begin_anew()
    for hold_id in list(desk.gate.state.holds.holds):
        assert clear(desk, hold_id, "risk", f"CLEAR {hold_id}") == "CLEARED"
        desk.wait(10 * 60)
    desk.wait((24 * 60 - 10) * 60 - 1)
    assert desk.levels() == "CAUTIOUS"
    desk.wait(1)

    assert desk.levels() == "RUNNING"


@pytest.mark.parametrize("reason", ["seven c", " seven c "])
def test_trading_does_not_go_on_for_a_reason_of_seven_characters(reason: str) -> None:
    desk = Desk()
    with pytest.raises(RejectedError, match="at least 8 characters"):
        desk.gate.resume(reason=reason, operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)


def test_trading_goes_on_for_a_reason_of_eight_characters() -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    desk.gate.resume(reason="eight ch", operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)

    assert desk.levels() == "RUNNING"


def test_an_epoch_that_does_not_rise_is_refused() -> None:
    book = HoldBook()
    book.apply_limits(2, fences=False)
    for epoch in (1, 2):
        with pytest.raises(InvariantError, match="does not rise above 2"):
            book.apply_limits(epoch, fences=False)


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
    desk.begin_anew()
    clear(desk, hold, "risk", f"CLEAR {hold}")

    assert desk.gate.state.holds.level_for("binance", ETH, "s1") is C
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is R


def say(desk: Desk, hold_id: str, operator: str, role: str, phrase: str = "", /, **proof: Any) -> str:
    """Clear a hold, signed when the operator has a key; `proof` values make another signature than the right one."""
    reason, command_id = "looked into it", f"{operator}{role}{phrase}{desk.now_ns}{proof}"
    signed = desk.prove("CLEAR", hold_id, operator, reason, command_id, **proof) if operator in OPERATOR_KEYS else None
    result = desk.gate.clear_hold(
        hold_id, reason=reason, operator=operator, role=role, typed_phrase=phrase, now_ns=desk.now_ns,
        command_id=command_id, proof=signed,
    )  # fmt: skip
    return "CLEARED" if result.cleared else result.reason


def killed_team() -> tuple[Desk, str, str]:
    """A team's desk with a kill whose cool-off is over."""
    desk = Desk(limits=make_test_limits(**TEAM))
    desk.now_ns -= SECOND
    hold_at(desk, K, SYSTEM_SCOPE)
    (hold_id,) = desk.gate.state.holds.holds
    desk.now_ns += 15 * 60 * SECOND
    desk.begin_anew()
    desk.now_ns -= SECOND
    return desk, hold_id, f"CLEAR {hold_id}"


def test_in_a_team_two_people_with_two_roles_sign_in_any_order() -> None:
    people = (("ana", "trader"), ("bob", "risk"))
    for first, second in (people, people[::-1]):
        desk, hold_id, phrase = killed_team()

        assert say(desk, hold_id, *first, phrase) == "SECOND_SIGNATURE_NEEDED"
        assert say(desk, hold_id, *second, phrase) == "CLEARED"
        assert desk.levels() == "CAUTIOUS"


def test_in_a_team_the_same_person_or_the_same_role_twice_is_not_enough() -> None:
    desk, hold_id, phrase = killed_team()

    assert say(desk, hold_id, "ana", "trader", phrase) == "SECOND_SIGNATURE_NEEDED"
    assert say(desk, hold_id, "ana", "risk", phrase) == "KEY_ROLE"
    assert say(desk, hold_id, "tom", "trader", phrase) == "SECOND_SIGNATURE_NEEDED"
    assert say(desk, hold_id, "eve", "risk", "CLEAR") == "PHRASE_MISMATCH"
    assert say(desk, hold_id, "eve", "risk", phrase) == "CLEARED"


def test_a_first_signature_ends_after_five_minutes_and_with_any_change_of_the_holds() -> None:
    desk, hold_id, phrase = killed_team()
    say(desk, hold_id, "ana", "trader", phrase)
    desk.now_ns += 5 * 60 * SECOND + 1
    assert say(desk, hold_id, "bob", "risk", phrase) == "SECOND_SIGNATURE_NEEDED"
    hold_at(desk, P, Scope(ScopeKind.INSTRUMENT, ETH))
    assert say(desk, hold_id, "ana", "trader", phrase) == "SECOND_SIGNATURE_NEEDED"
    desk.now_ns += 5 * 60 * SECOND
    assert say(desk, hold_id, "bob", "risk", phrase) == "CLEARED"


def test_in_a_team_the_cool_off_holds_for_both() -> None:
    desk, hold_id, phrase = killed_team()
    desk.now_ns -= 1

    assert say(desk, hold_id, "ana", "trader", phrase) == "COOL_OFF"
    assert say(desk, hold_id, "bob", "risk", phrase) == "COOL_OFF"


@pytest.mark.parametrize("role", ["viewer", "eyes", "simexchange", "backtest", ""])
def test_who_has_no_authority_raises_and_clears_nothing(role: str) -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold_id,) = desk.gate.state.holds.holds
    with pytest.raises(RejectedError, match="raises no holds"):
        desk.gate.raise_hold(
            C, SYSTEM_SCOPE, reason="", operator="x", role=role, command_id="c", duration_s=0, now_ns=desk.now_ns
        )
    with pytest.raises(RejectedError, match="clears no holds"):
        desk.gate.resume(reason="all is well", operator="x", role=role, command_id="r", now_ns=desk.now_ns)

    assert say(desk, hold_id, "x", role) == "NOT_PERMITTED"


def test_execd_raises_up_to_halted_for_its_venue_and_nothing_for_the_system() -> None:
    venue = Scope(ScopeKind.VENUE, "binance")

    assert may_raise("execd", H, venue) is None
    assert may_raise("execd", K, venue) is not None
    assert may_raise("execd", C, SYSTEM_SCOPE) is not None


def extend(desk: Desk, hold_id: str, seconds: int, role: str = "trader", command_id: str = "x") -> str:
    done = desk.gate.keeper.extend_hold(
        hold_id, seconds, reason="news ahead", operator="ana", role=role, command_id=command_id, now_ns=desk.now_ns
    )
    return "DONE" if done.cleared else done.reason


def test_one_key_makes_a_timed_hold_last_longer_once_per_command() -> None:
    desk = Desk()
    hold = desk.gate.raise_hold(
        P, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=60, now_ns=desk.now_ns
    )
    assert [extend(desk, hold.hold_id, 60), extend(desk, hold.hold_id, 60)] == ["DONE", "DONE"]
    desk.wait(119)
    assert desk.levels() == "PAUSED"
    assert desk.replayed().state.digest() == desk.gate.state.digest()
    desk.wait(1)
    assert desk.levels() == "RUNNING"


def test_only_timed_holds_are_extended_by_key_holders_and_by_a_sane_time() -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    (halt,) = desk.gate.state.holds.holds

    assert extend(desk, halt, 60, command_id="a") == "NOT_TIMED"
    assert extend(desk, "H9", 60, command_id="b") == "UNKNOWN_HOLD"
    assert extend(desk, halt, 60, role="viewer", command_id="c") == "NOT_PERMITTED"
    timed = desk.gate.raise_hold(
        P, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="t", duration_s=60, now_ns=desk.now_ns
    )
    week = 7 * 86_400
    assert extend(desk, timed.hold_id, 0, command_id="d") == "EXTENSION_INVALID"
    assert extend(desk, timed.hold_id, week + 1, command_id="e") == "EXTENSION_INVALID"
    assert extend(desk, timed.hold_id, week, command_id="f") == "DONE"


def test_the_trail_says_what_came_of_every_command() -> None:
    desk = Desk()
    hold = desk.gate.raise_hold(
        P, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=60, now_ns=desk.now_ns
    )
    extend(desk, hold.hold_id, 60)
    extend(desk, hold.hold_id, 0, command_id="y")
    clear(desk, hold.hold_id, reason="short")
    clear(desk, hold.hold_id)
    for command_id in ("r1", "r2"):
        desk.gate.resume(reason="all is well", operator="ana", role="trader", command_id=command_id, now_ns=desk.now_ns)
        if command_id == "r1":
            hold_at(desk, H, SYSTEM_SCOPE)

    assert [(found.command, found.result) for found in desk.gate.state.audit] == [
        ("RAISE PAUSED", "H3"), ("EXTEND", "+60 s"), ("EXTEND", "EXTENSION_INVALID"), ("CLEAR", "REASON_TOO_SHORT"),
        ("CLEAR", "cleared"), ("RESUME", "nothing to clear"), ("RAISE HALTED", "H4"), ("RESUME", "H4"),
    ]  # fmt: skip


def test_an_extension_that_is_repeated_after_the_end_of_its_hold_says_that_it_is_gone() -> None:
    desk = Desk()
    hold = desk.gate.raise_hold(
        P, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=60, now_ns=desk.now_ns
    )
    extend(desk, hold.hold_id, 60)
    desk.wait(120)

    assert extend(desk, hold.hold_id, 60) == "UNKNOWN_HOLD"


@pytest.mark.parametrize(("detail", "reason"), [("all told again", "all told again"), ("", "over")])
def test_an_all_clear_is_the_reason_of_the_end(detail: str, reason: str) -> None:
    desk = Desk()
    desk.gate.watch()
    for cleared, words in ((False, "1 BTC"), (True, detail)):
        desk.venue(alarms=(VenueAlarm("POSITION_MISMATCH", "", words, cleared),))
    (found,) = [record for record in desk.gate.take_fresh() if isinstance(record, HoldCleared)]

    assert found.reason == reason


def test_a_cleared_hold_travels_with_its_record() -> None:
    desk = Desk()
    desk.gate.watch()
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold,) = desk.gate.state.holds.holds.values()
    clear(desk, hold.hold_id)
    (cleared,) = [record for record in desk.gate.take_fresh() if isinstance(record, HoldCleared)]

    assert cleared.hold == hold


def test_a_kill_after_a_halt_is_audited_also_when_execds_latch_was_first() -> None:
    desk = Desk()
    halt = StopLatch("s1", H, "ana", "drill", desk.now_ns)
    kill = StopLatch("s2", K, "ana", "drill", desk.now_ns)
    desk.say(latches=[halt])
    desk.gate.stop(halt, "trader", desk.now_ns)
    desk.say(latches=[kill])
    desk.gate.stop(kill, "trader", desk.now_ns)
    desk.gate.stop(kill, "trader", desk.now_ns)

    assert desk.levels() == "KILLED"
    assert [(c.command, c.command_id) for c in desk.gate.state.audit] == [("STOP HALTED", "s1"), ("STOP KILLED", "s2")]


def test_a_clock_that_cannot_be_trusted_leaves_every_countdown_what_it_had() -> None:
    desk = Desk()
    timed = desk.gate.raise_hold(
        P, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=600, now_ns=desk.now_ns
    )
    hold_at(desk, K, Scope(ScopeKind.INSTRUMENT, ETH))
    stood_ns = desk.now_ns + 60 * SECOND
    for jump in (-3_600, 7_200):
        gate = desk.replayed()
        now_ns = desk.now_ns + jump * SECOND
        gate.keeper.keep_remaining(stood_ns, now_ns)
        (kill,) = (h for h in gate.state.holds.holds.values() if h.level is K)

        assert gate.state.holds.holds[timed.hold_id].until_ns == now_ns + 540 * SECOND
        assert kill.clear_after_ns == now_ns + (15 * 60 - 60) * SECOND
        assert kill.until_ns == 0


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        ({"subject": "H99"}, "SIGNATURE_INVALID"),
        ({"command": "RESUME"}, "SIGNATURE_INVALID"),
        ({"reason": "another reason"}, "SIGNATURE_INVALID"),
        ({"command_id": "another"}, "SIGNATURE_INVALID"),
        ({"environment": "real"}, "SIGNATURE_INVALID"),
        ({"limits_hash": "other"}, "SIGNATURE_INVALID"),
        ({"role": "risk"}, "SIGNATURE_INVALID"),
        ({"epoch": 1}, "EPOCH_CHANGED"),
        ({"expires_ns": START_NS}, "SIGNATURE_EXPIRED"),
        ({"expires_ns": START_NS + 60 * SECOND + 1}, "SIGNATURE_EXPIRED"),
        ({"expires_ns": START_NS + 60 * SECOND}, "CLEARED"),
        ({}, "CLEARED"),
    ],
)
def test_a_signature_is_worth_something_for_exactly_its_command(proof: dict[str, Any], reason: str) -> None:
    desk = Desk(limits=make_test_limits(**TEAM))
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold_id,) = desk.gate.state.holds.holds

    assert say(desk, hold_id, "ana", "trader", **proof) == reason


def test_with_keys_nothing_is_cleared_unsigned_or_by_an_unknown_person_and_raising_needs_no_signature() -> None:
    desk = Desk(limits=make_test_limits(operator_keys=TEAM["operator_keys"]))
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold_id,) = desk.gate.state.holds.holds

    assert clear(desk, hold_id) == "SIGNATURE_NEEDED"
    assert say(desk, hold_id, "mallory", "trader") == "KEY_UNKNOWN"
    with pytest.raises(RejectedError, match="SIGNATURE_NEEDED"):
        desk.gate.resume(reason="all is well", operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)
    proof = desk.prove("RESUME", "", "ana", "all is well", "r2")
    done = desk.gate.resume(
        reason="all is well", operator="ana", role="trader", command_id="r2", now_ns=desk.now_ns, proof=proof
    )
    assert [hold.hold_id for hold in done] == [hold_id]


def test_every_flipped_bit_of_a_signature_is_noticed() -> None:
    desk = Desk(limits=make_test_limits(**TEAM))
    hold_at(desk, H, SYSTEM_SCOPE)
    (hold_id,) = desk.gate.state.holds.holds
    good = desk.prove("CLEAR", hold_id, "ana", "looked into it", "c")
    for bit in range(512):
        flipped = bytearray(good.signature)
        flipped[bit // 8] ^= 1 << bit % 8
        done = desk.gate.clear_hold(
            hold_id, reason="looked into it", operator="ana", role="trader", command_id="c", typed_phrase="",
            now_ns=desk.now_ns, proof=OperatorProof(good.epoch, good.expires_ns, bytes(flipped)),
        )  # fmt: skip
        assert done.reason == "SIGNATURE_INVALID"


def test_no_two_commands_share_their_bytes() -> None:
    one = OperatorCommand("demo", "CLEAR", "H1", "ana", "trader", "a reason", "c1", "hash", 1, 2)
    fields = [replace(one, subject="H1a", operator="na"), replace(one, reason="a reasonc", command_id="1")]

    assert len({command.to_bytes() for command in (one, *fields)}) == 3


def test_a_team_without_both_keys_is_refused() -> None:
    keys = {"ana": TEAM["operator_keys"]["ana"]}
    with pytest.raises(ConfigError, match="keys of a trader and of a risk officer"):
        make_test_limits(operators="team", operator_keys=keys)


# ---- a key that may move money


def overprivileged() -> tuple[Desk, str]:
    """A desk whose execd was told just now that the trading key may withdraw."""
    desk = Desk()
    desk.now_ns += SECOND
    desk.venue(
        alarms=(VenueAlarm("KEY_OVERPRIVILEGED", "", "may withdraw"),), key_time_ns=desk.now_ns, key_moves_money=True
    )
    (hold_id,) = (hold.hold_id for hold in desk.gate.state.holds.holds.values())
    return desk, hold_id


def test_a_key_that_may_still_move_money_keeps_its_hold_and_one_that_may_not_gives_it_free() -> None:
    desk, hold_id = overprivileged()
    assert clear(desk, hold_id) == "STILL_TRUE"

    desk.now_ns += SECOND
    desk.venue(key_time_ns=desk.now_ns, key_moves_money=True)
    assert clear(desk, hold_id) == "STILL_TRUE"

    desk.venue(key_time_ns=desk.now_ns)
    assert clear(desk, hold_id) == "CLEARED"


def test_what_the_venue_told_before_the_hold_or_never_says_nothing_about_the_key() -> None:
    desk, hold_id = overprivileged()
    raised_ns = desk.now_ns
    desk.now_ns += SECOND
    desk.venue(key_time_ns=raised_ns)
    assert clear(desk, hold_id) == "STILL_TRUE"

    desk.gate.session_lost(desk.now_ns)
    assert clear(desk, hold_id, reason="execd is away") == "STILL_TRUE"


def test_resuming_leaves_a_key_that_may_move_money_alone() -> None:
    desk, hold_id = overprivileged()
    desk.gate.resume(reason="looked into it", operator="ana", role="trader", command_id="r1", now_ns=desk.now_ns)

    assert hold_id in desk.gate.state.holds.holds


@pytest.mark.parametrize("cause", ["KEY_UNBOUND", "KEY_EXPIRES"])
def test_a_key_that_is_weak_stops_entries_until_the_venue_says_better(cause: str) -> None:
    desk = Desk()
    desk.venue(alarms=(VenueAlarm(cause, "", "renew it"),))
    assert violations(desk.plain())["STA-01"] == "TRADING_REDUCE_ONLY"
    (line,) = [one for one in control_lines(desk.gate.limits, desk.gate.state.controls) if one.check_id == "PTR-10"]
    assert line.breaches == 1

    desk.venue(alarms=(VenueAlarm(cause, "", "renewed", cleared=True),))

    assert desk.plain().approval is not None


# ---- what daemons raise


RO = TradingLevel.REDUCE_ONLY
STRATEGY, VENUE = Scope(ScopeKind.STRATEGY, "s1"), Scope(ScopeKind.VENUE, "binance")
INSTRUMENT = Scope(ScopeKind.INSTRUMENT, BTC)
CEILINGS = {
    "engine": (P, {ScopeKind.STRATEGY}),
    "marketdata": (P, {ScopeKind.INSTRUMENT, ScopeKind.VENUE}),
    "recorder": (RO, {ScopeKind.SYSTEM}),
}


def raised(
    desk: Desk, role: str, level: TradingLevel, scope: Scope, *, duration_s: int = 0, reason: str = "why"
) -> Hold:
    return desk.gate.raise_hold(
        level, scope, reason=reason, operator=role, role=role, command_id=f"{role}{desk.now_ns}{reason}",
        duration_s=duration_s, now_ns=desk.now_ns,
    )  # fmt: skip


@pytest.mark.parametrize("scope", [SYSTEM_SCOPE, VENUE, INSTRUMENT, STRATEGY], ids=lambda scope: scope.kind.name)
@pytest.mark.parametrize("level", [C, RO, P, H, K], ids=lambda level: level.name)
@pytest.mark.parametrize("role", CEILINGS)
def test_a_daemon_raises_up_to_its_ceiling_where_it_may_and_nothing_else(
    role: str, level: TradingLevel, scope: Scope
) -> None:
    desk, (highest, kinds) = Desk(), CEILINGS[role]
    if level <= highest and scope.kind in kinds:
        hold = raised(desk, role, level, scope)
        assert (hold.level, hold.scope, hold.cause, hold.raised_by) == (level, scope, role.upper(), role)
    else:
        with pytest.raises(RejectedError, match="NOT_PERMITTED"):
            raised(desk, role, level, scope)
        assert not desk.gate.state.holds.holds


def test_the_engine_does_not_stop_an_operator() -> None:
    with pytest.raises(RejectedError, match="manual:ana is an operator's"):
        raised(Desk(), "engine", P, Scope(ScopeKind.STRATEGY, "manual:ana"))


def test_a_daemon_may_say_it_again_and_again_and_higher() -> None:
    desk = Desk()
    first = raised(desk, "marketdata", RO, INSTRUMENT)
    commands = len(desk.gate.state.audit)
    assert raised(desk, "marketdata", RO, INSTRUMENT, reason="still so") == first
    assert len(desk.gate.state.audit) == commands

    assert raised(desk, "marketdata", P, INSTRUMENT, reason="worse").level is P
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is P
    assert len(desk.gate.state.holds.holds) == 2


def test_a_daemon_clears_what_it_raised_and_nothing_else() -> None:
    desk = Desk()
    own = raised(desk, "marketdata", P, INSTRUMENT)
    others = [raised(desk, "recorder", RO, SYSTEM_SCOPE), raised(desk, "engine", P, STRATEGY)]
    hold_at(desk, P, INSTRUMENT)
    operators = [hold.hold_id for hold in desk.gate.state.holds.holds.values() if hold.cause == "OPERATOR"]

    for hold_id in [*operators, *(hold.hold_id for hold in others)]:
        assert clear(desk, hold_id, "marketdata") == "NOT_PERMITTED"
    assert clear(desk, own.hold_id, "marketdata", reason="") == "CLEARED"
    assert clear(desk, own.hold_id, "marketdata", reason="again") == "UNKNOWN_HOLD"


def test_an_operator_clears_with_one_key_what_a_daemon_that_is_gone_had_raised() -> None:
    desk = Desk()
    hold = raised(desk, "recorder", RO, SYSTEM_SCOPE)
    desk.gate.resume(reason="looked into it", operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)
    assert hold.hold_id in desk.gate.state.holds.holds

    assert clear(desk, hold.hold_id) == "CLEARED"


def test_an_operator_who_calls_himself_a_daemon_has_raised_his_own_hold() -> None:
    desk = Desk()
    hold = desk.gate.raise_hold(
        P, INSTRUMENT, reason="why", operator="marketdata", role="trader", command_id="c", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip

    assert clear(desk, hold.hold_id, "marketdata") == "NOT_PERMITTED"


def test_a_hold_of_a_daemon_may_end_by_itself() -> None:
    desk = Desk()
    raised(desk, "engine", P, STRATEGY, duration_s=5)
    desk.wait(4)
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is P
    desk.wait(2)

    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is TradingLevel.RUNNING


@pytest.mark.parametrize("level", [RO, P])
def test_a_hold_that_ends_soon_does_not_stand_in_for_one_that_does_not(level: TradingLevel) -> None:
    desk = Desk()
    raised(desk, "marketdata", P, INSTRUMENT, duration_s=5)
    lasting, *again = [raised(desk, "marketdata", level, INSTRUMENT, reason="until it is cleared") for _ in range(3)]
    assert again == [lasting, lasting]
    assert len(desk.gate.state.holds.holds) == 2
    desk.wait(6)

    assert list(desk.gate.state.holds.holds.values()) == [lasting]
    assert lasting.until_ns == 0


def test_a_daemon_that_says_it_again_makes_its_hold_last_longer_and_never_shorter() -> None:
    desk = Desk()
    raised(desk, "engine", P, STRATEGY, duration_s=5)
    desk.wait(4)
    raised(desk, "engine", P, STRATEGY, duration_s=5)
    raised(desk, "engine", P, STRATEGY, duration_s=1)
    assert len(desk.gate.state.holds.holds) == 1
    desk.wait(4)
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is P
    desk.wait(2)

    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is TradingLevel.RUNNING


@pytest.mark.parametrize("role", CEILINGS)
def test_a_daemon_resumes_and_extends_nothing(role: str) -> None:
    desk = Desk()
    hold_at(desk, H, SYSTEM_SCOPE)
    with pytest.raises(RejectedError, match="clears no holds"):
        desk.gate.resume(reason="all is well", operator=role, role=role, command_id="r", now_ns=desk.now_ns)
    (hold_id,) = desk.gate.state.holds.holds

    assert extend(desk, hold_id, 60, role=role) == "NOT_PERMITTED"
