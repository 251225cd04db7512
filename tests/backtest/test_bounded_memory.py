"""A backtest of a month needs the memory of an hour: data are streamed from disk, and nothing of them is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backtest.history.column_folder import write_columns
from backtest.history.parquet import write_parquet
from backtest.history.rows import CHUNK_ROWS
from tests.backtest.history.test_bounded_memory import long_market
from tests.support.history_files import MARKET
from tests.support.timed_strategy import now_and_then
from tradebot.sim.kernels import api
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle

TRADES = now_and_then(1_000_000_000, 300_000_000_000)
QUOTES = """
from engine.strategy import Params, Proposal, Strategy, strategy, withdraw
from tradebot.core.orders import OrderRole, Side, TimeInForce

@strategy("far_quotes")
class FarQuotes(Strategy):
    overlapping = True

    def start(self):
        self.at_ns = 1

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = now_ns + 60_000_000_000
        market = self.markets[0]
        working = self.orders(market).values()
        if working:
            return [withdraw(order) for order in working]
        if not market.bid:
            return None
        gtc = TimeInForce.GTC
        bid = market.bid - 5_000
        return Proposal(Side.BUY, OrderRole.ENTRY, "far", limit_ticks=bid, time_in_force=gtc, market=market)
"""
RUN = """
import json, sys
from pathlib import Path
from backtest.__main__ import _options, _parse
from backtest.run import run_backtest
result = run_backtest(_options(_parse(sys.argv[1:])))
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
print(json.dumps({"rows": result.frames, "fills": result.fills, "intents": result.intents, "peak": peak}))
"""
FOUR_GB = 1_000
"""Pieces of 65,536 events; an event of 64 bytes, as hftbacktest holds it, makes it 4.2 GB."""
MAX_MIB = 700
"""A third of the 2 GiB that a month may need."""


def run(path: Path, folder: Path, kind: str, *flags: str) -> dict[str, float]:
    """Run a backtest in a process of its own; return rows, intents, fills and peak resident MiB."""
    strategies = folder / "own.py"
    strategies.write_text({"now_and_then": TRADES, "far_quotes": QUOTES}[kind])
    command = [sys.executable, "-c", RUN, "--strategy", kind, "--strategy-path", str(strategies)]
    done = subprocess.run(
        [*command, "--market", "BTCUSDT:0.1:0.001", "--data", str(path), *flags],
        capture_output=True, text=True, timeout=1_700, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(1_800)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "chunks", "flags"),
    [("far_quotes", FOUR_GB, ["--in-process"]), ("now_and_then", 60, [])],
    ids=["4 GB of events, in process", "trading, over gRPC"],
)
def test_more_data_do_not_need_more_memory(tmp_path: Path, kind: str, chunks: int, flags: list[str]) -> None:
    short, long = tmp_path / "short.parquet", tmp_path / "long.parquet"
    write_parquet(short, long_market(8), [MARKET])
    write_parquet(long, long_market(chunks), [MARKET])
    run(short, tmp_path, kind, *flags)  # compiles, which takes more memory than running
    few, many = run(short, tmp_path, kind, *flags), run(long, tmp_path, kind, *flags)
    print(few, many)

    assert many["rows"] == chunks * CHUNK_ROWS
    assert many["intents"] > few["intents"] > 0
    assert many["peak"] < few["peak"] + 60
    assert many["peak"] < MAX_MIB


COMPILED = """
import sys
from decimal import Decimal
from pathlib import Path
from backtest.history.column_folder import few_pages, open_columns
from tests.backtest.test_bounded_memory import touch_maker
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import ConstantLatency, Market
market, columns = open_columns(Path(sys.argv[1]))
with few_pages(columns):
    feed = Feed.of(columns)
    terms = Market(feed, market.tick_size, market.lot_size, ConstantLatency(1_000_000, 1_000_000), max_fills=2_000_000)
    simulator = Simulator([terms])
    simulator.run(touch_maker)
status = Path("/proc/self/status").read_text()
peak, own = (int(status.split(name)[1].split()[0]) // 1024 for name in ("VmHWM:", "RssAnon:"))
print(len(columns), simulator.account().fills, peak, own)
"""


@compiled
def touch_maker(sim: Handle) -> int:
    """Every second a fresh offer at the touch."""
    market = api.market(sim, 0)
    order = 0
    while api.elapse(sim, 1_000_000_000):
        api.cancel(market, order)
        api.clear_inactive(market)
        order = api.submit_sell(market, api.best_ask(market), 1, at.GTC)
    return order


@pytest.mark.timeout(1_200)
@pytest.mark.slow
def test_a_compiled_strategy_passes_over_gigabytes_of_columns_in_little_memory(tmp_path: Path) -> None:
    """33 bytes a row: 2.2 GB on disk, more than the 2 GiB that a month may need.

    What the program holds itself does not grow with the rows; what is mapped at a moment depends on when the system
    lets the trimming thread run, so it has one bound whatever it is.
    """
    found: list[tuple[int, ...]] = []
    for chunks in (8, FOUR_GB):
        folder = tmp_path / f"{chunks}.columns"
        write_columns(folder, long_market(chunks), MARKET)
        command = [sys.executable, "-c", COMPILED, str(folder)]
        if not found:  # compiles, which takes more memory than running
            subprocess.run(command, capture_output=True, timeout=500, check=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
        found.append(tuple(map(int, done.stdout.split())))
    print(found)
    (few_rows, _, _, few), (rows, fills, peak, own) = found

    assert (few_rows, rows) == (8 * CHUNK_ROWS, FOUR_GB * CHUNK_ROWS)
    assert fills > 1_000
    assert own < few + 50
    assert peak < MAX_MIB + 100
