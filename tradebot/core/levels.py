"""Trading levels and holds. The level in force is the highest hold that covers the scope; nobody can set RUNNING.

Source: the design's holds section: raising is always allowed, lowering means clearing a named hold by its rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from tradebot.core.wire_enum import WireEnum


class TradingLevel(IntEnum):
    """Total order, higher wins. Values plus one are the wire values of the proto enum."""

    RUNNING = 0
    CAUTIOUS = 1
    REDUCE_ONLY = 2
    PAUSED = 3
    HALTED = 4
    KILLED = 5


class ScopeKind(WireEnum):
    """What a hold covers. Values are wire values of the proto enum."""

    SYSTEM = 1
    VENUE = 2
    INSTRUMENT = 3
    STRATEGY = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope names one thing, or everything for SYSTEM."""

    kind: ScopeKind
    name: str = ""
    """Venue, instrument_id or strategy id; empty for SYSTEM."""

    def covers(self, venue: str, instrument_id: str, strategy_id: str) -> bool:
        """Return whether an action on these falls under this scope."""
        match self.kind:
            case ScopeKind.SYSTEM:
                return True
            case ScopeKind.VENUE:
                return self.name == venue
            case ScopeKind.INSTRUMENT:
                return self.name == instrument_id
            case ScopeKind.STRATEGY:
                return self.name == strategy_id


SYSTEM_SCOPE = Scope(ScopeKind.SYSTEM)


class ReleaseRule(WireEnum):
    """How a hold may be cleared. Values are wire values of the proto enum."""

    AUTO = 1
    """By the condition that raised it, when it no longer holds."""
    TIMED = 2
    """At `until_ns`."""
    ONE_KEY = 3
    """By one operator."""
    TWO_KEY = 4
    """By two keys with a cool-off."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason why trading is restricted."""

    hold_id: str
    level: TradingLevel
    scope: Scope
    cause: str
    """Check id or cause name, e.g. PNL-01, OPERATOR, STARTUP_RECONCILE."""
    raised_by: str
    raised_ns: int
    release: ReleaseRule
    evidence: str = ""
    """What was measured, in one line."""
    until_ns: int = 0
    """End of a TIMED hold, 0 otherwise."""
    latch_id: str = ""
    """Stop latch that this hold carries; clearing the hold ends the latch."""
    clear_after_ns: int = 0
    """Before this time one key does not clear it: a cool-off, or the end of the day that lost too much. 0 = at once."""
