"""Secrets come from private files; the environment is a stopgap that real refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import Mode
from tradebot.runtime.credentials import SecretStore, write_private

NAME = "binance_api_key"


def make_store(directory: Path, mode: Mode = Mode.DEMO, **environment: str) -> SecretStore:
    return SecretStore(mode, directory, environment)


def test_a_secret_file_is_read_and_stripped(tmp_path: Path) -> None:
    write_private(tmp_path / NAME, b"key-value\n")
    store = make_store(tmp_path)

    assert store.get(NAME).get_secret_value() == "key-value"
    assert store.seen == {"key-value"}


def test_a_missing_secret_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"put it into the file {tmp_path}/{NAME} with mode 0600"):
        make_store(tmp_path).get(NAME)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / NAME).write_text("key")
    (tmp_path / NAME).chmod(mode)

    with pytest.raises(ConfigError, match="chmod 600"):
        make_store(tmp_path, TRADEBOT_BINANCE_API_KEY="other").get(NAME)


@pytest.mark.parametrize("content", [b"", b"  \n", b"x" * 20_000, b"\xff\xfe"])
def test_an_unusable_secret_file_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / NAME, content)
    with pytest.raises(ConfigError) as caught:
        make_store(tmp_path).get(NAME)

    assert len(str(caught.value)) < 300


def test_systemd_credentials_win_over_the_configured_folder(tmp_path: Path) -> None:
    write_private(tmp_path / "own" / NAME, b"own")
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / NAME).write_text("systemd")  # its mode is systemd's business
    store = make_store(tmp_path / "own", CREDENTIALS_DIRECTORY=str(tmp_path / "systemd"))

    assert store.get(NAME).get_secret_value() == "systemd"


def test_a_file_wins_over_the_environment(tmp_path: Path) -> None:
    write_private(tmp_path / NAME, b"file")

    assert make_store(tmp_path, TRADEBOT_BINANCE_API_KEY="env").get(NAME).get_secret_value() == "file"


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.PAPER, Mode.TESTNET])
def test_outside_real_the_environment_is_accepted_with_a_warning_that_hides_the_value(
    tmp_path: Path, mode: Mode
) -> None:
    with capture_logs() as lines:
        value = make_store(tmp_path, mode, TRADEBOT_BINANCE_API_KEY="from-env").get(NAME)

    assert value.get_secret_value() == "from-env"
    assert [line["event"] for line in lines] == ["secret_from_environment"]
    assert "from-env" not in str(lines)


def test_in_real_the_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which mode real refuses"):
        make_store(tmp_path, Mode.REAL, TRADEBOT_BINANCE_API_KEY="from-env").get(NAME)


def test_private_files_are_private_and_replace_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "k"
    write_private(path, b"one")
    write_private(path, b"two")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["k"]
