"""The supervisor with real child processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.run_state import (
    DaemonRun,
    RunStatus,
    find_state,
    is_supervised,
    read_status,
    register,
    running_states,
    supervisor_dir,
    unregister,
    write_status,
)
from cli.supervisor import Child, Supervisor
from tradebot.core.errors import ConfigError
from tradebot.runtime.state_dir import StateLock

FOREVER = "import time\nwhile True: time.sleep(0.05)"
CONFIG_LINE = "riskd: config/demo.yaml: riskd.limits: required key is missing: add it"
CONFIG_ERROR = f"import sys; print({CONFIG_LINE!r}, file=sys.stderr); sys.exit(2)"
WAIT_S = 10.0


class Family:
    """A supervisor over small Python programs, run in a thread."""

    def __init__(self, state: Path, **programs: str) -> None:
        self.state = state
        self.said: list[str] = []
        supervisor_dir(state).mkdir(parents=True)
        runs = [DaemonRun(name) for name in programs]
        self.status = RunStatus(os.getpid(), "demo", "demo.yaml", str(state), 1, daemons=runs)
        self.children = [
            Child(run, [sys.executable, "-c", code], state / f"{run.name}.stderr")
            for run, code in zip(runs, programs.values(), strict=True)
        ]
        self.supervisor = Supervisor(self.status, self.children, self.said.append)
        self._thread = threading.Thread(target=lambda: self.supervisor.run(time.sleep))

    def __enter__(self) -> Family:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.request_stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def run(self, name: str) -> DaemonRun:
        return next(run for run in self.status.daemons if run.name == name)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)


def test_a_killed_daemon_is_started_again(tmp_path: Path) -> None:
    with Family(tmp_path, engine=FOREVER) as family:
        family.until(lambda: family.run("engine").pid != 0)
        first = family.run("engine").pid
        os.kill(first, signal.SIGKILL)
        family.until(lambda: family.run("engine").pid not in (0, first))

    assert family.run("engine").restarts == 1
    assert family.said == ["engine ended (signal 9); restarting"]


def test_a_configuration_error_is_shown_in_the_daemons_own_words_and_not_retried(tmp_path: Path) -> None:
    with Family(tmp_path, riskd=CONFIG_ERROR) as family:
        family.until(lambda: family.run("riskd").state == "gave_up")
    stored = read_status(tmp_path)

    assert family.run("riskd").restarts == 0
    assert stored is not None
    assert stored.daemons[0].error == CONFIG_LINE
    assert stored.daemons[0].exit_code == 2


def test_daemons_stop_in_order_those_who_want_orders_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import signal, sys, time\n"
        f"def end(*_):\n    open({str(log)!r}, 'a').write('NAME '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(tmp_path)!r} + '/NAME.up', 'w').close()\n"
        "while True: time.sleep(0.05)"
    )
    names = ("simexchange", "marketdata", "riskd", "execd", "engine", "recorder", "eyes")
    with Family(tmp_path, **{name: code.replace("NAME", name) for name in names}) as family:
        family.until(lambda: all((tmp_path / f"{name}.up").exists() for name in names))

    assert log.read_text().split() == ["engine", "execd", "eyes", "riskd", "recorder", "marketdata", "simexchange"]
    assert family.status.phase == "stopped"


def test_a_daemon_that_ignores_sigterm_is_killed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.supervisor.STOP_TIMEOUT_S", 0.2)
    up = tmp_path / "up"
    stubborn = f"import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen({str(up)!r}, 'w')\n" + FOREVER
    with Family(tmp_path, execd=stubborn) as family:
        family.until(up.exists)

    assert family.said == ["execd did not stop within 0 s and was killed"]
    assert family.run("execd").state == "stopped"


def test_a_second_supervisor_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with StateLock.acquire(supervisor_dir(tmp_path)):
        assert is_supervised(tmp_path)
        with pytest.raises(ConfigError, match="in use by pid"):
            StateLock.acquire(supervisor_dir(tmp_path))

    assert not is_supervised(tmp_path)


def test_a_command_finds_the_only_running_system_and_never_guesses_between_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one, two, configured = tmp_path / "one", tmp_path / "two", tmp_path / "configured"
    with StateLock.acquire(supervisor_dir(one)):
        register(one)
        assert find_state(None, configured) == one
        with StateLock.acquire(supervisor_dir(two)):
            register(two)
            with pytest.raises(ConfigError, match="several systems run"):
                find_state(None, configured)
            assert find_state(two, configured) == two
        assert running_states() == [one]
        unregister(one)

    assert find_state(None, configured) == configured


def test_a_damaged_status_file_reads_as_none(tmp_path: Path) -> None:
    supervisor_dir(tmp_path).mkdir()
    write_status(tmp_path, RunStatus(1, "demo", "c", "s", 1))
    good = read_status(tmp_path)
    (supervisor_dir(tmp_path) / "status.json").write_text('{"pid": 1')

    assert good is not None
    assert read_status(tmp_path) is None
