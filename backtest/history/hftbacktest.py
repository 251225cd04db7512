"""hftbacktest's npz files: an array `data` of 64-byte events, read straight from the archive in pieces.

Format: https://hftbacktest.readthedocs.io/en/latest/data.html and `hftbacktest/types.py` (release 2.4.4, read
2026-11-21). The low byte of `ev` is the kind; bit 31 the exchange's clock, 30 the local one, 29 buy, 28 sell.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from backtest.history.amounts import Refuse, TimeColumn, check_amounts, float_steps
from backtest.history.csv_table import READ_ERRORS
from backtest.history.levels import FIRST_CAPACITY, MAX_LEVELS, expand_clears, grown
from backtest.history.rows import BBO, CHUNK_ROWS, KIND_BITS, DataError, Market, Rows, make_rows, priced
from tradebot.core import columns as core

EVENT: Final = np.dtype(
    [("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"), ("order_id", "<u8"),
     ("ival", "<i8"), ("fval", "<f8")]
)  # fmt: skip
MEMBER: Final = "data.npy"
EXCH_EVENT, LOCAL_EVENT, BUY_EVENT, SELL_EVENT = (np.uint64(1 << bit) for bit in (31, 30, 29, 28))
_KIND_BITS: Final = np.uint64(0xFF)
_KINDS: Final = {
    1: core.LEVEL, 2: core.TRADE, 3: core.CLEAR, 4: core.LEVEL | core.SNAPSHOT, 5: BBO,
    10: core.ORDER_ADD, 11: core.ORDER_CANCEL, 12: core.ORDER_MODIFY, 13: core.ORDER_FILL,
}  # fmt: skip
COPY_BYTES: Final = 1 << 20
MAX_PARTIAL_CLEARS: Final = 8
"""Clears in one piece of rows that may each remove a whole side level by level."""
_NOT_KNOWN: Final = 0xFF
_TABLE: Final = np.full(256, _NOT_KNOWN, np.uint8)
for _number, _kind in _KINDS.items():
    _TABLE[_number] = _kind


def read_npz(path: Path, market: Market) -> Iterator[Rows]:
    """Yield the rows of one file; the format does not name its instrument.

    A clear goes from the touch through a price there; it becomes the levels that it removes.
    """
    times = TimeColumn("ns"), TimeColumn("ns")
    clears = _Clears(path)
    first = 1
    for events in _events(path):
        yield clears.expanded(_rows(path, first, events, market, times))
        first += len(events)


class _Clears:
    """Follows the levels of the book, so that a clear through a price can be written level by level."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts = np.zeros((2, 2), np.int64)
        self._lines = np.zeros((2, 2, FIRST_CAPACITY), np.int64)

    def expanded(self, rows: Rows) -> Rows:
        levels = int(self._counts.max())
        if levels > MAX_LEVELS:
            raise DataError(self._path, int(rows.row[0]), "px", f"the book has more than {MAX_LEVELS} levels")
        self._lines = grown(self._lines, levels + len(rows))
        clears = int((rows.kinds == core.CLEAR).sum())
        written = np.zeros((clears + (levels + len(rows)) * min(clears, MAX_PARTIAL_CLEARS), 3), np.int64)
        count = expand_clears(self._counts, self._lines, rows.flags, rows.price_ticks, rows.qty_lots, written)
        if count > len(written):
            raise DataError(self._path, int(rows.row[0]), "ev", "too many clears of half a book follow each other")
        if not clears:
            return rows
        places, ticks, flags = written[:count].T
        repeats = np.where(rows.kinds == core.CLEAR, np.bincount(places, minlength=len(rows)), 1)
        found = rows.take(np.repeat(np.arange(len(rows)), repeats))
        at = np.flatnonzero(found.kinds == core.CLEAR)
        price, kinds, qty = found.price_ticks.copy(), found.flags.copy(), found.qty_lots.copy()
        price[at], kinds[at], qty[at] = ticks, flags, 0
        return found.replace(price_ticks=price, flags=kinds, qty_lots=qty)


