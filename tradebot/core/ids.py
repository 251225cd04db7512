"""Client order ids: 128 bits that anybody in our system recognizes at a venue after total loss of state.

Layout, most significant first: version 4 | strategy 12 | execd incarnation 16 | order sequence 64 | keyed check 32.
Text form is 32 lowercase hex digits (the intersection of all venues' alphabets); venues that demand a UUID get dashes.
The keyed check is a truncated HMAC: a stranger's order does not pass it, and it reveals nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tradebot.core.mac import hmac_sha256

CLIENT_ORDER_ID_VERSION: Final = 1
CLIENT_ORDER_ID_DIGITS: Final = 32
_CHECK_DIGITS: Final = 8
MAX_CODES: Final = 4_096
"""Strategies whose code is remembered."""
_FORM: Final = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class ClientOrderIdParts:
    """What a client order id says."""

    strategy_code: int
    """12 bits of the strategy's name hash, for people and post-trade attribution."""
    incarnation: int
    """16 bits, rises with each start of execd."""
    sequence: int
    """64 bits, rises with each order of that start."""


def strategy_code(strategy_id: str) -> int:
    """Return the 12-bit code of a strategy name."""
    return int.from_bytes(hashlib.blake2b(strategy_id.encode(), digest_size=2).digest(), "big") & 0xFFF


def make_client_order_id(parts: ClientOrderIdParts, key: bytes) -> str:
    """Return the id text for these parts. One id = one send attempt, for ever."""
    body = (
        f"{CLIENT_ORDER_ID_VERSION:01x}{parts.strategy_code & 0xFFF:03x}"
        f"{parts.incarnation & 0xFFFF:04x}{parts.sequence & 0xFFFFFFFFFFFFFFFF:016x}"
    )
    return body + _check(body, key)


def parse_client_order_id(text: str, key: bytes) -> ClientOrderIdParts | None:
    """Return the parts of one of our ids, or None when it is not ours (wrong shape, version or check)."""
    plain = text.replace("-", "")
    if len(plain) != CLIENT_ORDER_ID_DIGITS or plain != plain.lower():
        return None
    body, check = plain[:-_CHECK_DIGITS], plain[-_CHECK_DIGITS:]
    if not hmac.compare_digest(check, _check(body, key)):
        return None
    if int(body[0], 16) != CLIENT_ORDER_ID_VERSION:
        return None
    return ClientOrderIdParts(int(body[1:4], 16), int(body[4:8], 16), int(body[8:24], 16))


@lru_cache(maxsize=MAX_CODES)
def _code_text(strategy_id: str) -> str:
    return f"{CLIENT_ORDER_ID_VERSION:01x}{strategy_code(strategy_id):03x}"


def client_order_id_fits(text: str, strategy_id: str) -> bool:
    """Return whether an id has our form and names this strategy. Its keyed check is execd's business: only execd and
    the venue's answers can tell whose it is.
    """
    return _FORM.fullmatch(text) is not None and text.startswith(_code_text(strategy_id))


def has_our_shape(text: str) -> bool:
    """Return whether a text looks like one of our ids, without the key: enough to be suspected, not to be believed."""
    plain = text.replace("-", "")
    digits = len(plain) == CLIENT_ORDER_ID_DIGITS and all(digit in "0123456789abcdef" for digit in plain)
    return digits and plain[0] == f"{CLIENT_ORDER_ID_VERSION:x}"


def _check(body: str, key: bytes) -> str:
    return hmac_sha256(key, body.encode()).hex()[:_CHECK_DIGITS]
