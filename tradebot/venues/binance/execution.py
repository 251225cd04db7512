"""Private half of the venue: answers and events of the WebSocket API, rows of the private REST reads.

Rules: an answer that is not a listed proof of rejection is UNKNOWN; unknown keys are ignored, missing ones are an
error; a cancel event carries the cancel request's id in `c` and the order's own id in `C`. Builders:
`order_requests`; reading back: `order_parse`. Source: user data stream and trading documentation (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tradebot.core.accounts import Balance
from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import RejectedError, VenueProtocolError
from tradebot.core.instruments import Instrument
from tradebot.core.orders import OrderTerms
from tradebot.venues.api_orders import (
    AccountRows,
    BalanceUpdate,
    KeyRights,
    ListUpdate,
    OrderCodec,
    ParsedOrderRequest,
    RequestOutcome,
    RestRead,
    StreamEnded,
    TransferUpdate,
    VenueCredentials,
    VenueEvent,
    VenueOrder,
    VenueReply,
    VenueTrade,
)
from tradebot.venues.binance import order_parse, order_requests
from tradebot.venues.binance.errors import classify
from tradebot.venues.binance.order_rows import NS_PER_MS, ExecutionReport, OrderRow, RowReader, TradeRow
from tradebot.venues.binance.symbols import VENUE

SERVER_PING_S: Final = 20.0
MAX_PAGE: Final = 1000
_WEIGHTS: Final = {"account": 20, "open_orders": 6, "all_orders": 20, "trades": 20, "trades_of_order": 5}
_RATE_TYPE: Final = "REQUEST_WEIGHT"


class _RateLimit(msgspec.Struct, rename="camel", gc=False):
    rate_limit_type: str
    limit: int
    count: int


class _ErrorData(msgspec.Struct, rename="camel", gc=False):
    retry_after: int = 0
    server_time: int = 0


class _Error(msgspec.Struct, gc=False):
    code: int
    msg: str = ""
    data: _ErrorData | None = None


class _Frame(msgspec.Struct, rename="camel", gc=False):
    """Either an answer (id, status) or an event."""

    id: str | int | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None
    rate_limits: list[_RateLimit] = []
    event: msgspec.Raw = msgspec.Raw()


class _EventName(msgspec.Struct, gc=False):
    e: str


class _AssetRow(msgspec.Struct, gc=False):
    a: str
    f: str
    l: str  # noqa: E741  the venue's key


class _AccountPosition(msgspec.Struct, gc=False):
    E: int
    B: list[_AssetRow]
    u: int = 0


class _BalanceDelta(msgspec.Struct, gc=False):
    a: str
    d: str
    T: int


class _ListLeg(msgspec.Struct, gc=False):
    s: str
    i: int
    c: str


class _ListStatus(msgspec.Struct, gc=False):
    g: int
    l: str  # noqa: E741  list status type: RESPONSE, EXEC_STARTED, UPDATED, ALL_DONE
    L: str
    """List order status: EXECUTING, ALL_DONE, REJECT."""
    T: int
    O: list[_ListLeg]  # noqa: E741


class _BalanceRow(msgspec.Struct, gc=False):
    asset: str
    free: str
    locked: str


class _Account(msgspec.Struct, rename="camel", gc=False):
    balances: list[_BalanceRow]
    update_time: int = 0


class _Rights(msgspec.Struct, rename="camel", gc=False):
    """Rights of a key; one that is not mentioned counts as given, but for reading."""

    enable_reading: bool = False
    enable_withdrawals: bool = True
    enable_internal_transfer: bool = True
    permits_universal_transfer: bool = True
    enable_vanilla_options: bool = True
    enable_margin: bool = True
    enable_futures: bool = True
    enable_spot_and_margin_trading: bool = True
    ip_restrict: bool = False
    trading_authority_expiration_time: int = 0


class _SystemStatus(msgspec.Struct, gc=False):
    """Whether the venue works; anything but 0 is maintenance."""

    status: int


class _Result(msgspec.Struct, rename="camel", gc=False):
    """The parts of results that are not one order."""

    server_time: int = 0
    order_reports: list[OrderRow] = []


NORMAL: Final = 0
"""System status of a venue that works."""
_FRAMES: Final = msgspec.json.Decoder(_Frame)
_NAMES: Final = msgspec.json.Decoder(_EventName)
_REPORTS: Final = msgspec.json.Decoder(ExecutionReport)
_POSITIONS: Final = msgspec.json.Decoder(_AccountPosition)
_DELTAS: Final = msgspec.json.Decoder(_BalanceDelta)
_LISTS: Final = msgspec.json.Decoder(_ListStatus)
_RESULTS: Final = msgspec.json.Decoder(_Result)
_ORDER_RESULTS: Final = msgspec.json.Decoder(OrderRow)
_MANY_ORDER_RESULTS: Final = msgspec.json.Decoder(list[OrderRow])


class BinanceOrderCodec:
    """Private frames of one account; see `OrderCodec`."""

    venue = VENUE
    carries_reduce_only = False
    page_rows = MAX_PAGE

    def __init__(self, credentials: VenueCredentials, instruments: Sequence[Instrument], recv_window_ms: int) -> None:
        self._api_key = credentials.api_key
        self._secret = credentials.api_secret.encode()
        self._recv_window_ms = recv_window_ms
        self._symbols = {i.instrument_id: i.venue_symbol for i in instruments}
        self._ids = {i.venue_symbol: i.instrument_id for i in instruments}
        self._rows = RowReader(self._ids)

    # ---- requests

    def place(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        params = order_requests.place_params(terms, self._symbols[terms.instrument_id])
        return self._signed(request_id, "order.place", params, timestamp_ms)

    def place_oco(
        self, request_id: str, list_client_id: str, stop: OrderTerms, target: OrderTerms, timestamp_ms: int
    ) -> bytes:
        params = order_requests.oco_params(list_client_id, stop, target, self._symbols[stop.instrument_id])
        return self._signed(request_id, "orderList.place.oco", params, timestamp_ms)

    def cancel(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        symbol = self._symbols[terms.instrument_id]
        params: order_requests.Params = {"symbol": symbol, "origClientOrderId": terms.client_order_id}
        return self._signed(request_id, "order.cancel", params, timestamp_ms)

    def cancel_all(self, request_id: str, instrument_id: str, timestamp_ms: int) -> bytes:
        params: order_requests.Params = {"symbol": self._symbols[instrument_id]}
        return self._signed(request_id, "openOrders.cancelAll", params, timestamp_ms)

    def query(self, request_id: str, instrument_id: str, client_order_id: str, timestamp_ms: int) -> bytes:
        params: order_requests.Params = {"symbol": self._symbols[instrument_id], "origClientOrderId": client_order_id}
        return self._signed(request_id, "order.status", params, timestamp_ms)

    def login(self, request_id: str, timestamp_ms: int) -> bytes:
        return self._signed(request_id, "userDataStream.subscribe.signature", {}, timestamp_ms)

    def time(self, request_id: str) -> bytes:
        return order_requests.unsigned_request(request_id, "time")

    def _signed(self, request_id: str, method: str, params: order_requests.Params, timestamp_ms: int) -> bytes:
        return order_requests.signed_request(
            request_id,
            method,
            params,
            api_key=self._api_key,
            secret=self._secret,
            timestamp_ms=timestamp_ms,
            recv_window_ms=self._recv_window_ms,
        )

    def parse_order_request(self, data: bytes) -> ParsedOrderRequest:
        request = order_parse.parse_order_request(data, self._ids)
        if request.api_key != self._api_key:
            raise VenueProtocolError("order request cannot be read back: it carries another account's key")
        return request

    # ---- answers and events

    def decode(self, data: bytes) -> VenueEvent | None:
        try:
            frame = _FRAMES.decode(data)
            if frame.id is not None:
                return self._reply(frame)
            raw = bytes(frame.event)
            return self._event(raw) if raw else None
        except (msgspec.MsgspecError, RejectedError, KeyError) as exc:
            raise VenueProtocolError(f"{VENUE} private frame: {exc}") from exc

    def _reply(self, frame: _Frame) -> VenueReply:
        request_id, weight = str(frame.id), _used_weight_pct(frame.rate_limits)
        if frame.error is not None or frame.status != 200:
            error = frame.error or _Error(0, "no error body")
            meaning = classify(frame.status, error.code, error.msg)
            data = error.data or _ErrorData()
            wait_ms = max(0, data.retry_after - data.server_time) if data.retry_after else 0
            detail = f"{frame.status} {error.code} {error.msg}"
            return VenueReply(
                request_id,
                meaning.outcome,
                (),
                (),
                meaning.reason,
                detail,
                wait_ms,
                weight,
                data.server_time * NS_PER_MS,
            )
        raw = bytes(frame.result)
        if raw[:1] == b"[":
            orders = tuple(self._rows.order(row) for row in _MANY_ORDER_RESULTS.decode(raw) if row.order_id)
            return VenueReply(request_id, RequestOutcome.ACCEPTED, orders, used_weight_pct=weight)
        if b'"orderId"' not in raw:  # login, time
            result = _RESULTS.decode(raw)
            return VenueReply(
                request_id,
                RequestOutcome.ACCEPTED,
                used_weight_pct=weight,
                server_time_ns=result.server_time * NS_PER_MS,
            )
        if b'"orderReports"' in raw:
            reports = _RESULTS.decode(raw).order_reports
        else:
            reports = [_ORDER_RESULTS.decode(raw)]
        orders = tuple(self._rows.order(row) for row in reports)
        executions = tuple(e for row in reports for e in self._rows.fills(row))
        return VenueReply(request_id, RequestOutcome.ACCEPTED, orders, executions, used_weight_pct=weight)

    def _event(self, raw: bytes) -> VenueEvent | None:
        match _NAMES.decode(raw).e:
            case "executionReport":
                return self._rows.report(_REPORTS.decode(raw))
            case "outboundAccountPosition":
                position = _POSITIONS.decode(raw)
                rows = tuple(_balance(row.a, row.f, row.l) for row in position.B)
                return BalanceUpdate(rows, (position.u or position.E) * NS_PER_MS)
            case "balanceUpdate":
                delta = _DELTAS.decode(raw)
                return TransferUpdate(delta.a, parse_decimal(delta.d, "balanceUpdate.d"), delta.T * NS_PER_MS)
            case "listStatus":
                status = _LISTS.decode(raw)
                return ListUpdate(
                    str(status.g),
                    tuple(leg.c for leg in status.O),
                    done=status.L in ("ALL_DONE", "REJECT"),
                    rejected=status.L == "REJECT",
                    event_time_ns=status.T * NS_PER_MS,
                )
            case "eventStreamTerminated" | "serverShutdown" as name:
                return StreamEnded(name)
            case _:
                return None

    # ---- REST reads

    def account_read(self) -> RestRead:
        return RestRead("privateGetAccount", {"omitZeroBalances": "true"}, _WEIGHTS["account"])

    def open_orders_read(self, instrument_id: str) -> RestRead:
        return RestRead("privateGetOpenOrders", {"symbol": self._symbols[instrument_id]}, _WEIGHTS["open_orders"])

    def order_history_read(self, instrument_id: str, start_time_ms: int) -> RestRead:
        params: dict[str, str | int] = {"symbol": self._symbols[instrument_id], "limit": MAX_PAGE}
        if start_time_ms:
            params["startTime"] = start_time_ms
        return RestRead("privateGetAllOrders", params, _WEIGHTS["all_orders"])

    def trades_read(self, instrument_id: str, start_time_ms: int = 0, venue_order_id: str = "") -> RestRead:
        params: dict[str, str | int] = {"symbol": self._symbols[instrument_id], "limit": MAX_PAGE}
        if venue_order_id:
            return RestRead("privateGetMyTrades", params | {"orderId": venue_order_id}, _WEIGHTS["trades_of_order"])
        if start_time_ms:
            params["startTime"] = start_time_ms
        return RestRead("privateGetMyTrades", params, _WEIGHTS["trades"])

    def decode_account(self, body: object) -> AccountRows:
        account = _convert(body, _Account)
        rows = tuple(_balance(row.asset, row.free, row.locked) for row in account.balances)
        return AccountRows(rows, account.update_time * NS_PER_MS)

    def decode_orders(self, body: object) -> list[VenueOrder]:
        return [self._rows.order(row) for row in _convert(body, list[OrderRow])]

    def decode_trades(self, instrument_id: str, body: object) -> list[VenueTrade]:
        return [self._rows.trade(row, instrument_id) for row in _convert(body, list[TradeRow])]


class BinanceOrderVenue:
    """See `OrderVenue`."""

    name = VENUE
    rest_library_id = "binance"
    server_ping_s = SERVER_PING_S

    def codec(
        self, credentials: VenueCredentials, instruments: Sequence[Instrument], recv_window_ms: int
    ) -> OrderCodec:
        return BinanceOrderCodec(credentials, instruments, recv_window_ms)

    def instruments_read(self, symbols: Sequence[str]) -> RestRead:
        return RestRead("publicGetExchangeInfo", {"symbols": msgspec.json.encode(list(symbols)).decode()}, 20)

    def rights_read(self) -> RestRead:
        return RestRead("sapiGetAccountApiRestrictions", {}, 1)

    def decode_rights(self, body: object) -> KeyRights:
        rights = _convert(body, _Rights)
        trades = rights.enable_spot_and_margin_trading or rights.enable_margin or rights.enable_futures
        moves = rights.enable_withdrawals or rights.enable_internal_transfer or rights.permits_universal_transfer
        return KeyRights(
            rights.enable_reading,
            trades or rights.enable_vanilla_options,
            moves,
            rights.ip_restrict,
            rights.trading_authority_expiration_time * NS_PER_MS,
        )

    def status_read(self) -> RestRead:
        return RestRead("sapiGetSystemStatus", {}, 1)

    def decode_status(self, body: object) -> bool:
        told: _SystemStatus = _convert(body, _SystemStatus)
        return told.status != NORMAL

    def rest_config(self, rest_url: str, credentials: VenueCredentials) -> dict[str, object]:
        base = rest_url.rstrip("/")
        return {
            "apiKey": credentials.api_key,
            "secret": credentials.api_secret,
            "enableRateLimit": False,  # reconciliation counts its own weight
            "options": {"defaultType": "spot", "fetchCurrencies": False, "fetchMargins": False, "recvWindow": 2000},
            "urls": {"api": {"public": f"{base}/api/v3", "private": f"{base}/api/v3", "sapi": f"{base}/sapi/v1"}},
        }


EXECUTION: Final = BinanceOrderVenue()


def _used_weight_pct(limits: list[_RateLimit]) -> float:
    return max((100.0 * r.count / r.limit for r in limits if r.rate_limit_type == _RATE_TYPE and r.limit), default=0.0)


def _balance(asset: str, free: str, locked: str) -> Balance:
    return Balance(asset, parse_decimal(free, "free"), parse_decimal(locked, "locked"))


def _convert(body: object, kind: Any) -> Any:
    """Return parsed JSON as rows; the REST library may have turned numbers into strings, so kinds are coerced."""
    try:
        return msgspec.convert(body, kind, strict=False)
    except msgspec.MsgspecError as exc:
        raise VenueProtocolError(f"{VENUE} private rows: {exc}") from exc
