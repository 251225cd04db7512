"""WebSocket shell: market streams and the request API on one port. No decisions: venue and protocol server decide.

A frame is encoded once for all listeners. Writes never wait: a reader that lets more than `MAX_BACKLOG_BYTES` pile up
is cut. Answers and account events leave in one line, in order, each after the configured delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from simexchange.delay import DelayLine
from simexchange.faults import ANSWERED_KINDS, ORDER_ACTIONS
from simexchange.publisher import Frame
from simexchange.venue import SimVenue
from tradebot.core.errors import ConfigError
from tradebot.runtime.clock import Clock
from tradebot.sim.rng import SplitMix64
from tradebot.venues.server_api import RequestView, SessionView, Stream

MAX_BACKLOG_BYTES: Final = 8 << 20
MAX_CONNECTIONS: Final = 256
MAX_MESSAGE_BYTES: Final = 64 << 10
INBOUND_PER_S: Final = 5
"""Control frames per second of a stream connection; the venue cuts who sends more."""
_CLOSE_POLICY: Final = 1008
_CLOSE_GOING_AWAY: Final = 1001

_log = structlog.get_logger(__name__)


class StreamClient:
    """One market stream connection."""

    __slots__ = ("connection", "is_combined", "streams")

    def __init__(self, connection: ServerConnection, is_combined: bool, streams: dict[str, Stream]) -> None:
        self.connection = connection
        self.is_combined = is_combined
        self.streams = streams


class DelayedWriter:
    """Sends messages in order, each not before its time."""

    __slots__ = ("_high_s", "_line", "_low_s", "_rng")

    def __init__(self, delay_ms: tuple[float, float], rng: SplitMix64) -> None:
        self._line = DelayLine(asyncio.get_running_loop())
        self._low_s, self._high_s = delay_ms[0] / 1_000, delay_ms[1] / 1_000
        self._rng = rng

    def send(self, connection: ServerConnection, message: bytes) -> None:
        """Queue one message."""
        delay_s = self._rng.between(self._low_s, self._high_s) if self._high_s else 0.0
        if not self._line.put(delay_s, lambda: write_now(connection, message)):
            connection.transport.abort()

    def close(self) -> None:
        """Forget what waits."""
        self._line.close()


def write_now(connection: ServerConnection, message: bytes) -> None:
    """Write one text frame; a reader that does not keep up is cut."""
    transport = connection.transport
    if transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
        _log.warning("slow_reader_cut", peer=str(connection.remote_address))
        transport.abort()
        return
    broadcast((connection,), message, text=True)


class WsServer:
    """The port of streams and orders."""

    def __init__(
        self,
        venue: SimVenue,
        clock: Clock,
        run: Callable[[], None],
        *,
        delay_ms: tuple[float, float],
        order_latency_ms: float,
        ping_interval_s: float,
        max_connection_s: float,
    ) -> None:
        """Wire it.

        Args:
            venue: The core.
            clock: Process clock.
            run: Brings the market up to now and sends what it made; called before each request.
            delay_ms: Bounds of the delay of answers and account events.
            order_latency_ms: What changes an order reaches the market so long after it came; what follows on the same
                connection does not overtake it.
            ping_interval_s: Ping frames from the server.
            max_connection_s: Age at which a connection is cut.
        """
        self._venue = venue
        self._clock = clock
        self._run = run
        self._ping_interval_s = ping_interval_s
        self._max_connection_s = max_connection_s
        self._server: Server | None = None
        self._writer = DelayedWriter(delay_ms, venue.rng.fork())
        self._order_latency_s = order_latency_ms / 1_000
        self._entries: dict[ServerConnection, DelayLine] = {}
        self._clients: set[StreamClient] = set()
        self._sessions: dict[ServerConnection, SessionView] = {}
        self.requests = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        try:
            self._server = await serve(
                self._handle,
                host,
                port,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                ping_interval=self._ping_interval_s,
                ping_timeout=60,
                process_request=self._check_path,
                server_header=None,
            )
        except OSError as exc:
            raise ConfigError(
                f"simexchange.ws_port: cannot listen on {host}:{port} ({exc.strerror}): use a free port"
            ) from exc
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Say goodbye and close everything."""
        goodbye = self._venue.server.shutdown_frame(self._clock.now_ns())
        for connection in self._sessions:
            write_now(connection, goodbye)
        for line in self._entries.values():
            line.close()
        self._writer.close()
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()

    # --- sending ---------------------------------------------------------------------------------------------------

    def send_frames(self, frames: Iterable[Frame]) -> None:
        """Send market frames, each encoded once."""
        combined = self._venue.server.streams.combined
        for stream, payload in frames:
            listeners = self._venue.wanted.get(stream)
            if not listeners:
                continue
            raw = wrapped = b""
            for client in tuple(listeners):
                if client.is_combined:
                    wrapped = wrapped or combined(stream, payload).encode()
                    write_now(client.connection, wrapped)
                else:
                    raw = raw or payload.encode()
                    write_now(client.connection, raw)

    def send_account_events(self, events: Iterable[tuple[str, bytes]]) -> None:
        """Send account events to whoever subscribed to the account."""
        frame = self._venue.server.user_frame
        for account, event in events:
            for connection, session in self._sessions.items():
                for number, owner in session.subscriptions.items():
                    if owner == account:
                        self._writer.send(connection, frame(number, event))

    def cut_streams(self) -> None:
        """Fault switch: cut all stream connections."""
        for client in tuple(self._clients):
            client.connection.transport.abort()

    def cut_requests(self) -> None:
        """Fault switch: cut all request API connections."""
        for connection in tuple(self._sessions):
            connection.transport.abort()

    @property
    def connections(self) -> dict[str, int]:
        """Open connections by kind."""
        return {"streams": len(self._clients), "requests": len(self._sessions)}

    # --- connections -----------------------------------------------------------------------------------------------

    def _check_path(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._venue.server.streams.connect(request.path) is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such endpoint\n")
        if len(self._clients) + len(self._sessions) >= MAX_CONNECTIONS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        request = connection.request
        connect = self._venue.server.streams.connect(request.path) if request is not None else None
        if connect is None:
            return
        loop = asyncio.get_running_loop()
        old_age = loop.call_later(self._max_connection_s, connection.transport.abort)
        try:
            if connect.is_trade_api:
                await self._serve_requests(connection)
            else:
                await self._serve_streams(StreamClient(connection, connect.is_combined, dict(connect.streams)))
        except ConnectionClosed:
            pass
        finally:
            old_age.cancel()

    async def _serve_streams(self, client: StreamClient) -> None:
        streams = self._venue.server.streams
        loop = asyncio.get_running_loop()
        window, seen = 0.0, 0
        self._clients.add(client)
        self._listen(client, client.streams, {})
        try:
            async for raw in client.connection:
                now = loop.time()
                window, seen = (now, 1) if now - window >= 1.0 else (window, seen + 1)
                if seen > INBOUND_PER_S:
                    await client.connection.close(_CLOSE_POLICY, "Too many requests")
                    return
                before = dict(client.streams)
                answer = streams.control(raw, client.streams)
                if answer.is_combined is not None:
                    client.is_combined = answer.is_combined
                self._listen(client, client.streams, before)
                write_now(client.connection, answer.reply)
        finally:
            self._clients.discard(client)
            self._listen(client, {}, client.streams)

    def _listen(self, client: StreamClient, now: dict[str, Stream], before: dict[str, Stream]) -> None:
        wanted = self._venue.wanted
        new, old = set(now.values()), set(before.values())
        for stream in new - old:
            wanted.setdefault(stream, set()).add(client)
        for stream in old - new:
            listeners = wanted.get(stream)
            if listeners is not None:
                listeners.discard(client)
                if not listeners:
                    del wanted[stream]

    async def _serve_requests(self, connection: ServerConnection) -> None:
        peer = str(connection.remote_address[0]) if connection.remote_address else ""
        session = self._venue.server.session(peer, self._clock.now_ns())
        self._sessions[connection] = session
        entry = self._entries[connection] = DelayLine(asyncio.get_running_loop())
        try:
            async for raw in connection:
                call = self._venue.server.prepare(raw)
                delay_s = self._order_latency_s if call.action in ORDER_ACTIONS else 0.0
                if not entry.put(delay_s, partial(self._request, connection, session, call)):
                    connection.transport.abort()
        finally:
            self._sessions.pop(connection, None)
            entry.put(0.0, partial(self._entries.pop, connection, None))  # what had left still arrives

    def _request(self, connection: ServerConnection, session: SessionView, call: RequestView) -> None:
        self.requests += 1
        server, venue = self._venue.server, self._venue
        self._run()
        now_ns = self._clock.now_ns()
        fault = venue.faults.on_request(call.action) if venue.faults.rules else None
        kind = fault.kind if fault else ""
        answer = b""
        if kind == "drop_request":
            venue.answered(call.endpoint, 0)
            return
        if fault is not None and kind in ANSWERED_KINDS:
            answer = server.fault(kind, session, call, fault.retry_after_s, now_ns)
        else:
            answer = server.perform(session, call, now_ns)
        if fault is not None and kind == "time_out":
            answer = server.fault(kind, session, call, fault.retry_after_s, now_ns)
        venue.answered(call.endpoint, 0 if kind in ("disconnect", "drop") else call.status)
        if kind == "disconnect":
            connection.transport.abort()
        elif fault is not None and kind == "delay":
            asyncio.get_running_loop().call_later(fault.delay_ms / 1_000, write_now, connection, answer)
        elif kind != "drop":
            self._writer.send(connection, answer)
        for notice in session.notices:
            self._writer.send(connection, notice)
        session.notices.clear()
        self._run()
