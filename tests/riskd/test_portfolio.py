"""Positions and PnL against a slow calculator that keeps every lot and its price, and the money in the account."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from riskd import reports
from riskd.portfolio import Portfolio
from riskd.round_trips import TripLog
from riskd.strategy_position import StrategyPosition
from tests.riskd.kit import BTC, ETH, SECOND, Desk
from tests.support.builders import make_instrument
from tests.support.slow_pnl import SlowPosition
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import Liquidity, OrderRole, OrderTerms, OrderType, Side
from tradebot.core.pnl import SPOT, Inventory

ZERO = Decimal(0)


def some_order(desk: Desk, number: int, side: Side) -> OrderFacts:
    terms = OrderTerms(f"x{number}", BTC, side, OrderType.LIMIT, Decimal(100), Decimal(60000))
    return OrderFacts(terms, "s1", f"i{number}", 0, OrderRole.ENTRY, desk.now_ns)


@pytest.mark.parametrize("seed", range(6))
def test_positions_pnl_fees_and_money_agree_with_the_slow_calculator(seed: int) -> None:
    rng = random.Random(seed)
    desk, slow = Desk(usdt="10000000"), SlowPosition()
    for number in range(150):
        side = rng.choice([Side.BUY, Side.SELL]) if number > 5 else Side.BUY
        qty = Decimal(rng.randrange(1, 500)) / 100_000
        price = Decimal(rng.randrange(5_900_000, 6_100_000)) / 100
        in_base, rebate = rng.random() < 0.3, rng.random() < 0.2
        fee = (qty / 1000).quantize(Decimal("1e-10")) if in_base else (qty * price / 1000).quantize(Decimal("1e-8"))
        fee = -fee if rebate else fee
        desk.fill(
            f"x{number}", str(qty), str(price), side=side, complete=False, fee=str(fee),
            fee_asset="BTC" if in_base else "USDT", facts=some_order(desk, number, side),
            liquidity=rng.choice(list(Liquidity)),
        )  # fmt: skip
        slow.fill(side.sign, Fraction(qty), Fraction(price), Fraction(fee), "base" if in_base else "quote")

    held = desk.gate.state.portfolio.positions[BTC, "s1"]
    cent_of_a_cent = Fraction(1, 10**6)
    assert Fraction(held.position.qty) == slow.held
    assert abs(Fraction(held.position.realized_pnl) - slow.realized) < cent_of_a_cent
    assert held.maker_fees + held.taker_fees == held.position.fees_paid
    assert abs(Fraction(held.position.fees_paid) - slow.fees) < cent_of_a_cent
    assert abs(Fraction(held.position.avg_price) - slow.average()) < cent_of_a_cent
    # I14: money in the account = what came in + everything that trading did to it, to the last unit per fill.
    balances = desk.gate.state.portfolio.balances
    assert balances["binance", "BTC"] == slow.money["base"] * 10**12
    assert abs(balances["binance", "USDT"] - (10_000_000 + slow.money["quote"]) * 10**12) <= 150
    # PnL by price equals PnL by money at any mark, exactly: both round the same flows.
    mark = 60123_450000000000
    by_price = held.net + held.inventory.unrealized(SPOT, mark)
    by_money = balances["binance", "USDT"] - 10_000_000 * 10**12 + balances["binance", "BTC"] * mark // 10**12
    assert by_price == by_money


def test_a_flip_closes_first_and_opens_at_the_fill() -> None:
    desk = Desk()
    desk.fill("x1", "0.01", "60000", facts=some_order(desk, 1, Side.BUY), complete=False)
    desk.fill("x2", "0.03", "61000", side=Side.SELL, facts=some_order(desk, 2, Side.SELL), complete=False)
    held = desk.gate.state.portfolio.positions[BTC, "s1"]

    assert held.position.realized_pnl == 10
    assert (held.position.qty, held.position.avg_price) == (Decimal("-0.02"), Decimal(61000))


def test_a_fill_is_booked_once_by_its_exec_id() -> None:
    desk = Desk()
    desk.fill("x1", "0.01", facts=some_order(desk, 1, Side.BUY), complete=False, exec_id="t1")
    desk.fill("x1", "0.01", complete=False, exec_id="t1")

    assert desk.gate.state.portfolio.net[BTC] == 10**10


def test_a_fee_in_a_third_asset_is_converted_by_marks_at_the_fill_and_replays_without_them() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument("binance:BNB-USDT")))
    desk.quote("binance:BNB-USDT", "599.99", "600")
    desk.fill("x1", "0.01", facts=some_order(desk, 1, Side.BUY), complete=False, fee="0.001", fee_asset="BNB")

    assert desk.gate.state.portfolio.positions[BTC, "s1"].taker_fees == Decimal("0.6")
    assert desk.gate.state.portfolio.balances["binance", "BNB"] == -(10**9)
    assert desk.replayed().state.portfolio.positions[BTC, "s1"].taker_fees == Decimal("0.6")


def test_a_fee_without_any_mark_is_kept_apart_and_not_guessed() -> None:
    desk = Desk()
    desk.fill("x1", "0.01", facts=some_order(desk, 1, Side.BUY), complete=False, fee="0.001", fee_asset="BNB")

    assert desk.gate.state.portfolio.positions[BTC, "s1"].taker_fees == 0
    assert desk.gate.state.portfolio.unconverted_fees == {"BNB": Decimal("0.001")}


def test_equity_marks_what_we_own_at_the_bid() -> None:
    desk = Desk()
    desk.account(("USDT", "4000"), ("BTC", "0.1"))
    desk.quote(BTC, "59000", "61000")

    assert desk.gate.equity(desk.now_ns).value == (4000 + 5900) * 10**12


def test_equity_is_a_quarter_of_a_second_old_at_most() -> None:
    desk = Desk()
    desk.account(("USDT", "4000"), ("BTC", "0.1"))
    before = desk.gate.accountant.equity(desk.now_ns).value
    desk.quote(BTC, "59000", "61000")

    assert desk.gate.accountant.equity(desk.now_ns + 250_000_000 - 1).value == before
    assert desk.gate.accountant.equity(desk.now_ns + 250_000_000).value == (4000 + 5900) * 10**12


@pytest.mark.parametrize("start", [0, -1])
def test_a_day_that_began_with_nothing_has_no_rate_of_loss(start: int) -> None:
    portfolio = Portfolio()
    portfolio.settle(19_723, start)

    assert portfolio.day_ppm(5) is None


@pytest.mark.parametrize(("price", "cools"), [("59999.99", True), ("60000.01", False)])
def test_a_loss_that_somebody_else_closes_is_one_of_the_instrument(price: str, cools: bool) -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", strategy_id="manual:ana", limit_price="59999")
    desk.fill(f"c{desk.orders}", "0.01", price, side=Side.SELL)

    assert desk.gate.state.portfolio.units_of(BTC, "s1") == 0
    assert (BTC in desk.gate.state.guards.losing_exits) is cools


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [(10, 0, False), (11, 0, True), (11, 10, True), (21, 11, False), (11, -5, True), (11, -11, True), (-11, -10, True)],
)
def test_a_round_trip_ends_with_what_is_left_too_small_to_sell(before: int, after: int, ended: bool) -> None:
    log, held = TripLog(), StrategyPosition(inventory=Inventory(before, -before))
    held.inventory.apply(after - before, before - after)
    held.follow_trip([log], 10, before, abs(after - before))

    assert bool(log.returns_ppm) is ended


@pytest.mark.parametrize(("before", "after", "entered"), [(30, -11, 11), (30, -10, 0), (5, -5, 7), (5, 6, 8)])
def test_what_a_flip_enters_counts_when_it_can_be_sold(before: int, after: int, entered: int) -> None:
    held = StrategyPosition(inventory=Inventory(before, -before), trip_entered=7)
    held.inventory.apply(after - before, before - after)
    held.follow_trip([], 10, before, abs(after - before))

    assert held.trip_entered == entered


def test_an_asset_that_no_market_values_is_worth_nothing_and_counts_as_stale() -> None:
    desk = Desk()
    desk.account(("USDT", "4000"), ("SHIB", "1000000"))
    equity = desk.gate.equity(desk.now_ns + SECOND)

    assert (equity.value, equity.stale_inputs, equity.complete) == (4000 * 10**12, 1, True)


def test_an_asset_whose_market_never_spoke_leaves_equity_unknown() -> None:
    desk = Desk(connect=False)
    desk.hello()
    desk.quote(BTC, "59999.99", "60000.01")
    desk.account(("USDT", "4000"), ("ETH", "1"))
    desk.venue()

    assert desk.gate.equity(desk.now_ns).complete is False
    assert desk.plain(qty="0.001").reason == "CHECK_INPUT_MISSING"


def test_the_day_rolls_at_midnight_utc() -> None:
    desk = Desk()
    desk.wait(1)
    desk.buy("0.01")
    day, turnover = desk.gate.state.portfolio.day, desk.gate.state.portfolio.turnover
    desk.wait(2 * 3600)

    assert turnover == 600
    assert desk.gate.state.portfolio.day == day + 1
    assert desk.gate.state.portfolio.turnover == 0


def test_reports_show_positions_and_pnl_as_the_books_have_them() -> None:
    desk = Desk()
    desk.wait(1)
    desk.plain(qty="0.01")
    desk.fill("c1", "0.01", "60000", fee="0.6", liquidity=Liquidity.MAKER)
    desk.quote(BTC, "60500", "60500.02")
    (position,) = reports.positions(desk.gate, desk.now_ns)
    pnl = reports.pnl(desk.gate, desk.now_ns)

    assert (position.qty, position.mark, position.unrealized_pnl) == (Decimal("0.01"), Decimal(60500), Decimal(5))
    assert (position.maker_fees, position.taker_fees) == (Decimal("0.6"), ZERO)
    assert position.limit_used_pct == pytest.approx(100 * 605 / (0.25 * 10004.4))
    assert (pnl.unrealized_pnl, pnl.maker_fees, pnl.gross) == (Decimal(5), Decimal("0.6"), Decimal(605))
    assert pnl.equity == Decimal("10004.4")
    assert pnl.day_pnl == Decimal("4.4")
    assert pnl.strategies["s1"].open_positions == 1
