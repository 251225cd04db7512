"""The tool that breaks our code on purpose: a change reaches what runs, and only tests that fail noticed it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from scripts.mutate import breaks
from scripts.mutate.breaks import Mutant, mutants_of
from scripts.mutate.run import Server, Verdict
from scripts.mutate.server import NOTICED, OUT_OF_BUDGET, SURVIVED, UNREACHED
from scripts.mutate.swap import LiveFunctions, change_import

MODULE = """
LIMIT = 5 if True else 6

def above(value, limit=LIMIT):
    return value > limit

def make(limit):
    def inner(value):
        return value < limit
    return inner

class Gate:
    STRICT = True

    @property
    def open(self):
        return not self.STRICT or False

below_five = make(5)
pair = (lambda v: v == 1), (lambda v: v == 2)
"""
TESTS = """
from room.module import above, below_five, make, Gate

def test_above():
    assert above(6) and not above(5)

def test_made():
    assert make(3)(2) and not make(3)(3)

def test_gate():
    assert not Gate().open
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with a room of its own."""
    for folder, text in (("room/module.py", MODULE), ("tests/room/test_module.py", TESTS)):
        path = tmp_path / folder
        path.parent.mkdir(parents=True)
        path.write_text(text)
    shutil.copytree(breaks.ROOT / "scripts" / "mutate", tmp_path / "scripts" / "mutate")
    markers = ", ".join(f'"{name}: of the real project"' for name in ("slow", "component", "volume"))
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\nmarkers = [{markers}]\n")
    monkeypatch.setattr(breaks, "ROOT", tmp_path)
    return tmp_path


def mutant(text: str, what: str) -> Mutant:
    """Return the mutant of the line that holds a text."""
    found = [each for each in mutants_of(Path("room/module.py")) if text in each.source and each.what == what]
    return found[0]


def load(path: Path) -> ModuleType:
    """Import the room's module under a name of its own."""
    spec = importlib.util.spec_from_file_location("broken_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_swap_reaches_functions_that_live_already_and_what_they_make_later(project: Path) -> None:
    path = project / "room" / "module.py"
    module = load(path)
    functions = LiveFunctions()

    assert functions.swap(path, mutant("value > limit", "Gt -> GtE").index)
    assert module.above(5)
    assert functions.swap(path, mutant("value < limit", "Lt -> LtE").index)
    assert module.below_five(5)
    assert module.make(3)(3)
    assert functions.swap(path, mutant("not self.STRICT", "Or -> And").index)
    assert not module.Gate().open


@pytest.mark.parametrize(
    ("text", "what"), [("LIMIT =", "True -> False"), ("STRICT = True", "True -> False"), ("pair =", "Eq -> NotEq")]
)
def test_a_swap_says_what_it_cannot_reach(project: Path, text: str, what: str) -> None:
    path = project / "room" / "module.py"
    load(path)

    assert not LiveFunctions().swap(path, mutant(text, what).index)


def test_what_runs_at_import_is_changed_at_import(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SourceFileLoader, "get_code", SourceFileLoader.get_code)  # put back at the end
    path = project / "room" / "module.py"

    change_import(path, mutant("LIMIT =", "True -> False").index)

    assert load(path).LIMIT == 6


@pytest.fixture
def servers(project: Path) -> Iterator[dict[str, Server]]:
    """Both kinds, over the small project."""
    options = {"tests": "tests/room", "budget_s": 5.0, "modules": []}
    started = {kind: Server(kind, project, options) for kind in ("living", "fresh")}
    yield started
    for server in started.values():
        server.close()


def test_servers_tell_who_noticed_what_and_never_mix_two_mutants(servers: dict[str, Server]) -> None:
    above, made, gate = (f"tests/room/test_module.py::test_{name}" for name in ("above", "made", "gate"))
    tests = [gate, made, above]
    edge, limit = mutant("value > limit", "Gt -> GtE"), mutant("LIMIT =", "True -> False")
    for kind, server in servers.items():
        assert server.ask(None, tests, 60) == Verdict(SURVIVED, ""), kind
        assert server.ask(edge, tests, 60) == Verdict(NOTICED, above), kind
        assert server.ask(edge, [gate, made], 60) == Verdict(SURVIVED, ""), kind
        assert server.ask(mutant("value < limit", "Lt -> LtE"), tests, 60) == Verdict(NOTICED, made), kind

    assert servers["living"].ask(limit, tests, 60) == Verdict(UNREACHED, "")
    assert servers["fresh"].ask(limit, tests, 60) == Verdict(NOTICED, above)


def test_what_the_budget_left_out_did_not_notice(project: Path) -> None:
    server = Server("living", project, {"tests": "tests/room", "budget_s": -1.0})
    try:
        verdict = server.ask(mutant("value > limit", "Gt -> GtE"), ["tests/room/test_module.py::test_above"], 60)
    finally:
        server.close()

    assert verdict == Verdict(OUT_OF_BUDGET, "")
    assert not verdict.noticed
