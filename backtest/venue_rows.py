"""The same rows on the venue's clock: each happens there at its exchange time, before anybody here receives it.

Within a market rows keep the order in which they were received, so no book is ever torn; across markets they are put
in the order in which they happened. A row that says no exchange time (none, or no earlier than its receipt) is taken
to have travelled as long as the newest row of its market that said one, and without any not at all.

To know what happens at the venue up to a moment, rows have to be read that are received later: `MAX_TRAVEL_NS` bounds
how far ahead, and with that the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from tradebot.core.compiled import compiled
from tradebot.core.ladder import Int64s
from tradebot.core.row_block import COLUMNS, EVENT_TIME, INSTRUMENT, RECEIVE_TIME, RowBlock

MAX_TRAVEL_NS: Final = 5_000_000_000
"""A row that took longer is taken to have travelled so long."""
TOLD_EARLY: Final = 100
"""More than one row in so many that was received before it happened is told."""
ROWS: Final = 0
"""Places in a market's counts."""
TIMED: Final = 1
"""Rows that say when they happened."""
SLOW: Final = 2
"""Rows that took longer than MAX_TRAVEL_NS."""
EARLY: Final = 3
"""Rows that were received before they happened: the clocks disagree."""
TRAVEL: Final = 4
"""Sum of how long they travelled, nanoseconds."""
COUNTS: Final = 5

Batch = tuple[RowBlock, int]
"""Rows, and the receive time up to which they are complete."""


@compiled
def _happened(data: Int64s, newest: Int64s, travel: Int64s, counts: Int64s, max_travel: int, found: Int64s) -> None:
    """Write into `found` when each row happened at the venue. By market: newest time so far, travel time, counts."""
    for i in range(data.shape[1]):
        market, received, at_ns = data[INSTRUMENT, i], data[RECEIVE_TIME, i], data[EVENT_TIME, i]
        counts[market, ROWS] += 1
        if 0 < at_ns < received:
            counts[market, TIMED] += 1
            if received - at_ns > max_travel:
                counts[market, SLOW] += 1
                at_ns = received - max_travel
            travel[market] = received - at_ns
            counts[market, TRAVEL] += received - at_ns
        else:
            counts[market, EARLY] += at_ns > received
            at_ns = received - travel[market]
        newest[market] = max(newest[market], at_ns)
        found[i] = newest[market]


class VenueClock:
    """Says when rows happened; they are given in order of receipt, all of them."""

    def __init__(self, markets: int) -> None:
        self._newest = np.zeros(markets, np.int64)
        self._travel = np.zeros(markets, np.int64)
        self._counts = np.zeros((markets, COUNTS), np.int64)

    def happened_ns(self, rows: RowBlock) -> Int64s:
        """Return when each row happened at the venue; never after it was received, never falls within a market."""
        found = np.empty(len(rows), np.int64)
        _happened(rows.data, self._newest, self._travel, self._counts, MAX_TRAVEL_NS, found)
        return found

    @property
    def mean_travel_ns(self) -> int | None:
        """Mean over the rows that say when they happened; None without any."""
        timed = int(self._counts[:, TIMED].sum())
        return int(self._counts[:, TRAVEL].sum()) // timed if timed else None

    def warnings(self, names: Sequence[str]) -> list[str]:
        """Return what a reader of the results has to know of the data's clocks."""
        found = []
        limit_s = MAX_TRAVEL_NS // 1_000_000_000
        better = "takers do better than live"
        for name, (rows, timed, slow, early, _) in zip(names, self._counts.tolist(), strict=True):
            if rows and not timed:
                why = "exchange times are later than receipt (--correct mends that)" if early else "no exchange times"
                found.append(f"{name}: {why}, so the venue was played by receive times: {better}")
            elif early * TOLD_EARLY > rows:
                why = f"{early} of {rows} exchange times are later than receipt (--correct mends that)"
                found.append(f"{name}: {why}, so those rows were played as the last good one before: {better}")
            if slow:
                found.append(f"{name}: {slow} rows took more than {limit_s} s to arrive: taken as {limit_s} s")
        return found


class VenueRows:
    """Reads batches ahead of who receives them, and hands the venue what happened."""

    def __init__(self, batches: Iterable[Batch], markets: int, take: Callable[[RowBlock], None]) -> None:
        """`take` is given rows in the order in which they happened, with that moment as their receive time."""
        self.clock = VenueClock(markets)
        self._batches = iter(batches)
        self._take = take
        self._read: deque[Batch] = deque()
        """Read, not yet received."""
        self._held: list[Int64s] = []
        """Rows on the venue's clock that more may come before."""
        self._read_ns = 0
        self._complete_ns = 0
        """What happened up to here the venue has."""

    def received(self, end_ns: int | None = None) -> Iterator[Batch]:
        """Yield the batches as they came. The venue then has what happened up to each one's end.

        Args:
            end_ns: The run ends here: nothing is received or happens after it.
        """
        while self._read or self._more():
            rows, complete_ns = self._read.popleft()
            is_last = end_ns is not None and complete_ns >= end_ns
            if is_last and end_ns is not None:
                rows, complete_ns = rows.head(rows.first_after(end_ns)), end_ns
            if complete_ns > self._complete_ns:
                self._read_ahead(complete_ns, end_ns)
            yield rows, complete_ns
            if is_last:
                return

    def _read_ahead(self, to_ns: int, end_ns: int | None) -> None:
        """Hand out at least what happened up to a time. Twice the bound is read: else rows are moved too often."""
        ended = False
        while not ended and self._read_ns < to_ns + 2 * MAX_TRAVEL_NS:
            ended = not self._more()
        complete_ns = max(to_ns, self._read_ns if ended else self._read_ns - MAX_TRAVEL_NS)
        if end_ns is not None:
            complete_ns = min(complete_ns, end_ns)
        self._hand_out(complete_ns)
        self._complete_ns = complete_ns

    def _more(self) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        rows, self._read_ns = batch
        self._read.append(batch)
        if len(rows):
            data = rows.data.copy()
            data[RECEIVE_TIME] = self.clock.happened_ns(rows)
            self._held.append(data)
        return True

    def _hand_out(self, to_ns: int) -> None:
        data = self._held[0] if len(self._held) == 1 else np.concatenate(self._held or [_NOTHING], axis=1)
        times = data[RECEIVE_TIME]
        if (np.diff(times) < 0).any():
            data = np.ascontiguousarray(data[:, np.argsort(times, kind="stable")])
        split = int(np.searchsorted(data[RECEIVE_TIME], to_ns, side="right"))
        if split:
            self._take(RowBlock(np.ascontiguousarray(data[:, :split])))
        self._held = [np.ascontiguousarray(data[:, split:])] if split < data.shape[1] else []


_NOTHING: Final = np.zeros((COLUMNS, 0), np.int64)
