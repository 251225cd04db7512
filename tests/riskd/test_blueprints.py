"""The two blueprints' guards at their own numbers, in a gate that runs the shipped profile."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.riskd.kit import BTC, ETH, SECOND, Desk
from tests.riskd.test_profiles import ADA, EUR, bitvavo_desk, shipped
from tests.riskd.test_soft_caps import sell
from tradebot.core.approvals import ReduceCommand
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule
from tradebot.core.orders import OrderRole, Side

DAY = 86_400
MIN = 60
MIDNIGHT_NS = 19_723 * DAY * SECOND
TRADERS = ("breakout_atr", "manual:ana")


def intraday(usdt: str = "5000") -> Desk:
    """A desk of the intraday profile at 00:00 UTC."""
    desk = Desk(limits=shipped("intraday"), usdt=usdt, now_ns=MIDNIGHT_NS)
    desk.wait(1)
    return desk


def bitvavo() -> Desk:
    """A desk of the Bitvavo profile at 00:00 UTC, with 100 EUR."""
    return bitvavo_desk(now_ns=MIDNIGHT_NS)


def worth(desk: Desk, cash: str) -> None:
    """Leave this much cash, as if fills had done it."""
    key = next(iter(desk.gate.state.portfolio.balances))
    desk.gate.state.portfolio.balances[key] = int(Decimal(cash) * 10**12)
    desk.gate.accountant.forget_equity()
    desk.wait(1)


def causes(desk: Desk) -> set[str]:
    return {hold.cause for hold in desk.gate.state.holds.holds.values()}


def hold_of(desk: Desk, cause: str) -> Hold:
    hold = desk.gate.state.holds.find(cause, SYSTEM_SCOPE)
    assert hold is not None, causes(desk)
    return hold


def move(desk: Desk, **bids: str) -> list[ReduceCommand]:
    for name, instrument_id in (("btc", BTC), ("eth", ETH)):
        if name in bids:
            desk.quote(instrument_id, bids[name], str(Decimal(bids[name]) + Decimal("0.01")))
    desk.gate.accountant.forget_equity()
    return list(desk.wait(1).reduces)


def wait(desk: Desk, seconds: int) -> list[ReduceCommand]:
    return [command for _ in range(seconds) for command in desk.wait(1).reduces]


# ---- intraday: 150 a day, 3 % from the day's high, 4 losses


@pytest.mark.parametrize(("equity", "halts"), [("5850.01", False), ("5850", True), ("5849.99", True)])
def test_intraday_a_day_that_lost_150_is_over(equity: str, halts: bool) -> None:
    desk = intraday("6000")  # 3 % would be 180
    worth(desk, equity)

    assert ("PNL-02" in causes(desk), desk.levels()) == (halts, "HALTED" if halts else "PAUSED")
    if halts:
        assert hold_of(desk, "PNL-02").evidence == "day loss at 150 or more"
        assert hold_of(desk, "PNL-02").clear_after_ns == MIDNIGHT_NS + DAY * SECOND


@pytest.mark.parametrize(("equity", "level"), [("5141.01", "RUNNING"), ("5141", "HALTED"), ("5140", "HALTED")])
def test_intraday_a_fall_of_3_percent_from_the_days_high_ends_it_even_in_profit(equity: str, level: str) -> None:
    desk = intraday()
    worth(desk, "5300")
    worth(desk, equity)

    assert desk.levels() == level
    if level == "HALTED":
        assert hold_of(desk, "PNL-02").evidence.endswith("% from the day's high")


def test_intraday_the_day_halt_closes_all_that_is_open_and_survives_a_kill() -> None:
    desk = intraday()
    desk.buy("0.005", strategy_id="breakout_atr")
    desk.wait(1)
    desk.buy("0.1", "3000", instrument_id=ETH, strategy_id="manual:ana")
    desk.wait(1)
    assert not desk.gate.state.flattens
    desk.gate.state.portfolio.balances["binance", "USDT"] -= 151 * 10**12
    desk.gate.accountant.forget_equity()
    desk.wait(1)

    assert desk.levels() == "HALTED"
    assert sorted(job.instrument_id for job in desk.gate.state.flattens.values()) == [BTC, ETH]
    again = desk.replayed()
    assert again.state.holds.holds == desk.gate.state.holds.holds
    assert again.state.flattens == desk.gate.state.flattens


def round_trip(desk: Desk, price: str, strategy_id: str) -> None:
    """Buy 0.001 at 60,000 and sell at a price."""
    desk.buy("0.001", strategy_id=strategy_id)
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price=price, strategy_id=strategy_id)
    assert answer.approval is not None, answer
    desk.fill(f"c{desk.orders}", "0.001", price, side=Side.SELL)
    desk.wait(1)


def test_intraday_four_losing_round_trips_in_a_row_halt_whoever_made_them() -> None:
    desk = intraday()
    for number, price in enumerate(("59990", "59990", "59990", "60010", "59990", "59990", "59990")):
        round_trip(desk, price, TRADERS[number % 2])
        assert desk.levels() == "RUNNING"
    round_trip(desk, "59990", TRADERS[0])

    assert (desk.levels(), causes(desk)) == ("HALTED", {"PNL-06"})
    assert hold_of(desk, "PNL-06").release is ReleaseRule.ONE_KEY
    assert desk.replayed().state.digest() == desk.gate.state.digest()


# ---- intraday: 500 a symbol and 1,000 in the pair, 15 % more for 300 s


def test_intraday_a_symbol_above_500_is_closed_down_after_300_s() -> None:
    desk = intraday()
    desk.buy("0.008", strategy_id="breakout_atr")
    assert move(desk, btc="62500") == []
    assert causes(desk) == set()  # 500 at the bid
    assert move(desk, btc="62500.01") == []
    assert causes(desk) == {"POS-02"}
    assert desk.gate.state.holds.level_for("binance", ETH, "breakout_atr").name == "RUNNING"
    assert wait(desk, 298) == []
    found = wait(desk, 2)
    sold = Decimal(0)
    for _ in range(40):
        if not found:
            break
        sell(desk, found[0], "62500.01")
        sold += found[0].qty
        found = wait(desk, 16)

    assert Decimal(440) < (Decimal("0.008") - sold) * Decimal("62500.01") <= Decimal(451)
    assert causes(desk) == set()


@pytest.mark.parametrize(("price", "at_once"), [("71875", False), ("71875.01", True)])
def test_intraday_a_symbol_above_575_is_closed_down_at_once(price: str, at_once: bool) -> None:
    desk = intraday()
    desk.buy("0.008", strategy_id="breakout_atr")
    found = move(desk, btc=price)

    assert causes(desk) == {"POS-02"}
    assert [command.instrument_id for command in found] == ([BTC] if at_once else [])


def test_intraday_bitcoin_and_ether_are_one_cluster_of_at_most_1000() -> None:
    desk = intraday()
    desk.buy("0.008", strategy_id="breakout_atr")
    desk.wait(1)
    desk.buy("0.16", "3000", instrument_id=ETH, strategy_id="breakout_atr")
    move(desk, btc="62500", eth="3125")
    assert desk.gate.state.clusters == ((BTC, ETH),)
    assert causes(desk) == set()
    move(desk, btc="62000", eth="3150.01")  # 496 and 504.0016: bitcoin's own cap is kept
    level = {h.scope.name: h.cause for h in desk.gate.state.holds.holds.values() if h.cause == "POS-07"}

    assert level == {BTC: "POS-07", ETH: "POS-07"}
    assert desk.gate.state.holds.level_for("binance", BTC, "breakout_atr").name == "REDUCE_ONLY"


# ---- bitvavo: -2 % at mid pauses until the day is above it, +5 % is enough


@pytest.mark.parametrize(("equity", "level"), [("98.01", "RUNNING"), ("98", "PAUSED"), ("97.5", "PAUSED")])
def test_bitvavo_pauses_at_2_percent(equity: str, level: str) -> None:
    desk = bitvavo()
    worth(desk, equity)

    assert desk.levels() == level
    if level == "PAUSED":
        assert hold_of(desk, "PNL-01").until_ns == desk.now_ns + 60 * MIN * SECOND


@pytest.mark.parametrize(("bid", "ask", "level"), [("46000", "50001", "RUNNING"), ("47000", "49000", "PAUSED")])
def test_bitvavo_marks_its_day_at_the_mid(bid: str, ask: str, level: str) -> None:
    desk = bitvavo()
    desk.earned(("EUR", "50"), ("BTC", "0.001"))
    desk.wait(DAY)  # at 50,000 both together are 100
    desk.quote(ADA, "0.49999", "0.50001")
    desk.quote(EUR, bid, ask)  # 98.0005 and 98
    desk.gate.accountant.forget_equity()
    desk.wait(1)

    assert desk.levels() == level


def test_bitvavo_goes_on_at_half_size_only_when_the_hour_is_over_and_the_day_is_above_2_percent() -> None:
    desk = bitvavo()
    worth(desk, "98")
    desk.wait(61 * MIN)
    assert desk.levels() == "PAUSED"
    worth(desk, "98")
    assert desk.levels() == "PAUSED"
    worth(desk, "98.01")
    assert desk.levels() == "CAUTIOUS"
    desk.wait(31 * MIN)
    assert desk.levels() == "RUNNING"


def test_bitvavo_a_day_that_recovered_in_time_goes_on_after_the_hour_and_not_before() -> None:
    desk = bitvavo()
    worth(desk, "98")
    worth(desk, "99")
    desk.wait(59 * MIN)
    assert desk.levels() == "PAUSED"
    desk.wait(1 * MIN)
    assert desk.levels() == "CAUTIOUS"


@pytest.mark.parametrize(("equity", "level"), [("104.99", "RUNNING"), ("105", "CAUTIOUS"), ("106", "CAUTIOUS")])
def test_bitvavo_a_day_that_earned_5_percent_goes_on_at_half_size_until_midnight(equity: str, level: str) -> None:
    desk = bitvavo()
    worth(desk, equity)

    assert desk.levels() == level
    if level == "CAUTIOUS":
        assert hold_of(desk, "DAY_TARGET").until_ns == MIDNIGHT_NS + DAY * SECOND
        assert desk.replayed().state.holds.holds == desk.gate.state.holds.holds
        desk.wait(DAY)
        assert desk.levels() == "RUNNING"
