"""The running exchange over real sockets: ccxt as the independent client, a plain WebSocket client, fault switches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.async_support as ccxt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simexchange.config import SimexchangeConfig
from simexchange.service import Exchange
from tests.simexchange.follower import BookFollower
from tests.simexchange.kit import KEY, SECRET, VENUE, ws_params
from tradebot.core.errors import ConfigError

PATIENCE_S = 5.0


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Exchange]:
    """Run an exchange on free ports."""
    values: dict[str, Any] = {
        "rest_port": 0,
        "ws_port": 0,
        "seed": 5,
        "history_s": 300,
        "response_delay_ms": (0, 0),
    } | config
    async with Exchange(SimexchangeConfig(**values), venue_name=VENUE, api_key=KEY, api_secret=SECRET) as exchange:
        yield exchange


@asynccontextmanager
async def ccxt_client(exchange: Exchange) -> AsyncIterator[Any]:
    """Return ccxt pointed at the exchange, with no address left that is not ours."""
    client = ccxt.binance(
        {
            "apiKey": KEY,
            "secret": SECRET,
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False},
        }
    )
    client.urls["api"] = redirected(client.urls["api"], exchange)
    try:
        yield client
    finally:
        await client.close()


def redirected(urls: Any, exchange: Exchange) -> Any:
    """Replace scheme and host in every address."""
    if isinstance(urls, dict):
        return {name: redirected(url, exchange) for name, url in urls.items()}
    base = exchange.market_ws_url if urls.startswith("ws") else exchange.rest_url
    path = urls.split("/", 3)[3] if urls.count("/") >= 3 else ""
    return f"{base}/{path}"


class TradeClient:
    """A request API connection that keeps answers and account events apart."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []
        self._next_id = 0

    async def send(self, method: str, **params: Any) -> int:
        self._next_id += 1
        request = {"id": self._next_id, "method": method, "params": ws_params(time.time_ns() // 1_000_000, **params)}
        await self.connection.send(json.dumps(request))
        return self._next_id

    async def ask(self, method: str, timeout_s: float = PATIENCE_S, **params: Any) -> Any:
        """Send and wait for the answer."""
        number = await self.send(method, **params)
        return await asyncio.wait_for(self._answer(number), timeout_s)

    async def _answer(self, number: int) -> Any:
        while True:
            frame = json.loads(await self.connection.recv())
            if "event" in frame:
                self.events.append(frame["event"])
            elif frame["id"] == number:
                return frame

    async def wait_event(self, **wanted: Any) -> dict[str, Any]:
        """Wait for an account event with these values."""

        async def wait() -> dict[str, Any]:
            while True:
                for event in self.events:
                    if all(event.get(key) == value for key, value in wanted.items()):
                        return event
                frame = json.loads(await self.connection.recv())
                if "event" in frame:
                    self.events.append(frame["event"])

        return await asyncio.wait_for(wait(), PATIENCE_S)


@asynccontextmanager
async def trading(exchange: Exchange) -> AsyncIterator[TradeClient]:
    """Connect to the request API and subscribe to the account."""
    async with connect(exchange.trade_ws_url) as connection:
        client = TradeClient(connection)
        answer = await client.ask("userDataStream.subscribe.signature")
        assert answer["result"] == {"subscriptionId": 0}
        yield client


async def fault(exchange: Exchange, **rule: Any) -> None:
    """Switch a fault on through the admin endpoint."""
    async with aiohttp.ClientSession() as session, session.post(f"{exchange.rest_url}/sim/faults", json=rule) as answer:
        assert answer.status == 200, await answer.text()


LIMIT: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
LIMIT |= {"quantity": "0.001", "price": "50000"}


# --- ccxt ------------------------------------------------------------------------------------------------------------


async def test_ccxt_reads_the_market() -> None:
    async with running() as exchange, ccxt_client(exchange) as client:
        markets = await client.load_markets()
        book = await client.fetch_order_book("BTC/USDT", 20)
        ticker = await client.fetch_ticker("BTC/USDT")
        candles = await client.fetch_ohlcv("ETH/USDT", "1s", limit=300)
        trades = await client.fetch_trades("BTC/USDT", limit=10)

        assert set(markets) == {"BTC/USDT", "ETH/USDT"}
        assert markets["BTC/USDT"]["precision"]["price"] == 0.01
        assert markets["BTC/USDT"]["limits"]["cost"]["min"] == 5
        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(book["bids"]) == 20
        assert ticker["last"] == pytest.approx(book["bids"][0][0], rel=0.01)
        assert len(candles) == 300
        assert all(trade["side"] in ("buy", "sell") for trade in trades)


async def test_ccxt_places_queries_cancels_and_sees_its_trades() -> None:
    async with running() as exchange, ccxt_client(exchange) as client:
        await client.load_markets()
        bought = await client.create_order("BTC/USDT", "market", "buy", 0.01, None, {"clientOrderId": "m1"})
        placed = await client.create_order("BTC/USDT", "limit", "sell", 0.005, 70_000, {"clientOrderId": "l1"})
        open_orders = await client.fetch_open_orders("BTC/USDT")
        found = await client.fetch_order(placed["id"], "BTC/USDT")
        by_client_id = await client.fetch_order("", "BTC/USDT", {"clientOrderId": "l1"})
        balance = await client.fetch_balance()
        canceled = await client.cancel_order(placed["id"], "BTC/USDT")
        fills = await client.fetch_my_trades("BTC/USDT")
        history = await client.fetch_orders("BTC/USDT")

        assert (bought["status"], bought["filled"]) == ("closed", 0.01)
        assert [order["id"] for order in open_orders] == [placed["id"]]
        assert found["status"] == "open"
        assert by_client_id["id"] == placed["id"]
        assert balance["BTC"] == {"free": 0.00499, "used": 0.005, "total": 0.00999}
        assert canceled["status"] == "canceled"
        assert sum(fill["amount"] for fill in fills) == pytest.approx(0.01)
        assert {fill["takerOrMaker"] for fill in fills} == {"taker"}
        assert fills[0]["fee"]["currency"] == "BTC"
        assert [order["status"] for order in history] == ["closed", "canceled"]


async def test_ccxt_maps_our_refusals_to_its_own_errors() -> None:
    async with running() as exchange, ccxt_client(exchange) as client:
        await client.load_markets()
        with pytest.raises(ccxt.InsufficientFunds):
            await client.create_order("BTC/USDT", "limit", "buy", 5, 60_000, {"clientOrderId": "a"})
        with pytest.raises(ccxt.InvalidOrder):
            await client.private_post_order(LIMIT | {"price": "50000.001"})
        with pytest.raises(ccxt.OrderImmediatelyFillable):
            await client.create_order(
                "BTC/USDT", "limit", "buy", 0.001, 90_000, {"postOnly": True, "clientOrderId": "b"}
            )
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order("77", "BTC/USDT")
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order("77", "BTC/USDT")
        client.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_balance()


async def test_ccxt_takes_stops_and_edits() -> None:
    async with running() as exchange, ccxt_client(exchange) as client:
        await client.load_markets()
        await client.create_order("BTC/USDT", "market", "buy", 0.01, None, {"clientOrderId": "m1"})
        stop = await client.create_order(
            "BTC/USDT", "limit", "sell", 0.005, 49_000, {"stopLossPrice": 50_000, "clientOrderId": "s1"}
        )
        order = await client.create_order("BTC/USDT", "limit", "buy", 0.001, 50_000, {"clientOrderId": "e1"})
        edited = await client.edit_order(order["id"], "BTC/USDT", "limit", "buy", 0.002, 51_000)
        found = await client.fetch_order(stop["id"], "BTC/USDT")

        assert found["info"]["type"] == "STOP_LOSS_LIMIT"
        assert found["triggerPrice"] == 50_000
        assert (edited["amount"], edited["price"]) == (0.002, 51_000)
        canceled = await client.cancel_all_orders("BTC/USDT")
        assert len(canceled) == 2


async def test_ccxt_sees_429_as_a_rate_limit() -> None:
    async with running() as exchange, ccxt_client(exchange) as client:
        await client.load_markets()
        await fault(exchange, kind="rate_limited", retry_after_s=3)
        with pytest.raises((ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            await client.fetch_order_book("BTC/USDT")

        assert client.last_response_headers["Retry-After"] == "3"
        await client.fetch_order_book("BTC/USDT")


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_a_client_syncs_its_book_over_sockets_and_it_stays_true() -> None:
    follower = BookFollower()
    async with running() as exchange, aiohttp.ClientSession() as session:
        url = f"{exchange.market_ws_url}/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"
        async with connect(url) as stream:
            ended = asyncio.get_running_loop().time() + 3
            while asyncio.get_running_loop().time() < ended:
                frame = await asyncio.wait_for(stream.recv(), PATIENCE_S)
                assert isinstance(frame, str)
                follower.on_frame(frame)
                if follower.last_id is None and follower.waiting:
                    async with session.get(f"{exchange.rest_url}/api/v3/depth?symbol=BTCUSDT&limit=5000") as answer:
                        follower.on_snapshot(await answer.json())

    assert follower.last_id is not None
    assert follower.gaps == 0
    assert follower.compared >= 1


async def test_subscriptions_change_on_an_open_connection() -> None:
    async with running() as exchange, connect(f"{exchange.market_ws_url}/ws") as stream:
        await stream.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}')
        acknowledged = json.loads(await asyncio.wait_for(stream.recv(), PATIENCE_S))
        first = json.loads(await asyncio.wait_for(stream.recv(), PATIENCE_S))

        assert acknowledged == {"result": None, "id": 1}
        assert (first["e"], first["s"]) == ("trade", "BTCUSDT")
        assert exchange.venue.wanted
        await stream.send('{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":2}')
        while json.loads(await asyncio.wait_for(stream.recv(), PATIENCE_S)) != {"result": None, "id": 2}:
            pass
        assert not exchange.venue.wanted


async def collect(stream: ClientConnection, frames: list[Any]) -> None:
    """Receive until the connection closes, which raises."""
    while True:
        frames.append(await asyncio.wait_for(stream.recv(), PATIENCE_S))


async def test_too_many_control_frames_cut_the_connection() -> None:
    async with running() as exchange, connect(f"{exchange.market_ws_url}/ws") as stream:
        for number in range(10):
            await stream.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        answers: list[Any] = []
        with pytest.raises(ConnectionClosed):
            await collect(stream, answers)

        assert len(answers) == 5
        assert stream.close_code == 1008


async def test_an_unknown_path_is_not_found() -> None:
    async with running() as exchange:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{exchange.market_ws_url}/nowhere")

    assert caught.value.response.status_code == 404


async def test_a_connection_is_cut_at_its_age() -> None:
    async with running(max_connection_s=0.2) as exchange, connect(f"{exchange.market_ws_url}/ws") as stream:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(stream.recv(), PATIENCE_S)


async def test_the_server_pings() -> None:
    async with running(ping_interval_s=0.05) as exchange, connect(f"{exchange.market_ws_url}/ws") as stream:
        seen = []
        real = stream.protocol.receive_data

        def receive(data: bytes | bytearray) -> None:
            seen.append(bytes(data[:1]))
            real(data)

        stream.protocol.receive_data = receive  # type: ignore[method-assign]
        await asyncio.sleep(0.3)

    assert b"\x89" in seen


# --- orders over the request API -------------------------------------------------------------------------------------


async def test_the_answer_comes_before_the_account_events_and_they_agree() -> None:
    async with running(response_delay_ms=(0, 2)) as exchange, trading(exchange) as client:
        await client.send("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
        first = json.loads(await client.connection.recv())
        trade = await client.wait_event(x="TRADE")

        assert first["result"]["fills"][0]["tradeId"] == trade["t"]
        assert (await client.wait_event(e="outboundAccountPosition"))["B"]


async def test_a_maker_fill_arrives_as_an_event() -> None:
    async with running() as exchange, trading(exchange) as client:
        touch = exchange.venue.touch(0)
        price = str(exchange.venue.symbols[0].instrument.price(touch.bid))
        await client.ask("order.place", **LIMIT | {"price": price})
        exchange.venue.feed.shock(0, -30)
        event = await client.wait_event(x="TRADE", X="FILLED")

        assert (event["m"], event["L"]) == (True, price + "0" * (8 - len(price.split(".")[1])))


@pytest.mark.parametrize("kind", ["drop", "time_out", "disconnect"])
async def test_an_order_whose_answer_goes_wrong_is_placed_all_the_same(kind: str) -> None:
    async with running() as exchange, trading(exchange) as client:
        await fault(exchange, kind=kind, action="place")
        if kind == "time_out":
            answer = await client.ask("order.place", **LIMIT, newClientOrderId="lost")
            assert (answer["status"], answer["error"]["code"]) == (504, -1007)
        elif kind == "drop":
            with pytest.raises(TimeoutError):
                await client.ask("order.place", timeout_s=0.2, **LIMIT, newClientOrderId="lost")
        else:
            with pytest.raises(ConnectionClosed):
                await client.ask("order.place", **LIMIT, newClientOrderId="lost")
    assert exchange.venue.engine.open_order("main", "lost") is not None


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("internal", 503, -1001), ("reject", 400, -2010), ("rate_limited", 429, -1003)]
)
async def test_an_order_that_a_switch_refuses_is_not_placed(kind: str, status: int, code: int) -> None:
    async with running() as exchange, trading(exchange) as client:
        await fault(exchange, kind=kind, action="place", retry_after_s=2)
        answer = await client.ask("order.place", **LIMIT, newClientOrderId="refused")
        again = await client.ask("order.place", **LIMIT, newClientOrderId="taken")

    assert (answer["status"], answer["error"]["code"]) == (status, code)
    if kind == "rate_limited":
        assert answer["error"]["data"]["retryAfter"] - answer["error"]["data"]["serverTime"] == 2_000
    assert again["status"] == 200
    assert exchange.venue.engine.open_order("main", "refused") is None


async def test_a_lost_request_leaves_no_trace() -> None:
    async with running() as exchange, trading(exchange) as client:
        await fault(exchange, kind="drop_request", action="place")
        with pytest.raises(TimeoutError):
            await client.ask("order.place", timeout_s=0.2, **LIMIT, newClientOrderId="lost")

        answer = await client.ask("order.status", symbol="BTCUSDT", origClientOrderId="lost")
    assert answer["error"]["code"] == -2013


async def test_a_delayed_answer_is_overtaken_by_its_events() -> None:
    async with running() as exchange, trading(exchange) as client:
        await fault(exchange, kind="delay", action="place", delay_ms=150)
        answer = await client.ask("order.place", **LIMIT, newClientOrderId="slow")

        assert answer["status"] == 200
        assert [event["c"] for event in client.events if event["e"] == "executionReport"] == ["slow"]


async def test_account_events_can_be_doubled_or_lost() -> None:
    async with running() as exchange, trading(exchange) as client:
        await fault(exchange, kind="duplicate")
        await client.ask("order.place", **LIMIT, newClientOrderId="twice")
        await client.wait_event(e="outboundAccountPosition")
        await fault(exchange, kind="drop_event", count=2)
        await client.ask("order.place", **LIMIT, newClientOrderId="never")
        await client.ask("ping")

        names = [event["c"] for event in client.events if event["e"] == "executionReport"]
    assert names == ["twice", "twice"]


async def test_connections_can_be_cut_by_kind() -> None:
    async with running() as exchange, trading(exchange) as client, connect(f"{exchange.market_ws_url}/ws") as stream:
        await fault(exchange, kind="disconnect_streams")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(stream.recv(), PATIENCE_S)
        assert (await client.ask("ping"))["status"] == 200
        await fault(exchange, kind="disconnect_trade")
        with pytest.raises(ConnectionClosed):
            await client.ask("ping")


async def test_the_admin_endpoint_explains_a_bad_switch() -> None:
    async with running() as exchange, aiohttp.ClientSession() as session:
        for rule, word in (({"kind": "nope"}, "kind"), ({"kind": "drop", "cuont": 1}, "cuont"), ([1], "")):
            async with session.post(f"{exchange.rest_url}/sim/faults", json=rule) as answer:
                assert answer.status == 400
                assert word in await answer.text()
        async with session.delete(f"{exchange.rest_url}/sim/faults") as answer:
            assert await answer.json() == []


async def test_the_state_shows_orders_fills_and_balances() -> None:
    async with running() as exchange, trading(exchange) as client, aiohttp.ClientSession() as session:
        await client.ask("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
        await client.ask("order.place", **LIMIT, newClientOrderId="rest")
        async with session.get(f"{exchange.rest_url}/sim/state") as answer:
            state = await answer.json()

    assert [order["status"] for order in state["symbols"][0]["orders"]] == ["FILLED", "NEW"]
    assert state["symbols"][0]["fills"][0]["liquidity"] == "TAKER"
    assert state["balances"]["USDT"]["locked"] == "50"
    assert state["connections"] == {"streams": 0, "requests": 1}


async def test_a_price_shock_moves_the_market_and_fires_stops() -> None:
    async with running() as exchange, trading(exchange) as client, aiohttp.ClientSession() as session:
        await client.ask("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
        stop_price = exchange.venue.touch(0).bid * 99 // 10_000
        await client.ask(
            "order.place",
            symbol="BTCUSDT",
            side="SELL",
            type="STOP_LOSS_LIMIT",
            timeInForce="GTC",
            quantity="0.009",
            stopPrice=str(stop_price),
            price=str(stop_price - 3_000),
            newClientOrderId="stop",
        )
        async with session.post(
            f"{exchange.rest_url}/sim/price_shock", json={"symbol": "BTCUSDT", "bps": -150}
        ) as answer:
            assert answer.status == 200
        event = await client.wait_event(c="stop", X="FILLED")

    assert float(event["Z"]) / float(event["z"]) < stop_price * 1.001


async def test_a_taken_port_is_a_config_error_that_names_the_key() -> None:
    async with running() as exchange:
        for key, port in (("rest_port", exchange.rest_port), ("ws_port", exchange.ws_port)):
            with pytest.raises(ConfigError, match=f"simexchange.{key}"):
                async with running(**{key: port}):
                    pass


async def test_the_end_of_a_recording_is_said_once_and_the_exchange_serves_on(tmp_path: Path) -> None:
    path = tmp_path / "short.log"
    path.write_text(
        '1700000000000000000 {"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000000,"s":"BTCUSDT","t":1,'
        '"p":"100.00","q":"1.0","T":1700000000000,"m":true,"M":true}}\n'
        '1700000000001000000 {"lastUpdateId":5,"bids":[["99.00","1.0"]],"asks":[["101.00","2.0"]]}\n'
    )
    ends: list[int] = []
    config = SimexchangeConfig(rest_port=0, ws_port=0, replay=path)  # type: ignore[arg-type]
    exchange = Exchange(config, venue_name=VENUE, api_key=KEY, api_secret=SECRET, on_finished=lambda: ends.append(1))
    async with exchange, aiohttp.ClientSession() as session:
        await asyncio.sleep(0.1)
        async with session.get(f"{exchange.rest_url}/api/v3/depth?symbol=BTCUSDT") as answer:
            depth = await answer.json()

    assert ends == [1]
    assert depth["bids"] == [["99.00000000", "1.00000000"]]
