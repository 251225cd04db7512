"""Imports point down only: `backtest | cli` > daemons > runtime > sim, features, venues, wire > core."""

from __future__ import annotations

from pathlib import Path

from tests.architecture.source_tree import DAEMONS, TOP, Source, is_under, parse, product_sources

FLOORS: dict[str, int] = {
    "tradebot.core": 0,
    "tradebot.sim": 1,
    "tradebot.features": 1,
    "tradebot.venues": 1,
    "tradebot.wire": 1,
    "tradebot.runtime": 2,
    **dict.fromkeys(DAEMONS, 3),
    **dict.fromkeys(TOP, 4),
}

# Same floor, yet allowed, each with its reason.
SIDEWAYS = {
    ("cli", "backtest"): "the command only starts it, or calls its history readers",
}

# Not part of the floors: the release number is for everyone, generated stubs have a rule of their own.
FREE = ("tradebot._version", "tradebot.__version__", "tradebot.rpc")
# Programs around the product; nothing in the product may lean on them.
OUTSIDE = ("tests", "benchmarks", "scripts")


def room_of(name: str) -> str | None:
    """Return the floor entry a dotted name belongs to, or None for a foreign package."""
    return next((room for room in FLOORS if is_under(name, room)), None)


def floor_violations(source: Source) -> list[str]:
    """Return one line for each import that does not point down."""
    lines: list[str] = []
    for item in source.imports():
        if any(is_under(item.name, outside) for outside in OUTSIDE):
            lines.append(f"{source.where(item.line)} imports {item.name}: product code must not need it")
            continue
        target = room_of(item.name)
        if target is None or target == source.room or any(is_under(item.name, free) for free in FREE):
            continue
        if (source.room, target) in SIDEWAYS:
            continue
        if FLOORS.get(source.room, -1) <= FLOORS[target]:
            lines.append(f"{source.where(item.line)} imports {item.name}: {source.room} is not above {target}")
    return lines


def test_every_import_points_down() -> None:
    violations = [line for source in product_sources() for line in floor_violations(source)]

    assert violations == []


def test_every_product_module_stands_on_a_floor() -> None:
    allowed = {*FLOORS, "tradebot", "tradebot._version"}
    homeless = [str(source.path) for source in product_sources() if source.room not in allowed]

    assert homeless == []


def test_the_rule_sees_upward_sideways_late_and_relative_imports() -> None:
    upward = parse("tradebot.core.ids", Path("tradebot/core/ids.py"), "import tradebot.runtime.clock\n")
    sideways = parse("engine.app", Path("engine/app.py"), "def f():\n    from riskd import gate\n")
    relative = parse("tradebot.sim.book", Path("tradebot/sim/book.py"), "from ..venues import api\n")
    downward = parse("riskd.gate", Path("riskd/gate.py"), "from tradebot.core import ids\nfrom . import checks\n")

    assert len(floor_violations(upward)) == 1
    assert len(floor_violations(sideways)) == 1
    assert len(floor_violations(relative)) == 1
    assert floor_violations(downward) == []
