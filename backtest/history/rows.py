"""Market history as integer columns: the one layout that all readers yield and everything behind them reads.

It is `tradebot.core.columns` for several instruments and files at once; what the simulator gets is a selection of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from tradebot.core.columns import CLEAR, KIND_MASK, LEVEL, ORDER_ADD, SNAPSHOT, TRADE, Flags, Int64s, MarketColumns
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Instrument

CHUNK_ROWS: Final = 65_536
"""Rows that a reader hands out at once; about 4 MiB."""

OTHER: Final = 0x80
"""Set in `flags` on facts that are no book or trade row: the low bits are then one of the kinds below. The simulator's
kernels never get these."""
BBO: Final = OTHER | 1
"""Best price and quantity of one side as the venue published it; 0 and 0 = nothing there."""
MARK_PRICE: Final = OTHER | 2
"""Mark price in steps of 1e-8, quantity 0."""
INDEX_PRICE: Final = OTHER | 3
"""Index price in steps of 1e-8, quantity 0."""
FUNDING_RATE: Final = OTHER | 4
"""Price is the rate in steps of 1e-8; quantity is the time at which it is due, UTC ns, 0 = not known."""
KIND_BITS: Final = OTHER | KIND_MASK
SNAPSHOT_LEVEL: Final = LEVEL | SNAPSHOT

KIND_NAMES: Final[dict[int, str]] = {
    LEVEL: "depth",
    SNAPSHOT_LEVEL: "snapshot",
    CLEAR: "clear",
    TRADE: "trade",
    BBO: "bbo",
    MARK_PRICE: "mark_price",
    INDEX_PRICE: "index_price",
    FUNDING_RATE: "funding_rate",
}
"""Kinds (with the snapshot mark) that text formats can say, and how they spell them."""
FINE_STEP: Final = Decimal("1e-8")
"""Step of prices and rates that are not traded and so have no tick."""


class DataError(ConfigError):
    """A file that cannot be used as it is. Names file, row and column; nothing of it was loaded."""

    def __init__(self, path: Path | str, row: int | None, column: str, text: str) -> None:
        where = f"{path}" if row is None else f"{path}: row {row}"
        super().__init__(f"{where}{f', column {column}' if column else ''}: {text}")
        self.path = Path(path)
        self.row = row
        """Number in the file, from 1; for text files the line, the header being line 1."""
        self.column = column


class Notes(dict[str, int]):
    """What a reader left out or changed because its format says so: reason -> count."""

    def add(self, reason: str, count: int = 1) -> None:
        """Count it; a count of 0 leaves no trace."""
        if count:
            self[reason] = self.get(reason, 0) + count


@dataclass(frozen=True, slots=True)
class Market:
    """What a reader has to know of an instrument."""

    instrument_id: str
    venue_symbol: str
    tick_size: Decimal
    lot_size: Decimal

    @classmethod
    def of(cls, instrument: Instrument) -> Self:
        """Take it from the trading rules."""
        return cls(instrument.instrument_id, instrument.venue_symbol, instrument.tick_size, instrument.lot_size)

    def step(self, amount: str) -> Decimal:
        """Return the step of `price` or `qty`."""
        return self.tick_size if amount == "price" else self.lot_size


@dataclass(frozen=True, slots=True)
class Rows:
    """`MarketColumns` of several instruments with what messages and checks need besides. Columns of equal length."""

    exchange_time_ns: Int64s
    local_time_ns: Int64s
    flags: Flags
    """As in `MarketColumns`, plus the kinds with OTHER."""
    price_ticks: Int64s
    qty_lots: Int64s
    id: Int64s
    """Trade id, update id or order id as the venue counts; 0 = none."""
    instrument: NDArray[np.int16]
    """Index in the reader's markets."""
    source: NDArray[np.int16]
    """Index of the file among those opened together."""
    row: Int64s
    """Row in that file, from 1, for messages."""

    def __len__(self) -> int:
        return len(self.flags)

    @property
    def kinds(self) -> Flags:
        """The kind of each row: `flags` without side, clocks and snapshot mark."""
        return self.flags & np.uint8(KIND_BITS)

    def take(self, picked: Any) -> Rows:
        """Return some rows: a slice, an index array or a mask."""
        return Rows(*(getattr(self, name)[picked] for name in COLUMNS))

    def replace(self, **columns: Any) -> Rows:
        """Return the rows with some columns exchanged."""
        return Rows(*(columns.get(name, getattr(self, name)) for name in COLUMNS))

    def equals(self, other: Rows) -> bool:
        """True when every column holds the same values."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in COLUMNS)


COLUMNS: Final = tuple(field.name for field in fields(Rows))
DTYPES: Final[dict[str, Any]] = {
    **dict.fromkeys(COLUMNS, np.int64),
    "flags": np.uint8,
    "instrument": np.int16,
    "source": np.int16,
}


def make_rows(length: int, **columns: Any) -> Rows:
    """Return rows; a missing column is 0, a single value stands for the whole column."""

    def column(name: str) -> Any:
        given = columns.get(name, 0)
        if isinstance(given, (int, np.integer)):
            return np.full(length, given, DTYPES[name])
        return np.ascontiguousarray(given, DTYPES[name])

    return Rows(*(column(name) for name in COLUMNS))


def market_columns(rows: Rows, instrument: int) -> MarketColumns:
    """Return the book and trade rows of one instrument as the simulator reads them; ids only of single orders."""
    picked = rows.take((rows.instrument == instrument) & (rows.flags & OTHER == 0))
    order_id = picked.id if (picked.kinds >= ORDER_ADD).any() else None
    return MarketColumns(
        picked.exchange_time_ns, picked.local_time_ns, picked.flags, picked.price_ticks, picked.qty_lots, order_id
    )


def concat(parts: Sequence[Rows]) -> Rows:
    """Return rows one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return make_rows(0)
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))


def priced(kinds: Any) -> Any:
    """Return a mask of the kinds whose price and quantity are ticks and lots."""
    return (kinds == BBO) | ((kinds & OTHER == 0) & (kinds & KIND_MASK != CLEAR))
