"""The session between execd and riskd, and decisions."""

from __future__ import annotations

from typing import Final

from tradebot.core.accounts import AccountSnapshot, Balance, VenueAlarm, VenueStatus
from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.approvals import (
    ApprovalAnswer,
    ApprovalAsk,
    ApproveOrder,
    CheckOutcome,
    CheckResult,
    Decision,
    LeaseAnswer,
    LeasePing,
    NeverUsed,
    ReduceCommand,
    SessionDown,
    SessionHello,
    SessionUp,
    StopLatch,
    Verdict,
    Welcome,
)
from tradebot.core.errors import RejectedError
from tradebot.rpc.risk.v1 import decision_pb2, risk_service_pb2
from tradebot.wire.accounts import (
    entry_from_wire,
    entry_to_wire,
    margin_from_wire,
    margin_to_wire,
    position_margin_from_wire,
    position_margin_to_wire,
)
from tradebot.wire.approvals import ACTIONS, approval_from_wire, approval_to_wire, grant_from_wire, grant_to_wire
from tradebot.wire.fields import read_enum, read_optional_decimal, require, wire_values, write_optional_decimal
from tradebot.wire.instruments import instrument_from_wire, instrument_to_wire
from tradebot.wire.intents import intent_from_wire, intent_to_wire
from tradebot.wire.levels import level_from_wire, level_table_from_wire, level_table_to_wire, level_to_wire
from tradebot.wire.mass_cancel import mass_cancel_from_wire, mass_cancel_to_wire, report_from_wire, report_to_wire
from tradebot.wire.orders import ROLES, SIDES, event_from_wire, event_to_wire, terms_from_wire, terms_to_wire

pb = risk_service_pb2
VERDICTS: Final = wire_values(Verdict)
OUTCOMES: Final = wire_values(CheckOutcome)


def check_to_wire(check: CheckResult) -> decision_pb2.CheckResult:
    """Return the message."""
    return decision_pb2.CheckResult(
        check_id=check.check_id,
        outcome=check.outcome.wire,  # type: ignore[arg-type]
        reason=check.reason,
        limit=check.limit,
        measured=check.measured,
        scope=check.scope,
    )


def check_from_wire(message: decision_pb2.CheckResult) -> CheckResult:
    """Return the result of one check."""
    return CheckResult(
        check_id=message.check_id,
        outcome=read_enum(OUTCOMES, message.outcome, "check.outcome"),
        reason=message.reason,
        limit=message.limit,
        measured=message.measured,
        scope=message.scope,
    )


def decision_to_wire(decision: Decision) -> decision_pb2.Decision:
    """Return the message."""
    return decision_pb2.Decision(
        decision_id=decision.decision_id,
        ask_id=decision.ask_id,
        session_id=decision.session_id,
        intent_id=decision.intent_id,
        strategy_id=decision.strategy_id,
        child_index=decision.child_index,
        role=decision.role.wire,  # type: ignore[arg-type]
        verdict=decision.verdict.wire,  # type: ignore[arg-type]
        check_id=decision.check_id,
        reason=decision.reason,
        checks=[check_to_wire(c) for c in decision.checks],
        asked=None if decision.asked is None else terms_to_wire(decision.asked),
        approved_qty=write_optional_decimal(decision.approved_qty),
        binding_limit=decision.binding_limit,
        level=level_to_wire(decision.level),
        epoch=decision.epoch,
        time_ns=decision.time_ns,
        trace_id=decision.trace_id,
    )


def decision_from_wire(message: decision_pb2.Decision) -> Decision:
    """Return the decision."""
    return Decision(
        decision_id=message.decision_id,
        ask_id=message.ask_id,
        session_id=message.session_id,
        intent_id=message.intent_id,
        strategy_id=message.strategy_id,
        child_index=message.child_index,
        role=read_enum(ROLES, message.role, "decision.role"),
        verdict=read_enum(VERDICTS, message.verdict, "decision.verdict"),
        check_id=message.check_id,
        reason=message.reason,
        checks=tuple(check_from_wire(c) for c in message.checks),
        asked=terms_from_wire(message.asked) if message.HasField("asked") else None,
        approved_qty=read_optional_decimal(message.approved_qty, "decision.approved_qty"),
        binding_limit=message.binding_limit,
        level=level_from_wire(message.level, "decision.level"),
        epoch=message.epoch,
        time_ns=message.time_ns,
        trace_id=message.trace_id,
    )


