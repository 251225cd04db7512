"""Break the code that guards money on purpose, one place at a time, and see whether a test notices.

Works in copies under build/mutate, so the tree in use is never touched. The sample is seeded: the same seed and code
give the same mutants. First every quick test of the room runs once while the functions that it enters are noted; each
mutant then meets only the tests that enter its function, those that do little else first.

A mutant is noticed when a test fails or its module cannot be imported. Running out of time counts too, and is named.
What says nothing about the mutant (a process that was killed, pytest that broke down, a failure while the machine stood
still) is asked again and is never a mutant that was noticed; and a worker must first pass every test on the unchanged
code.

A survivor is a missing test or a change that changes nothing. In LISTED_ROOMS each one must stand, with the reason, in
scripts/mutants.yaml; one that does not fails the run, whatever the score.

Usage: python -m scripts.mutate [--only riskd/gate.py riskd/holds.py] [--limit 60] [--seed 1] [--threshold 0.9]
       [--jobs 2]
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import queue
import random
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.mutation_server import OPTIONS, STOOD_STILL, TIMED_OUT

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutate"
REASONS = ROOT / "scripts" / "mutants.yaml"
# A mutant is run against the tests of its own room: code that only another room's tests hold is not held.
ROOMS = ("riskd", "execd", "tradebot/core", "tradebot/sim")
LISTED_ROOMS = ("riskd",)
COPIED = (
    "tradebot", "marketdata", "engine", "riskd", "execd", "recorder", "simexchange", "console", "backtest", "cli",
    "benchmarks", "tests", "config", "proto", "scripts", "docs",
)  # fmt: skip
SHELLS = {
    "__main__.py", "__init__.py", "service.py", "client.py", "config.py", "shell.py",
    "audit_shell.py", "catalogue_shell.py", "holds_shell.py", "market_client.py", "messages_service.py",
    "metrics_shell.py", "stop_service.py",
}  # fmt: skip
TEST_TIMEOUT_S = 180
RECORD_TIMEOUT_S = 900
MAX_REPEATS = 3
"""Of what said nothing."""
FIRST_TESTS = 25
"""Run before the others are even imported: most mutants go no further."""
SURVIVED = (0, 5)
"""pytest's exit codes when all tests pass, and when there was none."""
NOTICED = (1, 2, TIMED_OUT)
"""A test failed; the tests could not be imported; they never ended."""
DAEMONS = (
    "marketdata",
    "engine",
    "riskd",
    "execd",
    "recorder",
    "simexchange",
    "console",
    "backtest",
    "cli",
    "benchmarks",
)

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}
BREAKABLE = (ast.Compare, ast.BoolOp, ast.BinOp, ast.Constant, ast.Call)
SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file."""

    path: Path
    """Relative to the project root."""
    line: int
    source: str
    """The line as it stands, without indentation: what a reason is found by."""
    what: str
    index: int
    """Of the changed node, in the order of `ast.walk`."""

    def change(self, source: str) -> str:
        """Return the whole changed module; `source` is the module as it was when the mutant was found."""
        tree = ast.parse(source)
        break_node(next(node for position, node in enumerate(ast.walk(tree)) if position == self.index))
        return ast.unparse(tree)

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it while lines above it come and go."""
        return str(self.path), self.source, self.what


def break_node(node: ast.AST) -> str | None:
    """Change one node in place; return what was done, or None when it is not of a kind we break."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            node.ops = [COMPARISONS[type(op)]()]
            return f"{type(op).__name__} -> {type(node.ops[0]).__name__}"
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            return f"{type(op).__name__} -> {type(node.op).__name__}"
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            node.op = ARITHMETIC[type(op)]()
            return f"{type(op).__name__} -> {type(node.op).__name__}"
        case ast.Constant(value=bool(value)):
            node.value = not value
            return f"{value} -> {not value}"
        case ast.Call(func=ast.Name(id=name) as function) if name in SWAPPED_CALLS:
            function.id = SWAPPED_CALLS[name]
            return f"{name} -> {function.id}"
    return None


def declarations(tree: ast.AST) -> set[int]:
    """Return the ids of nodes that decide nothing: decorators, class keywords (`frozen=True`), type annotations."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.ClassDef):
            parts += [*node.decorator_list, *node.keywords]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts += [*node.decorator_list, node.returns]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        found.update(id(inner) for part in parts if part is not None for inner in ast.walk(part))
    return found


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of one file."""
    source = (ROOT / path).read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    ignored = declarations(tree)
    for index, node in enumerate(ast.walk(tree)):
        if not isinstance(node, BREAKABLE) or id(node) in ignored:
            continue
        line = node.lineno
        what = break_node(copy.copy(node) if not isinstance(node, ast.Call) else copy.deepcopy(node))
        if what is not None:
            yield Mutant(path, line, lines[line - 1].strip(), what, index)


def room_of(path: Path) -> str:
    """Return the entry of ROOMS that holds this file."""
    return next(room for room in ROOMS if path.is_relative_to(room))


def tests_of(room: str) -> str:
    """Return the folder of the room's tests: `tests/riskd`, `tests/core`."""
    return f"tests/{room.removeprefix('tradebot/')}"


