"""PTR-08: whether riskd's journal can be written for a while longer, as the shell measures it once a second.

Little space or slow syncs stop entries until they are over. A sync that failed ends the process at once, since nothing
can be written any more; the next life finds the mark that was left and halts until a person has looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.keeper import HoldKeeper
from riskd.watch_rule import JournalRule
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel

UNHEALTHY: Final = "PTR-08"
MAX_SILENCE_NS: Final = 5_000_000_000
"""Older measurements count as bad: whoever measures hangs, perhaps in the very disk."""
ENOUGH_PPM: Final = 1_050_000
"""Space has to be so much of its limit before a hold ends, so that it does not flicker."""
_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class JournalHealth:
    """One measurement."""

    free_bytes: int
    syncs: int
    """Groups that were made durable in the last minute."""
    sync_p99_ns: int
    """99th percentile of what they took."""
    stalled_ns: int
    """For how long a group has been waiting to become durable; 0 = none has."""


@dataclass(slots=True)
class JournalMemory:
    """The latest measurement."""

    health: JournalHealth | None = None
    measured_ns: int = 0
    """Of it, or the start of the process."""


class JournalWatch:
    """See the module."""

    def __init__(self, keeper: HoldKeeper, rule: JournalRule | None, memory: JournalMemory) -> None:
        self._keeper = keeper
        self._rule = rule
        self._memory = memory

    def start(self, now_ns: int) -> None:
        """A process starts."""
        self._memory.measured_ns = now_ns

    def measured(self, health: JournalHealth, now_ns: int) -> None:
        """Take a measurement."""
        self._memory.health, self._memory.measured_ns = health, now_ns

    def failed_before(self, problem: str, now_ns: int) -> None:
        """The life before this one ended because its journal could not be written."""
        self._keeper.raise_(TradingLevel.HALTED, SYSTEM_SCOPE, UNHEALTHY, ReleaseRule.ONE_KEY, now_ns, problem)

    def watch(self, now_ns: int) -> None:
        """Judge the latest measurement."""
        problem = self._problem(now_ns)
        if problem is None:
            self._keeper.clear_cause(UNHEALTHY, SYSTEM_SCOPE, "the journal is well", now_ns)
        elif problem:
            level = TradingLevel.REDUCE_ONLY
            self._keeper.raise_(level, SYSTEM_SCOPE, UNHEALTHY, ReleaseRule.AUTO, now_ns, problem)

    def _problem(self, now_ns: int) -> str | None:
        """Return what is wrong; empty when it is between the limits of beginning and ending, None when all is well."""
        rule, health = self._rule, self._memory.health
        if rule is None:
            return None
        silent_ns = now_ns - self._memory.measured_ns
        if silent_ns > MAX_SILENCE_NS:
            return f"the journal's disk was not measured for {silent_ns // 1_000_000} ms"
        if health is None:
            return ""
        slowest_ns = max(health.sync_p99_ns if health.syncs >= rule.min_syncs else 0, health.stalled_ns)
        if health.free_bytes < rule.min_free_bytes:
            return f"{health.free_bytes >> 20} MiB free for the journal, limit {rule.min_free_bytes >> 20} MiB"
        if slowest_ns > rule.max_sync_ns:
            return f"syncs take {slowest_ns // 1_000_000} ms, limit {rule.max_sync_ns // 1_000_000} ms"
        return None if health.free_bytes * _PPM >= rule.min_free_bytes * ENOUGH_PPM else ""
