"""Readers that stop reading, over the real transport, on a source that does not wait for anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import grpc
import pytest

from marketdata.book import BookRules
from marketdata.config import MarketdataConfig
from marketdata.feed import Room
from marketdata.market import Market
from marketdata.stream_client import LinkState
from tests.marketdata.daemon_kit import RunningDaemon, running_daemon
from tests.marketdata.market_kit import T0, delta, snapshot, trade
from tests.support.builders import make_instrument
from tradebot.core.market import HistoryBar
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.wire.market import rows_from_wire

SECTION = MarketdataConfig(kept_rows=8_192)
ROWS = 400_000
"""About 14 MB on the wire: more than any buffer between the two processes holds."""


class HandFeed:
    """A source that delivers when the test says so."""

    frames = 0
    bad_frames = 0
    bar_intervals_ms: Collection[int] = ()

    def __init__(self, market: Market) -> None:
        self.market = market

    async def load(self) -> None:
        self.market.add([make_instrument()], BookRules())
        book = self.market.books[0]
        book.link_up(T0)
        book.handle_delta(delta(1), T0)
        book.handle_snapshot(book.snapshot_asked(T0), snapshot(1), T0)
        self.market.commit()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def bars(self, index: int, interval_ms: int, limit: int, end_time_ns: int) -> list[HistoryBar]:
        return []

    def covers(self, index: int) -> bool:
        return True

    def links(self, now_ns: int) -> list[LinkState]:
        return []

    async def close(self) -> None:
        """Nothing is open."""


async def pump(daemon: RunningDaemon, rows: int = ROWS, room: Room | None = None) -> None:
    """Publish trades and best prices as fast as it goes."""
    market = daemon.app.market
    for start in range(0, rows, 500):
        for number in range(start, start + 500):
            market.handle(trade(number + 1, price=100 + number % 7), T0 + number)
        market.commit()
        await (room.wait() if room is not None else asyncio.sleep(0))


async def first_message(daemon: RunningDaemon, *, lossless: bool) -> Any:
    """Subscribe, read the snapshot, and return the call."""
    call = daemon.stub.Subscribe(pb.SubscribeRequest(lossless=lossless))
    assert (await call.read()).snapshot
    return call


async def read_ids(call: Any, ids: list[int]) -> None:
    """Read trade ids until the stream ends."""
    while (message := await call.read()) is not grpc.aio.EOF:
        ids += rows_from_wire(message.rows).id


async def test_a_lossless_reader_that_sleeps_too_long_is_told_to_subscribe_again(short_tmp_path: Path) -> None:
    async with running_daemon(short_tmp_path, section=SECTION, feed=lambda market: [HandFeed(market)]) as daemon:
        call = await first_message(daemon, lossless=True)
        await pump(daemon)
        ids: list[int] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_ids(call, ids)

        assert ids == list(range(1, len(ids) + 1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "resubscribe" in (caught.value.details() or "")


async def test_a_lossy_reader_that_sleeps_gets_the_newest_and_the_number_of_rows_it_missed(
    short_tmp_path: Path,
) -> None:
    async with running_daemon(short_tmp_path, section=SECTION, feed=lambda market: [HandFeed(market)]) as daemon:
        call = await first_message(daemon, lossless=False)
        await pump(daemon)
        seen = missed = 0
        while True:
            message = await call.read()
            missed = max(missed, message.conflated_rows)
            seen += 0 if message.snapshot else len(message.rows.kind)
            if message.head_sequence == daemon.app.market.log.head_sequence:
                break

        assert missed > 0
        assert seen + missed == ROWS
        call.cancel()


async def test_a_slow_reader_does_not_hold_up_a_quick_one(short_tmp_path: Path) -> None:
    async with running_daemon(short_tmp_path, section=SECTION, feed=lambda market: [HandFeed(market)]) as daemon:
        sleeping = await first_message(daemon, lossless=True)
        quick = await first_message(daemon, lossless=False)
        pumping = asyncio.ensure_future(pump(daemon, 50_000))
        last = 0
        async with asyncio.timeout(20):
            while last < 50_000:
                message = await quick.read()
                last = max([last, *message.rows.id])

        await pumping
        sleeping.cancel()
        quick.cancel()


async def test_a_source_with_back_pressure_loses_nothing(short_tmp_path: Path) -> None:
    async with running_daemon(short_tmp_path, section=SECTION, feed=lambda market: [HandFeed(market)]) as daemon:
        call = await first_message(daemon, lossless=True)
        pumping = asyncio.ensure_future(pump(daemon, 100_000, Room(daemon.app.market, 2_000)))
        ids: list[int] = []
        while len(ids) < 100_000:
            ids += (await call.read()).rows.id

        assert ids == list(range(1, 100_001))
        await pumping
        call.cancel()
