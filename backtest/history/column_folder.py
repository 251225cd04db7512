"""A folder of plain columns of one instrument, mapped into memory instead of read: what the simulator runs on.

One `.npy` file per column of `tradebot.core.columns`, and `market.json`. A month of rows takes the memory of the pages
that are being looked at, which the system takes back when it needs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.lib import format as npy

from backtest.history.rows import DTYPES, DataError, Market, Rows, market_columns
from tradebot.core.columns import COLUMNS, MarketColumns

MARKET_FILE: Final = "market.json"
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


def _write_header(file: IO[bytes], name: str, count: int) -> None:
    npy.write_array_header_1_0(
        file, {"descr": npy.dtype_to_descr(np.dtype(DTYPES[name])), "fortran_order": False, "shape": (count,)}
    )
    if file.tell() != HEADER_BYTES:
        raise DataError(file.name, None, name, f"the header takes {file.tell()} bytes, expected {HEADER_BYTES}")
