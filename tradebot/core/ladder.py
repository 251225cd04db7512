"""L2 books of many instruments as compiled hash tables: what `Book` is to one event, these are to a million rows.

Each side of each instrument is a segment of two flat arrays: prices in ticks (0 = free) and lots (0 = no level). A
price's place is its low bits, so neighbouring prices lie side by side and seldom collide; a level that empties keeps
its place until the segment is made anew. The best price is kept beside it. About 10 ns per row where a dict of levels
takes 260.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core.compiled import compiled
from tradebot.core.errors import InvariantError
from tradebot.core.market import BUY_FLAG
from tradebot.core.orders import Side

BIDS: Final = 0
ASKS: Final = 1
OFFSET: Final = 0
"""Where the segment begins in the flat arrays."""
MASK: Final = 1
"""Size of the segment less one; a power of two less one."""
BEST: Final = 2
"""Best price in ticks, 0 = the side is empty."""
USED: Final = 3
"""Places taken, levels that emptied included."""
META: Final = 4

FIRST_SIZE: Final = 1_024
MAX_SIZE: Final = 1 << 24
"""Places per side at most: more distinct prices than any venue has."""
SCANNED_TICKS: Final = 512
"""How far the next best price is looked for tick by tick before the whole side is searched."""

Int64s = NDArray[np.int64]


@compiled
def find(prices: Int64s, meta: Int64s, price: int) -> int:
    """Return the place of a price in the flat arrays, or the free place where it would go."""
    offset, mask = meta[OFFSET], meta[MASK]
    place = price & mask
    while prices[offset + place] != price and prices[offset + place] != 0:
        place = (place + 1) & mask
    return int(offset + place)


@compiled
def next_best(prices: Int64s, lots: Int64s, meta: Int64s, side: int, price: int) -> int:
    """Return the best price with lots that is worse than `price`; 0 = none."""
    step = -1 if side == BIDS else 1
    candidate = price
    for _ in range(SCANNED_TICKS):
        candidate += step
        if candidate <= 0:
            return 0
        place = find(prices, meta, candidate)
        if prices[place] == candidate and lots[place] > 0:
            return candidate
    best = 0
    for place in range(meta[OFFSET], meta[OFFSET] + meta[MASK] + 1):
        if lots[place] > 0 and (best == 0 or (prices[place] > best) == (side == BIDS)):
            best = prices[place]
    return int(best)


@compiled
def put(prices: Int64s, lots: Int64s, meta: Int64s, side: int, price: int, qty: int) -> bool:
    """Set the absolute lots of one level of one side; False when the segment is full and has to be made anew first."""
    place = find(prices, meta, price)
    if prices[place] == 0:
        if qty == 0:
            return True
        if 2 * (meta[USED] + 1) > meta[MASK]:
            return False
        prices[place] = price
        meta[USED] += 1
    lots[place] = qty
    best = meta[BEST]
    if qty > 0:
        if best == 0 or (price != best and (price > best) == (side == BIDS)):
            meta[BEST] = price
    elif price == best:
        meta[BEST] = next_best(prices, lots, meta, side, price)
    return True


@compiled
def lots_at(prices: Int64s, lots: Int64s, meta: Int64s, price: int) -> int:
    """Return the lots of one level, 0 = none."""
    place = find(prices, meta, price)
    return int(lots[place]) if prices[place] == price else 0


@compiled
def wipe(prices: Int64s, lots: Int64s, meta: Int64s) -> None:
    """Forget all levels of one side."""
    offset, end = meta[OFFSET], meta[OFFSET] + meta[MASK] + 1
    prices[offset:end] = 0
    lots[offset:end] = 0
    meta[BEST] = 0
    meta[USED] = 0


class Ladders:
    """Books of instruments 0 … count - 1. The arrays are for compiled loops; they are replaced when a side grows."""

    __slots__ = ("lots", "meta", "prices")

    def __init__(self, count: int) -> None:
        self.prices: Int64s = np.zeros(2 * count * FIRST_SIZE, np.int64)
        self.lots: Int64s = np.zeros(2 * count * FIRST_SIZE, np.int64)
        self.meta: Int64s = np.zeros((count, 2, META), np.int64)
        """Shape (instruments, sides, META): see OFFSET, MASK, BEST, USED."""
        self.meta[:, :, OFFSET] = np.arange(2 * count).reshape(count, 2) * FIRST_SIZE
        self.meta[:, :, MASK] = FIRST_SIZE - 1

    def add(self) -> int:
        """Make one more empty book and return its number."""
        count = len(self.meta)
        meta = np.zeros((1, 2, META), np.int64)
        meta[0, :, OFFSET] = len(self.prices), len(self.prices) + FIRST_SIZE
        meta[0, :, MASK] = FIRST_SIZE - 1
        room = np.zeros(2 * FIRST_SIZE, np.int64)
        self.prices, self.lots = np.concatenate((self.prices, room)), np.concatenate((self.lots, room))
        self.meta = np.concatenate((self.meta, meta))
        return count

    def set(self, instrument: int, side: int, price: int, qty: int) -> None:
        """Set the absolute lots of one level, making room when there is none."""
        while not put(self.prices, self.lots, self.meta[instrument, side], side, price, qty):
            self.make_room(instrument, side)

    def make_room(self, instrument: int, side: int) -> None:
        """Make a side's segment anew, at least four times as large as its levels need."""
        meta = self.meta[instrument, side]
        start, size = int(meta[OFFSET]), int(meta[MASK]) + 1
        places = start + np.flatnonzero(self.lots[start : start + size])
        prices, lots, best = self.prices[places], self.lots[places], int(meta[BEST])
        wanted = max(FIRST_SIZE, 4 << max(1, len(places)).bit_length())
        if wanted > MAX_SIZE:
            raise InvariantError(f"a book of {len(places)} levels: more than {MAX_SIZE} places")
        if wanted > size:
            meta[OFFSET], meta[MASK] = len(self.prices), wanted - 1
            room = np.zeros(wanted, np.int64)
            self.prices, self.lots = np.concatenate((self.prices, room)), np.concatenate((self.lots, room))
        wipe(self.prices, self.lots, meta)
        for price, qty in zip(prices.tolist(), lots.tolist(), strict=True):
            put(self.prices, self.lots, meta, side, price, qty)
        meta[BEST] = best

    def clear(self, instrument: int) -> None:
        """Forget one book."""
        for side in (BIDS, ASKS):
            wipe(self.prices, self.lots, self.meta[instrument, side])


