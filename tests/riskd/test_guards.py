"""The loss guards and the day target: trip exactly at their limit, once, and the same after a kill -9."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from riskd.guard_book import GuardBook
from riskd.guards import Figures, make_guard_rules, trips
from riskd.records import EquitySample, Settlement, decode_record
from tests.riskd.kit import BTC, ETH, SECOND, Desk, make_test_limits
from tradebot.core.errors import ConfigError
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, Side

DAY = 86_400
MIN = 60
MONDAY_NS = (19_723 * DAY) * SECOND  # 2024-01-01 was a Monday
S1 = Scope(ScopeKind.STRATEGY, "s1")
Changes = dict[str, dict[str, Any] | None]


def morning(changes: Changes | None = None, *, day: int = 0, **top: Any) -> Desk:
    """A desk at 00:00 UTC of a Monday (or later) with 10,000 USDT, without the pause of PNL-01."""
    off: Changes = {"PNL-01": {"status": "not_applicable", "reason": "not what this is about"}}
    limits = make_test_limits(off | (changes or {}), **top)
    desk = Desk(limits=limits, now_ns=MONDAY_NS + day * DAY * SECOND)
    desk.wait(1)
    return desk


def limits_with(check_id: str, **values: Any) -> Changes:
    return {check_id: {"status": "enforced", **values}}


def worth(desk: Desk, equity: str, seconds: float = 1) -> None:
    """Make the account worth this, as if fills had done it."""
    desk.gate.state.portfolio.balances["binance", "USDT"] = int(Decimal(equity) * 10**12)
    desk.gate.accountant.forget_equity()
    desk.wait(seconds)


def hold_of(desk: Desk, cause: str, scope: Scope = SYSTEM_SCOPE) -> Hold:
    hold = desk.gate.state.holds.find(cause, scope)
    assert hold is not None, desk.gate.state.holds.holds
    return hold


def clear(desk: Desk, hold: Hold, role: str = "trader", phrase: bool = False) -> str:
    done = desk.gate.clear_hold(
        hold.hold_id, reason="looked into it", operator="ana", role=role, now_ns=desk.now_ns,
        command_id=f"{desk.now_ns}{role}{phrase}", typed_phrase=f"CLEAR {hold.hold_id}" if phrase else "",
    )  # fmt: skip
    return "CLEARED" if done.cleared else done.reason


EDGES = [
    ("PNL-02", {"halt_at_pct": -4}, "9600.01", "9600", "HALTED"),
    ("PNL-02", {"max_loss": 150}, "9850.01", "9850", "HALTED"),
    ("PNL-02", {"max_drawdown_pct": 3}, "9700.01", "9700", "HALTED"),
    ("PNL-03", {"halt_at_pct": -6}, "9400.01", "9400", "HALTED"),
    ("PNL-04", {"halt_at_pct": -10}, "9000.01", "9000", "HALTED"),
    ("PNL-05", {"pause_at_pct": -1}, "9900.01", "9900", "PAUSED"),
]


@pytest.mark.parametrize(("check_id", "values", "inside", "at", "level"), EDGES)
def test_a_guard_trips_at_its_limit_and_not_before(
    check_id: str, values: dict[str, Any], inside: str, at: str, level: str
) -> None:
    desk = morning(limits_with(check_id, **values))
    worth(desk, inside)
    before = desk.levels()
    worth(desk, at)

    assert (before, desk.levels()) == ("RUNNING", level)
    assert hold_of(desk, check_id).evidence
    count = len(desk.gate.state.holds.holds)
    desk.wait(5)
    assert len(desk.gate.state.holds.holds) == count


@pytest.mark.parametrize(("check_id", "values", "inside", "at", "level"), EDGES)
def test_a_guard_trips_the_same_when_the_process_was_killed_before_it(
    check_id: str, values: dict[str, Any], inside: str, at: str, level: str
) -> None:
    """The baseline survives: the loss that happens in the next life is measured from the last life's start."""
    desk = morning(limits_with(check_id, **values))
    worth(desk, inside)
    reborn(desk)
    assert desk.levels() == "RUNNING"
    worth(desk, at)

    assert desk.levels() == level


