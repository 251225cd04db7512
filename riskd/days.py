"""UTC days and weeks as numbers: days since 1970-01-01, weeks that begin on Monday."""

from __future__ import annotations

from typing import Final

DAY_NS: Final = 86_400 * 1_000_000_000


def day_of(now_ns: int) -> int:
    """Return the UTC day."""
    return now_ns // DAY_NS


def week_of(day: int) -> int:
    """Return the number of the week. Day 0 was a Thursday."""
    return (day + 3) // 7


def next_midnight(now_ns: int) -> int:
    """Return when the next UTC day begins."""
    return (day_of(now_ns) + 1) * DAY_NS