def latch_to_wire(latch: StopLatch) -> risk_service_pb2.StopLatch:
    """Return the message."""
    return pb.StopLatch(
        latch_id=latch.latch_id,
        level=level_to_wire(latch.level),
        operator=latch.operator,
        reason=latch.reason,
        time_ns=latch.time_ns,
    )


def latch_from_wire(message: risk_service_pb2.StopLatch) -> StopLatch:
    """Return the latch."""
    return StopLatch(
        latch_id=require(message.latch_id, "latch.latch_id"),
        level=level_from_wire(message.level, "latch.level"),
        operator=message.operator,
        reason=message.reason,
        time_ns=message.time_ns,
    )


def account_to_wire(account: AccountSnapshot) -> risk_service_pb2.AccountSnapshot:
    """Return the message."""
    return pb.AccountSnapshot(
        venue=account.venue,
        account=account.account,
        balances=[
            pb.Balance(asset=b.asset, free=format_decimal(b.free), locked=format_decimal(b.locked))
            for b in account.balances
        ],
        complete=account.complete,
        event_time_ns=account.event_time_ns,
        after_order_sequence=account.after_order_sequence,
        transfer_asset=account.transfer_asset,
        transfer_delta=format_decimal(account.transfer_delta) if account.transfer_asset else "",
    )


def account_from_wire(message: risk_service_pb2.AccountSnapshot) -> AccountSnapshot:
    """Return the snapshot."""
    return AccountSnapshot(
        venue=require(message.venue, "account.venue"),
        account=message.account,
        balances=tuple(
            Balance(
                require(b.asset, "balance.asset"),
                parse_decimal(b.free, "balance.free"),
                parse_decimal(b.locked, "balance.locked"),
            )
            for b in message.balances
        ),
        complete=message.complete,
        event_time_ns=message.event_time_ns,
        after_order_sequence=message.after_order_sequence,
        transfer_asset=message.transfer_asset,
        transfer_delta=parse_decimal(message.transfer_delta or "0", "account.transfer_delta"),
    )


def venue_to_wire(status: VenueStatus) -> risk_service_pb2.VenueStatus:
    """Return the message."""
    return pb.VenueStatus(
        venue=status.venue,
        account=status.account,
        private_stream_live=status.private_stream_live,
        reconciled_time_ns=status.reconciled_time_ns,
        reconciling=status.reconciling,
        unknown_client_order_ids=status.unknown_client_order_ids,
        alarms=[
            pb.VenueAlarm(cause=a.cause, instrument_id=a.instrument_id, detail=a.detail, cleared=a.cleared)
            for a in status.alarms
        ],
        rate_used_pct=status.rate_used_pct,
        clock_offset_ns=status.clock_offset_ns,
        clock_error_ns=status.clock_error_ns,
        clock_time_ns=status.clock_time_ns,
        quiet_until_ns=status.quiet_until_ns,
        rules_time_ns=status.rules_time_ns,
        rules_hash=status.rules_hash,
        key_time_ns=status.key_time_ns,
        key_moves_money=status.key_moves_money,
        maintenance=status.maintenance,
    )


