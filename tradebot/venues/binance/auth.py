"""Signing of WebSocket API requests: HMAC-SHA256 over all parameters sorted by name.

Source: the venue's WebSocket API documentation, request security (read 2026-11-21): the text is `k=v` joined with `&`,
UTF-8, not percent-encoded, `apiKey` and `timestamp` included, `signature` excluded; the result is lower-case hex.
"""

from __future__ import annotations

from collections.abc import Mapping

from tradebot.core.mac import hmac_sha256


def signing_text(params: Mapping[str, str | int]) -> str:
    """Return the text that is signed."""
    return "&".join([f"{name}={params[name]}" for name in sorted(params)])


def sign(params: Mapping[str, str | int], secret: bytes) -> str:
    """Return the signature of these parameters."""
    return hmac_sha256(secret, signing_text(params).encode()).hex()
