"""Ledger entries and margin figures of the venues: core <-> protobuf."""

from __future__ import annotations

from typing import Final

from tradebot.core.accounts import LedgerEntry, LedgerKind, MarginState, PositionMargin
from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.wire.fields import read_enum, read_optional_decimal, require, wire_values, write_optional_decimal

LEDGER_KINDS: Final = wire_values(LedgerKind)


def entry_to_wire(entry: LedgerEntry) -> pb.LedgerEntry:
    """Return the message."""
    return pb.LedgerEntry(
        venue=entry.venue,
        account=entry.account,
        entry_id=entry.entry_id,
        kind=entry.kind.wire,  # type: ignore[arg-type]
        asset=entry.asset,
        amount=format_decimal(entry.amount),
        event_time_ns=entry.event_time_ns,
        instrument_id=entry.instrument_id,
    )


def entry_from_wire(message: pb.LedgerEntry) -> LedgerEntry:
    """Return the ledger line."""
    return LedgerEntry(
        venue=require(message.venue, "ledger.venue"),
        account=message.account,
        entry_id=require(message.entry_id, "ledger.entry_id"),
        kind=read_enum(LEDGER_KINDS, message.kind, "ledger.kind"),
        asset=require(message.asset, "ledger.asset"),
        amount=parse_decimal(message.amount, "ledger.amount"),
        event_time_ns=message.event_time_ns,
        instrument_id=message.instrument_id,
    )


def margin_to_wire(margin: MarginState) -> pb.MarginState:
    """Return the message."""
    return pb.MarginState(
        venue=margin.venue,
        account=margin.account,
        asset=margin.asset,
        margin_balance=format_decimal(margin.margin_balance),
        initial_margin=format_decimal(margin.initial_margin),
        maintenance_margin=format_decimal(margin.maintenance_margin),
        event_time_ns=margin.event_time_ns,
    )


def margin_from_wire(message: pb.MarginState) -> MarginState:
    """Return the margin account."""
    return MarginState(
        venue=require(message.venue, "margin.venue"),
        account=message.account,
        asset=require(message.asset, "margin.asset"),
        margin_balance=parse_decimal(message.margin_balance, "margin.margin_balance"),
        initial_margin=parse_decimal(message.initial_margin, "margin.initial_margin"),
        maintenance_margin=parse_decimal(message.maintenance_margin, "margin.maintenance_margin"),
        event_time_ns=message.event_time_ns,
    )


def position_margin_to_wire(margin: PositionMargin) -> pb.PositionMargin:
    """Return the message."""
    return pb.PositionMargin(
        instrument_id=margin.instrument_id,
        leverage=format_decimal(margin.leverage),
        liquidation_price=write_optional_decimal(margin.liquidation_price),
        maintenance_margin=format_decimal(margin.maintenance_margin),
        isolated=margin.isolated,
        event_time_ns=margin.event_time_ns,
    )


def position_margin_from_wire(message: pb.PositionMargin) -> PositionMargin:
    """Return the position's margin."""
    return PositionMargin(
        instrument_id=require(message.instrument_id, "position_margin.instrument_id"),
        leverage=parse_decimal(message.leverage, "position_margin.leverage"),
        liquidation_price=read_optional_decimal(message.liquidation_price, "position_margin.liquidation_price"),
        maintenance_margin=parse_decimal(message.maintenance_margin, "position_margin.maintenance_margin"),
        isolated=message.isolated,
        event_time_ns=message.event_time_ns,
    )
