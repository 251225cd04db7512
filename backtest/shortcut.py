"""The venue's protocol without its bytes: the common requests and events of one process, handed over as they are.

Placing and canceling plain limit orders, their events and balances are most of what passes between execd and the venue.
They say what the bytes would have said, amounts and times cut as the protocol cuts them, and execd's gateway reads a
request back as always. Everything else, refusals too, takes the protocol's way. A test holds the event logs of both
ways side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from simexchange.venue import SimVenue
from tradebot.core.accounts import Balance
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)
from tradebot.sim.orders import BalanceReport, NewOrder, OrderReport, ReportKind, SimEvent
from tradebot.venues.api_orders import (
    AccountRows,
    BalanceUpdate,
    OrderCodec,
    OrderUpdate,
    ParsedOrderRequest,
    RequestKind,
    RequestOutcome,
    RestRead,
    VenueEvent,
    VenueOrder,
    VenueReply,
    VenueTrade,
)
from tradebot.venues.server_api import FillView, OrderView

NS_PER_MS: Final = 1_000_000
MONEY_PER_UNIT: Final = 10_000
"""Money has 12 decimals, venues tell 8."""
_KINDS: Final = {
    ReportKind.ACCEPTED: OrderEventKind.ACCEPTED,
    ReportKind.TRADE: OrderEventKind.FILL,
    ReportKind.CANCELED: OrderEventKind.CANCELED,
}

Frame = bytes | VenueEvent
"""What the venue tells: in its own bytes, or as what those would have said."""


class PlainRequest(bytes):
    """A request that never leaves the process: no bytes, only what they would say."""

    kind: RequestKind
    request_id: str
    terms: OrderTerms
    timestamp_ms: int
    codec: OrderCodec

    @classmethod
    def make(
        cls, kind: RequestKind, request_id: str, terms: OrderTerms, timestamp_ms: int, codec: OrderCodec
    ) -> PlainRequest:
        """Return a request; `codec` is the venue's own."""
        made = cls()
        made.kind, made.request_id, made.terms, made.timestamp_ms = kind, request_id, terms, timestamp_ms
        made.codec = codec
        return made

    def in_bytes(self) -> bytes:
        """Return the request as it would be sent."""
        builder = self.codec.place if self.kind is RequestKind.PLACE else self.codec.cancel
        return builder(self.request_id, self.terms, self.timestamp_ms)


