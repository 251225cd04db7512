"""What others say an instrument is worth: the median of what each of them told last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from riskd.price_trail import STALE_NS

MIN_SOURCES: Final = 2
"""One alone may be as wrong as the book."""


class Reference:
    """The median of the sources of one instrument, in units, and when it was taken."""

    __slots__ = ("price", "taken_ns")

    def __init__(self, price: int, taken_ns: int) -> None:
        self.price = price
        self.taken_ns = taken_ns

    def is_fresh(self, now_ns: int) -> bool:
        """Return whether it was taken just now."""
        return 0 <= now_ns - self.taken_ns <= STALE_NS


def reference_of(told: Iterable[tuple[int, int]], now_ns: int, max_age_ns: int = STALE_NS) -> Reference | None:
    """Return the median of all sources that spoke lately, None when they are fewer than MIN_SOURCES.

    Args:
        told: (price in units, 0 = none; when it was received) of each source.
        now_ns: Now.
        max_age_ns: What was received longer ago says nothing.
    """
    prices = sorted(price for price, at_ns in told if price > 0 and abs(now_ns - at_ns) <= max_age_ns)
    if len(prices) < MIN_SOURCES:
        return None
    middle, is_odd = divmod(len(prices), 2)
    return Reference(prices[middle] if is_odd else (prices[middle - 1] + prices[middle]) // 2, now_ns)
