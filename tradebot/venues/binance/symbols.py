"""Symbols and trading rules: `exchangeInfo` to `Instrument`.

Source: Binance Spot REST documentation, "Exchange information" and "Filters" (read 2026-07-21).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import ConfigError, RejectedError, VenueProtocolError
from tradebot.core.instruments import Instrument, InstrumentStatus, PriceBand, Product
from tradebot.core.orders import OrderType

VENUE: Final = "binance"
FINEST_STEP: Final = Decimal("0.00000001")
"""Amounts have eight decimals; this is the step where a filter's step of 0 switches the rule off."""

ORDER_TYPES: Final[dict[str, OrderType]] = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_LOSS": OrderType.STOP,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT,
    "TAKE_PROFIT_LIMIT": OrderType.TAKE_PROFIT_LIMIT,
}
"""LIMIT_MAKER is not here: it is LIMIT with post_only."""

STATUSES: Final[dict[str, InstrumentStatus]] = {
    "TRADING": InstrumentStatus.TRADING,
    "CANCEL_ONLY": InstrumentStatus.CANCEL_ONLY,
}
"""END_OF_DAY, HALT, BREAK and whatever comes later: HALTED."""


class _Filter(msgspec.Struct, rename="camel", gc=False):
    """One entry of `filters`; each type uses some of the fields."""

    filter_type: str
    tick_size: str = ""
    step_size: str = ""
    min_qty: str = ""
    max_qty: str = ""
    min_notional: str = ""
    max_notional: str = ""
    min_price: str = ""
    max_price: str = ""
    multiplier_up: str = ""
    multiplier_down: str = ""
    bid_multiplier_up: str = ""
    bid_multiplier_down: str = ""
    ask_multiplier_up: str = ""
    ask_multiplier_down: str = ""


class _Symbol(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    order_types: list[str]
    filters: list[_Filter]
    oco_allowed: bool = False


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_Symbol]


_DECODER: Final = msgspec.json.Decoder(_ExchangeInfo)


def instrument_id(base: str, quote: str) -> str:
    """Return our name of a spot market."""
    return f"{VENUE}:{base}-{quote}"


def decode_instruments(body: bytes, symbols: Sequence[str]) -> list[Instrument]:
    """Return the instruments of an `exchangeInfo` answer, in the order of `symbols`.

    Raises:
        VenueProtocolError: If the answer breaks the documentation.
        ConfigError: If a symbol is not listed.
    """
    try:
        listed = {symbol.symbol: symbol for symbol in _DECODER.decode(body).symbols}
    except msgspec.MsgspecError as exc:
        raise VenueProtocolError(f"{VENUE} exchangeInfo: {exc}") from exc
    missing = [symbol for symbol in symbols if symbol not in listed]
    if missing:
        raise ConfigError(f"venues.{VENUE}.symbols: {', '.join(missing)} is not listed at the venue: correct the name")
    return [_instrument(listed[symbol]) for symbol in symbols]


def _instrument(symbol: _Symbol) -> Instrument:
    filters = {item.filter_type: item for item in symbol.filters}
    price, lot = _required(symbol, filters, "PRICE_FILTER"), _required(symbol, filters, "LOT_SIZE")
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or _Filter("NOTIONAL", min_notional="0")
    max_qty = _amount(symbol, lot, lot.max_qty, "maxQty")
    market_lot = filters.get("MARKET_LOT_SIZE")
    market_max = _amount(symbol, market_lot, market_lot.max_qty, "maxQty") if market_lot else Decimal(0)
    max_notional = _amount(symbol, notional, notional.max_notional, "maxNotional") if notional.max_notional else None
    return Instrument(
        instrument_id=instrument_id(symbol.base_asset, symbol.quote_asset),
        venue=VENUE,
        venue_symbol=symbol.symbol,
        product=Product.SPOT,
        base=symbol.base_asset,
        quote=symbol.quote_asset,
        settle=symbol.quote_asset,
        tick_size=_amount(symbol, price, price.tick_size, "tickSize") or FINEST_STEP,
        lot_size=_amount(symbol, lot, lot.step_size, "stepSize") or FINEST_STEP,
        min_qty=_amount(symbol, lot, lot.min_qty, "minQty"),
        max_qty=max_qty,
        market_max_qty=min(market_max, max_qty) if market_max else max_qty,
        min_notional=_amount(symbol, notional, notional.min_notional, "minNotional"),
        max_notional=max_notional,
        status=STATUSES.get(symbol.status, InstrumentStatus.HALTED),
        order_types=frozenset(ORDER_TYPES[name].name for name in symbol.order_types if name in ORDER_TYPES),
        oco_allowed=symbol.oco_allowed,
        price_band=_price_band(symbol, filters, price),
    )


def _price_band(symbol: _Symbol, filters: dict[str, _Filter], price: _Filter) -> PriceBand:
    """Return the band of PRICE_FILTER and PERCENT_PRICE(_BY_SIDE); 0 and absence switch a rule off."""
    item = filters.get("PERCENT_PRICE_BY_SIDE") or filters.get("PERCENT_PRICE") or _Filter("PERCENT_PRICE")

    def rule(of: _Filter, text: str, field: str) -> Decimal | None:
        return (_amount(symbol, of, text, field) or None) if text else None

    return PriceBand(
        rule(price, price.min_price, "minPrice"),
        rule(price, price.max_price, "maxPrice"),
        rule(item, item.bid_multiplier_up or item.multiplier_up, "bidMultiplierUp"),
        rule(item, item.bid_multiplier_down or item.multiplier_down, "bidMultiplierDown"),
        rule(item, item.ask_multiplier_up or item.multiplier_up, "askMultiplierUp"),
        rule(item, item.ask_multiplier_down or item.multiplier_down, "askMultiplierDown"),
    )


def _required(symbol: _Symbol, filters: dict[str, _Filter], name: str) -> _Filter:
    found = filters.get(name)
    if found is None:
        raise VenueProtocolError(f"{VENUE} exchangeInfo {symbol.symbol}: filter {name} is missing")
    return found


def _amount(symbol: _Symbol, item: _Filter, text: str, field: str) -> Decimal:
    try:
        value = parse_decimal(text, field).normalize()
    except RejectedError as exc:
        raise VenueProtocolError(f"{VENUE} exchangeInfo {symbol.symbol} {item.filter_type}: {exc}") from exc
    if value < 0:
        raise VenueProtocolError(f"{VENUE} exchangeInfo {symbol.symbol} {item.filter_type}: {field} {text} is negative")
    return value + 0  # normalize() gives 1E+2; adding puts it back to plain digits where the context allows
