"""Limits of what riskd watches by itself, after the trade, as ints. None = the watch is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.limits import Limits
from riskd.post_trade_limits import UnprotectedPosition

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ProtectionRule:
    """PTR-06."""

    alarm_ns: int
    action_ns: int


@dataclass(frozen=True, slots=True)
class WatchRule:
    """All of them."""

    protection: ProtectionRule | None


def make_watch_rule(limits: Limits) -> WatchRule:
    """Return the ints of a limits file."""
    naked = limits.enforced("PTR-06", UnprotectedPosition)
    return WatchRule(
        None if naked is None else ProtectionRule(naked.alarm_s * _NS_PER_S, naked.action_s * _NS_PER_S),
    )
