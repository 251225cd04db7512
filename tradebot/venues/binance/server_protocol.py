"""Server half, requests: one table of endpoints serves REST and the WebSocket API.

`BinanceServer` checks key, signature, clock and limits, calls the backend and renders the answer. It holds counters
and no market state. What an endpoint costs and needs stands in `server_routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tradebot.core.orders import OrderType, Side
from tradebot.venues.binance import server_market as market
from tradebot.venues.binance import server_orders as orders
from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_auth import ApiKey, check_signature, check_time, rest_payload, ws_payload
from tradebot.venues.binance.server_errors import (
    OCO_TYPES,
    VenueError,
    bad_key,
    disconnected,
    invalid_symbol,
    missing,
    refusal,
    time_out,
    unknown_order,
)
from tradebot.venues.binance.server_format import NS_PER_MS, SymbolText, encode, ms
from tradebot.venues.binance.server_info import exchange_info
from tradebot.venues.binance.server_limits import LimitBook
from tradebot.venues.binance.server_replay import BinanceRecordings
from tradebot.venues.binance.server_routes import (
    CHANGING_ACTIONS,
    NONE,
    REST_PATHS,
    REST_ROUTES,
    ROUTES,
    WS_ROUTES,
    Route,
)
from tradebot.venues.binance.server_streams import BinanceStreams
from tradebot.venues.server_api import (
    BalanceReportView,
    Done,
    HttpAnswer,
    HttpRequest,
    ListReportView,
    ListView,
    OrderReportView,
    OrderRequest,
    OrderView,
    PublicTrade,
    ServerLimits,
    VenueBackend,
    VenueServerFactory,
)

CONNECT_WEIGHT: Final = 2
MAX_PARAMS: Final = 64
DAY_MS: Final = 86_400_000
_MAX_ROWS: Final = 1_000
_DAY_MINUTES: Final = 1_440


@dataclass(slots=True)
class Call:
    """One authenticated request on its way through a handler."""

    params: Mapping[str, str]
    account: str
    now_ns: int
    peer: str
    may_trade: bool = False
    """What the key may, as `key_permissions` tells it."""

    @property
    def now_ms(self) -> int:
        return self.now_ns // NS_PER_MS


@dataclass(slots=True, eq=False)
class WsSession:
    """One WebSocket API connection: which accounts' events it wants."""

    peer: str
    connected_ms: int
    subscriptions: dict[int, str] = field(default_factory=dict)
    """Subscription id -> account."""
    next_subscription: int = 0
    notices: list[bytes] = field(default_factory=list)
    """Frames for this connection besides answers, until the shell takes them."""


class _WsFrame(msgspec.Struct):
    id: int | str | None = None
    method: str = ""
    params: dict[str, Any] = {}


# Numbers keep their spelling: the signature covers the text as sent.
_WS_DECODER: Final = msgspec.json.Decoder(_WsFrame, float_hook=str)


@dataclass(frozen=True, slots=True)
class WsCall:
    """A decoded WebSocket API request, ready to be performed once."""

    id: int | str | None
    route: Route | None
    params: Mapping[str, str]
    error: VenueError | None = None

    @property
    def action(self) -> str:
        return self.route.action if self.route else "read"


