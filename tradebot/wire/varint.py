"""Protobuf varints, for messages that are put together from bytes that were serialized before."""

from __future__ import annotations

from typing import Final

MAX_ONE_BYTE: Final = 0x7F
_ONE_BYTE: Final = [bytes([value]) for value in range(128)]


def varint(value: int) -> bytes:
    """Return the wire form of an unsigned number, >= 0."""
    if value <= MAX_ONE_BYTE:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > MAX_ONE_BYTE:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
