"""When each control last refused or held something, how often, and when it was last tested. A fold of the journal.

Refusals count by check; a hold counts for the check that is its cause; execd's refusals for its own checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.catalogue import CATALOGUE, SPEC_BY_ID, Owner
from riskd.records import CheckRow, ControlTested
from tradebot.core.levels import Hold

DRILL_CONTROL: Final = "STA-09"
"""The kill switch, tested by drills."""
SELF_TEST: Final = "limits self-test"
"""Kind of the test that riskd makes of its own limits at every start and change."""
HARD_SUFFIX: Final = "_HARD"
CHECK_OF_REASON: Final = {
    reason: spec.check_id for spec in CATALOGUE if spec.owner is Owner.POST_TRADE for reason in spec.reasons
}
"""Causes of holds that are no check ids."""


@dataclass(frozen=True, slots=True)
class Breach:
    """The latest one."""

    time_ns: int
    subject: str
    """Decision, hold or order."""
    reason: str
    limit: str
    """Raw, as in the decision; empty when a hold tells it in words."""
    measured: str
    detail: str


@dataclass(frozen=True, slots=True)
class Tested:
    """The latest test."""

    time_ns: int
    kind: str
    passed: bool
    detail: str


def check_of(cause: str) -> str | None:
    """Return the check that a cause of holds belongs to."""
    cause = cause.removesuffix(HARD_SUFFIX)
    return cause if cause in SPEC_BY_ID else CHECK_OF_REASON.get(cause)


class ControlBook:
    """By check id."""

    def __init__(self) -> None:
        self.breaches: dict[str, Breach] = {}
        self.counts: dict[str, int] = {}
        self.tests: dict[str, Tested] = {}
        self.runs: dict[str, ControlTested] = {}
        """Kind of test -> its latest run."""
        self.untried: dict[str, str] = {}
        """Control -> why the latest run proves nothing about it."""

    def refused(self, decision_id: str, rows: list[CheckRow], violated: int, time_ns: int) -> None:
        """A decision refused; every row with this outcome is a breach."""
        for check_id, outcome, reason, limit, measured in rows:
            if outcome == violated:
                self._count(check_id, Breach(time_ns, decision_id, reason, str(limit), str(measured), ""))

    def held(self, hold: Hold) -> None:
        """A hold was raised."""
        check_id = check_of(hold.cause)
        if check_id is not None:
            reason = SPEC_BY_ID[check_id].reasons[0]
            self._count(check_id, Breach(hold.raised_ns, hold.hold_id, reason, "", "", hold.evidence))

    def refused_by_execd(self, check_id: str, client_order_id: str, reason: str, detail: str, time_ns: int) -> None:
        """execd refused by itself what was approved."""
        spec = SPEC_BY_ID.get(check_id)
        if spec is not None and spec.owner is Owner.EXECD:
            self._count(check_id, Breach(time_ns, client_order_id, reason, "", "", detail))

    def tested(self, record: ControlTested) -> None:
        """Controls were tested. That the check of the drill's age refuses is no test of the switch: the drill stays."""
        self.runs[record.kind] = record
        for check_id in record.passed:
            if check_id != DRILL_CONTROL:
                self.tests[check_id] = Tested(record.time_ns, record.kind, True, record.detail)
        for check_id in record.failed:
            self.tests[check_id] = Tested(record.time_ns, record.kind, False, record.detail)
        self.untried = dict(record.untried)

    def drilled(self, time_ns: int, detail: str) -> None:
        """A drill of the kill switch succeeded."""
        self.tests[DRILL_CONTROL] = Tested(time_ns, "kill drill", True, detail)

    def digest(self) -> list[object]:
        """Return everything folded."""
        return [
            sorted(self.breaches.items()),
            sorted(self.counts.items()),
            sorted(self.tests.items()),
            sorted(self.runs.items()),
            sorted(self.untried.items()),
        ]

    def _count(self, check_id: str, breach: Breach) -> None:
        self.breaches[check_id] = breach
        self.counts[check_id] = self.counts.get(check_id, 0) + 1
