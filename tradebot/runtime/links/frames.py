"""HTTP/2 frames (RFC 9113) as far as gRPC needs them: constants, bytes, errors. Pure."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
MESSAGE_PREFIX_BYTES: Final = 5
"""gRPC: compressed flag and length before each message."""
DEFAULT_WINDOW: Final = 65_535
DEFAULT_MAX_FRAME: Final = 16_384
LARGEST_WINDOW: Final = 2**31 - 1

MAX_FRAME_BYTES: Final = 256 << 10
"""Largest frame we take."""
STREAM_WINDOW: Final = 4 << 20
"""Bytes of one call that may wait here unread."""
CONNECTION_WINDOW: Final = 64 << 20
"""Bytes of all calls of a connection that may be on their way to us."""
MAX_HEADER_BYTES: Final = 32 << 10
"""Largest header block we take, compressed or not."""

read_header: Final = struct.Struct(">HBBBI").unpack_from
"""Length (upper 16 bits, lower 8), type, flags, stream."""
_frame_header: Final = struct.Struct(">HBBBI").pack
_message_header: Final = struct.Struct(">HBBBIBI").pack
_word: Final = struct.Struct(">I")
_setting: Final = struct.Struct(">HI")
_two_words: Final = struct.Struct(">II")


class Kind(IntEnum):
    """Frame types."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntEnum):
    """Frame flags; their meaning depends on the type."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(IntEnum):
    """Settings that matter here; others are ignored, as the protocol demands."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Reason(IntEnum):
    """Error codes of RST_STREAM and GOAWAY."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class FrameError(Exception):
    """The peer broke the protocol: the connection ends."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def frame(kind: int, flags: int, stream_id: int, payload: bytes | memoryview = b"") -> bytes:
    """Return one frame."""
    length = len(payload)
    return _frame_header(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def message_frame(stream_id: int, message: bytes) -> bytes:
    """Return a DATA frame with exactly one gRPC message, not compressed."""
    length = len(message) + MESSAGE_PREFIX_BYTES
    return _message_header(length >> 8, length & 0xFF, 0, 0, stream_id, 0, length - MESSAGE_PREFIX_BYTES) + message


def message_prefix(message: bytes) -> bytes:
    """Return what stands before a gRPC message."""
    return b"\0" + _word.pack(len(message))


def settings(values: dict[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(_setting.pack(key, value) for key, value in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the settings of a frame, in order."""
    if len(payload) % _setting.size:
        raise FrameError(Reason.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    return list(_setting.iter_unpack(payload))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame(Kind.WINDOW_UPDATE, 0, stream_id, _word.pack(increment))


def reset(stream_id: int, reason: Reason) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(Kind.RST_STREAM, 0, stream_id, _word.pack(reason))


def go_away(last_stream_id: int, reason: Reason, text: str = "") -> bytes:
    """Return a GOAWAY frame."""
    return frame(Kind.GOAWAY, 0, 0, _two_words.pack(last_stream_id, reason) + text.encode()[:256])


def read_go_away(payload: bytes) -> tuple[int, int, str]:
    """Return (last stream, error code, text)."""
    if len(payload) < _two_words.size:
        raise FrameError(Reason.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
    last, code = _two_words.unpack_from(payload)
    return last & LARGEST_WINDOW, code, payload[_two_words.size :].decode(errors="replace")


def read_word(payload: bytes, kind: Kind) -> int:
    """Return the one 31-bit number of a frame."""
    if len(payload) != _word.size:
        raise FrameError(Reason.FRAME_SIZE_ERROR, f"{kind.name} of {len(payload)} bytes")
    (value,) = _word.unpack(payload)
    return int(value) & LARGEST_WINDOW if kind is not Kind.RST_STREAM else int(value)


def unpad(payload: bytes, flags: int) -> bytes:
    """Return a payload without its padding."""
    if not flags & Flag.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FrameError(Reason.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]
