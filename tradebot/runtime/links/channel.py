"""The dialling end of a link: the part of grpc.aio's channel that generated stubs and the daemons' clients use.

Nothing is ever sent twice. A call with `wait_for_ready` dials again and again until somebody answers; every other call
fails at once with UNAVAILABLE. Errors are grpc.aio.AioRpcError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import grpc

from tradebot.runtime.links.call import CallOptions, Deserializer, LinkCall, Metadata, Requests, Serializer
from tradebot.runtime.links.connection import Connection
from tradebot.runtime.links.frames import PREFACE, Reason, Setting
from tradebot.runtime.links.status import CONTENT_TYPE, rpc_error, timeout_text
from tradebot.runtime.links.stream import Stream

MIN_REDIAL_S: Final = 0.05
MAX_REDIAL_S: Final = 1.0
_LAST_STREAM: Final = 2**31 - 1


class ClientConnection(Connection):
    """One connection to a daemon."""

    def __init__(self, on_end: Callable[[ClientConnection], object] | None = None) -> None:
        """`on_end` is told when it is gone."""
        super().__init__()
        self._next_stream = 1
        self._on_end = on_end

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
            if stream.closed:
                self.settle(stream)  # a reset that follows the whole answer takes nothing of it back
            else:  # the answer is complete, whatever we still wanted to say
                stream.fail_quietly()
        elif headers.get(":status") != "200":
            stream.fail(f"HTTP status {headers.get(':status')}: not a gRPC server", Reason.CANCEL)

    def ended(self, text: str) -> None:
        if self._on_end is not None:
            self._on_end(self)


class LinkChannel:
    """A connection to one socket, dialled when it is first needed and again when it was lost."""

    def __init__(self, target: str) -> None:
        """`target` is `unix:` and a path."""
        self._path = target.removeprefix("unix:")
        self._connection: ClientConnection | None = None
        self._connections: set[ClientConnection] = set()
        """With those that take no new calls but still have old ones."""
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
            running = LinkCall(self, method, request_serializer, response_deserializer, options)
            running.first = request
            return running.one_answer()

        return call

    def stream_unary(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: Any
    ) -> Callable[..., Any]:
        """Return the callable of a method that takes a stream; calling it returns a coroutine."""

        def call(
            requests: Requests,
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
            running.watch_deadline()
            return running

        return call

    def stream_stream(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: Any
    ) -> Callable[..., LinkCall]:
        """Return the callable of a method with streams both ways; requests come by `write` or from an iterable."""

        def call(
            requests: Requests | None = None,
            *,
            timeout: float | None = None,
            wait_for_ready: bool = False,
            metadata: Metadata = (),
        ) -> LinkCall:
            options = CallOptions(timeout, wait_for_ready, metadata)
            running = LinkCall(self, method, request_serializer, response_deserializer, options)
            running.watch_deadline()
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
        for connection in list(self._connections):
            connection.abort("the channel was closed")

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
        if (connection := self.usable()) is not None:
            return connection
        if self._dialling is None:
            self._dialling = asyncio.Lock()
        pause_s = MIN_REDIAL_S
        while True:
            async with self._dialling:
                if self._closed:
                    raise rpc_error(grpc.StatusCode.CANCELLED, "the channel was closed")
                if (connection := self.usable()) is not None:
                    return connection
                try:
                    return await self._dial()
                except OSError as exc:
                    if not wait:
                        text = f"{self._path}: {exc.strerror or exc}"
                        raise rpc_error(grpc.StatusCode.UNAVAILABLE, text) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_REDIAL_S)

    def usable(self) -> ClientConnection | None:
        """Return the connection if new calls may be opened on it."""
        connection = self._connection
        return connection if connection is not None and connection.usable else None

    async def _dial(self) -> ClientConnection:
        make = asyncio.get_running_loop().create_unix_connection
        _, connection = await make(lambda: ClientConnection(self._connections.discard), self._path)
        if self._closed:
            connection.abort("the channel was closed")
            raise rpc_error(grpc.StatusCode.CANCELLED, "the channel was closed")
        if not connection.closing:
            self._connections.add(connection)
        self._connection = connection
        return connection
