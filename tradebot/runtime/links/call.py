"""One call over a link: the used part of grpc.aio's calls. Errors are grpc.aio.AioRpcError.

One task may read while others write. Whatever ends the call (the peer, the connection, the deadline, `cancel`) ends the
waiting of all of them, also while the peer is still being dialled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

import grpc
import structlog
from google.protobuf.message import DecodeError

from tradebot.runtime.links.frames import Reason
from tradebot.runtime.links.status import rpc_error, status_in
from tradebot.runtime.links.stream import LinkClosedError, Stream

Requests = AsyncIterable[Any] | Iterable[Any]
Metadata = Sequence[tuple[str, str]]
Serializer = Callable[[Any], bytes] | None
Deserializer = Callable[[bytes], Any] | None

_NOTHING: Final = object()
_log = structlog.get_logger(__name__)


class CallOptions(NamedTuple):
    """How one call is made."""

    timeout_s: float | None
    """Counted from the making of the call; the server is told."""
    wait_for_ready: bool
    metadata: Metadata


class Opener(Protocol):
    """A connection on which calls can be opened."""

    def begin(self, method: str, options: CallOptions) -> Stream:
        """Open a call and send its headers."""


class Dialler(Protocol):
    """Where calls get their connection: a channel."""

    def usable(self) -> Opener | None:
        """Return the connection if there is one."""

    async def connect(self, *, wait: bool) -> Opener:
        """Return a connection, dialling if need be.

        Raises:
            grpc.aio.AioRpcError: When nobody answers, or the channel is closed.
        """


class LinkCall:
    """See the module."""

    def __init__(
        self,
        channel: Dialler,
        method: str,
        serialize: Serializer,
        deserialize: Deserializer,
        options: CallOptions,
    ) -> None:
        self.first: Any = _NOTHING
        """Request of a call that has only one."""
        self._channel = channel
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize
        self._options = options
        self._stream: Stream | None = None
        self._dialling: asyncio.Task[Opener] | None = None
        self._waiting = 0
        """Tasks that wait for the dialling."""
        self._ended: tuple[grpc.StatusCode, str] | None = None
        """Why it was ended from here."""
        self._feeder: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch_deadline(self) -> None:
        """End the call when its time is up."""
        if self._options.timeout_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._options.timeout_s, self._too_late)

    # ---- opening

    async def wait_for_connection(self) -> None:
        """Return when the call is open."""
        if self._stream is None:
            await self._open()

    async def _open(self) -> Stream:
        """Open the call, once, however many tasks ask for it."""
        if self._ended is not None:
            raise self._error()
        connection = self._channel.usable() or await self._dial()
        if self._stream is None:
            request = None if self.first is _NOTHING else self._encode(self.first)
            self._stream = connection.begin(self._method, self._options)
            if request is not None and not self._stream.closed:
                self._stream.send(request)
                self._stream.end()
        return self._stream

    async def _dial(self) -> Opener:
        """Wait for the channel in a task of its own, so that `cancel` can end the waiting."""
        if self._dialling is None:
            dialling = self._channel.connect(wait=self._options.wait_for_ready)
            self._dialling = asyncio.ensure_future(dialling)
            self._dialling.add_done_callback(_taken)
        task = self._dialling
        self._waiting += 1
        try:
            await asyncio.wait((task,))  # who is canceled here leaves the dialling to the others
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._dialling = None
                task.cancel()
        if self._ended is not None or task.cancelled():
            raise self._error()
        return task.result()

    # ---- in

    async def read(self) -> Any:
        """Return the next message; grpc.aio.EOF at the end of a call that succeeded.

        Raises:
            grpc.aio.AioRpcError: With the status of a call that did not.
            RuntimeError: If another task is reading.
        """
        stream = self._stream or await self._open()
        try:
            data = await stream.receive()
        except LinkClosedError:
            self._release()
            raise self._error() from None
        if data is not None:
            return data if self._deserialize is None else self._decode(self._deserialize, data)
        self._finish(stream)
        return grpc.aio.EOF

    async def feed_to(self, take: Callable[[Any], None]) -> None:
        """Call `take` with every message as it arrives; return at the end. See `runtime.feeding`.

        Raises:
            grpc.aio.AioRpcError: With the status of a call that did not succeed.
        """
        stream, deserialize = self._stream or await self._open(), self._deserialize

        def deliver(data: bytes) -> None:
            take(data if deserialize is None else self._decode(deserialize, data))

        try:
            await stream.hand_to(deliver)
        except LinkClosedError:
            self._release()
            raise self._error() from None
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        self._release()
        code, details = status_in(stream.trailers_in or {})
        if code is not grpc.StatusCode.OK:
            raise rpc_error(code, details)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    def _decode(self, deserialize: Callable[[bytes], Any], data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError as exc:
            text = f"{self._method}: not a valid answer: {exc}"
            self._end(grpc.StatusCode.INTERNAL, text)
            raise rpc_error(grpc.StatusCode.INTERNAL, text) from None

    async def one_answer(self, requests: Requests | None = None) -> Any:
        """Write the requests, if there are several, and return the only answer.

        Raises:
            grpc.aio.AioRpcError: If the call does not succeed in time.
        """
        try:
            async with asyncio.timeout(self._options.timeout_s):
                if requests is not None:
                    self.write_from(requests)
                answer = await self.read()
                if answer is grpc.aio.EOF:
                    raise rpc_error(grpc.StatusCode.INTERNAL, f"{self._method}: the call ended without an answer")
                await self.read()  # its status
                return answer
        except TimeoutError:
            raise rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, self._late_text()) from None
        finally:
            self.cancel()

    # ---- out

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

    def write_from(self, requests: Requests) -> None:
        """Write everything that an iterable gives, in a task of its own."""
        self._feeder = asyncio.get_running_loop().create_task(self._feed(requests), name=f"{self._method} requests")

    async def _feed(self, requests: Requests) -> None:
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self.write(request)
            else:
                for request in requests:
                    await self.write(request)
            await self.done_writing()
        except grpc.aio.AioRpcError as exc:
            self._end(exc.code(), exc.details() or "")  # of the iterable; a call that is over stays as it is
        except Exception as exc:  # noqa: BLE001  the top of a task
            _log.error("requests_failed", method=self._method, error=repr(exc), exc_info=exc)
            self._end(grpc.StatusCode.CANCELLED, f"{self._method}: the requests ended with {exc!r}")

    async def done_writing(self) -> None:
        """Say that no more messages follow."""
        (self._stream or await self._open()).end()

    # ---- end

    def cancel(self) -> bool:
        """Give the call up."""
        return self._end(grpc.StatusCode.CANCELLED, "canceled here")

    def _too_late(self) -> None:
        self._end(grpc.StatusCode.DEADLINE_EXCEEDED, self._late_text())

    def _late_text(self) -> str:
        return f"{self._method}: no answer in {self._options.timeout_s} s"

    def _end(self, code: grpc.StatusCode, text: str) -> bool:
        """End the call from here, unless it is over; return whether it was not."""
        self._release()
        if self._stream is None:
            self._ended = self._ended or (code, text)
            if self._dialling is not None:
                self._dialling.cancel()
            return True
        if self._stream.closed:
            return False
        self._ended = (code, text)
        self._stream.fail(text, Reason.CANCEL)
        return True

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._feeder is not None and self._feeder is not asyncio.current_task():
            self._feeder.cancel()

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
            code, details = status_in(stream.trailers_in)
            if code is not grpc.StatusCode.OK:
                return rpc_error(code, details)
        if self._ended is not None:
            return rpc_error(*self._ended)
        text = str(stream.failure) if stream is not None and stream.failure is not None else "the call is over"
        return rpc_error(grpc.StatusCode.UNAVAILABLE, text)


def _taken(task: asyncio.Future[Any]) -> None:
    """Take a failure that perhaps nobody waits for any more: the loop would report it as ours."""
    if not task.cancelled():
        task.exception()
