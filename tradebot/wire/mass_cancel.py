"""Mass cancels and their reports, on the session between riskd and execd."""

from __future__ import annotations

from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, OpenOrder, VenueHolding, VenueRead
from tradebot.rpc.risk.v1 import mass_cancel_pb2 as pb
from tradebot.wire.fields import read_enum, require
from tradebot.wire.levels import scope_from_wire, scope_to_wire
from tradebot.wire.orders import ROLES


def mass_cancel_to_wire(command: MassCancel) -> pb.MassCancel:
    """Return the message."""
    return pb.MassCancel(
        kill_id=command.kill_id,
        attempt=command.attempt,
        scope=scope_to_wire(command.scope),
        read_venues=command.read_venues,
    )


def mass_cancel_from_wire(message: pb.MassCancel) -> MassCancel:
    """Return the command."""
    return MassCancel(
        require(message.kill_id, "mass_cancel.kill_id"),
        message.attempt,
        scope_from_wire(message.scope, "mass_cancel.scope"),
        message.read_venues,
    )


def report_to_wire(report: MassCancelReport) -> pb.MassCancelReport:
    """Return the message."""
    return pb.MassCancelReport(
        kill_id=report.kill_id,
        attempt=report.attempt,
        epoch=report.epoch,
        order_log_head=report.order_log_head,
        canceled=report.canceled,
        reads=[_read_to_wire(read) for read in report.reads],
    )


def report_from_wire(message: pb.MassCancelReport) -> MassCancelReport:
    """Return the report."""
    return MassCancelReport(
        require(message.kill_id, "mass_cancel_report.kill_id"),
        message.attempt,
        message.epoch,
        message.order_log_head,
        message.canceled,
        tuple(_read_from_wire(read) for read in message.reads),
    )


def _read_to_wire(read: VenueRead) -> pb.VenueRead:
    return pb.VenueRead(
        venue=read.venue,
        started_time_ns=read.started_ns,
        error=read.error,
        open_count=read.open_count,
        open_orders=[
            pb.OpenOrder(
                venue_order_id=order.venue_order_id,
                client_order_id=order.client_order_id,
                instrument_id=order.instrument_id,
                strategy_id=order.strategy_id,
                role=0 if order.role is None else order.role.wire,  # type: ignore[arg-type]
            )
            for order in read.open_orders
        ],
        holdings=[
            pb.VenueHolding(
                instrument_id=holding.instrument_id,
                at_venue=format_decimal(holding.at_venue),
                booked=format_decimal(holding.booked),
                step=format_decimal(holding.step),
            )
            for holding in read.holdings
        ],
    )


def _read_from_wire(message: pb.VenueRead) -> VenueRead:
    return VenueRead(
        venue=require(message.venue, "venue_read.venue"),
        started_ns=message.started_time_ns,
        error=message.error,
        open_count=message.open_count,
        open_orders=tuple(
            OpenOrder(
                order.venue_order_id,
                order.client_order_id,
                order.instrument_id,
                order.strategy_id,
                read_enum(ROLES, order.role, "open_order.role") if order.role else None,
            )
            for order in message.open_orders
        ),
        holdings=tuple(
            VenueHolding(
                holding.instrument_id,
                parse_decimal(holding.at_venue, "holding.at_venue"),
                parse_decimal(holding.booked, "holding.booked"),
                parse_decimal(holding.step, "holding.step"),
            )
            for holding in message.holdings
        ),
    )
