"""Amounts: exact decimals at the edges, scaled integers inside.

Control-plane messages carry decimal strings; hot code carries integer ticks, lots and `Money`.
Floats never enter: a float argument is a bug and raises.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Final

from tradebot.core.errors import RejectedError

MONEY_DECIMALS: Final = 12
"""Decimals of a `Money` integer. Twelve hold a tick x lot product of every listed spot and perpetual market exactly."""
MONEY_ONE: Final = 10**MONEY_DECIMALS
"""One whole unit of an asset as a Money integer."""
MAX_DECIMAL_TEXT: Final = 48
"""Longest decimal string accepted; a longer one is malformed, not an amount."""


def parse_decimal(text: str, field: str) -> Decimal:
    """Return the exact value of a decimal string.

    Args:
        text: Plain or exponent notation, at most `MAX_DECIMAL_TEXT` characters.
        field: Name used in the error.

    Raises:
        RejectedError: MALFORMED_DECIMAL when empty, not a number, NaN, infinite or too long.
    """
    if not text or len(text) > MAX_DECIMAL_TEXT:
        raise RejectedError("MALFORMED_DECIMAL", f"{field}: {text[:60]!r} is not a decimal string like '12.50'")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise RejectedError("MALFORMED_DECIMAL", f"{field}: {text!r} is not a decimal string like '12.50'") from None
    if not value.is_finite():
        raise RejectedError("MALFORMED_DECIMAL", f"{field}: {text!r} is not finite")
    return value


def format_decimal(value: Decimal) -> str:
    """Return the shortest plain notation ('0', '1.5', '-0.001'): no exponent, no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def to_money(value: Decimal) -> int:
    """Return a Decimal as a Money integer, rounding away from zero beyond 12 decimals (conservative for exposure)."""
    scaled = value.scaleb(MONEY_DECIMALS)
    rounding = ROUND_CEILING if scaled >= 0 else ROUND_FLOOR
    return int(scaled.to_integral_value(rounding=rounding))


def from_money(money: int) -> Decimal:
    """Return a Money integer as an exact Decimal."""
    return Decimal(money).scaleb(-MONEY_DECIMALS)


def steps_exact(value: Decimal, step: Decimal) -> int | None:
    """Return value / step when that is a whole number, else None."""
    quotient = value / step
    whole = quotient.to_integral_value()
    return int(whole) if whole * step == value else None


def steps_floor(value: Decimal, step: Decimal) -> int:
    """Return the number of whole steps in value, rounded down."""
    return int((value / step).to_integral_value(rounding=ROUND_FLOOR))


def steps_ceil(value: Decimal, step: Decimal) -> int:
    """Return the number of steps that cover value, rounded up."""
    return int((value / step).to_integral_value(rounding=ROUND_CEILING))
