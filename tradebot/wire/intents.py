"""Order intents and their answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.errors import RejectedError
from tradebot.core.intents import Algo, IntentAnswer, IntentStatus, OrderIntent, ProtectionPlan, SignalContext
from tradebot.rpc.common.v1 import intent_pb2 as pb
from tradebot.wire.fields import read_enum, read_optional_decimal, require, wire_values, write_optional_decimal
from tradebot.wire.orders import ORDER_TYPES, ROLES, SIDES, TIMES_IN_FORCE

ALGOS: Final = wire_values(Algo)
INTENT_STATUSES: Final = wire_values(IntentStatus)
_ONE: Final = Decimal(1)
_NO_PROTECTION: Final = ProtectionPlan()
_NO_CONTEXT: Final = SignalContext()


def intent_to_wire(intent: OrderIntent) -> pb.OrderIntent:
    """Return the message."""
    context = intent.context
    plan = intent.protection
    message = pb.OrderIntent(
        intent_id=intent.intent_id,
        strategy_id=intent.strategy_id,
        incarnation=intent.incarnation,
        intent_sequence=intent.intent_sequence,
        instrument_id=intent.instrument_id,
        side=intent.side.wire,  # type: ignore[arg-type]
        role=intent.role.wire,  # type: ignore[arg-type]
        qty=write_optional_decimal(intent.qty),
        strength=format_decimal(intent.strength),
        order_type=intent.order_type.wire,  # type: ignore[arg-type]
        limit_price=write_optional_decimal(intent.limit_price),
        time_in_force=intent.time_in_force.wire,  # type: ignore[arg-type]
        post_only=intent.post_only,
        expire_time_ns=intent.expire_time_ns,
        expected_edge=write_optional_decimal(intent.expected_edge),
        algo=intent.algo.wire,  # type: ignore[arg-type]
        context=pb.SignalContext(
            signal=context.signal,
            score=format_decimal(context.score),
            market_incarnation=context.market_incarnation,
            market_sequence=context.market_sequence,
            market_event_time_ns=context.market_event_time_ns,
            market_sent_time_ns=context.market_sent_time_ns,
            market_receive_time_ns=context.market_receive_time_ns,
            feature_names=[name for name, _ in context.features],
            feature_values=[value for _, value in context.features],
        ),
        created_time_ns=intent.created_time_ns,
        time_to_live_ms=intent.time_to_live_ms,
        trace_id=intent.trace_id,
    )
    if plan.stop_loss_fraction is not None or plan.take_profit_fraction is not None:
        message.protection.stop_loss_fraction = write_optional_decimal(plan.stop_loss_fraction)
        message.protection.take_profit_fraction = write_optional_decimal(plan.take_profit_fraction)
    return message


def intent_from_wire(message: pb.OrderIntent, *, with_context: bool = True) -> OrderIntent:
    """Return the intent.

    Args:
        message: The message.
        with_context: False leaves the signal context unread: riskd decides on none of it.

    Raises:
        RejectedError: If a field is missing, malformed or not supported yet.
    """
    plan = message.protection
    if plan.trail_fraction or plan.take_profit_tiers:
        raise RejectedError(
            "NOT_SUPPORTED", "intent.protection: trail_fraction and take_profit_tiers are not built yet"
        )
    stop, profit = plan.stop_loss_fraction, plan.take_profit_fraction
    return OrderIntent(
        intent_id=require(message.intent_id, "intent.intent_id"),
        strategy_id=require(message.strategy_id, "intent.strategy_id"),
        incarnation=require(message.incarnation, "intent.incarnation"),
        intent_sequence=message.intent_sequence,
        instrument_id=require(message.instrument_id, "intent.instrument_id"),
        side=read_enum(SIDES, message.side, "intent.side"),
        role=read_enum(ROLES, message.role, "intent.role"),
        order_type=read_enum(ORDER_TYPES, message.order_type, "intent.order_type"),
        time_in_force=read_enum(TIMES_IN_FORCE, message.time_in_force, "intent.time_in_force"),
        created_time_ns=message.created_time_ns,
        qty=read_optional_decimal(message.qty, "intent.qty"),
        strength=parse_decimal(message.strength, "intent.strength") if message.strength else _ONE,
        limit_price=read_optional_decimal(message.limit_price, "intent.limit_price"),
        post_only=message.post_only,
        algo=read_enum(ALGOS, message.algo, "intent.algo"),
        protection=ProtectionPlan(
            read_optional_decimal(stop, "intent.protection.stop_loss_fraction"),
            read_optional_decimal(profit, "intent.protection.take_profit_fraction"),
        )
        if stop or profit
        else _NO_PROTECTION,
        context=_context_from_wire(message.context) if with_context else _NO_CONTEXT,
        time_to_live_ms=message.time_to_live_ms,
        trace_id=message.trace_id,
        expire_time_ns=message.expire_time_ns,
        expected_edge=read_optional_decimal(message.expected_edge, "intent.expected_edge"),
    )


def _context_from_wire(context: pb.SignalContext) -> SignalContext:
    if len(context.feature_names) != len(context.feature_values):
        raise RejectedError("MALFORMED_REQUEST", "intent.context: feature_names and feature_values differ in length")
    return SignalContext(
        signal=context.signal,
        score=parse_decimal(context.score or "0", "intent.context.score"),
        market_incarnation=context.market_incarnation,
        market_sequence=context.market_sequence,
        market_event_time_ns=context.market_event_time_ns,
        market_sent_time_ns=context.market_sent_time_ns,
        market_receive_time_ns=context.market_receive_time_ns,
        features=tuple(zip(context.feature_names, context.feature_values, strict=True)),
    )


def answer_to_wire(answer: IntentAnswer) -> pb.IntentAnswer:
    """Return the message."""
    return pb.IntentAnswer(
        intent_id=answer.intent_id,
        status=answer.status.wire,  # type: ignore[arg-type]
        check_id=answer.check_id,
        reason=answer.reason,
        detail=answer.detail,
        client_order_id=answer.client_order_id,
    )


def answer_from_wire(message: pb.IntentAnswer) -> IntentAnswer:
    """Return the answer."""
    return IntentAnswer(
        intent_id=message.intent_id,
        status=read_enum(INTENT_STATUSES, message.status, "answer.status"),
        check_id=message.check_id,
        reason=message.reason,
        detail=message.detail,
        client_order_id=message.client_order_id,
    )
