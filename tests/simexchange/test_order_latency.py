"""Paper's orders take their time to the market: what was there when they left may be gone when they arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from simexchange.config import FollowConfig, SimexchangeConfig
from simexchange.delay import MAX_WAITING, DelayLine
from simexchange.rows_feed import FollowFeed
from simexchange.service import Exchange
from tests.simexchange.kit import KEY, SECRET, VENUE
from tests.simexchange.test_service import ccxt_client, trading
from tests.support.builders import BTC, make_instrument
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind

LATENCY_MS = 150.0
BUY_NOW: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC"}
BUY_NOW |= {"quantity": "0.01", "price": "50001"}
REST: dict[str, Any] = BUY_NOW | {"timeInForce": "GTC", "price": "49000"}


class Paper:
    """A running paper venue whose feed the test speaks."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        feed = exchange.venue.feed
        assert isinstance(feed, FollowFeed)
        self.feed = feed
        feed.stream_began({BTC: 0}, time.time_ns())
        self.rows(
            (RowKind.BOOK_CLEAR, 0, 0, 0),
            (RowKind.SNAPSHOT_LEVEL, BUY_FLAG, 5_000_000, 100_000),
            (RowKind.SNAPSHOT_LEVEL, SELL_FLAG, 5_000_100, 100_000),
            (RowKind.BOOK_STATE, 0, BookState.LIVE, 0),
        )

    def rows(self, *rows: tuple[RowKind, int, int, int]) -> None:
        now_ns, columns = time.time_ns(), RowColumns()
        for kind, flags, price, qty in rows:
            columns.append(MarketRow(kind, 0, flags | LAST_FLAG, price, qty, 0, now_ns, now_ns))
        self.feed.take(columns, now_ns)

    def quote_is_gone(self) -> None:
        self.rows((RowKind.BOOK_LEVEL, SELL_FLAG, 5_000_100, 0), (RowKind.BOOK_LEVEL, SELL_FLAG, 5_000_900, 100_000))


@asynccontextmanager
async def paper(latency_ms: float = LATENCY_MS) -> AsyncIterator[Paper]:
    config = SimexchangeConfig(rest_port=0, ws_port=0, follow=FollowConfig(), response_delay_ms=(0, 0))
    exchange = Exchange(
        config,
        venue_name=VENUE,
        api_key=KEY,
        api_secret=SECRET,
        followed=[FollowConfig().setup(make_instrument())],
        order_latency_ms=latency_ms,
    )
    async with exchange:
        yield Paper(exchange)


@pytest.mark.parametrize(("latency_ms", "status"), [(800, "EXPIRED"), (0, "FILLED")])
async def test_a_quote_that_is_gone_when_the_order_arrives_does_not_fill_it(latency_ms: float, status: str) -> None:
    async with paper(latency_ms) as venue, trading(venue.exchange) as client, trading(venue.exchange) as other:
        asked = asyncio.create_task(client.ask("order.place", **BUY_NOW))
        await other.ask("time")
        await other.ask("time")  # by now the exchange has the order
        venue.quote_is_gone()
        answer = await asked

    assert answer["result"]["status"] == status


@pytest.mark.parametrize("method", ["order.place", "order.cancel", "order.cancelReplace"])
async def test_what_changes_an_order_takes_effect_the_latency_after_it_was_sent(method: str) -> None:
    async with paper() as venue, trading(venue.exchange) as client:
        params: dict[str, Any] = REST
        if method != "order.place":
            order_id = (await client.ask("order.place", **REST))["result"]["orderId"]
            params = {"symbol": "BTCUSDT", "orderId": order_id}
            if method == "order.cancelReplace":
                params = REST | {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id}
        sent_ns = time.time_ns()
        answer = await client.ask(method, **params)
        (order, *_) = sorted(venue.exchange.venue.all_orders("main", 0), key=lambda one: -one.updated_ns)

    assert answer["status"] == 200, answer
    assert LATENCY_MS <= (order.updated_ns - sent_ns) / 1e6 < LATENCY_MS + 2_000


async def test_a_question_on_the_same_connection_does_not_overtake_the_order_it_is_about() -> None:
    async with paper() as venue, trading(venue.exchange) as client:
        await client.send("order.place", **REST, newClientOrderId="mine")
        answer = await client.ask("order.status", symbol="BTCUSDT", origClientOrderId="mine")

    assert answer["status"] == 200
    assert answer["result"]["status"] == "NEW"


async def test_questions_alone_are_answered_at_once_and_rest_orders_are_not() -> None:
    async with paper(latency_ms=400) as venue, trading(venue.exchange) as client, ccxt_client(venue.exchange) as rest:
        await rest.load_markets()
        began = time.monotonic()
        await client.ask("openOrders.status", symbol="BTCUSDT")
        asked_s = time.monotonic() - began
        sent_ns = time.time_ns()
        await rest.create_order("BTC/USDT", "limit", "buy", 0.01, 49_000)
        (order,) = venue.exchange.venue.open_orders("main", 0)

    assert asked_s < 0.4
    assert (order.created_ns - sent_ns) / 1e6 >= 400


async def test_an_order_on_its_way_arrives_though_its_connection_breaks() -> None:
    async with paper() as venue:
        async with trading(venue.exchange) as client:
            await client.send("order.place", **REST)
        async with trading(venue.exchange) as client:
            orders = (await client.ask("openOrders.status", symbol="BTCUSDT"))["result"]
            if not orders:
                await client.wait_event(e="executionReport", x="NEW")
        (order,) = venue.exchange.venue.open_orders("main", 0)

    assert not orders or orders[0]["orderId"] == order.order_id


def test_paper_has_a_latency_unless_it_is_set_to_none() -> None:
    assert FollowConfig().order_latency_ms == 100
    assert FollowConfig(order_latency_ms=0).order_latency_ms == 0


class ManualLoop:
    """The part of an event loop that keeps time, on a clock that moves when told to."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, list[tuple[float, Callable[[], object]]]()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        self.calls.append((when, callback))

    def go_to(self, now: float) -> None:
        self.now = now
        calls, self.calls = self.calls, []
        for due, action in calls:
            if due <= now:
                action()
            else:
                self.calls.append((due, action))


def test_nothing_on_a_line_overtakes_what_was_put_in_before_it() -> None:
    loop, done = ManualLoop(), list[str]()
    line = DelayLine(loop)
    for delay_s, name in ((0.0, "a"), (0.2, "b"), (0.1, "c"), (0.0, "d")):
        line.put(delay_s, lambda name=name: done.append(name))  # type: ignore[misc]

    assert done == ["a"]
    loop.go_to(0.15)
    assert done == ["a"]
    loop.go_to(0.2)
    assert done == ["a", "b", "c", "d"]
    line.put(0.0, lambda: done.append("e"))
    assert done[-1] == "e"


def test_a_line_takes_no_more_than_its_bound() -> None:
    line = DelayLine(ManualLoop())

    assert all(line.put(1.0, lambda: None) for _ in range(MAX_WAITING))
    assert not line.put(0.0, lambda: None)
