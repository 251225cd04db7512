"""States of a book and the one table that moves it, and the buffer in which diffs wait for their snapshot.

Source: the venues' documented procedure for a local order book: open the stream, keep its diffs, ask for a snapshot,
drop diffs it already contains, apply the rest; start again when an id is missing.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from tradebot.core.errors import InvariantError
from tradebot.core.market import BookState
from tradebot.venues.api import BookDelta

MAX_BUFFERED_DELTAS: Final = 4_096
"""Diffs kept while a snapshot is on its way: seven minutes of a 100 ms stream."""


class SyncEvent(Enum):
    """What can move a book."""

    BRIDGED = "bridged"
    """Snapshot and diffs join without a hole."""
    RESYNC = "resync"
    """A new snapshot is being asked for."""
    SEQUENCE_GAP = "sequence gap"
    CROSSED = "crossed book"
    BBO_MISMATCH = "best bid and offer differ from the venue's"
    PROTOCOL_ERROR = "protocol error"
    LINK_DOWN = "connection lost"
    NO_PROGRESS = "no progress"
    PROGRESS = "progress"


_S, _E = BookState, SyncEvent
_BREAKS: Final = (_E.SEQUENCE_GAP, _E.CROSSED, _E.BBO_MISMATCH, _E.PROTOCOL_ERROR, _E.LINK_DOWN)

BOOK_TRANSITIONS: Final[dict[tuple[BookState, SyncEvent], BookState]] = {
    (_S.SYNCING, _E.BRIDGED): _S.LIVE,
    (_S.SYNCING, _E.RESYNC): _S.SYNCING,  # the last snapshot was too old, lost or refused
    (_S.GAP, _E.RESYNC): _S.SYNCING,
    **{(_S.LIVE, event): _S.GAP for event in _BREAKS},
    **{(_S.STALE, event): _S.GAP for event in _BREAKS},
    **{(_S.SYNCING, event): _S.SYNCING for event in _BREAKS},  # nothing was served yet: only the buffer starts afresh
    **{(_S.GAP, event): _S.GAP for event in _BREAKS},
    (_S.LIVE, _E.NO_PROGRESS): _S.STALE,
    (_S.STALE, _E.PROGRESS): _S.LIVE,
}


def next_state(state: BookState, event: SyncEvent) -> BookState:
    """Return the state after an event.

    Raises:
        InvariantError: If the table has no such edge.
    """
    try:
        return BOOK_TRANSITIONS[state, event]
    except KeyError:
        raise InvariantError(f"book event {event.name} is impossible in state {state.name}") from None


class DeltaBuffer:
    """Contiguous diffs waiting for a snapshot, oldest first."""

    __slots__ = ("_deltas",)

    def __init__(self) -> None:
        self._deltas: deque[BookDelta] = deque()

    def __len__(self) -> int:
        return len(self._deltas)

    def clear(self) -> None:
        """Forget all."""
        self._deltas.clear()

    def add(self, delta: BookDelta) -> bool:
        """Keep a diff; one already contained is ignored.

        Returns:
            False when ids are missing before it or the buffer was full: it was emptied first and starts with this diff.
        """
        deltas = self._deltas
        whole = True
        if deltas:
            last_id = deltas[-1].last_id
            if delta.last_id <= last_id:
                return True
            if delta.first_id > last_id + 1 or len(deltas) >= MAX_BUFFERED_DELTAS:
                deltas.clear()
                whole = False
        deltas.append(delta)
        return whole

    def after(self, snapshot_id: int) -> list[BookDelta] | None:
        """Return the diffs to apply on a snapshot, or None when ids are missing between the two (it is too old).

        The documentation asks for first_id <= snapshot_id + 1 <= last_id of the first one kept; a snapshot that ends
        exactly before the first diff ever received joins as well.
        """
        rest = [delta for delta in self._deltas if delta.last_id > snapshot_id]
        if rest and rest[0].first_id > snapshot_id + 1:
            return None
        return rest
