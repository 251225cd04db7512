"""Whole columns of prices and quantities to ticks and lots, exactly or not at all.

Text becomes a scaled integer without a float in between. Floats (hftbacktest files) are taken as the nearest step and
refused when they are not close to one.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backtest.history.rows import DataError
from tradebot.core.columns import Int64s

MIN_DECIMALS: Final = 8
"""Decimals that are read even when the step has fewer: enough for every venue's own amounts."""
FLOAT_TOLERANCE: Final = 1e-4
"""Distance from a step, in steps, at which a float still means it: 0.1 + 0.2 does, half a tick does not."""
MAX_STEPS: Final = 2**53
"""More ticks or lots than this are no amount, and no float holds them exactly."""
NS_PER: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
FIRST_NS: Final = 1_230_768_000 * 10**9
"""2009: nothing traded here is older."""
LAST_NS: Final = 4_102_444_800 * 10**9
"""2100."""

Refuse = Callable[[int, str], NoReturn]
"""(index in the column, what is wrong) -> DataError."""


def text_steps(column: Any, step: Decimal, refuse: Refuse) -> Int64s:
    """Return the whole steps in a column of decimal texts; negative ones are left to the caller."""
    decimals = max(MIN_DECIMALS, -_exponent(step))
    try:
        scaled = pc.cast(column, pa.decimal128(38, decimals))
    except pa.ArrowInvalid:
        _refuse_text(column, step, decimals, refuse)
    words = np.frombuffer(scaled.buffers()[1], "<i8")[2 * scaled.offset : 2 * (scaled.offset + len(scaled))]
    low, high = words[::2], words[1::2]
    unit = int(step.scaleb(decimals))
    steps, rest = np.divmod(low, unit)
    for index in np.flatnonzero(high != low >> 63).tolist():  # beyond 64 bits before the division: rare, one by one
        exact, over = divmod(int(scaled[index].as_py().scaleb(decimals)), unit)
        if abs(exact) > MAX_STEPS:
            refuse(index, f"{column[index].as_py()!r} is too large")
        steps[index], rest[index] = exact, over
    _refuse_first(rest != 0, refuse, lambda i: f"{column[i].as_py()!r} is not on a step of {step.normalize():f}")
    return steps


def text_ints(column: Any, refuse: Refuse) -> Int64s:
    """Return a column of whole numbers."""
    try:
        values: Int64s = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        for index, text in enumerate(column.to_pylist()):
            if not text.removeprefix("-").isdecimal() or not -(2**63) <= int(text) < 2**63:
                refuse(index, f"{text[:40]!r} is not a whole number")
        raise
    return values


def text_choice(column: Any, names: dict[str, int], refuse: Refuse) -> Int64s:
    """Return what each text stands for; upper and lower case are the same."""
    lowered = pc.utf8_lower(column)
    places = pc.index_in(lowered, value_set=pa.array(list(names)))
    if places.null_count:
        index = int(np.argmax(places.is_null().to_numpy(zero_copy_only=False)))
        choice = ", ".join(repr(name) for name in names)
        refuse(index, f"{column[index].as_py()[:40]!r} is none of {choice}")
    values: Int64s = np.array(list(names.values()), np.int64)[places.to_numpy()]
    return values


def float_steps(values: NDArray[np.float64], step: Decimal, refuse: Refuse) -> Int64s:
    """Return the whole steps in a column of floats."""
    _refuse_first(~np.isfinite(values), refuse, lambda i: f"{float(values[i])} is not a number")
    quotient = values / float(step)
    whole = np.rint(quotient)
    _refuse_first(np.abs(whole) > MAX_STEPS, refuse, lambda i: f"{float(values[i])!r} is too large")
    off = np.abs(quotient - whole) > FLOAT_TOLERANCE
    _refuse_first(off, refuse, lambda i: f"{float(values[i])!r} is not on a step of {step.normalize():f}")
    return whole.astype(np.int64)


def time_unit(stamp: int) -> str | None:
    """Return the unit in which a stamp is a time of our days, None when it is none in any unit."""
    return next((unit for unit, ns in NS_PER.items() if FIRST_NS <= stamp * ns < LAST_NS), None)


class TimeColumn:
    """The stamps of one column of one file, which all have the unit of the first."""

    def __init__(self, unit: str | None = None) -> None:
        """Take the unit as given, or find it from the first stamp."""
        self.unit = unit

    def to_ns(self, stamps: Int64s, refuse: Refuse) -> Int64s:
        """Return UTC nanoseconds; a stamp that is no time in this column's unit is refused."""
        if not len(stamps):
            return stamps
        if self.unit is None:
            self.unit = time_unit(int(stamps[0]))
            if self.unit is None:
                refuse(0, f"{int(stamps[0])} is not a time in seconds, ms, us or ns")
        factor = NS_PER[self.unit]
        bad = (stamps < FIRST_NS // factor) | (stamps >= LAST_NS // factor)
        _refuse_first(bad, refuse, lambda i: self._explain(int(stamps[i])))
        return stamps * factor

    def _explain(self, stamp: int) -> str:
        unit = time_unit(stamp)
        if unit is None:
            return f"{stamp} is not a time"
        return f"{stamp} counts {unit}, the rows before it {self.unit}: mixed time scales"


def check_amounts(
    price: Int64s, qty: Int64s, priced: Any, zero_qty_ok: Any, refuse_in: Callable[[str], Refuse]
) -> None:
    """Refuse prices and quantities that cannot be.

    Args:
        price: Ticks.
        qty: Lots.
        priced: Mask of rows that have a price and a quantity.
        zero_qty_ok: Mask of rows where a quantity of 0 says that nothing is there.
        refuse_in: Column name (`price`, `qty`) -> how to refuse in it.
    """
    empty = zero_qty_ok & (qty == 0)
    _refuse_first(priced & (price < 0), refuse_in("price"), lambda i: "the price is negative")
    _refuse_first(priced & (price == 0) & ~empty, refuse_in("price"), lambda i: "the price is zero")
    _refuse_first(priced & (qty < 0), refuse_in("qty"), lambda i: "the quantity is negative")
    _refuse_first(priced & (qty == 0) & ~zero_qty_ok, refuse_in("qty"), lambda i: "the quantity is zero")


def _refuse_first(bad: Any, refuse: Refuse, text: Callable[[int], str]) -> None:
    if bad.any():
        index = int(np.argmax(bad))
        refuse(index, text(index))


def _refuse_text(column: Any, step: Decimal, decimals: int, refuse: Refuse) -> NoReturn:
    """Find the text that made a whole column fail, and say why."""
    for index, text in enumerate(column.to_pylist()):
        try:
            value = Decimal(text)
        except InvalidOperation:
            refuse(index, f"{text[:40]!r} is not a number")
        if not value.is_finite():
            refuse(index, f"{text[:40]!r} is not a number")
        if value.adjusted() >= 38 - decimals:
            refuse(index, f"{text[:40]!r} is too large")
        if _exponent(value) < -decimals:
            refuse(index, f"{text[:40]!r} is not on a step of {step.normalize():f}")
        if text != text.strip():
            refuse(index, f"{text[:40]!r} has spaces around the number")
    raise DataError("?", None, "", "a column cannot be read")


def _exponent(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent
