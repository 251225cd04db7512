"""What the other cores have to be shown of many rows: per market the newest trade, best bid and best offer.

Live, riskd's subscription conflates in the same way. Where the newest pair is not good (crossed or one-sided), the last
good one would be lost, so then every row counts.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core.compiled import compiled
from tradebot.core.ladder import Int64s
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, RowColumns, RowKind
from tradebot.core.row_block import COLUMNS, INSTRUMENT, KIND, PRICE, SIDE_FLAGS, RowBlock

BID: Final = 0
ASK: Final = 1
TRADE: Final = 2
NEWEST: Final = 3
"""Newest row of any kind: it says how old the market is."""
SEEN: Final = 4
ROW: Final = COLUMNS
"""Line of `picked`, after the columns: which row it is."""

_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)


Bools = NDArray[np.bool_]


@compiled
def _first_touch(data: Int64s, start: int, markets: Bools) -> int:
    for i in range(start, data.shape[1]):
        if data[KIND, i] == _BBO and data[SIDE_FLAGS, i] & LAST_FLAG and markets[data[INSTRUMENT, i]]:
            return i
    return int(data.shape[1])


def first_touch(block: RowBlock, start: int, markets: Bools) -> int:
    """Return the first row from `start` that ends a best bid and offer of some markets; the block's length for none."""
    return _first_touch(block.data, start, markets)


@compiled
def _newest(data: Int64s, start: int, stop: int, seen: Int64s, touch: Int64s) -> bool:
    """Write the newest row of each sort per market into `seen` (-1 = none); False when every row has to be shown."""
    seen[:] = -1
    is_whole = True
    for i in range(start, stop):
        index, kind = data[INSTRUMENT, i], data[KIND, i]
        seen[index, NEWEST] = i
        if kind == _BBO:
            side = BID if data[SIDE_FLAGS, i] & SIDE_MASK == BUY_FLAG else ASK
            seen[index, side] = i
            touch[index, side] = data[PRICE, i]
            is_whole = data[SIDE_FLAGS, i] & LAST_FLAG != 0
            if is_whole and not 0 < touch[index, BID] < touch[index, ASK]:
                return False
        elif kind == _TRADE:
            seen[index, TRADE] = i
        elif kind == _BOOK_STATE:
            return False
    return is_whole


@compiled
def _pick(data: Int64s, start: int, stop: int, seen: Int64s, touch: Int64s, picked: Int64s) -> int:
    """Copy the rows to show into `picked` (8 columns), in order; return how many, -1 when every row has to be shown."""
    if not _newest(data, start, stop, seen, touch):
        return -1
    count = 0
    for index in range(seen.shape[0]):
        for sort in range(SEEN):
            row = seen[index, sort]
            place = count
            while place > 0 and picked[ROW, place - 1] > row:
                place -= 1
            if row < 0 or (place > 0 and picked[ROW, place - 1] == row):
                continue
            for behind in range(count, place, -1):
                picked[ROW, behind] = picked[ROW, behind - 1]
            picked[ROW, place] = row
            count += 1
    for place in range(count):
        row = picked[ROW, place]
        for column in range(COLUMNS):
            picked[column, place] = data[column, row]
    return count


class Shown:
    """Picks what to show, market by market."""

    def __init__(self, markets: int) -> None:
        self._seen = np.full((markets, SEEN), -1, np.int64)
        self._touch = np.zeros((markets, 2), np.int64)
        self._picked = np.zeros((COLUMNS + 1, markets * SEEN), np.int64)

    def of(self, block: RowBlock, start: int, stop: int) -> RowColumns:
        """Return rows [start, stop), or the few of them that make the rest worthless."""
        count = _pick(block.data, start, stop, self._seen, self._touch, self._picked)
        if count < 0:
            return block.columns(start, stop)
        return RowColumns(*self._picked[:COLUMNS, :count].tolist())
