"""The limits file refuses what it cannot mean, with file, key and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskd.catalogue import MANDATORY
from riskd.limits import (
    CHECK_MODELS,
    Cautious,
    DayTarget,
    GrantLimits,
    LimitsFile,
    SoftCaps,
    load_limits,
    make_limits,
)
from riskd.rules import make_rule
from riskd.settings import make_settings
from tests.riskd.kit import BTC, LIQUID, ROOT, STRICT, limits_tree, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import PriceBand

Tree = dict[str, Any]


def broken(change: Callable[[Tree], object]) -> str:
    tree = limits_tree()
    change(tree)
    with pytest.raises(ConfigError) as caught:
        make_limits(tree, Path("demo.yaml"), "hash")
    text = str(caught.value)
    assert text.startswith("demo.yaml: ")
    assert "\n" not in text
    return text


def test_an_unknown_key_is_named_and_the_right_one_suggested() -> None:
    text = broken(lambda t: t["checks"]["SIZ-02"].update(max_notionl=5))

    assert "checks.SIZ-02.max_notionl: unknown key; did you mean max_notional?" in text
    assert "sizng" in broken(lambda t: t.update(sizng=1))


def test_a_missing_limit_is_named() -> None:
    assert "checks.AUT-03.max_age_ms: required key is missing" in broken(
        lambda t: t["checks"]["AUT-03"].pop("max_age_ms")
    )


@pytest.mark.parametrize("value", ["nan", "inf", -1, 0, "ten"])
def test_a_limit_that_is_no_positive_number_is_refused(value: object) -> None:
    assert "checks.SIZ-02.max_notional" in broken(lambda t: t["checks"]["SIZ-02"].update(max_notional=value))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("check_id", "key"), [("SIZ-02", "max_notional"), ("SIZ-02", "max_pct_of_equity"), ("PNL-01", "pause_at_pct")]
)
def test_what_is_no_finite_number_is_told_so(check_id: str, key: str, value: str) -> None:
    assert f"checks.{check_id}.{key}: input should be a finite number" in broken(
        lambda t: t["checks"][check_id].update({key: value})
    )


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("checks.SIZ-02.max_pct_of_equity", lambda t: t["checks"]["SIZ-02"].update(max_pct_of_equity=1_000_000)),
        ("checks.PRC-01.collar_bps", lambda t: t["checks"]["PRC-01"].update(collar_bps={"*": 1_000_000})),
        ("checks.MKT-01.max_age_ms", lambda t: t["checks"]["MKT-01"].update(max_age_ms={"*": 86_400_000})),
        ("grants.emergency_bound_bps", lambda t: t["grants"].update(emergency_bound_bps=9_999)),
        ("cool_off_min", lambda t: t.update(cool_off_min=1)),
    ],
)
def test_a_number_that_nobody_means_is_refused(key: str, change: Callable[[Tree], object]) -> None:
    assert key in broken(change)


UNBOUNDED = {  # amounts depend on the currency, counts harm nothing that other limits leave open, a tier is one of four
    "max_qty", "max_notional", "soft_notional", "max_risk", "max_heat", "max_loss", "soft_loss", "quote_amount",
    "max_per_trade", "budget", "per_symbol_cap", "total_cap", "start_capital", "venue_minimum", "max_open_trades",
    "cost_bps", "max_positions", "max_per_instrument", "max_per_venue", "soft_multiple", "hard_multiple",
    "max_orders", "sigmas", "strategy_per_second", "strategy_per_minute", "system_per_second", "venue_per_minute",
    "max_ratio", "min_orders", "max_entries", "max_per_day", "max_times_equity", "pause_after", "halt_after",
    "max_steps", "min_syncs", "rearm_step_pct", "bar_s", "min_bars", "tier",
}  # fmt: skip


def test_every_other_number_has_a_bound_beyond_which_it_is_a_slip() -> None:
    models: list[Any] = [LimitsFile, GrantLimits, SoftCaps, DayTarget, Cautious, *CHECK_MODELS.values()]
    loose = set()
    for model in models:
        for name, schema in model.model_json_schema()["properties"].items():
            kinds = [schema, *schema.get("anyOf", []), schema.get("additionalProperties", {})]
            kinds += kinds[-1].get("anyOf", []) if isinstance(kinds[-1], dict) else []
            numbers = [k for k in kinds if isinstance(k, dict) and k.get("type") in ("integer", "number")]
            if any("maximum" not in k and "exclusiveMaximum" not in k for k in numbers):
                loose.add(name)

    assert loose - UNBOUNDED == set()
    assert {"max_qty", "max_orders", "start_capital"} <= loose


def test_a_check_that_does_not_exist_is_refused() -> None:
    assert "checks.SIZ-99: no such check" in broken(lambda t: t["checks"].update({"SIZ-99": {"status": "enforced"}}))
    assert "checks.EXE-01: no such check" in broken(lambda t: t["checks"].update({"EXE-01": {"status": "enforced"}}))


def test_not_applicable_needs_a_reason() -> None:
    change = {"SIZ-03": {"status": "not_applicable", "reason": "no"}}
    assert "checks.SIZ-03.reason" in broken(lambda t: t["checks"].update(change))
    assert "status" in broken(lambda t: t["checks"].update({"SIZ-02": {"status": "off"}}))


@pytest.mark.parametrize("check_id", sorted(MANDATORY))
def test_no_file_switches_off_what_every_account_needs(check_id: str) -> None:
    off = {check_id: {"status": "not_applicable", "reason": "we know what we are doing"}}

    assert f"checks.{check_id}.status: " in broken(lambda t: t["checks"].update(off))


@pytest.mark.parametrize(
    ("check_id", "change", "numbers"),
    [
        ("POS-02", {"soft_pct": 26}, ("26", "25")),
        ("SIZ-02", {"max_notional": 499}, ("500", "499")),
        ("SIZ-02", {"max_pct_of_equity": 26}, ("26", "25")),
        ("SIZ-02", {"max_notional": 5001}, ("5001", "5000")),
        ("POS-02", {"hard_pct": 91}, ("91", "90")),
        ("POS-02", {"max_notional": 20001}, ("20001", "20000")),
        ("RAT-01", {"strategy_per_second": 21}, ("21", "20")),
        ("RAT-01", {"strategy_per_second": 20, "strategy_per_minute": 19}, ("20", "19")),
        ("PNL-01", {"rearm_at_pct": -1}, ("-1", "-2")),
        ("SIZ-05", {"soft_multiple": 11}, ("11", "10")),
        (
            "PRC-05",
            {"status": "enforced", "min_distance_bps": 21, "max_distance_bps": 20, "reason": None},
            ("21", "20"),
        ),
    ],
)
def test_a_contradiction_is_refused_with_both_numbers(check_id: str, change: Tree, numbers: tuple[str, str]) -> None:
    def changed(tree: Tree) -> None:
        merged = tree["checks"][check_id] | change
        tree["checks"][check_id] = {key: value for key, value in merged.items() if value is not None}

    text = broken(changed)

    assert all(f" {number}" in text for number in numbers)


@pytest.mark.parametrize(("bps", "ppm"), [("7.5", 750), ("7.501", 751), ("0", 0)])
def test_a_cost_between_two_millionths_counts_as_the_larger(bps: str, ppm: int) -> None:
    checks = {"POS-01": {"taker_fee_bps": bps}, "SIZ-03": STRICT["SIZ-03"] | {"cost_bps": bps}}
    settings = make_settings(make_test_limits(checks))

    assert (settings.fee_ppm, settings.orders.trade_cost_ppm) == (ppm, ppm)


@pytest.mark.parametrize(("multiple", "ppm"), [("3", 3_000_000), ("3.0000001", 3_000_001)])
def test_what_must_be_left_between_two_millionths_is_the_larger(multiple: str, ppm: int) -> None:
    checks = {
        "MKT-06": LIQUID["MKT-06"] | {"min_depth_multiple": multiple},
        "PRC-06": STRICT["PRC-06"] | {"min_stop_multiple": multiple},
        "PRC-08": LIQUID["PRC-08"] | {"min_cost_multiple": multiple},
    }
    orders = make_settings(make_test_limits(checks)).orders

    assert orders.depth is not None
    assert orders.liquidation is not None
    assert {orders.depth.multiple_ppm, orders.liquidation.multiple_ppm, orders.edge_multiple_ppm} == {ppm}


def test_a_venues_band_between_two_millionths_is_the_narrower_one() -> None:
    edge = Decimal("0.9000001")
    band = PriceBand(buy_down=edge, buy_up=edge, sell_down=edge, sell_up=edge)
    rule = make_rule(replace(make_instrument(BTC), price_band=band), make_test_limits())

    assert rule.band is not None
    assert rule.band.buy == rule.band.sell == (900_001, 900_000)


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = (ROOT / "config" / "limits" / "demo.yaml").read_bytes()
    path = tmp_path / "limits.yaml"
    path.write_bytes(data)
    first = load_limits(path).hash
    path.write_bytes(data + b"\n")

    assert load_limits(path).hash != first


def test_limits_cannot_be_changed_after_loading() -> None:
    limits = load_limits(ROOT / "config" / "limits" / "demo.yaml")

    with pytest.raises(ValueError, match="frozen"):
        limits.file.profile = "other"
