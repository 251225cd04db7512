"""Everything published, in order: one numbered log of rows, cut into batches that all readers share.

Writers append to `RowLog.tail` and call `commit`. A batch is cut when the first reader that is free takes what is
waiting; the others get the same cut, so one encoding serves every reader with the same filter. Rows stay in the log up
to a bound, for resuming and for readers that fell behind.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradebot.core.errors import InvariantError
from tradebot.core.market import RowColumns
from tradebot.wire.market import MAX_BATCH_ROWS, encode_rows, slice_rows

MAX_BATCHES: Final = 4_096
"""Cuts remembered; a reader further behind is served from the rows themselves."""
PAGE_ROWS: Final = 4_096
"""A page is closed at the first commit that reaches this size."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """What a reader wants. None = everything."""

    instruments: frozenset[int] | None = None
    kinds: frozenset[int] | None = None

    @property
    def takes_all(self) -> bool:
        """True when no row is left out."""
        return self.instruments is None and self.kinds is None

    def select(self, rows: RowColumns) -> list[int] | None:
        """Return the indexes of the rows that pass, or None when all do."""
        kinds, instruments = self.kinds, self.instruments
        if kinds is None and instruments is None:
            return None
        if instruments is None:
            picked = [i for i, kind in enumerate(rows.kind) if kind in kinds]  # type: ignore[operator]
        elif kinds is None:
            picked = [i for i, instrument in enumerate(rows.instrument) if instrument in instruments]
        else:
            picked = [
                i
                for i, (kind, instrument) in enumerate(zip(rows.kind, rows.instrument, strict=True))
                if kind in kinds and instrument in instruments
            ]
        return None if len(picked) == len(rows.kind) else picked


class Page:
    """A stretch of the log. The last one grows; a closed one never changes."""

    __slots__ = ("first_sequence", "rows")

    def __init__(self, first_sequence: int) -> None:
        self.first_sequence = first_sequence
        self.rows = RowColumns()


class Batch:
    """Rows first_sequence..last_sequence of one page, at most MAX_BATCH_ROWS, and their bytes by filter."""

    __slots__ = ("_encoded", "first_sequence", "last_sequence", "page")

    def __init__(self, page: Page, first_sequence: int, last_sequence: int) -> None:
        self.page = page
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence
        self._encoded: dict[RowFilter, bytes] = {}

    def __len__(self) -> int:
        return self.last_sequence - self.first_sequence + 1

    def rows(self) -> RowColumns:
        """Return the rows as columns of their own."""
        start = self.first_sequence - self.page.first_sequence
        return slice_rows(self.page.rows, start, start + len(self))

    def is_nothing_to(self, row_filter: RowFilter) -> bool:
        """Return whether no row passes by its kind alone, or none by its instrument alone: cheap, may miss a few."""
        start = self.first_sequence - self.page.first_sequence
        part, rows = slice(start, start + len(self)), self.page.rows
        kinds, instruments = row_filter.kinds, row_filter.instruments
        return (kinds is not None and kinds.isdisjoint(rows.kind[part])) or (
            instruments is not None and instruments.isdisjoint(rows.instrument[part])
        )

    def encode(self, row_filter: RowFilter, sent_time_ns: int) -> bytes:
        """Return the message for this filter, b"" when no row passes. Encoded once, by the first who asks."""
        message = self._encoded.get(row_filter)
        if message is None:
            message = encode_filtered(self.rows(), self.first_sequence, row_filter, sent_time_ns)
            self._encoded[row_filter] = message
        return message


def encode_filtered(rows: RowColumns, first_sequence: int, row_filter: RowFilter, sent_time_ns: int) -> bytes:
    """Return the message with the rows that pass a filter; b"" when none does."""
    picked = row_filter.select(rows)
    if picked is None:
        return encode_rows(rows, first_sequence, sent_time_ns)
    if not picked:
        return b""
    return encode_picked(rows, picked, first_sequence, sent_time_ns)


def encode_picked(rows: RowColumns, picked: Sequence[int], first_sequence: int, sent_time_ns: int) -> bytes:
    """Return the message with some rows of a stretch, in the order given by `picked` (ascending)."""
    base = picked[0]
    return encode_rows(pick_rows(rows, picked), first_sequence + base, sent_time_ns, [index - base for index in picked])


def pick_rows(rows: RowColumns, picked: Sequence[int]) -> RowColumns:
    """Return some rows as columns of their own."""
    return RowColumns(
        [rows.kind[i] for i in picked],
        [rows.instrument[i] for i in picked],
        [rows.side_flags[i] for i in picked],
        [rows.price[i] for i in picked],
        [rows.qty[i] for i in picked],
        [rows.id[i] for i in picked],
        [rows.event_time_ns[i] for i in picked],
        [rows.receive_time_ns[i] for i in picked],
    )


class RowLog:
    """See the module. Sequences count from 1."""

    def __init__(self, kept_rows: int) -> None:
        """Start empty.

        Args:
            kept_rows: Rows kept for resuming and late readers, at least; pages go as a whole.
        """
        self._kept_rows = kept_rows
        page = Page(1)
        self.tail = page.rows
        """Append rows here, then `commit`. Always the same object."""
        self._pages: deque[Page] = deque((page,))
        self._rows_in_pages = 0
        self._batches: deque[Batch] = deque()
        self._first_batch = 0
        """Ordinal of the oldest batch kept."""
        self.head_sequence = 0
        """Sequence of the last committed row."""
        self.cut_sequence = 0
        """Sequence of the last row that is in a batch."""

    @property
    def first_sequence(self) -> int:
        """Sequence of the oldest row kept."""
        return self._pages[0].first_sequence

    @property
    def end_batch(self) -> int:
        """Ordinal of the batch that will be cut next."""
        return self._first_batch + len(self._batches)

    def commit(self) -> bool:
        """Make the rows appended since the last call readable; return whether there were any."""
        page = self._pages[-1]
        head = page.first_sequence + len(page.rows.kind) - 1
        if head == self.head_sequence:
            return False
        self.head_sequence = head
        if len(page.rows.kind) >= PAGE_ROWS:
            self._close_page(page)
        return True

    def cut(self) -> None:
        """Make batches of everything committed and not yet cut."""
        while self.cut_sequence < self.head_sequence:
            first = self.cut_sequence + 1
            page = self._page_of(first)
            last = min(page.first_sequence + len(page.rows.kind) - 1, self.head_sequence, first + MAX_BATCH_ROWS - 1)
            self._batches.append(Batch(page, first, last))
            self.cut_sequence = last
            if len(self._batches) > MAX_BATCHES:
                self._drop_batch()

    def batch(self, ordinal: int) -> Batch | None:
        """Return a batch by its ordinal; None when it is no longer kept."""
        index = ordinal - self._first_batch
        return self._batches[index] if index >= 0 else None

    def holds_after(self, sequence: int) -> bool:
        """Return whether everything after `sequence` is still here; False also for a point never reached."""
        return self.first_sequence - 1 <= sequence <= self.head_sequence

    def rows_after(self, sequence: int, limit: int) -> RowColumns:
        """Return up to `limit` committed rows after `sequence`.

        Raises:
            InvariantError: If that point is gone; ask `holds_after` first.
        """
        if not self.holds_after(sequence):
            raise InvariantError(f"rows after {sequence} are gone; kept from {self.first_sequence}")
        found = RowColumns()
        while sequence < self.head_sequence and len(found.kind) < limit:
            page = self._page_of(sequence + 1)
            start = sequence + 1 - page.first_sequence
            stop = min(
                len(page.rows.kind), start + limit - len(found.kind), self.head_sequence + 1 - page.first_sequence
            )
            part = slice_rows(page.rows, start, stop)
            if not found.kind:
                found = part
            else:
                join_rows(found, part)
            sequence += stop - start
        return found

    def _close_page(self, page: Page) -> None:
        """The full page keeps its lists; `tail` goes on with new ones as the next page."""
        tail = page.rows
        page.rows = RowColumns(*columns(tail))
        following = Page(page.first_sequence + len(tail.kind))
        following.rows = tail
        tail.kind, tail.instrument, tail.side_flags, tail.price = [], [], [], []
        tail.qty, tail.id, tail.event_time_ns, tail.receive_time_ns = [], [], [], []
        self._rows_in_pages += len(page.rows.kind)
        self._pages.append(following)
        while len(self._pages) > 2 and self._rows_in_pages - len(self._pages[0].rows.kind) >= self._kept_rows:
            self._rows_in_pages -= len(self._pages.popleft().rows.kind)
        first_kept = self._pages[0].first_sequence
        while self._batches and self._batches[0].first_sequence < first_kept:
            self._drop_batch()
        self.cut_sequence = max(self.cut_sequence, first_kept - 1)  # nobody took what is gone now

    def _drop_batch(self) -> None:
        self._batches.popleft()
        self._first_batch += 1

    def _page_of(self, sequence: int) -> Page:
        pages = self._pages
        if sequence >= pages[-1].first_sequence:
            return pages[-1]
        return pages[bisect_right(pages, sequence, key=_first_sequence) - 1]


def columns(rows: RowColumns) -> tuple[list[int], ...]:
    """Return the eight columns."""
    return (
        rows.kind,
        rows.instrument,
        rows.side_flags,
        rows.price,
        rows.qty,
        rows.id,
        rows.event_time_ns,
        rows.receive_time_ns,
    )


def join_rows(rows: RowColumns, more: RowColumns) -> None:
    """Append `more` to `rows`."""
    for column, further in zip(columns(rows), columns(more), strict=True):
        column += further


def _first_sequence(page: Page) -> int:
    return page.first_sequence
