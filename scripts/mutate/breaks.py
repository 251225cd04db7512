"""The changes: one comparison, operator, truth value or min/max at a time. Shells and declarations are left out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).resolve().parents[2]
# A mutant is run against the tests of its own room: code that only another room's tests hold is not held.
ROOMS = ("riskd", "execd", "tradebot/core", "tradebot/sim")
SHELLS = {
    "__main__.py", "__init__.py", "service.py", "client.py", "config.py", "shell.py",
    "audit_shell.py", "catalogue_shell.py", "holds_shell.py", "market_client.py", "messages_service.py",
    "metrics_shell.py", "stop_service.py",
}  # fmt: skip

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

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it while lines above it come and go."""
        return str(self.path), self.source, self.what


def compile_changed(source: str, filename: str, index: int | None) -> CodeType:
    """Compile a module with its node number `index` changed (None = none); lines keep their numbers."""
    tree = ast.parse(source)
    if index is not None:
        break_node(next(node for position, node in enumerate(ast.walk(tree)) if position == index))
    return compile(tree, filename, "exec", dont_inherit=True)


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
