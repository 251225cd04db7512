"""ULIDs: ids that sort by time, chosen by the caller so that every command is safe to repeat."""

from __future__ import annotations

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS: Final = 80
_CHARACTERS: Final = 26


def ulid(time_ms: int, randomness: int) -> str:
    """Return 26 Crockford base-32 characters: 48 bits of time, 80 of chance."""
    value = (time_ms << _RANDOM_BITS) | (randomness & ((1 << _RANDOM_BITS) - 1))
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(5 * (_CHARACTERS - 1), -1, -5))


def new_command_id() -> str:
    """Return a fresh ULID."""
    return ulid(time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS))
