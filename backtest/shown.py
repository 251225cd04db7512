"""What the other cores have to be shown of many rows: per market the newest trade, best bid and best offer.

Live, riskd's subscription conflates in the same way. Where the newest pair is not good (crossed or one-sided), the last
good one would be lost, so then every row counts.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tradebot.core.compiled import compiled
from tradebot.core.ladder import Int64s
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, RowColumns, RowKind
from tradebot.core.row_block import INSTRUMENT, KIND, PRICE, SIDE_FLAGS, RowBlock

BID: Final = 0
ASK: Final = 1
TRADE: Final = 2
NEWEST: Final = 3
"""Newest row of any kind: it says how old the market is."""
SEEN: Final = 4

_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)


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


class Shown:
    """Picks what to show, market by market."""

    def __init__(self, markets: int) -> None:
        self._seen = np.full((markets, SEEN), -1, np.int64)
        self._touch = np.zeros((markets, 2), np.int64)

    def of(self, block: RowBlock, start: int, stop: int) -> RowColumns:
        """Return rows [start, stop), or the few of them that make the rest worthless."""
        if not _newest(block.data, start, stop, self._seen, self._touch):
            return block.columns(start, stop)
        found = sorted({i for line in self._seen.tolist() for i in line if i >= 0})
        return RowColumns(*block.data[:, found].tolist())
