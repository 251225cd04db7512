"""Where events come from. `VenueFeed` follows one venue over its own protocol; anything with the same face may stand in
for it (a recording, a benchmark).

The path of a frame: socket callback, codec, book, rows, commit, reader woken; all in one turn of the loop. Everything
slow (connecting, snapshots, judging progress) runs beside it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from marketdata.budget import Backoff, RateBudget
from marketdata.config import MarketdataConfig
from marketdata.market import Market
from marketdata.rest import RestClient
from marketdata.socket_client import Socket, open_socket
from tradebot.core.errors import ConfigError, DisconnectedError, RejectedError, TransientError, VenueProtocolError
from tradebot.core.market import HistoryBar
from tradebot.runtime.clock import NS_PER_MS, NS_PER_S, Clock
from tradebot.runtime.config import VenueConfig
from tradebot.runtime.task_set import TaskSet
from tradebot.runtime.wakeup import Wakeup
from tradebot.venues.api import (
    ControlReply,
    Feed,
    FrameError,
    MarketDataCodec,
    MarketDataVenue,
    MarketEvent,
    PlannedShutdown,
)

TICK_S: Final = 0.1
"""How often progress is judged and snapshots are started."""
MIN_RECONNECT_NS: Final = 100 * NS_PER_MS
CALM_NS: Final = 60 * NS_PER_S
"""A connection that lasted so long starts again with the shortest wait."""
MAX_SNAPSHOTS_IN_FLIGHT: Final = 4
ACK_TIMEOUT_NS: Final = 10 * NS_PER_S
ROOM_POLL_S: Final = 0.05
"""A reader that left frees room without a sign."""
FOLLOWED: Final = (Feed.TRADES, Feed.BOOK, Feed.BBO)
"""Streams per instrument."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LinkState:
    """One connection, for the status."""

    venue: str
    state: str
    """live, connecting, stale or down."""
    age_ms: int
    """Since the last frame; 0 before the first."""
    uptime_s: float
    """Since it was connected; 0 when it is not."""


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


