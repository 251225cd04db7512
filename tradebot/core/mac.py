"""HMAC-SHA256 with the key prepared once.

The standard one-shot call looks its hash up in OpenSSL at every use: 2 us in a hot loop, 36 to 61 us seen by a profiler
in loaded daemons that wake up for one order at a time, seven per order. Copying two prepared states needs no look-up.
Source: RFC 2104.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Final

_BLOCK_BYTES: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
MAX_KEYS: Final = 64
"""Prepared keys that are kept: approval keys, id keys and API secrets of a process, with room for rotation."""


class HmacSha256:
    """One key. Instances may be shared: `digest` changes nothing."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def digest(self, message: bytes) -> bytes:
        """Return the 32-byte MAC of a message."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


@lru_cache(MAX_KEYS)
def prepared(key: bytes) -> HmacSha256:
    """Return the prepared form of a key."""
    return HmacSha256(key)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256(key, message), 32 bytes."""
    return prepared(key).digest(message)
