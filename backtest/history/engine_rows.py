"""History rows as the engine's stream: what marketdata would have published, had it seen this file arrive.

Book rows pass unchanged; the best bid and offer is published when it changes, from the venue's own message or from the
book, whichever is newer (by update id where both have one, else by exchange time), as `marketdata.book` does live. A
market becomes LIVE with the first moment that has both sides; a file is a proven book by its reader's rules. Rows that
only the exchange's clock saw are left out: an engine lives on receive times.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from backtest.history.rows import BBO as BBO_FACT
from backtest.history.rows import FUNDING_RATE, MARK_PRICE, OTHER, Rows
from tradebot.core.columns import AT_LOCAL, BUYER, CLEAR, KIND_MASK, LEVEL, SNAPSHOT, TRADE, Flags
from tradebot.core.compiled import compiled
from tradebot.core.ladder import ASKS, BEST, BIDS, Int64s, LadderBook, Ladders, lots_at, put
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, RowKind
from tradebot.core.orders import Side
from tradebot.core.row_block import COLUMNS, RowBlock

# One line of state per market.
BID: Final = 0
BID_LOTS: Final = 1
ASK: Final = 2
ASK_LOTS: Final = 3
"""The first four: best bid and offer as published."""
BBO_ID: Final = 4
BBO_TIME: Final = 5
"""Update id and exchange time of the newest message with a best bid and offer; a time of 0 = none yet."""
BOOK_ID: Final = 6
BOOK_TIME: Final = 7
"""The same of the book; a time of 0 = no level yet."""
LIVE: Final = 8
DIRTY: Final = 9
"""1 = levels changed since the touch was last looked at."""
TOLD: Final = 10
"""Four: the venue's own best bid and offer as last told."""
STATE: Final = 14

MOST_PER_ROW: Final = 6
"""Rows out per row in, at most: itself, two old levels, a state, two sides of a touch."""
DONE: Final = -1
"""`convert` got to the end."""
_FULL: Final = 1 << 40
"""Added to a row's place: a ladder has no room for its level."""

_TRADE_ROW, _LEVEL_ROW, _SNAPSHOT_ROW, _BBO_ROW, _STATE_ROW = (
    int(kind) for kind in (RowKind.TRADE, RowKind.BOOK_LEVEL, RowKind.SNAPSHOT_LEVEL, RowKind.BBO, RowKind.BOOK_STATE)
)
_MARK_ROW, _FUNDING_ROW = int(RowKind.MARK_PRICE), int(RowKind.FUNDING_RATE)
_BUY, _SELL, _LAST, _IS_LIVE = BUY_FLAG, SELL_FLAG, LAST_FLAG, int(BookState.LIVE)
_LEVEL, _TRADE, _CLEAR, _SNAPSHOT, _KINDS = LEVEL, TRADE, CLEAR, SNAPSHOT, KIND_MASK
_BUYER, _LOCAL, _OTHER, _BBO = BUYER, AT_LOCAL, OTHER, BBO_FACT
_MARK, _FUNDING = MARK_PRICE, FUNDING_RATE


@compiled
def _emit(
    out: Int64s, count: int, kind: int, index: int, side: int, price: int, qty: int, id_: int, at_ns: int, local_ns: int
) -> int:
    out[0, count], out[1, count], out[2, count], out[3, count] = kind, index, side, price
    out[4, count], out[5, count], out[6, count], out[7, count] = qty, id_, at_ns, local_ns
    return count + 1


@compiled
def _publish(
    out: Int64s, count: int, line: Int64s, index: int, touch: Int64s, id_: int, at_ns: int, local_ns: int
) -> int:
    """Write a touch when it is news, and before it LIVE when it is the first with both sides."""
    if line[BID] == touch[0] and line[BID_LOTS] == touch[1] and line[ASK] == touch[2] and line[ASK_LOTS] == touch[3]:
        return count
    if not line[LIVE]:
        if touch[0] == 0 or touch[2] == 0:
            return count
        line[LIVE] = 1
        count = _emit(out, count, _STATE_ROW, index, _LAST, _IS_LIVE, 0, id_, at_ns, local_ns)
    if not line[BOOK_TIME]:  # no book but this: the levels it leaves are gone, nobody says what is behind
        for side in range(2):
            old = line[BID + 2 * side]
            if old != 0 and old != touch[2 * side]:
                flags = (_BUY if side == 0 else _SELL) | _LAST
                count = _emit(out, count, _LEVEL_ROW, index, flags, old, 0, id_, at_ns, local_ns)
    line[BID], line[BID_LOTS], line[ASK], line[ASK_LOTS] = touch[0], touch[1], touch[2], touch[3]
    count = _emit(out, count, _BBO_ROW, index, _BUY, touch[0], touch[1], id_, at_ns, local_ns)
    return int(_emit(out, count, _BBO_ROW, index, _SELL | _LAST, touch[2], touch[3], id_, at_ns, local_ns))


