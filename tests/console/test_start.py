"""Starting and leaving: fast, light, with one clear line when something is wrong. Each in a process of its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from console.__main__ import exit_line

HEAVY = ("ccxt", "numba", "scipy", "polars", "pandas", "numpy", "uvloop")
MAX_IMPORT_CPU_S = 1.5
"""Goal: one second on a quiet machine. CPU time, because the wall clock of a busy build machine measures its
neighbours.
"""
MAX_RSS_MIB = 90
DEMO = "mode: demo\nlog:\n  to: file\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def test_the_console_imports_nothing_heavy_and_starts_fast() -> None:
    code = (
        "import sys, time, console.__main__, console.app, console.client\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], time.process_time())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    loaded, cpu_s = answer.rsplit(" ", 1)

    assert loaded == "[]"
    assert float(cpu_s) < MAX_IMPORT_CPU_S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mode: demo\nconsole:\n  paint_hz: 99\n", "console.paint_hz"),
        ("mode: demo\nconsole:\n  pain_hz: 10\n", "did you mean paint_hz?"),
        ("mode: [", "bad YAML"),
    ],
)
def test_a_bad_configuration_is_one_line_and_exit_code_2(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text, encoding="utf-8")
    code = (
        "import os, pty, sys\n"
        "from console.__main__ import main\n"
        "sys.stdin.isatty = sys.stderr.isatty = lambda: True\n"
        f"sys.exit(main(['--config', {str(file)!r}, '--state', {str(tmp_path)!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)

    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert expected in result.stderr


def test_without_a_terminal_it_says_what_to_use_instead(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(DEMO, encoding="utf-8")
    result = run("--config", str(file), "--state", str(tmp_path))

    assert result.returncode == 2
    assert result.stderr == "console: standard input or error is not a terminal: use `tradebot status` in scripts\n"


def test_the_exit_line_says_what_leaving_means() -> None:
    assert "trading goes on" in exit_line("real", owned=False)
    assert "stops now" in exit_line("demo", owned=True)


@pytest.mark.timeout(90)
def test_on_a_terminal_it_paints_leaves_with_q_and_writes_nothing_outside_its_state(short_tmp_path: Path) -> None:
    """A real terminal, no daemon: it must paint question marks, stay small, and say that trading goes on."""
    file = short_tmp_path / "c.yaml"
    file.write_text(DEMO, encoding="utf-8")
    state = short_tmp_path / "state"
    process, terminal = open_on_terminal(file, state)
    seen = read_until(terminal, b"LEVEL ?", 20)
    rss_mib = rss_of(process.pid)
    os.write(terminal, b"q")
    seen += read_until(terminal, b"trading goes on", 20)
    code = process.wait(20)
    os.close(terminal)

    assert b"LEVEL ?" in seen
    assert b"trading goes on" in seen
    assert code == 0
    assert rss_mib < MAX_RSS_MIB
    assert not state.exists(), "a client makes no state folder"


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_quiet_screen_costs_little_cpu_and_output(short_tmp_path: Path) -> None:
    file = short_tmp_path / "c.yaml"
    file.write_text(DEMO, encoding="utf-8")
    process, terminal = open_on_terminal(file, short_tmp_path / "state")
    read_until(terminal, b"LEVEL ?", 20)
    read_until(terminal, b"never comes", 2)
    before, began = cpu_s_of(process.pid), time.monotonic()
    painted = read_until(terminal, b"never comes", 6)
    elapsed = time.monotonic() - began
    used = cpu_s_of(process.pid) - before
    os.write(terminal, b"q")
    process.wait(20)
    os.close(terminal)

    assert used / elapsed < 0.20
    assert len(painted) / elapsed < 80_000


def open_on_terminal(config: Path, state: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the console on a pseudo terminal of 120x36; return it and our end."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "36"}
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "--config", str(config), "--state", str(state), "--operator", "ana"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def read_until(terminal: int, wanted: bytes, timeout_s: float) -> bytes:
    """Read what is painted until something appears or time is over."""
    seen = b""
    deadline = time.monotonic() + timeout_s
    while wanted not in seen and (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([terminal], [], [], left)
        if ready:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:
                break  # the other end is closed
    return seen


def rss_of(pid: int) -> float:
    """Return resident memory in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_s_of(pid: int) -> float:
    """Return CPU seconds used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
