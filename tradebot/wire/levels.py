"""Trading levels, scopes, holds and the level table."""

from __future__ import annotations

from typing import Final

from tradebot.core.approvals import LevelEntry, LevelTable
from tradebot.core.levels import Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.rpc.common.v1 import level_pb2 as pb
from tradebot.wire.fields import read_enum, require, wire_values

LEVELS: Final = {level.value + 1: level for level in TradingLevel}
SCOPE_KINDS: Final = wire_values(ScopeKind)
RELEASE_RULES: Final = wire_values(ReleaseRule)


def level_to_wire(level: TradingLevel) -> pb.TradingLevel.ValueType:
    """Return the wire value; wire values are one above ours because zero is never meaningful."""
    return level.value + 1  # type: ignore[return-value]


def level_from_wire(value: int, field: str) -> TradingLevel:
    """Return the level or refuse."""
    return read_enum(LEVELS, value, field)


def scope_to_wire(scope: Scope) -> pb.Scope:
    """Return the message."""
    return pb.Scope(kind=scope.kind.value, name=scope.name)  # type: ignore[arg-type]


def scope_from_wire(message: pb.Scope, field: str) -> Scope:
    """Return the scope; every kind but SYSTEM needs a name."""
    kind = read_enum(SCOPE_KINDS, message.kind, f"{field}.kind")
    if kind is ScopeKind.SYSTEM:
        return Scope(kind)
    return Scope(kind, require(message.name, f"{field}.name"))


def hold_to_wire(hold: Hold) -> pb.Hold:
    """Return the message."""
    return pb.Hold(
        hold_id=hold.hold_id,
        level=level_to_wire(hold.level),
        scope=scope_to_wire(hold.scope),
        cause=hold.cause,
        raised_by=hold.raised_by,
        raised_time_ns=hold.raised_ns,
        release=hold.release.wire,  # type: ignore[arg-type]
        evidence=hold.evidence,
        until_time_ns=hold.until_ns,
        latch_id=hold.latch_id,
        clear_after_time_ns=hold.clear_after_ns,
    )


def hold_from_wire(message: pb.Hold) -> Hold:
    """Return the hold."""
    return Hold(
        hold_id=require(message.hold_id, "hold.hold_id"),
        level=level_from_wire(message.level, "hold.level"),
        scope=scope_from_wire(message.scope, "hold.scope"),
        cause=message.cause,
        raised_by=message.raised_by,
        raised_ns=message.raised_time_ns,
        release=read_enum(RELEASE_RULES, message.release, "hold.release"),
        evidence=message.evidence,
        until_ns=message.until_time_ns,
        latch_id=message.latch_id,
        clear_after_ns=message.clear_after_time_ns,
    )


def level_table_to_wire(table: LevelTable) -> pb.LevelTable:
    """Return the message."""
    return pb.LevelTable(
        epoch=table.epoch,
        entries=[
            pb.LevelEntry(scope=scope_to_wire(e.scope), level=level_to_wire(e.level), fence_epoch=e.fence_epoch)
            for e in table.entries
        ],
        cleared_latch_ids=table.cleared_latch_ids,
    )


def level_table_from_wire(message: pb.LevelTable) -> LevelTable:
    """Return the table."""
    return LevelTable(
        epoch=message.epoch,
        entries=tuple(
            LevelEntry(
                scope_from_wire(e.scope, "levels.scope"), level_from_wire(e.level, "levels.level"), e.fence_epoch
            )
            for e in message.entries
        ),
        cleared_latch_ids=tuple(message.cleared_latch_ids),
    )
