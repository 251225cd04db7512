"""A venue driven from outside, call by call: rows and requests happen at once, reports wait in the response ring.

The strategy's side, latencies and the clock are not used. Our orders are several accounts' and meet each other
(`meeting`); a trigger that is reached waits for `fire`, because who placed it answers for its funds first. The caller
keeps the ladder wide enough (`inside`) for every price it brings, and empties the ring after each call. What it calls
per order or row takes a market's address: numba works out the type of a plain integer in C, of a Handle in Python.

Rows are those of `tradebot.core.row_block`. The best bid and offer stream is believed over an older book event.
"""

from __future__ import annotations

from typing import Final

from tradebot.core.columns import Int64s
from tradebot.core.market import BUY_FLAG, SIDE_MASK, BookState, RowKind
from tradebot.core.row_block import ID, INSTRUMENT, KIND, PRICE, QTY, RECEIVE_TIME, SIDE_FLAGS
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import clear_ladder, put_level
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.matching import level_changed, touch_reached, traded
from tradebot.sim.kernels.meeting import NOBODY, best_offer, next_level, next_offer, offered_at, sweep
from tradebot.sim.kernels.memory import Handle, Words, bytes_at, handle_at, words, words_at
from tradebot.sim.kernels.requests import accept, enter, set_terms
from tradebot.sim.kernels.requests import withdraw as take_out
from tradebot.sim.kernels.stops import stop_waiting

TRADE: Final = int(RowKind.TRADE)
BBO: Final = int(RowKind.BBO)
BOOK_STATE: Final = int(RowKind.BOOK_STATE)
BOOK_LEVEL: Final = int(RowKind.BOOK_LEVEL)
SNAPSHOT_LEVEL: Final = int(RowKind.SNAPSHOT_LEVEL)
BOOK_CLEAR: Final = int(RowKind.BOOK_CLEAR)
MARK_PRICE: Final = int(RowKind.MARK_PRICE)
FUNDING_RATE: Final = int(RowKind.FUNDING_RATE)
LIVE: Final = int(BookState.LIVE)
BUY: Final = BUY_FLAG
SIDES: Final = SIDE_MASK

# --- requests -------------------------------------------------------------------------------------------------------


@compiled
def place(
    address: int,
    slot: int,
    order_id: int,
    side: int,
    price: int,
    qty: int,
    kind: int,
    trigger: int,
    account: int,
    prevention: int,
    budget: int,
    time_ns: int,
) -> None:
    """Let an order arrive. `slot` is a free one, `budget` the tick-lots that it may spend or NO_BUDGET."""
    market = handle_at(address)
    w = words(market)
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    order[at.ID] = order_id
    order[at.SIDE] = side
    order[at.PRICE] = price
    order[at.QTY] = qty
    order[at.KIND] = kind
    order[at.TRIGGER] = trigger
    order[at.DISPLAY] = 0
    order[at.ACCOUNT] = account
    order[at.PREVENTION] = prevention
    order[at.BUDGET] = budget
    order[at.EXPIRES] = 0
    order[at.X_WAITING] = 0
    order[at.X_PLACE] = -1
    set_terms(w, slot, price, qty)
    accept(market, slot, time_ns)


@compiled
def withdraw(address: int, slot: int) -> None:
    """Take an order out of the book, or off the list of those that wait."""
    take_out(handle_at(address), slot)


@compiled
def fire(address: int, slot: int, budget: int, time_ns: int) -> None:
    """Send an order whose trigger was reached on to the book."""
    market = handle_at(address)
    w = words(market)
    words_at(w[at.ORDERS])[slot * at.ORDER_WORDS + at.BUDGET] = budget
    stop_waiting(w, slot)
    enter(market, slot, time_ns)


@compiled
def take_from_book(market: Handle, side: int, qty: int, price: int, time_ns: int) -> int:
    """Let the rest of the world take up to `qty` lots within `price` ticks (0: any price); return what is left."""
    w = words(market)
    last = price - w[at.BASE]
    if price == 0:
        last = w[at.TOP] - 1 if side > 0 else 1
    return sweep(market, NOBODY, side, qty, last, time_ns)


# --- the background -------------------------------------------------------------------------------------------------


@compiled
def inside(w: Words, price: int) -> bool:
    """True when the ladder has a place for a price."""
    return w[at.BASE] < price < w[at.BASE] + w[at.TOP]


@compiled
def change_level(market: Handle, side: int, index: int, qty: int) -> None:
    """Set a displayed level and move the queues there."""
    w = words(market)
    word = put_level(w, at.BIDS, at.USED, side, index, qty)
    if word & 1:
        level_changed(market, side, index, word >> 1, qty)


@compiled
def meet_touch(market: Handle, side: int, time_ns: int) -> None:
    """Fill our orders that the best price of `side` has reached."""
    w = words(market)
    if side > 0:
        if w[at.BEST_BID] >= w[at.MY_ASK]:
            touch_reached(market, -1, w[at.BEST_BID], time_ns)
    elif w[at.BEST_ASK] <= w[at.MY_BID]:
        touch_reached(market, 1, w[at.BEST_ASK], time_ns)


@compiled
def clear(market: Handle) -> None:
    """Forget both sides. Our orders keep what they know of their queue.

    What was eaten keeps its mark, so the first word about its level ends it (`impact`); an empty level offers nothing.
    """
    w = words(market)
    for number in range(2):
        clear_ladder(words_at(w[at.BIDS + number]), bytes_at(w[at.USED + number]), w[at.TOP])
    w[at.BEST_BID] = 0
    w[at.BEST_ASK] = w[at.TOP]
    w[at.BBO_ID] = 0


