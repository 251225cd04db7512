"""`python -m benchmarks [--only ID]`: run, print a table, write build/bench.json.

Each figure is the median over interleaved rounds (floor, ours, floor, ours ...), so that a machine whose speed drifts
hurts both alike. `must` may not be missed, `aim` is what we want; `better` says in which direction the ratio is good.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks import fanout
from benchmarks.engine import speed as engine_speed
from benchmarks.figures import Figure, busy_note, figure, median, say
from benchmarks.floors.chain import ChainFigures, run_chain
from benchmarks.risk import speed as risk_speed
from benchmarks.sim import speed as sim_speed
from benchmarks.system import ORDER_PATH, SystemFigures, running_system

RESULT: Final = Path("build/bench.json")
ROUNDS: Final = 5
RATE: Final = 1_000
"""Messages per second of the latency figures."""
SECONDS: Final = 5.0
FANOUT_SECONDS: Final = 2.0
WATCHED_SECONDS: Final = 4.0


def order_path() -> list[Figure]:
    """tick_to_wire_p50, tick_to_wire_p99 and risk_round_trip at RATE, journal on."""
    busy = busy_note(os.getloadavg()[0])
    floors: list[ChainFigures] = []
    mine: list[SystemFigures] = []
    for number in range(ROUNDS):
        say(f"order path, round {number + 1} of {ROUNDS}")
        floors.append(run_chain(RATE, SECONDS))
        with running_system() as system:
            mine.append(system.run(RATE, SECONDS))
    with running_system(watched=True) as system:
        watched = system.run(RATE, WATCHED_SECONDS)
    lost = sum(item.ticks - item.orders for item in mine)
    frame = median([item.frame_to_wire.p50 for item in mine])
    cpu = {name: median([item.cpu_us[name] for item in mine]) for name in ORDER_PATH}
    note = (
        f"{lost} of {sum(item.ticks for item in mine)} ticks without an order; from the venue frame's arrival p50 "
        f"{frame:.0f} us; with recorder and console on p50 {watched.tick_to_wire.p50:.0f} us, "
        f"p99 {watched.tick_to_wire.p99:.0f} us; processor time per order {sum(cpu.values()):.0f} us ("
        + ", ".join(f"{name} {cpu_us:.0f}" for name, cpu_us in cpu.items())
        + ")"
    )
    return [
        figure(
            "tick_to_wire_p50",
            [item.tick_to_wire.p50 for item in mine],
            [item.tick_to_wire.p50 for item in floors],
            1.5, 1.35, "lower", "us", f"{busy}; {note}" if busy else note,
        ),
        figure(
            "tick_to_wire_p99",
            [item.tick_to_wire.p99 for item in mine],
            [item.tick_to_wire.p99 for item in floors],
            2.0, 2.0, "lower", "us", busy,
        ),
        figure(
            "risk_round_trip",
            [item.risk_leg.p50 for item in mine],
            [item.risk_leg.p50 for item in floors],
            1.4, 1.4, "lower", "us", busy,
        ),
    ]  # fmt: skip


def sustained() -> list[Figure]:
    """orders_sustained: orders per second through the whole path, nothing lost."""
    floors: list[float] = []
    mine: list[float] = []
    lost = 0
    for number in range(ROUNDS):
        say(f"sustained orders, round {number + 1} of {ROUNDS}")
        floors.append(run_chain(0, SECONDS).orders_per_s)
        with running_system() as system:
            result = system.run(0, SECONDS)
        mine.append(result.orders_per_s)
        lost += result.ticks - result.orders
    line = figure("orders_sustained", mine, floors, 0.5, 2.0, "higher", "orders/s", f"{lost} lost")
    return [line if not lost else Figure(**{**asdict(line), "ok": False})]


def market_data() -> list[Figure]:
    """md_fanout_1 and md_fanout_4."""
    lines: list[Figure] = []
    for subscribers in (1, 4):
        floors: list[float] = []
        mine: list[float] = []
        for number in range(ROUNDS):
            say(f"fan-out to {subscribers}, round {number + 1} of {ROUNDS}")
            floors.append(fanout.measure("bare", subscribers, FANOUT_SECONDS))
            mine.append(fanout.measure("ours", subscribers, FANOUT_SECONDS))
        lines.append(figure(f"md_fanout_{subscribers}", mine, floors, 0.6, 0.8, "higher", "rows/s each"))
    return lines


BENCHMARKS: Final[dict[Callable[[], list[Figure]], tuple[str, ...]]] = {
    order_path: ("tick_to_wire_p50", "tick_to_wire_p99", "risk_round_trip"),
    risk_speed.decision: (risk_speed.DECISION_ID,),
    risk_speed.replay: (risk_speed.REPLAY_ID,),
    market_data: ("md_fanout_1", "md_fanout_4"),
    sustained: ("orders_sustained",),
    sim_speed.against_hftbacktest: sim_speed.SPEED_IDS,
    sim_speed.cold_process: ("sim_cold", "sim_rss"),
    engine_speed.against_nautilus: engine_speed.IDS,
    sim_speed.exactness: ("sim_exact",),
}
"""What each function measures; the ids of one function cost one run together."""


def table(lines: list[Figure]) -> str:
    """Return the lines as text."""
    head = f"{'id':<18} {'ours':>12} {'reference':>12} {'ratio':>7} {'must':>7} {'aim':>6}  {'unit':<12} ok"
    rows = [
        f"{line.id:<18} {line.ours:>12,.1f} {line.reference:>12,.1f} {line.ratio:>7.3f} "
        f"{'<=' if line.better == 'lower' else '>='}{line.must:>5} {line.aim:>6}  {line.unit:<12} "
        f"{'yes' if line.ok else 'NO'}"
        for line in lines
    ]
    notes = [f"{line.id}: {line.note}" for line in lines if line.note]
    return "\n".join([head, *rows, *notes])


def main() -> int:
    """Run what was asked for; exit 1 when a must is missed."""
    known = [name for names in BENCHMARKS.values() for name in names]
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", choices=known, help="one benchmark by its id")
    wanted = parser.parse_args().only
    lines: list[Figure] = []
    for run, names in BENCHMARKS.items():
        if wanted is None or wanted in names:
            lines += [line for line in run() if wanted in (None, line.id)]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    print(table(lines))
    return 0 if all(line.ok for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
