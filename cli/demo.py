"""`tradebot demo`: the whole system on a market of its own, with the console on a terminal or headless with a verdict.

Headless, the last line on standard output is one JSON object; progress goes to standard error. State is fresh and
temporary unless it was asked for; after a failure it is kept and named.
"""

from __future__ import annotations

import gzip
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from cli import views
from cli.call import operator_name
from cli.client import Daemons
from cli.command_ids import new_command_id
from cli.commands import console_command
from cli.config import config_for_mode
from cli.exit_codes import Exit
from cli.launcher import Launcher, LaunchError, Plan, compile_kernels, make_plan, prepare_keys
from cli.levels import at_least, hold_text, level_text
from cli.output import complain, document, progress
from cli.run_state import supervisor_dir
from tradebot.core.errors import ConfigError, TradebotError
from tradebot.core.levels import TradingLevel
from tradebot.runtime.config import Mode, load_config
from tradebot.runtime.identity import Role

DEFAULT_DURATION_S: Final = 60
PROGRESS_EVERY_S: Final = 5.0
SETTLE_TIMEOUT_S: Final = 15.0
"""Longest wait for entries and exits under way after the strategies were switched off."""
MAX_TMP_CHARS: Final = 40
"""A temporary folder with a longer path leaves no room for socket names."""
MAX_ORDERS_ASKED: Final = 200
OPERATOR: Final = "demo"
VENUE: Final = "binance"
SYMBOL_SCAN_LINES: Final = 2_000
"""Lines at the head of a recording that are searched for symbols."""
_STREAM_SYMBOL: Final = re.compile(r'"stream":"([a-z0-9]+)@')
SWITCHED_OFF_NAME: Final = "demo_switched_off"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for."""

    state: Path | None = None
    config: Path | None = None
    seed: int | None = None
    replay: str | None = None
    """Recorded file, or several of one continuous stream, separated by commas."""
    speed: float | None = None
    headless: bool = False
    duration_s: int | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies in microseconds; None while nothing was measured."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """The JSON object with which a headless demo ends. Amounts are decimal strings in the account currency.

    Everything counts since the state began, like the money, so that a kept state adds up; `duration_s`, `startup_s`,
    `messages` and `tick_to_wire_us` are of this run.
    """

    mode: str
    duration_s: float
    messages: int
    intents: int
    approvals: int
    refusals: int
    orders: int
    fills: int
    realized_pnl: str
    unrealized_pnl: str
    fees: str
    equity: str
    unapproved_orders: int
    unknown_orders: int
    position_mismatches: int
    tick_to_wire_us: Percentiles
    recorded_rows: dict[str, int]
    startup_s: float
    findings: list[views.FindingView]
    system_level: str
    holds: list[views.HoldView]
    """Those in force at the end, of every scope."""
    paper_order_latency_ms: float | None = None
    """Paper: from a request's arrival at the paper venue to its effect; None where no feed is followed."""

    @property
    def failure(self) -> str | None:
        """Return why this run is not good, None when it is."""
        for name in ("unapproved_orders", "unknown_orders", "position_mismatches"):
            if count := getattr(self, name):
                return f"{name} is {count}"
        if self.findings:
            first = self.findings[0]
            return f"the audit has {len(self.findings)} findings, the first: {first.kind} {first.subject}"
        if stopped := at_least(TradingLevel.HALTED, self.holds):
            return f"trading was stopped: {', '.join(map(hold_text, stopped))}"
        return "there were no fills" if self.mode == Mode.DEMO and not self.fills else None


def run_demo(options: DemoOptions) -> int:
    """Run a demo and return the exit code."""
    overrides = list(options.overrides)
    if options.seed is not None:
        overrides.append(f"simexchange.seed={options.seed}")
    if options.replay:
        overrides += replay_overrides([Path(name).resolve() for name in options.replay.split(",")])
    if options.speed is not None:
        overrides.append(f"simexchange.speed={options.speed:g}")
    config = options.config or config_for_mode("demo")
    return run_session(config, options.state, overrides, options.headless, options.duration_s)


