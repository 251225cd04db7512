"""How old is too old: fresh, late, stale `~`, dead `?`. Every value on the screen goes through here.

A value is as good as its worst input, and what has never arrived is dead, not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from console.text import ESTIMATE, NS_PER_S, UNKNOWN, Span, Tone


class Freshness(IntEnum):
    """Higher is worse."""

    FRESH = 0
    LATE = 1
    """Good, and its age is shown."""
    STALE = 2
    """Shown with `~`, without colour."""
    DEAD = 3
    """`?` instead of a number."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Oldest age of each grade, nanoseconds; older than the last one is dead."""

    fresh_ns: int
    late_ns: int
    stale_ns: int


MARKET: Final = Thresholds(1 * NS_PER_S, 3 * NS_PER_S, 10 * NS_PER_S)
"""Book and last trade."""
ACCOUNT: Final = Thresholds(2 * NS_PER_S, 5 * NS_PER_S, 15 * NS_PER_S)
"""Orders, positions, money, holds."""
HEARTBEAT: Final = Thresholds(2 * NS_PER_S, 3 * NS_PER_S, 5 * NS_PER_S)
"""Daemons; a closed stream is dead at once."""


def grade(age_ns: int | None, thresholds: Thresholds) -> Freshness:
    """Return how good a value of this age is; None means that there never was one."""
    if age_ns is None or age_ns > thresholds.stale_ns:
        return Freshness.DEAD
    if age_ns > thresholds.late_ns:
        return Freshness.STALE
    return Freshness.LATE if age_ns > thresholds.fresh_ns else Freshness.FRESH


@dataclass(slots=True)
class Feed:
    """One stream as it arrives."""

    received_ns: int | None = None
    """Our time of the last message."""
    delay_ns: int = 0
    """Our time minus the sender's time when it arrived; what was old on arrival is not fresh."""
    connected: bool = False

    def heard(self, now_ns: int, sent_ns: int = 0) -> None:
        """A message arrived; `sent_ns` is the sender's time, 0 when it says none."""
        self.received_ns = now_ns
        self.delay_ns = max(0, now_ns - sent_ns) if sent_ns else 0
        self.connected = True

    def closed(self) -> None:
        """The stream is over: everything from it turns stale now, not when its age says so."""
        self.connected = False

    def age_ns(self, now_ns: int) -> int | None:
        """Return the age of the last message, None before the first."""
        if self.received_ns is None:
            return None
        return max(0, now_ns - self.received_ns, self.delay_ns)

    def freshness(self, now_ns: int, thresholds: Thresholds) -> Freshness:
        """Return how good data of this stream is."""
        by_age = grade(self.age_ns(now_ns), thresholds)
        return by_age if self.connected else max(by_age, Freshness.STALE)


def mark(text: str, freshness: Freshness, tone: Tone = Tone.NORMAL) -> Span:
    """Return a value as it may be shown: as it is, grey with `~`, or `?` in its place.

    The text may be padded on the left; `~` takes one cell of the padding, so columns keep their width when they have
    one to spare.
    """
    if text.strip() == UNKNOWN:
        return Span(text, Tone.STALE)
    match freshness:
        case Freshness.DEAD:
            return Span(UNKNOWN.rjust(len(text)), Tone.STALE)
        case Freshness.STALE:
            body = text.lstrip(" ")
            pad = len(text) - len(body)
            return Span(f"{' ' * max(0, pad - 1)}{ESTIMATE}{body}", Tone.STALE)
        case _:
            return Span(text, tone)
