"""One HTTP/2 connection: the frame loop, settings, windows, headers. What a new call means is for subclasses.

What a peer can make us keep is bounded: calls by MAX_STREAMS, their unread bytes by `stream`, unread answers (to pings,
settings, refused calls …) by MAX_UNSENT_BYTES, a header block by MAX_HEADER_BYTES, a frame by MAX_FRAME_BYTES. The
connection's own window is given back on arrival, so that a call that nobody reads never holds up the others.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import structlog
from hpack import Decoder, Encoder, HPACKError

from tradebot.runtime.links.frames import (
    CONNECTION_WINDOW,
    DEFAULT_MAX_FRAME,
    DEFAULT_WINDOW,
    HEADER_BYTES,
    LARGEST_WINDOW,
    MAX_FRAME_BYTES,
    MAX_HEADER_BYTES,
    STREAM_WINDOW,
    Flag,
    FrameError,
    Kind,
    Reason,
    Setting,
    frame,
    go_away,
    read_go_away,
    read_header,
    read_settings,
    read_word,
    settings,
    unpad,
    window_update,
)
from tradebot.runtime.links.stream import Headers, Stream

MAX_STREAMS: Final = 64
"""Calls that run at the same time on one connection."""
MAX_UNSENT_BYTES: Final = 1 << 20
"""A peer that leaves so much unread is broken off. Messages never get there: they wait in their calls."""
FLUSH_S: Final = 1.0
"""How long a closed connection may go on sending its last bytes."""
_DATA: Final = int(Kind.DATA)
_PADDED: Final = int(Flag.PADDED)
_END_STREAM: Final = int(Flag.END_STREAM)
_PRIORITY_BYTES: Final = 5
_OF_CONNECTION: Final = frozenset({Kind.SETTINGS, Kind.PING, Kind.GOAWAY})
_OF_CALL: Final = frozenset({Kind.HEADERS, Kind.CONTINUATION, Kind.RST_STREAM})

_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """See the module. All methods belong to the loop's thread."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.send_window = DEFAULT_WINDOW
        """Bytes that the peer still takes on all calls together."""
        self.max_frame = DEFAULT_MAX_FRAME
        """Largest frame that we send."""
        self.paused = False
        """True while the socket takes nothing more."""
        self.closing = False
        self._transport: asyncio.WriteTransport | None = None
        self._rest = bytearray()
        """Start of a frame, or of the peer's preface, that is not complete."""
        self.needed = 0
        """Bytes with which it may be."""
        self._peer_stream_window = DEFAULT_WINDOW
        self._room = CONNECTION_WINDOW
        self._encoder = Encoder()
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_BYTES)
        self._block: tuple[int, int, bytearray] | None = None
        """Stream, flags and bytes of a header block that goes on in CONTINUATION frames."""
        self._last_peer_stream = 0

    # ---- for subclasses

    def hello(self) -> bytes:
        """Return what is sent before the settings."""
        return b""

    def own_settings(self) -> dict[Setting, int]:
        """Return the settings beyond the common ones."""
        return {}

    def headers(self, stream_id: int, headers: dict[str, str], ended: bool) -> None:
        """A complete header block arrived."""
        raise NotImplementedError

    def ended(self, text: str) -> None:
        """The connection is gone; every call has failed already."""

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.set_write_buffer_limits(high=0)  # write at once; what the socket does not take pauses us
        common = {
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
        }
        self.write(
            self.hello() + settings(common | self.own_settings()) + window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._close(f"connection lost: {exc}" if exc else "connection closed by the peer")

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._pump_all()

    def eof_received(self) -> None:
        self.abort("connection closed by the peer")  # at once: unsent bytes would hold up connection_lost

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            if len(self._rest) < self.needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        try:
            position = self.frames(data)
        except FrameError as exc:
            self._break_off(exc.reason, str(exc))
            return
        if position < len(data):
            self._rest += memoryview(data)[position:]

    # ---- in

    def frames(self, data: bytes, position: int = 0) -> int:
        """Handle every complete frame from `position` on and return where the rest begins, with `needed` bytes to
        wait for.
        """
        end = len(data)
        while end - position >= HEADER_BYTES:
            high, low, kind, flags, stream_id = read_header(data, position)
            length = high << 8 | low
            if length > MAX_FRAME_BYTES:
                raise FrameError(Reason.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            start = position + HEADER_BYTES
            if start + length > end:
                self.needed = HEADER_BYTES + length
                return position
            position = start + length
            payload = data[start:position]
            stream_id &= LARGEST_WINDOW
            if kind == _DATA and self._block is None:
                self._data(stream_id, flags, payload)
            else:
                self._control(kind, flags, stream_id, payload)
            if self._transport is None:
                return end  # a frame ended the connection
        self.needed = HEADER_BYTES
        return position

    def _data(self, stream_id: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        self._room -= size
        if self._room < CONNECTION_WINDOW // 2:
            if self._room < 0:
                raise FrameError(Reason.FLOW_CONTROL_ERROR, "more data than the connection's window")
            self.write(window_update(0, CONNECTION_WINDOW - self._room))
            self._room = CONNECTION_WINDOW
        stream = self.streams.get(stream_id)
        if stream is None:
            if not stream_id:
                raise FrameError(Reason.PROTOCOL_ERROR, "DATA without a call")
            self._require_opened(stream_id, Kind.DATA)
            return  # it ended here while this was on its way
        if size:
            stream.feed(unpad(payload, flags) if flags & _PADDED else payload, size)
        if flags & _END_STREAM:
            stream.end_in()
            self.settle(stream)

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and (kind != Kind.CONTINUATION or stream_id != self._block[0]):
            raise FrameError(Reason.PROTOCOL_ERROR, "a header block was interrupted")
        if (kind in _OF_CONNECTION and stream_id) or (kind in _OF_CALL and not stream_id):
            raise FrameError(Reason.PROTOCOL_ERROR, f"{Kind(kind).name} for call {stream_id}")
        match kind:
            case Kind.HEADERS:
                payload = unpad(payload, flags)
                if flags & Flag.PRIORITY:
                    if len(payload) < _PRIORITY_BYTES:
                        raise FrameError(Reason.FRAME_SIZE_ERROR, "HEADERS without their priority")
                    payload = payload[_PRIORITY_BYTES:]
                self._header_block(stream_id, flags, bytearray(payload), bool(flags & Flag.END_HEADERS))
            case Kind.CONTINUATION:
                if self._block is None:
                    raise FrameError(Reason.PROTOCOL_ERROR, "CONTINUATION of nothing")
                _, first_flags, block = self._block
                block += payload
                self._header_block(stream_id, first_flags, block, bool(flags & Flag.END_HEADERS))
            case Kind.SETTINGS:
                if not flags & Flag.ACK:
                    self._settings(read_settings(payload))
                    self.write(frame(Kind.SETTINGS, Flag.ACK, 0))
                    self._pump_all()
                elif payload:
                    raise FrameError(Reason.FRAME_SIZE_ERROR, f"SETTINGS acknowledged with {len(payload)} bytes")
            case Kind.PING:
                if len(payload) != 8:
                    raise FrameError(Reason.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
                if not flags & Flag.ACK:
                    self.write(frame(Kind.PING, Flag.ACK, 0, payload))
            case Kind.WINDOW_UPDATE:
                self._window(stream_id, read_word(payload, Kind.WINDOW_UPDATE))
            case Kind.RST_STREAM:
                code = read_word(payload, Kind.RST_STREAM)
                self._require_opened(stream_id, Kind.RST_STREAM)
                if (stream := self.streams.get(stream_id)) is not None:
                    name = Reason(code).name if code in Reason.__members__.values() else str(code)
                    stream.fail(f"the peer ended the call: {name}")
            case Kind.GOAWAY:
                self.closing = True
                last, code, text = read_go_away(payload)
                for opened, stream in list(self.streams.items()):
                    if opened > last and self.is_ours(opened):
                        stream.fail(f"the peer goes away ({code}) {text}".rstrip())
            case Kind.PUSH_PROMISE:
                raise FrameError(Reason.PROTOCOL_ERROR, "PUSH_PROMISE: push is off")
            case _:
                pass  # PRIORITY, and types that we do not know, are ignored

    def _require_opened(self, stream_id: int, kind: Kind) -> None:
        if stream_id > self.highest_stream():
            raise FrameError(Reason.PROTOCOL_ERROR, f"{kind.name} for call {stream_id}, which was never opened")

    def is_ours(self, stream_id: int) -> bool:
        """True for calls that this side opened."""
        return False

    def highest_stream(self) -> int:
        """Return the highest call number that was opened."""
        return self._last_peer_stream

    def _header_block(self, stream_id: int, flags: int, block: bytearray, complete: bool) -> None:
        if len(block) > MAX_HEADER_BYTES:
            raise FrameError(Reason.ENHANCE_YOUR_CALM, "a header block larger than we take")
        if not complete:
            self._block = (stream_id, flags, block)
            return
        self._block = None
        # Decoded even when nobody wants them: the compression state is shared.
        try:
            headers = {str(name): str(value) for name, value in self._decoder.decode(bytes(block))}
        except HPACKError as exc:
            raise FrameError(Reason.COMPRESSION_ERROR, f"headers: {exc!r}") from None
        self.headers(stream_id, headers, bool(flags & Flag.END_STREAM))
        self._last_peer_stream = max(self._last_peer_stream, 0 if self.is_ours(stream_id) else stream_id)

    def _settings(self, values: list[tuple[int, int]]) -> None:
        for key, value in values:
            match key:
                case Setting.HEADER_TABLE_SIZE:
                    self._encoder.header_table_size = min(value, DEFAULT_WINDOW)
                case Setting.INITIAL_WINDOW_SIZE:
                    if value > LARGEST_WINDOW:
                        raise FrameError(Reason.FLOW_CONTROL_ERROR, f"initial window {value}")
                    change = value - self._peer_stream_window
                    self._peer_stream_window = value
                    for stream in self.streams.values():
                        stream.send_window += change
                        if stream.send_window > LARGEST_WINDOW:
                            raise FrameError(Reason.FLOW_CONTROL_ERROR, f"window of call {stream.stream_id} overflows")
                case Setting.MAX_FRAME_SIZE:
                    if not DEFAULT_MAX_FRAME <= value < 1 << 24:
                        raise FrameError(Reason.PROTOCOL_ERROR, f"maximum frame size {value}")
                    self.max_frame = min(value, MAX_FRAME_BYTES)
                case _:
                    pass

    def _window(self, stream_id: int, increment: int) -> None:
        if not increment:
            raise FrameError(Reason.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        if not stream_id:
            self.send_window += increment
            if self.send_window > LARGEST_WINDOW:
                raise FrameError(Reason.FLOW_CONTROL_ERROR, "the connection's window overflows")
            self._pump_all()
            return
        self._require_opened(stream_id, Kind.WINDOW_UPDATE)
        if (stream := self.streams.get(stream_id)) is not None:
            stream.send_window += increment
            if stream.send_window > LARGEST_WINDOW:
                raise FrameError(Reason.FLOW_CONTROL_ERROR, f"window of call {stream_id} overflows")
            stream.pump()

    # ---- out

    def write(self, data: bytes) -> None:
        """Write bytes now; nothing happens when the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            if self.paused and self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                text = f"{MAX_UNSENT_BYTES} bytes wait for a peer that does not read"
                asyncio.get_running_loop().call_soon(self._break_off, Reason.ENHANCE_YOUR_CALM, text)

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool) -> None:
        """Send a header block: encoded at the moment it leaves, because the compression state is shared."""
        block = self._encoder.encode(headers)
        flags = Flag.END_STREAM if end else 0
        first, rest = block[: self.max_frame], block[self.max_frame :]
        self.write(frame(Kind.HEADERS, flags | (0 if rest else Flag.END_HEADERS), stream_id, first))
        while rest:
            first, rest = rest[: self.max_frame], rest[self.max_frame :]
            self.write(frame(Kind.CONTINUATION, 0 if rest else Flag.END_HEADERS, stream_id, first))

    def open(self, stream_id: int) -> Stream:
        """Make a call known."""
        stream = self.streams[stream_id] = Stream(self, stream_id, self._peer_stream_window)
        if self._transport is None:
            stream.fail("the connection is closed")
        return stream

    def settle(self, stream: Stream) -> None:
        """Forget a call that is over."""
        if stream.closed:
            self.streams.pop(stream.stream_id, None)

    def _pump_all(self) -> None:
        for stream in list(self.streams.values()):
            stream.pump()

    # ---- end

    def go_away(self) -> None:
        """Say that no new calls are taken; those that run go on."""
        self.closing = True
        self.write(go_away(self._last_peer_stream, Reason.NO_ERROR))

    def abort(self, text: str) -> None:
        """End the connection and every call on it now."""
        transport = self._transport
        if transport is None:
            return
        self._close(text)
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(FLUSH_S, transport.abort)
        transport.close()

    def _break_off(self, reason: Reason, text: str) -> None:
        if self._transport is None:
            return
        _log.warning("link_protocol", reason=reason.name, error=text)
        self.write(go_away(self._last_peer_stream, reason, text))
        self.abort(text)

    def _close(self, text: str) -> None:
        if self._transport is None:
            return
        self._transport = None
        self.closing = True
        self._rest.clear()
        for stream in list(self.streams.values()):
            stream.fail(text)
        self.streams.clear()
        self.ended(text)
