"""Several streams as one, by receive time, in bounded memory.

Rows with the same receive time keep the order of the streams as they were given, and within a stream their own: the
result depends on the rows and on that order only, never on how the streams were cut into pieces. Each stream is in
order of receive time; one that is not is refused, or put in order first (`in_receive_order`). A row that only the
exchange sees (AT_EXCHANGE alone) stays behind the row that it follows in its stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from backtest.history.rows import Rows, concat
from tradebot.core.columns import AT_LOCAL, Int64s

MAX_TIED_ROWS: Final = 4_000_000
"""Rows of one stream with the same receive time that are held at once. A snapshot has a few thousand."""

Refuse = Callable[[Rows, int, str, str], Exception]
"""(rows, index in them, column, what is wrong) -> the error."""


def merge(streams: Sequence[Iterable[Rows]], refuse: Refuse) -> Iterator[Rows]:
    """Yield the rows of all streams in order of receive time."""
    heads = [_Head(iter(stream), refuse) for stream in streams]
    if len(heads) == 1:  # nothing to merge: only its order is checked
        while heads[0].rows is not None:
            yield heads[0].take_all()
        return
    while True:
        live = [head for head in heads if head.rows is not None]
        if not live:
            return
        # Behind the end of each piece, rows with the time of its last row may follow: only what is older is complete.
        limit_ns = min((head.last_ns for head in live if not head.ended), default=None)
        parts = [head.take_before(limit_ns) for head in live]
        rows = concat([part for part, _ in parts])
        if len(rows):
            yield rows.take(np.argsort(np.concatenate([keys for _, keys in parts]), kind="stable"))
        for head in live:
            if limit_ns is None or head.last_ns == limit_ns:
                head.fetch()


class _Head:
    """The rows of one stream that have been read and not handed out."""

    def __init__(self, stream: Iterator[Rows], refuse: Refuse) -> None:
        self._stream = stream
        self._refuse = refuse
        self._seen_ns = -(2**62)
        self.keys: Int64s = np.zeros(0, np.int64)
        """What `rows` are ordered by; never falls."""
        self.rows: Rows | None = None
        self.ended = False
        self.fetch()

    @property
    def last_ns(self) -> int:
        assert self.rows is not None
        return int(self.keys[-1]) if len(self.keys) else self._seen_ns

    def fetch(self) -> None:
        """Read the next piece behind what is left."""
        left = self.rows
        for piece in self._stream:
            if len(piece):
                keys = self._keys_of(piece)
                self.keys = np.concatenate([self.keys, keys])
                self.rows = piece if left is None or not len(left) else concat([left, piece])
                if len(self.rows) > MAX_TIED_ROWS:
                    raise self._refuse(piece, 0, "local_time_ns", f"more than {MAX_TIED_ROWS} rows with one time")
                return
        self.ended = True
        if left is None or not len(left):
            self.rows = None

    def take_all(self) -> Rows:
        """Hand out what is there and read on."""
        rows = self.rows
        assert rows is not None
        self.rows, self.keys = None, self.keys[:0]
        self.fetch()
        return rows

    def take_before(self, limit_ns: int | None) -> tuple[Rows, Int64s]:
        """Hand out the rows older than a time, and their keys; None = all."""
        rows, keys = self.rows, self.keys
        assert rows is not None
        count = len(rows) if limit_ns is None else int(np.searchsorted(keys, limit_ns))
        self.rows, self.keys = rows.take(slice(count, None)), keys[count:]
        return rows.take(slice(0, count)), keys[:count]

    def _keys_of(self, piece: Rows) -> Int64s:
        """Return what each row is ordered by: its receive time, or that of the row before it when it has none."""
        times = np.where(piece.flags & AT_LOCAL != 0, piece.local_time_ns, -(2**62))
        keys: Int64s = np.maximum.accumulate(np.concatenate([[self._seen_ns], times]))
        falls = np.flatnonzero((times < keys[:-1]) & (piece.flags & AT_LOCAL != 0))
        if len(falls):
            text = "the receive time goes back: correct the file first"
            raise self._refuse(piece, int(falls[0]), "local_time_ns", text)
        self._seen_ns = int(keys[-1])
        return keys[1:]
