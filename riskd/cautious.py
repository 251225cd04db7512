"""What CAUTIOUS asks of an entry besides half size: no adds, no hurry, no revenge, a narrow spread and a deep book.

Source: the risk design's filters after a loss pause. Its wider signal threshold is left out: what a strategy's signal
is, and where it acts on it, the strategy alone knows; riskd sees what it wants, not why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from riskd.guard_book import GuardBook


class CautiousRefusal(IntEnum):
    """Which filter refuses; the value travels as the measured one."""

    ADD = 1
    TOO_SOON = 2
    AFTER_A_LOSS = 3


@dataclass(frozen=True, slots=True)
class CautiousRule:
    """Filters at CAUTIOUS; 0 = off. Of the factors PPM = as at RUNNING."""

    adds: bool
    """Whether a position may be added to."""
    spacing_ns: int
    """From one entry of an instrument to the next."""
    cooldown_ns: int
    """From a losing exit of an instrument to the next entry."""
    spread_ppm: int
    """Share of the widest spread (MKT-04) that is left."""
    depth_ppm: int
    """Multiple of the least depth (MKT-06)."""


def refusal(
    rule: CautiousRule, book: GuardBook, instrument_id: str, now_ns: int, *, is_open: bool
) -> CautiousRefusal | None:
    """Return which filter refuses an entry now, None when none does.

    Args:
        rule: The filters.
        book: When there was an entry, and a losing exit.
        instrument_id: Where.
        now_ns: Now.
        is_open: Whether a position is held there.
    """
    if is_open and not rule.adds:
        return CautiousRefusal.ADD
    entered_ns = book.entries.get(instrument_id)
    if entered_ns is not None and now_ns - entered_ns < rule.spacing_ns:
        return CautiousRefusal.TOO_SOON
    lost_ns = book.losing_exits.get(instrument_id)
    if lost_ns is not None and now_ns - lost_ns < rule.cooldown_ns:
        return CautiousRefusal.AFTER_A_LOSS
    return None
