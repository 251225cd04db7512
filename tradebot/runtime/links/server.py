"""The serving end of a link: the part of grpc.aio's server that the daemons' servers use.

Handlers are those that `rpc_handlers` made: coroutines that take (request or request iterator, context) and, where the
response is a stream, write through the context. The guard decides before a handler is looked up.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, Protocol

import grpc
import structlog
from google.protobuf.message import DecodeError

from tradebot.core.errors import RejectedError
from tradebot.runtime.links.connection import MAX_STREAMS, Connection
from tradebot.runtime.links.frames import PREFACE, FrameError, Reason, Setting, reset
from tradebot.runtime.links.status import CONTENT_TYPE, timeout_s, trailers_of
from tradebot.runtime.links.stream import Headers, LinkClosedError, Stream

MAX_CONNECTIONS: Final = 64
"""Per socket."""
BACKLOG: Final = 128
MAX_TASKS: Final = 2 * MAX_STREAMS
"""Handlers of one connection, with those that are still ending: a caller that opens and cancels gets no more."""
END_S: Final = 1.0
"""How long `stop` waits for handlers that it cut."""
_PSEUDO: Final = ":"

_log = structlog.get_logger(__name__)

Handler = Any
"""grpc.RpcMethodHandler."""


class CallDetails(NamedTuple):
    """What a guard sees: grpc.HandlerCallDetails."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


