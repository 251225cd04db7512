"""Counts and prices of working orders, kept up to date by every change, so that a check reads them without a loop."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict

from tradebot.core.orders import Side


class WorkingOrderBook:
    """Orders with something left to fill. Empty entries are dropped, so equal books compare equal."""

    def __init__(self) -> None:
        self.count: dict[str, int] = defaultdict(int)
        """Instrument, or venue -> working orders. Instrument ids have a colon, venues have none."""
        self.unknown: dict[str, int] = defaultdict(int)
        """Instrument, or venue -> orders whose fate is unknown."""
        self._prices: dict[tuple[str, Side], list[int]] = {}
        """Limits that rest at the venue, ascending; orders that wait for a trigger are not in it."""

    def add(self, instrument_id: str, venue: str, side: Side, rests_at: int) -> None:
        """An order begins to work; `rests_at` 0 = it waits for a trigger."""
        self.count[instrument_id] += 1
        self.count[venue] += 1
        if rests_at:
            insort(self._prices.setdefault((instrument_id, side), []), rests_at)

    def remove(self, instrument_id: str, venue: str, side: Side, rests_at: int) -> None:
        """An order that was added is over."""
        _less(self.count, instrument_id)
        _less(self.count, venue)
        if rests_at:
            prices = self._prices[instrument_id, side]
            del prices[bisect_left(prices, rests_at)]
            if not prices:
                del self._prices[instrument_id, side]

    def doubt(self, instrument_id: str, venue: str) -> None:
        """An order became UNKNOWN."""
        self.unknown[instrument_id] += 1
        self.unknown[venue] += 1

    def settle(self, instrument_id: str, venue: str) -> None:
        """An UNKNOWN order was resolved."""
        _less(self.unknown, instrument_id)
        _less(self.unknown, venue)

    def best(self, instrument_id: str, side: Side) -> int:
        """Return our own best resting price of a side: highest bid or lowest ask; 0 = none."""
        prices = self._prices.get((instrument_id, side))
        if not prices:
            return 0
        return prices[-1] if side is Side.BUY else prices[0]

    def digest(self) -> list[object]:
        """Return all of it."""
        prices = sorted((key, side.name, tuple(found)) for (key, side), found in self._prices.items())
        return [sorted(self.count.items()), sorted(self.unknown.items()), prices]


def _less(table: dict[str, int], key: str) -> None:
    table[key] -= 1
    if not table[key]:
        del table[key]
