"""Paper trading end to end: a second simexchange plays the real venue from a recording, the paper venue follows it."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simexchange.config import SimexchangeConfig
from simexchange.service import Exchange
from tests.support.system import run_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARAMS = ["bar_ms=1000", "ema_length=4", "atr_length=5", "multiple=0.2", "cool_down_bars=1", "stop_loss_fraction=0.004"]


@pytest.fixture
def recording() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tb-rec-", dir="/tmp"))
    path = folder / "market.log.gz"
    done = run_command("sample-data", str(path), "--seconds", "400")
    assert done.code == 0, done.err
    yield path
    shutil.rmtree(folder)


async def test_a_strategy_trades_on_paper_against_a_feed_that_takes_no_orders(recording: Path) -> None:
    """The venue of the feed knows no account of ours: whatever was filled was filled by the paper venue."""
    config = SimexchangeConfig(rest_port=0, ws_port=0, replay=(recording,), balances={})
    async with Exchange(config, venue_name="binance", api_key="nobody", api_secret="nobody") as real:
        flags = [flag for name in PARAMS for flag in ("--param", name)]
        done = await asyncio.to_thread(
            run_command,
            "paper-run",
            "--strategy",
            "breakout_atr",
            "--symbols",
            "BTC-USDT",
            "--minutes",
            "1.2",
            "--headless",
            *flags,
            "--set",
            f"venues.binance.rest_url={real.rest_url}",
            "--set",
            f"venues.binance.market_ws_url={real.market_ws_url}",
            timeout_s=200,
        )
        orders_at_the_real_venue = real.venue.engine.all_orders("main", 0)
    assert done.code == 0, done.err

    summary = json.loads(done.out.strip().splitlines()[-1])

    assert summary["mode"] == "paper"
    assert summary["messages"] > 500
    assert summary["orders"] > 0
    assert summary["fills"] > 0
    assert summary["unapproved_orders"] == summary["unknown_orders"] == summary["position_mismatches"] == 0
    assert orders_at_the_real_venue == []
