"""`python -m simexchange` as a process: it serves, stops when asked, and says in one line what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

PATIENCE_S = 20.0

pytestmark = pytest.mark.slow


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with the account's secrets."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    for name in ("demo_api_key", "demo_api_secret", "demo_read_key", "demo_read_secret"):
        path = folder / name
        path.write_text(f"{name}-value", encoding="utf-8")
        path.chmod(0o600)
    return tmp_path


def command(root: Path, state: Path, *overrides: str) -> list[str]:
    """Return the command line with these --set items."""
    flags = [flag for item in ("log.to=stderr", *overrides) for flag in ("--set", item)]
    return [
        sys.executable,
        "-m",
        "simexchange",
        "--config",
        str(root / "config/demo.yaml"),
        "--state",
        str(state),
        *flags,
    ]


def free_ports() -> list[int]:
    """Return two ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_it_serves_the_market_and_stops_when_asked(project_root: Path, state: Path) -> None:
    rest_port, ws_port = free_ports()
    arguments = command(
        project_root,
        state,
        f"simexchange.rest_port={rest_port}",
        f"simexchange.ws_port={ws_port}",
        "simexchange.history_s=60",
    )
    process = subprocess.Popen(arguments, cwd=project_root, stderr=subprocess.PIPE, text=True)
    try:
        answer = wait_for(f"http://127.0.0.1:{rest_port}/api/v3/ticker/price?symbol=BTCUSDT")
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        _, errors = process.communicate()

    assert 40_000 < float(answer["price"]) < 90_000
    assert process.returncode == 0, errors


def wait_for(url: str) -> dict[str, str]:
    """Ask until the server is there."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                body: dict[str, str] = json.load(response)
                return body
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("simexchange.sed=1", "simexchange.sed: unknown key; did you mean seed?"),
        ("simexchange.seed=x", "simexchange.seed"),
        ("simexchange.replay=/nowhere.log.gz", "/nowhere.log.gz"),
        ("simexchange.faults=[{kind: nope}]", "simexchange.faults.0.kind"),
        ("simexchange.venue=nope", "simexchange.venue"),
        ("mode=real", "never runs in real"),
        ("venues.binance.api_key_name=missing", "missing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(project_root: Path, state: Path, override: str, words: str) -> None:
    arguments = command(project_root, state, "simexchange.history_s=1", override)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRADEBOT_")}
    done = subprocess.run(
        arguments, cwd=project_root, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]

    assert done.returncode == 2
    assert len(said) == 1
    assert words in said[0]


def test_a_damaged_account_file_is_one_line_that_names_it_and_the_fix(project_root: Path, state: Path) -> None:
    (state / "simexchange").mkdir()
    (state / "simexchange" / "venue.jsonl").write_text("nonsense\n", encoding="utf-8")
    arguments = command(project_root, state, "simexchange.history_s=1")
    done = subprocess.run(arguments, cwd=project_root, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]

    assert done.returncode == 3
    assert len(said) == 1
    assert f"{state}/simexchange/venue.jsonl: line 1 is damaged: put back what it was, or start on a new" in said[0]
