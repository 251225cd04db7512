"""Reads the journal for people: the audit trail with its hash chain, and decisions too old for memory.

Blocking; the service calls it in a thread. Reading verifies every record on the way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from riskd.keeper import scope_text
from riskd.records import (
    Command,
    DecisionRecord,
    HoldCleared,
    HoldRaised,
    HoldRetimed,
    RecordType,
    decode_record,
)
from tradebot.runtime.journal_reader import read_journal

_AUDITED = frozenset({RecordType.COMMAND, RecordType.HOLD_RAISED, RecordType.HOLD_CLEARED, RecordType.HOLD_RETIMED})


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audited change."""

    time_ns: int
    operator: str
    role: str
    command: str
    arguments: str
    reason: str
    result: str
    command_id: str
    record_hash: str
    """Link of the journal's hash chain at this record, hex."""


def read_audit(directory: Path, limit: int) -> list[AuditEntry]:
    """Return commands and holds, newest first."""
    latest: deque[AuditEntry] = deque(maxlen=limit)
    for record in read_journal(directory):
        if record.record_type in _AUDITED:
            latest.append(_entry(decode_record(record.record_type, record.payload), record.link.hex()))
    return list(reversed(latest))


def find_decision(directory: Path, decision_id: str) -> DecisionRecord | None:
    """Return a decision from the journal, None when it is not there."""
    wanted = decision_id.encode()
    for record in read_journal(directory):
        if record.record_type == RecordType.DECISION and wanted in record.payload:
            decision = decode_record(record.record_type, record.payload)
            if isinstance(decision, DecisionRecord) and decision.decision_id == decision_id:
                return decision
    return None


def _entry(record: object, link: str) -> AuditEntry:
    match record:
        case HoldRaised(hold=hold):
            return AuditEntry(
                hold.raised_ns,
                hold.raised_by,
                "",
                f"HOLD RAISED {hold.level.name}",
                f"{hold.hold_id} {scope_text(hold.scope)}",
                hold.evidence,
                hold.cause,
                hold.latch_id,
                link,
            )
        case HoldCleared():
            was = record.hold
            text = record.hold_id if was is None else f"{record.hold_id} {was.level.name} {scope_text(was.scope)}"
            cause = "" if was is None else was.cause
            return AuditEntry(record.time_ns, record.operator, "", "HOLD CLEARED", text, record.reason, cause, "", link)
        case HoldRetimed():
            return AuditEntry(
                record.time_ns, record.operator, "", "HOLD RETIMED", record.hold_id, record.reason, "", "", link
            )
        case Command():
            return AuditEntry(
                record.time_ns,
                record.operator,
                record.role,
                record.command,
                record.arguments,
                record.reason,
                record.result,
                record.command_id,
                link,
            )
        case _:
            raise AssertionError(f"{type(record).__name__} is not audited")