@compiled
def set_touch(market: Handle, side: int, index: int, qty: int) -> None:
    """Apply one side of a best bid or offer: this level has `qty`, better ones are gone."""
    w = words(market)
    ladder = words_at(w[at.BIDS] if side > 0 else w[at.ASKS])
    if ladder[index] >> 1 != qty:
        change_level(market, side, index, qty)
    elif qty > 0:  # as it was, though a crossing may have hidden it
        put_level(w, at.BIDS, at.USED, side, index, qty)
    best = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    while (best - index) * side > 0 and 0 < best < w[at.TOP]:
        change_level(market, side, best, 0)
        best = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]


@compiled
def is_old(w: Words, side: int, index: int, row_id: int) -> bool:
    """True for a book event that a newer best bid or offer contradicts."""
    best = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    return row_id < w[at.BBO_ID] and 0 < best < w[at.TOP] and (index - best) * side >= 0


@compiled
def apply_row(address: int, kind: int, flags: int, price: int, qty: int, row_id: int, time_ns: int) -> None:
    """Let one row happen; its price is inside the ladder."""
    market = handle_at(address)
    w = words(market)
    side = 1 if flags & SIDES == BUY else -1
    index = price - w[at.BASE]
    if kind == TRADE:
        if side > 0:
            if index >= w[at.MY_ASK]:
                traded(market, -1, index, qty, time_ns)
        elif index <= w[at.MY_BID]:
            traded(market, 1, index, qty, time_ns)
        w[at.LAST_TRADE] = index
    elif kind == BBO:
        w[at.BBO_ID] = row_id
        set_touch(market, side, index, qty)
        meet_touch(market, side, time_ns)
    elif kind in (BOOK_LEVEL, SNAPSHOT_LEVEL):
        if kind == SNAPSHOT_LEVEL or not is_old(w, side, index, row_id):
            change_level(market, side, index, qty)
            meet_touch(market, side, time_ns)
    elif kind == BOOK_CLEAR or (kind == BOOK_STATE and price != LIVE):
        clear(market)


@compiled
def has_price(kind: int) -> bool:
    """True for a row whose price has to be inside the ladder."""
    return kind in (TRADE, BBO, BOOK_LEVEL, SNAPSHOT_LEVEL)


@compiled
def may_concern_us(w: Words, kind: int, flags: int, index: int) -> bool:
    """True when a row could fill an order of ours or reach a trigger."""
    buying = flags & SIDES == BUY
    if kind == TRADE and (index >= w[at.STOP_ABOVE] or index <= w[at.STOP_BELOW]):
        return True
    if buying:
        return max(index, w[at.BEST_BID] if kind != TRADE else index) >= w[at.MY_ASK]
    return min(index, w[at.BEST_ASK] if kind != TRADE else index) <= w[at.MY_BID]


@compiled
def take_rows(data: Int64s, start: int, to_ns: int, markets: Int64s) -> int:
    """Apply rows of a block received up to `to_ns`; return the first one that was not applied.

    It stops before a row that could concern an order of ours, that changes a book's state, that moves a perpetual's
    margin or funding, or has no place in its market's ladder.

    Args:
        data: A row block.
        start: First row.
        to_ns: Receive time up to which to go.
        markets: Addresses of the markets' blocks.
    """
    rows = int(data.shape[1])
    for i in range(start, rows):
        if data[RECEIVE_TIME, i] > to_ns:
            return i
        kind = data[KIND, i]
        if kind in (BOOK_STATE, BOOK_CLEAR, MARK_PRICE, FUNDING_RATE):
            return i
        if not has_price(kind):
            continue
        number = data[INSTRUMENT, i]
        w = words(handle_at(markets[number]))
        price = data[PRICE, i]
        flags = data[SIDE_FLAGS, i]
        if not inside(w, price) or may_concern_us(w, kind, flags, price - w[at.BASE]):
            return i
        apply_row(markets[number], kind, flags, price, data[QTY, i], data[ID, i], data[RECEIVE_TIME, i])
    return rows


# --- what is there --------------------------------------------------------------------------------------------------


@compiled
def list_offers(w: Words, side: int, prices: Int64s, lots: Int64s) -> int:
    """Write what can be taken, ours included, best first; return how many prices."""
    index = best_offer(w, side)
    count = 0
    while count < len(prices) and 0 < index < w[at.TOP]:
        prices[count] = index + w[at.BASE]
        lots[count] = offered_at(w, side, index)
        count += 1
        index = next_offer(w, side, index)
    return count


@compiled
def displayed(w: Words, side: int, price: int) -> int:
    """Return the background's lots at a price in ticks."""
    return words_at(w[at.BIDS] if side > 0 else w[at.ASKS])[price - w[at.BASE]] >> 1


@compiled
def list_levels(w: Words, side: int, prices: Int64s, lots: Int64s) -> int:
    """Write the background as displayed, best first; return how many prices."""
    ladder = words_at(w[at.BIDS] if side > 0 else w[at.ASKS])
    index = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    count = 0
    while count < len(prices) and 0 < index < w[at.TOP]:
        prices[count] = index + w[at.BASE]
        lots[count] = ladder[index] >> 1
        count += 1
        index = next_level(w, side, index)
    return count