def run_session(
    config: Path, state_folder: Path | None, overrides: Sequence[str], headless: bool, duration_s: int | None
) -> int:
    """Bring a whole system up, let it run with the console or headless, stop it; return the exit code.

    Args:
        config: Environment file.
        state_folder: Where it keeps its state; None = a fresh folder that goes away when all was well.
        overrides: Settings on top of the file.
        headless: End with one JSON object instead of opening the console.
        duration_s: How long; None = until the console is left, or the default when headless.
    """
    with _demo_state(state_folder) as state:
        plan = make_plan(config, state.folder, overrides)
        prepare_keys(plan.common, plan.state)
        compile_kernels(progress)
        launcher = Launcher(plan)
        with Daemons(plan.common, Role.TRADER, OPERATOR) as daemons, _signals_raise():
            launcher.start(detach=False)
            try:
                startup_s = launcher.wait_ready(daemons, progress)
                _switch_on_again(daemons, plan.state)
                command = f"tradebot status --state {plan.state}"
                progress(f"{plan.common.mode} runs on {plan.state}: in another terminal `{command}`")
                if (latency_ms := paper_order_latency_ms(plan)) is not None:
                    setting = "simexchange.follow.order_latency_ms"
                    progress(f"orders reach the followed market {latency_ms:g} ms after they were sent ({setting})")
                if headless:
                    code = _run_headless(launcher, daemons, duration_s or DEFAULT_DURATION_S, startup_s)
                else:
                    code = _run_with_console(launcher, duration_s)
            except KeyboardInterrupt:
                progress("stopping: entries are canceled, then every daemon ends")
                launcher.stop()
                code = 130
            finally:
                launcher.stop()
        state.keep = state.keep or code not in (Exit.OK, 130)
    return code


