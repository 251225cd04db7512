"""The local supervisor: one process that starts the daemons, restarts what falls and stops everything in the right
order.

Runs as `python -m cli.supervisor`; `tradebot up` and `tradebot demo` start it. It is single-threaded and never
imports gRPC, so that forking children stays safe. It knows nothing about trading but the order in which to stop: who
wants orders first, who sends them second, who approves them third, who writes it all down afterwards. In production
systemd takes its place.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from cli.exit_codes import Exit
from cli.restarts import GiveUp, RestartAt, RestartPolicy, describe_exit
from cli.run_state import DaemonRun, RunStatus, register, supervisor_dir, unregister, write_status
from tradebot.core.errors import ConfigError
from tradebot.runtime.identity import module_of
from tradebot.runtime.state_dir import StateLock

STOP_ORDER: tuple[tuple[str, ...], ...] = (
    ("engine",),
    ("execd",),
    ("eyes",),
    ("riskd",),
    ("recorder",),
    ("marketdata",),
    ("simexchange",),
)
"""One step per row: a step begins when the one before has ended. The recorder goes after those whose last words it
writes.
"""
STOP_TIMEOUT_S = 8.0
"""A daemon that has not ended by then gets SIGKILL; every daemon recovers from that."""
TICK_S = 0.05
RUNNING_AFTER_S = 1.0
"""A child that has lived this long counts as running."""
ERROR_TAIL_BYTES = 8_192
PR_SET_PDEATHSIG = 1
HALTING_CRASH_LOOPS = frozenset({"riskd", "execd"})
"""A crash loop of one of these raises HALTED: somebody has to look before trading goes on."""

Say = Callable[[str], None]


class Child:
    """One daemon: its process, its restart policy, what is known about it."""

    def __init__(self, run: DaemonRun, command: Sequence[str], stderr_path: Path) -> None:
        self.run = run
        self.restart_at_ns: int | None = None
        self._command = list(command)
        self._stderr_path = stderr_path
        self._policy = RestartPolicy()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._stderr_start = 0
        self._started_ns = 0

    def start(self, now_ns: int) -> None:
        """Start the process; its output goes to a file of its own."""
        self.restart_at_ns = None
        self._stderr = self._stderr_path.open("ab")
        self._stderr_start = self._stderr.tell()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C in the terminal is for the launcher; we stop children in order
            preexec_fn=die_with_parent,  # noqa: PLW1509  this process has one thread
        )
        self._policy.started(now_ns)
        self._started_ns = now_ns
        self.run.pid, self.run.state = self._process.pid, "starting"

    def poll(self, now_ns: int) -> RestartAt | GiveUp | None:
        """Notice that it ended. Return what follows, None while it runs or was dealt with."""
        process = self._process
        if process is None:
            return None
        exit_code = process.poll()
        if exit_code is None:
            if self.run.state == "starting" and now_ns - self._started_ns > RUNNING_AFTER_S * 1e9:
                self.run.state = "running"
            return None
        self._note_end(exit_code)
        return self._policy.ended(exit_code, now_ns)

    def ask_to_stop(self) -> None:
        """Send SIGTERM: finish cleanly."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_stopped(self, timeout_s: float) -> bool:
        """Wait for the end; after the time-out use SIGKILL. Return whether it ended by itself."""
        process, clean = self._process, True
        if process is None:
            return True
        try:
            exit_code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            exit_code, clean = process.wait(), False
        self._note_end(exit_code)
        self.run.state = "stopped"
        return clean

    def _note_end(self, exit_code: int) -> None:
        if self._stderr is not None:
            self._stderr.close()
        self._process = self._stderr = None
        self.run.pid, self.run.exit_code = 0, exit_code
        self.run.error = self._last_words() or describe_exit(exit_code)

    def _last_words(self) -> str:
        """Return the last line this process wrote to standard error: our daemons end with a one-line error."""
        try:
            with self._stderr_path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(self._stderr_start, file.tell() - ERROR_TAIL_BYTES))
                lines = file.read(ERROR_TAIL_BYTES).decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Supervisor:
    """Starts, watches, restarts and stops the daemons of one state folder."""

    def __init__(self, status: RunStatus, children: Sequence[Child], say: Say) -> None:
        self._status = status
        self._children = children
        self._say = say
        self._stopping = False
        self._state = Path(status.state)

    def request_stop(self) -> None:
        """Stop at the next turn; safe in a signal handler."""
        self._stopping = True

    def run(self, wait: Callable[[float], None]) -> None:
        """Watch until somebody asks to stop, then stop everything."""
        for child in self._children:
            child.start(time.monotonic_ns())
        self._write()
        while not self._stopping:
            wait(TICK_S)
            if self._turn(time.monotonic_ns()):
                self._write()
        self.stop_all()

    def stop_all(self) -> None:
        """Stop in STOP_ORDER."""
        self._status.phase = "stopping"
        self._write()
        by_name = {child.run.name: child for child in self._children}
        for step in STOP_ORDER:
            members = [by_name[name] for name in step if name in by_name]
            for child in members:
                child.ask_to_stop()
            for child in members:
                if not child.wait_stopped(STOP_TIMEOUT_S):
                    self._say(f"{child.run.name} did not stop within {STOP_TIMEOUT_S:.0f} s and was killed")
            self._write()
        self._status.phase = "stopped"
        self._write()

    def _turn(self, now_ns: int) -> bool:
        """Look at every child once. Return whether anything changed."""
        changed = False
        for child in self._children:
            before = child.run.state
            if child.restart_at_ns is not None and now_ns >= child.restart_at_ns:
                child.run.restarts += 1
                child.start(now_ns)
            match child.poll(now_ns):
                case RestartAt(at_ns):
                    child.run.state, child.restart_at_ns = "waiting", at_ns
                    self._say(f"{child.run.name} ended ({child.run.error}); restarting")
                case GiveUp(reason, crash_loop):
                    child.run.state = "gave_up"
                    self._say(f"{child.run.name} given up: {reason}: {child.run.error}")
                    if crash_loop and child.run.name in HALTING_CRASH_LOOPS:
                        self._halt(f"crash loop of {child.run.name}")
            changed |= before != child.run.state
        return changed

    def _halt(self, reason: str) -> None:
        """Raise HALTED through the ordinary command, in a process of its own; nobody waits for it."""
        command = [sys.executable, "-m", "cli", "halt", "--state", self._status.state, "--config", self._status.config]
        subprocess.Popen(
            [*command, "--operator", "supervisor", "--reason", reason],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _write(self) -> None:
        write_status(self._state, self._status)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when our parent dies: a killed supervisor leaves no unsupervised trading behind."""
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


_LIBC = ctypes.CDLL(None, use_errno=True)


def daemon_command(
    daemon: str, config: Path, state: Path, overrides: Sequence[str], own: Sequence[str] = ()
) -> list[str]:
    """Return the command line of one daemon.

    Args:
        daemon: Its name.
        config: Environment file.
        state: State folder.
        overrides: Settings that all daemons get.
        own: `<daemon>:<setting>`: settings that only one gets, after the others.
    """
    command = [sys.executable, "-m", module_of(daemon), "--config", str(config), "--state", str(state)]
    mine = [item.removeprefix(f"{daemon}:") for item in own if item.startswith(f"{daemon}:")]
    for override in (*overrides, *mine):
        command += ["--set", override]
    return command


def build(
    mode: str,
    config: Path,
    state: Path,
    daemons: Sequence[str],
    overrides: Sequence[str],
    say: Say,
    own: Sequence[str] = (),
) -> Supervisor:
    """Put a supervisor together; nothing is started yet."""
    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    runs = [DaemonRun(name) for name in daemons]
    status = RunStatus(os.getpid(), mode, str(config), str(state), time.time_ns(), "running", list(overrides), runs)
    children = [
        Child(run, daemon_command(run.name, config, state, overrides, own), logs / f"{run.name}.stderr") for run in runs
    ]
    return Supervisor(status, children, say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run in the foreground until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m cli.supervisor")
    parser.add_argument("--mode", required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--daemons", required=True, help="comma-separated")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--set-one", dest="own", action="append", default=[], metavar="DAEMON:KEY=VALUE")
    parser.add_argument("--die-with-parent", action="store_true")
    options = parser.parse_args(arguments)
    if options.die_with_parent:
        parent = os.getppid()
        die_with_parent()
        if parent == 1:
            return Exit.OK
    state = options.state.resolve()

    def say(text: str) -> None:
        print(f"supervisor: {text}", file=sys.stderr, flush=True)

    try:
        with StateLock.acquire(supervisor_dir(state)):
            daemons, config = options.daemons.split(","), options.config.resolve()
            supervisor = build(options.mode, config, state, daemons, options.overrides, say, options.own)
            register(state)
            try:
                supervisor.run(_waiter(supervisor))
            finally:
                unregister(state)
    except ConfigError as exc:
        say(str(exc))
        return Exit.UNREACHABLE
    return Exit.OK


def _waiter(supervisor: Supervisor) -> Callable[[float], None]:
    """Return a sleep that a signal (a child's end, SIGTERM) cuts short."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.request_stop())

    def wait(timeout_s: float) -> None:
        if select.select([reader], [], [], timeout_s)[0]:
            os.read(reader, 4_096)

    return wait


if __name__ == "__main__":
    sys.exit(main())
