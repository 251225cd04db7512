"""Break the code that guards money on purpose, one place at a time, and see whether a test notices.

Works in a copy under build/mutate, so the tree in use is never touched. The sample is seeded: the same seed and code
give the same mutants. A surviving mutant is either a missing test or an equivalent change; both are worth a look.

Usage: python -m scripts.mutate [--only riskd/gate.py] [--limit 60] [--seed 1] [--threshold 0.9]
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutate"
# A mutant is run against the tests of its own room: code that only another room's tests hold is not held.
ROOMS = ("riskd", "execd", "tradebot/core", "tradebot/sim")
COPIED = ("tradebot", "marketdata", "engine", "riskd", "execd", "recorder", "simexchange", "console", "backtest", "cli")
SHELLS = {"__main__.py", "__init__.py", "service.py", "client.py", "config.py"}
TEST_TIMEOUT_S = 180

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
SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file."""

    path: Path
    """Relative to the project root."""
    line: int
    what: str
    text: str
    """The whole changed module."""


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


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of one file, in source order."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for index, original in enumerate(ast.walk(tree)):
        if break_node(copy.deepcopy(original)) is None:
            continue
        changed = copy.deepcopy(tree)
        node = next(node for position, node in enumerate(ast.walk(changed)) if position == index)
        what = break_node(node)
        line = getattr(node, "lineno", 0)
        if what is not None:
            yield Mutant(path, line, what, ast.unparse(changed))


def room_of(path: Path) -> str:
    """Return the entry of ROOMS that holds this file."""
    return next(room for room in ROOMS if path.is_relative_to(room))


def tests_of(room: str) -> str:
    """Return the folder of the room's tests: `tests/riskd`, `tests/core`."""
    return f"tests/{room.removeprefix('tradebot/')}"


def candidates(only: str | None) -> list[Mutant]:
    """Return every mutant of the chosen modules (a file or folder), or of all rooms that have tests."""
    found: list[Mutant] = []
    for room in ROOMS:
        for absolute in sorted((ROOT / room).rglob("*.py")):
            path = absolute.relative_to(ROOT)
            wanted = path.name not in SHELLS if only is None else path.is_relative_to(only)
            if wanted and (ROOT / tests_of(room)).is_dir():
                found += mutants_of(path)
    return found


def quick_tests(room: str) -> bool:
    """Run the room's quick tests in the copy; True when all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not component"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(WORK)}
    try:
        done = subprocess.run(
            [*command, tests_of(room)],
            cwd=WORK,
            env=environment,
            capture_output=True,
            timeout=TEST_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False  # an endless loop was noticed
    return done.returncode == 0


def main() -> int:
    """Run a seeded sample of mutants and report the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="a file or folder, for example riskd/gate.py")
    parser.add_argument("--limit", type=int, default=60, help="mutants to run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=0.9, help="smallest share of mutants that must be noticed")
    options = parser.parse_args()

    pool = candidates(options.only)
    if not pool:
        print("mutate: nothing to break (no such module, or no tests for it yet)", file=sys.stderr)
        return 2
    sample = random.Random(options.seed).sample(pool, min(options.limit, len(pool)))
    shutil.rmtree(WORK, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in (*COPIED, "tests", "config", "proto", "scripts", "docs"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, WORK / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", WORK)
    for room in sorted({room_of(mutant.path) for mutant in sample}):
        if not quick_tests(room):
            print(f"mutate: the tests of {room} fail without any change", file=sys.stderr)
            return 2

    survivors: list[Mutant] = []
    for mutant in sample:
        target = WORK / mutant.path
        original = target.read_text(encoding="utf-8")
        target.write_text(mutant.text, encoding="utf-8")
        survived = quick_tests(room_of(mutant.path))
        target.write_text(original, encoding="utf-8")
        if survived:
            survivors.append(mutant)
            print(f"survived: {mutant.path}:{mutant.line} {mutant.what}")
    noticed = len(sample) - len(survivors)
    print(f"mutate: {noticed} of {len(sample)} noticed (pool {len(pool)}, seed {options.seed})")
    return 0 if noticed >= options.threshold * len(sample) else 1


if __name__ == "__main__":
    sys.exit(main())
