"""One call on a connection: messages in, messages out, and how much may be on its way in each direction.

In: unread bytes are bounded by STREAM_WINDOW (the peer must wait for us), one message by MAX_MESSAGE_BYTES, and objects
for them by MAX_CUT_MESSAGES. Out: `send` never waits; what the peer's windows or the socket do not take yet is kept in
order, and `drained` waits until it is gone, so a writer that awaits it is bounded by one message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tradebot.core.errors import TransientError
from tradebot.runtime.endpoints import MAX_MESSAGE_BYTES
from tradebot.runtime.links.frames import (
    MESSAGE_PREFIX_BYTES,
    STREAM_WINDOW,
    Flag,
    FrameError,
    Kind,
    Reason,
    frame,
    message_frame,
    message_prefix,
    reset,
    window_update,
)

if TYPE_CHECKING:
    from tradebot.runtime.links.connection import Connection

MAX_CUT_MESSAGES: Final = 1_024
"""Unread messages that lie ready. More of them stay in the bytes they came in: a window full of empty messages is
4 MiB, as objects it would be 100."""

Headers = list[tuple[str, str]]


class LinkClosedError(TransientError):
    """The call or its connection ended before it was finished."""


class Stream:
    """See the module. All methods belong to the loop's thread."""

    __slots__ = (
        "_connection",
        "_cut_short",
        "_deliver",
        "_delivery_error",
        "_drain",
        "_early",
        "_failure",
        "_inbox",
        "_local_end",
        "_partial",
        "_pending",
        "_remote_end",
        "_reset_after",
        "_room",
        "_trailers",
        "_unread",
        "_waiter",
        "on_failure",
        "send_window",
        "stream_id",
        "trailers_in",
    )

    def __init__(self, connection: Connection, stream_id: int, send_window: int) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self.send_window = send_window
        """Bytes that the peer still takes on this call."""
        self.trailers_in: dict[str, str] | None = None
        """Last headers of the peer."""
        self.on_failure: Callable[[], object] | None = None
        """Called once when the call fails."""
        self._inbox: deque[tuple[bytes, int]] = deque()
        """Messages, and what reading each gives back to the peer."""
        self._partial = bytearray()
        self._early = 0
        """Bytes of the partial message that were given back already, because it needs more than half a window."""
        self._room = STREAM_WINDOW
        """Bytes that the peer may still send before we read."""
        self._unread = 0
        """Bytes read since the last WINDOW_UPDATE."""
        self._waiter: asyncio.Future[None] | None = None
        self._deliver: Callable[[bytes], None] | None = None
        """Takes messages as they arrive, instead of the inbox."""
        self._delivery_error: Exception | None = None
        self._remote_end = False
        self._local_end = False
        self._reset_after = False
        """Nobody reads: drop what comes, and tell the peer after our end that it need not go on sending."""
        self._failure: LinkClosedError | None = None
        self._pending: deque[memoryview] = deque()
        self._cut_short = False
        """The peer ended the call before everything was sent."""
        self._trailers: Headers | None = None
        self._drain: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """True when both sides have ended or it failed."""
        return self._failure is not None or (self._remote_end and self._local_end)

    @property
    def backed_up(self) -> bool:
        """True while something that was sent has not left this process."""
        return bool(self._pending) or self._connection.paused

    @property
    def failure(self) -> LinkClosedError | None:
        """Why it failed, if it did."""
        return self._failure

    # ---- in

    def feed(self, payload: bytes, size: int) -> None:
        """Take the content of a DATA frame; `size` counts its padding too.

        Raises:
            FrameError: If the peer sent more than it may.
        """
        self._room -= size
        if self._room < 0:
            raise FrameError(Reason.FLOW_CONTROL_ERROR, f"call {self.stream_id}: more data than its window")
        if self._remote_end:
            if not self._reset_after:
                self.fail("data after the end of the call", Reason.STREAM_CLOSED)
            return
        simple = not self._partial and len(payload) >= MESSAGE_PREFIX_BYTES and payload[0] == 0
        if simple and len(self._inbox) < MAX_CUT_MESSAGES:
            length = int.from_bytes(payload[1:5], "big")
            if length == len(payload) - MESSAGE_PREFIX_BYTES:  # nearly always: one frame, one message
                self._arrived(payload[MESSAGE_PREFIX_BYTES:], size)
                return
        self._partial += payload
        if size > len(payload):
            self._grant(size - len(payload))  # padding is not read by anybody
        self._cut()

    def _cut(self) -> None:
        partial, inbox = self._partial, self._inbox
        while len(inbox) < MAX_CUT_MESSAGES:
            if len(partial) < MESSAGE_PREFIX_BYTES:
                break
            if partial[0]:
                self.fail("a compressed message: compression is not spoken here", Reason.PROTOCOL_ERROR)
                return
            length = int.from_bytes(partial[1:5], "big")
            if length > MAX_MESSAGE_BYTES:
                self.fail(f"a message of {length} bytes, the limit is {MAX_MESSAGE_BYTES}", Reason.ENHANCE_YOUR_CALM)
                return
            end = MESSAGE_PREFIX_BYTES + length
            if len(partial) < end:
                if end > STREAM_WINDOW // 2 and not inbox:  # its rest must be able to come
                    self._grant(len(partial) - self._early)
                    self._early = len(partial)
                break
            message, early = bytes(partial[MESSAGE_PREFIX_BYTES:end]), self._early
            self._early = 0
            del partial[:end]
            self._arrived(message, end - early)
        else:
            return  # the reader goes on cutting
        if partial and self._remote_end:
            self.fail("the call ended inside a message", Reason.PROTOCOL_ERROR)

    def _arrived(self, message: bytes, size: int) -> None:
        """Hand a whole message over; `size` bytes are given back to the peer when it is taken."""
        deliver = self._deliver
        if deliver is None:
            self._inbox.append((message, size))
            self._wake()
            return
        self._grant(size)
        try:
            deliver(message)
        except Exception as exc:  # noqa: BLE001  raised where somebody waits for the end, in `hand_to`
            self._deliver, self._delivery_error = None, exc
            self._wake()

    async def hand_to(self, deliver: Callable[[bytes], None]) -> None:
        """Call `deliver` with every message, from now on in the read callback; return at the end of the call.

        Raises:
            LinkClosedError: If the call failed.
            Exception: What `deliver` raised; messages after that one are not taken.
        """
        while self._inbox:
            message = await self.receive()
            if message is not None:
                deliver(message)
        self._deliver = deliver
        try:
            await self.receive()
        finally:
            self._deliver = None
            if self._delivery_error is not None:
                raise self._delivery_error

    def end_in(self) -> None:
        """The peer sends nothing more."""
        self._remote_end = True
        if self._partial:
            self._cut()
        self._wake()

    def stop_reading(self) -> None:
        """Nobody will read what still comes."""
        self._inbox.clear()
        self._partial.clear()
        self._reset_after = self._reset_after or not self._remote_end
        self._remote_end = True
        self._wake()

    async def receive(self) -> bytes | None:
        """Return the next message; None at the end.

        Raises:
            LinkClosedError: If the call failed; messages that came before are returned first.
            RuntimeError: If somebody is waiting here already: one of the two would wait for ever.
        """
        inbox = self._inbox
        while not inbox:
            if self._delivery_error is not None:
                return None
            if self._failure is not None:
                raise LinkClosedError(str(self._failure))
            if self._remote_end:
                return None
            if self._waiter is not None:
                raise RuntimeError(f"call {self.stream_id} has two readers")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, size = inbox.popleft()
        self._grant(size)
        if self._partial and not inbox:
            self._cut()
        return message

    def _grant(self, size: int) -> None:
        self._unread += size
        if self._unread >= STREAM_WINDOW // 2 and not self._remote_end and self._failure is None:
            self._connection.write(window_update(self.stream_id, self._unread))
            self._room += self._unread
            self._unread = 0

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- out

    def send(self, message: bytes) -> None:
        """Send one message as soon as the peer takes it. Never waits.

        Raises:
            LinkClosedError: If nothing can be sent any more. A message that no peer would take ends the call.
        """
        if self._failure is not None or self._local_end or self._trailers is not None:
            raise LinkClosedError(str(self._failure or "the call has ended"))
        connection = self._connection
        size = len(message) + MESSAGE_PREFIX_BYTES
        room = min(self.send_window, connection.send_window, connection.max_frame)
        if size <= room and not self._pending and not connection.paused:
            self.send_window -= size
            connection.send_window -= size
            connection.write(message_frame(self.stream_id, message))
            return
        if len(message) > MAX_MESSAGE_BYTES:
            text = f"a message of {len(message)} bytes, the limit is {MAX_MESSAGE_BYTES}"
            self.fail(text, Reason.INTERNAL_ERROR)
            raise LinkClosedError(text)
        self._pending.append(memoryview(message_prefix(message) + message))
        self.pump()

    def send_headers(self, headers: Headers) -> None:
        """Send the headers that open an answer."""
        if self._failure is None and not self._local_end:
            self._connection.send_headers(self.stream_id, headers, end=False)

    def end(self, trailers: Headers | None = None) -> None:
        """Send nothing more after what is pending; a server ends with trailers, a client without."""
        if self._failure is None and not self._local_end and self._trailers is None:
            self._trailers = trailers or []
            self.pump()

    def pump(self) -> None:
        """Send of what is pending as much as the peer takes."""
        connection, pending = self._connection, self._pending
        while pending and self.send_window > 0 and connection.send_window > 0 and not connection.paused:
            data = pending[0]
            size = min(len(data), self.send_window, connection.send_window, connection.max_frame)
            self.send_window -= size
            connection.send_window -= size
            connection.write(frame(Kind.DATA, 0, self.stream_id, data[:size]))
            if size == len(data):
                pending.popleft()
            else:
                pending[0] = data[size:]
        if pending or connection.paused:  # an end waits too: calls that nobody reads the end of count as running
            return
        if self._trailers is not None and not self._local_end:
            self._local_end = True
            if self._trailers:
                connection.send_headers(self.stream_id, self._trailers, end=True)
            else:
                connection.write(frame(Kind.DATA, Flag.END_STREAM, self.stream_id))
            if self._reset_after:
                connection.write(reset(self.stream_id, Reason.NO_ERROR))
            connection.settle(self)
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    async def drained(self) -> None:
        """Return when everything sent so far has left this process.

        Raises:
            LinkClosedError: If the call ended before that.
        """
        while self._failure is None and not self._local_end and (self._pending or self._connection.paused):
            if self._drain is None or self._drain.done():
                self._drain = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drain)
        if self._failure is not None or self._cut_short:
            raise LinkClosedError(str(self._failure or "the peer has ended the call"))

    # ---- end

    def fail_quietly(self) -> None:
        """Send nothing more: the peer has finished the call. What it sent can still be read."""
        self._local_end = True
        self._cut_short = bool(self._pending)
        self._pending.clear()
        self._connection.write(reset(self.stream_id, Reason.NO_ERROR))
        self._wake_writer()
        self._connection.settle(self)

    def fail(self, text: str, reason: Reason | None = None) -> None:
        """End the call at once. With a reason it ends from here: the peer is told."""
        if self._failure is not None:
            return
        self._failure = LinkClosedError(text)
        self._pending.clear()
        if reason is not None:
            self._partial.clear()
            self._connection.write(reset(self.stream_id, reason))
        self._wake()
        self._wake_writer()
        self._connection.settle(self)
        if self.on_failure is not None:
            self.on_failure()
