"""Rows that wait for their time, in order: blocks, and how far into the first one somebody has come."""

from __future__ import annotations

from collections import deque
from typing import Final

from tradebot.core.row_block import RowBlock

FAR_NS: Final = 1 << 62


class RowQueue:
    """Blocks in order of time; the rows of one moment are in one block."""

    def __init__(self) -> None:
        self._blocks: deque[RowBlock] = deque()
        self.position = 0
        """First row of `rows` that still waits."""
        self.next_ns = FAR_NS
        """Time of the next row, FAR_NS when none waits."""

    def add(self, rows: RowBlock) -> None:
        """Append rows."""
        if len(rows):
            self._blocks.append(rows)
            self.next_ns = min(self.next_ns, rows.time_ns(0))

    @property
    def rows(self) -> RowBlock:
        """The first block; there is one while `next_ns` is a time."""
        return self._blocks[0]

    def go_to(self, position: int) -> None:
        """The rows of the first block before `position` are done."""
        if position == len(self._blocks[0]):
            self._blocks.popleft()
            position = 0
        self.position = position
        self.next_ns = self._blocks[0].time_ns(position) if self._blocks else FAR_NS
