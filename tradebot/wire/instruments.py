"""Instruments."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.instruments import Instrument, InstrumentStatus, PriceBand, Product
from tradebot.rpc.common.v1 import instrument_pb2 as pb
from tradebot.wire.fields import read_enum, read_optional_decimal, require, write_optional_decimal

_PRODUCTS: Final[dict[int, Product]] = {
    pb.PRODUCT_SPOT: Product.SPOT,
    pb.PRODUCT_LINEAR_PERPETUAL: Product.LINEAR_PERPETUAL,
    pb.PRODUCT_INVERSE_PERPETUAL: Product.INVERSE_PERPETUAL,
}
_PRODUCTS_BACK: Final = {member: value for value, member in _PRODUCTS.items()}
_STATUSES: Final[dict[int, InstrumentStatus]] = {
    pb.INSTRUMENT_STATUS_TRADING: InstrumentStatus.TRADING,
    pb.INSTRUMENT_STATUS_CANCEL_ONLY: InstrumentStatus.CANCEL_ONLY,
    pb.INSTRUMENT_STATUS_HALTED: InstrumentStatus.HALTED,
}
_BAND_FIELDS: Final = tuple(field.name for field in fields(PriceBand))
_STATUSES_BACK: Final = {member: value for value, member in _STATUSES.items()}


def instrument_to_wire(instrument: Instrument, index: int = 0) -> pb.Instrument:
    """Return the message; `index` is the column index of a market data stream."""
    return pb.Instrument(
        instrument_id=instrument.instrument_id,
        venue=instrument.venue,
        venue_symbol=instrument.venue_symbol,
        product=_PRODUCTS_BACK[instrument.product],  # type: ignore[arg-type]
        base=instrument.base,
        quote=instrument.quote,
        settle=instrument.settle,
        tick_size=format_decimal(instrument.tick_size),
        lot_size=format_decimal(instrument.lot_size),
        min_qty=format_decimal(instrument.min_qty),
        max_qty=format_decimal(instrument.max_qty),
        market_max_qty=format_decimal(instrument.market_max_qty),
        min_notional=format_decimal(instrument.min_notional),
        max_notional=write_optional_decimal(instrument.max_notional),
        contract_multiplier=format_decimal(instrument.contract_multiplier),
        status=_STATUSES_BACK[instrument.status],  # type: ignore[arg-type]
        order_types=sorted(instrument.order_types),
        oco_allowed=instrument.oco_allowed,
        instrument_index=index,
        price_band=None if instrument.price_band is None else _band_to_wire(instrument.price_band),
    )


def _band_to_wire(band: PriceBand) -> pb.PriceBand:
    return pb.PriceBand(**{name: write_optional_decimal(getattr(band, name)) for name in _BAND_FIELDS})


def _band_from_wire(message: pb.PriceBand) -> PriceBand:
    return PriceBand(**{name: read_optional_decimal(getattr(message, name), name) for name in _BAND_FIELDS})


def instrument_from_wire(message: pb.Instrument) -> Instrument:
    """Return the instrument.

    Raises:
        RejectedError: If a field is missing or malformed.
    """
    return Instrument(
        instrument_id=require(message.instrument_id, "instrument_id"),
        venue=require(message.venue, "venue"),
        venue_symbol=require(message.venue_symbol, "venue_symbol"),
        product=read_enum(_PRODUCTS, message.product, "product"),
        base=require(message.base, "base"),
        quote=require(message.quote, "quote"),
        settle=require(message.settle, "settle"),
        tick_size=parse_decimal(message.tick_size, "tick_size"),
        lot_size=parse_decimal(message.lot_size, "lot_size"),
        min_qty=parse_decimal(message.min_qty, "min_qty"),
        max_qty=parse_decimal(message.max_qty, "max_qty"),
        market_max_qty=parse_decimal(message.market_max_qty, "market_max_qty"),
        min_notional=parse_decimal(message.min_notional, "min_notional"),
        max_notional=read_optional_decimal(message.max_notional, "max_notional"),
        contract_multiplier=parse_decimal(message.contract_multiplier, "contract_multiplier"),
        status=read_enum(_STATUSES, message.status, "status"),
        order_types=frozenset(message.order_types),
        oco_allowed=message.oco_allowed,
        price_band=_band_from_wire(message.price_band) if message.HasField("price_band") else None,
    )
