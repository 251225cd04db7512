"""Server half, errors: the venue's codes and texts, as documented (read 2026-11-21)."""

from __future__ import annotations

from typing import Any, Final


class VenueError(Exception):
    """An error answer. `status` is the HTTP status, also used as `status` on the WebSocket API."""

    def __init__(self, code: int, text: str, status: int = 400, data: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.data = data
        """Further fields: both legs of a failed cancel-replace, or when to retry."""

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the error."""
        body: dict[str, Any] = {"code": self.code, "msg": self.text}
        if self.data is not None:
            body["data"] = self.data
        return body


_NEW_ORDER_REJECTED: Final = -2010
_FILTER: Final = -1013

REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "price_filter": (_FILTER, "Filter failure: PRICE_FILTER"),
    "percent_price": (_FILTER, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "lot_size": (_FILTER, "Filter failure: LOT_SIZE"),
    "market_lot_size": (_FILTER, "Filter failure: MARKET_LOT_SIZE"),
    "notional": (_FILTER, "Filter failure: NOTIONAL"),
    "max_num_orders": (_FILTER, "Filter failure: MAX_NUM_ORDERS"),
    "max_num_algo_orders": (_FILTER, "Filter failure: MAX_NUM_ALGO_ORDERS"),
    "insufficient_balance": (_NEW_ORDER_REJECTED, "Account has insufficient balance for requested action."),
    "would_match": (_NEW_ORDER_REJECTED, "Order would immediately match and take."),
    "stop_would_trigger": (_NEW_ORDER_REJECTED, "Order would trigger immediately."),
    "duplicate_client_order_id": (_NEW_ORDER_REJECTED, "Duplicate order sent."),
    "list_prices": (_NEW_ORDER_REJECTED, "The relationship of the prices for the orders is not correct."),
    "market_closed": (_NEW_ORDER_REJECTED, "Market is closed."),
    "no_reference_price": (_NEW_ORDER_REJECTED, "This symbol is not permitted for this account."),
    "unknown_order": (-2011, "Unknown order sent."),
    "cancel_restriction": (-2011, "Order was not canceled due to cancel restrictions."),
}
"""Neutral refusal -> code and text."""


def refusal(reason: str) -> VenueError:
    """Return the error for a neutral refusal."""
    code, text = REFUSALS[reason]
    return VenueError(code, text)


def missing(name: str) -> VenueError:
    """Return the error for an absent parameter."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal_characters(name: str, pattern: str) -> VenueError:
    """Return the error for a malformed parameter."""
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")


def not_required(name: str) -> VenueError:
    """Return the error for a parameter that the order type does not take."""
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> VenueError:
    """Return the error for more than eight decimals."""
    return VenueError(-1111, f"Parameter '{name}' has too much precision.")


def unknown_order() -> VenueError:
    """Return the error for a query that finds nothing."""
    return VenueError(-2013, "Order does not exist.")


def invalid_symbol() -> VenueError:
    """Return the error for a symbol that is not listed."""
    return VenueError(-1121, "Invalid symbol.")


def bad_signature() -> VenueError:
    """Return the error for a wrong signature."""
    return VenueError(-1022, "Signature for this request is not valid.")


def bad_key(status: int = 401) -> VenueError:
    """Return the error for an unknown key."""
    return VenueError(-2015, "Invalid API-key, IP, or permissions for action.", status)


def too_many_orders(limit: int, interval: str, now_ms: int, retry_ms: int) -> VenueError:
    """Return the error for too many unfilled orders; `retry_ms` from now the window is over."""
    text = f"Too many new orders; current limit is {limit} orders per {interval}."
    return VenueError(-1015, text, 429, {"serverTime": now_ms, "retryAfter": now_ms + retry_ms})


OCO_TYPES: Final[dict[tuple[str, str], tuple[int, str]]] = {
    ("BUY", "LIMIT_MAKER"): (-1165, "A limit order in a buy OCO must be below."),
    ("SELL", "LIMIT_MAKER"): (-1166, "A limit order in a sell OCO must be above."),
    ("BUY", "STOP_LOSS"): (-1196, "A stop loss order in a buy OCO must be above."),
    ("SELL", "STOP_LOSS"): (-1197, "A stop loss order in a sell OCO must be below."),
    ("BUY", "TAKE_PROFIT"): (-1198, "A take profit order in a buy OCO must be below."),
    ("SELL", "TAKE_PROFIT"): (-1199, "A take profit order in a sell OCO must be above."),
}
"""(side, kind of leg) -> error for a leg on the wrong side of the other."""


def time_out() -> VenueError:
    """Return the answer whose outcome is unknown: the order may have been executed."""
    return VenueError(
        -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown.", 504
    )


def disconnected() -> VenueError:
    """Return the other answer whose outcome is unknown."""
    return VenueError(-1001, "Internal error; unable to process your request. Please try again.", 503)
