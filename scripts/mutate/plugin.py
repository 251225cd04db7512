"""What pytest is told: to note which test enters which function, and to run only some tests, in an order of our own.

`MUTATE_RECORD=file` writes {"codes": [[path, [line, ...]], ...], "tests": {node id: [index of code, ...]}, "loaded":
[index, ...], "modules": [...]}; `loaded` is what ran outside every test, at import and collection, `modules` everything
that was imported, in that order.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType

import hypothesis
import pytest


class CodeNotes:
    """Code objects (functions, class bodies, modules) of the rooms under mutation, per test."""

    def __init__(self, root: Path, rooms: tuple[str, ...]) -> None:
        self._prefixes = tuple(f"{root / room}/" for room in rooms)
        self._root = f"{root}/"
        self._numbers: dict[CodeType, int] = {}
        """-1 = not of these rooms."""
        self.codes: list[tuple[str, list[int]]] = []
        self.loaded: set[int] = set()
        self.tests: dict[str, set[int]] = {}
        self.current = self.loaded

    def trace(self, frame: FrameType, event: str, arg: object) -> None:
        """Note that a function was entered; its lines are not followed, which would cost ten times as much."""
        code = frame.f_code
        number = self._numbers.get(code)
        if number is None:
            number = self._numbers[code] = self._add(code)
        if number >= 0:
            self.current.add(number)

    def _add(self, code: CodeType) -> int:
        if not code.co_filename.startswith(self._prefixes):
            return -1
        lines = sorted({line for _, _, line in code.co_lines() if line is not None})
        self.codes.append((code.co_filename.removeprefix(self._root), lines))
        return len(self.codes) - 1

    def write(self, target: Path) -> None:
        """Write everything down."""
        tests = {name: sorted(found) for name, found in self.tests.items()}
        notes = {"codes": self.codes, "tests": tests, "loaded": sorted(self.loaded), "modules": list(sys.modules)}
        target.write_text(json.dumps(notes))


class RecordPlugin:
    """Fills the notes."""

    def __init__(self, notes: CodeNotes, target: Path) -> None:
        self._notes, self._target = notes, target
        threading.settrace(notes.trace)
        sys.settrace(notes.trace)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._notes.current = self._notes.tests.setdefault(item.nodeid, set())
        sys.settrace(self._notes.trace)  # a test may have put another one there
        try:
            return (yield)
        finally:
            self._notes.current = self._notes.loaded

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        self._notes.write(self._target)


def run_items(session: pytest.Session, items: list[pytest.Item], budget_s: float) -> tuple[str, bool]:
    """Run tests until one fails or this process used `budget_s` of processor time; return that one, and if all ran."""
    end_s = time.process_time() + budget_s
    for item, following in zip(items, [*items[1:], None], strict=True):
        if time.process_time() > end_s:
            return "", False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid, True
    return "", True


class SelectPlugin:
    """Runs the listed tests, in that order, within a budget of processor time."""

    def __init__(self, names: list[str], budget_s: float) -> None:
        self._rank, self._budget_s = {name: rank for rank, name in enumerate(names)}, budget_s
        self.end: tuple[str, bool] | None = None
        """As of `run_items`."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        wanted = [item for item in items if item.nodeid in self._rank]
        items[:] = sorted(wanted, key=lambda item: self._rank[item.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # of the collection: pytest says so
        self.end = run_items(session, session.items, self._budget_s)
        return True


def pytest_configure(config: pytest.Config) -> None:
    """Register what the environment asks for; Hypothesis shall not remember what failed with another mutant."""
    hypothesis.settings.register_profile("mutate", hypothesis.settings(), database=None)
    hypothesis.settings.load_profile("mutate")
    if target := os.environ.get("MUTATE_RECORD"):
        rooms = tuple(os.environ["MUTATE_ROOMS"].split(","))
        config.pluginmanager.register(RecordPlugin(CodeNotes(Path.cwd(), rooms), Path(target)))
