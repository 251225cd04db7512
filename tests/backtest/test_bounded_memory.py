"""A backtest of a month needs the memory of an hour: data are streamed from disk, and nothing of them is kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backtest.history.parquet import write_parquet
from backtest.history.rows import CHUNK_ROWS
from tests.backtest.history.test_bounded_memory import long_market
from tests.support.history_files import MARKET

TRADES = """
from decimal import Decimal
from tradebot.core.orders import Side
from engine.strategy import Strategy, enter, leave, strategy

@strategy("every_minute")
class EveryMinute(Strategy):
    def start(self):
        self.at_ns = 1

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = now_ns + 60_000_000_000
        market = self.markets[0]
        holding = self.holding(market)
        if not market.bid:
            return None
        proposal = enter(Side.BUY, "flat") if holding.is_flat else leave(holding, "held")
        proposal.market = market
        return proposal
"""
RUN = """
import json, sys
from pathlib import Path
from backtest.__main__ import _options, _parse
from backtest.run import run_backtest
result = run_backtest(_options(_parse(sys.argv[1:])))
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
print(json.dumps({"rows": result.frames, "fills": result.fills, "seconds": result.market_seconds, "peak": peak}))
"""
MAX_MIB = 700
"""A third of the 2 GiB that a month may need."""


def run(path: Path, strategies: Path, *flags: str) -> dict[str, float]:
    """Run a backtest in a process of its own; return rows, fills, market seconds and peak resident MiB."""
    command = [sys.executable, "-c", RUN, "--strategy", "every_minute", "--strategy-path", str(strategies)]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--market", "BTCUSDT:0.1:0.001", "--data", str(path), *flags],
        capture_output=True, text=True, timeout=1_700, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found | {"took": time.monotonic() - began}


@pytest.mark.timeout(1_800)
@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--in-process"], []], ids=["in-process", "grpc"])
def test_a_backtest_of_four_gigabytes_of_events_holds_a_few_hundred_megabytes(tmp_path: Path, flags: list[str]) -> None:
    chunks = 1_000 if flags else 100  # 65 million events of 64 bytes: what hftbacktest would hold as 4.2 GB
    strategies = tmp_path / "own.py"
    strategies.write_text(TRADES)
    short, long = tmp_path / "short.parquet", tmp_path / "long.parquet"
    write_parquet(short, long_market(8), [MARKET])
    write_parquet(long, long_market(chunks), [MARKET])
    run(short, strategies, *flags)  # compiles; later processes load the result
    few, many = run(short, strategies, *flags), run(long, strategies, *flags)
    print(few, many)

    assert many["rows"] == chunks * CHUNK_ROWS
    assert many["fills"] > few["fills"] > 0
    assert many["peak"] < MAX_MIB
    assert many["peak"] < few["peak"] + 150
