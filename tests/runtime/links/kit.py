"""What the link tests share: a wire in memory, an independent reading of frames, one echo service for both sides."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from hpack import Decoder, Encoder

from tradebot.core.errors import RejectedError
from tradebot.runtime.links.connection import Connection
from tradebot.runtime.links.server import LinkServer, ServerConnection
from tradebot.runtime.links.stream import Stream
from tradebot.runtime.rpc_handlers import guard_aio_handler

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY, ACK = 1, 4, 8, 32, 1
NAME = "test.Echo"
OPENING = [(":status", "200"), ("content-type", "application/grpc")]


class Frame(NamedTuple):
    """One frame as the RFC draws it."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def pack(self) -> bytes:
        return struct.pack(">I", len(self.payload))[1:] + struct.pack(">BBI", *self[:3]) + self.payload


def frames_of(data: bytes) -> list[Frame]:
    """Read complete frames; anything left over is an error of the test."""
    found = list[Frame]()
    while data:
        length = int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", data[3:9])
        assert len(data) >= 9 + length, "half a frame was written"
        found.append(Frame(kind, flags, stream, data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def grpc_message(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def grpc_messages(data: bytes) -> list[bytes]:
    """Cut a call's bytes into messages; the bytes must end with a message's end."""
    found = list[bytes]()
    while data:
        length = int.from_bytes(data[1:5], "big")
        assert data[0] == 0
        assert len(data) >= 5 + length, "half a message was written"
        found.append(data[5 : 5 + length])
        data = data[5 + length :]
    return found


class Wire(asyncio.Transport):
    """A socket in memory: takes `room` bytes at once, then pauses its writer until somebody takes them out."""

    def __init__(self, protocol: asyncio.Protocol, room: int = 1 << 40) -> None:
        super().__init__()
        self.protocol = protocol
        self.room = room
        self.out = bytearray()
        """What is in the socket, for the peer to take."""
        self.unsent = bytearray()
        self.closed = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the end"
        self.unsent += data
        self._flush()
        if self.unsent and not getattr(self.protocol, "paused", False):
            self.protocol.pause_writing()

    def take(self, size: int = 1 << 40) -> bytes:
        """Take bytes out, as the peer's read does."""
        data = bytes(self.out[:size])
        del self.out[:size]
        self._flush()
        if not self.unsent and not self.closed and getattr(self.protocol, "paused", False):
            self.protocol.resume_writing()
        return data

    def frames(self) -> list[Frame]:
        return frames_of(self.take())

    def _flush(self) -> None:
        free = max(0, self.room - len(self.out))
        self.out += self.unsent[:free]
        del self.unsent[:free]

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True
        self.unsent.clear()

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0


def joined(connection: Connection, room: int = 1 << 40) -> Wire:
    """Give a connection its wire."""
    wire = Wire(connection, room)
    connection.connection_made(wire)
    return wire


class Accepting(Connection):
    """A serving end without handlers: it only opens what the peer opens."""

    def headers(self, stream_id: int, headers: dict[str, str], ended: bool) -> None:
        stream = self.streams.get(stream_id) or self.open(stream_id)
        if ended:
            stream.end_in()


class Everybody:
    """A guard that lets all pass."""

    async def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        return await continuation(handler_call_details)


class Echo:
    """All four shapes over raw bytes; a request may ask for trouble."""

    def __init__(self) -> None:
        self.seen = list[bytes]()
        self.metadata: dict[str, str] = {}
        self.ended = asyncio.Event()
        self._wanted, self._enough = 1, asyncio.Event()

    async def until_seen(self, count: int) -> None:
        """Wait for so many requests."""
        self._wanted = count
        if len(self.seen) < count:
            self._enough.clear()
            await self._enough.wait()

    async def _do(self, request: bytes, context: Any) -> bytes:
        self.seen.append(request)
        if len(self.seen) >= self._wanted:
            self._enough.set()
        self.metadata = {str(name): str(value) for name, value in context.invocation_metadata()}
        if request.startswith(b"abort "):
            _, code, details = request.decode().split(" ", 2)
            await context.abort(grpc.StatusCode[code], details)
        if request == b"bug":
            raise ZeroDivisionError
        if request == b"reject":
            raise RejectedError("TEST", "no")
        if request == b"wait":
            try:
                await asyncio.Event().wait()
            finally:
                await turns(20)  # a handler may take its time to clean up
                self.ended.set()
        return request

    async def Unary(self, request: bytes, context: Any) -> bytes:
        return await self._do(request, context)

    async def Down(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for part in request.split(b"|"):
            yield await self._do(part, context)

    async def Up(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        answer = b""
        async for request in requests:
            if request == b"enough":
                return answer
            answer += await self._do(request, context)
        return answer

    async def Bidi(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        try:
            async for request in requests:
                if request == b"enough":
                    return
                yield await self._do(request, context)
        finally:
            self.ended.set()

    def handlers(self) -> dict[str, Any]:
        """As RpcServer would hand them over."""
        raw: dict[str, Any] = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.Unary),
            "Down": grpc.unary_stream_rpc_method_handler(self.Down),
            "Up": grpc.stream_unary_rpc_method_handler(self.Up),
            "Bidi": grpc.stream_stream_rpc_method_handler(self.Bidi),
        }
        paths = {f"/{NAME}/{name}": handler for name, handler in raw.items()}
        # the house's wrapper serializes; raw bytes pass it
        return {path: _raw(guard_aio_handler(handler, path, lambda *_: None)) for path, handler in paths.items()}


def _raw(handler: Any) -> Any:
    return handler._replace(response_serializer=None)


class LocalServer:
    """A ServerConnection on a wire in memory, and the raw caller's half of it."""

    def __init__(self, handlers: dict[str, Any], room: int = 1 << 40) -> None:
        self.server = LinkServer(handlers, Everybody())
        self.connection = ServerConnection(self.server)
        self.wire = joined(self.connection, room)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.send(PREFACE + Frame(SETTINGS, 0, 0, b"").pack())

    def send(self, data: bytes) -> None:
        if not self.wire.closed:
            self.connection.data_received(data)

    def call_headers(self, method: str = "Unary", **more: str) -> bytes:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/{NAME}/{method}"), (":authority", "x")]
        fields += [("content-type", "application/grpc"), ("te", "trailers")]
        return bytes(self.encoder.encode([*fields, *((k.replace("_", "-"), v) for k, v in more.items())]))

    def open(self, stream: int, method: str = "Unary", **more: str) -> None:
        self.send(Frame(HEADERS, END_HEADERS, stream, self.call_headers(method, **more)).pack())

    def request(self, stream: int, message: bytes, *, end: bool = True) -> None:
        self.send(Frame(DATA, END_STREAM if end else 0, stream, grpc_message(message)).pack())

    def answers(self) -> dict[int, tuple[list[bytes], dict[str, str]]]:
        """Messages and last headers by call, of everything that was written since the last look."""
        found = dict[int, tuple[bytearray, dict[str, str]]]()
        for frame in self.wire.frames():
            if frame.kind in (DATA, HEADERS):
                body, fields = found.setdefault(frame.stream, (bytearray(), {}))
                if frame.kind == DATA:
                    body += frame.payload
                else:
                    fields |= {str(name): str(value) for name, value in self.decoder.decode(frame.payload)}
        return {stream: (grpc_messages(bytes(body)), fields) for stream, (body, fields) in found.items()}


def go_away_of(frames: list[Frame]) -> int | None:
    """Return the error code of the GOAWAY in there."""
    codes = [int.from_bytes(frame.payload[4:8], "big") for frame in frames if frame.kind == GOAWAY]
    return codes[0] if codes else None


async def turns(count: int = 10) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def read_all(stream: Stream) -> list[bytes]:
    found = list[bytes]()
    while (message := await stream.receive()) is not None:
        found.append(message)
    return found


@asynccontextmanager
async def link_server(folder: Path, echo: Echo) -> AsyncIterator[tuple[LinkServer, str]]:
    """A LinkServer on a real socket."""
    server = LinkServer(echo.handlers(), Everybody())
    target = f"unix:{folder}/link.sock"
    server.add_insecure_port(target)
    await server.start()
    try:
        yield server, target
    finally:
        await server.stop(0)


@asynccontextmanager
async def grpcio_server(folder: Path, echo: Echo, **options: int) -> AsyncIterator[tuple[grpc.aio.Server, str]]:
    """The real library's server on a real socket."""
    limits = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
    server = grpc.aio.server(options=[*limits, *((name.replace("__", "."), v) for name, v in options.items())])
    handlers = {path.rpartition("/")[2]: handler for path, handler in echo.handlers().items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    target = f"unix:{folder}/grpcio.sock"
    server.add_insecure_port(target)
    await server.start()
    try:
        yield server, target
    finally:
        await server.stop(0)


def grpcio_channel(target: str) -> Any:
    limits = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
    return grpc.aio.insecure_channel(target, options=[*limits, ("grpc.use_local_subchannel_pool", 1)])
