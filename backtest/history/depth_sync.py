"""Binance's rule for joining a depth snapshot and the diff stream, spot and futures. Pure.

Spot: the first diff applied has U <= lastUpdateId + 1 <= u, and each further one U = the last u + 1. Futures: the first
has U <= lastUpdateId <= u, and each further one pu = the last u. Diffs that end before the snapshot are dropped.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_WAITING: Final = 100_000
"""Diffs kept for a snapshot to come; the oldest go first. Three hours of a 100 ms stream."""


class Depth(NamedTuple):
    """One diff."""

    first_id: int
    last_id: int
    previous_id: int | None
    """`pu` of futures; None on spot."""
    event_ns: int
    levels: list[tuple[int, int, int]]
    """(flags, ticks, lots)."""


class DepthSync:
    """One market's diffs. What it hands out may be applied to the book in that order."""

    def __init__(self, proven_only: bool) -> None:
        self._proven_only = proven_only
        self._waiting: list[Depth] = []
        self._unproven = 0
        self._last_id: int | None = None
        self._joined = False
        """A diff has been applied after the snapshot."""
        self.gaps = 0
        """Times that a diff was missing."""

    @property
    def waiting(self) -> int:
        """Diffs that no snapshot has proven yet."""
        return len(self._waiting) + self._unproven

    def add(self, depth: Depth) -> list[Depth]:
        """Take one diff; return what may be applied now."""
        if self._last_id is not None:
            if depth.last_id < self._last_id or (
                depth.last_id == self._last_id and (self._joined or not depth.previous_id)
            ):
                return []
            if self._joins(depth, self._last_id) or (not self._joined and self._first(depth, self._last_id)):
                self._last_id, self._joined = depth.last_id, True
                return [depth]
            self.gaps += 1
            self._last_id = None
        if not self._proven_only:
            self._unproven += 1
            self._last_id = depth.last_id
            return [depth]
        self._waiting.append(depth)
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[0]
        return []

    def snapshot(self, last_id: int) -> list[Depth] | None:
        """Take a snapshot; return the diffs to apply after it, or None when it is to be ignored."""
        if not self._proven_only:
            return []
        if self._last_id is not None:
            return None
        following = [d for d in self._waiting if d.last_id > last_id or (d.last_id == last_id and d.previous_id)]
        self._waiting.clear()
        if following and not self._first(following[0], last_id):
            self._waiting = following
            return None
        applied: list[Depth] = []
        self._last_id, self._joined = last_id, bool(following)
        for depth in following:
            if applied and not self._joins(depth, applied[-1].last_id):
                self.gaps += 1
                self._last_id, self._waiting = None, following[len(applied) :]
                return applied
            applied.append(depth)
            self._last_id = depth.last_id
        return applied

    @staticmethod
    def _first(depth: Depth, snapshot_id: int) -> bool:
        joining = snapshot_id if depth.previous_id is not None else snapshot_id + 1
        return depth.first_id <= joining <= depth.last_id

    def _joins(self, depth: Depth, last_id: int) -> bool:
        if depth.previous_id is not None:
            return depth.previous_id == last_id
        return depth.first_id == last_id + 1
