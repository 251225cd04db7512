"""Scaled integers of the gate: every price, quantity and amount is an int in steps of 1e-12 (the scale of `Money`).

One scale for all of them keeps base-asset fees exact (they are no multiple of a lot) and a check a comparison of ints.
Conversions are exact or refused: a value that does not fit is malformed, never rounded.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow

from tradebot.core.amounts import MONEY_ONE

UNIT = MONEY_ONE
"""One whole base unit, quote unit or price of one."""
PPM = 1_000_000
"""Parts per million: ratios and percentages are ints of these (1 bp = 100 ppm)."""
UNITS_PER_PPM = UNIT // PPM
PPM_PER_PCT = 10_000
PPM_PER_BPS = 100

_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
_SCALE = Decimal(UNIT)


def to_units(value: Decimal) -> int:
    """Return an exact int of 1e-12.

    Raises:
        ArithmeticError: If the value is not finite or has more than 12 decimals.
    """
    try:
        return int(_EXACT.to_integral_exact(_EXACT.multiply(value, _SCALE)))
    except ValueError as exc:
        raise ArithmeticError(f"{value} is not a number") from exc


def to_units_floor(value: Decimal) -> int:
    """Return an int of 1e-12, rounded down; for values that we compute ourselves."""
    scaled = value * _SCALE
    units = int(scaled)
    return units - 1 if units != scaled and value < 0 else units


def from_units(units: int) -> Decimal:
    """Return the exact Decimal of an int of 1e-12."""
    return Decimal(units).scaleb(-12, _EXACT)


def amount(price: int, qty: int) -> int:
    """Return price x qty, rounded up: an exposure is never understated. Both >= 0."""
    return -(-price * qty // UNIT)


def amount_floor(price: int, qty: int) -> int:
    """Return price x qty, rounded down; for what we own."""
    return price * qty // UNIT


def with_ppm(value: int, ppm: int) -> int:
    """Return value x ppm / 1e6, rounded down: a limit is never overstated."""
    return value * ppm // PPM


def plus_ppm(value: int, ppm: int) -> int:
    """Return value x (1 + ppm / 1e6), rounded up: a cost is never understated."""
    return value - (-value * ppm // PPM)


def floor_to(value: int, step: int) -> int:
    """Return the largest multiple of `step` that is not above `value`."""
    return value - value % step


def ratio_ppm(part: int, whole: int) -> int:
    """Return part / whole in ppm, rounded down; `whole` > 0."""
    return part * PPM // whole


def split(total: int, weights: list[int], whole: int) -> list[int]:
    """Return a total shared by weight, rounded down; what division leaves goes to the last, so the sum is exact.

    Args:
        total: What is shared.
        weights: Not empty; any signs.
        whole: Their sum, not 0.
    """
    if len(weights) == 1:
        return [total]
    shares = [total * weight // whole for weight in weights]
    shares[-1] += total - sum(shares)
    return shares
