"""Soft caps that are exceeded without an order (price drift, a falling equity, age): grace, then riskd reduces.

Per cap and key: exceeding it raises REDUCE_ONLY; back under 95 % of it ends that. When the grace is over, or at once
when the hard cap is exceeded too, riskd closes down to 90 %, largest contributor first. What is still above the hard
cap five minutes later halts. Begin and deadline are journaled: a restart neither restarts nor skips the grace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from riskd.records import SoftCapState
from riskd.units import PPM, with_ppm
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind

CLEAR_PPM: Final = 950_000
"""Of the soft cap: below it all is well again."""
TARGET_PPM: Final = 900_000
"""Of the soft cap: riskd closes down to this."""
HARD_HALT_NS: Final = 300 * 1_000_000_000
"""Above the hard cap for so long halts."""
HOLDING_TIME: Final = "POS-14"


@dataclass(frozen=True, slots=True)
class Part:
    """One position's share of a measure."""

    instrument_id: str
    strategy_id: str
    units: int
    """Signed quantity."""
    value: int
    """Its notional in account currency, or its age in ns."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a cap is held against."""

    cap: str
    key: str
    """Instrument, `a+b` of a cluster, or empty for the whole portfolio."""
    value: int
    soft: int
    hard: int
    parts: tuple[Part, ...]

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Return what may not grow while it is exceeded."""
        if not self.key:
            return (SYSTEM_SCOPE,)
        return tuple(Scope(ScopeKind.INSTRUMENT, name) for name in self.key.split(CLUSTER_SEPARATOR))

    @property
    def clear_at(self) -> int:
        """Return the value at and below which the cap counts as kept again. Age ends with being flat."""
        return self.soft if self.cap == HOLDING_TIME else with_ppm(self.soft, CLEAR_PPM)


CLUSTER_SEPARATOR: Final = "+"


class Move(Enum):
    """What is to be done about one cap."""

    NOTHING = 0
    BEGIN = 1
    """Above the soft cap: stop growing, start the grace."""
    END = 2
    CLOSE = 3
    """Reduce now."""
    HALT = 4
    """Reducing did not help in time."""


def judge(measure: Measure, state: SoftCapState | None, grace_ns: int, now_ns: int) -> tuple[SoftCapState | None, Move]:
    """Return where a cap stands now and what is to be done. Pure: the same inputs give the same answer.

    Args:
        measure: What is measured now.
        state: Where it stood; None = not exceeded.
        grace_ns: Length of the grace.
        now_ns: Now.
    """
    above_hard = measure.value > measure.hard
    if state is None:
        if measure.value <= measure.soft:
            return None, Move.NOTHING
        hard_since_ns = now_ns if above_hard else 0
        deadline_ns = now_ns if above_hard else now_ns + grace_ns
        return SoftCapState(measure.cap, measure.key, now_ns, deadline_ns, hard_since_ns), Move.BEGIN
    if measure.value <= measure.clear_at:
        return None, Move.END
    hard_since_ns = (state.hard_since_ns or now_ns) if above_hard else 0
    fresh = SoftCapState(measure.cap, measure.key, state.since_ns, state.deadline_ns, hard_since_ns)
    if hard_since_ns and now_ns - hard_since_ns >= HARD_HALT_NS:
        return fresh, Move.HALT
    return fresh, Move.CLOSE if above_hard or now_ns >= state.deadline_ns else Move.NOTHING


def to_close(measure: Measure) -> tuple[Part, int] | None:
    """Return the largest contributor and how many of its units stay; None when the target is reached.

    An aged position is closed whole, the oldest first.
    """
    if not measure.parts:
        return None
    part = max(measure.parts, key=lambda p: (p.value, p.instrument_id, p.strategy_id))
    if measure.cap == HOLDING_TIME:
        return (part, 0) if part.value > measure.soft else None
    excess = measure.value - with_ppm(measure.soft, TARGET_PPM)
    if excess <= 0 or part.value <= 0:
        return None
    keep = abs(part.units) * max(part.value - excess, 0) // part.value
    return part, keep


def totals(parts: Iterable[Part]) -> int:
    """Return the sum of the parts."""
    return sum(part.value for part in parts)


def share_ppm(value: int, cap: int) -> int:
    """Return how much of a cap is used, for people."""
    return value * PPM // cap if cap > 0 else 0
