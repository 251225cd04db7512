"""The venue feed against a venue that breaks, hangs and announces things."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import picows
import pytest

from marketdata.config import MarketdataConfig
from marketdata.feed import VenueFeed
from tests.marketdata.daemon_kit import RunningDaemon, Subscription, running_daemon
from tests.marketdata.scripted_venue import ScriptedVenue
from tests.venues import binance_frames as frames
from tradebot.core.errors import ConfigError
from tradebot.core.market import BookState
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.task_set import TaskSet
from tradebot.venues import load_market_data
from tradebot.venues.api import StreamLimits, VenueSpec

VENUE: Any = load_market_data("binance")


class HastyVenue(type(VENUE)):  # type: ignore[misc]
    """The same venue with short deadlines."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits

    @property
    def spec(self) -> VenueSpec:
        spec: VenueSpec = VENUE.spec
        return replace(spec, stream_limits=self._limits)


HASTY = replace(VENUE.spec.stream_limits, ping_after_s=0.15, dead_after_s=1.0)


@asynccontextmanager
async def following(
    folder: Path, venue: ScriptedVenue, limits: StreamLimits = HASTY, section: MarketdataConfig | None = None
) -> AsyncIterator[RunningDaemon]:
    """Run a daemon on a scripted venue."""
    config = section or MarketdataConfig(first_diff_wait_ms=50, max_reconnect_ms=200)
    tasks = TaskSet(lambda where, error: None)

    def feed(market: Any) -> list[VenueFeed]:
        return [VenueFeed(HastyVenue(limits), venue.config, config, market, SystemClock(), tasks, random.Random(1))]

    try:
        async with running_daemon(folder, section=config, feed=feed) as daemon:
            yield daemon
    finally:
        await tasks.cancel_all()


async def test_planned_shutdowns_are_left_at_once(short_tmp_path: Path) -> None:
    """Six in a row: with growing waits between them this would take about 3.5 s."""
    section = MarketdataConfig(first_diff_wait_ms=50, max_reconnect_ms=5_000)
    async with ScriptedVenue(["BTCUSDT"]) as venue, following(short_tmp_path, venue, section=section) as daemon:
        stream = Subscription(daemon.stub)
        await stream.until_state(BookState.LIVE)
        started = asyncio.get_running_loop().time()
        for number in range(2, 8):
            venue.send({"e": "serverShutdown", "E": frames.E_MS}, "!serverShutdown")
            await venue.until(lambda wanted=number: len(venue.connections) == wanted, "a new connection")
        waited = asyncio.get_running_loop().time() - started
        await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")
        await stream.until_state(BookState.LIVE)

        assert waited < 2.0
        await stream.close()


async def test_a_quiet_link_is_kept_by_pings_and_a_dead_one_is_made_again(short_tmp_path: Path) -> None:
    async with ScriptedVenue(["BTCUSDT"]) as venue:
        section = MarketdataConfig(first_diff_wait_ms=50, max_reconnect_ms=200, link_stale_ms=500)
        async with following(short_tmp_path, venue, section=section) as daemon:
            stream = Subscription(daemon.stub)
            await stream.until_state(BookState.LIVE)
            await asyncio.sleep(1.0)
            assert len(venue.connections) == 1
            assert stream.reader.states[-1:] == [BookState.LIVE]
            venue.answers_pings = False
            await stream.until_state(BookState.STALE)
            await venue.until(lambda: len(venue.connections) >= 2, "a new connection")

            await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")
            await stream.close()


async def test_streams_that_do_not_fit_the_address_are_subscribed_within_the_rate(short_tmp_path: Path) -> None:
    symbols = [f"C{i}USDT" for i in range(40)]
    limits = replace(HASTY, streams_per_control_message=10, control_messages_per_s=4.0, dead_after_s=5)
    async with ScriptedVenue(symbols) as venue, following(short_tmp_path, venue, limits):
        await venue.until(lambda: len(venue.received) == 7, "seven subscriptions")
        named = venue.paths[0].partition("=")[2].split("/")
        asked = [name for request in venue.received for name in request["params"]]
        gaps = [late - early for early, late in zip(venue.received_at, venue.received_at[4:], strict=False)]

        assert len(named) == 50
        assert sorted(named + asked) == sorted(
            f"{symbol.lower()}@{channel}" for symbol in symbols for channel in ("trade", "depth@100ms", "bookTicker")
        )
        assert all(gap >= 0.9 for gap in gaps)


