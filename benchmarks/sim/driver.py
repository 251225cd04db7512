"""`python -m benchmarks.sim.driver [DATA MODE QUEUE]`: our side of the simulator benchmarks (see worker.py)."""

from __future__ import annotations

import time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.sim import strategies
from benchmarks.sim.worker import Job, Result, serve
from tradebot.core.columns import COLUMNS, MarketColumns
from tradebot.sim.kernels import queues
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import ConstantLatency, Market, Queue

STRATEGIES: Final = {
    "replay": strategies.replay,
    "packet": strategies.every_packet,
    "mm": strategies.make_market,
    "grid": strategies.make_grid,
}
QUEUES: Final = {"risk": Queue(), "prob2": Queue(queues.POWER, 2.0)}
LATENCY: Final = ConstantLatency(10_000_000, 10_000_000)


@cache
def load(folder: str) -> Feed:
    """Map one folder's columns and look through them."""
    return Feed.of(MarketColumns(*(np.load(Path(folder, f"{name}.npy"), mmap_mode="r") for name in COLUMNS)))


@cache
def tick_and_lot(folder: str) -> tuple[Decimal, Decimal]:
    """Read the instrument's steps."""
    tick, lot, *_ = Path(folder, "steps.txt").read_text().split()
    return Decimal(tick), Decimal(lot)


def run(job: Job) -> Result:
    """Simulate once."""
    feed = load(job["data"])
    tick, lot = tick_and_lot(job["data"])
    market = Market(
        feed,
        tick,
        lot,
        LATENCY,
        QUEUES[job["queue"]],
        maker_fee=Decimal("-0.00005"),
        taker_fee=Decimal("0.0007"),
    )
    simulator = Simulator([market])
    begin = time.perf_counter()
    counters = simulator.run(STRATEGIES[job["mode"]])
    wall_s = time.perf_counter() - begin
    account = simulator.account()
    return {
        "counters": list(counters) if isinstance(counters, tuple) else [counters],
        "fills": account.fills,
        "position_lots": account.position_lots,
        "equity": float(account.equity),
        "touch": [account.best_bid_ticks, account.best_ask_ticks],
        "wall_s": wall_s,
    }


if __name__ == "__main__":
    serve(run)
