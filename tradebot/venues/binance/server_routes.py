"""Server half, endpoints: the one table that REST and the WebSocket API share. Weights as documented, 2026-07-21."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_limits import depth_weight

NONE: Final = "none"
SIGNED: Final = "signed"
"""What a route needs: nothing, or key and signature."""


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint under its REST and WebSocket API names."""

    handler: str
    """Method of `PublicAnswers`, `OrderAnswers` or `AccountAnswers`, or one of `SESSION_HANDLERS`."""
    rest: tuple[str, str] = ("", "")
    ws: str = ""
    needs: str = SIGNED
    weight: int | Callable[[Mapping[str, str]], int] = 1
    action: str = "read"
    """Neutral name for fault switches: place, cancel, cancel_all, read."""
    counts_orders: bool = False
    """The answer shows the order counters."""


def _depth_cost(params: Mapping[str, str]) -> int:
    return depth_weight(p.limit(params, 100, 5_000))


def _symbol_cost(one: int, every: int) -> Callable[[Mapping[str, str]], int]:
    return lambda params: one if params.get("symbol") else every


def _my_trades_cost(params: Mapping[str, str]) -> int:
    return 5 if params.get("orderId") else 20


ROUTES: Final = (
    Route("ping", ("GET", "/api/v3/ping"), "ping", NONE),
    Route("time", ("GET", "/api/v3/time"), "time", NONE),
    Route("exchange_info", ("GET", "/api/v3/exchangeInfo"), "exchangeInfo", NONE, 20),
    Route("depth", ("GET", "/api/v3/depth"), "depth", NONE, _depth_cost),
    Route("trades", ("GET", "/api/v3/trades"), "trades.recent", NONE, 25),
    Route("trades", ("GET", "/api/v3/historicalTrades"), "trades.historical", NONE, 25),
    Route("agg_trades", ("GET", "/api/v3/aggTrades"), "trades.aggregate", NONE, 4),
    Route("klines", ("GET", "/api/v3/klines"), "klines", NONE, 2),
    Route("klines", ("GET", "/api/v3/uiKlines"), "uiKlines", NONE, 2),
    Route("avg_price", ("GET", "/api/v3/avgPrice"), "avgPrice", NONE, 2),
    Route("ticker_24h", ("GET", "/api/v3/ticker/24hr"), "ticker.24hr", NONE, _symbol_cost(2, 80)),
    Route("ticker_price", ("GET", "/api/v3/ticker/price"), "ticker.price", NONE, _symbol_cost(2, 4)),
    Route("book_ticker", ("GET", "/api/v3/ticker/bookTicker"), "ticker.book", NONE, _symbol_cost(2, 4)),
    Route("place", ("POST", "/api/v3/order"), "order.place", SIGNED, 0, "place", True),
    Route("test_order", ("POST", "/api/v3/order/test"), "order.test", SIGNED, 1, "read", True),
    Route("query_order", ("GET", "/api/v3/order"), "order.status", SIGNED, 4),
    Route("cancel", ("DELETE", "/api/v3/order"), "order.cancel", SIGNED, 0, "cancel", True),
    Route("cancel_replace", ("POST", "/api/v3/order/cancelReplace"), "order.cancelReplace", SIGNED, 0, "place", True),
    Route("open_orders", ("GET", "/api/v3/openOrders"), "openOrders.status", SIGNED, _symbol_cost(6, 80)),
    Route("cancel_all", ("DELETE", "/api/v3/openOrders"), "openOrders.cancelAll", SIGNED, 0, "cancel_all", True),
    Route("all_orders", ("GET", "/api/v3/allOrders"), "allOrders", SIGNED, 20),
    Route("place_oco", ("POST", "/api/v3/orderList/oco"), "orderList.place.oco", SIGNED, 0, "place", True),
    Route("query_list", ("GET", "/api/v3/orderList"), "orderList.status", SIGNED, 4),
    Route("cancel_list", ("DELETE", "/api/v3/orderList"), "orderList.cancel", SIGNED, 0, "cancel", True),
    Route("open_lists", ("GET", "/api/v3/openOrderList"), "openOrderLists.status", SIGNED, 6),
    Route("all_lists", ("GET", "/api/v3/allOrderList"), "allOrderLists", SIGNED, 20),
    Route("account", ("GET", "/api/v3/account"), "account.status", SIGNED, 20),
    Route("my_trades", ("GET", "/api/v3/myTrades"), "myTrades", SIGNED, _my_trades_cost),
    Route("commission", ("GET", "/api/v3/account/commission"), "account.commission", SIGNED, 20),
    Route("order_limits", ("GET", "/api/v3/rateLimit/order"), "account.rateLimits.orders", SIGNED, 40),
    Route("system_status", ("GET", "/sapi/v1/system/status"), "", NONE, 1),
    Route("key_permissions", ("GET", "/sapi/v1/account/apiRestrictions"), "", SIGNED, 1),
    Route("session_status", ws="session.status", needs=NONE, weight=2),
    Route("subscribe_user", ws="userDataStream.subscribe.signature", needs=SIGNED, weight=2, action="subscribe"),
    Route("unsubscribe_user", ws="userDataStream.unsubscribe", needs=NONE, weight=2),
    Route("list_subscriptions", ws="session.subscriptions", needs=NONE, weight=2),
)
SESSION_HANDLERS: Final = frozenset({"session_status", "subscribe_user", "unsubscribe_user", "list_subscriptions"})
"""What concerns one WebSocket connection and nothing behind it."""
CHANGING_ACTIONS: Final = frozenset({"place", "cancel", "cancel_all"})
"""What a key without trading rights may not do."""
REST_ROUTES: Final = {route.rest: route for route in ROUTES if route.rest[0]}
WS_ROUTES: Final = {route.ws: route for route in ROUTES if route.ws}
REST_PATHS: Final = frozenset(path for _, path in REST_ROUTES)
