"""Looks of the eyes and riskd's answers: core <-> protobuf."""

from __future__ import annotations

from tradebot.core.accounts import Balance
from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.looks import LookAnswer, LookReport, SeenFill, SeenOrder, SeenPosition, VenueLook
from tradebot.rpc.risk.v1 import look_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.wire.fields import read_enum, read_optional_decimal, require, write_optional_decimal
from tradebot.wire.orders import SIDES


def report_to_wire(report: LookReport) -> pb.SubmitLookRequest:
    """Return the message."""
    return pb.SubmitLookRequest(
        epoch=report.epoch, sequence=report.sequence, looks=[_look_to_wire(look) for look in report.looks]
    )


def report_from_wire(message: pb.SubmitLookRequest) -> LookReport:
    """Return the report.

    Raises:
        RejectedError: If a field is malformed: nothing of the report is used.
    """
    return LookReport(message.epoch, message.sequence, tuple(_look_from_wire(look) for look in message.looks))


def answer_to_wire(answer: LookAnswer) -> pb.SubmitLookResponse:
    """Return the message."""
    return pb.SubmitLookResponse(
        accepted=answer.accepted,
        reason=answer.reason,
        marks=[look_pb2.VenueMark(venue=venue, from_time_ns=from_ns) for venue, from_ns in answer.marks],
        look_again_ms=answer.look_again_ms,
    )


def answer_from_wire(message: pb.SubmitLookResponse) -> LookAnswer:
    """Return the answer."""
    marks = tuple((mark.venue, mark.from_time_ns) for mark in message.marks)
    return LookAnswer(message.accepted, message.reason, marks, message.look_again_ms)


def _look_to_wire(look: VenueLook) -> look_pb2.VenueLook:
    return look_pb2.VenueLook(
        venue=look.venue,
        account=look.account,
        started_time_ns=look.started_ns,
        finished_time_ns=look.finished_ns,
        orders=[_order_to_wire(order) for order in look.orders],
        fills=[_fill_to_wire(fill) for fill in look.fills],
        balances=[
            look_pb2.SeenBalance(asset=b.asset, free=format_decimal(b.free), locked=format_decimal(b.locked))
            for b in look.balances
        ],
        positions=[
            look_pb2.SeenPosition(instrument_id=p.instrument_id, qty=format_decimal(p.qty)) for p in look.positions
        ],
        error=look.error,
    )


def _look_from_wire(message: look_pb2.VenueLook) -> VenueLook:
    return VenueLook(
        require(message.venue, "look.venue"),
        message.account,
        message.started_time_ns,
        message.finished_time_ns,
        tuple(_order_from_wire(order) for order in message.orders),
        tuple(_fill_from_wire(fill) for fill in message.fills),
        tuple(
            Balance(
                require(b.asset, "balance.asset"),
                parse_decimal(b.free, "balance.free"),
                parse_decimal(b.locked, "balance.locked"),
            )
            for b in message.balances
        ),
        tuple(
            SeenPosition(require(p.instrument_id, "position.instrument_id"), parse_decimal(p.qty, "position.qty"))
            for p in message.positions
        ),
        message.error,
    )


def _order_to_wire(order: SeenOrder) -> look_pb2.SeenOrder:
    return look_pb2.SeenOrder(
        venue_order_id=order.venue_order_id,
        client_order_id=order.client_order_id,
        instrument_id=order.instrument_id,
        venue_symbol=order.venue_symbol,
        side=order.side.wire,  # type: ignore[arg-type]
        qty=format_decimal(order.qty),
        price=write_optional_decimal(order.price),
        stop_price=write_optional_decimal(order.stop_price),
        filled_qty=format_decimal(order.filled_qty),
        is_open=order.is_open,
        event_time_ns=order.event_time_ns,
    )


def _order_from_wire(message: look_pb2.SeenOrder) -> SeenOrder:
    return SeenOrder(
        require(message.venue_order_id, "order.venue_order_id"),
        message.client_order_id,
        message.instrument_id,
        message.venue_symbol,
        read_enum(SIDES, message.side, "order.side"),
        parse_decimal(message.qty, "order.qty"),
        read_optional_decimal(message.price, "order.price"),
        read_optional_decimal(message.stop_price, "order.stop_price"),
        parse_decimal(message.filled_qty, "order.filled_qty"),
        message.is_open,
        message.event_time_ns,
    )


def _fill_to_wire(fill: SeenFill) -> look_pb2.SeenFill:
    return look_pb2.SeenFill(
        venue_order_id=fill.venue_order_id,
        exec_id=fill.exec_id,
        instrument_id=fill.instrument_id,
        side=fill.side.wire,  # type: ignore[arg-type]
        qty=format_decimal(fill.qty),
        price=format_decimal(fill.price),
        fee=format_decimal(fill.fee),
        fee_asset=fill.fee_asset,
        event_time_ns=fill.event_time_ns,
    )


def _fill_from_wire(message: look_pb2.SeenFill) -> SeenFill:
    return SeenFill(
        message.venue_order_id,
        require(message.exec_id, "fill.exec_id"),
        require(message.instrument_id, "fill.instrument_id"),
        read_enum(SIDES, message.side, "fill.side"),
        parse_decimal(message.qty, "fill.qty"),
        parse_decimal(message.price, "fill.price"),
        parse_decimal(message.fee or "0", "fill.fee"),
        message.fee_asset,
        message.event_time_ns,
    )
