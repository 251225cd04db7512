"""Leads the workers: which tests may notice a mutant, and what they said."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.mutate.breaks import ROOT, Mutant, tests_of
from scripts.mutate.server import (
    NOTICED,
    OPTIONS,
    OUT_OF_BUDGET,
    STOOD_STILL,
    SURVIVED,
    TIMED_OUT,
    UNREACHED,
)  # fmt: skip

WORK = ROOT / "build" / "mutate"
COPIED = (
    "tradebot", "marketdata", "engine", "riskd", "execd", "recorder", "simexchange", "console", "backtest", "cli",
    "benchmarks", "tests", "config", "proto", "scripts", "docs",
)  # fmt: skip
DAEMONS = (
    "marketdata", "engine", "riskd", "execd", "recorder", "simexchange", "console", "backtest", "cli", "benchmarks",
)  # fmt: skip
IMPORTED_ANEW = ("tradebot/sim",)
"""Rooms whose functions numba compiles: a change of a living Python function reaches nothing there."""
TEST_TIMEOUT_S = 120
RECORD_TIMEOUT_S = 1800
UNCHANGED_BUDGET_S = 1800.0
MAX_REPEATS = 3
"""Of what said nothing."""
PROGRESS_EVERY = 50
ENDS = {
    SURVIVED: "survived",
    OUT_OF_BUDGET: "survived as long as there was time",
    TIMED_OUT: "never ended",
    STOOD_STILL: "the machine stood still",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said of one mutant."""

    code: int
    test: str
    """The test that noticed."""

    @property
    def noticed(self) -> bool:
        return self.code in (NOTICED, TIMED_OUT)


def make_copy(number: int) -> Path:
    """Copy the tree for one worker: tests write into it, and the tree in use may change meanwhile."""
    folder = WORK / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def make_environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of tests in a copy: byte code is kept, whatever the machine's habit."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(folder)} | more


def digest_of(folder: Path) -> str:
    """Return what changes with any code or test of a copy."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".yaml", ".toml"}:
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


class TestMap:
    """Which tests of a room enter the function of which line. Kept in a file while no code and no test changes."""

    def __init__(self, room: str, folder: Path) -> None:
        target = WORK / f"tests-{room.replace('/', '-')}-{digest_of(folder)}.json"
        self.works = target.exists() or self._record(room, folder, target)
        nothing: dict[str, Any] = {"codes": [], "tests": {}, "loaded": [], "modules": []}
        notes = json.loads(target.read_text()) if self.works else nothing
        self.modules: list[str] = notes["modules"]
        self._tests: dict[tuple[str, int], dict[str, None]] = defaultdict(dict)
        for name, codes in sorted(notes["tests"].items(), key=lambda item: len(item[1])):
            for path, lines in (notes["codes"][number] for number in codes):
                for line in lines:
                    self._tests[path, line][name] = None
        self.all: list[str] = sorted(notes["tests"])
        self._noticed: dict[Path, dict[str, None]] = defaultdict(dict)
        loaded = (notes["codes"][number] for number in notes["loaded"])
        self._loaded = {(path, line) for path, lines in loaded for line in lines}

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that may notice a mutant: first what noticed others of its file, the latest first, then the
        test files named after it, then one of each test file in turn, the most particular ones first.
        """
        covering = self._tests.get((str(mutant.path), mutant.line), {})
        order = [name for name in reversed(self._noticed[mutant.path]) if name in covering]
        order += _in_turn(name for name in covering if mutant.path.stem in name.split("::")[0])
        order += _in_turn(covering)
        if self.at_import(mutant) or not covering:
            order += self.all  # anything may notice
        return list(dict.fromkeys(order))

    def noticed(self, mutant: Mutant, test: str) -> None:
        """Remember what noticed a mutant."""
        known = self._noticed[mutant.path]
        known.pop(test, None)
        known[test] = None

    def at_import(self, mutant: Mutant) -> bool:
        """True when the line also runs before any test does."""
        return (str(mutant.path), mutant.line) in self._loaded

    def _record(self, room: str, folder: Path, target: Path) -> bool:
        command = [sys.executable, "-m", "pytest", *OPTIONS, tests_of(room)]
        partial = target.with_suffix(".partial")
        environment = make_environment(folder, MUTATE_RECORD=str(partial), MUTATE_ROOMS=room)
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=RECORD_TIMEOUT_S, check=False
        )
        if done.returncode:
            print(done.stdout.decode()[-4000:], done.stderr.decode()[-4000:], file=sys.stderr)
            return False
        partial.rename(target)
        return True


