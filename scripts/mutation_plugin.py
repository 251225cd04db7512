"""Pytest plugin of `scripts.mutate`: notes which test enters which function, and later runs only the tests of one.

`MUTATE_RECORD=file` writes {"codes": [[path, [line, ...]], ...], "tests": {node id: [index of code, ...]}, "loaded":
[index, ...], "modules": [...]}; `loaded` is what ran outside every test, at import and collection, `modules` everything
that was imported, in that order. `MUTATE_SELECT=file` holds the node ids to run, in order.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType

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


class SelectPlugin:
    """Runs the listed tests, in that order."""

    def __init__(self, names: list[str]) -> None:
        self._rank = {name: rank for rank, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        wanted = [item for item in items if item.nodeid in self._rank]
        items[:] = sorted(wanted, key=lambda item: self._rank[item.nodeid])


def pytest_configure(config: pytest.Config) -> None:
    """Register what the environment asks for."""
    if target := os.environ.get("MUTATE_RECORD"):
        rooms = tuple(os.environ["MUTATE_ROOMS"].split(","))
        config.pluginmanager.register(RecordPlugin(CodeNotes(Path.cwd(), rooms), Path(target)))
    if selection := os.environ.get("MUTATE_SELECT"):
        config.pluginmanager.register(SelectPlugin(json.loads(Path(selection).read_text())))
