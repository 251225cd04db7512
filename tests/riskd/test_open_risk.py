"""What positions are worth and lose at their stops: which stop counts, in which asset, and when nobody knows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskd.open_risk import REVALUE_NS, worth
from riskd.strategy_position import StrategyPosition
from tests.riskd.kit import BTC, ETH, Desk
from tests.support.builders import make_instrument
from tradebot.core.intents import ProtectionPlan

UNIT = 10**12
ETH_BTC = "binance:ETH-BTC"


def test_when_the_widest_stop_is_gone_the_next_widest_counts() -> None:
    desk = Desk()
    for stop in ("0.03", "0.01", "0.02"):
        desk.buy("0.001", protection=ProtectionPlan(Decimal(stop)))
    state, books = desk.gate.state, desk.gate.decider.books
    position = state.portfolio.positions[BTC, "s1"]
    risks = []
    for gone in ("", "c1"):
        books.open_risk.unprotect((BTC, "s1"), gone)
        books.open_risk.refresh(state.portfolio.positions, state.rules, desk.gate.board, desk.now_ns)
        risks.append(books.open_risk.at_stops())
    expected = [worth(position, state.rules[BTC], desk.gate.board, ppm) for ppm in (30_000, 20_000)]

    assert risks == [found.risk for found in expected if found is not None]


def test_what_is_quoted_in_another_asset_is_worth_its_ask() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(ETH_BTC, tick="0.00001")))
    desk.quote(BTC, "59000", "60000")
    desk.quote(ETH_BTC, "0.04", "0.05")
    position = StrategyPosition()
    position.inventory.apply(UNIT, -5 * UNIT // 100)
    found = worth(position, desk.gate.state.rules[ETH_BTC], desk.gate.board, 0)

    assert found is not None
    assert found.value == found.risk == 3_000 * UNIT


def test_without_a_good_price_nobody_knows_what_a_position_is_worth() -> None:
    desk = Desk()
    desk.buy("0.001")
    position = desk.gate.state.portfolio.positions[BTC, "s1"]
    view, rule = desk.gate.board.views[BTC], desk.gate.state.rules[BTC]
    assert worth(position, rule, desk.gate.board, 0) is not None
    kept, view.good_ns = view.good_ns, 0
    assert worth(position, rule, desk.gate.board, 0) is None
    view.good_ns, view.good_bid = kept, view.good_ask

    assert worth(position, rule, desk.gate.board, 0) is None


def test_a_rate_of_nothing_values_no_position() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(ETH_BTC, tick="0.00001")))
    desk.quote(ETH_BTC, "0.04", "0.05")
    desk.gate.board.views[BTC].good_ask = 0
    position = StrategyPosition()
    position.inventory.apply(UNIT, -5 * UNIT // 100)

    assert worth(position, desk.gate.state.rules[ETH_BTC], desk.gate.board, 0) is None


@pytest.mark.parametrize(("mark", "risk"), [("58200", 0), ("58200.01", 10**7)])
def test_a_position_at_its_stop_risks_nothing_more(mark: str, risk: int) -> None:
    desk = Desk()
    desk.buy("0.001", protection=ProtectionPlan(Decimal("0.03")))  # its stop is at 58,200
    desk.quote(BTC, "58100", mark)
    found = worth(desk.gate.state.portfolio.positions[BTC, "s1"], desk.gate.state.rules[BTC], desk.gate.board, 30_000)

    assert found is not None
    assert found.risk == risk


@pytest.mark.parametrize(("bid", "risk"), [("60000", 18 * UNIT // 10), ("61800", 0), ("61801", 0)])
def test_what_is_sold_risks_the_way_up_to_its_stop(bid: str, risk: int) -> None:
    desk = Desk()
    desk.quote(BTC, bid, "61900")
    position = StrategyPosition()
    position.inventory.apply(-UNIT // 1000, 60 * UNIT)  # a thousandth at 60,000
    found = worth(position, desk.gate.state.rules[BTC], desk.gate.board, 30_000)  # its stop is at 61,800

    assert found is not None
    assert found.risk == risk


def test_positions_are_valued_anew_a_quarter_of_a_second_later() -> None:
    desk = Desk()
    desk.buy("0.001")
    state, risk, values = desk.gate.state, desk.gate.decider.books.open_risk, []
    risk.refresh(state.portfolio.positions, state.rules, desk.gate.board, desk.now_ns, 0)
    desk.quote(BTC, "61000", "62000")
    for later_ns in (0, REVALUE_NS - 1, REVALUE_NS):
        risk.refresh(state.portfolio.positions, state.rules, desk.gate.board, desk.now_ns + later_ns)
        values.append(risk.value_of("s1"))

    assert values == [60 * UNIT + 10**7, 60 * UNIT + 10**7, 62 * UNIT]
