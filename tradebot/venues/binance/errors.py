"""What an error answer proves. A code that is not listed as a proof of rejection is UNKNOWN: query, never resend.

Source: error table of the spot API documentation (read 2026-11-21). For orders, -1000/-1001/-1006/-1007 and every
5xx are unknown outcomes; -1008, 429 and 418 never reached the engine; -2010 proves a rejection except when its text
says that the client id is live, which means that the *first* send of this id arrived.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tradebot.venues.api_orders import RequestOutcome

REJECTED, UNKNOWN = RequestOutcome.REJECTED, RequestOutcome.UNKNOWN


class ErrorMeaning(NamedTuple):
    """Outcome for an order request and our stable reason code."""

    outcome: RequestOutcome
    reason: str


_CODES: Final[dict[int, ErrorMeaning]] = {
    -1002: ErrorMeaning(REJECTED, "VENUE_AUTH"),
    -1003: ErrorMeaning(REJECTED, "RATE_LIMITED"),
    -1008: ErrorMeaning(REJECTED, "VENUE_OVERLOADED"),
    -1013: ErrorMeaning(REJECTED, "INSTRUMENT_FILTER"),
    -1015: ErrorMeaning(REJECTED, "RATE_LIMITED"),
    -1021: ErrorMeaning(REJECTED, "CLOCK_OUTSIDE_WINDOW"),
    -1022: ErrorMeaning(REJECTED, "VENUE_AUTH"),
    -2011: ErrorMeaning(REJECTED, "CANCEL_REJECTED"),
    -2013: ErrorMeaning(REJECTED, "ORDER_NOT_FOUND"),
    -2014: ErrorMeaning(REJECTED, "VENUE_AUTH"),
    -2015: ErrorMeaning(REJECTED, "VENUE_AUTH"),
    -2016: ErrorMeaning(REJECTED, "MARKET_CLOSED"),
    -2026: ErrorMeaning(REJECTED, "ORDER_ARCHIVED"),
    -2039: ErrorMeaning(REJECTED, "ORDER_ID_MISMATCH"),
}
_MALFORMED_CODES: Final = range(-1130, -1099)
"""-1100 .. -1130: a parameter is wrong; includes -1111 (precision) and -1121 (symbol)."""
_NEW_ORDER_REJECTED: Final = -2010
_NEW_ORDER_TEXTS: Final = (
    ("duplicate order", ErrorMeaning(UNKNOWN, "DUPLICATE_CLIENT_ID")),
    ("insufficient balance", ErrorMeaning(REJECTED, "INSUFFICIENT_FUNDS")),
    ("immediately match", ErrorMeaning(REJECTED, "WOULD_TAKE")),
    ("trigger immediately", ErrorMeaning(REJECTED, "WOULD_TRIGGER")),
    ("market is closed", ErrorMeaning(REJECTED, "MARKET_CLOSED")),
    ("not enabled", ErrorMeaning(REJECTED, "MARKET_CLOSED")),
)
HTTP_RATE_STATUSES: Final = frozenset({418, 429})


def classify(status: int, code: int, text: str) -> ErrorMeaning:
    """Return what an error answer to an order request proves.

    Args:
        status: HTTP-like status of the answer.
        code: The venue's error code, 0 when there is none.
        text: The venue's message; decides only within -2010.
    """
    if status in HTTP_RATE_STATUSES:
        return ErrorMeaning(REJECTED, "RATE_LIMITED")
    if not 400 <= status < 500:
        # -1008 comes with a 5xx and says that the request was not executed; no other 5xx proves anything.
        return ErrorMeaning(REJECTED, "VENUE_OVERLOADED") if code == -1008 else ErrorMeaning(UNKNOWN, "VENUE_ERROR")
    if code == _NEW_ORDER_REJECTED:
        lowered = text.lower()
        for part, meaning in _NEW_ORDER_TEXTS:
            if part in lowered:
                return meaning
        return ErrorMeaning(REJECTED, "ORDER_REJECTED")
    if code in _MALFORMED_CODES:
        return ErrorMeaning(REJECTED, "REQUEST_MALFORMED")
    return _CODES.get(code, ErrorMeaning(UNKNOWN, "VENUE_ERROR"))