class ShortcutCodec:
    """Implements `OrderCodec`: plain requests as they are, everything else by the venue's own codec."""

    def __init__(self, codec: OrderCodec, api_key: str, recv_window_ms: int) -> None:
        self.protocol = codec
        self.venue = codec.venue
        self.carries_reduce_only = codec.carries_reduce_only
        self.page_rows = codec.page_rows
        self._api_key = api_key
        self._recv_window_ms = recv_window_ms

    def place(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        if terms.order_type is not OrderType.LIMIT or terms.price is None:
            return self.protocol.place(request_id, terms, timestamp_ms)
        return PlainRequest.make(RequestKind.PLACE, request_id, terms, timestamp_ms, self.protocol)

    def cancel(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        return PlainRequest.make(RequestKind.CANCEL, request_id, terms, timestamp_ms, self.protocol)

    def parse_order_request(self, data: bytes) -> ParsedOrderRequest:
        if not isinstance(data, PlainRequest):
            return self.protocol.parse_order_request(data)
        terms = data.terms
        if terms.reduce_only and not self.carries_reduce_only:
            terms = replace(terms, reduce_only=False)
        deadline_ms = data.timestamp_ms + self._recv_window_ms
        return ParsedOrderRequest(data.kind, self._api_key, (terms,), data.request_id, deadline_ms)

    def place_oco(
        self, request_id: str, list_client_id: str, stop: OrderTerms, target: OrderTerms, timestamp_ms: int
    ) -> bytes:
        return self.protocol.place_oco(request_id, list_client_id, stop, target, timestamp_ms)

    def cancel_all(self, request_id: str, instrument_id: str, timestamp_ms: int) -> bytes:
        return self.protocol.cancel_all(request_id, instrument_id, timestamp_ms)

    def query(self, request_id: str, instrument_id: str, client_order_id: str, timestamp_ms: int) -> bytes:
        return self.protocol.query(request_id, instrument_id, client_order_id, timestamp_ms)

    def login(self, request_id: str, timestamp_ms: int) -> bytes:
        return self.protocol.login(request_id, timestamp_ms)

    def time(self, request_id: str) -> bytes:
        return self.protocol.time(request_id)

    def decode(self, data: bytes) -> VenueEvent | None:
        return self.protocol.decode(data)

    def account_read(self) -> RestRead:
        return self.protocol.account_read()

    def open_orders_read(self, instrument_id: str) -> RestRead:
        return self.protocol.open_orders_read(instrument_id)

    def order_history_read(self, instrument_id: str, start_time_ms: int) -> RestRead:
        return self.protocol.order_history_read(instrument_id, start_time_ms)

    def trades_read(self, instrument_id: str, start_time_ms: int = 0, venue_order_id: str = "") -> RestRead:
        return self.protocol.trades_read(instrument_id, start_time_ms, venue_order_id)

    def decode_account(self, body: object) -> AccountRows:
        return self.protocol.decode_account(body)

    def decode_orders(self, body: object) -> list[VenueOrder]:
        return self.protocol.decode_orders(body)

    def decode_trades(self, instrument_id: str, body: object) -> list[VenueTrade]:
        return self.protocol.decode_trades(instrument_id, body)


class TellingVenue(SimVenue):
    """A simulated venue that tells its common account events as they are; the others are the protocol's bytes."""

    instruments: list[Instrument]
    told: list[tuple[str, Frame]]
    """(account, event) in order, until they are taken."""
    _row: tuple[tuple[int, OrderStatus, int, int], VenueOrder] | None
    """(order id, status, filled lots, time) and what was made of them last: an answer says what its event said."""

    def tell(self) -> None:
        """Begin."""
        self.instruments = [rules.instrument for rules in self.symbols]
        self.told = []
        self._row = None

    def take_told(self) -> list[tuple[str, Frame]]:
        """Return the account events since the last call, in order."""
        told, self.told = self.told, []
        return told

    def on_events(self, events: Sequence[SimEvent], now_ns: int) -> None:
        """Publish what the engine did."""
        for event in events:
            if isinstance(event, OrderReport):
                kind = _KINDS.get(event.kind)
                if kind is not None and event.terms.order_type is OrderType.LIMIT:
                    self._keep_fill(event)
                    self.told.append((event.terms.account, self._order_update(event, kind)))
                    continue
            elif isinstance(event, BalanceReport):
                self.told.append((event.account, balance_update(event)))
                continue
            super().on_events((event,), now_ns)

    def _send(self, account: str, event: bytes) -> None:
        self.told.append((account, event))

    def _order_update(self, report: OrderReport, kind: OrderEventKind) -> OrderUpdate:
        instrument = self.instruments[report.terms.instrument]
        order = self._venue_order(report, instrument, report.time_ns)
        execution = None
        if report.fill is not None and kind is OrderEventKind.FILL:
            execution = execution_of(
                report.fill, order.client_order_id, instrument, order.side, report.fill.liquidity, report.time_ns
            )
        return OrderUpdate(order, kind, execution)

    def _venue_order(self, order: OrderReport | OrderView, instrument: Instrument, at_ns: int) -> VenueOrder:
        key = (order.order_id, order.status, order.filled_lots, at_ns)
        if self._row is None or self._row[0] != key:
            self._row = key, venue_order(order, instrument, at_ns)
        return self._row[1]

    # ---- requests

    def place_plain(self, request: PlainRequest, account: str, index: int, now_ns: int) -> VenueReply | None:
        """Place a limit order; None = refused, and nothing happened."""
        terms, instrument = request.terms, self.instruments[index]
        lots = instrument.qty_lots(terms.qty)
        ticks = None if terms.price is None else instrument.price_ticks(terms.price)
        if lots is None or ticks is None:
            return None
        done = self.take(
            NewOrder(
                account,
                terms.client_order_id,
                index,
                terms.side,
                OrderType.LIMIT,
                lots,
                ticks,
                0,
                TimeInForce.GTC if terms.post_only else terms.time_in_force,
                terms.post_only,
            ),
            now_ns,
        )
        order = done.order
        if done.reason or order is None:
            return None
        executions = tuple(
            execution_of(fill, terms.client_order_id, instrument, terms.side, Liquidity.TAKER, order.created_ns)
            for fill in done.fills
        )
        row = self._venue_order(order, instrument, order.created_ns)
        return VenueReply(request.request_id, RequestOutcome.ACCEPTED, (row,), executions)

    def cancel_plain(self, request: PlainRequest, account: str, index: int, now_ns: int) -> VenueReply | None:
        """Cancel a limit order outside a list; None = refused, and nothing happened."""
        order = self.find_order(account, index, None, request.terms.client_order_id)
        if order is None or order.status.is_terminal or order.list_id >= 0:
            return None
        if order.terms.order_type is not OrderType.LIMIT:
            return None
        done = self.cancel(account, order.order_id, "", now_ns)
        if done.reason or done.order is None:
            raise InvariantError(f"the venue cannot cancel order {order.order_id}: {done.reason}")
        row = self._venue_order(done.order, self.instruments[index], done.order.updated_ns)
        return VenueReply(request.request_id, RequestOutcome.ACCEPTED, (row,))


def venue_order(order: OrderReport | OrderView, instrument: Instrument, at_ns: int) -> VenueOrder:
    """Return a limit order that has not expired, as the venue tells it."""
    terms = order.terms
    return VenueOrder(
        terms.client_order_id,
        str(order.order_id),
        instrument.instrument_id,
        instrument.venue_symbol,
        terms.side,
        terms.order_type,
        terms.time_in_force,
        terms.post_only,
        instrument.qty(order.lots),
        instrument.price(terms.price) or None,
        None,
        order.status,
        instrument.qty(order.filled_lots),
        at_ns // NS_PER_MS * NS_PER_MS,
        "",
        "" if order.list_id < 0 else str(order.list_id),
    )


def execution_of(
    fill: FillView, client_order_id: str, instrument: Instrument, side: Side, liquidity: Liquidity, at_ns: int
) -> Execution:
    """Return a fill as the venue tells it."""
    return Execution(
        str(fill.trade_id),
        client_order_id,
        instrument.instrument_id,
        side,
        instrument.qty(fill.lots),
        instrument.price(fill.price),
        told_amount(fill.fee_money),
        fill.fee_asset,
        liquidity,
        at_ns // NS_PER_MS * NS_PER_MS,
    )


def balance_update(report: BalanceReport) -> BalanceUpdate:
    """Return balances as the venue tells them."""
    rows = [Balance(one.asset, told_amount(one.free), told_amount(one.locked)) for one in report.balances]
    return BalanceUpdate(tuple(rows), report.time_ns // NS_PER_MS * NS_PER_MS)


def told_amount(money: int) -> Decimal:
    """Return Money as the venue writes it: cut to eight decimals."""
    return Decimal(money // MONEY_PER_UNIT).scaleb(-8)
