"""Server half, request parameters: text in, `OrderRequest` out, or the venue's own complaint.

The rules per order type (which parameters are mandatory, which are refused) follow the trading endpoints
documentation (read 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from tradebot.core.amounts import MONEY_ONE
from tradebot.core.orders import OrderType, Side, TimeInForce
from tradebot.venues.binance.server_errors import (
    VenueError,
    illegal_characters,
    missing,
    not_required,
    refusal,
    too_precise,
)
from tradebot.venues.binance.server_format import SymbolText
from tradebot.venues.server_api import OrderRequest

_AMOUNT: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_AMOUNT_RE: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_CLIENT_ID: Final = r"^[a-zA-Z0-9-_]{1,36}$"
_CLIENT_ID_RE: Final = re.compile(r"[a-zA-Z0-9_-]{1,36}")
_INTEGER_RE: Final = re.compile(r"[0-9]{1,18}")
_DECIMALS: Final = 8

_TYPES: Final[dict[str, OrderType]] = {
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_LOSS": OrderType.STOP,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT,
    "TAKE_PROFIT_LIMIT": OrderType.TAKE_PROFIT_LIMIT,
}
_WITH_TIME_IN_FORCE: Final = frozenset({"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
_WITH_PRICE: Final = _WITH_TIME_IN_FORCE | {"LIMIT_MAKER"}
_WITH_STOP: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
_STP_MODES: Final = frozenset({"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"})
DEFAULT_STP: Final = "EXPIRE_MAKER"

Params = Mapping[str, str]


def amount(params: Params, name: str) -> Decimal | None:
    """Return a positive decimal parameter, None when absent."""
    text = params.get(name, "")
    if not text:
        return None
    if _AMOUNT_RE.fullmatch(text) is None:
        raise illegal_characters(name, _AMOUNT)
    value = Decimal(text)
    if -int(value.normalize().as_tuple().exponent) > _DECIMALS:
        raise too_precise(name)
    return value


def integer(params: Params, name: str) -> int | None:
    """Return an integer parameter, None when absent."""
    text = params.get(name, "")
    if not text:
        return None
    if _INTEGER_RE.fullmatch(text) is None:
        raise illegal_characters(name, r"^[0-9]{1,20}$")
    return int(text)


def limit(params: Params, default: int, most: int) -> int:
    """Return the `limit` parameter; more than the maximum means the maximum."""
    value = integer(params, "limit")
    if value is None:
        return default
    if value == 0:
        raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(value, most)


def flag(params: Params, name: str) -> bool:
    """Return a boolean parameter, False when absent."""
    return params.get(name, "").lower() == "true"


def client_id(params: Params, name: str) -> str:
    """Return a client id, "" when absent."""
    text = params.get(name, "")
    if text and _CLIENT_ID_RE.fullmatch(text) is None:
        raise illegal_characters(name, _CLIENT_ID)
    return text


def side(params: Params) -> Side:
    """Return BUY or SELL."""
    text = params.get("side", "")
    if not text:
        raise missing("side")
    if text not in ("BUY", "SELL"):
        raise VenueError(-1117, "Invalid side.")
    return Side[text]


def order_request(params: Params, text: SymbolText, instrument: int, account: str, new_id: str) -> OrderRequest:
    """Return the order of POST order and order.place.

    Args:
        params: All parameters as text.
        text: Formats of the symbol.
        instrument: Its index.
        account: The caller's account.
        new_id: Client id to use when the caller gives none.
    """
    order_side = side(params)
    kind = params.get("type", "")
    if not kind:
        raise missing("type")
    return leg_request(
        params,
        text,
        instrument,
        account,
        side=order_side,
        kind=kind,
        prefix="",
        client_order_id=client_id(params, "newClientOrderId") or new_id,
        quantity=amount(params, "quantity"),
    )


def leg_request(
    params: Params,
    text: SymbolText,
    instrument: int,
    account: str,
    *,
    side: Side,
    kind: str,
    prefix: str,
    client_order_id: str,
    quantity: Decimal | None,
) -> OrderRequest:
    """Return one order; `prefix` is "", "above" or "below", which the list endpoint puts before the names."""

    def named(name: str) -> str:
        return prefix + name[0].upper() + name[1:] if prefix else name

    if kind not in _TYPES:
        raise VenueError(-1116, "Invalid orderType.")
    price = _needed(params, named("price"), kind in _WITH_PRICE)
    stop = _needed(params, named("stopPrice"), kind in _WITH_STOP)
    quote = amount(params, "quoteOrderQty") if not prefix else None
    if kind == "MARKET" and quantity is None and quote is None:
        raise missing("quantity")
    if quote is not None and (kind != "MARKET" or quantity is not None):
        raise not_required("quoteOrderQty")
    if quantity is None and quote is None:
        raise missing("quantity")
    mode = params.get("selfTradePreventionMode", DEFAULT_STP)
    if mode not in _STP_MODES:
        raise VenueError(-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    return OrderRequest(
        account=account,
        client_order_id=client_order_id,
        instrument=instrument,
        side=side,
        order_type=_TYPES[kind],
        lots=0 if quantity is None else _steps(quantity, text.rules.instrument.lot_size, "lot_size"),
        price=0 if price is None else _steps(price, text.rules.instrument.tick_size, "price_filter"),
        stop_price=0 if stop is None else _steps(stop, text.rules.instrument.tick_size, "price_filter"),
        time_in_force=_time_in_force(params, named("timeInForce"), kind),
        post_only=kind == "LIMIT_MAKER",
        quote_money=0 if quote is None else int(quote * MONEY_ONE),
        self_trade_prevention=mode,
    )


def _needed(params: Params, name: str, is_needed: bool) -> Decimal | None:
    value = amount(params, name)
    if value is None:
        if is_needed:
            raise missing(name)
        return None
    if not is_needed:
        # The venue takes a zero for "none", as client libraries send it.
        if not value:
            return None
        raise not_required(name)
    return value


_TIMES_IN_FORCE: Final = ("GTC", "IOC", "FOK")


def _time_in_force(params: Params, name: str, kind: str) -> TimeInForce:
    text = params.get(name, "")
    if kind in _WITH_TIME_IN_FORCE:
        if not text:
            raise missing(name)
        if text not in _TIMES_IN_FORCE:
            raise VenueError(-1115, "Invalid timeInForce.")
        return TimeInForce[text]
    if text:
        raise not_required(name)
    return TimeInForce.GTC


def _steps(value: Decimal, step: Decimal, reason: str) -> int:
    steps = value / step
    whole = int(steps)
    if whole != steps or not whole:
        raise refusal(reason)
    return whole
