"""Configuration errors are one line that names file, key and fix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import ConfigModel, JournalConfig, Mode, load_config, parse_section, read_yaml


class Inner(ConfigModel):
    quote_amount: Annotated[int, Field(gt=0)] = 500
    password: SecretStr = SecretStr("")


class Section(ConfigModel):
    interval_ms: int = 1_000
    symbols: tuple[str, ...] = ("BTCUSDT",)
    sizing: Inner = Inner()
    per_symbol: dict[str, Inner] = Field(default_factory=dict)
    rungs: tuple[Inner, ...] = ()
    journal: JournalConfig = JournalConfig()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(text)
    return path


def error_of(tmp_path: Path, text: str, *overrides: str) -> str:
    """Load a bad file and return its one-line error without the path."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, "engine", Section, overrides)
    line = str(caught.value)

    assert "\n" not in line
    return line.replace(f"{path}: ", "")


def test_a_program_gets_the_common_part_and_its_own_section(tmp_path: Path) -> None:
    path = write(tmp_path, "mode: demo\nengine: {interval_ms: 250}\nriskd: {anything: here}\n")
    config = load_config(path, "engine", Section)

    assert config.common.mode is Mode.DEMO
    assert config.section.interval_ms == 250
    assert config.section.journal.segment_bytes == 64 << 20


def test_an_absent_section_means_its_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "mode: demo\n"), "engine", Section).section == Section()


def test_paths_hang_under_the_state_folder_given_by_flag(tmp_path: Path) -> None:
    path = write(tmp_path, "mode: demo\nstate_dir: elsewhere\nlog: {to: file}\n")
    common = load_config(path, "engine", Section, (), tmp_path / "s").common

    assert common.run_dir == tmp_path / "s" / "run"
    assert common.keys_dir == tmp_path / "s" / "keys"
    assert common.journal_dir("riskd") == tmp_path / "s" / "journal" / "riskd"
    assert common.log_file("riskd") == tmp_path / "s" / "logs" / "riskd.log"


def test_overrides_replace_values_with_yaml_types(tmp_path: Path) -> None:
    path = write(tmp_path, "mode: demo\nengine: {interval_ms: 250}\n")
    config = load_config(
        path,
        "engine",
        Section,
        (
            "engine.interval_ms=10",
            "engine.sizing.quote_amount=7",
            "engine.symbols=[ETHUSDT]",
            "transport.run_dir=/run/x",
        ),
    )

    assert config.section.interval_ms == 10
    assert config.section.sizing.quote_amount == 7
    assert config.section.symbols == ("ETHUSDT",)
    assert config.common.run_dir == Path("/run/x")


def test_an_override_without_value_or_into_a_scalar_is_refused(tmp_path: Path) -> None:
    assert error_of(tmp_path, "mode: demo\n", "engine.interval_ms") == (
        "override 'engine.interval_ms': write it as section.key=value"
    )
    assert "mode is not a section" in error_of(tmp_path, "mode: demo\n", "mode.deep=1")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mode: demo\nengine: {intervall_ms: 1}\n", "engine.intervall_ms: unknown key; did you mean interval_ms?"),
        ("mode: demo\nengin: {}\n", "engin: unknown key; did you mean engine?"),
        (
            "mode: demo\nengine: {sizing: {quote_ammount: 1}}\n",
            "engine.sizing.quote_ammount: unknown key; did you mean quote_amount?",
        ),
        (
            "mode: demo\nengine: {per_symbol: {BTCUSDT: {quote: 1}}}\n",
            "engine.per_symbol.BTCUSDT.quote: unknown key; known keys: password, quote_amount",
        ),
        (
            "mode: demo\nengine: {rungs: [{}, {quote_amounts: 1}]}\n",
            "engine.rungs.1.quote_amounts: unknown key; did you mean quote_amount?",
        ),
        ("engine: {}\n", "mode: required key is missing: add it"),
        ("mode: live\n", "mode: input should be 'demo', 'paper', 'testnet', 'real' or 'backtest', not 'live'"),
        (
            "mode: demo\nengine: {interval_ms: fast}\n",
            "engine.interval_ms: input should be a valid integer, unable to parse string as an integer, not 'fast'",
        ),
        (
            "mode: demo\nengine: {sizing: {quote_amount: 0}}\n",
            "engine.sizing.quote_amount: input should be greater than 0, not 0",
        ),
        (
            "mode: demo\nengine: {a1: 1, b1: 2}\n",
            "engine.a1: unknown key; known keys: interval_ms, journal, per_symbol, rungs, sizing, symbols (and 1 more)",
        ),
        ("mode: demo\nengine: [1]\n", "engine: input should be a valid dictionary or instance of Section"),
        ("- 1\n", "expected a mapping of sections at the top, found list"),
        ("", "expected a mapping of sections at the top, found NoneType"),
    ],
)
def test_a_wrong_value_names_its_key_and_the_fix(tmp_path: Path, text: str, line: str) -> None:
    assert error_of(tmp_path, text) == line


def test_bad_yaml_names_line_and_column(tmp_path: Path) -> None:
    line = error_of(tmp_path, "mode: demo\nengine: {interval_ms: [1\n")

    assert line.startswith("bad YAML at line 3, column 1: ")
    assert line.endswith(": fix the file")


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    assert error_of(tmp_path, "mode: demo\nengine: {}\nmode: real\n") == (
        "bad YAML at line 3, column 1: key 'mode' appears twice: fix the file"
    )


def test_yaml_cannot_build_python_objects(tmp_path: Path) -> None:
    assert "bad YAML" in error_of(tmp_path, "mode: !!python/object/apply:os.getcwd []\n")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(no such file or directory\): check the path"):
        load_config(tmp_path / "none.yaml", "engine", Section)


def test_a_wrong_secret_value_is_not_shown(tmp_path: Path) -> None:
    line = error_of(tmp_path, "mode: demo\nengine: {sizing: {password: 12345}}\n")

    assert "engine.sizing.password" in line
    assert "12345" not in line


def test_the_effective_configuration_for_the_log_has_no_secrets(tmp_path: Path) -> None:
    path = write(tmp_path, "mode: demo\nengine: {sizing: {password: hunter2}}\n")
    shown = load_config(path, "engine", Section).redacted()

    assert "hunter2" not in str(shown)
    assert shown["mode"] == "demo"


def test_sections_are_frozen(tmp_path: Path) -> None:
    section = load_config(write(tmp_path, "mode: demo\n"), "engine", Section).section
    with pytest.raises(ValueError, match="frozen"):
        section.interval_ms = 2


def test_other_yaml_files_get_the_same_errors(tmp_path: Path) -> None:
    path = write(tmp_path, "quote_amunt: 2\n")

    with pytest.raises(ConfigError, match=r"limits\.quote_amunt: unknown key; did you mean quote_amount\?"):
        parse_section(path, "limits", read_yaml(path), Inner)
