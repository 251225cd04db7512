"""The private WebSocket connection to one venue: connect, hand frames over, write bytes. Decides nothing.

picows on uvloop: a frame is delivered in the loop's read callback and a send is one system call, with no task in
between. A connection that is silent is pinged; one that does not answer is dropped.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final, NoReturn

import structlog
from picows import WSAutoPingStrategy, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tradebot.core.errors import DisconnectedError

CONNECT_TIMEOUT_S: Final = 10.0
PING_AFTER_S: Final = 5.0
PONG_WITHIN_S: Final = 5.0
MIN_RECONNECT_S: Final = 0.05
MAX_RECONNECT_S: Final = 5.0
"""Venues count connection attempts: this stays far below 300 in five minutes."""
MAX_FRAME_BYTES: Final = 4 << 20
MAX_MESSAGE_BYTES: Final = 8 << 20
"""A fragmented message longer than this is not an answer to anything we ask."""

_log = structlog.get_logger(__name__)


class _Listener(WSListener):
    def __init__(self, on_message: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._parts: list[bytes] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand complete text messages over."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        payload = frame.get_payload_as_bytes()
        if frame.fin and not self._parts:
            self._on_message(payload)
            return
        self._parts.append(payload)
        if sum(map(len, self._parts)) > MAX_MESSAGE_BYTES:
            transport.disconnect(False)
        elif frame.fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._on_message(whole)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        self._on_end()


class VenueSession:
    """One connection after the other; `run_once` is one life, to be redialled."""

    def __init__(
        self,
        name: str,
        url: str,
        on_up: Callable[[], None],
        on_message: Callable[[bytes], None],
        on_down: Callable[[], None],
    ) -> None:
        self.name = name
        self._url = url
        self._on_up = on_up
        self._on_message = on_message
        self._on_down = on_down
        self._transport: WSTransport | None = None
        self.last_frame_s = 0.0
        """Loop time of the last frame."""

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def send(self, data: bytes) -> bool:
        """Write one text frame; False when there is no connection."""
        if self._transport is None:
            return False
        self._transport.send(WSMsgType.TEXT, data)
        return True

    def drop(self, reason: str) -> None:
        """Give the connection up; the redial loop opens another one."""
        if self._transport is not None:
            _log.warning("venue_connection_dropped", venue=self.name, reason=reason)
            self._transport.disconnect(False)

    async def keep_connected(self, quiet_s: Callable[[], float], rng: random.Random | None = None) -> NoReturn:
        """Connect again and again, with jittered backoff and never while the venue wants silence.

        Args:
            quiet_s: How long the venue must not be bothered.
            rng: Jitter; a test passes a seeded one.
        """
        chance = rng or random.Random()
        loop = asyncio.get_running_loop()
        wait_s = MIN_RECONNECT_S
        while True:
            started = loop.time()
            try:
                await self.run_once()
            except DisconnectedError as exc:
                _log.warning("venue_link_down", venue=self.name, reason=str(exc))
            lasted = loop.time() - started > MAX_RECONNECT_S
            wait_s = MIN_RECONNECT_S if lasted else min(wait_s * 2, MAX_RECONNECT_S)
            await asyncio.sleep(max(wait_s * chance.uniform(0.5, 1.0), quiet_s()))

    async def run_once(self) -> None:
        """Connect and stay until the connection ends.

        Raises:
            DisconnectedError: When it ends or cannot be made.
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def receive(payload: bytes) -> None:
            self.last_frame_s = loop.time()
            self._on_message(payload)

        try:
            transport, _ = await ws_connect(
                lambda: _Listener(receive, ended.set),
                self._url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_ping=True,
                enable_auto_pong=True,
                auto_ping_idle_timeout=PING_AFTER_S,
                auto_ping_reply_timeout=PONG_WITHIN_S,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                max_frame_size=MAX_FRAME_BYTES,
            )
        except (OSError, WSError, TimeoutError) as exc:
            raise DisconnectedError(f"{self.name}: cannot connect to the trading endpoint: {exc}") from exc
        self._transport = transport
        self.last_frame_s = loop.time()
        _log.info("venue_connected", venue=self.name)
        try:
            self._on_up()
            await ended.wait()
        finally:
            self._transport = None
            transport.disconnect(False)
            self._on_down()
        raise DisconnectedError(f"{self.name}: the trading connection ended")
