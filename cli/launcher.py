"""Bringing a system up: check what can be checked, make keys, start the supervisor, wait until every daemon serves.

Errors are one line each: what a daemon wrote as its last words is what the operator reads.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.client import Daemons
from cli.config import load_common
from cli.exit_codes import Exit
from cli.restarts import describe_exit
from cli.run_state import RunStatus, is_supervised, read_status, supervisor_dir
from tradebot.core.errors import ConfigError, TradebotError
from tradebot.runtime.config import CommonConfig, Mode
from tradebot.runtime.credentials import write_private
from tradebot.runtime.endpoints import socket_path
from tradebot.runtime.identity import Role
from tradebot.runtime.keys import APPROVAL_KEY_FILE, create_key_file, load_keyring
from tradebot.runtime.state_dir import prepare_state_dir

DAEMONS: Final = ("marketdata", "riskd", "execd", "engine", "recorder")
EYES: Final = "eyes"
"""Runs where a venue has a key that may only read."""
READY_TIMEOUT_S: Final = 90.0
COMPILE_TIMEOUT_S: Final = 600.0
"""Kernels are compiled once per checkout: half a minute, several on a small machine."""
COMPILE_SILENT_S: Final = 3.0
"""Loading them takes less."""
MARKETS_TIMEOUT_S: Final = 15.0
"""A book is there a second after its daemon; a halted market never has one."""
STOP_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.1
_ADDRESS_KEY: Final = re.compile(r"simexchange\.(rest|ws)_port=|venues\.[^.]+\.(rest|market_ws|trade_ws)_url=")
NOT_BUILT: Final = {
    Mode.TESTNET: "no venue testnet has been verified yet",
    Mode.REAL: "preflight and the key-permission check do not exist yet",
    Mode.BACKTEST: "a backtest starts what it needs itself: use tradebot backtest",
}
"""Modes that are refused, and why."""


class LaunchError(TradebotError):
    """The system did not come up; `exit_code` is that of the command."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be started."""

    config: Path
    state: Path
    common: CommonConfig
    daemons: tuple[str, ...]
    overrides: tuple[str, ...]
    own: tuple[str, ...] = ()
    """`<daemon>:<setting>` that only one daemon gets."""


def make_plan(config: Path, state: Path | None, overrides: Sequence[str] = ()) -> Plan:
    """Check the configuration of every program that will be started, and the state folder; choose daemons and ports.

    Raises:
        ConfigError: If anything is unusable; nothing was made then.
        LaunchError: If a system runs on this state folder already.
    """
    common = load_common(config, state, tuple(overrides))
    reason = NOT_BUILT.get(common.mode)
    if reason is not None:
        raise ConfigError(f"mode {common.mode} cannot be started yet: {reason}; use config/demo.yaml")
    folder = common.state_dir.resolve()
    socket_path(common.transport.run_dir or folder / "run", "marketdata", Role.SIMEXCHANGE)  # the longest of all names
    if is_supervised(folder):
        run = read_status(folder)
        raise LaunchError(
            f"a system runs on {folder} already (supervisor pid {run.pid if run else 'unknown'}): "
            f"stop it with `tradebot down --state {folder}` or choose another --state",
            Exit.UNREACHABLE,
        )
    daemons = ("simexchange", *daemons_of(common))
    moved, own = paper_ports(common) if common.mode is Mode.PAPER else (demo_ports(common, overrides), ())
    from cli.sections import check_sections  # here, because most commands start nothing and need not import it all

    check_sections(config, tuple(overrides))
    prepare_state_dir(folder)
    return Plan(config.resolve(), folder, common, daemons, (*overrides, *moved), own)


def daemons_of(common: CommonConfig) -> tuple[str, ...]:
    """Return the daemons that a configuration asks for, in the order of starting."""
    return (*DAEMONS, EYES) if any(venue.read_key_name for venue in common.venues.values()) else DAEMONS


