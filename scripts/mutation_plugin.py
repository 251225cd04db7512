"""Pytest plugin of `scripts.mutate`: notes which test runs which line, and later runs only the tests of one line.

`MUTATE_RECORD=file` writes {"tests": {node id: [[path, line], ...]}, "loaded": [[path, line], ...], "modules": [...]};
`loaded` holds the lines that ran outside every test, at import and collection, `modules` everything that was imported.
`MUTATE_SELECT=file` holds the node ids to run, in order.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

Line = tuple[str, int]


class LineNotes:
    """Lines of the rooms under mutation, per test."""

    def __init__(self, root: Path, rooms: tuple[str, ...]) -> None:
        self._prefixes = tuple(f"{root / room}/" for room in rooms)
        self._root = f"{root}/"
        self._paths: dict[CodeType, str] = {}
        self.loaded: set[Line] = set()
        self.tests: dict[str, set[Line]] = {}
        self.current = self.loaded

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        """Follow frames of the rooms only."""
        path = self._paths.get(frame.f_code)
        if path is None:
            name = frame.f_code.co_filename
            path = name.removeprefix(self._root) if name.startswith(self._prefixes) else ""
            self._paths[frame.f_code] = path
        if not path:
            return None
        self.current.add((path, frame.f_lineno))

        def line(frame: FrameType, event: str, arg: object) -> Any:
            if event == "line":
                self.current.add((path, frame.f_lineno))
            return line

        return line

    def write(self, target: Path) -> None:
        """Write everything down."""
        tests = {name: sorted(lines) for name, lines in self.tests.items()}
        target.write_text(json.dumps({"tests": tests, "loaded": sorted(self.loaded), "modules": sorted(sys.modules)}))


class RecordPlugin:
    """Fills the notes."""

    def __init__(self, notes: LineNotes, target: Path) -> None:
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
        config.pluginmanager.register(RecordPlugin(LineNotes(Path.cwd(), rooms), Path(target)))
    if selection := os.environ.get("MUTATE_SELECT"):
        config.pluginmanager.register(SelectPlugin(json.loads(Path(selection).read_text())))
