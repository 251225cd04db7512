"""Market rows as one block of integers, for code that goes through many rows at a time.

Shape (8, rows), one contiguous line per column of `MarketRow`, in its order: compiled loops take one array instead of
eight, and nothing is copied between the reader of a recording, the engine and the simulated venue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core.errors import InvariantError
from tradebot.core.market import MarketRow, RowColumns

KIND: Final = 0
INSTRUMENT: Final = 1
SIDE_FLAGS: Final = 2
PRICE: Final = 3
QTY: Final = 4
ID: Final = 5
EVENT_TIME: Final = 6
RECEIVE_TIME: Final = 7
COLUMNS: Final = 8

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """Rows in stream order."""

    data: Int64s
    """Shape (8, rows), C order."""

    def __post_init__(self) -> None:
        data = self.data
        if data.dtype != np.int64 or data.ndim != 2 or data.shape[0] != COLUMNS:
            raise InvariantError(f"a row block is int64 of shape (8, rows), not {data.dtype} of shape {data.shape}")

    @classmethod
    def of(cls, rows: RowColumns) -> RowBlock:
        """Copy columns into a block."""
        data = np.empty((COLUMNS, len(rows)), np.int64)
        data[KIND] = rows.kind
        data[INSTRUMENT] = rows.instrument
        data[SIDE_FLAGS] = rows.side_flags
        data[PRICE] = rows.price
        data[QTY] = rows.qty
        data[ID] = rows.id
        data[EVENT_TIME] = rows.event_time_ns
        data[RECEIVE_TIME] = rows.receive_time_ns
        return cls(data)

    def __len__(self) -> int:
        return int(self.data.shape[1])

    @property
    def receive_time_ns(self) -> Int64s:
        """When each row was received; never falls."""
        times: Int64s = self.data[RECEIVE_TIME]
        return times

    def time_ns(self, index: int) -> int:
        """Return when one row was received."""
        return int(self.data[RECEIVE_TIME, index])

    def first_after(self, time_ns: int, start: int = 0) -> int:
        """Return the first row at or after `start` that was received later than a time."""
        return start + int(np.searchsorted(self.data[RECEIVE_TIME, start:], time_ns, side="right"))

    def take(self, picked: NDArray[np.bool_] | NDArray[np.intp]) -> RowBlock:
        """Return some rows."""
        return RowBlock(np.ascontiguousarray(self.data[:, picked]))

    def head(self, rows: int) -> RowBlock:
        """Return the first rows."""
        return RowBlock(np.ascontiguousarray(self.data[:, :rows]))

    def columns(self, start: int = 0, stop: int | None = None) -> RowColumns:
        """Return rows as lists of plain integers."""
        return RowColumns(*self.data[:, start:stop].tolist())

    def row(self, index: int) -> MarketRow:
        """Return one row."""
        return MarketRow(*self.data[:, index].tolist())
