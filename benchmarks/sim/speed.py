"""sim_*: the simulator beside hftbacktest, alternating in one run. A ratio counts only where every counter is equal.

Rows per second of the simulation alone: neither side's loading, checking of data or compiling is in it; sim_cold has
all of that. Both sides are processes that stay alive between rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, figure, say
from benchmarks.peers import python_of
from benchmarks.sim.data import synthetic_folder
from benchmarks.sim.real import recorded_folders
from benchmarks.sim.worker import Result, Worker

OURS: Final = "benchmarks.sim.driver"
PEER: Final = "benchmarks.peers.hftbacktest.driver"
ROWS: Final = 5_000_000
USED_ROWS: Final = 4_999_939
SEED: Final = 42
OTHER_SEEDS: Final = (7, 2024)
OTHER_ROWS: Final = 1_000_000
ROUNDS: Final = 5
COLD_ROUNDS: Final = 3
COLD_TIMEOUT_S: Final = 120.0
EQUITY_TOLERANCE: Final = 1e-6
"""Of the larger of equity and 1, for the peer's sums of floats; ours are exact."""
SPEED_IDS: Final = ("sim_mm_risk", "sim_mm_prob2", "sim_replay", "sim_packet", "sim_grid")


@dataclass(frozen=True, slots=True)
class Case:
    """One workload and what is asked of it."""

    id: str
    mode: str
    queue: str
    must: float
    aim: float


CASES: Final = (
    Case("sim_mm_risk", "mm", "risk", 2.0, 4.0),
    Case("sim_mm_prob2", "mm", "prob2", 1.5, 3.0),
    Case("sim_replay", "replay", "risk", 1.5, 3.0),
    Case("sim_packet", "packet", "risk", 1.5, 2.5),
    Case("sim_grid", "grid", "risk", 1.2, 2.0),
)
EXACT_CASES: Final = (("mm", "risk"), ("mm", "prob2"), ("grid", "risk"), ("packet", "risk"))


def difference(ours: Result, peer: Result) -> str:
    """Return what differs between two results, "" for nothing."""
    names = ("counters", "fills", "position_lots", "touch")
    wrong = [f"{name} {ours[name]} != {peer[name]}" for name in names if ours[name] != peer[name]]
    if abs(ours["equity"] - peer["equity"]) > EQUITY_TOLERANCE * max(1.0, abs(peer["equity"])):
        wrong.append(f"equity {ours['equity']} != {peer['equity']}")
    return "; ".join(wrong)


def compare(case: Case, ours: Worker, peer: Worker, data: Path) -> Figure:
    """Alternate the two sides and compare medians of rows per second."""
    mine: list[float] = []
    other: list[float] = []
    wrong = ""
    ours.run(data, case.mode, case.queue)
    for number in range(ROUNDS):
        say(f"{case.id}, round {number + 1} of {ROUNDS}")
        theirs = peer.run(data, case.mode, case.queue)
        our = ours.run(data, case.mode, case.queue)
        wrong = wrong or difference(our, theirs)
        mine.append(USED_ROWS / our["wall_s"] / 1e6)
        other.append(USED_ROWS / theirs["wall_s"] / 1e6)
    line = figure(case.id, mine, other, case.must, case.aim, "higher", "M rows/s", wrong or "counters and equity equal")
    return replace(line, ok=False) if wrong else line


def against_hftbacktest() -> list[Figure]:
    """sim_mm_risk, sim_mm_prob2, sim_replay, sim_packet, sim_grid."""
    data = synthetic_folder(ROWS, SEED)
    with Worker(Path(sys.executable), OURS) as ours, Worker(python_of("hftbacktest"), PEER) as peer:
        return [compare(case, ours, peer, data) for case in CASES]


def cold_run(python: Path, module: str, data: Path) -> tuple[float, float]:
    """Run one process from nothing to the market-making result; return wall seconds and peak RSS in MiB."""
    begin = time.perf_counter()
    command = (str(python), "-m", module, str(data), "mm", "risk")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=COLD_TIMEOUT_S)
    wall_s = time.perf_counter() - begin
    return wall_s, json.loads(done.stdout)["peak_rss_mib"]


def cold_process() -> list[Figure]:
    """sim_cold and sim_rss: a whole process for one market-making run; our compile cache is warm, the peer has none."""
    data = synthetic_folder(ROWS, SEED)
    ours, peer = Path(sys.executable), python_of("hftbacktest")
    cold_run(ours, OURS, data)
    mine: list[tuple[float, float]] = []
    other: list[tuple[float, float]] = []
    for number in range(COLD_ROUNDS):
        say(f"sim_cold, round {number + 1} of {COLD_ROUNDS}")
        other.append(cold_run(peer, PEER, data))
        mine.append(cold_run(ours, OURS, data))
    seconds, sizes = ([[pair[k] for pair in runs] for runs in (mine, other)] for k in (0, 1))
    return [
        figure("sim_cold", seconds[0], seconds[1], round(1 / 3, 3), round(1 / 6, 3), "lower", "s"),
        figure("sim_rss", sizes[0], sizes[1], 0.75, 0.6, "lower", "MiB"),
    ]


def exactness() -> list[Figure]:
    """sim_exact: share of runs that are equal to the peer's, on other seeds and on real recordings where they are."""
    folders = [synthetic_folder(OTHER_ROWS, seed) for seed in OTHER_SEEDS] + recorded_folders()
    wrong: list[str] = []
    runs = 0
    with Worker(Path(sys.executable), OURS) as ours, Worker(python_of("hftbacktest"), PEER) as peer:
        for data in folders:
            say(f"sim_exact, {data.name}")
            for mode, queue in EXACT_CASES:
                runs += 1
                if text := difference(ours.run(data, mode, queue), peer.run(data, mode, queue)):
                    wrong.append(f"{data.name} {mode} {queue}: {text}")
    note = "; ".join(wrong) or f"every counter equal on {', '.join(folder.name for folder in folders)}"
    return [figure("sim_exact", [float(runs - len(wrong))], [float(runs)], 1.0, 1.0, "higher", "runs", note)]
