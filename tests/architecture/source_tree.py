"""The project's own source as syntax trees, so the house rules can be checked without importing anything."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

DAEMONS = ("marketdata", "engine", "riskd", "execd", "recorder", "console", "simexchange")
TOP = ("backtest", "cli")
PRODUCT = ("tradebot", *DAEMONS, *TOP)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module or name, absolute and dotted."""

    name: str
    line: int
    type_checking: bool
    """True under `if TYPE_CHECKING:`, where nothing is loaded at run time."""


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file of the product."""

    module: str
    """Dotted name; a package's `__init__` is the package itself."""
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part the floors speak of: `riskd`, or `tradebot.core` inside the library."""
        parts = self.module.split(".")
        return ".".join(parts[:2]) if parts[0] == "tradebot" else parts[0]

    @property
    def stem(self) -> str:
        """File name without suffix: `service`, `__main__`, `__init__`."""
        return self.path.stem

    def imports(self) -> list[Import]:
        """Every import in the file, also late ones. `from a import b` gives `a.b`, which covers modules and names."""
        return list(_imports(self.tree.body, self, type_checking=False))

    def where(self, line: int) -> str:
        """`riskd/gate.py:12`, for messages."""
        return f"{self.path.as_posix()}:{line}"


def _imports(nodes: list[ast.stmt], source: Source, *, type_checking: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, type_checking)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, source)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, type_checking)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from _imports(node.body, source, type_checking=True)
            yield from _imports(node.orelse, source, type_checking=type_checking)
        else:
            inner = [child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)]
            yield from _imports(list(inner), source, type_checking=type_checking)


def _absolute(node: ast.ImportFrom, source: Source) -> str:
    if node.level == 0:
        return node.module or ""
    package = source.module.split(".")
    if source.stem != "__init__":
        package = package[:-1]
    base = package[: len(package) - (node.level - 1)]
    return ".".join([*base, node.module] if node.module else base)


def parse(module: str, path: Path, text: str) -> Source:
    """Make a Source from text; the tests of the rules themselves use this with invented files."""
    return Source(module=module, path=path, tree=ast.parse(text, filename=str(path)))


def is_under(name: str, package: str) -> bool:
    """True when a dotted name is the package or lies inside it."""
    return name == package or name.startswith(f"{package}.")


@functools.cache
def product_sources() -> tuple[Source, ...]:
    """Every hand-written Python file of the product, in a fixed order; rooms not built yet are absent."""
    found: list[Source] = []
    for top in PRODUCT:
        for path in sorted((ROOT / top).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if relative.parts[:2] == ("tradebot", "rpc"):
                continue  # generated
            dotted = relative.with_suffix("").parts
            if dotted[-1] == "__init__":
                dotted = dotted[:-1]
            found.append(parse(".".join(dotted), relative, path.read_text(encoding="utf-8")))
    return tuple(found)