@compiled
def _book_touch(
    out: Int64s, count: int, state: Int64s, touch: Int64s, prices: Int64s, lots: Int64s, meta: Int64s, local_ns: int
) -> int:
    """At the end of a moment: publish the touch of each book that changed, unless the venue told a newer one."""
    for index in range(len(state)):
        line = state[index]
        if not line[DIRTY]:
            continue
        line[DIRTY] = 0
        if line[BBO_TIME]:
            if line[BBO_ID] and line[BOOK_ID]:
                is_old = line[BOOK_ID] < line[BBO_ID]
            else:
                is_old = line[BOOK_TIME] < line[BBO_TIME]
            if is_old:
                continue
        for side in range(2):
            best = meta[index, side, BEST]
            touch[2 * side] = best
            touch[2 * side + 1] = lots_at(prices, lots, meta[index, side], best) if best else 0
        count = _publish(out, count, line, index, touch, line[BOOK_ID], line[BOOK_TIME], local_ns)
    return count


@compiled
def _told_touch(out: Int64s, count: int, line: Int64s, index: int, id_: int, at_ns: int, local_ns: int) -> int:
    """Publish the venue's own best bid and offer, unless the book is newer."""
    if line[BOOK_TIME]:
        if id_ and line[BOOK_ID]:
            is_old = id_ < line[BOOK_ID]
        else:
            is_old = at_ns < line[BOOK_TIME]
        if is_old:
            return count
    # Its id only means something beside the ids of book rows; without those the simulator would drop every level.
    shown_id = id_ if line[BOOK_ID] or not line[BOOK_TIME] else 0
    return int(_publish(out, count, line, index, line[TOLD : TOLD + 4], shown_id, at_ns, local_ns))


@compiled
def _ends_event(i: int, flags: Flags, instrument: Int64s, ids: Int64s, exchange_ns: Int64s, local_ns: Int64s) -> bool:
    """True when the next row is not of the same venue event."""
    n = i + 1
    if n == len(flags) or local_ns[n] != local_ns[i] or instrument[n] != instrument[i] or ids[n] != ids[i]:
        return True
    return bool(exchange_ns[n] != exchange_ns[i] or (flags[n] ^ flags[i]) & (_OTHER | _KINDS))


@compiled
def convert(
    start: int,
    flags: Flags,
    instrument: Int64s,
    price: Int64s,
    qty: Int64s,
    ids: Int64s,
    exchange_ns: Int64s,
    local_ns: Int64s,
    state: Int64s,
    prices: Int64s,
    lots: Int64s,
    meta: Int64s,
    out: Int64s,
    count: Int64s,
) -> int:
    """Write rows from `start` on to `out` behind `count[0]`; return DONE, or the row that Python has to look at."""
    touch = np.zeros(4, np.int64)
    done = count[0]
    for i in range(start, len(flags)):
        if i and local_ns[i] != local_ns[i - 1]:
            done = _book_touch(out, done, state, touch, prices, lots, meta, local_ns[i - 1])
        flag, index = flags[i], instrument[i]
        line = state[index]
        kind = flag & (_OTHER | _KINDS)
        side = BIDS if flag & _BUYER else ASKS
        side_flag = _BUY if flag & _BUYER else _SELL
        if kind == _LEVEL:
            if not put(prices, lots, meta[index, side], side, price[i], qty[i]):
                count[0] = done
                return i + _FULL
            line[DIRTY] = 1
            line[BOOK_ID] = max(line[BOOK_ID], ids[i])
            line[BOOK_TIME] = max(line[BOOK_TIME], exchange_ns[i])
            row_kind = _SNAPSHOT_ROW if flag & _SNAPSHOT else _LEVEL_ROW
            if _ends_event(i, flags, instrument, ids, exchange_ns, local_ns):
                side_flag |= _LAST
            done = _emit(out, done, row_kind, index, side_flag, price[i], qty[i], ids[i], exchange_ns[i], local_ns[i])
        elif kind == _TRADE:
            side_flag |= _LAST
            done = _emit(out, done, _TRADE_ROW, index, side_flag, price[i], qty[i], ids[i], exchange_ns[i], local_ns[i])
        elif kind == _BBO:
            if ids[i] >= line[BBO_ID] if ids[i] and line[BBO_ID] else exchange_ns[i] >= line[BBO_TIME]:
                line[TOLD + 2 * side], line[TOLD + 2 * side + 1] = price[i], qty[i]
                line[BBO_ID], line[BBO_TIME] = ids[i], max(exchange_ns[i], 1)
                is_pair = side == BIDS and not _ends_event(i, flags, instrument, ids, exchange_ns, local_ns)
                if not is_pair or flags[i + 1] & _BUYER:
                    done = _told_touch(out, done, line, index, ids[i], exchange_ns[i], local_ns[i])
        elif kind == _MARK:
            done = _emit(out, done, _MARK_ROW, index, _LAST, price[i], 0, 0, exchange_ns[i], local_ns[i])
        elif kind == _FUNDING:
            done = _emit(out, done, _FUNDING_ROW, index, _LAST, price[i], qty[i], 0, exchange_ns[i], local_ns[i])
        elif kind == _CLEAR or not kind & _OTHER:
            count[0] = done
            return i
    if len(flags):
        done = _book_touch(out, done, state, touch, prices, lots, meta, local_ns[-1])
    count[0] = done
    return DONE