class Guard(Protocol):
    """What decides who may call what; every grpc.aio.ServerInterceptor is one."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], handler_call_details: Any
    ) -> Handler:
        """Return the handler to use."""


class LinkServer:
    """Sockets of one caller role."""

    def __init__(self, handlers: Mapping[str, Handler], guard: Guard) -> None:
        """`handlers` by full method name."""
        self.handlers = handlers
        self.guard = guard
        self._listeners: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self.connections: set[ServerConnection] = set()
        self.stopping = False

    def add_insecure_port(self, address: str) -> int:
        """Bind a `unix:` address now; serving begins with `start`."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(address.removeprefix("unix:"))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listeners.append(listener)
        return 1

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            self._servers.append(await loop.create_unix_server(lambda: ServerConnection(self), sock=listener))

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, give running ones `grace_s`, then cut them."""
        self.stopping = True
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        self._servers.clear()
        for connection in self.connections:
            connection.go_away()
        tasks = {task for connection in self.connections for task in connection.tasks} - {asyncio.current_task()}
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=grace_s)
        for connection in list(self.connections):
            connection.abort("the server stops")
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)


class ServerConnection(Connection):
    """One caller."""

    def __init__(self, server: LinkServer) -> None:
        super().__init__()
        self._server = server
        self._greeted = False
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._server.stopping or len(self._server.connections) >= MAX_CONNECTIONS:
            if not self._server.stopping:
                _log.warning("link_refused", reason=f"{MAX_CONNECTIONS} connections on one socket")
            transport.close()
            return
        self._server.connections.add(self)
        super().connection_made(transport)

    def own_settings(self) -> dict[Setting, int]:
        return {Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS}

    def frames(self, data: bytes, position: int = 0) -> int:
        if not self._greeted:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise FrameError(Reason.PROTOCOL_ERROR, "not an HTTP/2 client")
            if len(data) < len(PREFACE):
                self.needed = 0  # look at every byte: somebody else's protocol may be shorter
                return 0
            self._greeted = True
            position = len(PREFACE)
        return super().frames(data, position)

    def headers(self, stream_id: int, headers: dict[str, str], ended: bool) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:  # trailers of a client say nothing in gRPC
            if ended:
                stream.end_in()
                self.settle(stream)
            return
        if stream_id <= self._last_peer_stream:
            return  # of a call that ended here meanwhile
        if not stream_id % 2:
            raise FrameError(Reason.PROTOCOL_ERROR, f"a client opened call {stream_id}")
        if self.closing or len(self.streams) >= MAX_STREAMS or len(self.tasks) >= MAX_TASKS:
            self.write(reset(stream_id, Reason.REFUSED_STREAM))
            return
        stream = self.open(stream_id)
        if ended:
            stream.end_in()
        context = CallContext(stream, headers)
        task = asyncio.get_running_loop().create_task(self._serve(context), name=headers.get(":path", "?"))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        stream.on_failure = partial(_cancel_once, task)
        context.task = task

    def ended(self, text: str) -> None:
        self._server.connections.discard(self)
        for task in self.tasks:
            _cancel_once(task)

    async def _serve(self, context: CallContext) -> None:
        deadline = context.watch_deadline()
        try:
            await self._answer(context)
            context.finish(grpc.StatusCode.OK, "")
        except grpc.aio.AbortError:
            context.finish(*context.aborted)
        except LinkClosedError:
            pass  # the caller left
        except RejectedError as exc:
            context.finish(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
        except asyncio.CancelledError:
            context.finish(grpc.StatusCode.CANCELLED, "canceled by the server")
        except Exception as exc:  # noqa: BLE001  the top of an RPC's task
            method = context.headers.get(":path", "")
            _log.error("call_failed", method=method, error=repr(exc), exc_info=exc)
            context.finish(grpc.StatusCode.INTERNAL, f"internal error in {method}: {type(exc).__name__}")
        finally:
            if deadline is not None:
                deadline.cancel()

    async def _answer(self, context: CallContext) -> None:
        if not context.headers.get("content-type", "").startswith(CONTENT_TYPE):
            await context.abort(grpc.StatusCode.INTERNAL, f"content-type must be {CONTENT_TYPE}")
        if context.headers.get("grpc-encoding", "identity") != "identity":
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "compression is not spoken here")
        details = CallDetails(context.headers.get(":path", ""), context.invocation_metadata())
        handler = await self._server.guard.intercept_service(self._find, details)
        if handler is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{details.method} is not served here")
        context.serialize = handler.response_serializer
        requests = Requests(context.stream, handler.request_deserializer)
        request: Any = requests
        if not handler.request_streaming:
            request = await anext(requests, None)
            if request is None:
                await context.abort(grpc.StatusCode.INTERNAL, "the call ended without its request")
        if handler.response_streaming:
            await (handler.stream_stream or handler.unary_stream)(request, context)
        else:
            await context.write(await (handler.unary_unary or handler.stream_unary)(request, context))

    async def _find(self, details: CallDetails) -> Handler:
        return self._server.handlers.get(details.method)


def _cancel_once(task: asyncio.Task[None]) -> None:
    """Cancel a handler. Deadline, caller and connection may all end it: its clean-up after the first of them is not
    canceled by the next.
    """
    if not task.cancelling():
        task.cancel()


class Requests:
    """Messages of one call, for `async for` and `anext`."""

    def __init__(self, stream: Stream, deserialize: Callable[[bytes], Any] | None) -> None:
        self._stream = stream
        self._deserialize = deserialize

    def __aiter__(self) -> Requests:
        return self

    async def __anext__(self) -> Any:
        data = await self._stream.receive()
        if data is None:
            raise StopAsyncIteration
        return self._read(data)

    async def feed_to(self, take: Callable[[Any], None]) -> None:
        """Call `take` with every message as it arrives; return at the end. See `runtime.feeding`."""
        await self._stream.hand_to(lambda data: take(self._read(data)))

    def _read(self, data: bytes) -> Any:
        if self._deserialize is None:
            return data
        try:
            return self._deserialize(data)
        except DecodeError as exc:
            raise RejectedError("MALFORMED", f"not a valid request message: {exc}") from None


class CallContext:
    """What a handler sees of its call: the used part of grpc.aio.ServicerContext."""

    def __init__(self, stream: Stream, headers: dict[str, str]) -> None:
        self.stream = stream
        self.headers = headers
        self.serialize: Callable[[Any], bytes] | None = None
        self.task: asyncio.Task[None] | None = None
        self.aborted = (grpc.StatusCode.UNKNOWN, "")
        self._began = False

    async def write(self, message: Any) -> None:
        """Send one message; returns when there is room for the next.

        Raises:
            LinkClosedError: If the caller left.
        """
        self._begin()
        stream = self.stream
        stream.send(message if self.serialize is None else self.serialize(message))
        if stream.backed_up:
            await stream.drained()

    def write_now(self, message: Any) -> bool:
        """Send one message without waiting; False when the call is over or the peer takes nothing now."""
        if not self.takes_now:
            return False
        self._begin()
        try:
            self.stream.send(message if self.serialize is None else self.serialize(message))
        except LinkClosedError:
            return False
        return True

    @property
    def takes_now(self) -> bool:
        """True when `write_now` would write."""
        return not (self.stream.backed_up or self.stream.closed)

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        """End the call with this status."""
        self.aborted = (code, details)
        raise grpc.aio.AbortError

    def code(self) -> grpc.StatusCode | None:
        """Return the status of an aborted call."""
        return self.aborted[0] if self.aborted[0] is not grpc.StatusCode.UNKNOWN else None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what the caller sent along."""
        return tuple((name, value) for name, value in self.headers.items() if not name.startswith(_PSEUDO))

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return nothing: over a Unix socket the socket says who calls."""
        return {}

    def watch_deadline(self) -> asyncio.TimerHandle | None:
        """Cancel the handler when the caller's time is up."""
        seconds = timeout_s(self.headers.get("grpc-timeout", ""))
        if seconds is None:
            return None
        return asyncio.get_running_loop().call_later(seconds, self._too_late)

    def finish(self, code: grpc.StatusCode, details: str) -> None:
        """Send the trailers; nothing happens when the call is over already."""
        trailers = trailers_of(code, details)
        self.stream.stop_reading()
        self.stream.end(trailers if self._began else [*_OPENING, *trailers])

    def _too_late(self) -> None:
        self.finish(grpc.StatusCode.DEADLINE_EXCEEDED, "the caller's deadline has passed")
        if self.task is not None:
            _cancel_once(self.task)

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            self.stream.send_headers(_OPENING)


_OPENING: Final[Headers] = [(":status", "200"), ("content-type", CONTENT_TYPE)]
