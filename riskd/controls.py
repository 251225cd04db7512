"""The control report: each control of the catalogue with its limit, whether it is enforced, its last test and its last
breach. What is not known is 0 here and `never` on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.base_limits import Enforced, NotApplicable
from riskd.catalogue import CATALOGUE, SPEC_BY_ID, CheckSpec, Owner
from riskd.control_book import Breach, ControlBook
from riskd.decisions import render_value
from riskd.limits import Limits

ENFORCED: Final = "ENFORCED"
NOT_APPLICABLE: Final = "NOT_APPLICABLE"
UNDEFINED: Final = "UNDEFINED"
"""The limits file does not mention it: every order is refused."""


@dataclass(frozen=True, slots=True)
class ControlLine:
    """One control."""

    check_id: str
    name: str
    status: str
    reason: str
    """Why it is not applicable."""
    limit: str
    rts6: tuple[str, ...]
    sec: tuple[str, ...]
    last_test_ns: int
    last_test: str
    """What was tested; empty = never."""
    test_passed: bool
    last_breach_ns: int
    last_breach: str
    """What was measured against what; empty = never."""
    breaches: int
    """Since the journal began."""
    untested: str = ""
    """Why the latest self-test proves nothing about it."""


def control_lines(limits: Limits, book: ControlBook) -> list[ControlLine]:
    """Return the report, catalogue order."""
    return [_line(spec, limits, book) for spec in CATALOGUE]


def _line(spec: CheckSpec, limits: Limits, book: ControlBook) -> ControlLine:
    setting = limits.checks.get(spec.check_id)
    test, breach = book.tests.get(spec.check_id), book.breaches.get(spec.check_id)
    status, reason, limit = ENFORCED, "", ""
    if spec.owner is Owner.EXECD:
        limit = spec.default
    elif isinstance(setting, NotApplicable):
        status, reason = NOT_APPLICABLE, setting.reason
    elif isinstance(setting, Enforced):
        limit = _limit(setting)
    else:
        status = UNDEFINED
    return ControlLine(
        spec.check_id,
        spec.name,
        status,
        reason,
        limit,
        spec.articles.rts6,
        spec.articles.sec,
        0 if test is None else test.time_ns,
        "" if test is None else f"{test.kind}: {test.detail}" if test.detail else test.kind,
        test is not None and test.passed,
        0 if breach is None else breach.time_ns,
        "" if breach is None else _told(spec.check_id, breach),
        book.counts.get(spec.check_id, 0),
        book.untried.get(spec.check_id, "") if status == ENFORCED else "",
    )


def _limit(setting: Enforced) -> str:
    """Return the numbers of the limits file as one line."""
    parts = []
    for name, value in setting.model_dump(mode="json", exclude={"status"}, exclude_none=True).items():
        if isinstance(value, dict):
            value = " ".join(f"{key}={inner}" for key, inner in value.items())
        elif isinstance(value, list):
            value = " ".join(map(str, value)) or "none"
        parts.append(f"{name} {value}")
    return ", ".join(parts)


def _told(check_id: str, breach: Breach) -> str:
    if breach.detail or not breach.measured:
        return f"{breach.reason} {breach.detail} ({breach.subject})".replace("  ", " ")
    unit = SPEC_BY_ID[check_id].unit
    measured, limit = render_value(unit, int(breach.measured)), render_value(unit, int(breach.limit))
    numbers = f" {measured} against {limit}" if measured or limit else ""
    return f"{breach.reason}{numbers} ({breach.subject})"
