"""Rows leave in the turn that commits them, unless something is still being written or the peer takes nothing."""

from __future__ import annotations

import asyncio

from marketdata.market import Market
from marketdata.row_log import RowFilter
from marketdata.subscription_shell import Subscription
from tests.marketdata.market_kit import T0
from tests.marketdata.test_publisher import go_live, make_market, publish_trades
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb


class LinkCall:
    """A call that takes bytes while it is told so."""

    def __init__(self) -> None:
        self.takes_now = True
        self.room = asyncio.Event()
        self.room.set()
        self.written: list[bytes] = []

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        await self.room.wait()

    def write_now(self, message: bytes) -> bool:
        self.written.append(message)
        return True

    def trades(self) -> list[int]:
        """Ids of the trades written so far."""
        messages = [pb.SubscribeResponse.FromString(data) for data in self.written]
        return [trade_id for m in messages if not m.snapshot for trade_id in m.rows.id]


async def subscribed(market: Market, call: LinkCall) -> asyncio.Task[None]:
    """Start a subscription and let it write its snapshot."""
    reader = market.publisher.subscribe(RowFilter(), T0)
    subscription = Subscription(market.publisher, reader, call, lambda: T0, lambda rows: b"", 0)
    task = asyncio.create_task(subscription.run(b""))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_rows_are_written_before_commit_returns() -> None:
    market, call = make_market(), LinkCall()
    go_live(market)
    task = await subscribed(market, call)

    publish_trades(market, 3)

    assert call.trades() == [1, 2, 3]
    task.cancel()


async def test_rows_wait_for_a_peer_that_takes_nothing_and_follow_in_order() -> None:
    market, call = make_market(), LinkCall()
    go_live(market)
    task = await subscribed(market, call)
    call.takes_now = False
    call.room.clear()
    publish_trades(market, 2)
    await asyncio.sleep(0)
    publish_trades(market, 2, first_id=3)
    before = call.trades()

    call.takes_now = True
    publish_trades(market, 1, first_id=5)  # the coroutine is still writing: nothing may overtake it
    held = call.trades()
    call.room.set()
    for _ in range(5):
        await asyncio.sleep(0)

    assert (before, held, call.trades()) == ([1, 2], [1, 2], [1, 2, 3, 4, 5])
    task.cancel()
