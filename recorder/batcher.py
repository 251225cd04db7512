"""Bounded queues between the streams and the database. Pure.

A batch takes everything that waits, so the stream positions in it are exactly those that its rows bring the streams
to: after a crash nothing is missing and nothing is counted twice. Market data beyond its bound drops the oldest rows
and counts them. Order and risk rows are never dropped: at their bound `has_room` is False and the caller leaves the
stream unread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from recorder.tables import MARKET_OPS, TABLES, Batch, Entry, Op, Row, StreamPosition

NS_PER_MS: Final = 1_000_000
MAX_WAITING: Final[dict[Op, int]] = {
    Op.TRADE: 50_000,
    Op.BOOK: 5_000,
    Op.FUNDING: 2_000,
    Op.OPEN_INTEREST: 2_000,
}
"""Most rows of one kind of market data that wait."""
MAX_WAITING_LOSSLESS: Final = 50_000
"""Most order and risk rows that wait; one message more may still be added to it."""
MAX_OPEN_BARS: Final = 100_000
"""Most bars that wait; a bar replaces its older self, so this takes an outage of the database of weeks."""


class Batcher:
    """Queues of one database."""

    def __init__(self, flush_rows: int, flush_interval_ms: int) -> None:
        self._flush_rows = flush_rows
        self._flush_interval_ns = flush_interval_ms * NS_PER_MS
        self._market: dict[Op, deque[Row]] = {op: deque() for op in MAX_WAITING}
        self._bars: dict[tuple[object, object], Row] = {}
        self._lossless: deque[Entry] = deque()
        self._positions: dict[str, StreamPosition] = {}
        self._oldest_ns: int | None = None
        self._dropped: dict[str, int] = dict.fromkeys(TABLES, 0)

    def add(self, entries: Iterable[Entry], now_ns: int) -> None:
        """Queue rows; market data may push older market data out."""
        for entry in entries:
            if entry.op in MARKET_OPS:
                waiting = self._market[entry.op]
                waiting.append(entry.row)
                if len(waiting) > MAX_WAITING[entry.op]:
                    waiting.popleft()
                    self._dropped[entry.op.table] += 1
            elif entry.op is Op.BAR:
                self._bars[entry.row[0], entry.row[1]] = entry.row
                if len(self._bars) > MAX_OPEN_BARS:
                    self._bars.pop(next(iter(self._bars)))
                    self._dropped[entry.op.table] += 1
            else:
                self._lossless.append(entry)
            if self._oldest_ns is None:
                self._oldest_ns = now_ns

    def set_position(self, position: StreamPosition, now_ns: int) -> None:
        """Say how far a stream is with everything added so far."""
        self._positions[position.source] = position
        if self._oldest_ns is None:
            self._oldest_ns = now_ns

    def has_room(self) -> bool:
        """Return whether order and risk rows may be added."""
        return len(self._lossless) < MAX_WAITING_LOSSLESS

    def is_due(self, now_ns: int) -> bool:
        """Return whether a batch should be written now."""
        if self._oldest_ns is None:
            return False
        return now_ns - self._oldest_ns >= self._flush_interval_ns or self.waiting >= self._flush_rows

    def next_due_ns(self) -> int | None:
        """Return when the oldest row has waited long enough, None when nothing waits."""
        return None if self._oldest_ns is None else self._oldest_ns + self._flush_interval_ns

    def take(self) -> Batch | None:
        """Return everything that waits, None when nothing does."""
        if self._oldest_ns is None:
            return None
        entries = [*self._lossless]
        self._lossless.clear()
        for op, rows in self._market.items():
            entries += [Entry(op, row) for row in rows]
            rows.clear()
        entries += [Entry(Op.BAR, row) for row in self._bars.values()]
        self._bars.clear()
        positions = list(self._positions.values())
        self._positions.clear()
        self._oldest_ns = None
        return Batch(entries, positions)

    @property
    def waiting(self) -> int:
        """Rows that wait in all."""
        return len(self._lossless) + len(self._bars) + sum(len(rows) for rows in self._market.values())

    def queued(self) -> dict[str, int]:
        """Return rows waiting per table."""
        counts = dict.fromkeys(TABLES, 0)
        for op, rows in self._market.items():
            counts[op.table] += len(rows)
        counts[Op.BAR.table] += len(self._bars)
        for entry in self._lossless:
            counts[entry.op.table] += 1
        return counts

    def dropped(self) -> dict[str, int]:
        """Return rows dropped per table since the start."""
        return dict(self._dropped)
