"""The day loss rule: pause, half size, armed again lower, third time halt; it survives midnight and restarts."""

from __future__ import annotations

from decimal import Decimal

from tests.riskd.kit import SECOND, Desk
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


def morning() -> Desk:
    """A desk with the whole UTC day before it."""
    day_ns = 86_400 * SECOND
    desk = Desk(now_ns=(1_700_000_000 * SECOND // day_ns + 1) * day_ns)
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
