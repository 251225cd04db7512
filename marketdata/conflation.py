"""What a slow reader gets instead of everything: the newest of what replaces itself, and all trades up to a bound.

The rows that stay keep their order and their sequences. A book's rows carry the last-of-event mark only on its very
last one, because what lies between was never a state of the book.
"""

from __future__ import annotations

from typing import Final

from tradebot.core.market import LAST_FLAG, SIDE_MASK, RowColumns, RowKind

MAX_TRADES: Final = 16_384
"""Trades kept in one conflation; of more, the oldest go."""

_BOOK_KINDS: Final = frozenset({int(RowKind.BOOK_CLEAR), int(RowKind.BOOK_LEVEL), int(RowKind.SNAPSHOT_LEVEL)})
_LEVEL: Final = int(RowKind.BOOK_LEVEL)
"""Snapshot and changed levels replace each other: both set an absolute quantity."""


def conflate(rows: RowColumns) -> list[int]:
    """Return the indexes of the rows that stay, ascending. The marks of `rows` are changed: hand in a copy."""
    kept: list[int] = []
    newest: set[tuple[int, int, int, int]] = set()
    cleared: set[int] = set()
    marked: set[int] = set()
    trades = 0
    for index in range(len(rows.kind) - 1, -1, -1):
        kind, instrument = rows.kind[index], rows.instrument[index]
        if kind == RowKind.TRADE:
            trades += 1
            if trades <= MAX_TRADES:
                kept.append(index)
        elif kind in _BOOK_KINDS:
            if instrument in cleared:
                continue
            if kind == RowKind.BOOK_CLEAR:
                cleared.add(instrument)
            else:
                key = (_LEVEL, instrument, rows.side_flags[index] & SIDE_MASK, rows.price[index])
                if key in newest:
                    continue
                newest.add(key)
            rows.side_flags[index] &= SIDE_MASK
            if instrument not in marked:
                marked.add(instrument)
                rows.side_flags[index] |= LAST_FLAG
            kept.append(index)
        else:
            side = rows.side_flags[index] & SIDE_MASK if kind == RowKind.BBO else 0
            key = (kind, instrument, side, 0)
            if key not in newest:
                newest.add(key)
                kept.append(index)
    kept.reverse()
    return kept
