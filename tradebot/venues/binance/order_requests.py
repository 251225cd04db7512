"""Builders of signed WebSocket API order requests. The gateway is the only caller of the placing ones.

Source: WebSocket API documentation, trading requests (read 2026-11-21). Stop-loss limit and limit-maker are types of
their own here; reduce-only does not exist on spot and is never sent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from tradebot.core.amounts import format_decimal
from tradebot.core.errors import InvariantError
from tradebot.core.orders import OrderTerms, OrderType, TimeInForce
from tradebot.venues.binance.auth import sign

RESPONSE_TYPE: Final = "FULL"
"""The answer carries status and fills; what the user stream then repeats is dropped by its trade id."""
_TYPE_NAMES: Final = {
    OrderType.LIMIT: "LIMIT",
    OrderType.MARKET: "MARKET",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}
_WITH_TIME_IN_FORCE: Final = frozenset({"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})

Params = dict[str, str | int]
_ENCODER: Final = msgspec.json.Encoder()


def type_name(terms: OrderTerms) -> str:
    """Return the venue's order type of these terms."""
    if terms.post_only:
        if terms.order_type is not OrderType.LIMIT:
            raise InvariantError(f"order {terms.client_order_id}: only LIMIT orders can be post-only")
        return "LIMIT_MAKER"
    return _TYPE_NAMES[terms.order_type]


def place_params(terms: OrderTerms, symbol: str) -> Params:
    """Return the parameters of `order.place` without identity, time and signature."""
    if terms.expire_time_ns or terms.time_in_force is TimeInForce.GTD:
        raise InvariantError(f"order {terms.client_order_id}: spot has no good-till-date orders")
    name = type_name(terms)
    params: Params = {
        "newClientOrderId": terms.client_order_id,
        "newOrderRespType": RESPONSE_TYPE,
        "quantity": format_decimal(terms.qty),
        "side": terms.side.name,
        "symbol": symbol,
        "type": name,
    }
    if terms.price is not None:
        params["price"] = format_decimal(terms.price)
    if terms.stop_price is not None:
        params["stopPrice"] = format_decimal(terms.stop_price)
    if name in _WITH_TIME_IN_FORCE:
        params["timeInForce"] = terms.time_in_force.name
    return params


def oco_params(list_client_id: str, stop: OrderTerms, target: OrderTerms, symbol: str) -> Params:
    """Return the parameters of `orderList.place.oco`: the leg with the higher price is `above`, the other `below`."""
    stop_level, target_level = _level(stop), _level(target)
    above, below = (stop, target) if stop_level > target_level else (target, stop)
    params: Params = {
        "listClientOrderId": list_client_id,
        "newOrderRespType": RESPONSE_TYPE,
        "quantity": format_decimal(stop.qty),
        "side": stop.side.name,
        "symbol": symbol,
    }
    for prefix, leg in (("above", above), ("below", below)):
        name = type_name(leg)
        params[f"{prefix}Type"] = name
        params[f"{prefix}ClientOrderId"] = leg.client_order_id
        if leg.price is not None:
            params[f"{prefix}Price"] = format_decimal(leg.price)
        if leg.stop_price is not None:
            params[f"{prefix}StopPrice"] = format_decimal(leg.stop_price)
        if name in _WITH_TIME_IN_FORCE:
            params[f"{prefix}TimeInForce"] = leg.time_in_force.name
    return params


def signed_request(
    request_id: str,
    method: str,
    params: Params,
    *,
    api_key: str,
    secret: bytes,
    timestamp_ms: int,
    recv_window_ms: int,
) -> bytes:
    """Return the frame of a signed request; completes `params` with key, window, time and signature."""
    params["apiKey"] = api_key
    params["recvWindow"] = recv_window_ms
    params["timestamp"] = timestamp_ms
    params["signature"] = sign(params, secret)
    return _ENCODER.encode({"id": request_id, "method": method, "params": params})


def unsigned_request(request_id: str, method: str) -> bytes:
    """Return the frame of a public request without parameters."""
    return _ENCODER.encode({"id": request_id, "method": method})


def _level(terms: OrderTerms) -> Decimal:
    level = terms.stop_price if terms.stop_price is not None else terms.price
    if level is None:
        raise InvariantError(f"order {terms.client_order_id}: a list leg needs a price")
    return level
