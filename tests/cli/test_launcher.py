"""Starting and stopping real daemons: ready, refused in one line, gone with their supervisor."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cli.client import Daemons
from cli.exit_codes import Exit
from cli.launcher import (
    Launcher,
    LaunchError,
    Plan,
    compile_kernels,
    free_ports,
    make_plan,
    prepare_keys,
    stop_supervised,
)
from cli.run_state import is_supervised, read_status
from tradebot.core.errors import ConfigError
from tradebot.runtime.config import Mode
from tradebot.runtime.identity import Role
from tradebot.runtime.keys import create_key_file

DEMO = Path("config/demo.yaml")
WAIT_S = 15.0


def plan_for(state: Path, *overrides: str, daemons: tuple[str, ...] = ("recorder",)) -> Plan:
    plan = replace(make_plan(DEMO, state, overrides), daemons=daemons)
    prepare_keys(plan.common, plan.state)
    return plan


@contextmanager
def launched(plan: Plan) -> Iterator[Launcher]:
    launcher = Launcher(plan)
    launcher.start(detach=False)
    try:
        yield launcher
    finally:
        launcher.stop()


def wait_ready(launcher: Launcher) -> None:
    with Daemons(launcher.plan.common, Role.TRADER, "test") as daemons:
        launcher.wait_ready(daemons, lambda _: None)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def refusal(plan: Plan) -> LaunchError:
    """Return the one line with which a system that cannot work refuses to start."""
    with launched(plan) as launcher, pytest.raises(LaunchError) as caught:
        wait_ready(launcher)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_system_starts_is_found_and_stops(short_tmp_path: Path) -> None:
    with launched(plan_for(short_tmp_path)) as launcher:
        wait_ready(launcher)
        run = read_status(short_tmp_path)
        with pytest.raises(LaunchError, match=r"a system runs on .* already \(supervisor pid") as second:
            make_plan(DEMO, short_tmp_path)
        stopped = stop_supervised(short_tmp_path)

    assert run is not None
    assert second.value.exit_code == Exit.UNREACHABLE
    assert stopped
    assert not is_supervised(short_tmp_path)
    assert not is_alive(run.daemons[0].pid)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("recorder.flush_rows=many", "recorder.flush_rows: input should be a valid integer"),
        ("engine.strategis=[]", "engine.strategis: unknown key; did you mean strategies?"),
        ("riskd.limit=x.yaml", "riskd.limit: unknown key; did you mean limits?"),
        ("riskd.limits=none.yaml", "none.yaml: cannot be read"),
        ("execd.unknown.repeat=1", "execd.unknown.repeat: unknown key"),
        ("eyes.interval_ms=1", "eyes.interval_ms: input should be greater than or equal to 500"),
        ("marketdata.wrong=1", "marketdata.wrong: unknown key"),
        ("simexchange.sead=1", "simexchange.sead: unknown key; did you mean seed?"),
        ("console.paint_hz=0", "console.paint_hz: input should be greater than or equal to 4"),
    ],
)
def test_a_mistake_in_any_section_is_one_line_before_anything_is_made(
    short_tmp_path: Path, setting: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(DEMO, short_tmp_path / "state", (setting,))

    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (short_tmp_path / "state").exists()


def test_a_mistake_in_the_limits_file_is_found_too(short_tmp_path: Path) -> None:
    limits = short_tmp_path / "limits.yaml"
    limits.write_text(Path("config/limits/demo.yaml").read_text().replace("cool_off_min:", "cool_of_min:", 1))
    with pytest.raises(ConfigError, match=r"limits\.yaml: cool_of_min: unknown key; did you mean cool_off_min"):
        make_plan(DEMO, short_tmp_path / "state", (f"riskd.limits={limits}",))

    assert not (short_tmp_path / "state").exists()


def test_a_damaged_database_is_refused_and_left_alone(short_tmp_path: Path) -> None:
    path = short_tmp_path / "db" / "tradebot.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"damaged" * 1_000)
    error = refusal(plan_for(short_tmp_path))

    assert error.exit_code == Exit.UNREACHABLE
    assert "move it away" in str(error)
    assert path.read_bytes() == b"damaged" * 1_000


def test_a_taken_port_is_named(short_tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        plan = plan_for(
            short_tmp_path, f"simexchange.rest_port={port}", "simexchange.ws_port=0", daemons=("simexchange",)
        )
        launcher = Launcher(plan)
        launcher.start(detach=False)
        try:
            until(lambda: launcher.gave_up() is not None)
            said = launcher.gave_up()
        finally:
            launcher.stop()

    assert said is not None
    assert str(port) in said


def test_daemons_end_when_their_supervisor_is_killed(short_tmp_path: Path) -> None:
    with launched(plan_for(short_tmp_path)) as launcher:
        wait_ready(launcher)
        run = read_status(short_tmp_path)
        assert run is not None
        os.kill(run.pid, signal.SIGKILL)
        until(lambda: not is_alive(run.daemons[0].pid))

    assert not is_supervised(short_tmp_path)
    with sqlite3.connect(short_tmp_path / "db" / "tradebot.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_killed_daemon_serves_again(short_tmp_path: Path) -> None:
    with launched(plan_for(short_tmp_path)) as launcher:
        wait_ready(launcher)
        run = read_status(short_tmp_path)
        assert run is not None
        first = run.daemons[0].pid
        os.kill(first, signal.SIGKILL)

        def pid() -> int:
            now = read_status(short_tmp_path)
            return 0 if now is None else now.daemons[0].pid

        until(lambda: pid() not in (0, first))
        wait_ready(launcher)


def test_keys_are_private_made_once_and_bound_to_their_environment(short_tmp_path: Path) -> None:
    plan = plan_for(short_tmp_path)
    files = [*(short_tmp_path / "keys").iterdir(), *(short_tmp_path / "credentials").iterdir()]
    before = {path.name: path.read_bytes() for path in files}
    prepare_keys(plan.common, plan.state)

    assert {path.name for path in files} == {
        "approval.json", "demo_api_key", "demo_api_secret", "demo_read_key", "demo_read_secret",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {path.name: path.read_bytes() for path in files} == before


def test_a_key_of_another_environment_is_refused(short_tmp_path: Path) -> None:
    create_key_file(short_tmp_path / "keys" / "approval.json", Mode.TESTNET)
    with pytest.raises(ConfigError, match="made for testnet, this is demo"):
        plan_for(short_tmp_path)


def test_two_demos_never_share_a_port() -> None:
    ports = free_ports(8)

    assert len(set(ports)) == 8


def test_ports_given_by_hand_are_kept(short_tmp_path: Path) -> None:
    by_hand = ("simexchange.rest_port=18080",)

    assert make_plan(DEMO, short_tmp_path, by_hand).overrides == by_hand


def test_other_settings_do_not_keep_a_demo_from_free_ports(short_tmp_path: Path) -> None:
    overrides = ("simexchange.seed=7", "venues.binance.symbols=[BTCUSDT]")
    chosen = make_plan(DEMO, short_tmp_path, overrides).overrides

    assert chosen[:2] == overrides
    assert {item.partition("=")[0] for item in chosen[2:]} == {
        "simexchange.rest_port",
        "simexchange.ws_port",
        "venues.binance.rest_url",
        "venues.binance.market_ws_url",
        "venues.binance.trade_ws_url",
    }


def test_a_corrupt_journal_is_refused_and_not_touched(short_tmp_path: Path) -> None:
    plan = plan_for(short_tmp_path, daemons=("riskd",))
    with launched(plan) as launcher:
        wait_ready(launcher)
    (journal,) = (short_tmp_path / "journal" / "riskd").glob("*.journal")
    damaged = bytearray(journal.read_bytes())
    damaged[300] ^= 0xFF
    journal.write_bytes(damaged)
    error = refusal(plan)

    assert error.exit_code == Exit.UNREACHABLE
    assert str(error).startswith("riskd: journal ")
    assert "is corrupt at byte" in str(error)
    assert journal.read_bytes() == damaged


def test_kernels_are_compiled_before_any_daemon_starts_and_what_takes_long_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr("cli.launcher.COMPILE_SILENT_S", 0.0)
    compile_kernels(said.append)

    assert said == ["compiling the numeric kernels, once for this checkout: a minute or two"]


@pytest.mark.parametrize(("program", "text"), [("false", "nothing was said"), ("cat", "")])
def test_kernels_that_do_not_compile_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, program: str, text: str
) -> None:
    monkeypatch.setattr("cli.launcher.sys.executable", program)
    with pytest.raises(LaunchError, match=f"do not compile .*{text}") as caught:
        compile_kernels(lambda _: None)

    assert caught.value.exit_code == Exit.CRASH
