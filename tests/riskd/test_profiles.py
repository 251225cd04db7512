"""Profiles: the blueprints' numbers, that each shipped one can trade, and that one at odds with itself is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskd.limits import Limits, make_limits, profile_numbers, venue_contradictions
from riskd.profiles import below_venue_rules
from tests.riskd.kit import BTC, ETH, ROOT, START_NS, Desk, limits_tree, violations
from tests.support.builders import make_instrument
from tradebot.core.approvals import Verdict
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Product
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, OrderType, Side

Tree = dict[str, Any]
EUR = "bitvavo:BTC-EUR"
ADA = "bitvavo:ADA-EUR"


def shipped(name: str) -> Limits:
    return make_limits(limits_tree(name), ROOT / "config" / "limits" / f"{name}.yaml", name)


def bitvavo_desk(eur: str = "100", now_ns: int = START_NS) -> Desk:
    desk = Desk(
        limits=shipped("bitvavo"),
        now_ns=now_ns,
        instruments=(
            make_instrument(EUR, tick="1", lot="0.00000001", min_qty="0.00000001", min_notional="5"),
            make_instrument(ADA, tick="0.00001", lot="0.000001", min_qty="0.000001", min_notional="5"),
        ),
        connect=False,
        venue_name="bitvavo",
    )
    desk.hello()
    desk.quote(EUR, "49999", "50001")
    desk.quote(ADA, "0.49999", "0.50001")
    desk.account(("EUR", eur))
    desk.venue()
    desk.wait(1)
    return desk


# ---- the blueprints


def test_the_intraday_blueprint_has_its_numbers() -> None:
    limits = shipped("intraday")
    sizing, checks = limits.file.sizing.model_dump(), limits.checks
    position, gross = checks["POS-02"].model_dump(), checks["POS-04"].model_dump()

    assert (sizing["budget"], sizing["per_symbol_cap"], sizing["total_cap"]) == (1000, 500, 1500)
    assert (position["soft_notional"], position["max_notional"]) == (500, 500 * Decimal("1.15"))
    assert (gross["soft_notional"], gross["max_notional"]) == (1500, 1500 * Decimal("1.15"))


def test_the_bitvavo_blueprint_has_its_numbers() -> None:
    limits = shipped("bitvavo")
    sizing, checks = limits.file.sizing.model_dump(), limits.checks
    loss = checks["PNL-01"].model_dump()

    assert (limits.file.currency, limits.file.start_capital, limits.file.day_mark) == ("EUR", Decimal(100), "mid")
    assert (sizing["max_open_trades"], sizing["max_per_trade"], sizing["daily_allocation_pct"]) == (3, 25, 100)
    assert checks["POS-03"].model_dump()["max_positions"] == 3
    assert (loss["pause_at_pct"], loss["pause_min"], loss["cautious_min"]) == (-2, 60, 30)
    assert checks["POS-01"].model_dump()["taker_fee_bps"] == 25


# ---- each can trade: in and out, and at half size


@pytest.mark.parametrize("level", [None, TradingLevel.CAUTIOUS])
def test_the_intraday_profile_can_trade_both_its_symbols(level: TradingLevel | None) -> None:
    desk = Desk(limits=shipped("intraday"), usdt="5000")
    desk.wait(1)
    if level is not None:
        hold(desk, level)
    for instrument_id, price in ((BTC, "60000"), (ETH, "3000")):
        answer = desk.plain(
            strategy_id="breakout_atr", instrument_id=instrument_id, qty=None, order_type=OrderType.MARKET,
            limit_price=None,
        )  # fmt: skip
        assert answer.approved_qty is not None, answer
        assert 195 < answer.approved_qty * Decimal(price) <= (400 if level is None else 200)
        desk.fill(f"c{desk.orders}", str(answer.approved_qty), price, instrument_id=instrument_id)
        out = desk.plain(
            strategy_id="breakout_atr", instrument_id=instrument_id, role=OrderRole.EXIT, side=Side.SELL, qty=None,
            limit_price=price,
        )  # fmt: skip
        assert out.approved_qty == answer.approved_qty, out


def test_the_intraday_profile_stops_at_500_a_symbol_softly_and_at_575_hard() -> None:
    desk = Desk(limits=shipped("intraday"), usdt="5000")
    desk.wait(1)
    desk.buy("0.008", "60000", strategy_id="breakout_atr")  # 480

    assert desk.plain(strategy_id="breakout_atr", qty="0.0003").verdict is Verdict.ALLOW  # 498
    soft = desk.plain(strategy_id="breakout_atr", qty="0.001")
    assert (soft.verdict, [hit.check_id for hit in soft.soft_hits]) == (Verdict.SOFT_ALLOW, ["POS-02"])
    assert violations(desk.plain(strategy_id="breakout_atr", qty="0.0005"))["POS-02"] == "POSITION_LIMIT"


@pytest.mark.parametrize(("level", "worth"), [(None, Decimal(25)), (TradingLevel.CAUTIOUS, Decimal("12.5"))])
def test_the_bitvavo_profile_can_trade_25_eur_and_half_of_it(level: TradingLevel | None, worth: Decimal) -> None:
    desk = bitvavo_desk()
    if level is not None:
        hold(desk, level)
    for instrument_id, price in ((EUR, "50000"), (ADA, "0.5")):
        answer = desk.plain(strategy_id="mom_micro", instrument_id=instrument_id, qty=None, limit_price=price)
        assert answer.approved_qty is not None, answer
        # The second one is a third of what is free by then: (100 - 25 - 0.06) / 3 = 24.98.
        assert worth - Decimal("0.03") < answer.approved_qty * Decimal(price) <= worth
        desk.fill(
            f"c{desk.orders}", str(answer.approved_qty), price, instrument_id=instrument_id, fee="0.06", fee_asset="EUR"
        )
        out = desk.plain(
            strategy_id="mom_micro", instrument_id=instrument_id, role=OrderRole.EXIT, side=Side.SELL, qty=None,
            limit_price=price,
        )  # fmt: skip
        assert out.approved_qty == answer.approved_qty, out


@pytest.mark.parametrize("stop", ["0.002", "0.05"])
def test_the_bitvavo_profile_can_trade_its_smallest_size_with_any_stop_that_it_allows(stop: str) -> None:
    desk = bitvavo_desk()
    log = desk.gate.state.portfolio.trips["mom_micro"]
    for _ in range(30):
        log.add(-1, 10_000)
    hold(desk, TradingLevel.CAUTIOUS)
    desk.wait(3600)
    desk.quote(EUR, "49999", "50001")
    answer = desk.plain(
        strategy_id="mom_micro", instrument_id=EUR, qty=None, limit_price="50000",
        protection=ProtectionPlan(Decimal(stop)),
    )  # fmt: skip

    assert violations(answer) == {}
    assert answer.approved_qty is not None
    assert Decimal("5.5") < answer.approved_qty * 50_000 < 6


def test_the_bitvavo_profile_opens_three_trades_and_no_fourth() -> None:
    desk = bitvavo_desk()
    more = [
        make_instrument(f"bitvavo:{base}-EUR", tick="0.01", lot="0.0001", min_qty="0.0001") for base in ("SOL", "XRP")
    ]
    desk.instruments = (*desk.instruments, *more)
    desk.hello()
    for instrument in more:
        desk.quote(instrument.instrument_id, "99.99", "100.01")
    desk.quote(EUR, "49999", "50001")
    desk.quote(ADA, "0.49999", "0.50001")
    desk.venue()
    prices = {EUR: "50000", ADA: "0.5", "bitvavo:SOL-EUR": "100", "bitvavo:XRP-EUR": "100"}
    answers = []
    for instrument_id, price in prices.items():
        desk.wait(1)
        intent = {"strategy_id": "meanrev_micro", "instrument_id": instrument_id, "limit_price": price}
        answers.append(desk.plain(qty=None, **intent))

    assert [a.approval is not None for a in answers] == [True, True, True, False]
    assert violations(answers[3])["POS-03"] == "OPEN_POSITION_COUNT"


def test_the_mid_marks_equity_when_the_profile_says_so() -> None:
    desk = bitvavo_desk()
    desk.account(("EUR", "50"), ("BTC", "0.001"))
    desk.quote(EUR, "49000", "51000")
    desk.gate.accountant.forget_equity()

    assert desk.gate.equity(desk.now_ns).value == 100 * 10**12  # the bid would say 99


def hold(desk: Desk, level: TradingLevel) -> None:
    desk.gate.raise_hold(
        level, Scope(ScopeKind.SYSTEM, ""), reason="", operator="ana", role="trader", command_id="x", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip


# ---- refusals


def refused(profile: str, change: Callable[[Tree], object]) -> str:
    tree = limits_tree(profile)
    make_limits(tree, Path("x.yaml"), "hash")  # as shipped it is fine
    change(tree)
    with pytest.raises(ConfigError) as caught:
        make_limits(tree, Path("x.yaml"), "hash")
    return str(caught.value)


def sizing(**changes: object) -> Callable[[Tree], object]:
    return lambda tree: tree["sizing"].update(changes)


def check(check_id: str, **changes: object) -> Callable[[Tree], object]:
    return lambda tree: tree["checks"][check_id].update(changes)


def enforce(check_id: str, **limits: object) -> Callable[[Tree], object]:
    return lambda tree: tree["checks"].update({check_id: {"status": "enforced", **limits}})


def adapt(**changes: object) -> Callable[[Tree], object]:
    return lambda tree: tree["sizing"]["adapt"].update(changes)


def top(**changes: object) -> Callable[[Tree], object]:
    return lambda tree: tree.update(changes)


def several(*changes: Callable[[Tree], object]) -> Callable[[Tree], object]:
    return lambda tree: [change(tree) for change in changes]


@pytest.mark.parametrize(
    ("profile", "change", "words"),
    [
        ("bitvavo", sizing(max_per_trade=12),
         "adapt.min_factor x cautious_size_factor is 2.7, below venue_minimum.bitvavo 5"),
        ("bitvavo", adapt(min_factor="0.39"), "is 4.875, below venue_minimum.bitvavo 5"),
        ("bitvavo", adapt(min_factor="0.4"), "is 5, below venue_minimum.bitvavo 5 / 0.90972 that fee"),
        ("bitvavo", several(adapt(min_factor="0.45"), check("PRC-05", max_distance_bps=1_200)),
         "is 5.625, below venue_minimum.bitvavo 5 / 0.842688"),
        ("bitvavo", sizing(max_open_trades=21, adapt=None),
         "start_capital / sizing.max_open_trades is 4.76190476, below"),
        ("bitvavo", sizing(max_per_trade=9, adapt=None), "sizing.max_per_trade x cautious_size_factor is 4.5, below"),
        ("bitvavo", top(cautious_size_factor=0.1), "is 1.125, below venue_minimum.bitvavo 5"),
        ("bitvavo", top(start_capital=19), "x cautious_size_factor is 4.75, below venue_minimum.bitvavo 5"),
        ("bitvavo", check("SIZ-02", max_notional=49),
         "sizing.max_per_trade x adapt.max_factor is 50, above checks.SIZ-02.max_notional 49"),
        ("bitvavo", check("SIZ-02", max_pct_of_equity=49),
         "is 50, above start_capital x checks.SIZ-02.max_pct_of_equity 49"),
        ("bitvavo", check("POS-03", max_positions=2),
         "sizing.max_open_trades is 3, above checks.POS-03.max_positions 2"),
        ("bitvavo", check("POS-04", max_notional=74),
         "max_open_trades 3 x max_per_trade 25 is 75, above checks.POS-04.max_notional 74"),
        ("bitvavo", adapt(lower_at_win_pct=56), "sizing.adapt.lower_at_win_pct is 56, above raise_at_win_pct 55"),
        ("bitvavo", adapt(raise_at_win_pct=100), "raise_at_win_pct is 100: nothing is above it"),
        ("bitvavo", adapt(min_trips=31), "sizing.adapt.min_trips is 31, above window 30"),
        ("intraday", sizing(per_symbol_cap=1501), "sizing.per_symbol_cap is 1501, above sizing.total_cap 1500"),
        ("intraday", sizing(per_symbol_cap=576),
         "sizing.per_symbol_cap is 576, above checks.POS-02.max_notional 575"),
        ("intraday", sizing(total_cap=1726), "sizing.total_cap is 1726, above checks.POS-04.max_notional 1725"),
        ("intraday", sizing(per_symbol_cap=9),
         "sizing.per_symbol_cap x cautious_size_factor is 4.5, below venue_minimum.binance 5"),
        ("demo", enforce("PRC-03", max_slippage_bps=34),
         "half of checks.MKT-04.max_spread_bps.* 70 is 35, above checks.PRC-03.max_slippage_bps 34: lower it"),
        ("demo", several(enforce("PRC-03", max_slippage_bps=40),
                         check("MKT-04", max_spread_bps={"*": 70, BTC: 81})),
         "half of checks.MKT-04.max_spread_bps.binance:BTC-USDT 81 is 40.5, above checks.PRC-03.max_slippage_bps 40"),
        ("intraday", check("POS-02", soft_notional=576), "soft_notional is 576, above max_notional 575"),
        ("intraday", check("POS-07", soft_notional=1151), "POS-07.soft_notional is 1151, above max_notional 1150"),
        ("intraday", check("POS-07", soft_pct=24), "POS-07.soft_pct is 24, above hard_pct 23"),
        ("intraday", top(venue_minimum={"okx": 251}), "below venue_minimum.okx 251"),
        ("intraday", check("POS-06", max_notional=1), "checks.POS-06.max_notional x cautious_size_factor is 0.5, bel"),
        ("intraday", check("POS-06", max_pct_of_equity="0.1"),
         "start_capital x checks.POS-06.max_pct_of_equity x cautious_size_factor is 2.5, below"),
        ("intraday", check("POS-07", max_notional=1, soft_notional=1), "checks.POS-07.max_notional x cautious_size"),
        ("intraday", check("POS-09", max_notional={"*": 1725, "breakout_atr": 1}),
         "checks.POS-09 of breakout_atr.max_notional x cautious_size_factor is 0.5, below"),
        ("intraday", check("POS-11", max_notional=1), "checks.POS-11.max_notional x cautious_size_factor is 0.5, bel"),
        ("intraday", check("POS-12", max_heat="0.001"),
         "checks.POS-12.max_heat x cautious_size_factor / 0.002 that an entry may lose is 0.25, below"),
        ("intraday", check("POS-13", max_loss="0.01"),
         "checks.POS-13.max_loss x cautious_size_factor / 0.2 that an entry may lose is 0.025, below"),
        ("intraday", check("SIZ-03", max_risk="0.01"),
         "checks.SIZ-03.max_risk x cautious_size_factor / 0.006 that an entry may lose is 0.83333333, below"),
        ("intraday", check("POS-02", max_notional=1, soft_notional=1),
         "checks.SIZ-02.max_notional is 500, above checks.POS-02.max_notional 1"),
        ("demo", several(top(venue_minimum={"binance": 1001}),
                         top(sizing={"method": "risk_per_trade", "risk_pct": 1, "max_risk": 100, "cost_bps": 20})),
         "checks.SIZ-02.max_notional x cautious_size_factor is 1000, below venue_minimum.binance 1001"),
        ("demo", several(top(sizing={"method": "risk_per_trade", "risk_pct": 2, "max_risk": 100, "cost_bps": 20})),
         "sizing.risk_pct is 2, above the day's whole loss checks.PNL-01.pause_at_pct 2"),
        ("demo", top(sizing={"method": "kelly_lite", "fraction": 0.5, "min_trips": 21, "window": 20, "unproven_pct": 1,
                             "max_per_trade": 100}), "sizing.min_trips is 21, above window 20"),
        ("demo", top(sizing={"method": "kelly_lite", "fraction": 0.5, "unproven_pct": 1, "max_per_trade": 2001}),
         "sizing.max_per_trade is 2001, above checks.SIZ-02.max_notional 2000"),
        ("demo", top(sizing={"method": "kelly_lite", "fraction": 0.5, "unproven_pct": "0.1", "max_per_trade": 100},
                     start_capital=4_000, venue_minimum={"binance": 5}),
         "start_capital x sizing.unproven_pct is 4, below venue_minimum.binance 5"),
        ("demo", several(top(venue_minimum={"binance": 5}), sizing(quote_amount="9.9")),
         "sizing.quote_amount x cautious_size_factor is 4.95, below venue_minimum.binance 5"),
        ("bitvavo", enforce("POS-08", hard_pct=5, soft_pct=5),
         "start_capital x checks.POS-08.hard_pct is 5, below venue_minimum.bitvavo 5 / 0.90972"),
        ("bitvavo", enforce("POS-08", hard_pct=49, soft_pct=49),
         "sizing.max_per_trade x adapt.max_factor is 50, above start_capital x checks.POS-08.hard_pct 49: lower it"),
        ("bitvavo", check("RAT-10", max_times_equity="0.05"),
         "start_capital x checks.RAT-10.max_times_equity is 5, below venue_minimum.bitvavo 5 / 0.90972"),
        ("bitvavo", check("RAT-10", max_times_equity="0.49"),
         "sizing.max_per_trade x adapt.max_factor is 50, above start_capital x checks.RAT-10.max_times_equity 49"),
        ("demo", several(top(venue_minimum={"binance": 1001}), sizing(quote_amount=2000)),
         "is 1000, below venue_minimum.binance 1001"),
    ],
)  # fmt: skip
def test_a_profile_that_contradicts_itself_is_refused_with_the_numbers(
    profile: str, change: Callable[[Tree], object], words: str
) -> None:
    assert words in refused(profile, change)


@pytest.mark.parametrize(
    ("profile", "change"),
    [
        ("bitvavo", sizing(max_open_trades=3, max_per_trade=25)),
        # 25 x 0.44 x 0.5 = 5.5, of which a stop of 5 % carries 5.003 with a limit 4 % below
        ("bitvavo", adapt(min_factor="0.44")),
        # 25 x 0.4 x 0.5 = 5: at the minimum, where no stop has to be taken
        (
            "bitvavo",
            several(adapt(min_factor="0.4"), check("SPC-08", status="not_applicable", reason="no stop is asked for")),
        ),
        ("bitvavo", top(start_capital=100)),
        ("bitvavo", enforce("POS-08", hard_pct=50, soft_pct=50)),
        ("bitvavo", check("RAT-10", max_times_equity="0.5")),
        ("demo", enforce("PRC-03", max_slippage_bps=35)),
        ("bitvavo", check("POS-04", max_notional=75)),
        ("bitvavo", adapt(lower_at_win_pct=55)),
        ("bitvavo", adapt(min_trips=30)),
        ("intraday", sizing(per_symbol_cap=575, total_cap=1725)),
        ("intraday", sizing(per_symbol_cap=11)),
        # 0.024 x 0.5 / 20 bps = 6, of which the widest stop and an emergency exit leave 5.46
        ("intraday", check("POS-12", max_heat="0.024")),
        ("intraday", check("POS-11", max_notional=12)),
        ("demo", top(sizing={"method": "risk_per_trade", "risk_pct": "1.9", "max_risk": 100, "cost_bps": 20})),
        ("demo", several(top(venue_minimum={"binance": 5}), sizing(quote_amount=10))),
    ],
)
def test_a_profile_at_its_own_bounds_is_accepted(profile: str, change: Callable[[Tree], object]) -> None:
    tree = limits_tree(profile)
    change(tree)

    make_limits(tree, Path("x.yaml"), "hash")


def test_instruments_whose_smallest_order_is_above_the_profile_are_named_with_the_numbers() -> None:
    numbers = profile_numbers(shipped("bitvavo"))
    fine, dear = make_instrument(EUR, min_notional="5"), make_instrument(ADA, min_notional="5.34")

    assert below_venue_rules(numbers, [fine]) == {}
    problems = below_venue_rules(numbers, [fine, dear])
    assert list(problems) == [ADA]
    assert "is 5.625, below bitvavo:ADA-EUR min_notional 5.34 / 0.90972" in problems[ADA]


def test_a_largest_quantity_below_the_venues_smallest_is_named() -> None:
    tree = limits_tree("intraday")
    tree["checks"]["SIZ-01"]["max_qty"][ETH] = "0.000000000001"
    limits = make_limits(tree, Path("x.yaml"), "hash")
    problems = venue_contradictions(limits, [make_instrument(BTC), make_instrument(ETH, min_qty="0.0001")])

    assert list(problems) == [ETH]
    assert problems[ETH].startswith(f"checks.SIZ-01.max_qty is 1E-12, below {ETH} min_qty 0.0001")


@pytest.mark.parametrize(
    ("leverage", "min_notional", "problem"),
    [
        ("0.5", "5", None),
        ("0.49", "5", "max_factor is 50, above start_capital x checks.POS-10.max_leverage 49: lower it"),
    ],
)
def test_a_derivative_that_the_start_capital_cannot_carry_is_named(
    leverage: str, min_notional: str, problem: str | None
) -> None:
    tree = limits_tree("bitvavo")
    enforce("POS-10", max_leverage=leverage)(tree)
    limits = make_limits(tree, Path("x.yaml"), "hash")
    perpetual = replace(make_instrument(EUR, min_notional=min_notional), product=Product.LINEAR_PERPETUAL)
    found = venue_contradictions(limits, [perpetual])

    assert list(found) == ([EUR] if problem else [])
    assert (problem or "") in found.get(EUR, "")


def test_the_same_instrument_of_spot_is_paid_and_not_carried() -> None:
    tree = limits_tree("bitvavo")
    enforce("POS-10", max_leverage="0.01")(tree)

    assert (
        venue_contradictions(make_limits(tree, Path("x.yaml"), "hash"), [make_instrument(EUR, min_notional="5")]) == {}
    )


def test_a_star_names_every_instrument() -> None:
    fine, dear = make_instrument(EUR, min_notional="5"), make_instrument(ADA, min_notional="5.34")

    assert list(venue_contradictions(shipped("bitvavo"), [fine, dear])) == [ADA]
    assert venue_contradictions(shipped("bitvavo"), [make_instrument("bitvavo:BTC-USDC", min_notional="500")]) == {}


def test_an_instrument_that_the_profile_names_but_cannot_trade_is_held_until_the_venues_rules_fit() -> None:
    dear = make_instrument(ETH, min_notional="300")
    desk = Desk(limits=shipped("intraday"), usdt="5000", instruments=(make_instrument(BTC), dear))
    (held,) = [h for h in desk.gate.state.holds.holds.values() if h.cause == "PROFILE_CONTRADICTS"]

    assert (held.level, held.scope.name) == (TradingLevel.REDUCE_ONLY, ETH)
    assert held.evidence.startswith("sizing.per_symbol_cap x cautious_size_factor is 250, below binance:ETH-USDT min_")
    desk.instruments = (make_instrument(BTC), make_instrument(ETH, min_notional="227"))
    desk.hello()
    assert all(h.cause != "PROFILE_CONTRADICTS" for h in desk.gate.state.holds.holds.values())