def reborn(desk: Desk, down_s: int = 0, **more: Any) -> None:
    """kill -9 and restart: a new gate from what was journaled, with the account as it is at the venue."""
    balances = dict(desk.gate.state.portfolio.balances)
    gate = desk.replayed()
    gate._ledger._sink = desk.sink
    gate.state.portfolio.balances.update(balances)
    desk.gate = gate
    desk.now_ns += down_s * SECOND
    gate.start(f"life{desk.now_ns}", desk.now_ns, **more)
    desk.hello()
    desk.quote(BTC, "59999.99", "60000.01")
    desk.quote(ETH, "2999.99", "3000.01")
    for (_, asset), units in balances.items():
        desk.account((asset, str(Decimal(units).scaleb(-12))))
    desk.venue()
    desk.gate.state.portfolio.balances.update(balances)
    desk.gate.accountant.forget_equity()


@pytest.mark.parametrize(("check_id", "values", "inside", "at", "level"), EDGES)
def test_a_tripped_guard_is_the_same_after_a_kill(
    check_id: str, values: dict[str, Any], inside: str, at: str, level: str
) -> None:
    desk = morning(limits_with(check_id, **values))
    worth(desk, at)
    before = hold_of(desk, check_id)
    assert desk.replayed().state.guards.digest() == desk.gate.state.guards.digest()
    reborn(desk, 30)

    assert hold_of(desk, check_id) == before
    assert desk.levels() == level
    desk.wait(2)
    assert [h for h in desk.gate.state.holds.holds.values() if h.cause == check_id] == [before]


def test_the_day_halt_takes_one_key_on_the_next_day_and_two_before() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    worth(desk, "9600")
    hold = hold_of(desk, "PNL-02")
    desk.now_ns = MONDAY_NS + DAY * SECOND - 1

    assert clear(desk, hold) == "SECOND_KEY_NEEDED"
    assert clear(desk, hold, "risk") == "PHRASE_MISMATCH"
    desk.now_ns += 1
    assert clear(desk, hold) == "CLEARED"
    desk.wait(5)
    assert desk.levels() == "RUNNING"
    worth(desk, "9216")  # the next day has its own halt
    assert desk.levels() == "HALTED"


def test_a_day_halt_waived_by_the_second_key_does_not_come_back_that_day_and_does_the_next() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    worth(desk, "9600")
    assert clear(desk, hold_of(desk, "PNL-02"), "risk", True) == "COOL_OFF"
    desk.wait(15 * 60)
    assert clear(desk, hold_of(desk, "PNL-02"), "risk", True) == "CLEARED"
    worth(desk, "9000")
    assert desk.levels() == "RUNNING"
    desk.wait(DAY)
    worth(desk, "8640.01")
    assert desk.levels() == "RUNNING"
    worth(desk, "8640")
    assert desk.levels() == "HALTED"


def test_resume_does_not_end_a_day_halt() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    worth(desk, "9600")
    desk.gate.resume(reason="all is well", operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)

    assert desk.levels() == "HALTED"


def test_the_fall_from_the_days_high_counts_from_that_days_high_only() -> None:
    desk = morning(limits_with("PNL-02", max_drawdown_pct=3))
    worth(desk, "11000")
    desk.wait(DAY)
    worth(desk, "10700")  # 2.7 % below yesterday's close, which is today's start
    assert desk.levels() == "RUNNING"
    worth(desk, "10670")
    assert desk.levels() == "HALTED"


