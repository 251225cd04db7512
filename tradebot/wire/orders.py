"""Order terms, facts, events, executions and snapshots."""

from __future__ import annotations

from typing import Final

from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderRole,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)
from tradebot.rpc.common.v1 import order_pb2 as pb
from tradebot.wire.fields import read_enum, read_optional_decimal, require, wire_values, write_optional_decimal

SIDES: Final = wire_values(Side)
ORDER_TYPES: Final = wire_values(OrderType)
TIMES_IN_FORCE: Final = wire_values(TimeInForce)
STATUSES: Final = wire_values(OrderStatus)
EVENT_KINDS: Final = wire_values(OrderEventKind)
ROLES: Final = wire_values(OrderRole)
LIQUIDITIES: Final = wire_values(Liquidity)


def terms_to_wire(terms: OrderTerms) -> pb.OrderTerms:
    """Return the message."""
    return pb.OrderTerms(
        client_order_id=terms.client_order_id,
        instrument_id=terms.instrument_id,
        side=terms.side.wire,  # type: ignore[arg-type]
        order_type=terms.order_type.wire,  # type: ignore[arg-type]
        qty=format_decimal(terms.qty),
        price=write_optional_decimal(terms.price),
        stop_price=write_optional_decimal(terms.stop_price),
        time_in_force=terms.time_in_force.wire,  # type: ignore[arg-type]
        post_only=terms.post_only,
        reduce_only=terms.reduce_only,
        expire_time_ns=terms.expire_time_ns,
    )


def terms_from_wire(message: pb.OrderTerms) -> OrderTerms:
    """Return the terms. An empty qty reads as zero: the parent's sizing decides it."""
    return OrderTerms(
        client_order_id=message.client_order_id,
        instrument_id=require(message.instrument_id, "order.instrument_id"),
        side=read_enum(SIDES, message.side, "order.side"),
        order_type=read_enum(ORDER_TYPES, message.order_type, "order.order_type"),
        qty=parse_decimal(message.qty or "0", "order.qty"),
        price=read_optional_decimal(message.price, "order.price"),
        stop_price=read_optional_decimal(message.stop_price, "order.stop_price"),
        time_in_force=read_enum(TIMES_IN_FORCE, message.time_in_force, "order.time_in_force"),
        post_only=message.post_only,
        reduce_only=message.reduce_only,
        expire_time_ns=message.expire_time_ns,
    )


def execution_to_wire(execution: Execution) -> pb.Execution:
    """Return the message."""
    return pb.Execution(
        exec_id=execution.exec_id,
        client_order_id=execution.client_order_id,
        instrument_id=execution.instrument_id,
        side=execution.side.wire,  # type: ignore[arg-type]
        qty=format_decimal(execution.qty),
        price=format_decimal(execution.price),
        fee=format_decimal(execution.fee),
        fee_asset=execution.fee_asset,
        liquidity=execution.liquidity.wire,  # type: ignore[arg-type]
        event_time_ns=execution.event_time_ns,
    )


def execution_from_wire(message: pb.Execution) -> Execution:
    """Return the execution."""
    return Execution(
        exec_id=require(message.exec_id, "execution.exec_id"),
        client_order_id=require(message.client_order_id, "execution.client_order_id"),
        instrument_id=require(message.instrument_id, "execution.instrument_id"),
        side=read_enum(SIDES, message.side, "execution.side"),
        qty=parse_decimal(message.qty, "execution.qty"),
        price=parse_decimal(message.price, "execution.price"),
        fee=parse_decimal(message.fee or "0", "execution.fee"),
        fee_asset=message.fee_asset,
        liquidity=read_enum(LIQUIDITIES, message.liquidity, "execution.liquidity"),
        event_time_ns=message.event_time_ns,
    )


def facts_to_wire(facts: OrderFacts) -> pb.OrderFacts:
    """Return the message."""
    return pb.OrderFacts(
        terms=terms_to_wire(facts.terms),
        strategy_id=facts.strategy_id,
        intent_id=facts.intent_id,
        child_index=facts.child_index,
        role=facts.role.wire,  # type: ignore[arg-type]
        protects_client_order_id=facts.protects_client_order_id,
        trace_id=facts.trace_id,
        created_time_ns=facts.created_time_ns,
        decision_id=facts.decision_id,
    )


def facts_from_wire(message: pb.OrderFacts) -> OrderFacts:
    """Return the facts."""
    return OrderFacts(
        terms=terms_from_wire(message.terms),
        strategy_id=message.strategy_id,
        intent_id=message.intent_id,
        child_index=message.child_index,
        role=read_enum(ROLES, message.role, "facts.role"),
        created_time_ns=message.created_time_ns,
        protects_client_order_id=message.protects_client_order_id,
        trace_id=message.trace_id,
        decision_id=message.decision_id,
    )


def event_to_wire(event: OrderEvent) -> pb.OrderEvent:
    """Return the message."""
    return pb.OrderEvent(
        sequence=event.sequence,
        client_order_id=event.client_order_id,
        kind=event.kind.wire,  # type: ignore[arg-type]
        status=event.status.wire,  # type: ignore[arg-type]
        facts=None if event.facts is None else facts_to_wire(event.facts),
        execution=None if event.execution is None else execution_to_wire(event.execution),
        venue_order_id=event.venue_order_id,
        reason=event.reason,
        detail=event.detail,
        check_id=event.check_id,
        event_time_ns=event.event_time_ns,
        receive_time_ns=event.receive_time_ns,
    )


def event_from_wire(message: pb.OrderEvent) -> OrderEvent:
    """Return the event."""
    return OrderEvent(
        sequence=message.sequence,
        client_order_id=require(message.client_order_id, "event.client_order_id"),
        kind=read_enum(EVENT_KINDS, message.kind, "event.kind"),
        status=read_enum(STATUSES, message.status, "event.status"),
        receive_time_ns=message.receive_time_ns,
        facts=facts_from_wire(message.facts) if message.HasField("facts") else None,
        execution=execution_from_wire(message.execution) if message.HasField("execution") else None,
        venue_order_id=message.venue_order_id,
        reason=message.reason,
        detail=message.detail,
        check_id=message.check_id,
        event_time_ns=message.event_time_ns,
    )


def snapshot_to_wire(snapshot: OrderSnapshot) -> pb.OrderSnapshot:
    """Return the message."""
    return pb.OrderSnapshot(
        facts=facts_to_wire(snapshot.facts),
        status=snapshot.status.wire,  # type: ignore[arg-type]
        venue_order_id=snapshot.venue_order_id,
        filled_qty=format_decimal(snapshot.filled_qty),
        avg_price=format_decimal(snapshot.avg_price),
        reason=snapshot.reason,
        detail=snapshot.detail,
        check_id=snapshot.check_id,
        updated_time_ns=snapshot.updated_time_ns,
    )


def snapshot_from_wire(message: pb.OrderSnapshot) -> OrderSnapshot:
    """Return the snapshot."""
    return OrderSnapshot(
        facts=facts_from_wire(message.facts),
        status=read_enum(STATUSES, message.status, "snapshot.status"),
        venue_order_id=message.venue_order_id,
        filled_qty=parse_decimal(message.filled_qty or "0", "snapshot.filled_qty"),
        avg_price=parse_decimal(message.avg_price or "0", "snapshot.avg_price"),
        reason=message.reason,
        detail=message.detail,
        check_id=message.check_id,
        updated_time_ns=message.updated_time_ns,
    )
