"""Many recorded rows at a time into the background books, by compiled code.

`take` stops before the first row that could touch an order of ours: it trades at or through one, changes a level that
we queue at or have eaten from, crosses one, or fires a trigger. That row goes through `MatchingEngine.on_rows`, as
every row of a slow feed does; a test holds both ways side by side. The others change books and last prices only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core.compiled import compiled
from tradebot.core.ladder import ASKS, BEST, BIDS, Int64s, Ladders, lots_at, put
from tradebot.core.market import BUY_FLAG, SIDE_MASK, RowKind
from tradebot.core.orders import OrderType, Side
from tradebot.core.row_block import ID, INSTRUMENT, KIND, PRICE, QTY, RECEIVE_TIME, SIDE_FLAGS, RowBlock
from tradebot.sim.market import Market
from tradebot.sim.orders import SimOrder

# Columns of the state, one line per market.
LAST_PRICE: Final = 0
BBO_ID: Final = 1
OWN_BID: Final = 2
"""Our best bid in ticks, 0 = none."""
OWN_ASK: Final = 3
"""Our best offer in ticks, FAR = none."""
RISING: Final = 4
"""A trade at or above this price fires a trigger."""
FALLING: Final = 5
"""A trade at or below this price fires a trigger."""
WATCHED: Final = 6
"""How many prices are watched on each side; MANY = every row of this market."""
STATE: Final = 8

MAX_WATCHED: Final = 64
"""Prices per side at which we rest or took; with more of them each row is looked at one by one."""
MANY: Final = MAX_WATCHED + 1
FAR: Final = 1 << 62

Bools = NDArray[np.bool_]

_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)
_BOOK_LEVEL: Final = int(RowKind.BOOK_LEVEL)
_SNAPSHOT_LEVEL: Final = int(RowKind.SNAPSHOT_LEVEL)
_BOOK_CLEAR: Final = int(RowKind.BOOK_CLEAR)


@compiled
def _is_watched(watched: Int64s, count: int, price: int) -> bool:
    for k in range(count):  # noqa: SIM110  compiled: a loop, not a generator
        if watched[k] == price:
            return True
    return False


@compiled
def _take(
    data: Int64s,
    start: int,
    to_ns: int,
    with_bbo: Bools,
    state: Int64s,
    watched: Int64s,
    prices: Int64s,
    lots: Int64s,
    meta: Int64s,
) -> int:
    """Take rows received up to `to_ns`; return the first one not taken."""
    rows = data.shape[1]
    for i in range(start, rows):
        if data[RECEIVE_TIME, i] > to_ns:
            return i
        kind = data[KIND, i]
        if kind > _BOOK_STATE:
            continue
        index, price = data[INSTRUMENT, i], data[PRICE, i]
        if kind in (_BOOK_STATE, _BOOK_CLEAR) or state[index, WATCHED] == MANY or state[index, WATCHED + 1] == MANY:
            return i
        if kind == _BBO and with_bbo[index]:
            return i
        is_bid = data[SIDE_FLAGS, i] & SIDE_MASK == BUY_FLAG
        own_bid, own_ask = state[index, OWN_BID], state[index, OWN_ASK]
        if kind == _TRADE:
            if price >= own_ask if is_bid else price <= own_bid:
                return i
            if price >= state[index, RISING] or price <= state[index, FALLING]:
                return i
            state[index, LAST_PRICE] = price
            continue
        side = BIDS if is_bid else ASKS
        line, count, qty = meta[index, side], state[index, WATCHED + side], data[QTY, i]
        best = line[BEST]
        if best != 0 and (best >= own_ask if is_bid else best <= own_bid):
            return i
        is_old = kind == _BOOK_LEVEL and data[ID, i] < state[index, BBO_ID]
        if is_old and best != 0 and (price >= best if is_bid else price <= best):
            continue
        if _is_watched(watched[index, side], count, price):
            return i
        if kind != _SNAPSHOT_LEVEL and qty > 0 and (price >= own_ask if is_bid else price <= own_bid):
            return i
        if kind == _BBO:
            while best != 0 and (best > price if is_bid else best < price):
                if _is_watched(watched[index, side], count, best):
                    return i
                put(prices, lots, line, side, best, 0)
                best = line[BEST]
            if lots_at(prices, lots, line, price) != qty and not put(prices, lots, line, side, price, qty):
                return i
            state[index, BBO_ID] = data[ID, i]
        elif not put(prices, lots, line, side, price, qty):
            return i
    return int(rows)


class RecordedRows:
    """The background of all markets of one matching engine; a market's number is its book's number."""

    def __init__(self, markets: Sequence[Market], ladders: Ladders, waiting: Sequence[Mapping[int, SimOrder]]) -> None:
        self._markets = markets
        self._ladders = ladders
        self._waiting = waiting
        self._state = np.zeros((len(markets), STATE), np.int64)
        self._watched = np.zeros((len(markets), 2, MAX_WATCHED), np.int64)
        self._no_bbo = np.zeros(len(markets), np.bool_)
        self.stale = True
        """True when anything but `take` happened since."""

    def take(self, block: RowBlock, start: int, to_ns: int, with_bbo: Bools | None = None) -> int:
        """See `MatchingEngine.take_rows`."""
        if self.stale:
            for market in self._markets:
                self._load(market)
            self.stale = False
        ladders = self._ladders
        stop = _take(
            block.data,
            start,
            to_ns,
            self._no_bbo if with_bbo is None else with_bbo,
            self._state,
            self._watched,
            ladders.prices,
            ladders.lots,
            ladders.meta,
        )
        for market in self._markets:
            market.last_price, market.bbo_id = self._state[market.index, : BBO_ID + 1].tolist()
        return stop

    def _load(self, market: Market) -> None:
        line = self._state[market.index]
        bids, asks = market.own_orders(Side.BUY), market.own_orders(Side.SELL)
        rising, falling = FAR, 0
        for order in self._waiting[market.index].values():
            terms = order.terms
            if (terms.side is Side.BUY) is (terms.order_type in (OrderType.STOP, OrderType.STOP_LIMIT)):
                rising = min(rising, terms.stop_price)
            else:
                falling = max(falling, terms.stop_price)
        line[:WATCHED] = (
            market.last_price,
            market.bbo_id,
            max(bids, default=0),
            min(asks, default=FAR),
            rising,
            falling,
        )
        for side, own in ((BIDS, market.watched(Side.BUY)), (ASKS, market.watched(Side.SELL))):
            line[WATCHED + side] = min(len(own), MANY)
            if len(own) <= MAX_WATCHED:
                self._watched[market.index, side, : len(own)] = list(own)
