"""Whether the clock can be believed across a stop of the process: a pure comparison of what two starts read.

Linux counts the time since it booted, sleep included, whatever is done to the clock on the wall. Within one boot the
two must have moved alike. After another boot nothing here can tell: a venue can (AUT-06). The boot's id only tells
which of the two it was, and a sandbox may hide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from riskd.order_limits import ClockSanity
from tradebot.core.accounts import VenueStatus

MAX_STEP_NS: Final = 2_000_000_000
"""A clock that was moved by less shortens no countdown that matters."""


@dataclass(frozen=True, slots=True)
class BootTime:
    """What the system says about its own uptime; nothing where it does not tell."""

    boot_id: str = ""
    since_boot_ns: int = 0


class ClockTrust(Enum):
    """What is known about the time between two starts."""

    SAME = "the clock moved as the time since boot did"
    MOVED = "the clock was moved"
    REBOOTED = "the system booted in between, so nobody knows whether the clock was moved"


def judge(before: BootTime, before_ns: int, now: BootTime, now_ns: int) -> ClockTrust:
    """Return how far the clock of this start can be believed.

    Args:
        before: As read at the last start.
        before_ns: Time of the last start, by the clock of then.
        now: As read at this start.
        now_ns: Time, by the clock of now.
    """
    known = before.since_boot_ns and now.since_boot_ns
    if not known or now.since_boot_ns < before.since_boot_ns or now.boot_id != before.boot_id:
        return ClockTrust.REBOOTED
    apart_ns = (now_ns - before_ns) - (now.since_boot_ns - before.since_boot_ns)
    return ClockTrust.MOVED if abs(apart_ns) > MAX_STEP_NS else ClockTrust.SAME


def agrees(rule: ClockSanity | None, status: VenueStatus, now_ns: int) -> bool:
    """Return whether a venue has measurably the same time as we: what AUT-06 asks, whatever the measurement's error."""
    if rule is None or status.clock_error_ns <= 0 or abs(now_ns - status.clock_time_ns) > rule.max_age_s * 10**9:
        return False
    return abs(status.clock_offset_ns) + status.clock_error_ns <= rule.max_offset_ms * 10**6
