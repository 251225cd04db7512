"""The command as scripts use it: exit codes, one JSON document, one-line errors."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exit_codes import Exit
from tests.support.system import CommandResult, run_command

DEMO = "config/demo.yaml"


def error_of(result: CommandResult) -> str:
    """Return the one line on standard error."""
    lines = [line for line in result.err.splitlines() if line.startswith("tradebot: ")]
    assert len(lines) == 1, result.err
    return lines[0]


def config_with(folder: Path, old: str, new: str) -> Path:
    """Return a copy of the demo configuration with one text replaced."""
    text = Path(DEMO).read_text(encoding="utf-8")
    assert old in text
    path = folder / "demo.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's running system is found."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("STATE", "TRADEBOT_STATE", "TRADEBOT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_help_imports_nothing_heavy() -> None:
    """Imports make a start slow; 0.15 s was measured without them. A wall-clock bound would fail on a busy day."""
    heavy = (
        "import sys, cli.app; print([m for m in ('grpc', 'pydantic', 'textual', 'ccxt', 'numba') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout

    assert shown == "[]\n"
    assert "halt" in run_command("--help").out


def test_version_is_one_json_document() -> None:
    result = run_command("version", "--json")

    assert (result.code, result.json["ok"]) == (Exit.OK, True)
    assert result.json["version"]


def test_status_of_nothing_says_down_and_exits_3(tmp_path: Path, isolated: None) -> None:
    result = run_command("status", "--json", "--state", str(tmp_path / "s"))

    assert result.code == Exit.UNREACHABLE
    assert result.json["ok"] is False
    assert {daemon["state"] for daemon in result.json["daemons"]} == {"DOWN"}
    assert (result.json["system_level"], result.json["pnl"]) == ("?", None)


@pytest.mark.parametrize(
    "command", [("orders",), ("positions",), ("pnl",), ("holds",), ("audit",), ("strategy", "list"), ("tables",)]
)
def test_asking_a_daemon_that_does_not_answer_exits_3_with_one_line(
    tmp_path: Path, isolated: None, command: tuple[str, ...]
) -> None:
    result = run_command(*command, "--json", "--state", str(tmp_path / "s"))

    assert result.code == Exit.UNREACHABLE
    assert "does not answer: is it running?" in error_of(result)
    assert (result.json["ok"], result.json["exit_code"]) == (False, 3)


def test_a_halt_needs_no_readable_configuration_and_claims_nothing_when_nobody_answers(
    tmp_path: Path, isolated: None
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("mode: [", encoding="utf-8")
    result = run_command("halt", "--config", str(broken), "--state", str(tmp_path / "s"))

    assert result.code == Exit.UNREACHABLE
    assert result.out.startswith("HALTING 0/2 (riskd: UNAVAILABLE, execd: UNAVAILABLE)")


def test_loosening_commands_want_a_reason(tmp_path: Path, isolated: None) -> None:
    for command in (("resume",), ("clear", "h1")):
        result = run_command(*command, "--state", str(tmp_path / "s"))
        assert result.code == Exit.USAGE
        assert "say why in at least 8 characters" in error_of(result)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mode: demo", "mode: dmeo", "mode: input should be 'demo', 'paper'"),
        ("mode: demo", "mode: demo\nstate_dri: x", "state_dri: unknown key; did you mean state_dir?"),
        ("mode: demo", "mode: [demo", "bad YAML at line"),
        ("symbols: [BTCUSDT, ETHUSDT]", "symbols: BTCUSDT", "venues.binance.symbols: input should be a valid tuple"),
    ],
    ids=["value", "key", "yaml", "type"],
)
def test_a_bad_configuration_is_one_line_naming_file_and_key(
    tmp_path: Path, isolated: None, old: str, new: str, said: str
) -> None:
    path = config_with(tmp_path, old, new)
    result = run_command("up", "--config", str(path), "--state", str(tmp_path / "s"))

    assert result.code == Exit.USAGE
    assert str(path) in error_of(result)
    assert said in error_of(result)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("mode", ["testnet", "real"])
def test_modes_that_are_not_built_say_so_and_start_nothing(tmp_path: Path, isolated: None, mode: str) -> None:
    result = run_command("up", "--mode", mode, "--state", str(tmp_path / "s"))

    assert result.code == Exit.USAGE
    assert f"mode {mode} cannot be started yet" in error_of(result)
    assert not (tmp_path / "s").exists()


def test_a_state_folder_that_cannot_be_written_is_one_line(short_tmp_path: Path, isolated: None) -> None:
    blocked = short_tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    result = run_command("up", "--state", str(blocked / "state"))

    assert result.code == Exit.UNREACHABLE
    assert "cannot be used (not a directory): make it writable" in error_of(result)


def test_a_state_path_too_long_for_sockets_is_refused_before_anything_is_made(tmp_path: Path, isolated: None) -> None:
    long = tmp_path / ("x" * 100)
    result = run_command("up", "--state", str(long))

    assert result.code == Exit.USAGE
    assert "107 is the limit" in error_of(result) or "the limit is 107" in error_of(result)
    assert not long.exists()


def test_down_without_a_system_is_fine(tmp_path: Path, isolated: None) -> None:
    result = run_command("down", "--json", "--state", str(tmp_path / "s"))

    assert (result.code, result.json["stopped"]) == (Exit.OK, False)


def test_the_doctor_finds_a_secret_that_others_can_read(tmp_path: Path, isolated: None) -> None:
    state = tmp_path / "s"
    secret = state / "credentials" / "demo_api_key"
    secret.parent.mkdir(parents=True)
    secret.write_text("k", encoding="utf-8")
    secret.chmod(0o644)
    found = run_command("doctor", "--json", "--state", str(state))
    secret.chmod(0o600)
    fixed = run_command("doctor", "--json", "--state", str(state))

    assert found.code == Exit.FINDINGS
    assert any("chmod 600" in check["text"] for check in found.json["checks"] if check["state"] == "FIX")
    assert fixed.code == Exit.OK


def test_certificates_are_private_files(tmp_path: Path, isolated: None) -> None:
    result = run_command("certs", "init", str(tmp_path / "tls"), "--json")

    assert result.code == Exit.OK
    assert stat.S_IMODE(os.stat(tmp_path / "tls" / "riskd.key").st_mode) == 0o600
    assert json.loads(result.out)["files"]


@pytest.mark.parametrize(
    ("arguments", "variables", "complaint"),
    [
        (("demo",), {"DURATION": "abc"}, "'--duration' (env var: 'DURATION'): Input should be a valid integer"),
        (
            ("demo",),
            {"DURATION": "-5"},
            "'--duration' (env var: 'DURATION'): Input should be greater than",
        ),
        (("demo", "--nonsense"), {}, "No such option: --nonsense"),
        (("halt", "what"), {}, "unexpected extra argument"),
        (("holt",), {}, "No such command 'holt'"),
    ],
)
@pytest.mark.usefixtures("isolated")
def test_a_wrong_argument_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], complaint: str
) -> None:
    result = run_command(*arguments, env=variables)

    assert result.code == Exit.USAGE
    assert complaint in error_of(result)
    assert len(result.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("isolated")
def test_a_demo_with_a_mistake_in_its_settings_leaves_nothing_behind(tmp_path: Path) -> None:
    result = run_command("demo", "--headless", "--set", "engine.strategis=[]")

    assert result.code == Exit.USAGE
    assert "engine.strategis: unknown key; did you mean strategies?" in error_of(result)
    assert len(result.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