def candidates(only: list[str]) -> list[Mutant]:
    """Return every mutant of the chosen modules (files or folders), or of all rooms that have tests."""
    found: list[Mutant] = []
    for room in ROOMS:
        for absolute in sorted((ROOT / room).rglob("*.py")):
            path = absolute.relative_to(ROOT)
            wanted = not only or any(path.is_relative_to(chosen) for chosen in only)
            if wanted and (path.name not in SHELLS or str(path) in only) and (ROOT / tests_of(room)).is_dir():
                found += mutants_of(path)
    return found


def make_copy(number: int) -> Path:
    """Copy the tree for one worker."""
    folder = WORK / str(number)
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


def record_tests(room: str, folder: Path, target: Path) -> bool:
    """Run all quick tests of a room once and note what they enter; True when all pass."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, tests_of(room)]
    environment = make_environment(folder, MUTATE_RECORD=str(target), MUTATE_ROOMS=room)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=RECORD_TIMEOUT_S, check=False
    )
    if done.returncode:
        print(done.stdout.decode()[-4000:], done.stderr.decode()[-4000:], file=sys.stderr)
    return done.returncode == 0


class Worker:
    """One copy of the tree, and the server that runs tests in it. Modules of the room are imported for each mutant."""

    def __init__(self, folder: Path, room: str, modules: list[str]) -> None:
        self.folder = folder
        package = room.replace("/", ".")
        wanted = [
            name for name in modules
            if not name.startswith((package, "tests", "scripts", "conftest", "_pytest", "__main__"))
            and (room.startswith("tradebot") <= (not name.startswith("tradebot")))
            and not any(name == other or name.startswith(f"{other}.") for other in DAEMONS)
        ]  # fmt: skip
        listed = folder / "modules.json"
        listed.write_text(json.dumps(wanted))
        self._server = subprocess.Popen(
            [sys.executable, "-m", "scripts.mutation_server", str(listed)],
            cwd=folder, env=make_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, mutant: Mutant, tests: list[str]) -> int:
        """Put a mutant in, run its tests, take it out again; return pytest's exit code."""
        target = self.folder / mutant.path
        original = target.read_text(encoding="utf-8")
        try:
            self._put(target, mutant.change(original))
            code = self.ask(tests[:FIRST_TESTS])
            return self.ask(tests[FIRST_TESTS:]) if code in SURVIVED and len(tests) > FIRST_TESTS else code
        finally:
            self._put(target, original)

    def ask(self, tests: list[str], timeout_s: int = TEST_TIMEOUT_S) -> int:
        """Run tests on the code as it is in the copy, again when that said nothing; return pytest's exit code."""
        code = self._run_tests(tests, timeout_s)
        for _ in range(MAX_REPEATS):
            if code in (*SURVIVED, *NOTICED):
                break
            code = self._run_tests(tests, timeout_s)
        return code

    def _run_tests(self, tests: list[str], timeout_s: int) -> int:
        selection = self.folder / "selection.json"
        selection.write_text(json.dumps(tests))
        request = {
            "targets": sorted({name.split("::")[0] for name in tests}),
            "environment": {"MUTATE_SELECT": str(selection)},
            "timeout_s": timeout_s,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def _put(self, target: Path, text: str) -> None:
        """Write a module with a time of its own: cached byte code of another version never fits."""
        before = int(target.stat().st_mtime)
        target.write_text(text, encoding="utf-8")
        os.utime(target, (before + 2, before + 2))


class TestMap:
    """Which tests of a room enter the function of which line."""

    def __init__(self, room: str, folder: Path) -> None:
        target = WORK / f"tests-{room.replace('/', '-')}.json"
        self.works = record_tests(room, folder, target)
        nothing: dict[str, Any] = {"codes": [], "tests": {}, "loaded": [], "modules": []}
        notes = json.loads(target.read_text()) if target.exists() else nothing
        self.modules: list[str] = notes["modules"]
        self._tests: dict[tuple[str, int], dict[str, None]] = defaultdict(dict)
        for name, codes in sorted(notes["tests"].items(), key=lambda item: len(item[1])):
            for path, lines in (notes["codes"][number] for number in codes):
                for line in lines:
                    self._tests[path, line][name] = None
        self.all: list[str] = sorted(notes["tests"])
        loaded = (notes["codes"][number] for number in notes["loaded"])
        self._loaded = {(path, line) for path, lines in loaded for line in lines}

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that may notice a mutant, the most particular ones first."""
        key = str(mutant.path), mutant.line
        covering = self._tests.get(key, {})
        if key not in self._loaded and covering:
            return list(covering)
        # It runs at import, or no test enters its function: anything may notice.
        return [*covering, *(name for name in self.all if name not in covering)]


def run_room(sample: list[Mutant], room: str, tests: TestMap, folders: list[Path]) -> list[Mutant]:
    """Run the mutants of one room side by side; return the survivors."""
    workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for number, folder in enumerate(folders):
        worker = Worker(folder, room, tests.modules)
        if not number and worker.ask(tests.all, RECORD_TIMEOUT_S) not in SURVIVED:
            raise RuntimeError(f"tests of {room} fail in a worker without any change: every mutant would be noticed")
        workers.put(worker)

    def run(mutant: Mutant) -> bool:
        worker = workers.get()
        try:
            code = worker.run(mutant, tests.of(mutant))
        finally:
            workers.put(worker)
        if code not in (1, 2):
            ends = {0: "survived", 5: "no test", TIMED_OUT: "ran out of time", STOOD_STILL: "the machine stood still"}
            end = ends.get(code, f"pytest ended with {code}")
            print(f"{end}: {mutant.path}:{mutant.line} {mutant.what}: {mutant.source}", flush=True)
        return code not in NOTICED

    with ThreadPoolExecutor(len(folders)) as pool:
        survived = list(pool.map(run, sample))
    for _ in folders:
        workers.get().close()
    return [mutant for mutant, lives in zip(sample, survived, strict=True) if lives]


def known_survivors() -> dict[tuple[str, str, str], str]:
    """Return the reasons by (path, source line, change).

    Raises:
        ValueError: If an entry has no reason.
    """
    found: dict[tuple[str, str, str], str] = {}
    for entry in yaml.safe_load(REASONS.read_text(encoding="utf-8")) or []:
        reason = str(entry["reason"]).strip()
        if not reason:
            raise ValueError(f"{REASONS}: {entry['path']}: {entry['source']!r} has no reason")
        found[entry["path"], entry["source"], entry["change"]] = reason
    return found


def report(sample: list[Mutant], survivors: list[Mutant], threshold: float) -> bool:
    """Print the scores per module and what is wrong; True when nothing is."""
    ran, lived = Counter(str(m.path) for m in sample), Counter(str(m.path) for m in survivors)
    for path in sorted(ran):
        print(f"{path:<40} {ran[path] - lived[path]:>4} of {ran[path]:>4}  {1 - lived[path] / ran[path]:.0%}")
    known = known_survivors()
    listed = [mutant for mutant in survivors if str(room_of(mutant.path)) in LISTED_ROOMS]
    for mutant in [m for m in listed if m.key not in known]:
        print(f"not in {REASONS.name}: {mutant.path}:{mutant.line} {mutant.what}: {mutant.source}")
    alive = {mutant.key for mutant in survivors}
    for key in sorted({m.key for m in sample} & known.keys() - alive):
        print(f"noticed although it is in {REASONS.name}: take it out: {' | '.join(key)}")
    noticed = len(sample) - len(survivors)
    print(
        f"mutate: {noticed} of {len(sample)} noticed, {noticed / len(sample):.1%}; {len(listed)} with a reason needed"
    )
    return noticed >= threshold * len(sample) and all(mutant.key in known for mutant in listed)


def main() -> int:
    """Run a seeded sample of mutants and report the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="files or folders, for example riskd/gate.py")
    parser.add_argument("--limit", type=int, default=60, help="mutants to run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=0.9, help="smallest share of mutants that must be noticed")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="mutants run side by side")
    options = parser.parse_args()

    pool = candidates(options.only)
    if not pool:
        print("mutate: nothing to break (no such module, or no tests for it yet)", file=sys.stderr)
        return 2
    sample = random.Random(options.seed).sample(pool, min(options.limit, len(pool)))
    shutil.rmtree(WORK, ignore_errors=True)
    folders = [make_copy(number) for number in range(options.jobs)]
    survivors: list[Mutant] = []
    for room in sorted({room_of(mutant.path) for mutant in sample}):
        tests = TestMap(room, folders[0])
        if not tests.works:
            print(f"mutate: the tests of {room} fail without any change", file=sys.stderr)
            return 2
        survivors += run_room([m for m in sample if room_of(m.path) == room], room, tests, folders)
    return 0 if report(sample, survivors, options.threshold) else 1


if __name__ == "__main__":
    sys.exit(main())
