"""Reports, records and holds as messages of the Risk service."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from riskd.controls import ControlLine
from riskd.gate import RiskGate
from riskd.limit_changes import Direction, LimitChange
from riskd.records import Command, DecisionRecord, DrillDone, HoldCleared, HoldRaised, KillSaga
from riskd.reports import PnlReport, PositionReport
from riskd.saga import DONE, RELEASED, Step
from riskd.shell import RiskEventRecord
from tradebot.core.amounts import format_decimal
from tradebot.core.approvals import CheckOutcome, Verdict
from tradebot.rpc.risk.v1 import kill_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.wire.fields import write_optional_decimal
from tradebot.wire.levels import hold_to_wire, scope_to_wire
from tradebot.wire.risk import decision_to_wire

PLACES: Final = Decimal("0.00000001")


def position_message(report: PositionReport) -> pb.Position:
    """Return one position."""
    return pb.Position(
        venue=report.venue,
        instrument_id=report.instrument_id,
        strategy_id=report.strategy_id,
        qty=format_decimal(report.qty),
        avg_price=_money(report.avg_price),
        mark_price=write_optional_decimal(report.mark),
        mark_age_ms=report.mark_age_ms,
        realized_pnl=_money(report.realized_pnl),
        unrealized_pnl=_optional(report.unrealized_pnl),
        fees_paid=_money(report.maker_fees + report.taker_fees),
        maker_fees=_money(report.maker_fees),
        taker_fees=_money(report.taker_fees),
        stop_price=write_optional_decimal(report.stop_price),
        limit_used_pct=report.limit_used_pct,
        opened_time_ns=report.opened_ns,
        updated_time_ns=report.updated_ns,
        funding=_money(report.funding),
        settle_asset=report.settle,
        notional=_optional(report.notional),
        leverage=write_optional_decimal(report.leverage),
        liquidation_price=write_optional_decimal(report.liquidation_price),
        maintenance_margin=_optional(report.maintenance_margin),
    )


def pnl_message(report: PnlReport, currency: str, now_ns: int) -> pb.WatchPnlResponse:
    """Return PnL. Amounts that are not known are empty, never 0."""
    return pb.WatchPnlResponse(
        time_ns=now_ns,
        currency=currency,
        equity=_optional(report.equity),
        day_start_equity=_optional(report.day_start),
        day_pnl=_optional(report.day_pnl),
        day_pnl_pct=report.day_pct,
        day_limit_pct=report.day_limit_pct,
        realized_pnl=_money(report.realized_pnl),
        unrealized_pnl=_money(report.unrealized_pnl),
        fees=_money(report.maker_fees + report.taker_fees),
        maker_fees=_money(report.maker_fees),
        taker_fees=_money(report.taker_fees),
        gross_exposure=_money(report.gross),
        net_exposure=_money(report.net),
        gross_limit=_optional(report.gross_limit),
        turnover=_money(report.turnover),
        drawdown_pct=report.drawdown_pct,
        stale_inputs=report.stale_inputs,
        strategies=[
            pb.StrategyPnl(
                strategy_id=strategy_id,
                realized_pnl=_money(own.realized_pnl),
                unrealized_pnl=_money(own.unrealized_pnl),
                fees=_money(own.fees),
                open_positions=own.open_positions,
                funding=_money(own.funding),
                day_pnl=_money(own.day_pnl),
                round_trips=own.round_trips,
                win_rate_pct=own.win_rate_pct,
                losses_in_row=own.losses_in_row,
            )
            for strategy_id, own in sorted(report.strategies.items())
        ],
        funding=_money(report.funding),
        leverage=report.leverage,
        margin_used_pct=report.margin_used_pct,
        margin_ratio_pct=report.margin_ratio_pct,
        pairs=[
            pb.PairPnl(
                instrument_id=instrument_id,
                realized_pnl=_money(own.realized_pnl),
                unrealized_pnl=_money(own.unrealized_pnl),
                fees=_money(own.fees),
                funding=_money(own.funding),
                day_pnl=_money(own.day_pnl),
            )
            for instrument_id, own in sorted(report.pairs.items())
        ],
    )


LIMIT_DIRECTIONS: Final = {
    Direction.TIGHTENS: pb.LIMIT_DIRECTION_TIGHTENS,
    Direction.LOOSENS: pb.LIMIT_DIRECTION_LOOSENS,
    Direction.REFUSED: pb.LIMIT_DIRECTION_REFUSED,
}


def control_message(line: ControlLine) -> pb.Control:
    """Return the message of one control."""
    return pb.Control(
        check_id=line.check_id,
        name=line.name,
        status=line.status,
        reason=line.reason,
        limit=line.limit,
        rts6=line.rts6,
        sec_15c3_5=line.sec,
        last_test_time_ns=line.last_test_ns,
        last_test=line.last_test,
        last_test_passed=line.test_passed,
        last_breach_time_ns=line.last_breach_ns,
        last_breach=line.last_breach,
        breaches=line.breaches,
        untested=line.untested,
    )


def limit_change_message(change: LimitChange) -> pb.LimitChange:
    """Return one value that changes."""
    return pb.LimitChange(
        path=change.path,
        before=change.before,
        after=change.after,
        ratio=change.ratio,
        direction=LIMIT_DIRECTIONS[change.direction],
    )


def risk_event_message(gate: RiskGate, sequence: int, record: RiskEventRecord) -> pb.RiskEvent:
    """Return one risk event. An approval comes without its passed checks: GetDecision has them."""
    match record:
        case HoldRaised():
            return pb.RiskEvent(
                sequence=sequence,
                kind=pb.RISK_EVENT_KIND_HOLD_RAISED,
                time_ns=record.hold.raised_ns,
                hold=hold_to_wire(record.hold),
                text=f"{record.hold.level.name} {record.hold.cause}: {record.hold.evidence}",
                operator=record.hold.raised_by,
            )
        case HoldCleared():
            return pb.RiskEvent(
                sequence=sequence,
                kind=pb.RISK_EVENT_KIND_HOLD_CLEARED,
                time_ns=record.time_ns,
                hold=None if record.hold is None else hold_to_wire(record.hold),
                text=f"{record.hold_id} cleared: {record.reason}",
                operator=record.operator,
            )
        case Command():
            return pb.RiskEvent(
                sequence=sequence,
                kind=pb.RISK_EVENT_KIND_COMMAND,
                time_ns=record.time_ns,
                text=f"{record.command} {record.arguments}: {record.result}",
                operator=record.operator,
            )
        case DecisionRecord():
            return _decision_event(gate, sequence, record)
        case KillSaga():
            return pb.RiskEvent(
                sequence=sequence,
                kind=pb.RISK_EVENT_KIND_KILL_STEP,
                time_ns=record.ended_ns or record.marks[-1].began_ns,
                text=f"KILL {record.kill_id} {record.outcome or Step(record.step).name} {record.stuck}".rstrip(),
                operator=record.operator,
            )


def _decision_event(gate: RiskGate, sequence: int, record: DecisionRecord) -> pb.RiskEvent:
    decision = gate.render(record)
    refused = decision.verdict is Verdict.BLOCK
    if not refused:
        told = tuple(check for check in decision.checks if check.outcome is CheckOutcome.SOFT)
        decision = replace(decision, checks=told)
    text = f"{decision.check_id} {decision.reason}" if refused else f"{decision.verdict.name} {decision.approved_qty}"
    return pb.RiskEvent(
        sequence=sequence,
        kind=pb.RISK_EVENT_KIND_REFUSED if refused else pb.RISK_EVENT_KIND_APPROVED,
        time_ns=record.time_ns,
        decision=decision_to_wire(decision),
        text=f"{record.strategy_id} {record.instrument_id} {text}",
    )


KILL_STATES: Final = {DONE: kill_pb2.KILL_STATE_DONE, RELEASED: kill_pb2.KILL_STATE_RELEASED}


def kill_message(saga: KillSaga) -> kill_pb2.KillReport:
    """Return a kill with everything that is known of it."""
    under_way = kill_pb2.KILL_STATE_STUCK if saga.stuck else kill_pb2.KILL_STATE_WORKING
    return kill_pb2.KillReport(
        kill_id=saga.kill_id,
        scope=scope_to_wire(saga.scope),
        state=KILL_STATES.get(saga.outcome, under_way),
        step=saga.step,  # type: ignore[arg-type]  # steps have the values of the wire
        flatten=saga.flatten,
        drill=saga.drill,
        operator=saga.operator,
        reason=saga.reason,
        began_time_ns=saga.began_ns,
        ended_time_ns=saga.ended_ns,
        attempts=saga.attempt,
        stuck=saga.stuck,
        marks=[
            kill_pb2.KillMark(
                step=mark.step,  # type: ignore[arg-type]
                began_time_ns=mark.began_ns,
                ended_time_ns=mark.ended_ns,
                evidence=mark.evidence,
            )
            for mark in saga.marks
        ],
        left=saga.left,
    )


def drill_message(drill: DrillDone) -> kill_pb2.DrillRecord:
    """Return the record of a drill."""
    return kill_pb2.DrillRecord(
        kill_id=drill.kill_id,
        operator=drill.operator,
        environment=drill.environment,
        time_ns=drill.time_ns,
        duration_ms=drill.duration_ns // 1_000_000,
        evidence=drill.evidence,
    )


def _money(value: Decimal) -> str:
    return format_decimal(value.quantize(PLACES) if value else value)


def _optional(value: Decimal | None) -> str:
    return "" if value is None else _money(value)