class Connection:
    """One WebSocket connection with all streams of some instruments, reconnected for ever."""

    def __init__(self, feed: VenueFeed, indexes: Sequence[int]) -> None:
        limits = feed.venue.spec.stream_limits
        self.indexes = indexes
        self.alive_ns = 0
        """When anything last arrived."""
        self._feed = feed
        self._market = feed.market
        self._clock = feed.clock
        self._limits = limits
        self._decode = feed.codec.decode
        self._streams = [
            feed.venue.stream_name(feed.market.instruments[index], kind) for index in indexes for kind in FOLLOWED
        ]
        self._backoff = Backoff(MIN_RECONNECT_NS, feed.config.max_reconnect_ms * NS_PER_MS)
        self._control = RateBudget(limits.control_messages_per_s, NS_PER_S)
        self._socket: Socket | None = None
        self._up_ns = 0
        self._pinged_ns = 0
        self._awaited: set[int] = set()
        self._asked_ns = 0
        self._linked = False
        self._close_reason = ""
        self._at_once = False

    async def run(self) -> None:
        """Keep the connection up."""
        while True:
            await self._connect_budget()
            reason = await self._one_life()
            now_ns = self._clock.now_ns()
            lasted_ns = now_ns - self._up_ns if self._up_ns else 0
            self._down(now_ns)
            self._feed.reconnects += 1
            if self._at_once:
                self._at_once = False
                wait_ns = 0
            else:
                if lasted_ns >= CALM_NS:
                    self._backoff.reset()
                wait_ns = self._backoff.next_wait_ns(self._feed.rng.random())
            _log.warning("link_down", venue=self._feed.name, reason=reason, retry_ms=wait_ns // NS_PER_MS)
            await asyncio.sleep(wait_ns / NS_PER_S)

    def close(self, reason: str, *, at_once: bool = False) -> None:
        """End this life of the connection; `run` starts the next one."""
        if self._socket is not None and not self._close_reason:
            self._close_reason = reason
            self._at_once = at_once
            self._socket.close()

    def watch(self, now_ns: int) -> None:
        """Ping a silent link, give up a dead or old one."""
        socket = self._socket
        if socket is None or self._close_reason:
            return
        limits = self._limits
        silent_ns = now_ns - self.alive_ns
        if silent_ns > limits.dead_after_s * NS_PER_S:
            self.close(f"nothing received for {silent_ns // NS_PER_MS} ms")
        elif now_ns - self._up_ns > limits.connection_life_s * NS_PER_S:
            self.close("end of the connection's life", at_once=True)
        elif self._awaited and now_ns - self._asked_ns > ACK_TIMEOUT_NS:
            self.close("no answer to a subscription")
        elif min(silent_ns, now_ns - self._pinged_ns) > limits.ping_after_s * NS_PER_S:
            if self._control.wait_ns(1, now_ns):
                return
            self._control.spend(1, now_ns)
            self._pinged_ns = now_ns
            socket.ping()

    def link_state(self, now_ns: int) -> LinkState:
        """Return the state for people."""
        name = self._feed.name
        if self._socket is None:
            return LinkState(name, "connecting" if not self._up_ns else "down", 0, 0.0)
        age_ns = now_ns - self.alive_ns
        stale_ns = self._feed.config.book_rules.link_stale_ns
        state = "stale" if 0 < stale_ns < age_ns else "live" if self._linked else "connecting"
        return LinkState(name, state, age_ns // NS_PER_MS, (now_ns - self._up_ns) / NS_PER_S)

    async def _one_life(self) -> str:
        """Connect, subscribe, deliver until the end; return why it ended."""
        venue = self._feed.venue
        url = venue.stream_url(self._feed.endpoints.market_ws_url, self._streams)
        self._close_reason = ""
        self._up_ns = 0
        try:
            self._socket = await open_socket(self._feed.config.ws_client, url, self._on_text, self._on_alive)
        except DisconnectedError as exc:
            return str(exc)
        try:
            self._up_ns = self.alive_ns = self._clock.now_ns()
            rest = venue.streams_to_subscribe(self._streams)
            _log.info("link_up", venue=self._feed.name, instruments=len(self.indexes), streams=len(self._streams))
            if rest:
                closed = asyncio.ensure_future(self._socket.wait_closed())
                asking = asyncio.ensure_future(self._subscribe(rest))
                try:
                    reason = await closed
                finally:
                    asking.cancel()
            else:
                self._up()
                reason = await self._socket.wait_closed()
            return self._close_reason or reason
        except VenueProtocolError as exc:
            return str(exc)
        finally:
            self._socket = None

    async def _subscribe(self, streams: Sequence[str]) -> None:
        """Ask for streams, not faster than the venue allows; the link is up when all are confirmed."""
        venue, step = self._feed.venue, self._limits.streams_per_control_message
        requests = [streams[start : start + step] for start in range(0, len(streams), step)]
        self._awaited = set(range(1, len(requests) + 1))
        for number, part in enumerate(requests, 1):
            now_ns = self._clock.now_ns()
            wait_ns = self._control.wait_ns(1, now_ns)
            if wait_ns:
                await asyncio.sleep(wait_ns / NS_PER_S)
            self._asked_ns = self._clock.now_ns()
            self._control.spend(1, self._asked_ns)
            if self._socket is not None:
                self._socket.send(venue.subscribe(part, number))

    def _on_text(self, frame: bytes, last: bool) -> None:
        """The hot path."""
        now_ns = self._clock.now_ns()
        self.alive_ns = now_ns
        self._feed.count_frame()
        try:
            event = self._decode(frame)
        except FrameError as exc:
            self._feed.count_bad_frame(exc, now_ns)
            if exc.instrument is None:
                raise
            self._market.books[exc.instrument].protocol_error(now_ns)
            event = None
        if event is not None:
            if event.__class__ in _OF_THE_LINK:
                self._on_link_event(event)
            else:
                self._market.handle(event, now_ns)
        if last:
            self._market.commit()

    def _on_alive(self) -> None:
        self.alive_ns = self._clock.now_ns()

    def _on_link_event(self, event: MarketEvent) -> None:
        if isinstance(event, PlannedShutdown):
            self.close("the venue announced a shutdown", at_once=True)
        elif isinstance(event, ControlReply):
            if event.error:
                self.close(f"subscription refused: {event.error}")
            elif event.request_id in self._awaited:
                self._awaited.discard(event.request_id)
                if not self._awaited:
                    self._up()

    def _up(self) -> None:
        self._linked = True
        now_ns = self._clock.now_ns()
        for index in self.indexes:
            self._market.books[index].link_up(now_ns)

    def _down(self, now_ns: int) -> None:
        self._linked = False
        self._awaited.clear()
        for index in self.indexes:
            self._market.books[index].link_down(now_ns)
        self._market.commit()

    async def _connect_budget(self) -> None:
        budget, now_ns = self._feed.connects, self._clock.now_ns()
        wait_ns = budget.wait_ns(1, now_ns)
        budget.spend(1, now_ns + wait_ns)
        if wait_ns:
            await asyncio.sleep(wait_ns / NS_PER_S)


_OF_THE_LINK: Final = (PlannedShutdown, ControlReply)
