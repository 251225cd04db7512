"""Our own order path under load: the real daemons with the bench profile against the stand-in venue."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Final

from benchmarks.figures import LatencySummary
from benchmarks.processes import Group, Member
from benchmarks.terminal import Terminal
from cli.client import Daemons
from cli.config import load_common
from cli.launcher import prepare_keys
from tradebot.core.errors import TradebotError
from tradebot.runtime.identity import Role
from tradebot.runtime.state_dir import prepare_state_dir

CONFIG: Final = Path(__file__).with_name("bench.yaml")
ORDER_PATH: Final = ("marketdata", "riskd", "execd", "engine")
START_TIMEOUT_S: Final = 40.0
WARM_UP_S: Final = 1.5
DRAIN_S: Final = 1.5
WARM_UP_RATE: Final = 500


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """One run of the system."""

    tick_to_wire: LatencySummary
    """marketdata's write of the trade to execd's write of the order."""
    frame_to_wire: LatencySummary
    """Arrival of the venue's frame to execd's write of the order."""
    risk_leg: LatencySummary
    """execd's write of the ask to riskd's answer in execd."""
    orders_per_s: float
    """Orders that reached the venue, per second of the measured time."""
    ticks: int
    orders: int
    """In the measured time and the drain after it."""
    cpu_us: dict[str, float]
    """Processor time per order, microseconds, by daemon: what a busy machine disturbs least."""


class System:
    """Daemons and venue of one run, started and warm."""

    def __init__(self, venue: Member, members: dict[str, Member], daemons: Daemons) -> None:
        self._venue = venue
        self._members = members
        self._daemons = daemons
        self.console: Terminal | None = None

    def run(self, rate: int, seconds: float) -> SystemFigures:
        """Let the venue tick at a rate (0 = as fast as it can) and measure."""
        before = {name: member.cpu_s() for name, member in self._members.items()}
        sent = self._tick(rate, seconds)
        if self.console is not None and self.console.process.poll() is not None:
            raise RuntimeError(f"the console left with exit code {self.console.process.poll()} while it was measured")
        used_s = {name: member.cpu_s() - before[name] for name, member in self._members.items()}
        status, *_ = self._daemons.execd_status()

        def summary(name: str) -> LatencySummary:
            count = int(float(status.item("orders_sent", "0")))
            return LatencySummary(count, float(status.item(f"{name}_us_p50")), float(status.item(f"{name}_us_p99")))

        return SystemFigures(
            summary("tick_to_wire"),
            summary("frame_to_wire"),
            summary("risk_round_trip"),
            sent["orders_in_time"] / seconds,
            sent["ticks"],
            sent["orders"],
            {name: cpu_s * 1e6 / max(1, sent["orders"]) for name, cpu_s in used_s.items()},
        )

    def _tick(self, rate: int, seconds: float) -> dict[str, int]:
        assert self._venue.process.stdin is not None
        self._venue.process.stdin.write(f"{rate} {seconds} {DRAIN_S}\n")
        self._venue.process.stdin.flush()
        answer = json.loads(self._venue.wait_line("DONE ", seconds + DRAIN_S + 30)[5:])
        return {str(name): int(value) for name, value in answer.items()}

    def warm_up(self) -> None:
        """Trade until orders flow, then a little more."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._tick(100, 0.3)["orders"] < 20:
            if time.monotonic() > deadline:
                raise RuntimeError("no orders reach the venue: see the logs in the state folder")
        self._tick(WARM_UP_RATE, WARM_UP_S)


@contextmanager
def running_system(*, watched: bool = False) -> Iterator[System]:
    """Start venue and daemons, end them all. Watched: with the recorder, and a console that shows prices."""
    with (
        tempfile.TemporaryDirectory(prefix="tb-bench-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        Group() as group,
        ExitStack() as stack,
    ):
        venue = group.start([sys.executable, "-m", "benchmarks.venue"], stdin=PIPE)
        port = int(venue.wait_line("PORT ").split()[1])
        overrides = (
            f"venues.binance.rest_url=http://127.0.0.1:{port}",
            f"venues.binance.market_ws_url=ws://127.0.0.1:{port}",
            f"venues.binance.trade_ws_url=ws://127.0.0.1:{port}/ws-api/v3",
        )
        state = Path(folder)
        common = load_common(CONFIG, state, overrides)
        prepare_state_dir(state)
        prepare_keys(common, state)
        flags = [flag for override in overrides for flag in ("--set", override)]
        members = {
            daemon: group.start([sys.executable, "-m", daemon, "--config", str(CONFIG), "--state", folder, *flags])
            for daemon in (*ORDER_PATH, *(("recorder",) if watched else ()))
        }
        with Daemons(common, Role.TRADER, "bench") as daemons:
            _wait_serving(daemons)
            system = System(venue, members, daemons)
            system.warm_up()
            if watched:
                system.console = stack.enter_context(_console(folder, flags))
            yield system


def _console(folder: str, flags: list[str]) -> Terminal:
    """Return a console that shows the market."""
    command = [sys.executable, "-m", "console", "--config", str(CONFIG), "--state", folder, "--role", "viewer", *flags]
    terminal = Terminal(command)
    terminal.wait_for("BTC-USDT")
    return terminal


def _wait_serving(daemons: Daemons) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting = list(ORDER_PATH)
    while waiting:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{', '.join(waiting)} did not come up")
        try:
            waiting = [name for name in waiting if not daemons.is_serving(name)]
        except TradebotError:
            pass
        time.sleep(0.1)
