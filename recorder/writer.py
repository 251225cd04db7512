"""What the recorder needs of a database. SQLite is the one that exists; others implement the same three promises:

a batch is written whole or not at all, with its stream positions in the same transaction; writing a row that is there
already changes nothing (keys come from the data); what is stored survives a crash of this process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from recorder.tables import Batch, StoredBar, StreamPosition


class Writer(Protocol):
    """One database. Methods may block; the recorder calls them from one thread of their own."""

    def positions(self) -> Sequence[StreamPosition]:
        """Return how far each stream has been written."""
        ...

    def newest_bars(self) -> Sequence[StoredBar]:
        """Return the newest bar of each instrument."""
        ...

    def write(self, batch: Batch) -> None:
        """Write one batch in one transaction.

        Raises:
            TransientError: If it cannot be written now; nothing of it was.
        """
        ...

    def row_counts(self) -> Mapping[str, int]:
        """Return rows per table."""
        ...

    def close(self) -> None:
        """Close; everything written stays."""
        ...
