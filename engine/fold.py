"""Many rows at a time into what the engine knows of its markets, by compiled code.

`fold` stops before the first row that a strategy or a bar has to see: that one goes through `EngineCore.handle_rows`,
as every row does live. Rows in between change prices, books and the bar being built, and nothing else. A test holds
both ways side by side on random rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.bars import NEVER_NS
from engine.markets import Market
from tradebot.core.compiled import compiled
from tradebot.core.ladder import ASKS, BIDS, Int64s, Ladders, put, wipe
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, RowKind
from tradebot.core.row_block import (
    EVENT_TIME,
    INSTRUMENT,
    KIND,
    PRICE,
    QTY,
    RECEIVE_TIME,
    SIDE_FLAGS,
    RowBlock,
)

# Columns of the state, one line per instrument index.
KNOWN: Final = 0
"""1 when a strategy trades it."""
BID: Final = 1
BID_QTY: Final = 2
ASK: Final = 3
ASK_QTY: Final = 4
LAST_PRICE: Final = 5
LAST_QTY: Final = 6
LAST_SIDE: Final = 7
NEXT_CLOSE: Final = 8
OPEN_TIME: Final = 9
"""Latest start of a bar being built: an older trade is late and needs the builder's judgement."""
SEES_BBO: Final = 10
SEES_TRADES: Final = 11
HAS_BARS: Final = 12
# Trades since they were last given to the bars being built.
COUNT: Final = 13
FIRST: Final = 14
HIGH: Final = 15
LOW: Final = 16
VOLUME: Final = 17
LADDER: Final = 18
"""Number of its book among the ladders."""
STATE: Final = 19

_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)
_BOOK_LEVEL: Final = int(RowKind.BOOK_LEVEL)
_SNAPSHOT_LEVEL: Final = int(RowKind.SNAPSHOT_LEVEL)
_BOOK_CLEAR: Final = int(RowKind.BOOK_CLEAR)


@compiled
def _fold(
    data: Int64s, start: int, to_ns: int, state: Int64s, depth: bool, prices: Int64s, lots: Int64s, meta: Int64s
) -> int:
    """Take rows received up to `to_ns`; return the first one not taken."""
    rows, markets = data.shape[1], state.shape[0]
    for i in range(start, rows):
        if data[RECEIVE_TIME, i] > to_ns:
            return i
        index = data[INSTRUMENT, i]
        if index >= markets or state[index, KNOWN] == 0:
            continue
        kind = data[KIND, i]
        event_time = data[EVENT_TIME, i]
        if event_time >= state[index, NEXT_CLOSE] and (kind == _TRADE or event_time != data[RECEIVE_TIME, i]):
            return i
        flags, price, qty = data[SIDE_FLAGS, i], data[PRICE, i], data[QTY, i]
        if kind in (_BOOK_LEVEL, _SNAPSHOT_LEVEL):
            if depth:
                side = BIDS if flags & SIDE_MASK == BUY_FLAG else ASKS
                if not put(prices, lots, meta[state[index, LADDER], side], side, price, qty):
                    return i
        elif kind == _BBO:
            if flags & LAST_FLAG and state[index, SEES_BBO]:
                return i
            column = BID if flags & SIDE_MASK == BUY_FLAG else ASK
            state[index, column] = price
            state[index, column + 1] = qty
        elif kind == _TRADE:
            if state[index, SEES_TRADES]:
                return i
            if state[index, HAS_BARS]:
                if state[index, NEXT_CLOSE] == NEVER_NS or event_time < state[index, OPEN_TIME]:
                    return i
                count = state[index, COUNT]
                if count == 0:
                    state[index, FIRST] = state[index, HIGH] = state[index, LOW] = price
                state[index, COUNT] = count + 1
                state[index, HIGH] = max(state[index, HIGH], price)
                state[index, LOW] = min(state[index, LOW], price)
                state[index, VOLUME] += qty
            state[index, LAST_PRICE] = price
            state[index, LAST_QTY] = qty
            state[index, LAST_SIDE] = flags & SIDE_MASK
        elif kind == _BOOK_STATE:
            return i
        elif kind == _BOOK_CLEAR and depth:
            wipe(prices, lots, meta[state[index, LADDER], BIDS])
            wipe(prices, lots, meta[state[index, LADDER], ASKS])
    return int(rows)


class RowFold:
    """The fold of one core: its markets by column index, mirrored in one array."""

    def __init__(self, markets: Sequence[Market | None], ladders: Ladders) -> None:
        self._markets = [(i, market) for i, market in enumerate(markets) if market is not None]
        self._ladders = ladders
        self._depth = any(market.book is not None for _, market in self._markets)
        self._state = np.zeros((len(markets), STATE), np.int64)
        for i, market in self._markets:
            self._state[i, LADDER] = market.ladder
        self.stale = True
        """True when anything but the fold changed a market since."""

    def take(self, block: RowBlock, start: int, to_ns: int) -> int:
        """Take rows from `start` on that were received up to `to_ns`; return the first one not taken.

        That row is beyond `to_ns`, or somebody has to see it.
        """
        if self.stale:
            self._load()
        ladders = self._ladders
        stop = _fold(block.data, start, to_ns, self._state, self._depth, ladders.prices, ladders.lots, ladders.meta)
        if stop != start:
            self._store()
        return stop

    def _load(self) -> None:
        for i, market in self._markets:
            self._state[i, : COUNT + 1] = (
                1,
                market.bid,
                market.bid_qty,
                market.ask,
                market.ask_qty,
                market.last_price,
                market.last_qty,
                market.last_side,
                market.next_close_ns,
                max((series.builder.open_time_ns for series in market.series.values()), default=0),
                bool(market.bbo_units) and market.live,
                bool(market.trade_units),
                bool(market.series),
                0,
            )
        self.stale = False

    def _store(self) -> None:
        for i, market in self._markets:
            (
                _,
                market.bid,
                market.bid_qty,
                market.ask,
                market.ask_qty,
                market.last_price,
                market.last_qty,
                market.last_side,
                _,
                _,
                _,
                _,
                _,
                count,
                first,
                high,
                low,
                volume,
                _,
            ) = self._state[i].tolist()
            if count:
                for series in market.series.values():
                    series.builder.add_trades(first, high, low, market.last_price, volume, count)
                self._state[i, COUNT] = self._state[i, VOLUME] = 0