class EngineRows:
    """Converts rows, moment by moment: a call gets whole moments of receive time, in order."""

    def __init__(self, markets: int) -> None:
        self._ladders = Ladders(markets)
        self._books = [LadderBook(self._ladders, index) for index in range(markets)]
        self._state = np.zeros((markets, STATE), np.int64)

    def is_live(self, index: int) -> bool:
        """True once a market had both sides."""
        return bool(self._state[index, LIVE])

    def convert(self, rows: Rows) -> RowBlock:
        """Return the stream's rows.

        Raises:
            NotImplementedError: With the place of a row of a single order, which has no form in the stream.
        """
        rows = rows.take(rows.flags & np.uint8(AT_LOCAL) != 0)
        columns = (
            rows.flags, rows.instrument.astype(np.int64), rows.price_ticks, rows.qty_lots, rows.id,
            rows.exchange_time_ns, rows.local_time_ns,
        )  # fmt: skip
        out = np.empty((COLUMNS, MOST_PER_ROW * len(rows)), np.int64)
        parts: list[RowBlock] = []
        count = np.zeros(1, np.int64)
        start = 0
        while True:
            ladders = self._ladders
            at = convert(start, *columns, self._state, ladders.prices, ladders.lots, ladders.meta, out, count)
            if at == DONE:
                break
            if at >= _FULL:
                start = at - _FULL
                side = BIDS if int(rows.flags[start]) & BUYER else ASKS
                ladders.make_room(int(rows.instrument[start]), side)
                continue
            parts.append(RowBlock(np.ascontiguousarray(out[:, : count[0]])))
            cleared, start = self._clear(rows, int(at))
            parts.append(cleared)
            count[0] = 0
        parts.append(RowBlock(np.ascontiguousarray(out[:, : count[0]])))
        return parts[0] if len(parts) == 1 else RowBlock(np.concatenate([part.data for part in parts], axis=1))

    def _clear(self, rows: Rows, at: int) -> tuple[RowBlock, int]:
        """Return the rows that say that one side, or with the next row both, is empty, and the place behind."""
        if int(rows.kinds[at]) != CLEAR:
            raise NotImplementedError(at)
        index, buys = int(rows.instrument[at]), bool(rows.flags[at] & BUYER)
        line, book = self._state[index], self._books[index]
        line[DIRTY] = 1
        line[BOOK_TIME] = max(int(line[BOOK_TIME]), int(rows.exchange_time_ns[at]))
        tail = (int(rows.id[at]), int(rows.exchange_time_ns[at]), int(rows.local_time_ns[at]))
        following = at + 1
        is_whole = (
            following < len(rows)
            and int(rows.kinds[following]) == CLEAR
            and int(rows.instrument[following]) == index
            and bool(rows.flags[following] & BUYER) != buys
            and int(rows.local_time_ns[following]) == tail[2]
        )
        if is_whole:
            book.clear()
            line[BOOK_ID] = 0  # ids may begin anew
            return _block([(int(RowKind.BOOK_CLEAR), index, LAST_FLAG, 0, 0, *tail)]), at + 2
        side, flag = (Side.BUY, BUY_FLAG) if buys else (Side.SELL, SELL_FLAG)
        levels = [price for price, _ in book.top(side, len(book.bids if buys else book.asks))]
        for price in levels:
            book.set_level(flag, price, 0)
        kind = int(RowKind.BOOK_LEVEL)
        return _block([(kind, index, flag | LAST_FLAG, price, 0, *tail) for price in levels]), following


def _block(rows: list[tuple[int, ...]]) -> RowBlock:
    return RowBlock(np.array(rows, np.int64).reshape(len(rows), COLUMNS).T.copy())
