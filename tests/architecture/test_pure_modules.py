"""Decisions are pure: events and `now_ns` in, outputs out. Only the shells named here touch the world.

A new shell module goes into SHELLS in the change that adds it; everything else in a daemon is held to the rule.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from tests.architecture.source_tree import DAEMONS, ROOT, Source, is_under, parse, product_sources

PURE_LIBRARIES = ("tradebot.core", "tradebot.features", "tradebot.sim", "tradebot.venues")

# Shell module names that mean the same in every daemon (also as an ending: `stop_service`, `risk_client`).
COMMON_SHELLS = ("__main__", "app", "client", "config", "feed", "gateway_io", "service", "shell")
# Single imports a pure module may have all the same, each with its reason.
EXCEPTIONS = {
    ("riskd.stop_flag", "threading"): "a lock around one cell, which the stop server's thread sets and the gate reads",
    ("execd.latch", "threading"): "a lock around one cell, which the stop server's thread sets and the gateway reads",
}
# These read a file once and are frozen values from then on, so a core may import them.
SETTINGS = ("config", "limits")
# What one daemon has besides; a folder name covers the modules in it.
SHELLS: dict[str, tuple[str, ...]] = {
    "marketdata": ("rest", "history"),
    "engine": ("drive",),
    "riskd": ("limits",),
    "execd": ("venue_session", "venue_rest"),
    "recorder": ("sqlite_store", "subscriptions"),
    "simexchange": ("http_server", "ws_server", "account_file"),
    "console": ("screens", "widgets", "screen", "certs"),
}

WORLD = (
    "asyncio", "grpc", "socket", "time", "random", "os", "secrets", "ssl", "subprocess", "threading", "multiprocessing",
    "signal", "selectors", "sqlite3", "shutil", "tempfile", "urllib.request", "http.client", "concurrent",
    "aiohttp", "asyncpg", "ccxt", "grpc_health", "grpc_reflection", "picows", "prometheus_client", "requests",
    "structlog", "textual", "typer", "uvloop", "websockets",
)  # fmt: skip
WORLD_CALLS = frozenset(
    {"open", "input", "print", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "uuid.uuid4", "uuid4"}
)


def shell_name(room: str, parts: list[str]) -> str | None:
    """Return the entry of the tables that makes a daemon's module a shell, or None for a pure one."""
    names = (*COMMON_SHELLS, *SHELLS.get(room, ()))
    return next((name for part in parts for name in names if part == name or part.endswith(f"_{name}")), None)


def is_shell(source: Source) -> bool:
    """True when a daemon's module is one of those that may touch the world."""
    return shell_name(source.room, source.module.split(".")[1:]) is not None


def module_exists(parts: list[str]) -> bool:
    """True when a dotted name is a file or folder of the tree."""
    path = ROOT.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def needs_shell(room: str, name: str, exists: Callable[[list[str]], bool] = module_exists) -> bool:
    """True when an import of a daemon's own module reaches a shell, other than its settings."""
    if room not in DAEMONS or not is_under(name, room):
        return False
    # `from riskd.gate import service` could name a function: only what is a module or folder counts.
    parts = name.split(".")
    modules = [part for depth, part in enumerate(parts) if depth and exists(parts[: depth + 1])]
    shell = shell_name(room, modules)
    return shell is not None and shell not in SETTINGS


def must_be_pure(source: Source) -> bool:
    """True for the pure libraries and for every daemon module that is not a shell."""
    return source.room in PURE_LIBRARIES or (source.room in DAEMONS and not is_shell(source))


def purity_violations(source: Source) -> list[str]:
    """Return one line for each way a pure module reaches the world. Imports for types only are fine."""
    lines = [
        f"{source.where(item.line)} imports {item.name}"
        for item in source.imports()
        if not item.type_checking
        and (source.module, item.name) not in EXCEPTIONS
        and (
            any(is_under(item.name, module) for module in (*WORLD, "tradebot.runtime"))
            or needs_shell(source.room, item.name)
        )
    ]
    lines += [
        f"{source.where(node.lineno)} calls {ast.unparse(node.func)}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).replace("datetime.datetime", "datetime") in WORLD_CALLS
    ]
    return lines


def test_pure_modules_never_touch_the_world() -> None:
    violations = [line for source in product_sources() if must_be_pure(source) for line in purity_violations(source)]

    assert violations == []


def test_the_rule_tells_pure_modules_from_shells() -> None:
    def source(module: str, text: str = "") -> Source:
        return parse(module, Path(module.replace(".", "/") + ".py"), text)

    assert must_be_pure(source("riskd.gate"))
    assert must_be_pure(source("tradebot.core.ids"))
    assert not must_be_pure(source("riskd.__main__"))
    assert not must_be_pure(source("execd.stop_service"))
    assert not must_be_pure(source("tradebot.runtime.clock"))
    assert not must_be_pure(source("cli.demo"))


def test_the_rule_sees_clocks_files_and_runtime() -> None:
    text = (
        "import time\nfrom os import path\nfrom tradebot.runtime.clock import SystemClock\n"
        "from datetime import datetime\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import random\n"
        "def f():\n    datetime.now()\n    open('x')\n"
    )
    source = parse("riskd.gate", Path("riskd/gate.py"), text)

    assert [line.split(" ", 1)[1] for line in purity_violations(source)] == [
        "imports time",
        "imports os.path",
        "imports tradebot.runtime.clock.SystemClock",
        "calls datetime.now",
        "calls open",
    ]


def test_the_rule_sees_a_core_that_leans_on_its_own_shell() -> None:
    def exists(parts: list[str]) -> bool:
        return parts in (["riskd", "service"], ["riskd", "config"], ["riskd", "gate"])

    assert needs_shell("riskd", "riskd.service.Servicer", exists)
    assert not needs_shell("riskd", "riskd.config.RiskdConfig", exists)
    assert not needs_shell("riskd", "riskd.gate.service", exists)
    assert not needs_shell("riskd", "engine.service", exists)
