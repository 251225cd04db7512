"""Server half, authentication: HMAC-SHA256 over exactly what was sent, and the clock window.

REST: query string and body as received, joined without a separator, without the signature. WebSocket API: all
parameters but the signature, sorted by name, `k=v` joined with `&`, not percent-encoded (read 2026-11-21).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from tradebot.venues.binance.server_errors import VenueError, bad_signature, missing

DEFAULT_WINDOW_MS: Final = 5_000
MAX_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1_000
"""A timestamp may be less than this ahead of the server."""
MICROSECONDS_FROM: Final = 10**14
"""A larger timestamp is in microseconds."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of one account."""

    account: str
    secret: bytes
    may_trade: bool = True
    """False: it may only read."""


def sign(payload: str, secret: bytes) -> str:
    """Return the hex signature."""
    return hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()


def rest_payload(query: str, body: str) -> tuple[str, str]:
    """Return (signed text, signature) of a REST request; the signature is "" when absent."""
    signature = ""
    kept: list[str] = []
    for part in (query, body):
        pieces = part.split("&") if part else []
        for piece in pieces:
            if piece.startswith("signature="):
                signature = piece[len("signature=") :]
        kept.append("&".join(piece for piece in pieces if not piece.startswith("signature=")))
    return "".join(kept), signature


def ws_payload(params: Mapping[str, str]) -> str:
    """Return the signed text of a WebSocket API request."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")


def check_signature(payload: str, signature: str, secret: bytes) -> None:
    """Raise -1022 when the signature is not the key's."""
    if not signature:
        raise missing("signature")
    if not hmac.compare_digest(sign(payload, secret), signature.lower()):
        raise bad_signature()


def check_time(params: Mapping[str, str], now_ms: int) -> None:
    """Raise -1021 when the request is too old or from the future, -1131 for a bad window."""
    text = params.get("timestamp", "")
    if not text.isdigit():
        raise missing("timestamp")
    timestamp = int(text)
    if timestamp > MICROSECONDS_FROM:
        timestamp //= 1_000
    try:
        window = Decimal(params.get("recvWindow") or DEFAULT_WINDOW_MS)
    except InvalidOperation:
        raise missing("recvWindow") from None
    if not 0 <= window <= MAX_WINDOW_MS:
        raise VenueError(-1131, "recvWindow must be less than 60000.")
    if timestamp >= now_ms + AHEAD_MS:
        raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > window:
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")
