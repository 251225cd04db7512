"""The daemon: market, sources, server, metrics, put together; and its orderly end.

`App` may be given other sources than the configured venues (a recording, a benchmark): everything behind them is the
same.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Gauge

from marketdata.config import MarketdataConfig
from marketdata.feed import FeedSource, VenueFeed
from marketdata.market import Market
from marketdata.service import MarketDataServicer
from marketdata.status import StatusBoard
from tradebot._version import __version__
from tradebot.core.market import BookState
from tradebot.runtime.build import build_hash
from tradebot.runtime.clock import NS_PER_S
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.service_main import ServiceShell
from tradebot.venues import load_market_data

METRICS_INTERVAL_S: Final = 1.0
INCARNATION_BYTES: Final = 8

_log = structlog.get_logger(__name__)

SourceMaker = Callable[[Market], Sequence[FeedSource]]
"""Builds the sources for a market."""


class App:
    """One marketdata daemon in this process."""

    def __init__(self, shell: ServiceShell[MarketdataConfig], feed: SourceMaker | None = None) -> None:
        """Build; nothing runs yet.

        Args:
            shell: The process.
            feed: Makes the sources; by default one VenueFeed per configured venue.
        """
        self._shell = shell
        self.market = Market(shell.section.kept_rows)
        self.incarnation = secrets.token_hex(INCARNATION_BYTES)
        self.sources: list[FeedSource] = list((feed or self._venue_feeds)(self.market))
        self.board = StatusBoard(
            self.market, self.sources, mode=shell.common.mode, version=__version__, now_ns=shell.clock.now_ns
        )
        servicer = MarketDataServicer(
            self.market, self.sources, self.board, shell.clock, self.incarnation, build_hash()
        )
        self.server = RpcServer(shell.role, shell.common, [servicer.binding()], on_crash=shell.crash)

    async def start(self) -> None:
        """Bind the sockets, load the instruments, start the sources; health says SERVING after that."""
        tasks = self._shell.tasks
        await self.server.start()
        tasks.start("metrics", self._report_metrics())
        for source in self.sources:
            await source.load()
        self.board.loaded = True
        for number, source in enumerate(self.sources):
            tasks.start(f"source {number}", source.run())
        await self.server.set_serving(True)
        _log.info("serving", incarnation=self.incarnation, instruments=self.market.ids(range(len(self.market.books))))

    async def stop(self) -> None:
        """End readers first, then the sources."""
        self.board.stopping = True
        await self.server.stop()
        for source in self.sources:
            await source.close()

    def _venue_feeds(self, market: Market) -> Sequence[FeedSource]:
        shell = self._shell
        rng = random.Random()
        return [
            VenueFeed(load_market_data(name), endpoints, shell.section, market, shell.clock, shell.tasks, rng)
            for name, endpoints in shell.common.venues.items()
        ]

    async def _report_metrics(self) -> None:
        metrics = self._shell.metrics
        uptime = metrics.gauge("ws_uptime_seconds", "Since the public connection was made, 0 while down", ("venue",))
        age = metrics.gauge("ws_age_seconds", "Since the connection last delivered anything", ("venue",))
        frames = metrics.gauge("ingest_rate", "Venue frames per second")
        totals = metrics.gauge("frames_received", "Venue frames since start")
        state = metrics.gauge("book_state", "1 for the state the book is in", ("instrument", "state"))
        gaps = metrics.gauge("book_gaps", "Times the book was lost since start", ("instrument",))
        stale = metrics.gauge("book_staleness_seconds", "Since the market's exchange time progressed", ("instrument",))
        readers = metrics.gauge("readers", "Subscriptions")
        while True:
            facts = self.board.read()
            for number, link in enumerate(facts.links):
                name = link.venue if number == 0 else f"{link.venue}-{number}"
                uptime.labels(name).set(link.uptime_s)
                age.labels(name).set(link.age_ms / 1000)
            frames.set(facts.items["messages_per_s"])
            totals.set(facts.items["messages"])
            readers.set(facts.items["readers"])
            self._report_books(state, gaps, stale, facts.time_ns)
            await asyncio.sleep(METRICS_INTERVAL_S)

    def _report_books(self, state: Gauge, gaps: Gauge, stale: Gauge, now_ns: int) -> None:
        for book in self.market.books:
            name = self.market.instruments[book.index].instrument_id
            for each in BookState:
                state.labels(name, each.name).set(1 if book.state is each else 0)
            gaps.labels(name).set(book.gaps)
            stale.labels(name).set((now_ns - book.progress_ns) / NS_PER_S if book.progress_ns else 0)


async def serve(shell: ServiceShell[MarketdataConfig]) -> None:
    """Run the daemon until it is asked to stop."""
    app = App(shell)
    try:
        starting = asyncio.ensure_future(app.start())
        stopping = asyncio.ensure_future(shell.wait_stop())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            shell.ready()
        else:
            starting.cancel()  # asked to stop while the venue had not answered yet
        await stopping
    finally:
        await app.stop()
