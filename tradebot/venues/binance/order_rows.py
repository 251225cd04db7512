"""Rows of orders, trades and execution reports, and their translation to core types.

Statuses and types map through tables; a value that is not in them breaks the venue's documentation and is an error,
because guessing an order's state is how exposure gets lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import VenueProtocolError
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from tradebot.venues.api_orders import OrderUpdate, VenueOrder, VenueTrade

T = TypeVar("T")

NS_PER_MS: Final = 1_000_000
_ZERO: Final = Decimal(0)
STATUSES: Final[dict[str, OrderStatus]] = {
    "PENDING_NEW": OrderStatus.PENDING_NEW,
    "NEW": OrderStatus.NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "PENDING_CANCEL": OrderStatus.PENDING_CANCEL,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
REASONS: Final[dict[str, str]] = {"EXPIRED_IN_MATCH": "SELF_TRADE_PREVENTION"}
ORDER_TYPES: Final[dict[str, tuple[OrderType, bool]]] = {
    "LIMIT": (OrderType.LIMIT, False),
    "LIMIT_MAKER": (OrderType.LIMIT, True),
    "MARKET": (OrderType.MARKET, False),
    "STOP_LOSS": (OrderType.STOP, False),
    "STOP_LOSS_LIMIT": (OrderType.STOP_LIMIT, False),
    "TAKE_PROFIT": (OrderType.TAKE_PROFIT, False),
    "TAKE_PROFIT_LIMIT": (OrderType.TAKE_PROFIT_LIMIT, False),
}
EXECUTION_KINDS: Final[dict[str, OrderEventKind | None]] = {
    "NEW": OrderEventKind.ACCEPTED,
    "CANCELED": OrderEventKind.CANCELED,
    "REPLACED": None,
    "REJECTED": OrderEventKind.REJECTED,
    "TRADE": OrderEventKind.FILL,
    "EXPIRED": OrderEventKind.EXPIRED,
    "TRADE_PREVENTION": None,  # when it ends the order, an EXPIRED report follows
}


class FillRow(msgspec.Struct, rename="camel", gc=False):
    """One element of `fills` in a FULL answer: always taker, since it happened on arrival."""

    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: int


class OrderRow(msgspec.Struct, rename="camel", gc=False):
    """An order in an answer or in a REST row. Cancel answers name the order in `origClientOrderId`."""

    symbol: str
    order_id: int = 0
    client_order_id: str = ""
    orig_client_order_id: str = ""
    order_list_id: int = -1
    price: str = "0"
    stop_price: str = "0"
    orig_qty: str = "0"
    executed_qty: str = "0"
    status: str = "NEW"
    time_in_force: str = "GTC"
    type_: str = msgspec.field(name="type", default="LIMIT")
    side: str = "BUY"
    transact_time: int = 0
    time: int = 0
    update_time: int = 0
    fills: list[FillRow] = []


class TradeRow(msgspec.Struct, rename="camel", gc=False):
    """A row of the account's trade history."""

    id: int
    order_id: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool


class ExecutionReport(msgspec.Struct, gc=False):
    """`executionReport`; field names are the venue's keys."""

    E: int
    s: str
    c: str
    S: str
    o: str
    f: str
    q: str
    p: str
    P: str
    x: str
    X: str
    i: int
    l: str  # noqa: E741
    z: str
    L: str
    t: int
    T: int
    C: str = ""
    g: int = -1
    r: str = "NONE"
    n: str | None = None
    N: str | None = None
    m: bool = False
    eR: str | int | None = None  # noqa: N815
    """Expiry reason; the documentation read does not say whether name or number."""


