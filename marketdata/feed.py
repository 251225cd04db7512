"""Where events come from. `VenueFeed` follows one venue over its own protocol; anything with the same face may stand in
for it (a recording, a benchmark).

Frames take the short path in `stream_client`; what is slow (instruments, snapshots, judging progress) runs beside it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Final, Protocol

import structlog

from marketdata.budget import Backoff, RateBudget
from marketdata.config import MarketdataConfig
from marketdata.market import Market
from marketdata.rest import RestClient
from marketdata.stream_client import FOLLOWED, MIN_RECONNECT_NS, Connection, LinkState
from tradebot.core.errors import ConfigError, RejectedError, TransientError, VenueProtocolError
from tradebot.core.market import HistoryBar
from tradebot.runtime.clock import NS_PER_MS, NS_PER_S, Clock
from tradebot.runtime.config import VenueConfig
from tradebot.runtime.task_set import TaskSet
from tradebot.runtime.wakeup import Wakeup
from tradebot.venues.api import (
    FrameError,
    MarketDataCodec,
    MarketDataVenue,
)

TICK_S: Final = 0.1
"""How often progress is judged and snapshots are started."""
MAX_SNAPSHOTS_IN_FLIGHT: Final = 4
ROOM_POLL_S: Final = 0.05
"""A reader that left frees room without a sign."""

_log = structlog.get_logger(__name__)


class FeedSource(Protocol):
    """A source of market events. `load` comes first, then `run` until the daemon stops."""

    async def load(self) -> None:
        """Learn the instruments and add them to the market. Waits while the source is not there yet."""
        ...

    async def run(self) -> None:
        """Deliver events into the market; ends only when canceled."""
        ...

    async def bars(self, index: int, interval_ms: int, limit: int, end_time_ns: int) -> list[HistoryBar]:
        """Return closed history bars of an instrument, oldest first."""
        ...

    @property
    def bar_intervals_ms(self) -> Collection[int]:
        """Bar lengths it offers."""
        ...

    def covers(self, index: int) -> bool:
        """Return whether an instrument is of this source."""
        ...

    def links(self, now_ns: int) -> list[LinkState]:
        """Return the state of its connections."""
        ...

    @property
    def frames(self) -> int:
        """Frames received since start."""
        ...

    @property
    def bad_frames(self) -> int:
        """Frames that broke the venue's documentation."""
        ...

    async def close(self) -> None:
        """Give up what is open."""
        ...


class Room:
    """Back-pressure for a source that can deliver faster than readers read (a recording, a benchmark): the live market
    does not wait for anybody.
    """

    def __init__(self, market: Market, max_backlog_rows: int) -> None:
        self._publisher = market.publisher
        self._max_backlog_rows = max_backlog_rows
        self._wakeup = Wakeup()
        self._publisher.on_handed_out = self._wakeup.wake

    async def wait(self) -> None:
        """Return when every reader is less than `max_backlog_rows` behind."""
        while self._publisher.slowest_backlog_rows >= self._max_backlog_rows:
            await self._wakeup.wait(ROOM_POLL_S)