class LadderSide(Mapping[int, int]):
    """One side as a mapping ticks -> lots (> 0); read only. Iterating it sorts, best first."""

    __slots__ = ("_instrument", "_ladders", "_side")

    def __init__(self, ladders: Ladders, instrument: int, side: int) -> None:
        self._ladders, self._instrument, self._side = ladders, instrument, side

    def __getitem__(self, price: int) -> int:
        qty = self.lots_at(price)
        if not qty:
            raise KeyError(price)
        return qty

    def lots_at(self, price: int) -> int:
        """Return the lots of one level, 0 = none."""
        ladders = self._ladders
        return lots_at(ladders.prices, ladders.lots, ladders.meta[self._instrument, self._side], price)

    def levels(self) -> list[tuple[int, int]]:
        """Return (ticks, lots), best first."""
        ladders = self._ladders
        offset, mask = ladders.meta[self._instrument, self._side, : MASK + 1].tolist()
        places = offset + np.flatnonzero(ladders.lots[offset : offset + mask + 1])
        found = zip(ladders.prices[places].tolist(), ladders.lots[places].tolist(), strict=True)
        return sorted(found, reverse=self._side == BIDS)

    def __iter__(self) -> Iterator[int]:
        return (price for price, _ in self.levels())

    def __len__(self) -> int:
        ladders = self._ladders
        offset, mask = ladders.meta[self._instrument, self._side, : MASK + 1].tolist()
        return int(np.count_nonzero(ladders.lots[offset : offset + mask + 1]))


class LadderBook:
    """One instrument's book with the face of `Book`."""

    __slots__ = ("_instrument", "_ladders", "asks", "bids")

    def __init__(self, ladders: Ladders | None = None, instrument: int = 0) -> None:
        self._ladders = ladders or Ladders(1)
        self._instrument = instrument
        self.bids = LadderSide(self._ladders, instrument, BIDS)
        self.asks = LadderSide(self._ladders, instrument, ASKS)

    @property
    def best_bid(self) -> int | None:
        """Highest bid in ticks, None when there is none."""
        return int(self._ladders.meta[self._instrument, BIDS, BEST]) or None

    @property
    def best_ask(self) -> int | None:
        """Lowest ask in ticks, None when there is none."""
        return int(self._ladders.meta[self._instrument, ASKS, BEST]) or None

    @property
    def is_crossed(self) -> bool:
        """True when the best bid is at or above the best ask."""
        bid, ask = self.best_bid, self.best_ask
        return bid is not None and ask is not None and bid >= ask

    @property
    def touch(self) -> tuple[int, int, int, int]:
        """Best bid ticks and lots, best ask ticks and lots; 0, 0 for an empty side."""
        bid, ask = self.best_bid or 0, self.best_ask or 0
        return bid, self.bids.lots_at(bid) if bid else 0, ask, self.asks.lots_at(ask) if ask else 0

    def set_level(self, side_flag: int, price: int, qty: int) -> None:
        """Set the absolute quantity of one level; 0 deletes it. Deleting an unknown level is normal and ignored."""
        self._ladders.set(self._instrument, BIDS if side_flag == BUY_FLAG else ASKS, price, qty)

    def clear(self) -> None:
        """Forget all levels."""
        self._ladders.clear(self._instrument)

    def top(self, side: Side, depth: int) -> list[tuple[int, int]]:
        """Return up to `depth` levels as (ticks, lots), best first; BUY gives bids."""
        return (self.bids if side is Side.BUY else self.asks).levels()[:depth]
