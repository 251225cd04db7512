"""What riskd sizes itself passes its own checks, and is as large as they let it be."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.riskd.kit import BTC, ETH, Desk, make_test_limits, violations
from tests.support.builders import make_instrument
from tradebot.core.approvals import Verdict
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, Side
from tradebot.wire.approvals import open_approval


def test_an_entry_without_quantity_gets_the_fixed_amount_in_whole_lots() -> None:
    answer = Desk().plain(qty=None)

    assert answer.approved_qty == Decimal("0.00833")  # 500 / 60,000 rounded down
    assert answer.approval is not None
    assert open_approval(answer.approval, {"0a0b0c0d": b"k" * 32}).order.qty == Decimal("0.00833")


def test_strength_scales_it() -> None:
    assert Desk().plain(qty=None, strength=Decimal("0.5")).approved_qty == Decimal("0.00416")


def test_cautious_halves_it() -> None:
    desk = Desk()
    desk.gate.raise_hold(
        TradingLevel.CAUTIOUS, Scope(ScopeKind.INSTRUMENT, BTC), reason="", operator="ana", role="trader",
        command_id="x", duration_s=0, now_ns=desk.now_ns,
    )  # fmt: skip

    assert desk.plain(qty=None).approved_qty == Decimal("0.00416")


@pytest.mark.parametrize(
    ("check_id", "change", "usdt", "qty"),
    [
        ("SIZ-01", {"max_qty": {"*": "0.005"}}, "10000", "0.005"),
        ("SIZ-02", {"max_pct_of_equity": 3}, "10000", "0.005"),
        ("POS-01", {"taker_fee_bps": 10}, "300.2", "0.00499"),
        ("POS-02", {"max_notional": 500, "soft_pct": 1}, "10000", "0.00833"),
        ("POS-04", {"max_notional": 500, "soft_pct": 1}, "10000", "0.00833"),
        # the plan's stop is 0.5 % away: 300 x 0.5 % + 300 x 20 bps = 2.1
        ("SIZ-03", {"status": "enforced", "max_risk_pct": 1, "max_risk": "2.1", "cost_bps": 20}, "10000", "0.00499"),
        ("SIZ-03", {"status": "enforced", "max_risk_pct": 1, "max_risk": "2.11", "cost_bps": 20}, "10000", "0.00502"),
        ("POS-06", {"max_notional": "300.00006"}, "10000", "0.005"),
        ("POS-09", {"max_notional": {"*": "300.00006"}}, "10000", "0.005"),
        ("POS-11", {"max_notional": "300.00006"}, "10000", "0.005"),
        ("POS-12", {"max_heat": "1.50001"}, "10000", "0.005"),
        ("POS-13", {"shock_pct": 20, "max_loss": "60.0001"}, "10000", "0.005"),
    ],
)
def test_the_strictest_headroom_binds_and_says_so(
    check_id: str, change: dict[str, object], usdt: str, qty: str
) -> None:
    merged: dict[str, dict[str, object]] = {
        "SIZ-02": {"max_pct_of_equity": 100, "max_notional": 500},
        "POS-02": {"hard_pct": 1000, "max_notional": 500},
        "POS-04": {"hard_pct": 1000, "max_notional": 20000},
    }
    merged[check_id] = merged.get(check_id, {}) | change
    merged["POS-04"]["hard_pct"] = 1000
    desk = Desk(limits=make_test_limits(merged), usdt=usdt)
    answer = desk.plain(qty=None)

    assert answer.approved_qty == Decimal(qty), answer
    if qty != "0.00833":
        assert (answer.verdict, answer.binding_limit) == (Verdict.SOFT_ALLOW, check_id)
        assert check_id in [hit.check_id for hit in answer.soft_hits]


@pytest.mark.parametrize(("pins", "qty"), [(((BTC, ETH),), "0.005"), ((), "0.00833")])
def test_a_size_is_cut_to_what_its_cluster_has_left(pins: tuple[tuple[str, ...], ...], qty: str) -> None:
    cluster = {"status": "enforced", "hard_pct": 100, "soft_pct": 100, "max_notional": "600.0012"}
    changes: dict[str, Any] = {
        "SIZ-02": {"max_pct_of_equity": 100, "max_notional": 500},
        "POS-02": {"hard_pct": 1000, "max_notional": 1000},
        "POS-04": {"hard_pct": 1000},
        "POS-07": cluster,
    }
    desk = Desk(limits=make_test_limits(changes, soft_caps={}, cluster_pins=pins))
    desk.buy("0.1", "3000", instrument_id=ETH)
    answer = desk.plain(qty=None)

    assert answer.approved_qty == Decimal(qty)
    assert answer.binding_limit == ("POS-07" if pins else "fixed_quote")


def test_when_nothing_useful_fits_the_binding_check_refuses() -> None:
    answer = Desk(usdt="4").plain(qty=None)

    assert answer.verdict is Verdict.BLOCK
    assert violations(answer)["POS-01"] == "INSUFFICIENT_FUNDS"
    assert "SPC-03" not in violations(answer)


def test_a_quantity_that_the_sender_named_is_refused_and_never_clipped() -> None:
    answer = Desk(usdt="400").plain(qty="0.01")

    assert answer.verdict is Verdict.BLOCK
    assert answer.approved_qty is None


def test_an_exit_without_quantity_closes_the_whole_position_in_lots() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.01", fee="0.0000123", fee_asset="BTC")
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=None)

    assert answer.approved_qty == Decimal("0.00998")  # 0.0099877 in lots of 0.00001


def test_an_exit_without_quantity_leaves_what_a_working_exit_already_takes() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.004")
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=None)

    assert answer.approved_qty == Decimal("0.006")


def test_an_exit_takes_the_quantity_that_execd_found_free() -> None:
    desk = Desk()
    desk.buy("0.01")
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=None, terms_qty="0.007")

    assert answer.approved_qty == Decimal("0.007")


def test_an_entry_that_riskd_sizes_takes_no_quantity_from_execd() -> None:
    answer = Desk().plain(qty=None, terms_qty="0.001")

    assert violations(answer)["AUT-01"] == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    ("check_id", "change", "usdt"),
    [
        # 0.005 at 60,000 beside 0.002 held and 0.05 of the other at 3,000; each limit is a unit (1e-12) short of that
        ("POS-01", {"taker_fee_bps": 10}, "300.299999999999"),
        ("SIZ-03", {"status": "enforced", "max_risk_pct": 1, "max_risk": "2.099999999999", "cost_bps": 20}, ""),
        ("POS-02", {"max_notional": "419.999999999999"}, ""),
        ("POS-04", {"max_notional": "569.999999999999"}, ""),
        ("POS-05", {"status": "enforced", "max_pct_of_equity": 100, "max_notional": "569.999999999999"}, ""),
        ("POS-06", {"max_notional": "419.999999999999"}, ""),
        ("POS-09", {"max_notional": {"*": "569.999999999999"}}, ""),
        ("POS-12", {"max_heat": "2.849999999999"}, ""),
        ("POS-13", {"shock_pct": 100, "max_loss": "569.999999999999"}, ""),
    ],
)  # fmt: skip
def test_a_size_that_misses_its_limit_by_one_unit_is_a_lot_smaller(
    check_id: str, change: dict[str, object], usdt: str
) -> None:
    merged: dict[str, dict[str, object]] = {
        "SIZ-02": {"max_pct_of_equity": 100, "max_notional": 400},
        "POS-02": {"hard_pct": 1000, "max_notional": 500},
        "POS-04": {"hard_pct": 1000, "max_notional": 20000},
    }
    merged[check_id] = merged.get(check_id, {}) | change
    limits = make_test_limits(merged, sizing={"method": "fixed_quote", "quote_amount": 400})
    desk = Desk(limits=limits, usdt=usdt or "10000")
    desk.quote(BTC, "59999.99", "60000")
    desk.quote(ETH, "2999.99", "3000")
    if not usdt:
        desk.buy("0.002")
        desk.buy("0.05", "3000", instrument_id=ETH)
    answer = desk.plain(qty=None)

    assert (answer.approved_qty, answer.binding_limit) == (Decimal("0.00499"), check_id), answer
    assert answer.approval is not None


def test_a_size_beside_unfilled_entries_misses_their_limit_by_one_unit_likewise() -> None:
    desk = Desk(limits=make_test_limits({"POS-11": {"max_notional": "419.999999999999"}}))
    desk.plain(qty="0.002")
    answer = desk.plain(qty=None)

    assert (answer.approved_qty, answer.binding_limit) == (Decimal("0.00499"), "POS-11")
    assert answer.approval is not None


def test_a_limit_in_account_currency_cuts_what_is_quoted_in_another_asset_at_the_price_of_buying_that() -> None:
    eth_btc = "binance:ETH-BTC"
    limits = make_test_limits(
        {"SIZ-02": {"max_notional": 500}}, sizing={"method": "fixed_quote", "quote_amount": "0.01"}
    )
    market = make_instrument(eth_btc, tick="0.00001", min_notional="0.0001")
    desk = Desk(limits=limits, instruments=(make_instrument(BTC), make_instrument(ETH), market))
    desk.account(("USDT", "10000"), ("BTC", "1"))
    desk.quote(BTC, "59000", "60000")
    desk.quote(eth_btc, "0.04999", "0.05")
    answer = desk.plain(instrument_id=eth_btc, qty=None, limit_price="0.05")

    assert (answer.approved_qty, answer.binding_limit) == (Decimal("0.16666"), "SIZ-02")  # 500 / 60,000 / 0.05
    assert answer.approval is not None


def test_a_size_without_its_largest_quantity_is_refused_for_that() -> None:
    answer = Desk(limits=make_test_limits({"SIZ-01": {"max_qty": {ETH: 1}}})).plain(qty=None)

    assert violations(answer) == {"SIZ-01": "LIMIT_UNDEFINED"}


METHODS: dict[str, Callable[[str], dict[str, Any]]] = {
    "fixed_quote": lambda cap: {"quote_amount": cap},
    "per_trade_allocation": lambda cap: {"max_open_trades": 1, "max_per_trade": cap},
    "risk_per_trade": lambda cap: {"risk_pct": "1.9", "max_risk": cap, "cost_bps": 10},
    "volatility_target": lambda cap: {
        "budget": cap, "target_daily_vol_pct": 2, "per_symbol_cap": cap, "total_cap": cap, "min_vol_pct": 1,
        "cold_vol_pct": 2,
    },
    "kelly_lite": lambda cap: {"fraction": 1, "unproven_pct": 5, "max_per_trade": cap},
}  # fmt: skip


amounts = st.decimals(min_value="20", max_value="20000", places=2)


@settings(max_examples=60, deadline=None)
@given(
    usdt=amounts,
    order_cap=amounts,
    position_cap=amounts,
    gross_cap=amounts,
    max_qty=st.decimals(min_value="0.0001", max_value="1", places=5),
    price=st.decimals(min_value="59800", max_value="60200", places=2),
    held=st.decimals(min_value="0", max_value="0.004", places=5),
    method=st.sampled_from(sorted(METHODS)),
)
def test_a_sized_order_passes_its_own_checks(
    usdt: Decimal, order_cap: Decimal, position_cap: Decimal, gross_cap: Decimal, max_qty: Decimal, price: Decimal,
    held: Decimal, method: str,
) -> None:  # fmt: skip
    caps = sorted((order_cap, position_cap, gross_cap))
    limits = make_test_limits(
        {
            "SIZ-01": {"max_qty": {"*": str(max_qty)}},
            "SIZ-02": {"max_notional": str(caps[0]), "max_pct_of_equity": 60},
            "POS-02": {"max_notional": str(caps[1]), "hard_pct": 70, "soft_pct": 70},
            "POS-04": {"max_notional": str(caps[2]), "hard_pct": 80, "soft_pct": 80},
        },
        sizing={"method": method} | METHODS[method](str(caps[0])),
    )
    desk = Desk(limits=limits, usdt=str(usdt))
    desk.wait(1)
    if held:
        desk.plain(qty=held)
    answer = desk.plain(qty=None, limit_price=price)

    broken = violations(answer)
    assert answer.approval is not None or broken
    too_small = {"SPC-02", "SPC-03", "SPC-04"} & set(broken)  # the method itself wanted less than the venue takes
    if broken and (method == "fixed_quote" or not too_small):  # then not even the smallest order would have passed
        smallest = (Decimal(5) / price).quantize(Decimal("0.00001"), rounding="ROUND_UP")
        assert desk.plain(qty=smallest, limit_price=price).approval is None
