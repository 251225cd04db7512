"""The level as people must read it: the system's own, and every smaller scope where less is allowed. A venue may be
HALTED while the system's level is RUNNING, and then nothing trades there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from cli.views import HoldView
from tradebot.core.levels import TradingLevel

SYSTEM: Final = "system"
MAX_SCOPES: Final = 2
"""Named in one line; the others are counted."""


def rank(level: str) -> int:
    """Return how much a level forbids; one that is not known here counts as the worst."""
    return int(TradingLevel[level]) if level in TradingLevel.__members__ else len(TradingLevel)


def at_least(level: TradingLevel, holds: Iterable[HoldView]) -> list[HoldView]:
    """Return the holds of this level and above, the worst first."""
    found = [hold for hold in holds if rank(hold.level) >= level]
    return sorted(found, key=lambda hold: -rank(hold.level))


def level_text(system_level: str, holds: Sequence[HoldView]) -> str:
    """Return the system's level and the smaller scopes that are worse off: `RUNNING, binance HALTED`."""
    worse: dict[str, str] = {}
    for hold in at_least(TradingLevel.CAUTIOUS, holds):
        if hold.scope != SYSTEM and rank(hold.level) > rank(system_level):
            worse.setdefault(_name(hold.scope), hold.level)
    named = [f"{name} {level}" for name, level in list(worse.items())[:MAX_SCOPES]]
    more = [f"{len(worse) - MAX_SCOPES} more"] if len(worse) > MAX_SCOPES else []
    return ", ".join([system_level, *named, *more])


def hold_text(hold: HoldView) -> str:
    """Return one hold in a few words."""
    return f"{_name(hold.scope)} {hold.level} ({hold.cause})"


def _name(scope: str) -> str:
    return scope.partition(":")[2] or scope