def test_the_week_begins_on_monday_and_a_two_key_clear_begins_it_again() -> None:
    desk = morning(limits_with("PNL-03", halt_at_pct=-6), day=5)  # Saturday
    desk.wait(DAY)
    worth(desk, "9500")
    desk.wait(DAY)  # Monday: from here 9,500 is the start
    worth(desk, "8930.01")
    assert desk.levels() == "RUNNING"
    worth(desk, "8930")
    hold = hold_of(desk, "PNL-03")
    assert clear(desk, hold, "risk", True) == "COOL_OFF"
    desk.wait(15 * MIN)
    assert clear(desk, hold, "risk", True) == "CLEARED"
    desk.wait(5)
    assert desk.levels() == "CAUTIOUS"
    assert desk.gate.state.guards.week_start == 8930 * 10**12
    worth(desk, "8394.21")
    desk.wait(30 * MIN)
    assert desk.levels() == "RUNNING"
    worth(desk, "8394.2")
    assert desk.levels() == "HALTED"


def test_the_drawdown_window_forgets_old_highs_and_its_cool_off_is_a_day() -> None:
    desk = morning(limits_with("PNL-04", halt_at_pct=-10, window_days=2))
    worth(desk, "12000")
    desk.wait(DAY)
    worth(desk, "11000")
    desk.wait(DAY)
    desk.wait(DAY)
    worth(desk, "10000")  # the 12,000 is three days old
    assert desk.levels() == "RUNNING"
    worth(desk, "9900")
    hold = hold_of(desk, "PNL-04")
    desk.now_ns += (DAY - 1) * SECOND
    assert clear(desk, hold, "risk", True) == "COOL_OFF"
    desk.now_ns += SECOND
    assert clear(desk, hold, "risk", True) == "CLEARED"
    desk.wait(1)
    assert desk.gate.state.guards.highs == {desk.now_ns // (DAY * SECOND): 9900 * 10**12}


def test_a_slow_fall_is_no_velocity_and_a_pause_for_a_fast_one_ends_by_itself() -> None:
    desk = morning(limits_with("PNL-05", pause_at_pct=-1))
    for step in range(10):
        worth(desk, str(10_000 - 50 * step), 160)  # half a percent in five minutes and a bit
    assert desk.levels() == "RUNNING"
    worth(desk, "9450")
    assert desk.levels() == "PAUSED"
    desk.wait(15 * MIN - 2)
    assert desk.levels() == "PAUSED"
    desk.wait(2)
    desk.wait(2)
    assert desk.levels() == "RUNNING"


def test_velocity_looks_back_its_whole_window_to_the_highest_equity_in_it() -> None:
    desk = morning(limits_with("PNL-05", pause_at_pct=-1))
    worth(desk, "9990", 299)
    worth(desk, "10050", 15)
    worth(desk, "10000", 270)
    worth(desk, "9950", 10)
    assert desk.levels() == "RUNNING"
    worth(desk, "9949.5")  # 1 % below the 10,050 of five minutes ago, half a percent below what came after it
    assert desk.levels() == "PAUSED"


@pytest.mark.parametrize(("age_ns", "count"), [(300 * SECOND, 1), (300 * SECOND + 1, 0)])
def test_a_sample_counts_until_it_is_as_old_as_the_window(age_ns: int, count: int) -> None:
    rules = make_guard_rules(make_test_limits(limits_with("PNL-05", pause_at_pct=-1)))
    book = GuardBook()
    book.sample(10_000, MONDAY_NS)

    assert len(trips(book, rules, Figures(9_900, None, {}, {}), MONDAY_NS + age_ns)) == count


@pytest.mark.parametrize("equity", [0, -1])
def test_an_account_that_is_worth_nothing_breaks_no_guard(equity: int) -> None:
    every = {
        **limits_with("PNL-02", halt_at_pct=-4, max_loss=1, max_drawdown_pct=3),
        **limits_with("PNL-03", halt_at_pct=-6),
        **limits_with("PNL-04", halt_at_pct=-10), **limits_with("PNL-05", pause_at_pct=-1),
        **limits_with("PNL-07", halt_at_pct=-1),
    }  # fmt: skip
    rules = make_guard_rules(make_test_limits(every, day_target={"target_pct": 5, "action": "pause"}))
    book = GuardBook()
    book.settle(MONDAY_NS // (DAY * SECOND), equity, MONDAY_NS)
    book.sample(equity, MONDAY_NS)

    assert trips(book, rules, Figures(equity, equity, {"s1": -5}, {}), MONDAY_NS + 1) == []


def test_the_days_high_stays_when_later_equity_is_lower() -> None:
    desk = morning(limits_with("PNL-02", max_drawdown_pct=3))
    worth(desk, "11000", 700)
    worth(desk, "10700", 700)
    worth(desk, "10680", 700)
    assert desk.levels() == "RUNNING"
    worth(desk, "10670")
    assert desk.levels() == "HALTED"


def test_a_day_halt_cleared_in_its_time_is_no_waiver_for_the_day_that_has_begun() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    worth(desk, "9600")
    desk.wait(DAY)
    assert clear(desk, hold_of(desk, "PNL-02")) == "CLEARED"
    worth(desk, "9216.01")
    assert desk.levels() == "RUNNING"
    worth(desk, "9216")
    assert desk.levels() == "HALTED"


def test_a_waiver_of_a_day_counts_also_when_the_day_is_settled_after_it() -> None:
    book, day = GuardBook(), MONDAY_NS // (DAY * SECOND)
    hold = Hold("H1", TradingLevel.HALTED, S1, "PNL-07", "riskd", MONDAY_NS, ReleaseRule.TIMED, "", MONDAY_NS + DAY)
    book.hold_cleared(hold, "ana", MONDAY_NS)
    book.settle(day, 10_000, MONDAY_NS + 1)
    assert book.waived == {("PNL-07", "s1"): day}
    book.settle(day + 1, 10_000, MONDAY_NS + DAY * SECOND)

    assert not book.waived


def test_a_peak_is_written_down_when_it_is_a_tenth_of_a_percent_above_the_last() -> None:
    desk = morning()
    worth(desk, "10010")
    assert desk.gate.state.portfolio.peak == 10_000 * 10**12
    worth(desk, "10010.01")

    assert desk.gate.state.portfolio.peak == 10_010_010_000_000_000


def test_a_high_is_written_down_when_it_is_a_twentieth_of_a_percent_above_the_last() -> None:
    def samples() -> int:
        return sum(isinstance(decode_record(*pair), EquitySample) for pair in desk.sink.records)

    desk = morning()
    before = samples()
    worth(desk, "10005")
    assert samples() == before
    worth(desk, "10005.01")
    assert samples() == before + 1


def test_fees_and_closed_results_count_in_a_strategys_day() -> None:
    desk = morning(limits_with("PNL-07", halt_at_pct=-1))
    for price, fee in (("59000", "39.99"), ("59000", "58")):
        desk.buy("0.001")
        desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
        desk.fill(f"c{desk.orders}", "0.001", price, side=Side.SELL, fee=fee)
    assert desk.gate.state.holds.find("PNL-07", S1) is None  # 1 + 39.99 + 1 + 58 = 99.99
    desk.buy("0.001")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
    desk.fill(f"c{desk.orders}", "0.001", "60000", side=Side.SELL, fee="0.02")
    assert hold_of(desk, "PNL-07", S1).level.name == "HALTED"


def test_a_strategys_new_day_is_measured_from_its_result_at_midnight() -> None:
    desk = morning(limits_with("PNL-07", halt_at_pct=-1))
    loss = desk_loss(desk, "50")
    desk.wait(DAY)
    assert desk.gate.state.portfolio.day_net == {(BTC, "s1"): -loss}
    desk_loss(desk, "98")
    assert desk.gate.state.holds.find("PNL-07", S1) is None
    desk_loss(desk, "2")
    assert hold_of(desk, "PNL-07", S1).level.name == "HALTED"


def desk_loss(desk: Desk, fee: str) -> int:
    """Lose this much in fees; return it in units."""
    desk.quote(BTC, "59999.99", "60000.01")
    desk.buy("0.001")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
    desk.fill(f"c{desk.orders}", "0.001", "60000", side=Side.SELL, fee=fee)
    return int(Decimal(fee) * 10**12)


def test_a_transfer_moves_every_baseline() -> None:
    changes = {
        **limits_with("PNL-02", halt_at_pct=-4, max_drawdown_pct=4), **limits_with("PNL-03", halt_at_pct=-6),
        **limits_with("PNL-04", halt_at_pct=-10), **limits_with("PNL-05", pause_at_pct=-1),
    }  # fmt: skip
    desk = morning(changes)
    desk.account(("USDT", "5000"), transfer_asset="USDT", transfer_delta=Decimal(-5000))
    desk.wait(1)
    assert desk.levels() == "RUNNING"
    worth(desk, "4950")
    assert {h.cause for h in desk.gate.state.holds.holds.values()} == {"PNL-05"}


def round_trip(desk: Desk, price: str, strategy_id: str = "s1") -> None:
    """Buy at 60,000 and sell at a price."""
    desk.quote(BTC, "59999.99", "60000.01")
    desk.buy("0.001", strategy_id=strategy_id)
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", strategy_id=strategy_id, limit_price="60000")
    assert answer.approval is not None, answer
    desk.fill(f"c{desk.orders}", "0.001", price, side=Side.SELL)


def losing(desk: Desk, times: int, strategy_id: str = "s1") -> None:
    for _ in range(times):
        round_trip(desk, "59900", strategy_id)


STREAK = limits_with("PNL-06", pause_after=2, pause_min=60, halt_after=4)


def test_a_streak_pauses_then_halts_its_strategy_and_nobody_else() -> None:
    desk = morning(STREAK)
    losing(desk, 1)
    assert desk.gate.state.holds.find("PNL-06", S1) is None
    losing(desk, 1)
    pause = hold_of(desk, "PNL-06", S1)
    assert (pause.level.name, pause.until_ns - pause.raised_ns) == ("PAUSED", 60 * MIN * SECOND)
    assert desk.gate.state.holds.level_for("binance", BTC, "s2").name == "RUNNING"
    desk.wait(60 * MIN + 1)
    losing(desk, 1)
    assert desk.gate.state.holds.find("PNL-06", S1) is None
    losing(desk, 1)
    assert hold_of(desk, "PNL-06", S1).level.name == "HALTED"
    assert hold_of(desk, "PNL-06", S1).release is ReleaseRule.ONE_KEY


def test_a_win_and_a_cleared_halt_begin_the_streak_again() -> None:
    desk = morning(limits_with("PNL-06", halt_after=2))
    losing(desk, 1)
    round_trip(desk, "60100")
    losing(desk, 1)
    assert desk.gate.state.holds.find("PNL-06", S1) is None
    losing(desk, 1)
    assert clear(desk, hold_of(desk, "PNL-06", S1)) == "CLEARED"
    desk.wait(5)
    losing(desk, 1)
    assert desk.gate.state.holds.find("PNL-06", S1) is None
    losing(desk, 1)
    assert hold_of(desk, "PNL-06", S1).level.name == "HALTED"


def test_a_round_trip_that_earns_nothing_is_no_win_and_ends_no_streak() -> None:
    desk = morning(limits_with("PNL-06", halt_after=2))
    losing(desk, 1)
    round_trip(desk, "60000")
    assert hold_of(desk, "PNL-06", S1).level.name == "HALTED"


def test_fees_make_a_round_trip_a_loss() -> None:
    desk = morning(limits_with("PNL-06", halt_after=1))
    round_trip(desk, "60000.01")
    assert desk.gate.state.holds.find("PNL-06", S1) is None
    desk.buy("0.001")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
    desk.fill(f"c{desk.orders}", "0.001", "60001", side=Side.SELL, fee="0.002")
    assert hold_of(desk, "PNL-06", S1).level.name == "HALTED"


def test_part_of_a_position_sold_is_no_round_trip() -> None:
    desk = morning(limits_with("PNL-06", halt_after=1))
    desk.buy("0.002")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
    desk.fill(f"c{desk.orders}", "0.001", "59000", side=Side.SELL)
    assert desk.gate.state.holds.find("PNL-06", S1) is None
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000")
    desk.fill(f"c{desk.orders}", "0.001", "60500", side=Side.SELL)  # -1 and +0.5
    assert hold_of(desk, "PNL-06", S1).level.name == "HALTED"


def test_a_streak_of_the_whole_system_counts_all_strategies_and_stops_all() -> None:
    desk = morning(limits_with("PNL-06", halt_after=2, per="system"))
    losing(desk, 1)
    assert desk.levels() == "RUNNING"
    losing(desk, 1, "s2")
    assert desk.levels() == "HALTED"


def test_a_streak_survives_a_kill_between_its_last_loss_and_its_hold() -> None:
    desk = morning(limits_with("PNL-06", halt_after=2))
    losing(desk, 2)
    cut = next(
        index for index, (kind, payload) in enumerate(desk.sink.records)
        if getattr(getattr(decode_record(kind, payload), "hold", None), "cause", "") == "PNL-06"
    )  # fmt: skip
    del desk.sink.records[cut:]
    reborn(desk)
    desk.wait(1)

    assert hold_of(desk, "PNL-06", S1).level.name == "HALTED"


def test_a_strategys_day_loss_stops_it_until_midnight_and_counts_from_midnight() -> None:
    desk = morning(limits_with("PNL-07", halt_at_pct=-1))
    desk.account(("USDT", "10000"), ("BTC", "0"))
    desk.buy("0.01")
    desk.buy("0.01")
    desk.quote(BTC, "55001", "55001.01")
    desk.gate.accountant.forget_equity()
    desk.wait(1)  # 0.02 x 4999 is 99.98: just not 1 %
    assert desk.gate.state.holds.find("PNL-07", S1) is None
    desk.quote(BTC, "55000", "55000.02")
    desk.gate.accountant.forget_equity()
    desk.wait(1)
    assert hold_of(desk, "PNL-07", S1).level.name == "HALTED"
    assert desk.levels() == "RUNNING"
    desk.wait(DAY - 5)
    assert hold_of(desk, "PNL-07", S1).until_ns == MONDAY_NS + DAY * SECOND
    desk.wait(5)
    desk.wait(1)
    assert desk.gate.state.holds.find("PNL-07", S1) is None
    assert desk.gate.state.portfolio.day_net == {(BTC, "s1"): -100 * 10**12}


@pytest.mark.parametrize(
    ("action", "level"),
    [("cautious", "CAUTIOUS"), ("reduce_only", "REDUCE_ONLY"), ("pause", "PAUSED"), ("halt", "HALTED")],
)
def test_the_day_target_acts_once_a_day_until_midnight_and_one_key_ends_it(action: str, level: str) -> None:
    desk = morning(day_target={"target_pct": 5, "action": action})
    worth(desk, "10499.99")
    assert desk.levels() == "RUNNING"
    worth(desk, "10500")
    assert desk.levels() == level
    assert clear(desk, hold_of(desk, "DAY_TARGET")) == "CLEARED"
    worth(desk, "10600")
    assert desk.levels() == "RUNNING"
    desk.wait(DAY)
    worth(desk, "11130")
    assert desk.levels() == level
    desk.wait(DAY)
    desk.wait(1)
    assert desk.levels() == "RUNNING"


@pytest.mark.parametrize(
    ("changes", "equity"),
    [
        (limits_with("PNL-02", halt_at_pct=-4, action="close_all"), "8900"),
        (limits_with("PNL-03", halt_at_pct=-6, action="close_all"), "8900"),
        (limits_with("PNL-04", halt_at_pct=-10, action="close_all"), "8900"),
        ({}, "11000"),
    ],
)
def test_close_all_closes_every_position_and_late_fills_too(changes: Changes, equity: str) -> None:
    target = None if changes else {"target_pct": 5, "action": "close_all"}
    desk = morning(changes, day_target=target)
    desk.buy("0.001")
    late = desk.plain(qty="0.01", instrument_id=ETH, limit_price="3000")
    assert late.approval is not None
    cause = next(iter(changes), "DAY_TARGET")
    worth(desk, equity)
    assert [job.instrument_id for job in desk.gate.state.flattens.values()] == [BTC]
    desk.fill(f"c{desk.orders}", "0.01", "3000", instrument_id=ETH)
    desk.wait(1)

    assert [job.instrument_id for job in desk.gate.state.flattens.values()] == [BTC, ETH]
    hold_of(desk, cause)
    for _ in range(80):
        desk.wait(1)
    assert not desk.gate.state.flattens  # the ladders gave up, and are not begun again and again
    assert {h.cause for h in desk.gate.state.holds.holds.values()} == {cause, "FLATTEN_INCOMPLETE"}


def test_without_close_all_nothing_is_closed() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    desk.buy("0.001")
    worth(desk, "9000")

    assert desk.levels() == "HALTED"
    assert not desk.gate.state.flattens


def test_a_loss_on_stale_prices_pauses_until_a_fresh_price_denies_it() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    stale_loss(desk)
    assert (desk.levels(), causes(desk)) == ("PAUSED", {"PRICE_SUSPECT"})
    desk.wait(60)
    stale(desk)
    assert causes(desk) == {"PRICE_SUSPECT"}
    desk.quote(BTC, "59999.99", "60000.01")
    desk.gate.accountant.forget_equity()
    desk.wait(1)
    assert desk.levels() == "RUNNING"


def test_a_loss_on_stale_prices_counts_when_confirmed_or_after_two_minutes() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    stale_loss(desk)
    desk.quote(BTC, "40000", "40000.01")
    desk.gate.accountant.forget_equity()
    desk.wait(1)
    assert causes(desk) == {"PNL-02"}

    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    stale_loss(desk)
    stale(desk, 119)
    assert causes(desk) == {"PRICE_SUSPECT"}
    stale(desk, 1)
    assert causes(desk) == {"PNL-02"}


def test_a_loss_that_has_stopped_everything_already_makes_no_price_suspect() -> None:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    for _ in range(2):
        desk.buy("0.01")
    worth(desk, "8390")  # and 1,200 in BTC
    fall_unseen(desk)

    assert causes(desk) == {"PNL-02"}


def causes(desk: Desk) -> set[str]:
    return {h.cause for h in desk.gate.state.holds.holds.values()}


def stale_loss(desk: Desk) -> None:
    """Hold 0.02 BTC whose price was 40,000 when it was last seen, ten seconds ago."""
    for _ in range(2):
        desk.buy("0.01")
    fall_unseen(desk)


def fall_unseen(desk: Desk) -> None:
    """The price of BTC was 40,000 when it was last seen, ten seconds ago."""
    desk.now_ns += SECOND
    desk.gate.board.views[BTC].good_ns = desk.now_ns - 10 * SECOND
    desk.gate.board.views[BTC].good_bid = 40_000 * 10**12
    desk.gate.accountant.forget_equity()
    desk.wait(1)


def stale(desk: Desk, seconds: int = 0) -> None:
    desk.gate.accountant.forget_equity()
    desk.wait(seconds)


def test_the_day_starts_with_the_balance_that_the_last_one_left() -> None:
    desk = morning()
    worth(desk, "11000")
    desk.wait(DAY)
    starts = [r for r in (decode_record(*pair) for pair in desk.sink.records) if isinstance(r, Settlement)]

    assert [r.start_equity for r in starts] == [Decimal(10000), Decimal(11000)]


def test_a_clock_that_was_set_back_begins_no_day_and_keeps_countdowns() -> None:
    desk = morning(limits_with("PNL-05", pause_at_pct=-1))
    desk.wait(3_600)
    worth(desk, "9900")
    settled = desk.gate.state.portfolio.day
    left_ns = 15 * MIN * SECOND  # it was raised at the latest time that the journal knows
    reborn(desk, -2 * 3_600)
    desk.wait(1)

    assert desk.gate.state.portfolio.day == settled
    assert hold_of(desk, "PNL-05").until_ns == desk.now_ns - SECOND + left_ns
    reborn(desk, 10)
    assert hold_of(desk, "PNL-05").until_ns == desk.now_ns - 11 * SECOND + left_ns


def test_samples_are_kept_slowly_when_no_velocity_is_watched() -> None:
    def samples(desk: Desk) -> int:
        for _ in range(600):
            desk.wait(1)
        return sum(isinstance(decode_record(*pair), EquitySample) for pair in desk.sink.records)

    assert samples(morning()) == 11
    assert samples(morning(limits_with("PNL-05", pause_at_pct=-1))) == 41


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (limits_with("PNL-02"), "set halt_at_pct, max_loss or max_drawdown_pct"),
        (limits_with("PNL-02", halt_at_pct=-1) | {"PNL-01": {"pause_at_pct": -2}}, "PNL-02.halt_at_pct is -1, above"),
        (limits_with("PNL-06", pause_after=5, halt_after=4), "pause_after is 5, above halt_after 4"),
        (limits_with("PNL-04", halt_at_pct=4), "halt_at_pct"),
    ],
)
def test_a_guard_that_contradicts_itself_is_refused_with_the_numbers(changes: Changes, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_test_limits(changes)


def streak_pause() -> Desk:
    desk = morning(limits_with("PNL-06", pause_after=2, pause_min=60, halt_after=4))
    losing(desk, 2)
    return desk


def streak_halt() -> Desk:
    desk = morning(limits_with("PNL-06", halt_after=2))
    losing(desk, 2)
    return desk


def strategy_halt() -> Desk:
    desk = morning(limits_with("PNL-07", halt_at_pct=-1))
    desk_loss(desk, "100")
    return desk


def target_reached() -> Desk:
    desk = morning(day_target={"target_pct": 5, "action": "pause"})
    worth(desk, "10500")
    return desk


def day_pause() -> Desk:
    desk = morning({"PNL-01": {"pause_min": 60}})
    worth(desk, "9800")
    return desk


def suspect_price() -> Desk:
    desk = morning(limits_with("PNL-02", halt_at_pct=-4))
    stale_loss(desk)
    return desk


@pytest.mark.parametrize(
    "tripped", [streak_pause, streak_halt, strategy_halt, target_reached, day_pause, suspect_price]
)
def test_every_other_guard_keeps_level_time_and_memory_over_a_kill(tripped: Callable[[], Desk]) -> None:
    desk = tripped()
    before = dict(desk.gate.state.holds.holds)
    assert before
    memory, loss = desk.gate.state.guards.digest(), desk.gate.state.loss
    again = desk.replayed()
    assert (again.state.guards.digest(), again.state.loss) == (memory, loss)
    assert again.state.portfolio.money_digest() == desk.gate.state.portfolio.money_digest()
    desk.now_ns += 20 * SECOND
    again.start("life2", desk.now_ns)
    held = again.state.holds
    kept = {key: hold for key, hold in held.holds.items() if key in before}

    assert kept == before
    assert held.next_expiry_ns() == desk.gate.state.holds.next_expiry_ns()
    assert all(again.state.holds.level_for("binance", BTC, "s1") >= hold.level for hold in before.values())
