"""The demo's verdict, and how it sets a recording up."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from cli.demo import DemoSummary, Percentiles, replay_overrides
from cli.output import to_json
from cli.views import FindingView, HoldView
from tradebot.core.errors import ConfigError

GOOD = DemoSummary(
    mode="demo", duration_s=60.0, messages=9_000, intents=4, approvals=8, refusals=0, orders=8, fills=6,
    realized_pnl="1.5", unrealized_pnl="0", fees="2", equity="9999.5", unapproved_orders=0, unknown_orders=0,
    position_mismatches=0, tick_to_wire_us=Percentiles(500.0, 900.0), recorded_rows={"trades": 4_000}, startup_s=5.0,
    findings=[], system_level="RUNNING", holds=[],
)  # fmt: skip
PROMISED = (
    "mode duration_s messages intents approvals refusals orders fills realized_pnl unrealized_pnl fees equity "
    "unapproved_orders unknown_orders position_mismatches tick_to_wire_us recorded_rows"
)
FRAME = b'1723161253937085768 {"stream":"btcusdt@trade","data":{}}\n'


def test_the_summary_has_every_promised_field() -> None:
    tree = to_json(GOOD)

    assert set(PROMISED.split()) <= set(tree)
    assert tree["tick_to_wire_us"] == {"p50": 500.0, "p99": 900.0}


@pytest.mark.parametrize("name", ["unapproved_orders", "unknown_orders", "position_mismatches"])
def test_anything_unexplained_fails_the_demo(name: str) -> None:
    assert GOOD.failure is None
    assert replace(GOOD, **{name: 1}).failure == f"{name} is 1"  # type: ignore[arg-type]


def test_a_demo_without_fills_fails() -> None:
    assert replace(GOOD, fills=0).failure == "there were no fills"


def test_an_audit_finding_fails_the_demo_and_is_named() -> None:
    failed = replace(GOOD, findings=[FindingView("BALANCE_DRIFT", "USDT", "1 of 2")])

    assert failed.failure == "the audit has 1 findings, the first: BALANCE_DRIFT USDT"


@pytest.mark.parametrize(
    ("level", "failure"),
    [("REDUCE_ONLY", None), ("HALTED", "trading was stopped: binance:ETH-USDT HALTED (PTR-06)")],
)
def test_a_demo_that_halts_what_it_trades_fails_and_says_where(level: str, failure: str | None) -> None:
    hold = HoldView("h1", level, "instrument:binance:ETH-USDT", "PTR-06", "riskd", 1, "ONE_KEY", "", 0, "")

    assert replace(GOOD, holds=[hold]).failure == failure
    assert to_json(replace(GOOD, holds=[hold]))["holds"][0]["level"] == level


def test_a_recording_is_played_with_the_symbols_that_were_recorded(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log.gz", tmp_path / "b.log.gz"
    first.write_bytes(gzip.compress(FRAME * 3))

    assert replay_overrides([first, second]) == [
        f"simexchange.replay=[{first},{second}]",
        "venues.binance.symbols=[BTCUSDT]",
    ]


@pytest.mark.parametrize(
    "content", [None, b"no gzip at all", gzip.compress(b"1 {}\n")], ids=["missing", "bad", "empty"]
)
def test_what_is_no_recording_is_refused_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.log.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--replay .*x\.log\.gz"):
        replay_overrides([path])
