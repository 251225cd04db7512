"""One venue connection with all streams of some markets, kept up for ever: subscribe, deliver, watch, reconnect.

The path of a frame: socket callback, codec, book, rows, commit, reader woken; all in one turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from marketdata.budget import Backoff, RateBudget
from marketdata.socket_client import Socket, open_socket
from tradebot.core.errors import DisconnectedError, VenueProtocolError
from tradebot.runtime.clock import NS_PER_MS, NS_PER_S
from tradebot.venues.api import ControlReply, Feed, FrameError, MarketEvent, PlannedShutdown

if TYPE_CHECKING:
    from marketdata.feed import VenueFeed

MIN_RECONNECT_NS: Final = 100 * NS_PER_MS
CALM_NS: Final = 60 * NS_PER_S
"""A connection that lasted so long starts again with the shortest wait."""
ACK_TIMEOUT_NS: Final = 10 * NS_PER_S
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
        if not self._close_reason:
            self._close_reason = reason
            self._at_once = at_once
            if self._socket is not None:
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
            if self._close_reason:  # said in the very first frames, while we were still being connected
                self._socket.close()
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