def _in_turn(tests: Iterable[str]) -> list[str]:
    """Return tests in turns: the first of each file, then the second of each, and so on."""
    files: dict[str, list[str]] = defaultdict(list)
    for name in tests:
        files[name.split("::")[0]].append(name)
    return [name for row in itertools.zip_longest(*files.values()) for name in row if name is not None]


class Server:
    """One process of `scripts.mutate.server`."""

    def __init__(self, kind: str, folder: Path, options: dict[str, Any]) -> None:
        written = folder / f"{kind}.json"
        written.write_text(json.dumps(options))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.mutate.server", kind, str(written)],
            cwd=folder, env=make_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, mutant: Mutant | None, tests: list[str], wall_s: float) -> Verdict:
        """Run tests with a mutant, or without; again when that said nothing."""
        request = {
            "path": str(mutant.path) if mutant else "", "index": mutant.index if mutant else None,
            "tests": tests, "wall_s": wall_s,
        }  # fmt: skip
        verdict = self._ask(request)
        for _ in range(MAX_REPEATS):
            if verdict.code in (SURVIVED, NOTICED, UNREACHED, OUT_OF_BUDGET, TIMED_OUT):
                break
            verdict = self._ask(request)
        return verdict

    def _ask(self, request: dict[str, Any]) -> Verdict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the server of the mutants has ended: run its command by hand to see why")
        return Verdict(**json.loads(answer))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Worker:
    """One copy of the tree, and the servers that run tests in it."""

    def __init__(self, folder: Path, room: str, tests: TestMap, budget_s: float) -> None:
        self._tests = tests
        package = room.replace("/", ".")
        modules = [
            name for name in tests.modules
            if not name.startswith((package, "tests", "scripts", "conftest", "_pytest", "__main__"))
            and (room.startswith("tradebot") <= (not name.startswith("tradebot")))
            and not any(name == other or name.startswith(f"{other}.") for other in DAEMONS)
        ]  # fmt: skip
        self._fresh = Server("fresh", folder, {"modules": modules, "budget_s": budget_s})
        options = {"tests": tests_of(room), "budget_s": budget_s}
        self._living = None if room in IMPORTED_ANEW else Server("living", folder, options)

    def failing_unchanged(self) -> str:
        """Return a test that fails in a server without any change; empty when all pass."""
        verdict = (self._living or self._fresh).ask(None, self._tests.all, UNCHANGED_BUDGET_S)
        return verdict.test or "(no name)" if verdict.code not in (SURVIVED, OUT_OF_BUDGET) else ""

    def run(self, mutant: Mutant) -> Verdict:
        """Return what the tests say of a mutant."""
        tests = self._tests.of(mutant)
        if self._living is not None:
            verdict = self._living.ask(mutant, tests, TEST_TIMEOUT_S)
            if verdict.noticed or (verdict.code != UNREACHED and not self._tests.at_import(mutant)):
                return verdict
        return self._fresh.ask(mutant, tests, TEST_TIMEOUT_S)

    def close(self) -> None:
        """End the servers."""
        self._fresh.close()
        if self._living is not None:
            self._living.close()


def run_room(
    sample: list[Mutant], room: str, tests: TestMap, folders: list[Path], budget_s: float, told: Callable[[str], None]
) -> list[Mutant]:
    """Run the mutants of one room side by side; return the survivors.

    Raises:
        RuntimeError: If a test fails without any change: it would notice every mutant.
    """
    workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for number, folder in enumerate(folders):
        worker = Worker(folder, room, tests, budget_s)
        if not number and (test := worker.failing_unchanged()):
            raise RuntimeError(f"{test} fails without any change: it would notice every mutant")
        workers.put(worker)
    began_s, ends, known = time.monotonic(), Counter[bool](), frozenset(tests.all)

    def run(mutant: Mutant) -> bool:
        worker = workers.get()
        try:
            verdict = worker.run(mutant)
        finally:
            workers.put(worker)
        ends[verdict.noticed] += 1
        if verdict.test in known:
            tests.noticed(mutant, verdict.test)
        if verdict.code != NOTICED:
            end = ENDS.get(verdict.code, f"pytest ended with {verdict.code}")
            told(f"{end}: {mutant.path}:{mutant.line} {mutant.what}: {mutant.source}")
        if not ends.total() % PROGRESS_EVERY:
            spent_s = time.monotonic() - began_s
            told(f"... {ends.total()} of {len(sample)} in {spent_s:.0f} s, {ends[True]} noticed")
        return verdict.noticed

    with ThreadPoolExecutor(len(folders)) as pool:
        noticed = list(pool.map(run, sample))
    for _ in folders:
        workers.get().close()
    return [mutant for mutant, seen in zip(sample, noticed, strict=True) if not seen]
