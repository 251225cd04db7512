"""Market events as rows: one layout for live streams, recordings, replay and backtest.

A row is one fact; a venue event is one or more rows, the last of which carries `LAST_FLAG`. In bulk, rows travel as
columns (`RowColumns`, one Python list or numpy array per field); `MarketRow` is one of them for code that wants names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Final, NamedTuple


class RowKind(IntEnum):
    """What a row says; values are wire values of the proto enum, where each column's meaning is written."""

    TRADE = 1
    BOOK_LEVEL = 2
    BOOK_CLEAR = 3
    SNAPSHOT_LEVEL = 4
    BBO = 5
    BOOK_STATE = 6
    MARK_PRICE = 7
    INDEX_PRICE = 8
    FUNDING_RATE = 9
    OPEN_INTEREST = 10


class BookState(IntEnum):
    """State of a book. Only LIVE books may be traded on."""

    SYNCING = 1
    LIVE = 2
    GAP = 3
    STALE = 4


BUY_FLAG: Final = 1
SELL_FLAG: Final = 2
SIDE_MASK: Final = 3
LAST_FLAG: Final = 4
"""This row is the last one of its venue event."""


class MarketRow(NamedTuple):
    """One row. See the proto RowKind for the meaning of price, qty and id per kind."""

    kind: int
    instrument: int
    """Index in the stream's instrument table."""
    side_flags: int
    price: int
    """Ticks, or as RowKind says."""
    qty: int
    """Lots, or as RowKind says."""
    id: int
    event_time_ns: int
    receive_time_ns: int


@dataclass(slots=True)
class RowColumns:
    """Rows as columns of equal length. Appending is the hot path of marketdata; reading that of everybody else."""

    kind: list[int] = field(default_factory=list)
    instrument: list[int] = field(default_factory=list)
    side_flags: list[int] = field(default_factory=list)
    price: list[int] = field(default_factory=list)
    qty: list[int] = field(default_factory=list)
    id: list[int] = field(default_factory=list)
    event_time_ns: list[int] = field(default_factory=list)
    receive_time_ns: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.kind)

    def append(self, row: MarketRow | tuple[int, int, int, int, int, int, int, int]) -> None:
        """Add one row at the end."""
        kind, instrument, side_flags, price, qty, id_, event_time_ns, receive_time_ns = row
        self.kind.append(kind)
        self.instrument.append(instrument)
        self.side_flags.append(side_flags)
        self.price.append(price)
        self.qty.append(qty)
        self.id.append(id_)
        self.event_time_ns.append(event_time_ns)
        self.receive_time_ns.append(receive_time_ns)

    def extend(self, rows: Sequence[MarketRow]) -> None:
        """Add rows at the end."""
        for row in rows:
            self.append(row)

    def rows(self) -> list[MarketRow]:
        """Return the rows by name; for tests and slow paths."""
        return [
            MarketRow(*values)
            for values in zip(
                self.kind,
                self.instrument,
                self.side_flags,
                self.price,
                self.qty,
                self.id,
                self.event_time_ns,
                self.receive_time_ns,
                strict=True,
            )
        ]


@dataclass(frozen=True, slots=True)
class HistoryBar:
    """One bar as the venue computed it. Prices in quote asset, volume in base units."""

    open_time_ns: int
    close_time_ns: int
    """End of the bar, exclusive."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