def venue_from_wire(message: risk_service_pb2.VenueStatus) -> VenueStatus:
    """Return the state of one venue."""
    return VenueStatus(
        venue=require(message.venue, "venue.venue"),
        account=message.account,
        private_stream_live=message.private_stream_live,
        reconciled_time_ns=message.reconciled_time_ns,
        reconciling=message.reconciling,
        unknown_client_order_ids=tuple(message.unknown_client_order_ids),
        alarms=tuple(
            VenueAlarm(require(a.cause, "alarm.cause"), a.instrument_id, a.detail, a.cleared) for a in message.alarms
        ),
        rate_used_pct=message.rate_used_pct,
        clock_offset_ns=message.clock_offset_ns,
        clock_error_ns=message.clock_error_ns,
        clock_time_ns=message.clock_time_ns,
        quiet_until_ns=message.quiet_until_ns,
        rules_time_ns=message.rules_time_ns,
        rules_hash=message.rules_hash,
        key_time_ns=message.key_time_ns,
        key_moves_money=message.key_moves_money,
        maintenance=message.maintenance,
    )


def order_to_wire(order: ApproveOrder) -> risk_service_pb2.ApproveOrder:
    """Return the message of the venue order that an ask is about."""
    return pb.ApproveOrder(
        intent_id=order.intent_id,
        child_index=order.child_index,
        action=order.action.wire,  # type: ignore[arg-type]
        order=terms_to_wire(order.order),
        role=order.role.wire,  # type: ignore[arg-type]
        venue=order.venue,
        account=order.account,
        replaces_client_order_id=order.replaces_client_order_id,
        strategy_id=order.strategy_id,
        reduce_id=order.reduce_id,
        trace_id=order.trace_id,
    )


def ask_to_wire(ask: ApprovalAsk) -> risk_service_pb2.ApprovalAsk:
    """Return the message."""
    message = pb.ApprovalAsk(ask_id=ask.ask_id, sent_time_ns=ask.sent_time_ns)
    if ask.parent is not None:
        message.parent.intent.CopyFrom(intent_to_wire(ask.parent))
    if ask.order is not None:
        message.order.CopyFrom(order_to_wire(ask.order))
    return message


def ask_from_wire(message: risk_service_pb2.ApprovalAsk) -> ApprovalAsk:
    """Return the ask.

    Raises:
        RejectedError: If a field is missing or malformed; riskd answers the ask with a refusal AUT-01.
    """
    order = None
    if message.HasField("order"):
        raw = message.order
        order = ApproveOrder(
            intent_id=raw.intent_id,
            child_index=raw.child_index,
            action=read_enum(ACTIONS, raw.action, "order.action"),
            order=terms_from_wire(raw.order),
            role=read_enum(ROLES, raw.role, "order.role"),
            venue=require(raw.venue, "order.venue"),
            account=raw.account,
            strategy_id=require(raw.strategy_id, "order.strategy_id"),
            replaces_client_order_id=raw.replaces_client_order_id,
            reduce_id=raw.reduce_id,
            trace_id=raw.trace_id,
        )
    return ApprovalAsk(
        ask_id=message.ask_id,
        sent_time_ns=message.sent_time_ns,
        parent=intent_from_wire(message.parent.intent, with_context=False) if message.HasField("parent") else None,
        order=order,
    )


def answer_to_wire(answer: ApprovalAnswer) -> risk_service_pb2.ApprovalAnswer:
    """Return the message."""
    return pb.ApprovalAnswer(
        ask_id=answer.ask_id,
        verdict=answer.verdict.wire,  # type: ignore[arg-type]
        approval=None if answer.approval is None else approval_to_wire(answer.approval),
        grant=None if answer.grant is None else grant_to_wire(answer.grant),
        check_id=answer.check_id,
        reason=answer.reason,
        detail=answer.detail,
        violations=[check_to_wire(c) for c in answer.violations],
        soft_hits=[check_to_wire(c) for c in answer.soft_hits],
        approved_qty=write_optional_decimal(answer.approved_qty),
        binding_limit=answer.binding_limit,
        decision_id=answer.decision_id,
    )


