"""The level for people names every smaller scope where less is allowed than in the system."""

from __future__ import annotations

import pytest

from cli.doctor import judge_level
from cli.levels import level_text
from cli.views import HoldsView, HoldView
from tradebot.core.errors import TradebotError


def hold(level: str, scope: str) -> HoldView:
    return HoldView(f"id-{scope}", level, scope, "OPERATOR", "ana", 1, "ONE_KEY", "", 0, "")


@pytest.mark.parametrize(
    ("system_level", "holds", "expected"),
    [
        ("RUNNING", [], "RUNNING"),
        ("RUNNING", [hold("HALTED", "venue:binance")], "RUNNING, binance HALTED"),
        (
            "RUNNING",
            [hold("CAUTIOUS", "strategy:s1"), hold("HALTED", "instrument:binance:ETH-USDT")],
            "RUNNING, binance:ETH-USDT HALTED, s1 CAUTIOUS",
        ),
        ("RUNNING", [hold("CAUTIOUS", "strategy:s1"), hold("PAUSED", "strategy:s1")], "RUNNING, s1 PAUSED"),
        ("RUNNING", [hold("PAUSED", f"strategy:s{i}") for i in range(4)], "RUNNING, s0 PAUSED, s1 PAUSED, 2 more"),
        ("HALTED", [hold("HALTED", "system"), hold("HALTED", "venue:binance")], "HALTED"),
        ("HALTED", [hold("HALTED", "system"), hold("KILLED", "venue:binance")], "HALTED, binance KILLED"),
        ("RUNNING", [hold("#9", "venue:binance")], "RUNNING, binance #9"),
    ],
)
def test_the_level_names_the_smaller_scopes_that_are_worse_off(
    system_level: str, holds: list[HoldView], expected: str
) -> None:
    assert level_text(system_level, holds) == expected


@pytest.mark.parametrize(
    ("system_level", "holds"),
    [
        ("RUNNING", [hold("PAUSED", "venue:binance")]),
        ("RUNNING", [hold("HALTED", "instrument:binance:ETH-USDT")]),
        ("CAUTIOUS", [hold("CAUTIOUS", "system")]),
    ],
)
def test_the_doctor_wants_to_have_fixed_what_stops_trading_anywhere(system_level: str, holds: list[HoldView]) -> None:
    with pytest.raises(TradebotError, match=rf"because of OPERATOR \({holds[0].hold_id}\): see `tradebot holds`"):
        judge_level(HoldsView(system_level, 1, holds))


def test_the_doctor_is_content_while_entries_are_only_limited_somewhere() -> None:
    assert judge_level(HoldsView("RUNNING", 1, [hold("CAUTIOUS", "strategy:s1")])) == "RUNNING, s1 CAUTIOUS"
