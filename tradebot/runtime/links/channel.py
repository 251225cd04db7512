"""The dialling end of a link: the part of grpc.aio's channel that generated stubs and the daemons' clients use.

Nothing is ever sent twice. A call with `wait_for_ready` dials again and again until somebody answers; every other call
fails at once with UNAVAILABLE. Errors are grpc.aio.AioRpcError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, cast

import grpc

from tradebot.runtime.links.connection import Connection
from tradebot.runtime.links.frames import PREFACE, Reason, Setting
from tradebot.runtime.links.status import CONTENT_TYPE, rpc_error, status_in, timeout_text
from tradebot.runtime.links.stream import LinkClosedError, Stream

MIN_REDIAL_S: Final = 0.05
MAX_REDIAL_S: Final = 1.0
_LAST_STREAM: Final = 2**31 - 1

Metadata = Sequence[tuple[str, str]]
Serializer = Callable[[Any], bytes] | None
Deserializer = Callable[[bytes], Any] | None


class CallOptions(NamedTuple):
    """How one call is made."""

    timeout_s: float | None
    """Counted from the first byte; the server is told."""
    wait_for_ready: bool
    metadata: Metadata


class ClientConnection(Connection):
    """One connection to a daemon."""

    def __init__(self) -> None:
        super().__init__()
        self._next_stream = 1

    def hello(self) -> bytes:
        return PREFACE

    def own_settings(self) -> dict[Setting, int]:
        return {Setting.ENABLE_PUSH: 0}

    def is_ours(self, stream_id: int) -> bool:
        return stream_id % 2 == 1

    def highest_stream(self) -> int:
        return self._next_stream - 2

    @property
    def usable(self) -> bool:
        """True while new calls may be opened."""
        return not self.closing and self._next_stream <= _LAST_STREAM

    def begin(self, method: str, options: CallOptions) -> Stream:
        """Open a call and send its headers."""
        stream = self.open(self._next_stream)
        self._next_stream += 2
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", CONTENT_TYPE),
            ("te", "trailers"),
            *options.metadata,
        ]
        if options.timeout_s is not None:
            headers.append(("grpc-timeout", timeout_text(options.timeout_s)))
        self.send_headers(stream.stream_id, headers, end=False)
        return stream

    def headers(self, stream_id: int, headers: dict[str, str], ended: bool) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if ended:
            stream.trailers_in = headers
            stream.end_in()
            if not stream.closed:  # the answer is complete, whatever we still wanted to say
                stream.fail_quietly()
        elif headers.get(":status") != "200":
            stream.fail(f"HTTP status {headers.get(':status')}: not a gRPC server", Reason.CANCEL)


class LinkChannel:
    """A connection to one socket, dialled when it is first needed and again when it was lost."""

    def __init__(self, target: str) -> None:
        """`target` is `unix:` and a path."""
        self._path = target.removeprefix("unix:")
        self._connection: ClientConnection | None = None
        self._dialling: asyncio.Lock | None = None
        self._closed = False

    # ---- what stubs call

    def unary_unary(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: Any
    ) -> Callable[..., Any]:
        """Return the callable of a unary method; calling it returns a coroutine."""

        def call(
            request: Any,
            *,
            timeout: float | None = None,
            wait_for_ready: bool = False,
            metadata: Metadata = (),
        ) -> Coroutine[Any, Any, Any]:
            options = CallOptions(timeout, wait_for_ready, metadata)
            return LinkCall(self, method, request_serializer, response_deserializer, options).one_answer(_only(request))

        return call

    def stream_unary(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: Any
    ) -> Callable[..., Any]:
        """Return the callable of a method that takes a stream; calling it returns a coroutine."""

        def call(
            requests: AsyncIterable[Any],
            *,
            timeout: float | None = None,
            wait_for_ready: bool = False,
            metadata: Metadata = (),
        ) -> Coroutine[Any, Any, Any]:
            options = CallOptions(timeout, wait_for_ready, metadata)
            return LinkCall(self, method, request_serializer, response_deserializer, options).one_answer(requests)

        return call

    def unary_stream(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: Any
    ) -> Callable[..., LinkCall]:
        """Return the callable of a method that answers with a stream."""

        def call(
            request: Any,
            *,
            timeout: float | None = None,
            wait_for_ready: bool = False,
            metadata: Metadata = (),
        ) -> LinkCall:
            options = CallOptions(timeout, wait_for_ready, metadata)
            running = LinkCall(self, method, request_serializer, response_deserializer, options)
            running.first = request
            return running

        return call

    def stream_stream(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: Any
    ) -> Callable[..., LinkCall]:
        """Return the callable of a method with streams both ways; requests come by `write` or from an iterable."""

        def call(
            requests: AsyncIterable[Any] | None = None,
            *,
            timeout: float | None = None,
            wait_for_ready: bool = False,
            metadata: Metadata = (),
        ) -> LinkCall:
            options = CallOptions(timeout, wait_for_ready, metadata)
            running = LinkCall(self, method, request_serializer, response_deserializer, options)
            if requests is not None:
                running.write_from(requests)
            return running

        return call

    # ---- the connection

    async def channel_ready(self) -> None:
        """Return when somebody answers."""
        await self.connect(wait=True)

    async def close(self, grace: float | None = None) -> None:
        """End every call."""
        self._closed = True
        if self._connection is not None:
            self._connection.abort("the channel was closed")

    async def __aenter__(self) -> LinkChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self, *, wait: bool) -> ClientConnection:
        """Return a usable connection, dialling if need be.

        Args:
            wait: Go on until somebody answers, instead of raising.

        Raises:
            grpc.aio.AioRpcError: UNAVAILABLE when nobody answers.
        """
        if self._connection is not None and self._connection.usable:
            return self._connection
        if self._dialling is None:
            self._dialling = asyncio.Lock()
        pause_s = MIN_REDIAL_S
        while True:
            async with self._dialling:
                if self._closed:
                    raise rpc_error(grpc.StatusCode.CANCELLED, "the channel was closed")
                if self._connection is not None and self._connection.usable:
                    return self._connection
                try:
                    loop = asyncio.get_running_loop()
                    _, self._connection = await loop.create_unix_connection(ClientConnection, self._path)
                    return self._connection
                except OSError as exc:
                    if not wait:
                        text = f"{self._path}: {exc.strerror or exc}"
                        raise rpc_error(grpc.StatusCode.UNAVAILABLE, text) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_REDIAL_S)


class LinkCall:
    """One call: the used part of grpc.aio's stream calls. One reader task and one writer task may share it."""

    def __init__(
        self,
        channel: LinkChannel,
        method: str,
        serialize: Serializer,
        deserialize: Deserializer,
        options: CallOptions,
    ) -> None:
        self.first: Any = None
        """Request of a call that has only one."""
        self._channel = channel
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize
        self._options = options
        self._stream: Stream | None = None
        self._opening: asyncio.Lock | None = None
        self._canceled = False
        self._feeder: asyncio.Task[None] | None = None

    async def wait_for_connection(self) -> None:
        """Return when the call is open."""
        if self._stream is None:
            await self._open()

    async def _open(self) -> Stream:
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._stream is None:
                connection = await self._channel.connect(wait=self._options.wait_for_ready)
                if self._canceled:
                    raise self._error()
                self._stream = connection.begin(self._method, self._options)
                if self.first is not None:
                    self._stream.send(self._encode(self.first))
                    self._stream.end()
            return self._stream

    async def read(self) -> Any:
        """Return the next message; grpc.aio.EOF at the end of a call that succeeded.

        Raises:
            grpc.aio.AioRpcError: With the status of a call that did not.
        """
        stream = self._stream or await self._open()
        try:
            data = await stream.receive()
        except LinkClosedError:
            raise self._error() from None
        if data is not None:
            return data if self._deserialize is None else self._deserialize(data)
        code, details = status_in(stream.trailers_in or {})
        if code is not grpc.StatusCode.OK:
            raise rpc_error(code, details)
        return grpc.aio.EOF

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def write(self, message: Any) -> None:
        """Send one message; returns when there is room for the next.

        Raises:
            grpc.aio.AioRpcError: If the call is over.
        """
        stream = self._stream or await self._open()
        try:
            stream.send(self._encode(message))
            if stream.backed_up:
                await stream.drained()
        except LinkClosedError:
            raise self._error() from None

    def write_now(self, message: Any) -> bool:
        """Send one message without waiting; False when the call is not open, over, or the peer takes nothing now."""
        stream = self._stream
        if stream is None or stream.backed_up:
            return False
        try:
            stream.send(self._encode(message))
        except LinkClosedError:
            return False
        return True

    def write_from(self, requests: AsyncIterable[Any]) -> None:
        """Write everything that an iterable gives, in a task of its own."""
        self._feeder = asyncio.get_running_loop().create_task(self._feed(requests), name=f"{self._method} requests")

    async def _feed(self, requests: AsyncIterable[Any]) -> None:
        try:
            async for request in requests:
                await self.write(request)
            await self.done_writing()
        except grpc.aio.AioRpcError:
            pass  # whoever reads the answers is told

    async def one_answer(self, requests: AsyncIterable[Any]) -> Any:
        """Write the requests and return the only answer.

        Raises:
            grpc.aio.AioRpcError: If the call does not succeed in time.
        """
        try:
            async with asyncio.timeout(self._options.timeout_s):
                async for request in requests:
                    await self.write(request)
                await self.done_writing()
                answer = await self.read()
                if answer is grpc.aio.EOF:
                    raise rpc_error(grpc.StatusCode.INTERNAL, f"{self._method}: the call ended without an answer")
                await self.read()  # its status
                return answer
        except TimeoutError:
            text = f"{self._method}: no answer in {self._options.timeout_s} s"
            raise rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, text) from None
        finally:
            self.cancel()

    async def done_writing(self) -> None:
        """Say that no more messages follow."""
        (self._stream or await self._open()).end()

    def cancel(self) -> bool:
        """Give the call up."""
        self._canceled = True
        if self._feeder is not None:
            self._feeder.cancel()
        if self._stream is None or self._stream.closed:
            return False
        self._stream.fail("canceled here", Reason.CANCEL)
        return True

    async def code(self) -> grpc.StatusCode:
        """Return the status, once the call is over; unread messages are dropped."""
        code, _ = await self._outcome()
        return code

    async def details(self) -> str:
        """Return the text of the status, once the call is over."""
        _, details = await self._outcome()
        return details

    async def _outcome(self) -> tuple[grpc.StatusCode, str]:
        try:
            while await self.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as exc:
            return exc.code(), exc.details() or ""
        return grpc.StatusCode.OK, ""

    def _encode(self, message: Any) -> bytes:
        return cast(bytes, message) if self._serialize is None else self._serialize(message)

    def _error(self) -> grpc.aio.AioRpcError:
        stream = self._stream
        if stream is not None and stream.trailers_in is not None:
            return rpc_error(*status_in(stream.trailers_in))
        if self._canceled:
            return rpc_error(grpc.StatusCode.CANCELLED, "canceled here")
        text = str(stream.failure) if stream is not None and stream.failure is not None else "the call is over"
        return rpc_error(grpc.StatusCode.UNAVAILABLE, text)


async def _only(request: Any) -> AsyncIterator[Any]:
    yield request