def answer_from_wire(message: risk_service_pb2.ApprovalAnswer) -> ApprovalAnswer:
    """Return the answer."""
    return ApprovalAnswer(
        ask_id=message.ask_id,
        verdict=read_enum(VERDICTS, message.verdict, "answer.verdict"),
        decision_id=message.decision_id,
        approval=approval_from_wire(message.approval) if message.HasField("approval") else None,
        grant=grant_from_wire(message.grant) if message.HasField("grant") else None,
        check_id=message.check_id,
        reason=message.reason,
        detail=message.detail,
        violations=tuple(check_from_wire(c) for c in message.violations),
        soft_hits=tuple(check_from_wire(c) for c in message.soft_hits),
        approved_qty=read_optional_decimal(message.approved_qty, "answer.approved_qty"),
        binding_limit=message.binding_limit,
    )


def up_to_wire(up: SessionUp) -> risk_service_pb2.SessionRequest:
    """Return the message."""
    message = pb.SessionRequest(
        order_events=[event_to_wire(e) for e in up.order_events],
        accounts=[account_to_wire(a) for a in up.accounts],
        venues=[venue_to_wire(v) for v in up.venues],
        abandons=[pb.Abandon(ask_id=a) for a in up.abandons],
        never_used=[
            pb.NeverUsed(nonce=n.nonce, client_order_id=n.client_order_id, reason=n.reason) for n in up.never_used
        ],
        latches=[latch_to_wire(latch) for latch in up.latches],
        asks=[ask_to_wire(a) for a in up.asks],
        renew_grant_ids=up.renew_grant_ids,
        ledger=[entry_to_wire(e) for e in up.ledger],
        margins=[margin_to_wire(m) for m in up.margins],
        position_margins=[position_margin_to_wire(m) for m in up.position_margins],
    )
    if up.engine_build is not None:
        message.engine_build = up.engine_build
    if up.mass_cancels:
        message.mass_cancels.extend(report_to_wire(report) for report in up.mass_cancels)
    if up.ping is not None:
        message.ping.sequence = up.ping.sequence
        message.ping.sent_time_ns = up.ping.sent_time_ns
    if up.hello is not None:
        hello = up.hello
        message.hello.CopyFrom(
            pb.SessionHello(
                session_id=hello.session_id,
                order_log_incarnation=hello.order_log_incarnation,
                order_log_head=hello.order_log_head,
                build_hash=hello.build_hash,
                instruments=[instrument_to_wire(i) for i in hello.instruments],
                latches=[latch_to_wire(latch) for latch in hello.latches],
                started_time_ns=hello.started_time_ns,
            )
        )
    return message


def up_from_wire(message: risk_service_pb2.SessionRequest) -> tuple[SessionUp, list[tuple[int, str]]]:
    """Return the session message and the asks that could not be read, as (ask_id, why).

    A malformed ask is refused by itself; a malformed event, account or hello breaks the session.

    Raises:
        RejectedError: If anything but an ask is malformed.
    """
    given = {field.name for field, _ in message.ListFields()}
    hello = None
    if "hello" in given:
        raw = message.hello
        hello = SessionHello(
            session_id=require(raw.session_id, "hello.session_id"),
            order_log_incarnation=require(raw.order_log_incarnation, "hello.order_log_incarnation"),
            order_log_head=raw.order_log_head,
            build_hash=raw.build_hash,
            instruments=tuple(instrument_from_wire(i) for i in raw.instruments),
            latches=tuple(latch_from_wire(latch) for latch in raw.latches),
            started_time_ns=raw.started_time_ns,
        )
    asks: list[ApprovalAsk] = []
    malformed: list[tuple[int, str]] = []
    for ask in message.asks:
        try:
            asks.append(ask_from_wire(ask))
        except RejectedError as exc:
            malformed.append((ask.ask_id, str(exc)))
    if given == {"asks"}:
        return SessionUp(asks=asks), malformed
    up = SessionUp(
        hello=hello,
        order_events=[event_from_wire(e) for e in message.order_events],
        accounts=[account_from_wire(a) for a in message.accounts],
        venues=[venue_from_wire(v) for v in message.venues],
        abandons=[a.ask_id for a in message.abandons],
        never_used=[NeverUsed(n.nonce, n.client_order_id, n.reason) for n in message.never_used],
        latches=[latch_from_wire(latch) for latch in message.latches],
        asks=asks,
        ping=LeasePing(message.ping.sequence, message.ping.sent_time_ns) if "ping" in given else None,
        renew_grant_ids=list(message.renew_grant_ids),
        ledger=[entry_from_wire(e) for e in message.ledger],
        margins=[margin_from_wire(m) for m in message.margins],
        position_margins=[position_margin_from_wire(m) for m in message.position_margins],
        mass_cancels=[report_from_wire(report) for report in message.mass_cancels],
        engine_build=message.engine_build if "engine_build" in given else None,
    )
    return up, malformed


