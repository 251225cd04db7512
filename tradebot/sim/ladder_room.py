"""Room in the price ladder of a market whose prices nobody knows beforehand.

It begins around the first price and is made wider, never narrower, when one comes that has no place in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradebot.core.errors import InvariantError
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.feed import MAX_LADDER_TICKS
from tradebot.sim.kernels.simulator import MARGIN_TICKS, Block


class LadderRoom:
    """Owns the ladders of one block, and what counts in ladder indices when they move."""

    __slots__ = ("_block", "_kept", "_name")

    def __init__(self, block: Block, name: str) -> None:
        """`name` is the instrument's, for errors."""
        self._block = block
        self._name = name
        self._kept: list[NDArray[Any]] = []
        self._widen(int(block.words[at.BASE]), int(block.words[at.TOP]))

    def cover(self, price: int) -> bool:
        """Make the ladder wide enough for a price; False when it was.

        Raises:
            InvariantError: If the prices would span more ticks than a ladder may have.
        """
        w = self._block.words
        base, top = int(w[at.BASE]), int(w[at.TOP])
        if base < price < base + top:
            return False
        room = max(MARGIN_TICKS, price >> 4)
        low, high = price - room, price + room
        if w[at.LAST_TRADE] >= 0 or w[at.LIVE_COUNT] or any(used.any() for used in self._kept[4:]):
            low, high = min(low, base), max(high, base + top)
        if high - low > MAX_LADDER_TICKS:
            raise InvariantError(f"{self._name}: price {price} ticks is too far from {base}…{base + top}")
        self._widen(low, high - low)
        return True

    def _widen(self, base: int, top: int) -> None:
        """Move to a ladder whose index 0 is `base`; only pages in use are copied."""
        w = self._block.words
        shift = int(w[at.BASE]) - base
        old_top = int(w[at.TOP])
        kept = self._kept
        ladders = [np.zeros(top + 1, np.int64) for _ in range(4)]
        used = [np.zeros((top >> at.PAGE_BITS) + 1, np.uint8) for _ in range(2)]
        for number in range(2) if kept else ():
            bits = at.PAGE_BITS
            for page in np.flatnonzero(kept[4 + number]).tolist():
                first, last = max(page << bits, 1), min((page + 1) << bits, old_top)
                for one in (number, number + 2):
                    ladders[one][first + shift : last + shift] = kept[one][first:last]
                used[number][(first + shift) >> bits : ((last - 1 + shift) >> bits) + 1] = 1
        self._kept = [*ladders, *used]
        for ladder in ladders[:2]:
            ladder[0] = ladder[top] = 2
        w[at.BASE], w[at.TOP] = base, top
        names = (at.BIDS, at.ASKS, at.EATEN, at.EATEN + 1, at.USED, at.USED + 1)
        for word, array in zip(names, self._kept, strict=True):
            w[word] = array.ctypes.data
        w[at.BEST_BID] = w[at.BEST_BID] + shift if w[at.BEST_BID] else 0
        w[at.BEST_ASK] = w[at.BEST_ASK] + shift if w[at.BEST_ASK] < old_top else top
        w[at.MY_BID] = w[at.MY_BID] + shift if w[at.MY_BID] >= 0 else -1
        w[at.MY_ASK] = w[at.MY_ASK] + shift if w[at.MY_ASK] <= old_top else top + 1
        w[at.LAST_TRADE] = w[at.LAST_TRADE] + shift if w[at.LAST_TRADE] >= 0 else -1
        for word in (at.STOP_ABOVE, at.STOP_BELOW):
            if abs(int(w[word])) != at.NEVER:
                w[word] += shift
        # Orders that rest stand where they stood; those that wait get their place by their limit price.
        orders = self._block.orders
        places = orders[:, at.PRICE_AT_EXCHANGE] - base
        orders[:, at.X_PRICE] = np.clip(places, 1, top - 1)
        resting = (orders[:, at.X_PLACE] >= 0) & (orders[:, at.ID] > 0)
        for slot in np.flatnonzero(resting).tolist():
            ladders[0 if orders[slot, at.SIDE] > 0 else 1][orders[slot, at.X_PRICE]] |= 1
