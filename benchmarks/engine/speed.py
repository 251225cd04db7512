"""engine_l2, engine_order_pair, backtest_grpc: whole backtests beside nautilus_trader, alternating in one run.

Ours is the harness with riskd's and execd's cores, every built check on, and the venue's own protocol; the peer runs
strategy, risk engine and venue in one process. The same generated feed; objects and rows are made before the clock.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, figure, say
from benchmarks.peers import python_of
from benchmarks.sim.data import synthetic_folder
from benchmarks.sim.worker import Result, Worker

OURS: Final = "benchmarks.engine.driver"
PEER: Final = "benchmarks.peers.nautilus.driver"
ROWS: Final = 1_000_000
USED_ROWS: Final = 999_940
ORDER_ROWS: Final = 200_000
"""Orders cost a hundred times what rows cost: a shorter feed is enough, and it spares the peer its growing caches."""
SEED: Final = 42
ROUNDS: Final = 5
IDS: Final = ("engine_l2", "engine_order_pair", "backtest_grpc")


def pair_us(with_orders: Result, without: Result) -> float:
    """Return what one submit and one cancel add, microseconds."""
    return float((with_orders["wall_s"] - without["wall_s"]) / max(1, with_orders["cancels"]) * 1e6)


def against_nautilus() -> list[Figure]:
    """Run every mode of both sides in turn, ROUNDS times."""
    data, short = synthetic_folder(ROWS, SEED), synthetic_folder(ORDER_ROWS, SEED)
    l2: tuple[list[float], list[float]] = ([], [])
    pairs: tuple[list[float], list[float]] = ([], [])
    rule: tuple[list[float], list[float]] = ([], [])
    note = ""
    with Worker(Path(sys.executable), OURS) as ours, Worker(python_of("nautilus"), PEER) as peer:
        ours.run(data, "touch", "")
        for number in range(ROUNDS):
            say(f"engine beside nautilus_trader, round {number + 1} of {ROUNDS}")
            theirs, mine = peer.run(data, "touch", ""), ours.run(data, "touch", "")
            l2[0].append(USED_ROWS / mine["wall_s"] / 1e6)
            l2[1].append(USED_ROWS / theirs["wall_s"] / 1e6)
            pairs[1].append(pair_us(peer.run(short, "pairs", ""), peer.run(short, "quotes", "")))
            pairs[0].append(pair_us(ours.run(short, "pairs", ""), ours.run(short, "touch", "")))
            theirs, mine = peer.run(short, "requote", ""), ours.run(short, "grpc", "")
            rule[0].append(ORDER_ROWS / mine["wall_s"] / 1e6)
            rule[1].append(ORDER_ROWS / theirs["wall_s"] / 1e6)
            note = ", ".join(
                f"{name}: {one['submits']} submits, {one['cancels']} cancels, {one['fills']} fills"
                for name, one in (("ours", mine), ("peer", theirs))
            )
    return [
        figure("engine_l2", *l2, 3.0, 10.0, "higher", "M rows/s"),
        figure("engine_order_pair", *pairs, 0.2, 0.05, "lower", "us"),
        figure("backtest_grpc", *rule, 1.0, 1.0, "higher", "M rows/s", note),
    ]
