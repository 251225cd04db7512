"""One WebSocket connection, by picows or by websockets, behind one small face.

Text frames are handed on inside the library's own callback: no queue and no task lies between the socket and the book.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import picows
import websockets

from tradebot.core.errors import DisconnectedError, TradebotError

MAX_FRAME_BYTES: Final = 8 << 20
CONNECT_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0

OnText = Callable[[bytes, bool], None]
"""(frame, True when no further frame has arrived yet). Errors it raises end the connection."""
OnAlive = Callable[[], None]
"""The other side said anything at all: a frame, a ping or a pong."""


class Socket(Protocol):
    """An open connection."""

    def send(self, text: bytes) -> None:
        """Send a text frame."""
        ...

    def ping(self) -> None:
        """Ask for a sign of life."""
        ...

    def close(self) -> None:
        """Begin to close; `wait_closed` returns soon."""
        ...

    async def wait_closed(self) -> str:
        """Wait for the end and return why. Raises what `on_text` raised."""
        ...


async def open_socket(library: str, url: str, on_text: OnText, on_alive: OnAlive) -> Socket:
    """Connect.

    Raises:
        DisconnectedError: If that fails.
    """
    try:
        if library == "picows":
            return await _open_picows(url, on_text, on_alive)
        return await _open_websockets(url, on_text, on_alive)
    except (OSError, TimeoutError, picows.WSError, websockets.WebSocketException) as exc:
        raise DisconnectedError(f"{url.partition('?')[0]}: {str(exc) or type(exc).__name__}") from exc


class _PicowsSocket(picows.WSListener):
    """Callbacks of picows run inside data_received."""

    def __init__(self, on_text: OnText, on_alive: OnAlive) -> None:
        self._on_text = on_text
        self._on_alive = on_alive
        self._parts = bytearray()
        self._transport: Any = None
        self._error: TradebotError | None = None

    def on_ws_connected(self, transport: Any) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        kind = frame.msg_type
        if kind is _TEXT and frame.fin:
            self._deliver(frame.get_payload_as_bytes(), frame.last_in_buffer)
        elif kind is picows.WSMsgType.PING:
            self._on_alive()
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is picows.WSMsgType.PONG:
            self._on_alive()
        elif kind is picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        else:
            self._collect(frame)

    def send(self, text: bytes) -> None:
        self._transport.send(_TEXT, text)

    def ping(self) -> None:
        self._transport.send_ping()

    def close(self) -> None:
        self._transport.send_close(picows.WSCloseCode.OK)
        self._transport.disconnect(False)

    async def wait_closed(self) -> str:
        try:
            await self._transport.wait_disconnected()
        except (OSError, picows.WSError) as exc:
            return str(exc) or type(exc).__name__
        if self._error is not None:
            raise self._error
        return "closed"

    def _deliver(self, text: bytes, last: bool) -> None:
        if self._error is not None:
            return
        try:
            self._on_text(text, last)
        except TradebotError as exc:  # picows would log and lose it
            self._error = exc
            self._transport.disconnect(False)

    def _collect(self, frame: Any) -> None:
        """A message in several frames; no venue sends them, but the protocol allows it."""
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > MAX_FRAME_BYTES:
            self._transport.disconnect(False)
        elif frame.fin:
            text = bytes(self._parts)
            self._parts.clear()
            self._deliver(text, frame.last_in_buffer)


_TEXT: Final = picows.WSMsgType.TEXT


async def _open_picows(url: str, on_text: OnText, on_alive: OnAlive) -> Socket:
    listener = _PicowsSocket(on_text, on_alive)
    await picows.ws_connect(
        lambda: listener,
        url,
        websocket_handshake_timeout=CONNECT_TIMEOUT_S,
        enable_auto_pong=False,  # a ping is a sign of life that we want to see
        max_frame_size=MAX_FRAME_BYTES,
    )
    return listener


class _WebsocketsSocket:
    """The portable one: a reader loop inside `wait_closed`."""

    def __init__(self, connection: websockets.ClientConnection, on_text: OnText, on_alive: OnAlive) -> None:
        self._connection = connection
        self._on_text = on_text
        self._on_alive = on_alive
        self._jobs: set[asyncio.Task[Any]] = set()

    def send(self, text: bytes) -> None:
        self._run(self._connection.send(text.decode()))

    def ping(self) -> None:
        self._run(self._ping())

    def close(self) -> None:
        self._run(self._connection.close())

    async def wait_closed(self) -> str:
        try:
            async for message in self._connection:
                self._on_text(message if isinstance(message, bytes) else message.encode(), True)
            return "closed"
        except websockets.ConnectionClosed as exc:
            return str(exc)
        finally:
            await self._connection.close()
            await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _ping(self) -> None:
        await (await self._connection.ping())
        self._on_alive()

    def _run(self, work: Any) -> None:
        job = asyncio.ensure_future(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        job.add_done_callback(_forget_closed)


def _forget_closed(job: asyncio.Task[Any]) -> None:
    """A frame that could not be sent shows as the end of the connection; do not report it twice."""
    if not job.cancelled():
        job.exception()


async def _open_websockets(url: str, on_text: OnText, on_alive: OnAlive) -> Socket:
    connection = await websockets.connect(
        url,
        max_size=MAX_FRAME_BYTES,
        ping_interval=None,
        open_timeout=CONNECT_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        compression=None,
    )
    return _WebsocketsSocket(connection, on_text, on_alive)
