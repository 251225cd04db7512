"""Limits of what riskd watches by itself, after the trade, as ints. None = the watch is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.limits import EquityAgreement, Limits
from riskd.post_trade_limits import Dependencies, JournalSpace, UnprotectedPosition
from riskd.units import PPM_PER_PCT

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ProtectionRule:
    """PTR-06."""

    alarm_ns: int
    action_ns: int


@dataclass(frozen=True, slots=True)
class DependencyRule:
    """PTR-07."""

    watched: tuple[str, ...]
    reduce_only_ns: int
    pause_ns: int


@dataclass(frozen=True, slots=True)
class JournalRule:
    """PTR-08."""

    min_free_bytes: int
    max_sync_ns: int
    min_syncs: int


@dataclass(frozen=True, slots=True)
class WatchRule:
    """All of them."""

    protection: ProtectionRule | None
    dependencies: DependencyRule | None
    journal: JournalRule | None
    equity_drift_ppm: int | None
    """PNL-09, of equity."""


def make_watch_rule(limits: Limits) -> WatchRule:
    """Return the ints of a limits file."""
    naked, silent = limits.enforced("PTR-06", UnprotectedPosition), limits.enforced("PTR-07", Dependencies)
    disk, told = limits.enforced("PTR-08", JournalSpace), limits.enforced("PNL-09", EquityAgreement)
    return WatchRule(
        None if naked is None else ProtectionRule(naked.alarm_s * _NS_PER_S, naked.action_s * _NS_PER_S),
        None if silent is None else _dependency_rule(silent),
        None if disk is None else _journal_rule(disk),
        None if told is None else int(told.max_drift_pct * PPM_PER_PCT),
    )


def _dependency_rule(limit: Dependencies) -> DependencyRule:
    return DependencyRule(limit.watched, limit.reduce_only_s * _NS_PER_S, limit.pause_s * _NS_PER_S)


def _journal_rule(limit: JournalSpace) -> JournalRule:
    return JournalRule(int(limit.min_free_gib * (1 << 30)), limit.max_sync_p99_ms * _NS_PER_MS, limit.min_syncs)
