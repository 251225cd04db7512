"""Paper trading end to end: a second simexchange plays the real venue from a recording, the paper venue follows it."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simexchange.config import SimexchangeConfig
from simexchange.service import Exchange
from tests.support.system import run_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARAMS = ["bar_ms=1000", "ema_length=4", "atr_length=5", "multiple=0.2", "cool_down_bars=1", "stop_loss_fraction=0.004"]


@dataclass(frozen=True)
class PaperRun:
    """One paper session, after its end."""

    summary: dict[str, Any]
    state: Path
    orders_at_the_real_venue: list[Any]


async def trade_on_paper(recording: Path, state: Path) -> PaperRun:
    """Run `paper-run` for a minute on a feed whose venue knows no account of ours."""
    config = SimexchangeConfig(rest_port=0, ws_port=0, replay=(recording,), balances={})
    flags = [flag for name in PARAMS for flag in ("--param", name)]
    async with Exchange(config, venue_name="binance", api_key="nobody", api_secret="nobody") as real:
        urls = (f"rest_url={real.rest_url}", f"market_ws_url={real.market_ws_url}")
        settings = ["engine.record=true", *(f"venues.binance.{url}" for url in urls)]
        done = await asyncio.to_thread(
            run_command,
            *("paper-run", "--strategy", "breakout_atr", "--symbols", "BTC-USDT", "--minutes", "1.2", "--headless"),
            *("--state", str(state), *flags, *(flag for one in settings for flag in ("--set", one))),
            timeout_s=200,
        )
        orders = list(real.venue.engine.all_orders("main", 0))
    assert done.code == 0, done.err
    return PaperRun(json.loads(done.out.strip().splitlines()[-1]), state, orders)


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperRun]:
    folder = Path(tempfile.mkdtemp(prefix="tb-pap-", dir="/tmp"))
    recording = folder / "market.log.gz"
    made = run_command("sample-data", str(recording), "--seconds", "400")
    assert made.code == 0, made.err
    yield asyncio.run(trade_on_paper(recording, folder / "state"))
    shutil.rmtree(folder)


def test_a_strategy_trades_on_paper_against_a_feed_that_takes_no_orders(paper: PaperRun) -> None:
    """The venue of the feed knows no account of ours: whatever was filled was filled by the paper venue."""
    summary = paper.summary

    assert summary["mode"] == "paper"
    assert summary["paper_order_latency_ms"] == 100
    assert summary["messages"] > 500
    assert summary["orders"] > 0
    assert summary["fills"] > 0
    assert summary["unapproved_orders"] == summary["unknown_orders"] == summary["position_mismatches"] == 0
    assert paper.orders_at_the_real_venue == []


def test_a_recorded_paper_session_replays_to_the_same_decisions(paper: PaperRun) -> None:
    done = run_command("replay", str(paper.state), "--json")
    report = json.loads(done.out)

    assert (done.code, report["ok"], report["differences"], report["fault"]) == (0, True, 0, "")
    assert report["inputs"] > 500
    assert report["decisions"] >= paper.summary["intents"] > 0
