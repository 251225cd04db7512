"""The only way in which state changes: write a record down, then fold it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from riskd.records import TYPE_OF, JournalSink, Record, encode_record
from riskd.state import EventOutcome, RiskState

MAX_KEPT_RECORDS: Final = 20_000
"""Records kept for the shell between two looks; the journal has them all."""


class Ledger:
    """State and its journal."""

    def __init__(self, state: RiskState, sink: JournalSink | None) -> None:
        """Without a sink nothing is written: for a run that nobody will ever restore."""
        self.state = state
        self._sink = sink
        self._fresh: deque[Record] | None = None
        """None while nobody watches."""
        self._owed: list[Record] = []
        """Not yet appended. All but perhaps the last of them are folded."""
        self._unfolded: Record | None = None
        self._finish: Callable[[], None] | None = None
        self.on_settled: Callable[[Record, bytes], None] | None = None
        """Told each record that was owed, with its bytes."""

    def watch(self) -> None:
        """Keep fresh records from here on; somebody will take them."""
        self._fresh = deque(maxlen=MAX_KEPT_RECORDS)

    def commit(self, record: Record) -> EventOutcome | None:
        """Append a record to the journal and fold it. Returns what an order event did."""
        if self._owed or self._unfolded is not None:
            self.settle()
        if self._sink is not None:
            self._sink.append(TYPE_OF[type(record)], encode_record(record))
        if self._fresh is not None:
            self._fresh.append(record)
        return self.state.apply(record)

    def owe(self, record: Record, finish: Callable[[], None] | None = None) -> None:
        """Take a record that is folded at the next `fold` and appended at the next `settle` or `commit`, in order.

        For decisions: nobody waits for their bytes on disk, nor for the fold of a message's last one, but execd waits
        for the answer. Who reads the state before `settle` calls `fold` first. `finish` completes the record before it
        is folded.
        """
        self.fold()
        self._finish = finish
        if self._sink is not None or self._fresh is not None:
            self._owed.append(record)
        self._unfolded = record

    def fold(self) -> None:
        """Fold what is owed."""
        if self._unfolded is not None:
            record, self._unfolded = self._unfolded, None
            if self._finish is not None:
                self._finish()
                self._finish = None
            self.state.apply(record)

    def settle(self) -> None:
        """Fold and append what is owed."""
        self.fold()
        owed, self._owed = self._owed, []
        for record in owed:
            if self._fresh is not None:
                self._fresh.append(record)
            if self._sink is None:
                continue
            payload = encode_record(record)
            self._sink.append(TYPE_OF[type(record)], payload)
            if self.on_settled is not None:
                self.on_settled(record, payload)

    def adopt(self, record: Record) -> None:
        """Fold a record that somebody else has already appended."""
        self.fold()
        if self._fresh is not None:
            self._fresh.append(record)
        self.state.apply(record)

    def take_fresh(self) -> list[Record]:
        """Return the records since the last call, oldest first; at most MAX_KEPT_RECORDS."""
        if not self._fresh:
            return []
        fresh = list(self._fresh)
        self._fresh.clear()
        return fresh
