"""From book rows to snapshots of the best levels, at most one per instrument and interval. Pure.

The book is rebuilt from the rows; a book that is not LIVE is not written. Intervals count on receive time, `ts` is
event time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from recorder.tables import Entry, Op
from tradebot.core.amounts import format_decimal
from tradebot.core.books import Book
from tradebot.core.instruments import Instrument
from tradebot.core.market import LAST_FLAG, SIDE_MASK, BookState, RowColumns, RowKind
from tradebot.core.orders import Side

NS_PER_MS: Final = 1_000_000


class _Market:
    __slots__ = ("book", "dirty", "instrument", "state", "written_ns")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = Book()
        self.state = BookState.SYNCING
        self.dirty = False
        self.written_ns = 0


class BookSnapshots:
    """Folds the book subscription, which starts with a snapshot at every connect."""

    def __init__(self, levels: int, interval_ms: int) -> None:
        self._levels = levels
        self._interval_ns = interval_ms * NS_PER_MS
        self._by_index: dict[int, _Market] = {}

    def set_instruments(self, instruments: Sequence[tuple[int, Instrument]]) -> None:
        """Learn the column indexes of a new stream; all books start empty."""
        written = {market.instrument.instrument_id: market.written_ns for market in self._by_index.values()}
        self._by_index = {index: _Market(instrument) for index, instrument in instruments}
        for market in self._by_index.values():
            market.written_ns = written.get(market.instrument.instrument_id, 0)

    def apply(self, rows: RowColumns) -> list[Entry]:
        """Return the snapshots that are due."""
        entries: list[Entry] = []
        columns = zip(
            rows.kind,
            rows.instrument,
            rows.side_flags,
            rows.price,
            rows.qty,
            rows.id,
            rows.event_time_ns,
            rows.receive_time_ns,
            strict=True,
        )
        for kind, index, side_flags, price, qty, id_, event_ns, receive_ns in columns:
            market = self._by_index.get(index)
            if market is None:
                continue
            if kind in (RowKind.BOOK_LEVEL, RowKind.SNAPSHOT_LEVEL):
                market.book.set_level(side_flags & SIDE_MASK, price, qty)
                market.dirty = True
            elif kind == RowKind.BOOK_CLEAR:
                market.book.clear()
            elif kind == RowKind.BOOK_STATE:
                market.state = BookState(price)
            if side_flags & LAST_FLAG and market.dirty and receive_ns - market.written_ns >= self._interval_ns:
                if market.state is not BookState.LIVE or market.book.is_crossed:
                    continue
                entries.append(self._snapshot(market, id_, event_ns, receive_ns))
                market.dirty, market.written_ns = False, receive_ns
        return entries

    def _snapshot(self, market: _Market, update_id: int, event_ns: int, receive_ns: int) -> Entry:
        instrument = market.instrument
        columns: list[str] = []
        for side in (Side.BUY, Side.SELL):
            levels = market.book.top(side, self._levels)
            columns.append(json.dumps([format_decimal(instrument.price(ticks)) for ticks, _ in levels]))
            columns.append(json.dumps([format_decimal(instrument.qty(lots)) for _, lots in levels]))
        return Entry(Op.BOOK, (event_ns, instrument.instrument_id, *columns, update_id, receive_ns))