def reduce_to_wire(command: ReduceCommand) -> risk_service_pb2.ReduceCommand:
    """Return the message."""
    return pb.ReduceCommand(
        reduce_id=command.reduce_id,
        instrument_id=command.instrument_id,
        strategy_id=command.strategy_id,
        side=command.side.wire,  # type: ignore[arg-type]
        qty=format_decimal(command.qty),
        bound_bps=command.bound_bps,
        reason=command.reason,
    )


def reduce_from_wire(message: risk_service_pb2.ReduceCommand) -> ReduceCommand:
    """Return the command."""
    return ReduceCommand(
        reduce_id=require(message.reduce_id, "reduce.reduce_id"),
        instrument_id=require(message.instrument_id, "reduce.instrument_id"),
        strategy_id=message.strategy_id,
        side=read_enum(SIDES, message.side, "reduce.side"),
        qty=parse_decimal(message.qty, "reduce.qty"),
        bound_bps=message.bound_bps,
        reason=message.reason,
    )


def down_to_wire(down: SessionDown) -> risk_service_pb2.SessionResponse:
    """Return the message."""
    message = pb.SessionResponse(
        answers=[answer_to_wire(a) for a in down.answers],
        reduces=[reduce_to_wire(r) for r in down.reduces],
        order_log_applied=down.order_log_applied,
        renewed_grants=[grant_to_wire(g) for g in down.renewed_grants],
    )
    if down.welcome is not None:
        message.welcome.order_log_resume_after = down.welcome.order_log_resume_after
        message.welcome.epoch = down.welcome.epoch
        message.welcome.environment = down.welcome.environment
    if down.levels is not None:
        message.levels.CopyFrom(level_table_to_wire(down.levels))
    if down.lease is not None:
        message.lease.sequence = down.lease.sequence
        message.lease.valid_for_ms = down.lease.valid_for_ms
        message.lease.epoch = down.lease.epoch
        message.lease.entry_lifetime_ms = down.lease.entry_lifetime_ms
    if down.mass_cancels:
        message.mass_cancels.extend(mass_cancel_to_wire(command) for command in down.mass_cancels)
    return message


def down_from_wire(message: risk_service_pb2.SessionResponse) -> SessionDown:
    """Return the session message.

    Raises:
        RejectedError: If a field is malformed; execd drops the session and dials again.
    """
    welcome = lease = None
    if message.HasField("welcome"):
        raw = message.welcome
        welcome = Welcome(raw.order_log_resume_after, raw.epoch, require(raw.environment, "welcome.environment"))
    if message.HasField("lease"):
        raw_lease = message.lease
        lease = LeaseAnswer(raw_lease.sequence, raw_lease.valid_for_ms, raw_lease.epoch, raw_lease.entry_lifetime_ms)
    return SessionDown(
        welcome=welcome,
        levels=level_table_from_wire(message.levels) if message.HasField("levels") else None,
        answers=[answer_from_wire(a) for a in message.answers],
        lease=lease,
        reduces=[reduce_from_wire(r) for r in message.reduces],
        order_log_applied=message.order_log_applied,
        renewed_grants=[grant_from_wire(g) for g in message.renewed_grants],
        mass_cancels=[mass_cancel_from_wire(command) for command in message.mass_cancels],
    )
