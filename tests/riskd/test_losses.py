"""The day loss rule: pause, half size, armed again lower, third time halt; it survives midnight and restarts."""

from __future__ import annotations

from decimal import Decimal

from riskd.limits import Limits
from riskd.records import HoldRaised, MemorySink, decode_record
from tests.riskd.kit import SECOND, Desk, make_test_limits
from tradebot.core.levels import SYSTEM_SCOPE

MIN = 60


def losing(desk: Desk, equity: str) -> None:
    """Make the account worth this, as if fills had done it."""
    desk.gate.state.portfolio.balances["binance", "USDT"] = int(Decimal(equity) * 10**12)
    desk.gate.accountant.forget_equity()
    desk.wait(1)


def levels_over(desk: Desk, minutes: list[int]) -> list[str]:
    seen = []
    done = 0
    for minute in minutes:
        desk.wait((minute - done) * MIN)
        done = minute
        seen.append(desk.levels())
    return seen


def morning(limits: Limits | None = None) -> Desk:
    """A desk with the whole UTC day before it."""
    day_ns = 86_400 * SECOND
    desk = Desk(limits=limits or make_test_limits(), now_ns=(1_700_000_000 * SECOND // day_ns + 1) * day_ns)
    desk.wait(1)
    return desk


def test_two_percent_pauses_for_an_hour_then_half_size_for_half_an_hour_then_runs() -> None:
    desk = morning()
    losing(desk, "9800")

    assert desk.levels() == "PAUSED"
    assert levels_over(desk, [59, 61, 89, 92]) == ["PAUSED", "CAUTIOUS", "CAUTIOUS", "RUNNING"]


def test_just_above_two_percent_nothing_happens() -> None:
    desk = morning()
    losing(desk, "9800.01")

    assert desk.levels() == "RUNNING"


def test_a_recovery_does_not_end_the_pause_early() -> None:
    desk = morning()
    losing(desk, "9800")
    losing(desk, "10000")

    assert levels_over(desk, [59]) == ["PAUSED"]


def test_the_same_loss_does_not_pause_twice_and_a_deeper_one_does_for_two_hours() -> None:
    desk = morning()
    losing(desk, "9800")
    assert levels_over(desk, [61, 92]) == ["CAUTIOUS", "RUNNING"]
    losing(desk, "9750.01")
    before = desk.levels()
    losing(desk, "9750")

    assert before == "RUNNING"
    assert levels_over(desk, [1, 119, 121]) == ["PAUSED", "PAUSED", "CAUTIOUS"]


def test_the_rearm_level_is_half_a_percent_below_the_loss_at_resume() -> None:
    desk = morning()
    losing(desk, "9700")  # -3 %
    levels_over(desk, [61])

    assert desk.gate.state.loss.trigger_ppm == -35_000


def test_after_a_recovery_the_rearm_level_is_the_configured_one() -> None:
    desk = morning()
    losing(desk, "9800")
    losing(desk, "10000")
    levels_over(desk, [61])

    assert desk.gate.state.loss.trigger_ppm == -25_000


def test_the_third_trigger_of_a_day_halts() -> None:
    desk = morning()
    losing(desk, "9800")
    levels_over(desk, [61, 92])
    losing(desk, "9700")
    levels_over(desk, [121, 152])
    assert desk.levels() == "RUNNING"
    losing(desk, "9500")

    assert desk.levels() == "HALTED"
    assert desk.gate.state.holds.find("PNL-01", SYSTEM_SCOPE) is not None
    desk.wait(1)
    assert len([h for h in desk.gate.state.holds.holds.values() if h.cause == "PNL-01"]) == 1


def halted() -> Desk:
    """A desk that its third loss of the day has halted, without PNL-02 as some profiles have it."""
    desk = morning()
    losing(desk, "9800")
    levels_over(desk, [61, 92])
    losing(desk, "9700")
    levels_over(desk, [121, 152])
    losing(desk, "9500")
    return desk


def clear_halt(desk: Desk, role: str, phrase: str = "", command_id: str = "x1") -> str:
    hold = desk.gate.state.holds.find("PNL-01", SYSTEM_SCOPE)
    assert hold is not None
    return desk.gate.clear_hold(
        hold.hold_id, reason="looked at it for long", operator="ana", role=role, command_id=command_id,
        typed_phrase=phrase and f"{phrase} {hold.hold_id}", now_ns=desk.now_ns,
    ).reason  # fmt: skip


def test_the_halt_of_the_third_trigger_takes_two_keys_today_and_one_tomorrow() -> None:
    desk = halted()
    hold = desk.gate.state.holds.find("PNL-01", SYSTEM_SCOPE)
    assert hold is not None

    assert hold.clear_after_ns == (desk.now_ns // (86_400 * SECOND) + 1) * 86_400 * SECOND
    assert clear_halt(desk, "trader") == "SECOND_KEY_NEEDED"
    desk.wait((hold.clear_after_ns - desk.now_ns) / SECOND)
    assert clear_halt(desk, "trader", command_id="x2") == ""
    desk.wait(1)
    assert desk.levels() == "CAUTIOUS"
    desk.wait(31 * MIN)
    assert (desk.levels(), desk.gate.state.loss.triggers, desk.gate.state.loss.trigger_ppm) == ("RUNNING", 0, -20_000)


def test_after_a_halt_that_was_cleared_half_size_follows_and_a_deeper_loss_halts_again() -> None:
    desk = halted()
    hold = desk.gate.state.holds.find("PNL-01", SYSTEM_SCOPE)
    assert hold is not None
    desk.gate.keeper.clear(hold.hold_id, "two people looked", "ana", desk.now_ns)
    desk.wait(1)
    losing(desk, "9450.01")
    before = desk.levels()
    losing(desk, "9450")

    assert (before, desk.levels()) == ("CAUTIOUS", "HALTED")


def test_a_deeper_loss_adds_nothing_to_a_halt_that_stands() -> None:
    desk = halted()
    losing(desk, "6000")
    desk.wait(1)

    assert [h.cause for h in desk.gate.state.holds.holds.values()] == ["PNL-01"]


def test_a_pause_crosses_midnight_with_its_time_and_counters_reset_only_after_it() -> None:
    desk = Desk()  # 22:13 UTC
    desk.wait(1)
    desk.wait(90 * MIN)
    losing(desk, "9800")  # 23:43
    day = desk.gate.state.portfolio.day
    seen = levels_over(desk, [30, 61])

    assert seen == ["PAUSED", "CAUTIOUS"]
    assert desk.gate.state.portfolio.day == day + 1
    assert desk.gate.state.portfolio.day_start == 9800 * 10**12
    assert desk.gate.state.loss.triggers == 1
    assert levels_over(desk, [32]) == ["RUNNING"]
    assert (desk.gate.state.loss.triggers, desk.gate.state.loss.trigger_ppm) == (0, -20_000)


def test_a_restart_during_the_pause_keeps_its_end() -> None:
    desk = morning()
    losing(desk, "9800")
    desk.wait(30 * MIN)
    gate = desk.replayed()
    gate.start("life2", desk.now_ns)
    early = gate.state.holds.holds
    gate.handle_timer(desk.now_ns + 29 * MIN * SECOND)
    paused = [h.level.name for h in gate.state.holds.holds.values() if h.cause == "PNL-01"]
    gate.handle_timer(desk.now_ns + 31 * MIN * SECOND)

    assert early
    assert paused == ["PAUSED"]
    assert [h.level.name for h in gate.state.holds.holds.values() if h.cause == "PNL-01"] == ["CAUTIOUS"]


def test_an_early_end_takes_the_second_key_and_lands_in_cautious() -> None:
    desk = morning()
    losing(desk, "9800")
    (hold,) = (h for h in desk.gate.state.holds.holds.values() if h.cause == "PNL-01")

    def clear(role: str, phrase: str) -> str:
        return desk.gate.clear_hold(
            hold.hold_id, reason="market is calm", operator="ana", role=role, command_id=role + phrase,
            typed_phrase=phrase, now_ns=desk.now_ns,
        ).reason  # fmt: skip

    assert clear("trader", f"CLEAR {hold.hold_id}") == "SECOND_KEY_NEEDED"
    assert clear("risk", f"CLEAR {hold.hold_id} ") == "COOL_OFF"
    desk.wait(15 * 60)
    assert clear("risk", "please") == "PHRASE_MISMATCH"
    assert clear("risk", f"CLEAR {hold.hold_id}") == ""
    assert desk.levels() == "CAUTIOUS"


def test_a_loss_counts_on_the_fill_that_makes_it() -> None:
    desk = morning()
    desk.account(("USDT", "10000"), ("BTC", "0"))
    desk.plain(qty="0.01")
    desk.fill("c1", "0.01", price="90000")

    assert desk.levels() == "PAUSED"


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss() -> None:
    desk = morning()
    desk.account(("USDT", "9000"), transfer_asset="USDT", transfer_delta=Decimal(-1000))
    desk.wait(1)

    assert desk.levels() == "RUNNING"
    assert desk.gate.state.portfolio.day_ppm(desk.gate.equity(desk.now_ns).value) == 0


def recovery_desk(hour: int = 0) -> Desk:
    """A desk whose pause ends only above -2 %, at an hour of a UTC day."""
    day_ns = 86_400 * SECOND
    start_ns = (1_700_000_000 * SECOND // day_ns + 1) * day_ns + hour * 3_600 * SECOND
    desk = Desk(limits=make_test_limits({"PNL-01": {"resume_requires_recovery": True}}), now_ns=start_ns)
    desk.wait(1)
    return desk


def test_with_recovery_asked_for_the_pause_goes_on_until_the_day_is_above_the_trigger() -> None:
    desk = recovery_desk()
    losing(desk, "9800")
    assert levels_over(desk, [61, 300]) == ["PAUSED", "PAUSED"]
    assert desk.replayed().state.loss == desk.gate.state.loss
    losing(desk, "9800")
    assert desk.levels() == "PAUSED"
    losing(desk, "9800.01")
    assert desk.levels() == "CAUTIOUS"
    assert levels_over(desk, [31]) == ["RUNNING"]


def test_with_recovery_asked_for_a_day_above_the_trigger_resumes_on_time() -> None:
    desk = recovery_desk()
    losing(desk, "9800")
    losing(desk, "9900")

    assert levels_over(desk, [59, 61]) == ["PAUSED", "CAUTIOUS"]


def test_with_recovery_asked_for_the_next_day_ends_the_pause() -> None:
    desk = recovery_desk(hour=20)
    losing(desk, "9700")
    assert levels_over(desk, [120, 238, 241]) == ["PAUSED", "PAUSED", "CAUTIOUS"]
    assert levels_over(desk, [31]) == ["RUNNING"]
    assert (desk.gate.state.loss.triggers, desk.gate.state.loss.trigger_ppm) == (0, -20_000)


def test_with_recovery_asked_for_an_unknown_day_does_not_count_as_recovered() -> None:
    desk = recovery_desk()
    losing(desk, "9800")
    desk.account(("USDT", "10000"), ("BTC", "0.1"))
    gate = desk.replayed()  # it has no price of BTC yet
    gate.start("life2", desk.now_ns)
    gate.handle_timer(desk.now_ns + 61 * MIN * SECOND)

    assert [h.level.name for h in gate.state.holds.holds.values() if h.cause == "PNL-01"] == ["PAUSED"]


def test_there_is_no_moment_between_pause_and_half_size() -> None:
    desk = morning()
    losing(desk, "9800")
    (pause,) = (h for h in desk.gate.state.holds.holds.values() if h.cause == "PNL-01")
    desk.gate._next_evaluation_ns = pause.until_ns + 10 * SECOND
    desk.now_ns = pause.until_ns
    desk.gate.handle_timer(desk.now_ns)

    assert desk.levels() == "CAUTIOUS"
    for cut in range(len(desk.sink.records)):  # and no crash falls between them
        gate = desk.new_gate(MemorySink())
        gate.restore(desk.sink.records[: cut + 1])
        causes = {h.cause for h in gate.state.holds.holds.values()}
        assert "PNL-01" in causes or cut < paused_at(desk)


def paused_at(desk: Desk) -> int:
    """Return the index of the record that raised the pause."""
    return next(
        index for index, pair in enumerate(desk.sink.records)
        if isinstance(record := decode_record(*pair), HoldRaised) and record.hold.cause == "PNL-01"
    )  # fmt: skip


def test_an_operator_makes_the_pause_longer_with_any_key() -> None:
    desk = morning()
    losing(desk, "9800")
    (pause,) = (h for h in desk.gate.state.holds.holds.values() if h.cause == "PNL-01")
    desk.gate.keeper.extend_hold(
        pause.hold_id, 3_600, reason="news", operator="ana", role="trader", command_id="x", now_ns=desk.now_ns
    )

    assert levels_over(desk, [61, 119, 121, 152]) == ["PAUSED", "PAUSED", "CAUTIOUS", "RUNNING"]


def test_a_pause_that_was_cleared_as_the_process_died_is_still_followed_by_half_size() -> None:
    desk = morning()
    losing(desk, "9800")
    (pause,) = (h for h in desk.gate.state.holds.holds.values() if h.cause == "PNL-01")
    desk.gate.keeper.clear(pause.hold_id, "calm again", "ana", desk.now_ns)
    gate = desk.replayed()
    gate.start("life2", desk.now_ns)

    assert [h.level.name for h in gate.state.holds.holds.values() if h.cause == "PNL-01"] == ["CAUTIOUS"]


def test_a_position_that_is_stopped_out_during_the_pause_may_halt() -> None:
    changes = {"PNL-02": {"status": "enforced", "halt_at_pct": -4}}
    desk = morning(make_test_limits(changes))
    losing(desk, "9800")
    desk.wait(600)
    losing(desk, "9600")
    assert desk.levels() == "HALTED"
    levels = {h.level.name for h in desk.gate.state.holds.holds.values()}
    assert levels == {"PAUSED", "HALTED"}
    assert levels_over(desk, [61]) == ["HALTED"]
    assert {h.level.name for h in desk.gate.state.holds.holds.values()} == {"CAUTIOUS", "HALTED"}


def test_a_withdrawal_while_paused_moves_the_start_of_the_day() -> None:
    desk = morning()
    losing(desk, "9800")
    desk.account(("USDT", "9310"), transfer_asset="USDT", transfer_delta=Decimal(-490))
    desk.wait(1)

    assert desk.gate.state.portfolio.day_start == 9510 * 10**12
    assert desk.gate.state.loss.triggers == 1
