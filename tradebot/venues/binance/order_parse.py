"""Reads a placing request back from its bytes, for the gateway. Shares no table and no code with the builders.

Every parameter that could change what the venue does has to be understood: an unknown one is an error, because a
request that says more than its approval is not the approved one. Source: WebSocket API documentation (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import RejectedError, VenueProtocolError
from tradebot.core.orders import OrderTerms, OrderType, Side, TimeInForce
from tradebot.venues.api_orders import ParsedOrderRequest, RequestKind

_SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
_LIFETIMES: Final = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
_TYPES: Final[dict[str, tuple[OrderType, bool]]] = {
    "LIMIT": (OrderType.LIMIT, False),
    "LIMIT_MAKER": (OrderType.LIMIT, True),
    "MARKET": (OrderType.MARKET, False),
    "STOP_LOSS": (OrderType.STOP, False),
    "STOP_LOSS_LIMIT": (OrderType.STOP_LIMIT, False),
    "TAKE_PROFIT": (OrderType.TAKE_PROFIT, False),
    "TAKE_PROFIT_LIMIT": (OrderType.TAKE_PROFIT_LIMIT, False),
}
"""Type -> (ours, post only)."""


class _Identity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel", gc=False):
    api_key: str
    recv_window: int
    timestamp: int
    signature: str
    new_order_resp_type: str
    symbol: str
    side: str
    quantity: str


class _Place(_Identity):
    new_client_order_id: str
    type_: str = msgspec.field(name="type")
    price: str | None = None
    stop_price: str | None = None
    time_in_force: str | None = None


class _Oco(_Identity):
    list_client_order_id: str
    above_type: str
    above_client_order_id: str
    below_type: str
    below_client_order_id: str
    above_price: str | None = None
    above_stop_price: str | None = None
    above_time_in_force: str | None = None
    below_price: str | None = None
    below_stop_price: str | None = None
    below_time_in_force: str | None = None


class _PlaceFrame(msgspec.Struct, forbid_unknown_fields=True, tag_field="method", tag="order.place", gc=False):
    id: str
    params: _Place


class _OcoFrame(msgspec.Struct, forbid_unknown_fields=True, tag_field="method", tag="orderList.place.oco", gc=False):
    id: str
    params: _Oco


_DECODER: Final = msgspec.json.Decoder(_PlaceFrame | _OcoFrame)


def parse_order_request(data: bytes, instrument_ids: Mapping[str, str]) -> ParsedOrderRequest:
    """Return what a placing request asks for.

    Args:
        data: The frame about to be sent.
        instrument_ids: Venue symbol -> our instrument id.

    Raises:
        VenueProtocolError: If the bytes are anything but a placing request that is understood in full.
    """
    try:
        frame = _DECODER.decode(data)
        params = frame.params
        instrument_id, side, qty = (
            instrument_ids[params.symbol],
            _SIDES[params.side],
            parse_decimal(params.quantity, "q"),
        )

        def leg(id_: str, kind: str, price: str | None, stop: str | None, lifetime: str | None) -> OrderTerms:
            order_type, post_only = _TYPES[kind]
            return OrderTerms(
                id_,
                instrument_id,
                side,
                order_type,
                qty,
                _decimal(price),
                _decimal(stop),
                TimeInForce.GTC if lifetime is None else _LIFETIMES[lifetime],
                post_only,
            )

        if isinstance(params, _Place):
            legs: tuple[OrderTerms, ...] = (
                leg(params.new_client_order_id, params.type_, params.price, params.stop_price, params.time_in_force),
            )
            kind = RequestKind.PLACE
        else:
            legs = (
                leg(
                    params.above_client_order_id,
                    params.above_type,
                    params.above_price,
                    params.above_stop_price,
                    params.above_time_in_force,
                ),
                leg(
                    params.below_client_order_id,
                    params.below_type,
                    params.below_price,
                    params.below_stop_price,
                    params.below_time_in_force,
                ),
            )
            kind = RequestKind.PLACE_OCO
    except (msgspec.MsgspecError, RejectedError, KeyError) as exc:
        raise VenueProtocolError(f"order request cannot be read back: {exc}") from exc
    return ParsedOrderRequest(kind, params.api_key, legs, frame.id, params.timestamp + params.recv_window)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else parse_decimal(text, "price")
