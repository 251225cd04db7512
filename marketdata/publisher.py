"""Readers of the row log: who gets what, at which pace. Pure: the shell waits and writes, this decides the bytes.

A reader that keeps up takes the shared batches. One that falls behind gets several batches in one message; further
behind, a lossy reader is conflated, and a lossless one keeps reading from the log until its place is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from marketdata.conflation import conflate
from marketdata.row_log import RowFilter, RowLog, encode_filtered, pick_rows
from tradebot.core.errors import TransientError
from tradebot.core.market import RowColumns
from tradebot.wire.market import MAX_BATCH_ROWS, encode_facts, encode_join, encode_rows, slice_rows

MAX_READERS: Final = 64
CONFLATE_ABOVE_ROWS: Final = 8_192
"""A lossy reader further behind than this is conflated."""
MAX_CONFLATED_ROWS: Final = 65_536
"""Further behind than this it starts again with a snapshot: conflating so much would hold up everybody else."""

SnapshotSource = Callable[[RowFilter, int, int], RowColumns]
"""(filter, depth, now_ns) -> the rows a new reader starts with."""


class TooSlowError(TransientError):
    """What this reader needs next is no longer kept."""


class TooManyReadersError(TransientError):
    """MAX_READERS are connected."""


def _nobody() -> None:
    """Default of the callbacks."""


class Reader:
    """One subscription. The shell sets `wake`, calls `next_message` when woken, and writes what it gets."""

    def __init__(
        self, log: RowLog, row_filter: RowFilter, snapshot: SnapshotSource, *, lossless: bool, depth: int, rank: int
    ) -> None:
        self.filter = row_filter
        self.lossless = lossless
        self.rank = rank
        """Lower ranks are woken first."""
        self.wake: Callable[[], None] = _nobody
        self.sequence = 0
        """Everything up to here has been handed out."""
        self.conflated_rows = 0
        """Rows left out for this reader so far."""
        self._log = log
        self._snapshot = snapshot
        self._depth = depth
        self._batch: int | None = None
        """Ordinal of the shared batch to take next; None while it reads from the log by itself."""
        self._ready: deque[bytes] = deque()

    @property
    def backlog_rows(self) -> int:
        """Committed rows not yet handed out, the filtered ones included."""
        return self._log.head_sequence - self.sequence

    def start(self, now_ns: int) -> None:
        """Begin with a snapshot of what is, then everything after it."""
        log = self._log
        log.cut()
        rows = self._snapshot(self.filter, self._depth, now_ns)
        picked = self.filter.select(rows)
        if picked is not None:
            rows = pick_rows(rows, picked)
        self._ready.extend(_snapshot_messages(rows, log.head_sequence, now_ns))
        self.sequence = log.head_sequence
        self._batch = log.end_batch

    def resume(self, sequence: int) -> None:
        """Begin after a sequence that the log still holds."""
        self.sequence = sequence
        self._batch = None

    def pass_by(self) -> bool:
        """Step over a batch just committed that holds nothing for this reader; False when it has to be woken."""
        log, ordinal = self._log, self._batch
        if ordinal is None or self._ready:
            return False
        log.cut()
        batch = log.batch(ordinal) if log.end_batch == ordinal + 1 else None
        if batch is None or batch.first_sequence != self.sequence + 1 or not batch.is_nothing_to(self.filter):
            return False
        self.sequence, self._batch = batch.last_sequence, ordinal + 1
        return True

    def next_message(self, now_ns: int) -> bytes:
        """Return the next message, b"" when nothing is waiting.

        Raises:
            TooSlowError: If this lossless reader's place in the log is gone.
        """
        while True:
            if self._ready:
                return self._ready.popleft()
            log = self._log
            if self.sequence == log.head_sequence:
                return b""
            log.cut()
            if not self.lossless and log.head_sequence - self.sequence > CONFLATE_ABOVE_ROWS:
                self._catch_up_conflated(now_ns)
                continue
            message = self._next_batch(now_ns) if self._batch is not None else self._next_rows(now_ns)
            if message:
                return message

    def _next_batch(self, now_ns: int) -> bytes:
        """In step: the shared batch, and what else waits behind it."""
        log = self._log
        ordinal = self._batch
        batch = log.batch(ordinal) if ordinal is not None else None
        behind = ordinal is not None and not self.filter.takes_all and ordinal + 1 < log.end_batch
        if ordinal is None or batch is None or behind or batch.first_sequence != self.sequence + 1:
            self._batch = None
            return b""
        first = batch.first_sequence
        messages = [batch.encode(self.filter, now_ns)]
        ordinal += 1
        while ordinal < log.end_batch:
            following = log.batch(ordinal)
            if following is None or following.last_sequence - first >= MAX_BATCH_ROWS:
                break
            batch = following
            messages.append(batch.encode(self.filter, now_ns))
            ordinal += 1
        self._batch = ordinal
        self.sequence = batch.last_sequence
        return messages[0] if len(messages) == 1 else encode_join(messages, first, now_ns)

    def _next_rows(self, now_ns: int) -> bytes:
        """Behind: read from the log alone until a batch border is reached."""
        log = self._log
        if not log.holds_after(self.sequence):
            if self.lossless:
                raise TooSlowError(f"row {self.sequence + 1} is gone, oldest kept is {log.first_sequence}; resubscribe")
            self._restart(now_ns)
            return b""
        rows = log.rows_after(self.sequence, MAX_BATCH_ROWS)
        first = self.sequence + 1
        self.sequence += len(rows.kind)
        if self.sequence == log.cut_sequence:
            self._batch = log.end_batch
        return encode_filtered(rows, first, self.filter, now_ns)

    def _catch_up_conflated(self, now_ns: int) -> None:
        log = self._log
        backlog = log.head_sequence - self.sequence
        if backlog > MAX_CONFLATED_ROWS or not log.holds_after(self.sequence):
            self._restart(now_ns)
            return
        rows = log.rows_after(self.sequence, backlog)
        picked = self.filter.select(rows)
        filtered = rows if picked is None else pick_rows(rows, picked)
        sequences = range(backlog) if picked is None else picked
        kept = conflate(filtered)
        self.conflated_rows += len(sequences) - len(kept)
        first = self.sequence + 1
        for start in range(0, len(kept), MAX_BATCH_ROWS):
            part = kept[start : start + MAX_BATCH_ROWS]
            base = sequences[part[0]]
            offsets = [sequences[index] - base for index in part]
            self._ready.append(encode_rows(pick_rows(filtered, part), first + base, now_ns, offsets))
        self._append_facts()
        self.sequence = log.head_sequence
        self._batch = log.end_batch

    def _restart(self, now_ns: int) -> None:
        self.conflated_rows += self._log.head_sequence - self.sequence
        self.start(now_ns)
        self._append_facts()

    def _append_facts(self) -> None:
        if self._ready:
            facts = encode_facts(conflated_rows=self.conflated_rows, head_sequence=self._log.head_sequence)
            self._ready[-1] += facts


class Publisher:
    """The log and everybody who reads it."""

    def __init__(self, log: RowLog, snapshot: SnapshotSource) -> None:
        self.log = log
        self.on_handed_out: Callable[[], None] = _nobody
        """Called by the shell when a reader has taken something; an injecting source waits for it."""
        self._snapshot = snapshot
        self._readers: list[Reader] = []

    @property
    def readers(self) -> int:
        """Number of subscriptions."""
        return len(self._readers)

    @property
    def slowest_backlog_rows(self) -> int:
        """How far the slowest reader is behind; an injecting source waits while this is high."""
        return max((reader.backlog_rows for reader in self._readers), default=0)

    def commit(self) -> None:
        """Make new rows readable and wake the readers."""
        if self.log.commit():
            for reader in self._readers:
                if reader.filter.takes_all or not reader.pass_by():
                    reader.wake()

    def subscribe(
        self,
        row_filter: RowFilter,
        now_ns: int,
        *,
        lossless: bool = False,
        depth: int = 0,
        resume_after: int | None = None,
        rank: int = 1,
    ) -> Reader:
        """Add a reader; it resumes where it asks when the log still holds that place, else starts with a snapshot.

        Raises:
            TooManyReadersError: At MAX_READERS.
        """
        if len(self._readers) >= MAX_READERS:
            raise TooManyReadersError(f"{MAX_READERS} readers are connected")
        self.commit()  # a snapshot shows the state after the last committed row
        reader = Reader(self.log, row_filter, self._snapshot, lossless=lossless, depth=depth, rank=rank)
        if resume_after is not None and self.log.holds_after(resume_after):
            reader.resume(resume_after)
        else:
            reader.start(now_ns)
        self._readers.append(reader)
        self._readers.sort(key=_rank)
        return reader

    def unsubscribe(self, reader: Reader) -> None:
        """Forget a reader."""
        if reader in self._readers:
            self._readers.remove(reader)


def _snapshot_messages(rows: RowColumns, sequence: int, now_ns: int) -> Iterable[bytes]:
    facts = encode_facts(snapshot=True)
    count = len(rows.kind)
    for start in range(0, count, MAX_BATCH_ROWS):
        part = slice_rows(rows, start, min(start + MAX_BATCH_ROWS, count))
        yield encode_rows(part, sequence, now_ns, [0] * len(part.kind)) + facts


def _rank(reader: Reader) -> int:
    return reader.rank