class VenueFeed:
    """One venue: instruments, connections, snapshots."""

    def __init__(
        self,
        venue: MarketDataVenue,
        endpoints: VenueConfig,
        config: MarketdataConfig,
        market: Market,
        clock: Clock,
        tasks: TaskSet,
        rng: random.Random,
    ) -> None:
        limits = venue.spec.stream_limits
        if 0 < config.link_stale_ms <= limits.ping_after_s * 1000:
            raise ConfigError(
                f"marketdata.link_stale_ms {config.link_stale_ms}: must be above {limits.ping_after_s * 1000:.0f}, the "
                f"silence after which {venue.spec.name} is pinged, or every quiet moment would look stale"
            )
        self.venue = venue
        self.market = market
        self.clock = clock
        self.config = config
        self.endpoints = endpoints
        self.rng = rng
        self.rest = RestClient(
            venue,
            endpoints.rest_url,
            clock,
            timeout_s=config.rest_timeout_ms / 1000,
            weight_share=config.rest_weight_share,
        )
        self.connects = RateBudget(limits.connects_per_window, int(limits.connect_window_s * NS_PER_S))
        self.reconnects = 0
        self.bad_frames = 0
        self._bad_frame_logged_ns = 0
        self._tasks = tasks
        self._frames = 0
        self._connections: list[Connection] = []
        self._indexes: list[int] = []
        self._codec: MarketDataCodec | None = None
        self._snapshots_in_flight = 0

    @property
    def name(self) -> str:
        """Name of the venue."""
        return self.venue.spec.name

    @property
    def frames(self) -> int:
        """See FeedSource."""
        return self._frames

    @property
    def bar_intervals_ms(self) -> Collection[int]:
        """See FeedSource."""
        return self.venue.spec.bar_intervals_ms

    async def load(self) -> None:
        """See FeedSource."""
        symbols = self.endpoints.symbols
        body = await self._load_body(symbols)
        instruments = self.venue.decode_instruments(body, symbols)
        self._indexes = self.market.add(instruments, self.config.book_rules)
        self._codec = self.venue.codec(list(zip(self._indexes, instruments, strict=True)))
        per_connection = self.venue.spec.stream_limits.max_streams_per_connection // len(FOLLOWED)
        for start in range(0, len(self._indexes), per_connection):
            self._connections.append(Connection(self, self._indexes[start : start + per_connection]))

    async def run(self) -> None:
        """See FeedSource."""
        for number, connection in enumerate(self._connections):
            self._tasks.start(f"{self.name} stream {number}", connection.run())
        while True:
            self.tick(self.clock.now_ns())
            await asyncio.sleep(TICK_S)

    async def close(self) -> None:
        """See FeedSource."""
        for connection in self._connections:
            connection.close("stopping")
        await self.rest.close()

    async def bars(self, index: int, interval_ms: int, limit: int, end_time_ns: int) -> list[HistoryBar]:
        """See FeedSource."""
        spec = self.venue.spec
        # One more than asked: the newest bar is still running and is left out.
        request = self.venue.bars_request(
            self.market.instruments[index], interval_ms, min(limit + 1, spec.max_bars), end_time_ns
        )
        body = await self.rest.get(request)
        until_ns = end_time_ns or self.clock.now_ns()
        bars = self.codec.decode_bars(index, interval_ms, body)
        return [bar for bar in bars if bar.close_time_ns <= until_ns][-limit:]

    def covers(self, index: int) -> bool:
        """See FeedSource."""
        return index in self._indexes

    def links(self, now_ns: int) -> list[LinkState]:
        """See FeedSource."""
        return [connection.link_state(now_ns) for connection in self._connections] or [
            LinkState(self.name, "connecting", 0, 0.0)
        ]

    @property
    def codec(self) -> MarketDataCodec:
        """The codec; only after `load`."""
        assert self._codec is not None
        return self._codec

    def tick(self, now_ns: int) -> None:
        """Judge progress of links and books, start what is due."""
        books = self.market.books
        for connection in self._connections:
            connection.watch(now_ns)
            for index in connection.indexes:
                book = books[index]
                book.check(now_ns, connection.alive_ns)
                if self._snapshots_in_flight < MAX_SNAPSHOTS_IN_FLIGHT and book.wants_snapshot(now_ns):
                    self._snapshots_in_flight += 1
                    token = book.snapshot_asked(now_ns)
                    self._tasks.start(f"snapshot {index}", self._fetch_snapshot(index, token))
        self.market.commit()

    def count_frame(self) -> None:
        """Note one frame from the venue."""
        self._frames += 1

    def count_bad_frame(self, error: FrameError, now_ns: int) -> None:
        """Note a frame that broke the documentation; one log line a second at most."""
        self.bad_frames += 1
        if now_ns - self._bad_frame_logged_ns >= NS_PER_S:
            self._bad_frame_logged_ns = now_ns
            _log.error("bad_frame", venue=self.name, error=str(error), total=self.bad_frames)

    async def _fetch_snapshot(self, index: int, token: int) -> None:
        book = self.market.books[index]
        instrument = self.market.instruments[index]
        try:
            body = await self.rest.get(self.venue.snapshot_request(instrument, self.config.book_depth))
            snapshot = self.codec.decode_snapshot(index, body)
        except (TransientError, RejectedError, VenueProtocolError) as exc:
            retry_after_ns = exc.retry_after_ns if isinstance(exc, TransientError) else 0
            _log.warning("snapshot_failed", instrument=instrument.instrument_id, error=str(exc))
            book.snapshot_failed(token, self.clock.now_ns(), retry_after_ns)
        else:
            book.handle_snapshot(token, snapshot, self.clock.now_ns())
        finally:
            self._snapshots_in_flight -= 1
            self.market.commit()

    async def _load_body(self, symbols: Sequence[str]) -> bytes:
        backoff = Backoff(MIN_RECONNECT_NS, self.config.max_reconnect_ms * NS_PER_MS)
        told = ""
        while True:
            try:
                return await self.rest.get(self.venue.instruments_request(symbols))
            except RejectedError as exc:
                raise ConfigError(
                    f"venues.{self.name}.symbols {list(symbols)}: the venue refuses them ({exc}): correct the names"
                ) from exc
            except TransientError as exc:
                if str(exc) != told:
                    told = str(exc)
                    _log.warning("instruments_not_loaded", venue=self.name, error=told)
                wait_ns = max(exc.retry_after_ns, backoff.next_wait_ns(self.rng.random()))
                await asyncio.sleep(wait_ns / NS_PER_S)
