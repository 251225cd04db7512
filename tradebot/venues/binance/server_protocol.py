"""Server half, requests: one table of endpoints serves REST and the WebSocket API.

`BinanceServer` checks key, signature, clock and limits and hands the call to the endpoint's method: `server_public`,
`server_trading`, `server_account`. What an endpoint costs and needs stands in `server_routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tradebot.venues.binance import server_orders as orders
from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_account import AccountAnswers
from tradebot.venues.binance.server_auth import ApiKey, check_signature, check_time, rest_payload, ws_payload
from tradebot.venues.binance.server_desk import Call, ServerDesk
from tradebot.venues.binance.server_errors import (
    VenueError,
    bad_key,
    disconnected,
    time_out,
)
from tradebot.venues.binance.server_format import NS_PER_MS, encode, ms
from tradebot.venues.binance.server_public import PublicAnswers
from tradebot.venues.binance.server_replay import BinanceRecordings
from tradebot.venues.binance.server_routes import (
    CHANGING_ACTIONS,
    NONE,
    REST_PATHS,
    REST_ROUTES,
    ROUTES,
    SESSION_HANDLERS,
    WS_ROUTES,
    Route,
)
from tradebot.venues.binance.server_streams import BinanceStreams
from tradebot.venues.binance.server_trading import OrderAnswers
from tradebot.venues.server_api import (
    BalanceReportView,
    HttpAnswer,
    HttpRequest,
    ListReportView,
    OrderReportView,
    ServerLimits,
    VenueBackend,
    VenueServerFactory,
)

CONNECT_WEIGHT: Final = 2
MAX_PARAMS: Final = 64
UNKNOWN_ENDPOINT: Final = "unknown"
DAY_MS: Final = 86_400_000
_MAX_ROWS: Final = 1_000
_DAY_MINUTES: Final = 1_440


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


@dataclass(slots=True)
class WsCall:
    """A decoded WebSocket API request, ready to be performed once."""

    id: int | str | None
    route: Route | None
    params: Mapping[str, str]
    error: VenueError | None = None
    status: int = 0
    """Of the answer, once there is one."""

    @property
    def action(self) -> str:
        return self.route.action if self.route else "read"

    @property
    def endpoint(self) -> str:
        return self.route.handler if self.route else UNKNOWN_ENDPOINT


class BinanceServer:
    """The venue's request protocol over a backend."""

    def __init__(
        self,
        backend: VenueBackend,
        keys: Mapping[str, tuple[str, str]],
        limits: ServerLimits,
        read_only: frozenset[str] = frozenset(),
    ) -> None:
        self._keys = {
            key: ApiKey(account, secret.encode(), key not in read_only) for key, (account, secret) in keys.items()
        }
        self._desk = ServerDesk(backend, limits)
        self._counters = self._desk.limits
        self.streams = BinanceStreams(self._desk.texts)
        self.recordings = BinanceRecordings(self._desk.texts)
        answers = (PublicAnswers(self._desk), OrderAnswers(self._desk), AccountAnswers(self._desk))
        self._handlers: dict[str, Callable[[Call], Any]] = {
            route.handler: getattr(next(a for a in answers if hasattr(a, route.handler)), route.handler)
            for route in ROUTES
            if route.handler not in SESSION_HANDLERS
        }

    # --- REST ------------------------------------------------------------------------------------------------------

    @staticmethod
    def rest_action(method: str, path: str) -> str:
        """Return the neutral name of a REST request, for fault switches."""
        route = REST_ROUTES.get((method, path))
        return route.action if route else "read"

    @staticmethod
    def rest_endpoint(method: str, path: str) -> str:
        """Return the name of what is asked for, for counting."""
        route = REST_ROUTES.get((method, path))
        return route.handler if route else UNKNOWN_ENDPOINT

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
        used = str(self._counters.used_weight(peer, now_ms))
        headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if route is not None and route.counts_orders and account:
            ten_seconds, day = self._counters.order_counts(account, now_ms)
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
        call.status = 200
        body = {"id": call.id, "status": 200, "result": result}
        return encode(body | self._rate_limits(call.route, account, session.peer, now_ns))

    def fault(self, fault: str, session: WsSession, call: WsCall, retry_after_s: int, now_ns: int) -> bytes:
        """Return the answer of a fault switch; see `fault_error`."""
        return self._ws_error(fault_error(fault, retry_after_s, now_ns), call, "", session.peer, now_ns)

    def _ws_error(self, exc: VenueError, call: WsCall, account: str, peer: str, now_ns: int) -> bytes:
        call.status = exc.status
        body = {"id": call.id, "status": exc.status, "error": exc.body()}
        return encode(body | self._rate_limits(call.route, account, peer, now_ns))

    def _rate_limits(self, route: Route | None, account: str, peer: str, now_ns: int) -> dict[str, Any]:
        now_ms = now_ns // NS_PER_MS
        rows = self._counters.order_rows(account, now_ms) if route and route.counts_orders and account else []
        return {"rateLimits": [*rows, self._counters.weight_row(peer, now_ms)]}

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
            self._counters.order_filled(report.terms.account, now_ns // NS_PER_MS)
        return encode(orders.execution_report(self._desk.texts[report.terms.instrument], report, ms(now_ns)))

    def list_event(self, report: ListReportView, now_ns: int) -> bytes:
        """Return the listStatus of an order list."""
        return encode(orders.list_status(self._desk.texts[report.instrument], report, ms(now_ns)))

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
            self._counters.add_weight(peer, CONNECT_WEIGHT, ms(now_ns))
        except VenueError:
            pass  # the requests that follow say so
        return WsSession(peer, ms(now_ns))

    # --- common ----------------------------------------------------------------------------------------------------

    def _run(self, route: Route, call: Call) -> Any:
        try:
            return self._handlers[route.handler](call)
        except VenueError:
            if route.weight == 0:  # only a successful place or cancel is free
                self._counters.add_weight(call.peer, 1, call.now_ms)
            raise

    def _count(self, route: Route, params: Mapping[str, str], peer: str, now_ns: int) -> None:
        weight = route.weight if isinstance(route.weight, int) else route.weight(params)
        self._counters.add_weight(peer, weight, now_ns // NS_PER_MS)

    def _key(self, api_key: str) -> ApiKey:
        if not api_key:
            raise VenueError(-2014, "API-key format invalid.", 401)
        key = self._keys.get(api_key)
        if key is None:
            raise bad_key()
        return key


def check_rights(key: ApiKey, route: Route) -> None:
    """Refuse what changes anything to a key that may only read, as the venue does."""
    if not key.may_trade and (route.action in CHANGING_ACTIONS or route.counts_orders):
        raise bad_key()


def fault_error(fault: str, retry_after_s: int, now_ns: int) -> VenueError:
    """Return the error of a fault switch: time_out, internal, overloaded, reject or rate_limited."""
    now_ms = now_ns // NS_PER_MS
    match fault:
        case "time_out":
            return time_out()
        case "internal":
            return disconnected()
        case "overloaded":
            return VenueError(-1008, "Request throttled by system-level protection.", 503)
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


SERVER: Final[VenueServerFactory] = BinanceServer
