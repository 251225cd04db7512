"""Habits of the tree itself: make targets, locks, tested Pythons, nothing that ties it to one machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.architecture.source_tree import ROOT
from tradebot._version import TESTED_PYTHONS, untested_python_message

TARGETS = (
    "help setup proto fmt lint types test test-all demo up down console backtest bench mutate soak ci clean".split()
)
LOCKS = ("runtime.txt", "dev.txt")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)
# Home folders and mount points of whoever wrote it.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|home/\w+|Users/\w+|work)/")
REAL_DATA = re.compile(rb"\.\./shared[/]")
NOT_OURS = {"build", "node_modules", "rpc", "captures", "run", "state", "var"}


def pins(lock: str) -> dict[str, str]:
    """Return package -> version of one lock file."""
    return dict(PIN.findall((ROOT / "requirements" / lock).read_text(encoding="utf-8")))


def project_table() -> dict[str, object]:
    """Return the [project] table."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


NOT_TEXT = (".pyc", ".nbi", ".nbc", ".gz", ".png", ".svg", ".bin")


def our_text_files() -> list[Path]:
    """Every text file of the tree that somebody wrote."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        # Hidden folders are caches and tools, except the one that holds what the build machine runs.
        folders[:] = [name for name in folders if name not in NOT_OURS and (name[0] != "." or name == ".ci")]
        found += [Path(folder, name) for name in names if not name.endswith(NOT_TEXT)]
    return found


def test_make_help_lists_every_promised_target() -> None:
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    listed = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}

    assert set(TARGETS) - listed == set()


@pytest.mark.parametrize(
    ("chosen", "flags"),
    [
        ([], ""),
        (["STRATEGY=mine"], "--strategy mine"),  # refused by the command: whose markets?
        (["SYMBOLS=BTC-USDT"], '--strategy breakout_atr --symbols "BTC-USDT"'),
        (["STRATEGY=mine", "SYMBOLS=BTC-USDT"], '--strategy mine --symbols "BTC-USDT"'),
    ],
)
def test_make_paper_drops_nothing_that_was_chosen(chosen: list[str], flags: str) -> None:
    theirs = ("STRATEGY", "SYMBOLS", "MINUTES", "ARGS", "MAKEFLAGS")  # of the `make test` that runs this
    environment = {name: value for name, value in os.environ.items() if name not in theirs}
    command = ["make", "-n", "-C", str(ROOT), "paper", *chosen]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    (line,) = (line for line in shown.splitlines() if "paper-run" in line)

    assert line.partition("paper-run")[2].split() == flags.split()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_a_hash(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines
    assert [line[:60] for line in lines if not PIN.match(line) or "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("lock", [*(f"requirements/{name}" for name in LOCKS), "scripts/buf/package-lock.json"])
def test_locks_name_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert not re.search(r"://|index-url|find-links|trusted-host|\"resolved\"", text)


def test_the_locks_satisfy_the_project_file_and_each_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime, dev = pins("runtime.txt"), pins("dev.txt")
    wanted = [(runtime, text) for text in project["dependencies"]]
    wanted += [(dev, text) for text in project["optional-dependencies"]["dev"]]
    stale = [
        str(requirement)
        for lock, requirement in ((lock, Requirement(text)) for lock, text in wanted)
        if not requirement.specifier.contains(lock.get(requirement.name, "0"), prereleases=True)
    ]

    assert stale == []
    assert runtime.items() <= dev.items()


def test_requires_python_says_the_tested_versions() -> None:
    declared = SpecifierSet(str(project_table()["requires-python"]))
    minors = [f"3.{minor}" for minor in range(8, 20)]

    assert [minor for minor in minors if Version(minor) in declared] == list(TESTED_PYTHONS)


def test_an_untested_python_is_refused_with_one_line() -> None:
    assert untested_python_message((3, 11)) is None
    assert "this is 3.10" in (untested_python_message((3, 10)) or "")
    assert "this is 3.14" in (untested_python_message((3, 14)) or "")


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_bootstrap_refuses_an_untested_python_before_it_creates_anything(tmp_path: Path, version: str) -> None:
    for name in ("scripts/bootstrap.sh", "tradebot/_version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "python-of-another-age"
    python.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
    python.chmod(0o755)
    result = subprocess.run(
        ["sh", str(tmp_path / "scripts/bootstrap.sh")],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert f"={version}" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_bootstrap_takes_the_fastest_tested_python_that_has_venv(tmp_path: Path) -> None:
    for name in ("scripts/bootstrap.sh", "tradebot/_version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    folders = []
    for name, version, speed in (
        ("slow", "3.11", "9"),
        ("fast", "3.12", "3"),
        ("bare", "3.13", ""),
        ("old", "3.10", "1"),
    ):
        python = tmp_path / name / "python3"
        python.parent.mkdir()
        python.write_text(
            "#!/bin/sh\n"
            'case "$1 $2" in\n'
            f"  *version_info*) echo {version} ;;\n"
            '  *realpath*) echo "$0" ;;\n'
            f"  *perf_counter*) [ -n '{speed}' ] && echo {speed} || exit 1 ;;\n"
            f"  *) echo asked {name} >&2; exit 1 ;;\n"
            "esac\n",
            encoding="utf-8",
        )
        python.chmod(0o755)
        folders.append(str(python.parent))
    result = subprocess.run(
        ["/bin/sh", str(tmp_path / "scripts/bootstrap.sh")],
        env={"PATH": ":".join([*folders, "/bin", "/usr/bin"]), "PYTHON": "python3"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "asked fast" in result.stderr
    assert "asked slow" not in result.stderr


def test_only_one_helper_knows_where_real_data_lies() -> None:
    knowing = [str(path.relative_to(ROOT)) for path in our_text_files() if REAL_DATA.search(path.read_bytes())]

    assert set(knowing) <= {"tests/support/realdata.py"}


def test_no_file_names_a_folder_of_one_machine() -> None:
    hits: list[str] = []
    for path in our_text_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        hits += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]

    assert hits == []
