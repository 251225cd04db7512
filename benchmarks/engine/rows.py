"""A recorded L2 feed as market rows: what marketdata would have published of it, best bids and offers included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from tradebot.core.compiled import compiled
from tradebot.core.ladder import ASKS, BEST, BIDS, Int64s, Ladders, lots_at, put
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, RowKind
from tradebot.core.row_block import COLUMNS, RowBlock

BATCH_ROWS: Final = 65_536
_TRADE_FLAG, _KIND_MASK, _BUYER = 2, 7, 8
_TRADE: Final = int(RowKind.TRADE)
_LEVEL: Final = int(RowKind.BOOK_LEVEL)
_BBO: Final = int(RowKind.BBO)


@compiled
def _rows(
    exchange: Int64s, local: Int64s, flags: Int64s, price: Int64s, qty: Int64s,
    out: Int64s, prices: Int64s, lots: Int64s, meta: Int64s,
) -> int:  # fmt: skip
    """Write the rows of a feed and, after each packet that changed the touch, its best bid and offer."""
    made = 0
    count = len(exchange)
    bid = ask = bid_lots = ask_lots = 0
    for i in range(count):
        side = BIDS if flags[i] & _BUYER else ASKS
        flag = BUY_FLAG if side == BIDS else SELL_FLAG
        is_trade = flags[i] & _KIND_MASK == _TRADE_FLAG
        out[:, made] = (_TRADE if is_trade else _LEVEL, 0, flag, price[i], qty[i], i, exchange[i], local[i])
        made += 1
        if not is_trade and not put(prices, lots, meta[side], side, price[i], qty[i]):
            return -1
        if i + 1 < count and local[i + 1] == local[i]:
            continue
        new_bid, new_ask = meta[BIDS, BEST], meta[ASKS, BEST]
        if new_bid == 0 or new_ask == 0:
            continue
        new_bid_lots, new_ask_lots = (
            lots_at(prices, lots, meta[BIDS], new_bid),
            lots_at(prices, lots, meta[ASKS], new_ask),
        )
        if new_bid != bid or new_ask != ask or new_bid_lots != bid_lots or new_ask_lots != ask_lots:
            bid, ask, bid_lots, ask_lots = new_bid, new_ask, new_bid_lots, new_ask_lots
            out[:, made] = (_BBO, 0, BUY_FLAG, bid, bid_lots, i, local[i], local[i])
            out[:, made + 1] = (_BBO, 0, SELL_FLAG | LAST_FLAG, ask, ask_lots, i, local[i], local[i])
            made += 2
    return made


def load(folder: Path) -> RowBlock:
    """Return the feed of a data folder as rows; the first one says that the book is live."""
    exchange, local, flags, price, qty = (
        np.ascontiguousarray(np.load(folder / f"{name}.npy"), np.int64)
        for name in ("exchange_time_ns", "local_time_ns", "flags", "price_ticks", "qty_lots")
    )
    out = np.empty((COLUMNS, 3 * len(exchange) + 1), np.int64)
    out[:, 0] = (RowKind.BOOK_STATE, 0, LAST_FLAG, BookState.LIVE, 0, 0, local[0], local[0])
    ladders = Ladders(1)
    for side in (BIDS, ASKS):  # room for every price that occurs, so that the loop never has to stop
        while ladders.meta[0, side, 1] < 8 * len(np.unique(price)):
            ladders.meta[0, side, 0] = len(ladders.prices)
            ladders.meta[0, side, 1] = 2 * ladders.meta[0, side, 1] + 1
        room = np.zeros(int(ladders.meta[0, side, 1]) + 1, np.int64)
        ladders.prices, ladders.lots = np.concatenate((ladders.prices, room)), np.concatenate((ladders.lots, room))
    made = _rows(exchange, local, flags, price, qty, out[:, 1:], ladders.prices, ladders.lots, ladders.meta[0])
    return RowBlock(np.ascontiguousarray(out[:, : made + 1]))


def batches(block: RowBlock) -> Iterator[tuple[RowBlock, int]]:
    """Cut rows into batches that keep moments whole, each with the time to which it is complete."""
    start = 0
    times = block.receive_time_ns
    while start < len(block):
        stop = min(start + BATCH_ROWS, len(block))
        stop = block.first_after(int(times[stop - 1]), stop - 1)
        complete_ns = int(times[stop]) - 1 if stop < len(block) else int(times[-1])
        yield RowBlock(np.ascontiguousarray(block.data[:, start:stop])), complete_ns
        start = stop