def _events(path: Path) -> Iterator[NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                raise DataError(path, None, "", f"the archive holds no array 'data', but {archive.namelist()}")
            with archive.open(MEMBER) as file:
                left = _row_count(path, file)
                while left:
                    size = min(left, CHUNK_ROWS) * EVENT.itemsize
                    data = file.read(size)
                    if len(data) != size:
                        raise DataError(path, None, "", "the array ends before its last row: is the file complete?")
                    left -= size // EVENT.itemsize
                    yield np.frombuffer(data, EVENT)
    except FileNotFoundError as exc:
        raise DataError(path, None, "", "no such file") from exc
    except READ_ERRORS as exc:
        raise DataError(path, None, "", f"cannot be read to its end ({exc}): is it complete?") from exc


def _row_count(path: Path, file: IO[bytes]) -> int:
    try:
        version = npy.read_magic(file)
        shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    except ValueError as exc:
        raise DataError(path, None, "", f"the array has no readable header ({exc})") from exc
    if dtype.names != EVENT.names or dtype.itemsize != EVENT.itemsize or len(shape) != 1:
        raise DataError(path, None, "", f"expected events of fields {EVENT.names}, found {dtype} of shape {shape}")
    return int(shape[0])


def _rows(path: Path, first: int, events: NDArray[Any], market: Market, times: tuple[TimeColumn, TimeColumn]) -> Rows:
    def refuse_in(column: str) -> Refuse:
        def refuse(index: int, text: str) -> NoReturn:
            raise DataError(path, first + index, {"price": "px"}.get(column, column), text)

        return refuse

    ev = events["ev"]
    flags = _TABLE[(ev & _KIND_BITS).astype(np.int64)]
    if (flags == _NOT_KNOWN).any():
        index = int(np.argmax(flags == _NOT_KNOWN))
        refuse_in("ev")(index, f"event kind {int(ev[index] & _KIND_BITS)} is not a documented one")
    price, qty = _amounts(events, flags, market, refuse_in)
    check_amounts(price, qty, priced(flags), flags & core.KIND_MASK != core.TRADE, refuse_in)
    for bit, flag in ((EXCH_EVENT, core.AT_EXCHANGE), (LOCAL_EVENT, core.AT_LOCAL), (BUY_EVENT, core.BUYER)):
        flags = flags | np.where(ev & bit != 0, np.uint8(flag), np.uint8(0))
    if (flags & core.BOTH == 0).any():
        refuse_in("ev")(int(np.argmax(flags & core.BOTH == 0)), "the event is on neither clock")
    sided = ev & (BUY_EVENT | SELL_EVENT) != 0
    both_sides = ~sided & (flags & core.KIND_MASK == core.CLEAR)
    if not (sided | both_sides).all():
        refuse_in("ev")(int(np.argmin(sided | both_sides)), "the event has no side")
    rows = make_rows(
        len(events),
        exchange_time_ns=times[0].to_ns(events["exch_ts"], refuse_in("exch_ts")),
        local_time_ns=times[1].to_ns(events["local_ts"], refuse_in("local_ts")),
        flags=flags,
        price_ticks=price,
        qty_lots=qty,
        id=events["order_id"].astype(np.int64),
        row=np.arange(first, first + len(events)),
    )
    return rows if not both_sides.any() else _split_clears(rows, both_sides)


def _split_clears(rows: Rows, both_sides: NDArray[np.bool_]) -> Rows:
    """Write a clear of both sides as one per side."""
    split = rows.take(np.repeat(np.arange(len(rows)), 1 + both_sides))
    second = np.cumsum(1 + both_sides)[both_sides] - 1
    split.flags[second] |= core.BUYER
    return split


def _amounts(
    events: NDArray[Any], flags: NDArray[np.uint8], market: Market, refuse_in: Callable[[str], Refuse]
) -> tuple[core.Int64s, core.Int64s]:
    """Return ticks and lots. A clear has no quantity, and no price when it is about the whole side."""
    clear = flags & core.KIND_MASK == core.CLEAR
    px, qty = events["px"], events["qty"]
    if clear.any():
        px = np.where(clear & ~np.isfinite(px), 0.0, px)
        qty = np.where(clear, 0.0, qty)
    return float_steps(px, market.tick_size, refuse_in("price")), float_steps(qty, market.lot_size, refuse_in("qty"))


def write_npz(path: Path, chunks: Iterable[Rows], market: Market) -> int:
    """Write book and trade rows as events; return their number. The same rows give the same bytes."""
    names = {kind: number for number, kind in _KINDS.items()}
    table = np.zeros(256, np.uint64)
    for kind, number in names.items():
        table[kind] = number
    body = path.with_name(f"{path.name}.events")
    count = 0
    try:
        with body.open("wb") as file:
            for rows in chunks:
                kinds = rows.flags & np.uint8(KIND_BITS | core.SNAPSHOT)
                known = rows.take(table[kinds] != 0)
                _to_events(known, table[kinds[table[kinds] != 0]], market).tofile(file)
                count += len(known)
        _pack(path, body, count)
    finally:
        body.unlink(missing_ok=True)
    return count


def _to_events(rows: Rows, numbers: NDArray[np.uint64], market: Market) -> NDArray[Any]:
    events = np.zeros(len(rows), EVENT)
    flags, zero = rows.flags, np.uint64(0)
    buyer = np.where(flags & core.BUYER != 0, BUY_EVENT, SELL_EVENT)
    exchange = np.where(flags & core.AT_EXCHANGE != 0, EXCH_EVENT, zero)
    local = np.where(flags & core.AT_LOCAL != 0, LOCAL_EVENT, zero)
    events["ev"] = numbers | buyer | exchange | local
    events["exch_ts"], events["local_ts"] = rows.exchange_time_ns, rows.local_time_ns
    events["px"] = np.where(rows.kinds == core.CLEAR, np.nan, to_floats(rows.price_ticks, market.tick_size))
    events["qty"] = to_floats(rows.qty_lots, market.lot_size)
    events["order_id"] = np.where((numbers >= np.uint64(10)), rows.id, 0).astype(np.uint64)
    return events


def to_floats(steps: core.Int64s, step: Decimal) -> NDArray[np.float64]:
    """Return steps as floats, each the nearest to its decimal value: whole numbers divided once."""
    numerator, denominator = step.as_integer_ratio()
    values: NDArray[np.float64] = (steps * numerator) / denominator
    return values


def _pack(path: Path, body: Path, count: int) -> None:
    """Put the events into an archive as numpy's savez does, with a fixed date so that bytes depend on rows only."""
    info = zipfile.ZipInfo(MEMBER, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w") as archive,
        archive.open(info, "w", force_zip64=True) as out,
        body.open("rb") as raw,
    ):
        npy.write_array_header_1_0(out, {"descr": npy.dtype_to_descr(EVENT), "fortran_order": False, "shape": (count,)})
        shutil.copyfileobj(raw, out, COPY_BYTES)
