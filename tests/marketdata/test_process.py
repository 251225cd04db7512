"""marketdata as a process: mistakes are one line that says what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT

CONFIG = """
mode: demo
venues:
  binance:
    rest_url: http://127.0.0.1:9
    market_ws_url: ws://127.0.0.1:9
    trade_ws_url: ws://127.0.0.1:9
    symbols: [BTCUSDT]
"""


def start(folder: Path, config: str, *arguments: str) -> subprocess.Popen[str]:
    """Start the daemon with this configuration."""
    path = folder / "test.yaml"
    path.write_text(config, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "marketdata", "--config", str(path), "--state", str(folder), *arguments],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("config", "arguments", "named"),
    [
        (CONFIG, ("--set", "marketdata.book_depht=5"), "marketdata.book_depht: unknown key; did you mean book_depth?"),
        (CONFIG, ("--set", "marketdata.book_depth=0"), "marketdata.book_depth"),
        (CONFIG.replace("binance:", "acme:"), (), "venues.acme: unknown venue; known are"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    short_tmp_path: Path, config: str, arguments: tuple[str, ...], named: str
) -> None:
    process = start(short_tmp_path, config, *arguments)
    _, complaint = process.communicate(timeout=20)
    last = complaint.strip().splitlines()[-1]

    assert process.returncode == 2
    assert last.startswith("marketdata: ")
    assert named in last


def test_it_waits_for_a_venue_that_is_not_there_and_stops_when_asked(short_tmp_path: Path) -> None:
    process = start(short_tmp_path, CONFIG, "--set", "log.to=file")
    log = short_tmp_path / "logs" / "marketdata.log"
    deadline = time.monotonic() + 15
    while "instruments_not_loaded" not in (log.read_text() if log.exists() else ""):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0
