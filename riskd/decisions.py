"""Decisions for people: a DECISION record becomes texts only when somebody asks, never on the way of an order."""

from __future__ import annotations

from decimal import Decimal

from riskd.catalogue import CATALOGUE, SPEC_BY_ID, Unit
from riskd.plans import Plan
from riskd.records import CheckRow, DecisionRecord
from riskd.units import PPM_PER_BPS, PPM_PER_PCT, from_units
from tradebot.core.amounts import format_decimal
from tradebot.core.approvals import CheckOutcome, CheckResult, Decision, Verdict
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import OrderRole

_NO_INPUT = frozenset({"CHECK_INPUT_MISSING", "LIMIT_UNDEFINED", "CHECK_ERROR"})


def render(record: DecisionRecord, plans: dict[str, Plan]) -> Decision:
    """Return a decision with every check of the catalogue: run, skipped or not applicable."""
    ran = {row[0]: row for row in record.checks}
    plan = plans.get(record.plan)
    checks: list[CheckResult] = []
    for spec in CATALOGUE:
        if spec.check_id in ran:
            checks.append(render_row(ran[spec.check_id], record))
        elif plan is not None and spec.check_id in plan.others:
            outcome, reason = plan.others[spec.check_id]
            checks.append(CheckResult(spec.check_id, outcome, reason))
    first = first_violation(record)
    return Decision(
        decision_id=record.decision_id,
        ask_id=record.ask_id,
        session_id=record.session_id,
        intent_id=record.intent_id,
        strategy_id=record.strategy_id,
        child_index=record.child_index,
        role=OrderRole(record.role),
        verdict=Verdict(record.verdict),
        check_id="" if first is None else first[0],
        reason="" if first is None else first[2],
        checks=tuple(checks),
        asked=record.asked,
        approved_qty=record.approved_qty or None,
        binding_limit=record.binding,
        level=TradingLevel(record.level),
        epoch=record.epoch,
        time_ns=record.time_ns,
        trace_id=record.trace_id,
    )


def first_violation(record: DecisionRecord) -> CheckRow | None:
    """Return the first violated check in catalogue order."""
    blocked = CheckOutcome.BLOCK.value
    return next((row for row in record.checks if row[1] == blocked), None)


def render_row(row: CheckRow, record: DecisionRecord) -> CheckResult:
    """Return one check that ran, with texts."""
    check_id, outcome, reason, limit, measured = row
    unit = SPEC_BY_ID[check_id].unit
    if record.texts is not None and reason and check_id in record.texts:
        return CheckResult(
            check_id, CheckOutcome(outcome), reason, "", record.texts[check_id], _scope(check_id, record)
        )
    shown = outcome != CheckOutcome.PASS.value or limit != 0 or measured != 0
    if reason in _NO_INPUT or not shown:
        return CheckResult(check_id, CheckOutcome(outcome), reason, scope=_scope(check_id, record))
    return CheckResult(
        check_id,
        CheckOutcome(outcome),
        reason,
        render_value(unit, int(limit)),
        render_value(unit, int(measured)),
        _scope(check_id, record),
    )


def render_value(unit: Unit, value: int) -> str:
    """Return a limit or measured value as text with its unit."""
    match unit:
        case Unit.UNITS:
            return format_decimal(from_units(value))
        case Unit.PPM:
            return f"{format_decimal(Decimal(value) / PPM_PER_PCT)} %"
        case Unit.BPS:
            return f"{format_decimal(Decimal(value) / PPM_PER_BPS)} bps"
        case Unit.MS:
            return f"{value} ms"
        case Unit.LEVEL:
            return TradingLevel(value).name
        case Unit.COUNT:
            return str(value)
        case Unit.NONE:
            return "" if not value else str(value)


def describe(row: CheckRow, record: DecisionRecord) -> str:
    """Return one line for people."""
    result = render_row(row, record)
    if result.measured and not result.limit:
        return f"{result.check_id} {result.reason}: {result.measured} ({result.scope})"
    if result.measured:
        return f"{result.check_id} {result.reason}: {result.measured} against {result.limit} ({result.scope})"
    return f"{result.check_id} {result.reason} ({result.scope})"


def _scope(check_id: str, record: DecisionRecord) -> str:
    scope = SPEC_BY_ID[check_id].scope
    if scope.startswith("venue"):
        return record.venue
    if scope.startswith("strategy"):
        return record.strategy_id
    if scope in ("system", "portfolio", "all scopes"):
        return scope
    return record.instrument_id
