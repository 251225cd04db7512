"""Each sizing method by its own numbers: at, below and above every bound, and the factor that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskd.case import Case
from riskd.limits import load_limits
from riskd.round_trips import MAX_TRIPS, TripLog, TripStats, stats_of
from riskd.sizing import Sized, size_entry
from riskd.sizing_methods import (
    AdaptationRule,
    Offer,
    adaptation_ppm,
    kelly_ppm,
    make_sizing,
    per_trade_allocation,
    risk_per_trade,
    smallest,
    volatility_target,
)
from riskd.strategy_position import StrategyPosition
from riskd.volatility import STEP_NS, Volatility
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits, violations
from tests.riskd.test_inputs_degraded import case_of
from tradebot.core.approvals import ApprovalAnswer, Verdict
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, OrderType, Side

UNIT = 10**12
PPM = 10**6


# ---- per_trade_allocation = min(available / max_open_trades, max_per_trade)


@pytest.mark.parametrize(
    ("available", "amount", "factor"),
    [
        (100, 25, "max_per_trade"),  # 33.3 a slot
        (75, 25, "max_per_trade"),  # both 25: the cap is named
        (74, 74 / 3, "available_per_trade"),
        (0, 0, "available_per_trade"),
    ],
)
def test_per_trade_allocation_is_the_smaller_of_the_share_and_the_cap(
    available: int, amount: float, factor: str
) -> None:
    offer = per_trade_allocation(available * UNIT, 3, 25 * UNIT)

    assert offer == Offer(int(Decimal(available) * UNIT / 3) if factor.startswith("a") else 25 * UNIT, factor)
    assert offer.amount / UNIT == pytest.approx(amount)


def test_the_smallest_offer_is_never_below_zero_and_the_first_of_equals_is_named() -> None:
    assert smallest(Offer(5, "a"), Offer(5, "b")) == Offer(5, "a")
    assert smallest(Offer(5, "a"), Offer(-1, "b")) == Offer(0, "b")


# ---- its adaptation

RULE = AdaptationRule(
    window=20, min_trips=10, raise_at_ppm=550_000, lower_at_ppm=450_000, max_ppm=4 * PPM, min_ppm=PPM // 5
)


def stats(trips: int, wins: int, net_ppm: int) -> TripStats:
    return TripStats(trips, wins, 1, 1, net_ppm)


@pytest.mark.parametrize(
    ("trips", "wins", "net_ppm", "day_ppm", "factor"),
    [
        (9, 9, 900, 0, PPM),  # too few to say
        (10, 10, 900, 0, 4 * PPM),
        (20, 11, 900, 0, PPM),  # 55 %: at the bound
        (20, 12, 900, 0, PPM + 3 * PPM * 50_000 // 450_000),
        (20, 20, 900, -1, PPM),  # the day lost
        (20, 20, 900, None, PPM),  # nobody knows
        (20, 20, 0, 0, PPM),  # the window earned nothing
        (20, 9, 900, 0, PPM),  # 45 %: at the bound
        (20, 8, 900, 0, PPM - 88_889),  # 0.8 x 50,000 / 450,000, rounded against us
        (20, 0, 900, 0, PPM // 5),
        (20, 0, -900, 0, PPM // 5),
        (20, 10, -1, 0, 600_000),  # a window that lost: halfway to the least
        (20, 20, -1, 0, 600_000),
    ],
)
def test_the_cap_follows_win_rate_and_pnl(
    trips: int, wins: int, net_ppm: int, day_ppm: int | None, factor: int
) -> None:
    assert adaptation_ppm(RULE, stats(trips, wins, net_ppm), day_ppm) == factor


def test_a_cap_that_would_rise_above_a_win_rate_of_all_never_rises() -> None:
    assert adaptation_ppm(replace(RULE, raise_at_ppm=PPM), stats(20, 20, 900), 0) == PPM


@given(st.integers(0, 200), st.integers(0, 200), st.integers(-(10**6), 10**6), st.integers(-(10**5), 10**5))
def test_adaptation_stays_between_its_bounds(trips: int, wins: int, net: int, day: int) -> None:
    found = adaptation_ppm(RULE, stats(trips, min(wins, trips), net), day)

    assert RULE.min_ppm <= found <= RULE.max_ppm
    assert found <= adaptation_ppm(RULE, stats(trips, trips, abs(net) + 1), abs(day))


# ---- risk per trade


def test_a_stopped_trade_loses_the_risk_costs_included() -> None:
    offer = risk_per_trade(10_000 * UNIT, 5_000, 1_000 * UNIT, 10_000, 2_500)  # 0.5 % of 10,000; stop 1 %, costs 0.25 %

    assert offer == Offer(4_000 * UNIT, "risk_per_trade")
    assert offer.amount * (10_000 + 2_500) // PPM == 50 * UNIT


@pytest.mark.parametrize(("most", "factor"), [(51, "risk_per_trade"), (50, "risk_per_trade"), (49, "max_risk")])
def test_the_absolute_risk_binds_only_when_it_is_smaller(most: int, factor: str) -> None:
    offer = risk_per_trade(10_000 * UNIT, 5_000, most * UNIT, 10_000, 0)

    assert offer == Offer(min(most, 50) * 100 * UNIT, factor)


# ---- volatility target


def test_a_market_twice_as_volatile_gets_half() -> None:
    assert volatility_target(1_000 * UNIT, 20_000, 20_000) == Offer(1_000 * UNIT, "volatility_target")
    assert volatility_target(1_000 * UNIT, 20_000, 40_000).amount == 500 * UNIT


def test_measured_volatility_is_that_of_the_returns() -> None:
    measured, mid = Volatility(), 100 * UNIT
    for minute in range(1, 2001):
        mid = mid * (1001 if minute % 2 else 999) // 1000  # 10 bps up and down
        measured.sample(mid, minute * STEP_NS, 60)

    assert measured.samples == 1999
    assert measured.daily_ppm() == pytest.approx(1_000 * 1440**0.5, rel=0.002)


def test_a_longer_gap_counts_as_so_many_minutes_and_a_long_one_starts_anew() -> None:
    measured = Volatility()
    measured.sample(100 * UNIT, STEP_NS, 60)
    measured.sample(102 * UNIT, 5 * STEP_NS, 60)  # 2 % in 4 minutes: 1 % a minute
    assert measured.daily_ppm() == pytest.approx(10_000 * 1440**0.5, rel=1e-5)

    measured.sample(102 * UNIT, 16 * STEP_NS, 60)

    assert (measured.samples, measured.daily_ppm()) == (0, 0)


# ---- Kelly


@pytest.mark.parametrize(
    ("wins", "win_ppm", "loss_ppm", "share"),
    [
        (50, 20_000, 10_000, 250_000),  # DeltaX academy, "The Kelly criterion", example 1: a quarter
        (40, 20_000, 10_000, 100_000),  # the same page: a tenth
        (60, 10_000, 10_000, 200_000),  # the even-money coin of the textbooks: 2p - 1
        (50, 10_000, 10_000, 0),
        (10, 10_000, 10_000, 0),  # below nothing is nothing
        (0, 0, 10_000, 0),
    ],
)
def test_the_kelly_share_by_published_examples(wins: int, win_ppm: int, loss_ppm: int, share: int) -> None:
    assert kelly_ppm(TripStats(100, wins, win_ppm, loss_ppm, 0), PPM, PPM) == share


def test_kelly_lite_is_a_fraction_and_never_above_its_clip() -> None:
    found = TripStats(100, 50, 20_000, 10_000, 0)

    assert kelly_ppm(found, 100_000, 50_000) == 25_000
    assert kelly_ppm(found, 200_000, 50_000) == 50_000
    assert kelly_ppm(found, 200_004, 50_000) == 50_000
    assert kelly_ppm(TripStats(), PPM, 50_000) == 0
    assert kelly_ppm(TripStats(100, 100, 20_000, 0, 0), PPM, 50_000) == 50_000


# ---- round trips


def test_trips_count_returns_on_what_was_entered() -> None:
    log = TripLog()
    for net, entered in ((10, 1000), (-5, 1000), (0, 1000), (-10, 1000), (30, 1000)):
        log.add(net, entered)

    found = log.stats()
    assert (found.trips, found.wins, found.win_ppm, found.loss_ppm, found.net_ppm) == (5, 2, 20_000, 5_000, 25_000)
    assert found.win_rate_ppm == 400_000
    assert log.stats(2) == stats_of([30_000, -10_000])
    assert log.losses_in_row == 0


def test_a_trip_that_earned_nothing_is_lost_and_streaks_end_with_a_win() -> None:
    log = TripLog()
    for net in (-1, 0, -1):
        log.add(net, 10)
    assert log.losses_in_row == 3

    log.add(1, 10)

    assert log.losses_in_row == 0
    assert TripStats().win_rate_ppm == 0


def test_only_the_latest_trips_are_remembered() -> None:
    log = TripLog()
    for _ in range(MAX_TRIPS + 5):
        log.add(1, 10)

    assert log.stats().trips == MAX_TRIPS


# ---- at the gate

ALLOCATION: dict[str, Any] = {
    "method": "per_trade_allocation",
    "max_open_trades": 3,
    "max_per_trade": 25,
}
WIDE: dict[str, dict[str, Any] | None] = {
    "SIZ-02": {"max_pct_of_equity": 100, "max_notional": 20_000},
    "POS-02": {"hard_pct": 100, "soft_pct": 100, "max_notional": 20_000},
    "POS-04": {"hard_pct": 100, "soft_pct": 100, "max_notional": 20_000},
}


def desk_with(sizing: dict[str, Any], usdt: str = "10000", **top: Any) -> Desk:
    desk = Desk(limits=make_test_limits(WIDE, sizing=sizing, **top), usdt=usdt)
    desk.wait(1)
    return desk


def sized(desk: Desk, **changes: Any) -> tuple[Decimal | None, str]:
    answer: ApprovalAnswer = desk.plain(qty=None, **changes)
    return answer.approved_qty, answer.binding_limit


def test_the_small_account_trades_a_third_of_what_is_free_or_the_cap() -> None:
    assert sized(desk_with(ALLOCATION, "100")) == (Decimal("0.00041"), "max_per_trade")
    assert sized(desk_with(ALLOCATION, "60")) == (Decimal("0.00033"), "available_per_trade")


def test_what_is_reserved_is_no_longer_available() -> None:
    desk = desk_with(ALLOCATION | {"max_per_trade": 100}, "90")
    assert sized(desk) == (Decimal("0.0005"), "available_per_trade")  # 90 / 3 = 30
    assert sized(desk, instrument_id=ETH, limit_price="3000") == (  # 30.03 with its fee is gone: 59.97 / 3
        Decimal("0.00666"),
        "available_per_trade",
    )


def test_the_days_allocation_counts_from_the_days_start() -> None:
    half = ALLOCATION | {"daily_allocation_pct": 30, "max_per_trade": 2_000}
    desk = desk_with(half)
    assert sized(desk)[1] == "max_per_trade"
    assert sized(desk, instrument_id=ETH, limit_price="3000")[1] == "daily_allocation"  # 3,000 less 2,000 leaves 1,000


def test_what_is_held_here_leaves_less_of_the_days_allocation() -> None:
    desk = desk_with(ALLOCATION | {"daily_allocation_pct": 30, "max_per_trade": 2_000})
    desk.quote(BTC, "59999.99", "60000")
    desk.buy("0.02")

    assert sized(desk) == (Decimal("0.03"), "daily_allocation")  # 3,000 less 1,200


def test_an_unknown_start_of_the_day_sizes_nothing() -> None:
    desk = desk_with(ALLOCATION)
    desk.gate.state.portfolio.day_start = None
    answer = desk.plain(qty=None)

    assert answer.verdict is Verdict.BLOCK
    assert violations(answer)["SPC-02"] == "CHECK_INPUT_MISSING"


def win_and_lose(desk: Desk, results: list[int]) -> None:
    log = desk.gate.state.portfolio.trips["s1"]
    for result in results:
        log.add(result, 1000)


def test_a_winning_strategy_is_given_more_and_a_losing_one_less() -> None:
    adapt = {"window": 20, "min_trips": 10, "raise_at_win_pct": 55, "lower_at_win_pct": 45, "max_factor": 2,
             "min_factor": "0.4"}  # fmt: skip
    for results, cap in (([], 300), ([10] * 20, 600), ([-10] * 20, 120), ([10] * 20 + [-9] * 20, 120)):
        desk = desk_with(ALLOCATION | {"max_per_trade": 300, "adapt": adapt})
        win_and_lose(desk, results)
        assert sized(desk) == (Decimal(cap * 100_000 // 60_000) / 100_000, "max_per_trade")


def test_the_stop_distance_sizes_the_entry() -> None:
    rule = {"method": "risk_per_trade", "risk_pct": "0.1", "max_risk": 50, "cost_bps": 25}
    for stop, qty in (("0.0075", "0.01666"), ("0.0175", "0.00833")):  # 10 of 10,000 over 1 % and 2 %
        found = sized(desk_with(rule), protection=ProtectionPlan(Decimal(stop)))
        assert found == (Decimal(qty), "risk_per_trade")
    assert sized(desk_with(rule | {"max_risk": 5}), protection=ProtectionPlan(Decimal("0.0075")))[1] == "max_risk"


def test_an_entry_without_a_stop_is_sized_only_with_a_default() -> None:
    rule = {"method": "risk_per_trade", "risk_pct": "0.1", "max_risk": 50, "cost_bps": 0}
    assert desk_with(rule).plain(qty=None, protection=ProtectionPlan()).verdict is Verdict.BLOCK

    found = sized(desk_with(rule | {"default_stop_pct": 1}), protection=ProtectionPlan())

    assert found == (Decimal("0.01666"), "risk_per_trade")


TARGET: dict[str, Any] = {
    "method": "volatility_target", "budget": 1000, "target_daily_vol_pct": 2, "per_symbol_cap": 500, "total_cap": 1500,
    "min_vol_pct": 1, "half_life_min": 30, "warm_up_min": 5,
}  # fmt: skip


def shake(desk: Desk, minutes: int, move: int) -> None:
    """Let the mid go up and down by `move` thousandths each minute, on both markets."""
    for minute in range(minutes):
        for instrument_id, price in ((BTC, 60_000), (ETH, 3_000)):
            now = price + (price * move // 1000 if minute % 2 else 0)
            desk.quote(instrument_id, f"{now}.00", f"{now}.02")
        desk.wait(60)


def test_a_cold_measurement_sizes_nothing_unless_a_volatility_is_assumed() -> None:
    assert desk_with(TARGET).plain(qty=None).verdict is Verdict.BLOCK
    assert sized(desk_with(TARGET | {"cold_vol_pct": 5})) == (Decimal("0.00666"), "volatility_target")  # 400


def test_a_warm_measurement_sizes_by_volatility() -> None:
    desk = desk_with(TARGET)
    shake(desk, 40, 2)  # 0.2 % a minute: 7.6 % a day
    desk.quote(BTC, "59999.99", "60000.01")
    qty, factor = sized(desk)
    daily = Decimal("0.002") * Decimal(1440).sqrt()

    assert factor == "volatility_target"
    assert qty is not None
    assert qty * 60_000 == pytest.approx(1000 * Decimal("0.02") / daily, rel=Decimal("0.03"))


def test_a_calm_market_is_sized_by_the_least_volatility_and_capped_per_symbol_and_in_total() -> None:
    desk = desk_with(TARGET | {"cold_vol_pct": "0.5", "total_cap": 800})
    assert sized(desk) == (Decimal("0.00833"), "per_symbol_cap")  # 1,000 x 2 / 1 = 2,000, 500 a symbol
    assert sized(desk)[0] is None  # nothing is left of it

    qty, factor = sized(desk, instrument_id=ETH, limit_price="3000")

    assert factor == "total_cap"
    assert qty is not None
    assert 299 < qty * 3000 <= Decimal("300.21")  # 800 less the worst case of the first


def test_the_total_cap_counts_what_is_held_here_and_elsewhere() -> None:
    desk = desk_with(TARGET | {"cold_vol_pct": 1, "per_symbol_cap": 700, "total_cap": 800})
    desk.buy("0.1", "3000", instrument_id=ETH)
    desk.buy("0.0015", "60000")  # 90

    assert sized(desk) == (Decimal("0.00683"), "total_cap")  # 800 - 300.001 - 90.000015


KELLY: dict[str, Any] = {
    "method": "kelly_lite", "fraction": "0.5", "min_trips": 10, "window": 20, "unproven_pct": 1, "max_per_trade": 400,
}  # fmt: skip


def test_kelly_lite_begins_small_grows_to_its_clip_and_stops_without_an_edge() -> None:
    desk = desk_with(KELLY)
    assert sized(desk) == (Decimal("0.00166"), "kelly_unproven")  # 1 % of 10,000
    for trips, factor in ((9, "kelly_unproven"), (10, "max_per_trade")):
        other = desk_with(KELLY)
        win_and_lose(other, [30, -10] * 4 + [30, -10][: trips - 8])
        assert sized(other)[1] == factor
    win_and_lose(desk, [30, -20] * 10)  # p 0.5, b 1.5: a sixth, half of it, clipped to 5 %, 500

    assert sized(desk) == (Decimal("0.00666"), "max_per_trade")
    wider = desk_with(KELLY | {"max_per_trade": 1000})
    win_and_lose(wider, [30, -20] * 10)
    assert sized(wider) == (Decimal("0.00833"), "kelly_lite")
    fifth = desk_with(KELLY | {"fraction": "0.2", "max_per_trade": 1000})
    win_and_lose(fifth, [30, -20] * 10)
    assert sized(fifth) == (Decimal("0.00555"), "kelly_lite")  # a fifth of a sixth of 10,000
    win_and_lose(desk, [-20] * 10)
    assert desk.plain(qty=None).verdict is Verdict.BLOCK


@pytest.mark.parametrize(
    "sizing",
    [
        {"method": "fixed_quote", "quote_amount": 300},
        ALLOCATION | {"max_per_trade": 300},
        {"method": "risk_per_trade", "risk_pct": "0.03", "max_risk": 50, "cost_bps": 0, "default_stop_pct": 1},
        TARGET | {"cold_vol_pct": "6.6666"},
        KELLY | {"unproven_pct": 3},
    ],
    ids=lambda sizing: str(sizing["method"]),
)
def test_strength_and_cautious_make_every_method_smaller(sizing: dict[str, Any]) -> None:
    def qty(strength: str, *, cautious: bool) -> Decimal:
        desk = desk_with(sizing)
        if cautious:
            desk.gate.raise_hold(
                TradingLevel.CAUTIOUS, Scope(ScopeKind.INSTRUMENT, BTC), reason="", operator="ana", role="trader",
                command_id="x", duration_s=0, now_ns=desk.now_ns,
            )  # fmt: skip
        found = sized(desk, strength=Decimal(strength), protection=ProtectionPlan(Decimal("0.01")))[0]
        assert found is not None
        return found

    assert qty("1", cautious=False) == Decimal("0.005")
    assert qty("0.5", cautious=False) == qty("1", cautious=True) == Decimal("0.0025")
    assert qty("0.5", cautious=True) == Decimal("0.00125")


def test_a_round_trip_at_the_gate_counts_net_of_fees_and_replays() -> None:
    desk = desk_with(KELLY)
    desk.buy("0.01", "60000")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", limit_price="60010")
    desk.fill(f"c{desk.orders}", "0.01", "60010", side=Side.SELL, fee="0.2")

    assert desk.gate.state.portfolio.trip_stats("s1", 5) == TripStats(1, 0, 0, 167, -167)  # +0.1 - 0.2 of 600
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_what_leaves_only_dust_is_a_finished_trip_and_a_flip_is_one_too() -> None:
    desk = desk_with(KELLY)
    desk.buy("0.01", "60000")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01")
    desk.fill(f"c{desk.orders}", "0.009995", "60000", side=Side.SELL, complete=False)  # leaves half a lot
    assert desk.gate.state.portfolio.trip_stats("s1", 5).trips == 1
    portfolio = desk.gate.state.portfolio
    rule = desk.gate.state.rules[ETH]
    held = replace(portfolio.positions[BTC, "s1"])
    log = TripLog()
    held.inventory.qty, held.trip_entered = -5, 1000
    held.follow_trip([log], rule.dust_qty, 10 * UNIT, 500)
    assert (log.stats().trips, held.trip_entered) == (1, 0)

    held.inventory.qty = -rule.dust_qty  # a flip into dust is flat; one more is a new trip
    held.follow_trip([log], rule.dust_qty, 10 * UNIT, 500)
    assert (log.stats().trips, held.trip_entered) == (2, 0)
    held.inventory.qty, held.inventory.entry_flow = -rule.dust_qty - 1, -77
    held.follow_trip([log], rule.dust_qty, 10 * UNIT, 500)

    assert (log.stats().trips, held.trip_entered) == (3, 77)


@pytest.mark.parametrize("check_id", ["POS-02", "POS-04"])
def test_the_headroom_of_a_position_is_what_is_left_of_it(check_id: str) -> None:
    caps = WIDE | {check_id: {"hard_pct": 100, "soft_pct": 100, "max_notional": 1000}}
    if check_id == "POS-02":
        caps["POS-04"] = {"hard_pct": 100, "soft_pct": 100, "max_notional": 20_000}
    caps["SIZ-02"] = {"max_pct_of_equity": 100, "max_notional": 1000}
    caps["POS-02"] = {"hard_pct": 100, "soft_pct": 100, "max_notional": 1000}
    desk = Desk(limits=make_test_limits(caps, sizing={"method": "fixed_quote", "quote_amount": 1000}))
    desk.wait(1)
    desk.buy("0.005")

    qty, binding = sized(desk)
    assert qty == Decimal("0.01166")  # 1,000 at the ask of 60,000.01 less 0.005
    assert binding == "POS-02"  # the first of equals
    assert desk.plain(qty="0.00001").verdict is Verdict.BLOCK


def test_what_others_hold_leaves_less_of_the_gross_limit() -> None:
    caps = WIDE | {"POS-04": {"hard_pct": 100, "soft_pct": 100, "max_notional": 1000}}
    caps |= {"SIZ-02": {"max_pct_of_equity": 100, "max_notional": 900}}
    caps |= {"POS-02": {"hard_pct": 100, "soft_pct": 100, "max_notional": 900}}
    desk = Desk(limits=make_test_limits(caps, sizing={"method": "fixed_quote", "quote_amount": 900}))
    desk.wait(1)
    desk.buy("0.1", "3000", instrument_id=ETH)
    desk.buy("0.001")

    assert sized(desk) == (Decimal("0.01066"), "POS-04")  # (1,000 - 300.001) at the ask, less 0.001


def test_an_order_too_small_for_the_venue_is_refused_by_the_check_in_the_way() -> None:
    answer = desk_with({"method": "fixed_quote", "quote_amount": 500}, "4").plain(qty=None)  # 4 would buy six lots

    assert violations(answer)["POS-01"] == "INSUFFICIENT_FUNDS"
    assert "SPC-04" not in violations(answer)


def test_an_entry_without_any_price_is_not_sized_but_refused() -> None:
    for sizing in ({"method": "fixed_quote", "quote_amount": 500}, TARGET | {"cold_vol_pct": 5}, ALLOCATION, KELLY):
        desk = desk_with(sizing)
        desk.gate.board.views.clear()
        answer = desk.plain(qty=None, order_type=OrderType.MARKET, limit_price=None, terms_price=None)

        assert answer.verdict is Verdict.BLOCK
        assert violations(answer)["PRC-01"] == "CHECK_INPUT_MISSING"


def test_selling_dust_is_no_round_trip() -> None:
    portfolio = desk_with(KELLY).gate.state.portfolio
    held, log, dust = portfolio.positions.setdefault((BTC, "s1"), StrategyPosition()), TripLog(), 9
    held.inventory.qty = 0
    held.follow_trip([log], dust, dust, 500)
    assert log.stats().trips == 0

    held.follow_trip([log], dust, dust + 1, 500)

    assert log.stats().trips == 1


def no_equity(desk: Desk, case: Case) -> None:
    case.equity = 0


def no_day_start(desk: Desk, case: Case) -> None:
    desk.gate.state.portfolio.day_start = 0


def no_snapshot(desk: Desk, case: Case) -> None:
    desk.gate.state.portfolio.snapshot_venues.clear()


def no_stop(desk: Desk, case: Case) -> None:
    assert case.intent is not None
    case.intent = replace(case.intent, protection=ProtectionPlan())


RISK: dict[str, Any] = {"method": "risk_per_trade", "risk_pct": "0.1", "max_risk": 50, "cost_bps": 25}


@pytest.mark.parametrize(
    ("sizing", "take_away"),
    [(ALLOCATION, no_day_start), (ALLOCATION, no_snapshot), (RISK, no_stop), (RISK, no_equity), (KELLY, no_equity)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_method_without_one_of_its_inputs_sizes_nothing_and_says_so(
    sizing: dict[str, Any], take_away: Callable[[Desk, Case], None]
) -> None:
    desk = desk_with(sizing)
    case, _, _ = case_of(desk, lambda d: d.intent(qty=None))
    assert size_entry(case, Decimal(1), frozenset()).qty > 0
    take_away(desk, case)

    assert size_entry(case, Decimal(1), frozenset()) == Sized(0, "SIZING_INPUT_MISSING")


def test_a_method_reads_its_own_keys_and_no_others(tmp_path: Path) -> None:
    for sizing, word in (
        ({"method": "martingale"}, "method"),
        (ALLOCATION | {"budget": 5}, "budget"),
        (KELLY | {"clip_pct": "5.1"}, "clip_pct"),
        (TARGET | {"target_daily_vol_pct": 0}, "target_daily_vol_pct"),
    ):
        with pytest.raises(Exception, match=word):
            make_test_limits(WIDE, sizing=sizing)


def test_the_shipped_numbers_become_ints() -> None:
    limits = load_limits(Path(__file__).resolve().parents[2] / "config" / "limits" / "demo.yaml")

    assert make_sizing(limits.file.sizing).amount == 500 * UNIT
