"""The deployment tier (STA-08) multiplies sizes and the caps of SIZ and POS, together with the factor of CAUTIOUS."""

from __future__ import annotations

from typing import Any

import pytest

from riskd.limits import Limits
from tests.riskd.kit import BTC, STRICT, Desk, make_test_limits, violations
from tradebot.core.errors import ConfigError
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel

CAPS: dict[str, dict[str, Any]] = {
    "SIZ-02": {"max_pct_of_equity": 20, "max_notional": 2000},
    "SIZ-03": STRICT["SIZ-03"] | {"max_risk": 2000},
    "POS-02": {"hard_pct": 20, "soft_pct": 20, "max_notional": 2000},
    "POS-04": {"hard_pct": 20, "soft_pct": 20, "max_notional": 2000},
    "POS-06": {"max_notional": 2000},
    "POS-09": {"max_notional": {"*": 2000}},
    "POS-11": {"max_notional": 2000},
    "POS-12": {"max_heat": 2000},
    "POS-13": {"shock_pct": 100, "max_loss": 2000},
}
"""Each allows 2,000 at tier 1, equity 10,000."""


SIZING = {"method": "fixed_quote", "quote_amount": 1000}


def tiered(tier: str, **top: Any) -> Limits:
    return make_test_limits(CAPS | {"STA-08": {"status": "enforced", "tier": tier}}, **{"sizing": SIZING} | top)


def at(tier: str, level: TradingLevel) -> Desk:
    desk = Desk(limits=tiered(tier))
    if level is not TradingLevel.RUNNING:
        desk.gate.raise_hold(
            level, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="h", duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip
    return desk


@pytest.mark.parametrize(
    ("tier", "level", "limit"),
    [
        ("1", TradingLevel.RUNNING, 2000),
        ("0.5", TradingLevel.RUNNING, 1000),
        ("0.5", TradingLevel.CAUTIOUS, 500),
        ("0.1", TradingLevel.RUNNING, 200),
        ("0.1", TradingLevel.CAUTIOUS, 100),
        ("0.01", TradingLevel.RUNNING, 20),
    ],
)
def test_every_cap_is_multiplied_by_the_tier_and_at_cautious_by_its_factor_too(
    tier: str, level: TradingLevel, limit: int
) -> None:
    answer = at(tier, level).plain(qty="90", protection=ProtectionPlan())
    told = {result.check_id: result.limit for result in answer.violations}
    cautious = set() if level is TradingLevel.RUNNING else {"SIZ-07"}

    assert {check_id: told.get(check_id) for check_id in (*CAPS, *cautious)} == dict.fromkeys(
        (*CAPS, *cautious), str(limit)
    )
    assert "STA-08" in told


def test_an_entry_that_riskd_sizes_is_smaller_by_the_tier() -> None:
    sizes = [at(tier, TradingLevel.RUNNING).plain(qty=None).approved_qty for tier in ("1", "0.5", "0.1")]

    assert None not in sizes
    assert [round(size * 60_000) for size in sizes if size is not None] == [1000, 500, 100]


def test_soft_caps_of_what_is_held_are_multiplied_too() -> None:
    desk = Desk(limits=tiered("0.5", soft_caps={"auto_close": False}))
    desk.buy("0.0166")  # 996 of 1,000
    desk.account(("USDT", "9004"), ("BTC", "0.0166"))
    desk.wait(1)
    before = desk.levels()
    desk.quote(BTC, "61000", "61000.01")
    desk.gate.accountant.forget_equity()
    desk.wait(1)

    assert (before, violations(desk.plain(qty="0.0001"))["STA-01"]) == ("RUNNING", "TRADING_REDUCE_ONLY")


@pytest.mark.parametrize("tier", ["0.02", "0", "2", "-1"])
def test_a_tier_that_is_none_is_refused_by_name(tier: str) -> None:
    with pytest.raises(ConfigError, match=r"checks\.STA-08.*tier.*0\.01, 0\.1, 0\.5 or 1"):
        tiered(tier)


def test_a_tier_whose_sizes_the_venue_would_not_take_is_refused_with_the_numbers() -> None:
    words = r"quote_amount x cautious_size_factor x checks\.STA-08\.tier is 5, below venue_minimum\.binance 6"
    with pytest.raises(ConfigError, match=words):
        tiered("0.01", venue_minimum={"binance": 6})