async def test_markets_are_split_over_connections(short_tmp_path: Path) -> None:
    symbols = [f"C{i}USDT" for i in range(5)]
    limits = replace(HASTY, max_streams_per_connection=6)
    async with ScriptedVenue(symbols) as venue, following(short_tmp_path, venue, limits) as daemon:
        await venue.until(lambda: len(venue.paths) == 3, "three connections")
        links = daemon.app.sources[0].links(daemon.shell.clock.now_ns())

        assert sorted(len(path.partition("=")[2].split("/")) for path in venue.paths) == [3, 6, 6]
        assert len(links) == 3


async def test_a_refused_subscription_is_tried_again_on_a_new_connection(short_tmp_path: Path) -> None:
    symbols = [f"C{i}USDT" for i in range(20)]
    async with ScriptedVenue(symbols) as venue:
        venue.subscription_error = "Invalid request"
        async with following(short_tmp_path, venue) as daemon:
            await venue.until(lambda: len(venue.connections) >= 3, "further attempts")
            assert all(book.state is BookState.SYNCING for book in daemon.app.market.books)
            venue.subscription_error = ""
            stream = Subscription(daemon.stub)

            await stream.until_state(BookState.LIVE)
            await stream.close()


async def test_a_bad_frame_breaks_its_own_market_only(short_tmp_path: Path) -> None:
    async with ScriptedVenue(["BTCUSDT", "ETHUSDT"]) as venue, following(short_tmp_path, venue) as daemon:
        stream = Subscription(daemon.stub)
        books = daemon.app.market.books
        await stream.until(lambda _: all(book.state is BookState.LIVE for book in books), "both LIVE")
        venue.send(frames.depth(U="eleven"))
        await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")

        assert books[1].state is BookState.LIVE
        assert books[1].gaps == 0
        assert daemon.app.board.read().items["bad_frames"] == 1
        assert len(venue.connections) == 1
        await stream.close()


async def test_a_frame_that_belongs_to_nobody_and_cannot_be_read_ends_the_connection(short_tmp_path: Path) -> None:
    async with ScriptedVenue(["BTCUSDT"]) as venue, following(short_tmp_path, venue) as daemon:
        stream = Subscription(daemon.stub)
        await stream.until_state(BookState.LIVE)
        venue.connections[-1].send(picows.WSMsgType.TEXT, b"<html>")
        await venue.until(lambda: len(venue.connections) == 2, "a new connection")
        await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")

        await stream.until_state(BookState.LIVE)
        await stream.close()


async def test_a_ban_is_obeyed(short_tmp_path: Path) -> None:
    async with ScriptedVenue(["BTCUSDT"]) as venue, following(short_tmp_path, venue) as daemon:
        stream = Subscription(daemon.stub)
        await stream.until_state(BookState.LIVE)
        venue.rest_status = 418
        venue.send(frames.depth(U=50, u=51, b=[], a=[]))
        await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")
        asked = len(venue.rest_paths)
        await asyncio.sleep(1.0)

        assert len(venue.rest_paths) <= asked + 1
        assert daemon.app.market.books[0].state is not BookState.LIVE
        await stream.close()


async def test_a_staleness_bound_below_the_ping_interval_is_a_config_error(short_tmp_path: Path) -> None:
    section = MarketdataConfig(link_stale_ms=1500)
    async with ScriptedVenue(["BTCUSDT"]) as venue:
        with pytest.raises(ConfigError, match=r"marketdata\.link_stale_ms 1500: .*2000"):
            async with following(short_tmp_path, venue, VENUE.spec.stream_limits, section):
                pass


async def test_symbols_the_venue_refuses_are_a_config_error(short_tmp_path: Path) -> None:
    async with ScriptedVenue(["BTCUSDT"]) as venue:
        venue.rest_status = 400
        with pytest.raises(ConfigError, match=r"venues\.binance\.symbols .*BTCUSDT.*correct the names"):
            async with following(short_tmp_path, venue):
                pass


async def test_a_venue_that_is_out_of_order_is_waited_for(short_tmp_path: Path) -> None:
    async with ScriptedVenue(["BTCUSDT"]) as venue:
        venue.rest_status = 503

        async def repair() -> None:
            await venue.until(lambda: len(venue.rest_paths) >= 3, "three attempts")
            venue.rest_status = 200

        repairing = asyncio.ensure_future(repair())
        async with following(short_tmp_path, venue) as daemon:
            assert len(daemon.app.market.instruments) == 1
        await repairing
