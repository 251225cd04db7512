"""The holds that conduct raises, what of it survives a restart, and the sums behind it against slow ones."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskd.open_risk import stop_ppm, worth
from riskd.windows import WindowCount
from tests.riskd.edges.conduct_edges import chatty, refused_often, repeating
from tests.riskd.edges.kit import limited
from tests.riskd.kit import BTC, ETH, FILLS, MARKET, SECOND, Desk, make_test_limits, violations
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import Hold, ReleaseRule, ScopeKind, TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import OrderEventKind, OrderRole, Side

MIN = 60


def hold_of(desk: Desk, cause: str) -> Hold | None:
    return next((hold for hold in desk.gate.state.holds.listed() if hold.cause == cause), None)


# ---- holds


def jump(price: str) -> Desk:
    desk = Desk(limits=make_test_limits({"MKT-07": MARKET["MKT-07"]}))
    desk.wait(1)
    desk.quote(BTC, price, str(Decimal(price) + Decimal("0.02")))
    desk.wait(1)
    return desk


@pytest.mark.parametrize(("price", "held"), [("61799.99", False), ("61800", True), ("58199.98", True)])
def test_a_price_that_jumps_stops_its_instrument_for_five_minutes(price: str, held: bool) -> None:
    desk = jump(price)
    hold = hold_of(desk, "MKT-07")

    assert (hold is not None) is held
    if hold is None:
        return
    assert (hold.level, hold.scope.name, hold.release) == (TradingLevel.REDUCE_ONLY, BTC, ReleaseRule.TIMED)
    assert "limit 3.00 %" in hold.evidence
    assert desk.plain(instrument_id=ETH, qty="0.01", limit_price="3000").approval is not None
    for _ in range(5 * MIN - 1):
        desk.wait(1)
    assert violations(desk.plain(limit_price=price, qty="0.001"))["STA-01"] == "TRADING_REDUCE_ONLY"
    desk.wait(1)
    assert hold_of(desk, "MKT-07") is None
    assert desk.plain(limit_price=price, qty="0.001").approval is not None


def test_a_jump_never_stops_an_exit() -> None:
    desk = Desk(limits=make_test_limits({"MKT-07": MARKET["MKT-07"]}))
    desk.wait(1)
    desk.buy("0.01")
    desk.quote(BTC, "58000", "58000.02")
    desk.wait(1)

    assert hold_of(desk, "MKT-07") is not None
    assert desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", limit_price="58000").approval is not None


def test_orders_without_trades_make_the_strategy_cautious_for_half_an_hour() -> None:
    desk = limited("RAT-04", max_ratio=3, min_orders=2)
    for _ in range(4):
        desk.plain(qty="0.0001")
        desk.event(f"c{desk.orders}", OrderEventKind.EXPIRED)
    desk.wait(1)
    hold = hold_of(desk, "RAT-04")

    assert hold is not None
    assert (hold.level, hold.scope.kind, hold.scope.name) == (TradingLevel.CAUTIOUS, ScopeKind.STRATEGY, "s1")
    assert hold.evidence == "4 orders and 0 trades within an hour, limit 3 to 1"
    assert hold.until_ns - hold.raised_ns == 30 * MIN * SECOND
    assert chatty(2, 1).soft_hits == ()


@pytest.mark.parametrize(
    ("orders", "trades", "least", "held"),
    [(3, 1, 2, False), (4, 1, 2, True), (6, 2, 2, False), (7, 2, 2, True), (7, 0, 8, False), (8, 0, 8, True)],
)
def test_a_strategy_is_cautious_above_its_orders_per_trade_when_they_are_enough_to_tell(
    orders: int, trades: int, least: int, held: bool
) -> None:
    desk = limited("RAT-04", max_ratio=3, min_orders=least)
    for number in range(orders):
        desk.plain(qty="0.0001")
        if number < trades:
            desk.fill(f"c{desk.orders}", "0.0001")
        else:
            desk.event(f"c{desk.orders}", OrderEventKind.EXPIRED)
    desk.wait(1)

    assert (hold_of(desk, "RAT-04") is not None) is held


@pytest.mark.parametrize(("times", "scopes"), [(2, []), (3, ["s1"]), (5, ["binance", "s1"])])
def test_orders_that_the_venue_refuses_pause_the_strategy_and_then_the_venue(times: int, scopes: list[str]) -> None:
    desk = limited("RAT-05", strategy_per_minute=2, venue_per_minute=4, pause_min=10)
    for number in range(times):
        desk.plain(qty="0.001", strategy_id="s1" if number < 3 else "s2")
        desk.event(f"c{desk.orders}", OrderEventKind.SENT)
        desk.event(f"c{desk.orders}", OrderEventKind.REJECTED)
    desk.wait(1)
    found = [hold for hold in desk.gate.state.holds.listed() if hold.cause == "RAT-05"]

    assert sorted(hold.scope.name for hold in found) == scopes
    kinds = {"s1": ScopeKind.STRATEGY, "binance": ScopeKind.VENUE}
    assert all(hold.scope.kind is kinds[hold.scope.name] for hold in found)
    assert all(hold.level is TradingLevel.PAUSED for hold in found)
    assert all(hold.until_ns - hold.raised_ns == 10 * MIN * SECOND for hold in found)
    assert violations(refused_often(3))["RAT-05"] == "REJECT_RATE"


def test_a_strategy_that_repeats_itself_is_halted_until_a_person_has_looked_whatever_restarts() -> None:
    desk = repeating(3)
    desk.wait(1)
    hold = hold_of(desk, "RAT-06")
    assert hold is not None
    assert (hold.level, hold.scope.name, hold.release) == (TradingLevel.HALTED, "s1", ReleaseRule.ONE_KEY)
    desk.wait(3600)
    again = desk.replayed()

    assert again.state.holds.holds == desk.gate.state.holds.holds
    assert violations(desk.plain(qty="0.001")) == {"STA-01": "TRADING_HALTED"}


def test_a_book_that_is_lost_is_no_jump() -> None:
    desk = Desk(limits=make_test_limits({"MKT-07": MARKET["MKT-07"]}))
    desk.wait(1)
    desk.quote(BTC, None, None, BookState.GAP)
    desk.wait(1)

    assert hold_of(desk, "MKT-07") is None


@pytest.mark.parametrize(("after_s", "held"), [(150, True), (300, False)])
def test_entries_count_as_repeated_for_the_whole_window(after_s: float, held: bool) -> None:
    desk = repeating(3, after_s)
    desk.wait(1)

    assert (hold_of(desk, "RAT-06") is not None) is held


@pytest.mark.parametrize(("times", "held"), [(4, False), (5, True)])
def test_a_strategy_is_halted_at_the_most_entries_of_a_day_however_slow_they_come(times: int, held: bool) -> None:
    desk = repeating(times, 700)
    desk.wait(1)

    assert (hold_of(desk, "RAT-06") is not None) is held


@pytest.mark.parametrize(("times", "after_s", "numbers"), [(3, 0, ("3", "4")), (5, 700, ("5", "6"))])
def test_a_repeated_entry_is_told_which_one_it_would_be(times: int, after_s: float, numbers: tuple[str, str]) -> None:
    (repeated,) = repeating(times, after_s).plain(qty="0.001").violations

    assert (repeated.limit, repeated.measured) == numbers


def test_what_was_counted_before_a_kill_counts_after_it() -> None:
    desk = repeating(2, max_entries=3)
    again = desk.replayed()
    key = ("s1", BTC, 1)

    assert again.state.flow.repeated(key, 10 * MIN * SECOND, desk.now_ns) == (2, 2)
    assert (again.state.flow.orders_of("s1", desk.now_ns), again.state.flow.trades_of("s1", desk.now_ns)) == (2, 0)
    assert again.state.flow.digest() == desk.gate.state.flow.digest()
    assert again.state.digest() == desk.gate.state.digest()


def test_a_kill_between_the_last_entry_and_the_hold_still_halts() -> None:
    desk = repeating(3)
    assert hold_of(desk, "RAT-06") is None
    desk.gate = desk.replayed()
    desk.gate.start("life2", desk.now_ns)
    desk.gate.handle_timer(desk.now_ns)

    assert hold_of(desk, "RAT-06") is not None


# ---- sums


@given(st.lists(st.integers(0, 300), min_size=1, max_size=200), st.integers(1, 120))
def test_a_window_counts_what_happened_in_it_and_at_most_a_bucket_more(gaps: list[int], window: int) -> None:
    count, times, now = WindowCount(10, 120), list[int](), 1_000
    for gap in gaps:
        now += gap
        count.add(now)
        times.append(now)
        inside = sum(1 for at in times if at > now - window)
        with_bucket = sum(1 for at in times if at > now - window - 10)

        assert inside <= count.count(now, window) <= with_bucket


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_the_sums_equal_those_made_anew_after_any_trading(seed: int) -> None:
    rng, desk = random.Random(seed), Desk()
    state, books = desk.gate.state, desk.gate.decider.books
    for _ in range(30):
        instrument_id, price = rng.choice([(BTC, "60000"), (ETH, "3000")])
        strategy_id = rng.choice(["s1", "manual:ana"])
        held = state.portfolio.units_of(instrument_id, strategy_id)
        plan = ProtectionPlan(rng.choice([None, Decimal("0.01"), Decimal("0.02")]))
        if held and rng.random() < 0.5:
            qty = str(Decimal(held) / 10**12)
            desk.plain(
                instrument_id=instrument_id, role=OrderRole.EXIT, side=Side.SELL, qty=qty, strategy_id=strategy_id,
                limit_price=price,
            )  # fmt: skip
            if rng.random() < 0.8:
                desk.fill(f"c{desk.orders}", qty, price, side=Side.SELL, instrument_id=instrument_id)
        else:
            answer = desk.plain(
                instrument_id=instrument_id, qty="0.001", limit_price=price, strategy_id=strategy_id, protection=plan
            )
            if answer.approval is not None and rng.random() < 0.7:
                desk.fill(f"c{desk.orders}", "0.001", price, instrument_id=instrument_id)
        if rng.random() < 0.3:
            desk.quote(BTC, "60100", "60100.01")
            desk.wait(rng.choice([0.1, 1]))
        books.open_risk.refresh(state.portfolio.positions, state.rules, desk.gate.board, desk.now_ns)
    desk.wait(1)
    books.open_risk.refresh(state.portfolio.positions, state.rules, desk.gate.board, desk.now_ns)
    fresh = state.commitments.recount(state.rules)
    values: dict[str, int] = {}
    risk = 0
    for (instrument_id, strategy_id), position in state.portfolio.positions.items():
        stops = [
            grant.stop_loss_fraction
            for grant in state.grants
            if (grant.instrument_id, grant.strategy_id) == (instrument_id, strategy_id)
        ]
        widest = max((int((stop or 1) * 10**6) for stop in stops), default=0)
        found = worth(position, state.rules[instrument_id], desk.gate.board, widest)
        assert found is not None
        values[strategy_id] = values.get(strategy_id, 0) + (found.value if position.units else 0)
        risk += found.risk if position.units else 0

    assert {name: books.open_risk.value_of(name) for name in values} == values
    assert books.open_risk.at_stops() == risk
    assert {k: v for k, v in fresh.entry_risk.items() if v} == {
        k: v for k, v in state.commitments.entry_risk.items() if v
    }
    assert {k: v for k, v in fresh.strategy_entries.items() if v} == {
        k: v for k, v in state.commitments.strategy_entries.items() if v
    }
    assert desk.replayed().state.digest() == state.digest()


@pytest.mark.parametrize(("stop", "ppm"), [("0.005", 5_000), ("0.0050001", 5_001), ("1.5", 1_000_000)])
def test_a_stop_is_rounded_to_the_wider_side_and_never_loses_more_than_everything(stop: str, ppm: int) -> None:
    assert stop_ppm(Decimal(stop)) == ppm


# ---- after the trade


@pytest.mark.parametrize(
    ("side", "price", "halted"),
    [(Side.BUY, "60000", False), (Side.BUY, "59999", False), (Side.BUY, "60000.01", True),
     (Side.SELL, "60000", False), (Side.SELL, "60001", False), (Side.SELL, "59999.99", True)],
)  # fmt: skip
def test_a_fill_beyond_its_limit_halts_the_instrument(side: Side, price: str, halted: bool) -> None:
    desk = Desk(limits=make_test_limits(FILLS))
    desk.account(("USDT", "10000"), ("BTC", "1"))
    desk.plain(side=side, qty="0.001", limit_price="60000")
    desk.fill("c1", "0.001", price, side=side)
    hold = hold_of(desk, "FILL_ANOMALY")

    assert (hold is not None) is halted
    assert hold is None or (hold.scope.name, hold.level) == (BTC, TradingLevel.HALTED)


def test_a_fill_on_the_other_side_halts_the_instrument() -> None:
    desk = Desk(limits=make_test_limits(FILLS))
    desk.plain(qty="0.001")
    desk.fill("c1", "0.001", side=Side.SELL)
    hold = hold_of(desk, "FILL_ANOMALY")

    assert hold is not None
    assert hold.evidence == f"order c1: BUY {BTC} was filled as SELL {BTC}"


def acknowledged(times: int, took_ms: float, **changes: int) -> Desk:
    """A desk whose venue took so long to acknowledge each of so many orders."""
    desk = limited("PTR-09", **{"max_p99_ms": 100, "min_orders": 3, "cautious_min": 5} | changes)
    for _ in range(times):
        desk.plain(qty="0.0001")
        desk.now_ns += int(took_ms * 1_000_000)
        desk.event(f"c{desk.orders}", OrderEventKind.SENT)
        desk.event(f"c{desk.orders}", OrderEventKind.ACCEPTED)
    desk.wait(1)
    return desk


@pytest.mark.parametrize(
    ("times", "took_ms", "held"), [(3, 100, False), (3, 100.001, True), (2, 500, False), (4, 500, True)]
)
def test_a_venue_that_acknowledges_late_makes_everything_cautious(times: int, took_ms: float, held: bool) -> None:
    desk = acknowledged(times, took_ms)
    hold = hold_of(desk, "PTR-09")

    assert (hold is not None) is held
    assert desk.levels() == ("CAUTIOUS" if held else "RUNNING")
    assert hold is None or hold.until_ns - hold.raised_ns == 5 * MIN * SECOND


def test_an_order_is_acknowledged_once() -> None:
    desk = acknowledged(2, 10)
    desk.now_ns += 50 * SECOND
    desk.event("c1", OrderEventKind.ACCEPTED)
    desk.event("c2", OrderEventKind.ACCEPTED)
    desk.wait(1)

    assert len(desk.gate.state.flow.latencies) == 2
    assert hold_of(desk, "PTR-09") is None


def paying(*prices: str, bid: str = "59999", ask: str = "60001", side: Side = Side.BUY) -> Desk:
    """A desk whose entries filled at these prices; the mid is 60,000, half the spread 1, 5 bps of it 30."""
    desk = Desk(limits=make_test_limits({"PNL-08": FILLS["PNL-08"]}))
    desk.account(("USDT", "10000"), ("BTC", "1"))
    desk.quote(BTC, bid, ask)
    for price in prices:
        desk.plain(side=side, qty="0.001", limit_price="60000")
        desk.fill(f"c{desk.orders}", "0.001", price, side=side)
    desk.wait(1)
    return desk


@pytest.mark.parametrize(
    ("prices", "side", "held"),
    [
        (("60090", "60090"), Side.BUY, False),  # 90 of 30 is three times
        (("60090", "60090.01"), Side.BUY, True),
        (("60180.01", "60000"), Side.BUY, True),
        (("60500",), Side.BUY, False),
        (("59910", "59910"), Side.SELL, False),
        (("59910", "59909.99"), Side.SELL, True),
        (("60500", "60500"), Side.SELL, False),
        (("60500", "60000", "60000"), Side.BUY, False),
    ],
)
def test_entries_that_pay_too_much_make_their_strategy_cautious(
    prices: tuple[str, ...], side: Side, held: bool
) -> None:
    hold = hold_of(paying(*prices, side=side), "PNL-08")

    assert (hold is not None) is held
    assert hold is None or (hold.level, hold.scope.name) == (TradingLevel.CAUTIOUS, "s1")


def test_the_hold_of_a_costly_strategy_says_how_much_it_paid_and_lasts_half_an_hour() -> None:
    hold = hold_of(paying("60090", "60090.01"), "PNL-08")

    assert hold is not None
    assert hold.evidence == "2 entries paid 3.1 times the slippage that was expected, limit 3"
    assert hold.until_ns - hold.raised_ns == 30 * MIN * SECOND


def test_a_wide_spread_expects_more() -> None:
    assert hold_of(paying("60300", "60300", bid="59900", ask="60100"), "PNL-08") is None
    assert hold_of(paying("60300", "60300.01", bid="59900", ask="60100"), "PNL-08") is not None


def test_what_fills_paid_is_remembered_over_a_kill_and_exits_do_not_count() -> None:
    desk = paying("60090", "60090.01")
    again = desk.replayed()
    assert again.state.flow.slippage("s1", 2, 500) == desk.gate.state.flow.slippage("s1", 2, 500)
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001")
    desk.fill(f"c{desk.orders}", "0.001", "50000", side=Side.SELL)

    assert len(desk.gate.state.flow.fills["s1"]) == 2


def test_a_market_counts_as_watched_with_a_good_book_and_enough_samples() -> None:
    desk = Desk()
    needed = 3
    counted = [desk.gate.board.watched(needed)]
    for _ in range(4):
        desk.wait(1)
        counted.append(desk.gate.board.watched(needed))
    desk.quote(BTC, None, None, BookState.GAP)

    assert counted[0] == 0
    assert counted[-1] == len(desk.gate.board.views)
    assert desk.gate.board.watched(needed) == counted[-1] - 1
    assert desk.gate.board.watched(0) == counted[-1] - 1