class BinanceServer:
    """The venue's request protocol over a backend."""

    def __init__(
        self,
        backend: VenueBackend,
        keys: Mapping[str, tuple[str, str]],
        limits: ServerLimits,
        read_only: frozenset[str] = frozenset(),
    ) -> None:
        self._backend = backend
        self._keys = {
            key: ApiKey(account, secret.encode(), key not in read_only) for key, (account, secret) in keys.items()
        }
        self._limits = limits
        self._book = LimitBook(limits)
        self.texts = [SymbolText(rules) for rules in backend.symbols]
        self.streams = BinanceStreams(self.texts)
        self.recordings = BinanceRecordings(self.texts)
        self._index = {text.symbol: i for i, text in enumerate(self.texts)}
        self._generated_ids = 0
        self._handlers: dict[str, Callable[[Call], Any]] = {
            route.handler: getattr(self, f"_{route.handler}")
            for route in ROUTES
            if not route.handler.endswith("_user") and route.handler not in ("session_status", "list_subscriptions")
        }

    # --- REST ------------------------------------------------------------------------------------------------------

    @staticmethod
    def rest_action(method: str, path: str) -> str:
        """Return the neutral name of a REST request, for fault switches."""
        route = REST_ROUTES.get((method, path))
        return route.action if route else "read"

    def rest(self, request: HttpRequest, now_ns: int) -> HttpAnswer:
        """Answer one REST request."""
        route = REST_ROUTES.get((request.method, request.path))
        account, may_trade = "", False
        try:
            if route is None:
                raise VenueError(0, "Not found", 405 if request.path in REST_PATHS else 404)
            params = dict(parse_qsl(request.query, keep_blank_values=True))
            params |= dict(parse_qsl(request.body, keep_blank_values=True))
            self._count(route, params, request.peer, now_ns)
            if route.needs is not NONE:
                key = self._key(request.headers.get("x-mbx-apikey", ""))
                payload, signature = rest_payload(request.query, request.body)
                check_signature(payload, signature, key.secret)
                check_time(params, now_ns // NS_PER_MS)
                check_rights(key, route)
                account, may_trade = key.account, key.may_trade
            result = self._run(route, Call(params, account, now_ns, request.peer, may_trade))
        except VenueError as exc:
            return self._rest_error(exc, route, account, request.peer, now_ns)
        return HttpAnswer(200, encode(result), self._headers(route, account, request.peer, now_ns))

    def rest_fault(self, fault: str, request: HttpRequest, retry_after_s: int, now_ns: int) -> HttpAnswer:
        """Return the answer of a fault switch; see `fault_error`."""
        route = REST_ROUTES.get((request.method, request.path))
        return self._rest_error(fault_error(fault, retry_after_s, now_ns), route, "", request.peer, now_ns)

    def _rest_error(self, exc: VenueError, route: Route | None, account: str, peer: str, now_ns: int) -> HttpAnswer:
        headers = self._headers(route, account, peer, now_ns)
        if exc.status in (418, 429):
            data = exc.data or {}
            wait_ms = data.get("retryAfter", 0) - data.get("serverTime", 0)
            headers["Retry-After"] = str(max(1, -(-wait_ms // 1_000)))
        body = exc.body()
        if exc.status in (418, 429):
            body.pop("data", None)  # the header says it here
        return HttpAnswer(exc.status, encode(body), headers)

    def _headers(self, route: Route | None, account: str, peer: str, now_ns: int) -> dict[str, str]:
        now_ms = now_ns // NS_PER_MS
        used = str(self._book.used_weight(peer, now_ms))
        headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if route is not None and route.counts_orders and account:
            ten_seconds, day = self._book.order_counts(account, now_ms)
            headers["X-MBX-ORDER-COUNT-10S"] = str(ten_seconds)
            headers["X-MBX-ORDER-COUNT-1D"] = str(day)
        return headers

    # --- WebSocket API ---------------------------------------------------------------------------------------------

    @staticmethod
    def prepare(raw: str | bytes) -> WsCall:
        """Decode one request."""
        try:
            frame = _WS_DECODER.decode(raw)
        except msgspec.MsgspecError:
            return WsCall(None, None, {}, VenueError(-1135, "Invalid JSON Request"))
        if len(frame.params) > MAX_PARAMS:
            return WsCall(frame.id, None, {}, VenueError(-1101, "Too many parameters; expected less."))
        params = {name: _text_of(value) for name, value in frame.params.items() if value is not None}
        route = WS_ROUTES.get(frame.method)
        error = None
        if route is None:
            known = "not sent, was empty/null" if not frame.method else "not supported"
            error = VenueError(-1102, f"Mandatory parameter 'method' was {known}, or malformed.")
        return WsCall(frame.id, route, params, error)

    def perform(self, session: WsSession, call: WsCall, now_ns: int) -> bytes:
        """Answer one request."""
        account = ""
        try:
            if call.error is not None or call.route is None:
                raise call.error or VenueError(-1102, "Mandatory parameter 'method' was not sent.")
            route, params = call.route, call.params
            self._count(route, params, session.peer, now_ns)
            if route.needs is not NONE:
                key = self._key(params.get("apiKey", ""))
                check_signature(ws_payload(params), params.get("signature", ""), key.secret)
                check_time(params, now_ns // NS_PER_MS)
                check_rights(key, route)
                account = key.account
            handler = self._handlers.get(route.handler)
            arguments = Call(params, account, now_ns, session.peer)
            result = self._session_call(session, route, arguments) if handler is None else self._run(route, arguments)
        except VenueError as exc:
            return self._ws_error(exc, call, account, session.peer, now_ns)
        body = {"id": call.id, "status": 200, "result": result}
        return encode(body | self._rate_limits(call.route, account, session.peer, now_ns))

    def fault(self, fault: str, session: WsSession, call: WsCall, retry_after_s: int, now_ns: int) -> bytes:
        """Return the answer of a fault switch; see `fault_error`."""
        return self._ws_error(fault_error(fault, retry_after_s, now_ns), call, "", session.peer, now_ns)

    def _ws_error(self, exc: VenueError, call: WsCall, account: str, peer: str, now_ns: int) -> bytes:
        body = {"id": call.id, "status": exc.status, "error": exc.body()}
        return encode(body | self._rate_limits(call.route, account, peer, now_ns))

    def _rate_limits(self, route: Route | None, account: str, peer: str, now_ns: int) -> dict[str, Any]:
        now_ms = now_ns // NS_PER_MS
        rows = self._book.order_rows(account, now_ms) if route and route.counts_orders and account else []
        return {"rateLimits": [*rows, self._book.weight_row(peer, now_ms)]}

    def _session_call(self, session: WsSession, route: Route, call: Call) -> Any:
        match route.handler:
            case "subscribe_user":
                if call.account in session.subscriptions.values():
                    raise VenueError(-2035, "User Data Stream subscription already active.")
                number = session.next_subscription
                session.next_subscription += 1
                session.subscriptions[number] = call.account
                return {"subscriptionId": number}
            case "unsubscribe_user":
                wanted = p.integer(call.params, "subscriptionId")
                if wanted is not None and wanted not in session.subscriptions:
                    raise VenueError(-2036, "User Data Stream subscription not active.")
                for number in list(session.subscriptions) if wanted is None else [wanted]:
                    del session.subscriptions[number]
                    session.notices.append(self.user_frame(number, encode(orders.stream_terminated(call.now_ms))))
                return {}
            case "list_subscriptions":
                return [{"subscriptionId": number} for number in session.subscriptions]
            case _:
                return {
                    "apiKey": None,
                    "authorizedSince": None,
                    "connectedSince": session.connected_ms,
                    "returnRateLimits": True,
                    "serverTime": call.now_ms,
                    "userDataStream": bool(session.subscriptions),
                }

    # --- user data events ------------------------------------------------------------------------------------------

    def order_event(self, report: OrderReportView, now_ns: int) -> bytes:
        """Return the executionReport of an order event and let the order counters fall with a first fill."""
        fill = report.fill
        if fill is not None and report.filled_lots == fill.lots:
            self._book.order_filled(report.terms.account, now_ns // NS_PER_MS)
        return encode(orders.execution_report(self.texts[report.terms.instrument], report, ms(now_ns)))

    def list_event(self, report: ListReportView, now_ns: int) -> bytes:
        """Return the listStatus of an order list."""
        return encode(orders.list_status(self.texts[report.instrument], report, ms(now_ns)))

    def balance_event(self, report: BalanceReportView, now_ns: int) -> bytes:
        """Return the outboundAccountPosition of changed balances."""
        return encode(orders.account_position(report, ms(now_ns)))

    def transfer_event(self, asset: str, delta_money: int, now_ns: int) -> bytes:
        """Return the balanceUpdate of a deposit or withdrawal."""
        return encode(orders.balance_update(asset, delta_money, ms(now_ns), now_ns))

    @staticmethod
    def user_frame(subscription_id: int, event: bytes) -> bytes:
        """Return an event addressed to one subscription."""
        return b'{"subscriptionId":%d,"event":%b}' % (subscription_id, event)

    @staticmethod
    def shutdown_frame(now_ns: int) -> bytes:
        """Return the announcement of a planned disconnect."""
        return b'{"event":{"e":"serverShutdown","E":%d}}' % ms(now_ns)

    def session(self, peer: str, now_ns: int) -> WsSession:
        """Return the state of a new WebSocket API connection; connecting has its own weight."""
        try:
            self._book.add_weight(peer, CONNECT_WEIGHT, ms(now_ns))
        except VenueError:
            pass  # the requests that follow say so
        return WsSession(peer, ms(now_ns))

    # --- common ----------------------------------------------------------------------------------------------------

    def _run(self, route: Route, call: Call) -> Any:
        try:
            return self._handlers[route.handler](call)
        except VenueError:
            if route.weight == 0:  # only a successful place or cancel is free
                self._book.add_weight(call.peer, 1, call.now_ms)
            raise

    def _count(self, route: Route, params: Mapping[str, str], peer: str, now_ns: int) -> None:
        weight = route.weight if isinstance(route.weight, int) else route.weight(params)
        self._book.add_weight(peer, weight, now_ns // NS_PER_MS)

    def _key(self, api_key: str) -> ApiKey:
        if not api_key:
            raise VenueError(-2014, "API-key format invalid.", 401)
        key = self._keys.get(api_key)
        if key is None:
            raise bad_key()
        return key

    def _instrument(self, call: Call) -> int:
        symbol = call.params.get("symbol", "")
        if not symbol:
            raise missing("symbol")
        if symbol not in self._index:
            raise invalid_symbol()
        return self._index[symbol]

    def _instruments(self, call: Call) -> tuple[list[int], bool]:
        """Return the symbols asked for and whether it was a single one."""
        if call.params.get("symbol"):
            return [self._instrument(call)], True
        names = call.params.get("symbols")
        if names is None:
            return list(range(len(self.texts))), False
        try:
            wanted = msgspec.json.decode(names.encode(), type=list[str])
        except msgspec.MsgspecError:
            raise missing("symbols") from None
        if any(name not in self._index for name in wanted):
            raise invalid_symbol()
        return [self._index[name] for name in wanted], False

    def _new_id(self) -> str:
        self._generated_ids += 1
        return f"auto-{self._generated_ids:017d}"

    # --- public handlers -------------------------------------------------------------------------------------------

    def _ping(self, call: Call) -> Any:
        return {}

    def _time(self, call: Call) -> Any:
        return {"serverTime": call.now_ms}

    def _exchange_info(self, call: Call) -> Any:
        instruments, _ = self._instruments(call)
        return exchange_info([self._backend.symbols[i] for i in instruments], self._limits, call.now_ms)

    def _depth(self, call: Call) -> Any:
        i = self._instrument(call)
        return market.depth_body(self.texts[i], self._backend.depth(i, p.limit(call.params, 100, 5_000)))

    def _trades(self, call: Call) -> Any:
        i = self._instrument(call)
        rows = self._backend.public_trades(i)
        limit, from_id = p.limit(call.params, 500, _MAX_ROWS), p.integer(call.params, "fromId")
        picked = rows[-limit:] if from_id is None else [one for one in rows if one.trade_id >= from_id][:limit]
        return [market.trade_row(self.texts[i], one) for one in picked]

    def _agg_trades(self, call: Call) -> Any:
        i = self._instrument(call)
        rows: Sequence[PublicTrade] = self._backend.public_trades(i)
        limit, from_id = p.limit(call.params, 500, _MAX_ROWS), p.integer(call.params, "fromId")
        start, end = p.integer(call.params, "startTime"), p.integer(call.params, "endTime")
        if from_id is not None:
            picked = [one for one in rows if one.trade_id >= from_id][:limit]
        elif start is None and end is None:
            picked = list(rows[-limit:])
        else:
            last = call.now_ms if end is None else end
            picked = [one for one in rows if (start or 0) <= one.time_ms <= last][:limit]
        return [market.agg_trade_row(self.texts[i], one) for one in picked]

    def _klines(self, call: Call) -> Any:
        i = self._instrument(call)
        interval = call.params.get("interval", "")
        if not interval:
            raise missing("interval")
        if interval not in market.INTERVALS_MS:
            raise VenueError(-1120, "Invalid interval.")
        bars = self._backend.candles(
            i,
            market.INTERVALS_MS[interval],
            p.integer(call.params, "startTime") or 0,
            p.integer(call.params, "endTime"),
            p.limit(call.params, 500, _MAX_ROWS),
            call.now_ns,
        )
        return [market.kline_row(self.texts[i], bar) for bar in bars]

    def _avg_price(self, call: Call) -> Any:
        i = self._instrument(call)
        bars = self._backend.candles(i, 60_000, 0, None, 5, call.now_ns)
        lots, tick_lots = sum(bar.lots for bar in bars), sum(bar.tick_lots for bar in bars)
        price = tick_lots // lots if lots else bars[-1].close if bars else 0
        return {"mins": 5, "price": self.texts[i].price(price), "closeTime": call.now_ms}

    def _ticker_24h(self, call: Call) -> Any:
        instruments, is_single = self._instruments(call)
        rows = []
        for i in instruments:
            bars = self._backend.candles(i, 60_000, 0, None, _DAY_MINUTES, call.now_ns)
            last = self._backend.public_trades(i)[-1:]
            if bars:
                lots = last[0].lots if last else 0
                rows.append(market.ticker_24h_row(self.texts[i], bars, self._backend.touch(i), lots))
        return rows[0] if is_single and rows else rows

    def _ticker_price(self, call: Call) -> Any:
        instruments, is_single = self._instruments(call)
        rows = []
        for i in instruments:
            last = self._backend.candles(i, 60_000, 0, None, 1, call.now_ns)
            rows.append(market.price_row(self.texts[i], last[-1].close if last else 0))
        return rows[0] if is_single else rows

    def _book_ticker(self, call: Call) -> Any:
        instruments, is_single = self._instruments(call)
        rows = [market.book_ticker_row(self.texts[i], self._backend.touch(i)) for i in instruments]
        return rows[0] if is_single else rows

    def _system_status(self, call: Call) -> Any:
        return {"status": 0, "msg": "normal"}

    # --- order handlers --------------------------------------------------------------------------------------------

    def _request(self, call: Call) -> OrderRequest:
        i = self._instrument(call)
        return p.order_request(call.params, self.texts[i], i, call.account, self._new_id())

    def _place(self, call: Call) -> Any:
        request = self._request(call)
        answer_type = _answer_type(call.params)
        return self._placed(request, answer_type, call)

    def _placed(self, request: OrderRequest, answer_type: str, call: Call) -> Any:
        self._book.check_orders(call.account, 1, call.now_ms)
        self._book.add_orders(call.account, 1, call.now_ms)  # before its fills take it off again
        done = self._backend.place(request, call.now_ns)
        if done.reason:
            self._book.add_orders(call.account, -1, call.now_ms)
            raise refusal(done.reason)
        order = _order(done)
        text = self.texts[request.instrument]
        if not answer_type:
            answer_type = "FULL" if orders.type_name(order.terms) in ("LIMIT", "MARKET") else "ACK"
        if answer_type == "ACK":
            return orders.ack_body(text, order)
        if answer_type == "RESULT":
            return orders.result_body(text, order)
        return orders.full_body(text, order, done.fills)

    def _test_order(self, call: Call) -> Any:
        reason = self._backend.check(self._request(call))
        if reason:
            raise refusal(reason)
        if not p.flag(call.params, "computeCommissionRates"):
            return {}
        return {
            key: value
            for key, value in self._commission(call).items()
            if key in ("specialCommission", "taxCommission", "discount")
        } | {"standardCommissionForOrder": self._commission(call)["standardCommission"]}

    def _find(self, call: Call, i: int) -> OrderView:
        order_id = p.integer(call.params, "orderId")
        client = call.params.get("origClientOrderId", "")
        if order_id is None and not client:
            raise VenueError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        order = self._backend.find_order(call.account, i, order_id, client if order_id is None else "")
        if order is None:
            raise unknown_order()
        if order_id is not None and client and order.terms.client_order_id != client:
            raise VenueError(-2039, "Client order ID is not correct for this order ID.")
        return order

    def _query_order(self, call: Call) -> Any:
        i = self._instrument(call)
        return orders.order_row(self.texts[i], self._find(call, i))

    def _cancel(self, call: Call) -> Any:
        i = self._instrument(call)
        try:
            order = self._find(call, i)
        except VenueError as exc:
            raise refusal("unknown_order") if exc.code == -2013 else exc  # noqa: B904  the venue's one answer
        restriction = call.params.get("cancelRestrictions", "")
        if restriction and restriction != f"ONLY_{order.status.name}":
            raise refusal("cancel_restriction")
        cancel_id = p.client_id(call.params, "newClientOrderId") or self._new_id()
        done = _ok(self._backend.cancel(call.account, order.order_id, cancel_id, call.now_ns))
        if done.order_list is not None:
            return self._canceled_list(done.order_list, cancel_id)
        return orders.cancel_body(self.texts[i], _order(done), cancel_id)

    def _canceled_list(self, one: ListView, cancel_id: str) -> dict[str, Any]:
        text = self.texts[one.instrument]
        return orders.list_body(text, one, [orders.cancel_body(text, leg, cancel_id) for leg in one.legs])

    def _cancel_all(self, call: Call) -> Any:
        i = self._instrument(call)
        open_orders = self._backend.open_orders(call.account, i)
        if not open_orders:
            raise refusal("unknown_order")
        cancel_id = self._new_id()
        bodies = []
        for order in list(open_orders):
            if not order.status.is_terminal:
                done = _ok(self._backend.cancel(call.account, order.order_id, cancel_id, call.now_ns))
                if done.order_list is not None:
                    bodies.append(self._canceled_list(done.order_list, cancel_id))
                else:
                    bodies.append(orders.cancel_body(self.texts[i], _order(done), cancel_id))
        return bodies

    def _cancel_replace(self, call: Call) -> Any:
        """Cancel, then place. Each leg is reported; a failure of either makes the whole answer an error."""
        mode = call.params.get("cancelReplaceMode", "")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise missing("cancelReplaceMode")
        cancel_params = {
            "symbol": call.params.get("symbol", ""),
            "orderId": call.params.get("cancelOrderId", ""),
            "origClientOrderId": call.params.get("cancelOrigClientOrderId", ""),
            "newClientOrderId": call.params.get("cancelNewClientOrderId", ""),
        }
        data: dict[str, Any] = {}
        try:
            data |= {"cancelResult": "SUCCESS", "cancelResponse": self._cancel(_with(call, cancel_params))}
        except VenueError as exc:
            data |= {"cancelResult": "FAILURE", "cancelResponse": exc.body()}
        if data["cancelResult"] == "FAILURE" and mode == "STOP_ON_FAILURE":
            data |= {"newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
            raise VenueError(-2022, "Order cancel-replace failed.", 400, data)
        try:
            data |= {"newOrderResult": "SUCCESS", "newOrderResponse": self._place(call)}
        except VenueError as exc:
            data |= {"newOrderResult": "FAILURE", "newOrderResponse": exc.body()}
        failures = [data["cancelResult"], data["newOrderResult"]].count("FAILURE")
        if failures == 2:
            raise VenueError(-2022, "Order cancel-replace failed.", 400, data)
        if failures:
            raise VenueError(-2021, "Order cancel-replace partially failed.", 409, data)
        return data

    def _open_orders(self, call: Call) -> Any:
        i = self._instrument(call) if call.params.get("symbol") else None
        return [
            orders.order_row(self.texts[order.terms.instrument], order)
            for order in self._backend.open_orders(call.account, i)
        ]

    def _all_orders(self, call: Call) -> Any:
        i = self._instrument(call)
        found: Sequence[OrderView] = self._backend.all_orders(call.account, i)
        from_id = p.integer(call.params, "orderId")
        start, end = _window(call)
        if from_id is not None:
            found = [order for order in found if order.order_id >= from_id]
        if start is not None or end is not None:
            last = call.now_ms if end is None else end
            found = [order for order in found if (start or 0) <= ms(order.created_ns) <= last]
        limit = p.limit(call.params, 500, _MAX_ROWS)
        picked = found[:limit] if from_id is not None or start is not None else found[-limit:]
        return [orders.order_row(self.texts[i], order) for order in picked]

    # --- order lists -----------------------------------------------------------------------------------------------

    def _place_oco(self, call: Call) -> Any:
        i = self._instrument(call)
        params, text = call.params, self.texts[i]
        order_side = p.side(params)
        quantity = p.amount(params, "quantity")
        legs = []
        for prefix in ("above", "below"):
            kind = params.get(f"{prefix}Type", "")
            if not kind:
                raise missing(f"{prefix}Type")
            legs.append(
                p.leg_request(
                    params,
                    text,
                    i,
                    call.account,
                    side=order_side,
                    kind=kind,
                    prefix=prefix,
                    client_order_id=p.client_id(params, f"{prefix}ClientOrderId") or self._new_id(),
                    quantity=quantity,
                )
            )
        stop, limit = _oco_legs(order_side, legs[0], legs[1])
        list_id = p.client_id(params, "listClientOrderId") or self._new_id()
        self._book.check_orders(call.account, 2, call.now_ms)
        self._book.add_orders(call.account, 2, call.now_ms)
        done = self._backend.place_oco(limit, stop, list_id, call.now_ns)
        if done.reason:
            self._book.add_orders(call.account, -2, call.now_ms)
            raise refusal(done.reason)
        one = _list(done)
        return orders.list_body(text, one, [orders.result_body(text, leg) for leg in one.legs])

    def _find_list(self, call: Call) -> ListView:
        list_id = p.integer(call.params, "orderListId")
        client = call.params.get("origClientOrderId", "") or call.params.get("listClientOrderId", "")
        for one in reversed(self._backend.order_lists(call.account)):
            if one.list_id == list_id if list_id is not None else one.client_list_id == client:
                return one
        raise VenueError(-2018, "Order list does not exist.")

    def _query_list(self, call: Call) -> Any:
        one = self._find_list(call)
        return orders.list_body(self.texts[one.instrument], one)

    def _cancel_list(self, call: Call) -> Any:
        try:
            one = self._find_list(call)
        except VenueError:
            raise refusal("unknown_order") from None
        cancel_id = p.client_id(call.params, "newClientOrderId") or self._new_id()
        working = [leg for leg in one.legs if not leg.status.is_terminal]
        if not working:
            raise refusal("unknown_order")
        done = _ok(self._backend.cancel(call.account, working[0].order_id, cancel_id, call.now_ns))
        return self._canceled_list(_list(done), cancel_id)

    def _open_lists(self, call: Call) -> Any:
        return [
            orders.list_body(self.texts[one.instrument], one)
            for one in self._backend.order_lists(call.account)
            if one.status.name != "ALL_DONE"
        ]

    def _all_lists(self, call: Call) -> Any:
        found = self._backend.order_lists(call.account)[-p.limit(call.params, 500, _MAX_ROWS) :]
        return [orders.list_body(self.texts[one.instrument], one) for one in found]

    # --- account ---------------------------------------------------------------------------------------------------

    def _account(self, call: Call) -> Any:
        omit_zero = p.flag(call.params, "omitZeroBalances")
        balances = self._backend.balances(call.account)
        return orders.account_body(balances, self._backend.fees, call.now_ms, omit_zero=omit_zero)

    def _my_trades(self, call: Call) -> Any:
        i = self._instrument(call)
        rows = self._backend.trades_of(call.account, i)
        order_id, from_id = p.integer(call.params, "orderId"), p.integer(call.params, "fromId")
        start, end = _window(call)
        if order_id is not None:
            rows = [one for one in rows if one.order_id == order_id]
        if from_id is not None:
            rows = [one for one in rows if one.fill.trade_id >= from_id]
        if start is not None or end is not None:
            last = call.now_ms if end is None else end
            rows = [one for one in rows if (start or 0) <= ms(one.time_ns) <= last]
        limit = p.limit(call.params, 500, _MAX_ROWS)
        picked = rows[:limit] if from_id is not None or start is not None else rows[-limit:]
        return [orders.trade_row(self.texts[i], one) for one in picked]

    def _commission(self, call: Call) -> dict[str, Any]:
        return orders.commission_body(self.texts[self._instrument(call)], self._backend.fees)

    def _order_limits(self, call: Call) -> Any:
        return self._book.order_rows(call.account, call.now_ms)

    def _key_permissions(self, call: Call) -> Any:
        return {
            "ipRestrict": True,
            "createTime": 0,
            "enableReading": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableMargin": False,
            "enableFutures": False,
            "enableSpotAndMarginTrading": call.may_trade,
            "enablePortfolioMarginTrading": False,
        }


def check_rights(key: ApiKey, route: Route) -> None:
    """Refuse what changes anything to a key that may only read, as the venue does."""
    if not key.may_trade and (route.action in CHANGING_ACTIONS or route.counts_orders):
        raise bad_key()


def fault_error(fault: str, retry_after_s: int, now_ns: int) -> VenueError:
    """Return the error of a fault switch: time_out, internal, reject or rate_limited."""
    now_ms = now_ns // NS_PER_MS
    match fault:
        case "time_out":
            return time_out()
        case "internal":
            return disconnected()
        case "rate_limited":
            data = {"serverTime": now_ms, "retryAfter": now_ms + retry_after_s * 1_000}
            return VenueError(-1003, "Too many requests; current limit is 6000 request weight per 1 MINUTE.", 429, data)
        case _:
            return VenueError(-2010, "This action is disabled on this account.")


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return encode(value).decode()
    return str(value)


def _answer_type(params: Mapping[str, str]) -> str:
    text = params.get("newOrderRespType", "")
    if text not in ("", "ACK", "RESULT", "FULL"):
        raise VenueError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    return text


def _with(call: Call, params: Mapping[str, str]) -> Call:
    return Call(params, call.account, call.now_ns, call.peer)


def _window(call: Call) -> tuple[int | None, int | None]:
    start, end = p.integer(call.params, "startTime"), p.integer(call.params, "endTime")
    if start is not None and end is not None and end - start > DAY_MS:
        raise VenueError(-1127, "More than 24 hours between startTime and endTime.")
    return start, end


def _leg_kind(leg: OrderRequest) -> str:
    match leg.order_type:
        case OrderType.STOP | OrderType.STOP_LIMIT:
            return "STOP_LOSS"
        case OrderType.TAKE_PROFIT | OrderType.TAKE_PROFIT_LIMIT:
            return "TAKE_PROFIT"
        case _:
            return "LIMIT_MAKER" if leg.post_only else ""


def _oco_legs(side: Side, above: OrderRequest, below: OrderRequest) -> tuple[OrderRequest, OrderRequest]:
    """Return (stop leg, limit or take-profit leg) when each stands where its type must."""
    kinds = (_leg_kind(above), _leg_kind(below))
    if "" in kinds:
        raise VenueError(-1158, "Order type not supported in OCO.")
    if kinds == ("LIMIT_MAKER", "LIMIT_MAKER"):
        raise VenueError(-1168, "At least one OCO order must be contingent.")
    above_is_stop = side is Side.BUY
    for kind, should_be_stop in zip(kinds, (above_is_stop, not above_is_stop), strict=True):
        if (kind == "STOP_LOSS") is not should_be_stop:
            raise VenueError(*OCO_TYPES[side.name, kind])
    return (above, below) if above_is_stop else (below, above)


def _ok(done: Done) -> Done:
    if done.reason:
        raise refusal(done.reason)
    return done


def _order(done: Done) -> OrderView:
    if done.order is None:
        raise VenueError(-1000, "An unknown error occurred while processing the request.", 500)
    return done.order


def _list(done: Done) -> ListView:
    if done.order_list is None:
        raise VenueError(-1000, "An unknown error occurred while processing the request.", 500)
    return done.order_list


SERVER: Final[VenueServerFactory] = BinanceServer
