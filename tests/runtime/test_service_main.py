"""The process shell, on real processes: ready, signals, reload, crashes, one-line errors and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runtime.journal_kit import overwrite, payloads_of, segments_of
from tradebot.runtime.journal_format import SEGMENT_HEAD_BYTES
from tradebot.runtime.sd_notify import SystemdNotifier

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(short_tmp_path: Path) -> Path:
    """A minimal environment file."""
    path = short_tmp_path / "demo.yaml"
    path.write_text("mode: demo\n")
    return path


def start(config: Path, *flags: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.runtime.echo_daemon", "--config", str(config)]
    return subprocess.Popen(
        [*command, "--state", str(config.parent / "state"), *flags],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(config: Path, *flags: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A daemon that has said READY; killed at the end if it still lives."""
    process = start(config, *flags, **environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Return (exit code, rest of stdout, lines of stderr that are not log lines)."""
    out, err = process.communicate(timeout=15)
    return process.returncode, out.splitlines(), [line for line in err.splitlines() if not line.startswith("{")]


def failing_start(config: Path, *flags: str) -> tuple[int, str]:
    """Start a daemon that must fail; return exit code and its one line."""
    code, _, lines = finish(start(config, *flags))

    assert len(lines) == 1, lines
    return code, lines[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_with_exit_code_0(config: Path, number: signal.Signals) -> None:
    with running(config) as process:
        process.send_signal(number)
        code, out, errors = finish(process)

    assert (code, out, errors) == (0, [f"STOP {number.name}"], [])
    assert payloads_of(config.parent / "state" / "journal" / "riskd") == [b"stopped in order"]


@pytest.mark.parametrize("how", ["task", "callback"])
def test_a_failing_task_or_callback_ends_the_process(config: Path, how: str) -> None:
    code, line = failing_start(config, "--fail", how)

    assert (code, line) == (70, "riskd: two plus two is five")


def test_a_failing_serve_ends_the_process(config: Path) -> None:
    assert failing_start(config, "--fail", "serve") == (70, "riskd: serve failed")


def test_a_second_instance_on_the_same_state_is_one_line_with_exit_code_3(config: Path) -> None:
    with running(config) as process:
        code, line = failing_start(config)
        still_alive = process.poll() is None

    assert code == 3
    assert f"is in use by pid {process.pid}: stop that process" in line
    assert still_alive


def test_a_corrupt_journal_is_one_line_with_exit_code_3(config: Path) -> None:
    for _ in range(3):
        with running(config) as process:
            process.terminate()
            finish(process)
    segment = segments_of(config.parent / "state" / "journal" / "riskd")[0]
    overwrite(segment, SEGMENT_HEAD_BYTES + 30, b"\xff")
    code, line = failing_start(config)

    assert code == 3
    assert line.startswith(f"riskd: journal {segment} is corrupt at byte 64 (record 1 damaged, valid records follow): ")


def test_an_unwritable_state_folder_is_one_line_with_exit_code_3(config: Path) -> None:
    code, line = failing_start(config, "--state", "/proc/tradebot")

    assert code == 3
    assert "state folder /proc/tradebot/journal/riskd cannot be used" in line


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("mode: dmo\n", [], "mode: input should be 'demo'"),
        ("mode: demo\nriskd: {greting: x}\n", [], "riskd.greting: unknown key; did you mean greeting?"),
        ("mode: [\n", [], "bad YAML at line 2, column 1"),
        ("mode: demo\n", ["--set", "riskd.fixed=many"], "riskd.fixed: input should be a valid integer"),
        ("mode: demo\n", ["--stat", "x"], "unrecognized arguments: --stat x: see --help"),
        ("mode: demo\nmetrics: {host: 192.0.2.1, ports: {riskd: 1}}\n", [], "metrics.ports.riskd 1 on 192.0.2.1"),
    ],
)
def test_a_configuration_mistake_is_one_line_with_exit_code_2(
    config: Path, text: str, flags: list[str], expected: str
) -> None:
    config.write_text(text)
    code, line = failing_start(config, *flags)

    assert code == 2
    assert line.startswith("riskd: ")
    assert expected in line


def test_a_taken_metrics_port_is_one_line_with_exit_code_2(config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = failing_start(config, "--set", f"metrics.ports.riskd={port}")

    assert (code, f"metrics.ports.riskd {port} on 127.0.0.1 cannot be used" in line) == (2, True)


def test_sighup_applies_reloadable_keys_and_refuses_the_rest_by_name(config: Path) -> None:
    with running(config) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        config.write_text("mode: demo\nriskd: {greeting: again, fixed: 2}\n")
        process.send_signal(signal.SIGHUP)
        refused = next(line for line in map(json.loads, process.stderr) if line["event"] == "reload_refused")
        config.write_text("mode: demo\nriskd: {greeting: again}\n")
        process.send_signal(signal.SIGHUP)
        applied = process.stdout.readline()

    assert refused["keys"] == ["riskd.fixed"]
    assert applied == "RELOADED again\n"


def test_sighup_changes_the_log_level_without_the_daemons_help(config: Path) -> None:
    config.write_text("mode: demo\nlog: {level: warning}\n")
    with running(config) as process:
        assert process.stderr is not None
        config.write_text("mode: demo\nlog: {level: info}\n")
        process.send_signal(signal.SIGHUP)
        first = json.loads(process.stderr.readline())

    assert (first["event"], first["keys"]) == ("reloaded", ["log.level"])


def test_systemd_hears_ready_watchdog_and_stopping(config: Path) -> None:
    address = config.parent / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(10)
        with running(config, NOTIFY_SOCKET=str(address), WATCHDOG_USEC="100000") as process:
            heard = [manager.recv(200) for _ in range(4)]
            process.terminate()
            while b"STOPPING=1" not in heard:
                heard.append(manager.recv(200))

    assert b"READY=1" in heard
    assert heard.count(b"WATCHDOG=1") >= 3


def test_without_systemd_nothing_is_sent_and_no_watchdog_runs() -> None:
    notifier = SystemdNotifier({})
    notifier.ready()

    assert notifier.watchdog_interval_s == 0


def test_a_watchdog_meant_for_another_process_is_ignored() -> None:
    assert SystemdNotifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_interval_s == 0
    assert SystemdNotifier({"WATCHDOG_USEC": "1000000"}).watchdog_interval_s == 0.5


def test_an_abstract_notify_address_works() -> None:
    name = f"tradebot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(5)
        SystemdNotifier({"NOTIFY_SOCKET": f"@{name}"}).status("warming up")

        assert manager.recv(100) == b"STATUS=warming up"
