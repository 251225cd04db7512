"""A folder of plain columns of one instrument, mapped into memory instead of read: what the simulator runs on.

One `.npy` file per column of `tradebot.core.columns`, and `market.json`. A month of rows takes the memory of the pages
that are being looked at, which the system takes back when it needs them.
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.lib import format as npy

from backtest.history.rows import DTYPES, DataError, Market, Rows, market_columns
from tradebot.core.columns import COLUMNS, MarketColumns

MARKET_FILE: Final = "market.json"
TRIM_EVERY_S: Final = 0.05
"""At 50 million rows a second 80 MB of columns pass in between."""
HEADER_BYTES: Final = 128
"""Size of an npy header of a vector, whatever its length: numpy pads it."""


def write_columns(folder: Path, chunks: Iterable[Rows], market: Market) -> int:
    """Write the book and trade rows; return their number."""
    folder.mkdir()
    files = {name: (folder / f"{name}.npy").open("wb") for name in COLUMNS}
    count = 0
    try:
        for name, file in files.items():
            _write_header(file, name, 0)
        for rows in chunks:
            columns = market_columns(rows, 0)
            if columns.order_id is not None:
                raise DataError(
                    folder, None, "kind", "rows of single orders have no columns: keep them as .parquet or .npz"
                )
            for name, file in files.items():
                getattr(columns, name).tofile(file)
            count += len(columns)
        for name, file in files.items():
            file.seek(0)
            _write_header(file, name, count)
    finally:
        for file in files.values():
            file.close()
    steps = {"tick_size": f"{market.tick_size:f}", "lot_size": f"{market.lot_size:f}"}
    described = {"instrument_id": market.instrument_id, "venue_symbol": market.venue_symbol, **steps, "rows": count}
    (folder / MARKET_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return count


def open_columns(folder: Path) -> tuple[Market, MarketColumns]:
    """Return the instrument and its columns, mapped and read-only.

    Raises:
        DataError: If the folder is not such a one, or a column is not whole.
    """
    try:
        tree = json.loads((folder / MARKET_FILE).read_text(encoding="utf-8"))
        steps = (Decimal(tree["tick_size"]), Decimal(tree["lot_size"]))
        market = Market(tree["instrument_id"], tree["venue_symbol"], *steps)
        columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in COLUMNS}
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as exc:
        raise DataError(folder, None, "", f"not a whole folder of columns ({exc})") from exc
    for name, column in columns.items():
        if column.shape != (tree["rows"],) or column.dtype != COLUMNS[name]:
            text = f"{column.dtype} of shape {column.shape}, expected {COLUMNS[name]} of {tree['rows']} rows"
            raise DataError(folder, None, name, text)
    return market, MarketColumns(**columns)


@contextmanager
def few_pages(columns: MarketColumns, every_s: float = TRIM_EVERY_S) -> Iterator[None]:
    """Keep a mapped feed's pages out of this process while kernels pass over it, whatever its length.

    The system keeps them in its cache as long as it likes and takes them back when memory is short, but until then they
    count as this process's memory. A thread hands them back all the time: kernels do not hold the interpreter's lock,
    and a page that is needed again is mapped again from the cache.
    """
    maps = [found for name in COLUMNS if (found := _map_of(getattr(columns, name))) is not None]
    done = threading.Event()

    def trim() -> None:
        while not done.wait(every_s):
            for one in maps:
                one.madvise(mmap.MADV_DONTNEED)

    thread = threading.Thread(target=trim, name="few-pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _map_of(column: object) -> mmap.mmap | None:
    """Return the mapping under an array, None for one that is simply in memory."""
    while isinstance(column, np.ndarray):
        column = column.base
    return column if isinstance(column, mmap.mmap) else None


def _write_header(file: IO[bytes], name: str, count: int) -> None:
    npy.write_array_header_1_0(
        file, {"descr": npy.dtype_to_descr(np.dtype(DTYPES[name])), "fortran_order": False, "shape": (count,)}
    )
    if file.tell() != HEADER_BYTES:
        raise DataError(file.name, None, name, f"the header takes {file.tell()} bytes, expected {HEADER_BYTES}")
