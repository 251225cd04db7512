"""All markets of this daemon: instruments with their column indexes, one MarketBook each, the log they write to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from marketdata.book import BookRules, MarketBook
from marketdata.publisher import Publisher
from marketdata.row_log import RowFilter, RowLog, join_rows
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.market import BookState, RowColumns, RowKind
from tradebot.venues.api import BboEvent, BookDelta, MarketEvent, TradeEvent

_BOOK_KINDS: Final = frozenset({int(RowKind.BOOK_CLEAR), int(RowKind.BOOK_LEVEL), int(RowKind.SNAPSHOT_LEVEL)})


class Market:
    """Instruments are added before anybody reads; their index is their position."""

    def __init__(self, kept_rows: int) -> None:
        self.log = RowLog(kept_rows)
        self.publisher = Publisher(self.log, self.snapshot)
        self.instruments: list[Instrument] = []
        self.books: list[MarketBook] = []
        self.events = 0
        """Venue events handled since start."""
        self._index: dict[str, int] = {}

    def add(self, instruments: Iterable[Instrument], rules: BookRules) -> list[int]:
        """Follow these too and return their indexes."""
        added: list[int] = []
        for instrument in instruments:
            if instrument.instrument_id in self._index:
                raise InvariantError(f"instrument {instrument.instrument_id} is followed twice")
            index = len(self.instruments)
            self._index[instrument.instrument_id] = index
            self.instruments.append(instrument)
            self.books.append(MarketBook(index, rules, self.log.tail))
            added.append(index)
        return added

    def index_of(self, instrument_id: str) -> int | None:
        """Return the column index of an instrument, None when it is not followed."""
        return self._index.get(instrument_id)

    def handle(self, event: MarketEvent, now_ns: int) -> None:
        """Take in one venue event received at `now_ns`. Rows become readable with the next commit."""
        self.events += 1
        kind = event.__class__
        if kind is BboEvent:
            self.books[event.instrument].handle_bbo(event, now_ns)  # type: ignore[union-attr,arg-type]
        elif kind is TradeEvent:
            self.books[event.instrument].handle_trade(event, now_ns)  # type: ignore[union-attr,arg-type]
        elif kind is BookDelta:
            self.books[event.instrument].handle_delta(event, now_ns)  # type: ignore[union-attr,arg-type]

    def commit(self) -> None:
        """Make what was handled readable."""
        self.publisher.commit()

    def snapshot(self, row_filter: RowFilter, depth: int, now_ns: int) -> RowColumns:
        """Return the rows with which a reader of this filter starts."""
        wanted = row_filter.instruments
        needs_levels = row_filter.kinds is None or not _BOOK_KINDS.isdisjoint(row_filter.kinds)
        rows = RowColumns()
        for book in self.books:
            if wanted is None or book.index in wanted:
                join_rows(rows, book.snapshot_rows(depth if needs_levels else 1, now_ns))
        return rows

    def unhealthy(self) -> list[str]:
        """Return a line for each book that is not LIVE."""
        return [
            f"{self.instruments[book.index].instrument_id} {book.state.name}{_because(book)}"
            for book in self.books
            if book.state is not BookState.LIVE
        ]

    def ids(self, indexes: Sequence[int]) -> list[str]:
        """Return instrument ids of column indexes."""
        return [self.instruments[index].instrument_id for index in indexes]


def _because(book: MarketBook) -> str:
    if book.state is BookState.STALE and book.stale_reason is not None:
        return f" ({book.stale_reason.value})"
    if book.state is BookState.GAP and book.last_break is not None:
        return f" ({book.last_break.value})"
    return ""
