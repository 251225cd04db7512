"""How a gRPC call's end is written into trailers and read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

import grpc

from tradebot.runtime.links.stream import Headers

CONTENT_TYPE: Final = "application/grpc"
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}
_SAFE: Final = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")
_UNITS_NS: Final = {"n": 1, "u": 1_000, "m": 1_000_000, "S": 10**9, "M": 60 * 10**9, "H": 3_600 * 10**9}
_MAX_TIMEOUT_DIGITS: Final = 8
MAX_DETAILS_BYTES: Final = 4 << 10
"""Of the escaped text of a status: peers refuse longer headers, some with the whole connection."""


def trailers_of(code: grpc.StatusCode, details: str) -> Headers:
    """Return the trailers that say this."""
    trailers = [("grpc-status", str(code.value[0]))]
    if details:
        trailers.append(("grpc-message", _escaped(details)))
    return trailers


def _escaped(details: str) -> str:
    text = quote(details[:MAX_DETAILS_BYTES], safe=_SAFE, errors="replace")[:MAX_DETAILS_BYTES]
    cut = text.rfind("%", -2)  # half an escape
    return text if cut < 0 else text[:cut]


def status_in(trailers: Mapping[str, str]) -> tuple[grpc.StatusCode, str]:
    """Return code and details that trailers say."""
    text = trailers.get("grpc-status", "")
    if not (text.isascii() and text.isdigit()):  # "²" is a digit, but int() does not take it
        return grpc.StatusCode.UNKNOWN, f"no grpc-status in the answer (:status {trailers.get(':status', 'none')})"
    return _BY_NUMBER.get(int(text), grpc.StatusCode.UNKNOWN), unquote(trailers.get("grpc-message", ""))


def timeout_text(timeout_s: float) -> str:
    """Return the value of grpc-timeout."""
    return f"{min(max(1, round(timeout_s * 1_000)), 10**_MAX_TIMEOUT_DIGITS - 1)}m"


def timeout_s(text: str) -> float | None:
    """Return the seconds of a grpc-timeout value; None when there is none or it is not one."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS_NS or not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_TIMEOUT_DIGITS:
        return None
    return int(digits) * _UNITS_NS[unit] / 10**9


def rpc_error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    """Return the error that grpc.aio would raise."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