class RowReader:
    """Translates rows with one symbol table."""

    __slots__ = ("_ids",)

    def __init__(self, instrument_ids: Mapping[str, str]) -> None:
        self._ids = instrument_ids

    def order(self, row: OrderRow) -> VenueOrder:
        """Return an order from an answer or a REST row."""
        order_type, post_only = _lookup(ORDER_TYPES, row.type_, "type")
        return VenueOrder(
            client_order_id=row.orig_client_order_id or row.client_order_id,
            venue_order_id=str(row.order_id),
            instrument_id=self._ids.get(row.symbol, ""),
            venue_symbol=row.symbol,
            side=_side(row.side),
            order_type=order_type,
            time_in_force=_lifetime(row.time_in_force),
            post_only=post_only,
            qty=_amount(row.orig_qty),
            price=_price(row.price),
            stop_price=_price(row.stop_price),
            status=_lookup(STATUSES, row.status, "status"),
            filled_qty=_amount(row.executed_qty),
            event_time_ns=(row.transact_time or row.update_time or row.time) * NS_PER_MS,
            reason=REASONS.get(row.status, ""),
            list_id=_list_id(row.order_list_id),
            created_time_ns=row.time * NS_PER_MS,
        )

    def fills(self, row: OrderRow) -> list[Execution]:
        """Return the executions in a FULL answer."""
        instrument_id = self._ids.get(row.symbol, "")
        return [
            Execution(
                str(fill.trade_id),
                row.client_order_id,
                instrument_id,
                _side(row.side),
                _amount(fill.qty),
                _amount(fill.price),
                _amount(fill.commission),
                fill.commission_asset,
                Liquidity.TAKER,
                row.transact_time * NS_PER_MS,
            )
            for fill in row.fills
        ]

    def trade(self, row: TradeRow, instrument_id: str) -> VenueTrade:
        """Return one trade of ours; the row does not tell the client order id."""
        return VenueTrade(
            str(row.order_id),
            Execution(
                str(row.id),
                "",
                instrument_id,
                Side.BUY if row.is_buyer else Side.SELL,
                _amount(row.qty),
                _amount(row.price),
                _amount(row.commission),
                row.commission_asset,
                Liquidity.MAKER if row.is_maker else Liquidity.TAKER,
                row.time * NS_PER_MS,
            ),
        )

    def report(self, row: ExecutionReport) -> OrderUpdate:
        """Return an order event."""
        kind = _lookup(EXECUTION_KINDS, row.x, "x")
        order_type, post_only = _lookup(ORDER_TYPES, row.o, "o")
        # On CANCELED `c` is the id of the cancel request and `C` the order's own; elsewhere `C` is empty.
        client_order_id = row.C or row.c
        order = VenueOrder(
            client_order_id=client_order_id,
            venue_order_id=str(row.i),
            instrument_id=self._ids.get(row.s, ""),
            venue_symbol=row.s,
            side=_side(row.S),
            order_type=order_type,
            time_in_force=_lifetime(row.f),
            post_only=post_only,
            qty=_amount(row.q),
            price=_price(row.p),
            stop_price=_price(row.P),
            status=_lookup(STATUSES, row.X, "X"),
            filled_qty=_amount(row.z),
            event_time_ns=row.T * NS_PER_MS,
            reason=REASONS.get(row.X) or ("" if row.r == "NONE" else row.r) or str(row.eR or ""),
            list_id=_list_id(row.g),
        )
        execution = None
        if kind is OrderEventKind.FILL:
            execution = Execution(
                str(row.t),
                client_order_id,
                order.instrument_id,
                order.side,
                _amount(row.l),
                _amount(row.L),
                _amount(row.n) if row.n else _ZERO,
                row.N or "",
                Liquidity.MAKER if row.m else Liquidity.TAKER,
                row.T * NS_PER_MS,
            )
        return OrderUpdate(order, kind, execution)


def _lookup(table: Mapping[str, T], name: str, field: str) -> T:
    try:
        return table[name]
    except KeyError:
        raise VenueProtocolError(f"private row: {field} {name!r} is not documented") from None


def _side(name: str) -> Side:
    if name == "BUY":
        return Side.BUY
    if name == "SELL":
        return Side.SELL
    raise VenueProtocolError(f"private row: side {name!r} is not documented")


def _lifetime(name: str) -> TimeInForce:
    try:
        return TimeInForce[name]
    except KeyError:
        raise VenueProtocolError(f"private row: time in force {name!r} is not documented") from None


def _amount(text: str) -> Decimal:
    return parse_decimal(text, "amount")


def _price(text: str) -> Decimal | None:
    return parse_decimal(text, "price") or None


def _list_id(number: int) -> str:
    return "" if number < 0 else str(number)
