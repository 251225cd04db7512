"""A venue that costs next to nothing: the sink of the system benchmarks.

Speaks just enough of the Binance Spot protocol for the daemons to start and to trade: static REST answers, one trade
frame per tick on the market stream, and a terminal answer (EXPIRED, nothing filled) to every order. Decides nothing,
matches nothing, so that what is measured is ours. Run as `python -m benchmarks.venue`; prints `PORT n`, and reads
commands from stdin, one per line: `RATE SECONDS DRAIN_SECONDS` (RATE ticks a second; 0 = as fast as orders come back).
Ends at the end of stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

import msgspec
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

SYMBOL: Final = "BTCUSDT"
BID: Final = "60000.00"
ASK: Final = "60000.01"
DEPTH_EVERY_S: Final = 0.1
MAX_IN_FLIGHT: Final = 512
"""At rate 0: trades whose order has not come back yet."""
REFILL_BELOW: Final = MAX_IN_FLIGHT // 2
"""At rate 0 the venue sleeps until so few are in flight: it shares the machine with what is measured."""
SATURATION_LOOK_S: Final = 0.05
"""At rate 0 the end of the measured time is looked for at least this often."""

EXCHANGE_INFO: Final[dict[str, Any]] = {
    "timezone": "UTC",
    "serverTime": 0,
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 100_000_000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100_000_000},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 1_000_000_000},
    ],
    "exchangeFilters": [],
    "symbols": [
        {
            "symbol": SYMBOL,
            "status": "TRADING",
            "baseAsset": "BTC",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
            "icebergAllowed": True,
            "ocoAllowed": True,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
                {"filterType": "MARKET_LOT_SIZE", "minQty": "0.0", "maxQty": "100.0", "stepSize": "0.0"},
                {
                    "filterType": "NOTIONAL",
                    "minNotional": "5.0",
                    "applyMinToMarket": True,
                    "maxNotional": "9000000.0",
                    "applyMaxToMarket": False,
                    "avgPriceMins": 5,
                },
            ],
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
        }
    ],
}

KEY_RIGHTS: Final = {
    "ipRestrict": True,
    "enableReading": True,
    "enableSpotAndMarginTrading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
}
"""A key that trades and moves no money: execd stops for any other."""
REST_PATHS: Final = ("/api/v3/", "/sapi/v1/")


class OrderRequest(msgspec.Struct):
    """The part of a request that the answer repeats."""

    id: Any
    method: str
    params: dict[str, Any] = {}


_decode = msgspec.json.Decoder(OrderRequest).decode
_encode = msgspec.json.encode


class Venue:
    """State of the stand-in: who subscribed, how far the update ids are, how many orders came."""

    def __init__(self) -> None:
        self.readers: set[WSTransport] = set()
        self.update_id = 1000
        self.trade_id = 1
        self.orders = 0
        self.refill_at: int | None = None
        """Number of orders at which `refill` is set."""
        self.refill = asyncio.Event()

    def rest(self, path: str) -> Any:
        """Return the body of one GET."""
        match path.partition("?")[0].removeprefix("/api/v3/"):
            case "exchangeInfo":
                return EXCHANGE_INFO
            case "time":
                return {"serverTime": time.time_ns() // 1_000_000}
            case "depth":
                return {
                    "lastUpdateId": self.update_id,
                    "bids": [[f"{60000 - i / 100:.2f}", "5.0"] for i in range(20)],
                    "asks": [[f"{60000.01 + i / 100:.2f}", "5.0"] for i in range(20)],
                }
            case "account":
                return {
                    "makerCommission": 10,
                    "takerCommission": 10,
                    "canTrade": True,
                    "accountType": "SPOT",
                    "updateTime": time.time_ns() // 1_000_000,
                    "permissions": ["SPOT"],
                    "balances": [
                        {"asset": "USDT", "free": "1000000000.0", "locked": "0.0"},
                        {"asset": "BTC", "free": "0.0", "locked": "0.0"},
                    ],
                }
            case "/sapi/v1/account/apiRestrictions":
                return KEY_RIGHTS
            case "/sapi/v1/system/status":
                return {"status": 0, "msg": "normal"}
            case "ping":
                return {}
            case _:
                return []

    def answer(self, raw: bytes) -> bytes:
        """Return the answer to one WebSocket API request or subscription."""
        request = _decode(raw)
        now_ms = time.time_ns() // 1_000_000
        match request.method:
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                return _encode({"result": None, "id": request.id})
            case "order.place":
                self.orders += 1
                if self.orders == self.refill_at:
                    self.refill.set()
                params = request.params
                result: Any = {
                    "symbol": params["symbol"],
                    "orderId": self.orders,
                    "orderListId": -1,
                    "clientOrderId": params["newClientOrderId"],
                    "transactTime": now_ms,
                    "price": params.get("price", "0"),
                    "origQty": params["quantity"],
                    "executedQty": "0.00000000",
                    "origQuoteOrderQty": "0.00000000",
                    "cummulativeQuoteQty": "0.00000000",
                    "status": "EXPIRED",
                    "timeInForce": params.get("timeInForce", "IOC"),
                    "type": params["type"],
                    "side": params["side"],
                    "workingTime": now_ms,
                    "fills": [],
                    "selfTradePreventionMode": "NONE",
                }
            case "userDataStream.subscribe.signature" | "userDataStream.subscribe":
                result = {"subscriptionId": 0}
            case "time":
                result = {"serverTime": now_ms}
            case _:
                result = []
        return _encode({"id": request.id, "status": 200, "result": result, "rateLimits": []})

    def send(self, stream: str, data: dict[str, Any]) -> None:
        """Write one market frame to every reader."""
        frame = _encode({"stream": stream, "data": data})
        for reader in self.readers:
            reader.send(WSMsgType.TEXT, frame)

    def depth(self) -> None:
        """Write one depth update and the touch, so that the book stays live and fresh."""
        first = self.update_id + 1
        self.update_id += 2
        qty = "5.0" if self.update_id % 4 else "6.0"
        now_ms = time.time_ns() // 1_000_000
        self.send(
            "btcusdt@depth@100ms",
            {
                "e": "depthUpdate",
                "E": now_ms,
                "s": SYMBOL,
                "U": first,
                "u": self.update_id,
                "b": [[BID, qty]],
                "a": [[ASK, qty]],
            },
        )
        self.send("btcusdt@bookTicker", {"u": self.update_id, "s": SYMBOL, "b": BID, "B": qty, "a": ASK, "A": qty})

    def trade(self) -> None:
        """Write one trade: one tick."""
        self.trade_id += 1
        now_ms = time.time_ns() // 1_000_000
        self.send(
            "btcusdt@trade",
            {
                "e": "trade",
                "E": now_ms,
                "s": SYMBOL,
                "t": self.trade_id,
                "p": ASK,
                "q": "0.00100000",
                "T": now_ms,
                "m": False,
                "M": True,
            },
        )


class _Connection(WSListener):
    def __init__(self, venue: Venue, is_market: bool) -> None:
        super().__init__()
        self._venue = venue
        self._is_market = is_market

    def on_ws_connected(self, transport: WSTransport) -> None:
        if self._is_market:
            self._venue.readers.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._venue.readers.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, self._venue.answer(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


async def _tick(venue: Venue, rate: int, seconds: float) -> int:
    """Write trades for some time; return how many."""
    first = venue.trade_id
    end = time.monotonic_ns() + int(seconds * 1e9)
    if not rate:
        behind = venue.orders - first  # trades minus orders so far: what was never answered does not count
        while time.monotonic_ns() < end:
            while (in_flight := venue.trade_id - venue.orders + behind) < MAX_IN_FLIGHT:
                venue.trade()
            venue.refill.clear()
            venue.refill_at = venue.orders + in_flight - REFILL_BELOW
            try:
                await asyncio.wait_for(venue.refill.wait(), SATURATION_LOOK_S)
            except TimeoutError:
                pass
        return venue.trade_id - first
    gap = 1_000_000_000 // rate
    due = time.monotonic_ns()
    while due < end:
        wait = due - time.monotonic_ns()
        if wait > 0:
            await asyncio.sleep(wait / 1e9)
        venue.trade()
        due += gap
    return venue.trade_id - first


async def _keep_fresh(venue: Venue) -> None:
    while True:
        venue.depth()
        await asyncio.sleep(DEPTH_EVERY_S)


async def _main() -> None:
    venue = Venue()

    def route(request: WSUpgradeRequest) -> Any:
        path = request.path.decode()
        if path.startswith(REST_PATHS):
            response = WSUpgradeResponse.create_ok_response(
                _encode(venue.rest(path)), {"Content-Type": "application/json"}
            )
            return WSUpgradeResponseWithListener(response, None)
        return _Connection(venue, is_market="ws-api" not in path)

    server = await ws_create_server(route, "127.0.0.1", 0)
    print(f"PORT {server.sockets[0].getsockname()[1]}", flush=True)
    fresh = asyncio.create_task(_keep_fresh(venue))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        rate, seconds, drain = line.split()
        before = venue.orders
        ticks = await _tick(venue, int(rate), float(seconds))
        in_time = venue.orders - before
        await asyncio.sleep(float(drain))
        result = {"ticks": ticks, "orders_in_time": in_time, "orders": venue.orders - before}
        print(f"DONE {json.dumps(result)}", flush=True)
    fresh.cancel()


if __name__ == "__main__":
    uvloop.run(_main())