def replay_overrides(files: Sequence[Path]) -> list[str]:
    """Return the settings that play recordings: a recorded market has only the symbols that were recorded.

    Raises:
        ConfigError: If a file cannot be read or holds no frames.
    """
    symbols: set[str] = set()
    try:
        with gzip.open(files[0], "rt", encoding="utf-8") if files[0].suffix == ".gz" else files[0].open() as lines:
            for line in islice(lines, SYMBOL_SCAN_LINES):
                if found := _STREAM_SYMBOL.search(line):
                    symbols.add(found[1].upper())
    except (OSError, EOFError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--replay {files[0]}: cannot be read ({exc}): name a recording, e.g. data.log.gz") from exc
    if not symbols:
        raise ConfigError(f"--replay {files[0]}: no combined-stream frames in its first {SYMBOL_SCAN_LINES} lines")
    return [
        f"simexchange.replay=[{','.join(str(path) for path in files)}]",
        f"venues.{VENUE}.symbols=[{','.join(sorted(symbols))}]",
    ]


def _run_headless(launcher: Launcher, daemons: Daemons, duration_s: int, startup_s: float) -> int:
    began = time.monotonic()
    _watch(launcher, daemons, began, duration_s)
    progress("switching the strategies off")
    enabled = [strategy.strategy_id for strategy in daemons.strategies() if strategy.enabled]
    _remember_switched(launcher.plan.state, enabled)
    for strategy_id in enabled:
        daemons.enable(strategy_id, False, "the demo ends", new_command_id())
    _settle(daemons)
    summary = collect(daemons, launcher.plan.common.mode, time.monotonic() - began, startup_s)
    summary = replace(summary, paper_order_latency_ms=paper_order_latency_ms(launcher.plan))
    progress("stopping every daemon")
    if not launcher.stop():
        complain("the supervisor did not stop in time and was killed")
    failure = summary.failure
    if failure is not None:
        complain(f"{summary.mode} failed: {failure}")
    print(document(summary, ok=failure is None), flush=True)
    return Exit.OK if failure is None else Exit.REFUSED


def _watch(launcher: Launcher, daemons: Daemons, began: float, duration_s: int) -> None:
    """Wait for the end, saying how it goes."""
    next_line = began + PROGRESS_EVERY_S
    while (now := time.monotonic()) < began + duration_s:
        if not launcher.is_alive():
            raise LaunchError("the supervisor ended during the demo: see logs/supervisor.log", Exit.CRASH)
        if (failed := launcher.gave_up()) is not None:
            raise LaunchError(f"given up during the demo: {failed}", Exit.CRASH)
        if now >= next_line:
            next_line += PROGRESS_EVERY_S
            progress(_progress_line(daemons, now - began))
        time.sleep(min(0.1, max(0.0, began + duration_s - now)))


def _progress_line(daemons: Daemons, elapsed_s: float) -> str:
    try:
        pnl = daemons.pnl()
        execd, working, unknown, _, latch = daemons.execd_status()
        held = daemons.holds()
    except TradebotError as exc:
        return f"{elapsed_s:5.0f} s  {exc}"
    return (
        f"{elapsed_s:5.0f} s  {level_text(held.system_level, held.holds)}{' latch ' + latch if latch else ''}  "
        f"equity {pnl.equity} {pnl.currency}  "
        f"orders sent {execd.item('orders', '?')}  working {working}  unknown {unknown}"
    )


def _remember_switched(state: Path, strategy_ids: Sequence[str]) -> None:
    """Note what this demo switched off: the engine keeps that over restarts, and the next demo undoes it."""
    (supervisor_dir(state) / SWITCHED_OFF_NAME).write_text("\n".join(strategy_ids), encoding="utf-8")


def _switch_on_again(daemons: Daemons, state: Path) -> None:
    path = supervisor_dir(state) / SWITCHED_OFF_NAME
    if path.exists():
        for strategy_id in path.read_text(encoding="utf-8").split():
            daemons.enable(strategy_id, True, "the demo goes on", new_command_id())
        path.unlink()


def _settle(daemons: Daemons) -> None:
    """Wait until nothing but resting protection works."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while time.monotonic() < deadline:
        working = daemons.orders(working_only=True, instrument_id="", strategy_id="", limit=MAX_ORDERS_ASKED)
        if all(order.role == "PROTECTION" and order.status == "NEW" for order in working):
            return
        time.sleep(0.2)
    progress(f"orders still working after {SETTLE_TIMEOUT_S:.0f} s")


def paper_order_latency_ms(plan: Plan) -> float | None:
    """Return the order latency of the paper venue; None where simexchange has a market of its own."""
    if plan.common.mode is not Mode.PAPER:
        return None
    from simexchange.config import SimexchangeConfig  # brings the kernels: not for every command

    section = load_config(plan.config, "simexchange", SimexchangeConfig, plan.overrides).section
    return None if section.follow is None else section.follow.order_latency_ms


def collect(daemons: Daemons, mode: str, duration_s: float, startup_s: float) -> DemoSummary:
    """Ask every daemon what happened."""
    audit = daemons.audit()
    market, _ = daemons.marketdata_status()
    risk = daemons.riskd_status()
    execd, *_ = daemons.execd_status()
    pnl, held = daemons.pnl(), daemons.holds()
    tables = daemons.tables(flush=True)
    return DemoSummary(
        mode=mode,
        duration_s=round(duration_s, 1),
        messages=_integer(market, "messages"),
        intents=_integer(execd, "intents"),
        approvals=_integer(risk, "approvals"),
        refusals=_integer(risk, "refusals"),
        orders=_integer(execd, "orders"),
        fills=_integer(execd, "fills"),
        realized_pnl=pnl.realized_pnl,
        unrealized_pnl=pnl.unrealized_pnl,
        fees=pnl.fees,
        equity=pnl.equity,
        unapproved_orders=audit.unapproved_orders,
        unknown_orders=audit.unknown_orders,
        position_mismatches=audit.position_mismatches,
        tick_to_wire_us=Percentiles(
            _optional_float(execd, "tick_to_wire_us_p50"), _optional_float(execd, "tick_to_wire_us_p99")
        ),
        recorded_rows={item.table: item.rows for item in tables.tables},
        startup_s=round(startup_s, 1),
        findings=audit.findings,
        system_level=held.system_level,
        holds=held.holds,
    )


def _integer(daemon: views.DaemonView, name: str) -> int:
    return int(float(daemon.item(name, "0") or 0))


def _optional_float(daemon: views.DaemonView, name: str) -> float | None:
    text = daemon.item(name)
    return float(text) if text else None


def _run_with_console(launcher: Launcher, duration_s: int | None) -> int:
    """Open the console on the running system; when it is left, everything stops."""
    plan = launcher.plan
    command = [*console_command(plan.config, plan.state, operator_name(), Role.TRADER), "--owned"]
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the console while it has the terminal
    try:
        console = subprocess.Popen(command)
        try:
            code = console.wait(duration_s)
        except subprocess.TimeoutExpired:
            console.terminate()
            code = console.wait()
    finally:
        signal.signal(signal.SIGINT, old)
    progress("stopping every daemon; with `tradebot up` trading goes on without a console")
    launcher.stop()
    return Exit.OK if code in (0, -signal.SIGTERM) else Exit.CRASH


@dataclass(slots=True)
class _State:
    folder: Path
    keep: bool


@contextmanager
def _demo_state(wanted: Path | None) -> Iterator[_State]:
    """A fresh folder that goes away at the end, or the one that was asked for."""
    if wanted is not None:
        yield _State(wanted.resolve(), keep=True)
        return
    parent = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="tradebot-demo-", dir=parent if len(parent) <= MAX_TMP_CHARS else "/tmp"))
    state = _State(folder, keep=False)
    try:
        yield state
    except BaseException:
        state.keep = (folder / "logs").exists()  # before that there is nothing to look at
        raise
    finally:
        if state.keep:
            progress(f"state kept in {folder}: logs in {folder}/logs")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals_raise(numbers: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGHUP)) -> Iterator[None]:
    """Treat a polite kill like Ctrl-C, so that the system is stopped in order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    old = [(number, signal.signal(number, interrupt)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in old:
            signal.signal(number, handler)