def paper_ports(common: CommonConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return settings for all and for execd alone: market data stays the real venue's, orders go to simexchange.

    execd and the eyes read account and orders where they are sent; marketdata reads books and rules at the real venue.
    """
    rest, stream = free_ports(2)
    moved = [f"simexchange.rest_port={rest}", f"simexchange.ws_port={stream}"]
    moved += [f"venues.{name}.trade_ws_url=ws://127.0.0.1:{stream}/ws-api/v3" for name in common.venues]
    readers = [(daemon, name) for daemon in ("execd", EYES) for name in common.venues]
    return tuple(moved), tuple(f"{daemon}:venues.{name}.rest_url=http://127.0.0.1:{rest}" for daemon, name in readers)


def demo_ports(common: CommonConfig, overrides: Sequence[str]) -> tuple[str, ...]:
    """Return overrides that move simexchange to free ports, so that two demos do not meet; none where one was given
    by hand.
    """
    if any(_ADDRESS_KEY.match(item) for item in overrides):
        return ()
    rest, stream = free_ports(2)
    moved = [f"simexchange.rest_port={rest}", f"simexchange.ws_port={stream}"]
    for name in common.venues:
        moved += [
            f"venues.{name}.rest_url=http://127.0.0.1:{rest}",
            f"venues.{name}.market_ws_url=ws://127.0.0.1:{stream}",
            f"venues.{name}.trade_ws_url=ws://127.0.0.1:{stream}/ws-api/v3",
        ]
    return tuple(moved)


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free on loopback now. Somebody may take one before its owner does: that daemon then
    says so.
    """
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def prepare_keys(common: CommonConfig, state: Path) -> list[Path]:
    """Make what is not there: the approval key and, where the venue is simulated, its API keys. Never overwrites.

    Returns:
        What was made.

    Raises:
        ConfigError: If an existing key is unusable or belongs to another environment.
    """
    made = []
    key_file = state / "keys" / APPROVAL_KEY_FILE
    if key_file.exists():
        load_keyring(key_file, common.mode)
    else:
        create_key_file(key_file, common.mode)
        made.append(key_file)
    if common.mode not in (Mode.DEMO, Mode.PAPER):
        return made  # a real venue gives its keys itself
    folder = common.secrets.credentials_dir or state / "credentials"
    for venue in common.venues.values():
        for name in venue.secret_names:
            if name and not (folder / name).exists():
                write_private(folder / name, f"{secrets.token_hex(32)}\n".encode())
                made.append(folder / name)
    return made


def compile_kernels(say: Callable[[str], None]) -> None:
    """Compile the numeric kernels where that was never done, before any daemon counts the seconds of its silence.

    Raises:
        LaunchError: If they cannot be compiled.
    """
    command = [sys.executable, "-m", "tradebot.sim.warm_up"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as work:
        try:
            try:
                _, complaint = work.communicate(timeout=COMPILE_SILENT_S)
            except subprocess.TimeoutExpired:
                say("compiling the numeric kernels, once for this checkout: a minute or two")
                _, complaint = work.communicate(timeout=COMPILE_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            raise LaunchError(f"the numeric kernels did not compile in {COMPILE_TIMEOUT_S:.0f} s", Exit.CRASH) from exc
        finally:
            work.kill()
    if work.returncode:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["nothing was said"])[-1]
        raise LaunchError(f"the numeric kernels do not compile (`python -m tradebot.sim.warm_up`): {last}", Exit.CRASH)


class Launcher:
    """One supervisor process, from its start to its end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, detach: bool) -> None:
        """Start the supervisor in a session of its own: Ctrl-C is ours to translate into an orderly stop."""
        plan = self.plan
        command = [sys.executable, "-m", "cli.supervisor", "--mode", plan.common.mode, "--config", str(plan.config)]
        command += ["--state", str(plan.state), "--daemons", ",".join(plan.daemons)]
        for override in plan.overrides:
            command += ["--set", override]
        for setting in plan.own:
            command += ["--set-one", setting]
        if not detach:
            command.append("--die-with-parent")
        logs = plan.state / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self, daemons: Daemons, say: Callable[[str], None]) -> float:
        """Wait until every daemon serves and riskd sees every market; return the seconds it took.

        A market that is halted has no live book, and some profiles watch longer: after MARKETS_TIMEOUT_S that is said
        and the system counts as ready.

        Raises:
            LaunchError: If one gave up, the supervisor ended, or it took too long; everything has been stopped then.
        """
        began = time.monotonic()
        waiting = [name for name in self.plan.daemons if name != "simexchange"]
        try:
            while waiting:
                self._raise_if_failed()
                if time.monotonic() - began > READY_TIMEOUT_S:
                    raise LaunchError(
                        f"{', '.join(waiting)} not ready after {READY_TIMEOUT_S:.0f} s: see {self.plan.state}/logs",
                        Exit.UNREACHABLE,
                    )
                for name in waiting[:]:
                    if daemons.is_serving(name):
                        waiting.remove(name)
                        say(f"{name} serves after {time.monotonic() - began:.1f} s")
                time.sleep(POLL_S)
            self._wait_for_markets(daemons, say)
        except LaunchError:
            self.stop()
            raise
        return time.monotonic() - began

    def _wait_for_markets(self, daemons: Daemons, say: Callable[[str], None]) -> None:
        deadline = time.monotonic() + MARKETS_TIMEOUT_S
        while not daemons.sees_every_market():
            self._raise_if_failed()
            if time.monotonic() > deadline:
                say("riskd has not watched every market long enough yet and refuses entries there: `tradebot status`")
                return
            time.sleep(POLL_S)

    def is_alive(self) -> bool:
        """Return whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def gave_up(self) -> str | None:
        """Return what a daemon said that the supervisor gave up on, None while all is well."""
        run = self._run()
        failed = [item for item in run.daemons if item.state == "gave_up"] if run else []
        return f"{failed[0].name}: {failed[0].error}" if failed else None

    def wait(self) -> int:
        """Wait until the supervisor ends."""
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> bool:
        """Stop everything in order; return whether it ended in time."""
        process = self._process
        if process is None or process.poll() is not None:
            return True
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def _run(self) -> RunStatus | None:
        run = read_status(self.plan.state)
        return run if run is not None and self._process is not None and run.pid == self._process.pid else None

    def _raise_if_failed(self) -> None:
        run = self._run()
        for item in run.daemons if run else ():
            if item.state == "gave_up":
                code = int(item.exit_code if item.exit_code in (Exit.USAGE, Exit.UNREACHABLE) else Exit.CRASH)
                text = item.error if item.error.startswith(f"{item.name}:") else f"{item.name}: {item.error}"
                raise LaunchError(text, code)
        if self._process is not None and (ended := self._process.poll()) is not None:
            last = _last_line(self.plan.state / "logs" / "supervisor.log")
            text = f"the supervisor ended with {describe_exit(ended)}: {last}"
            raise LaunchError(text, ended if ended > 0 else Exit.CRASH)


def stop_supervised(state: Path, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """Stop the supervisor of a state folder from another process; return False when it did not end in time."""
    run = read_status(state)
    if run is None or not is_supervised(state):
        return True
    os.kill(run.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while is_supervised(state):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else f"nothing in {supervisor_dir(path.parent.parent)}"
