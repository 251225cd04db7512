"""The strategy's side: rows it has received, responses it has received, what it believes about its orders."""

from __future__ import annotations

from tradebot.core import columns
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import clear_ladder, put_level
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.logs import log_answer
from tradebot.sim.kernels.memory import Handle, Words, bytes_at, floats_at, words, words_at

KIND_MASK = columns.KIND_MASK
LEVEL = columns.LEVEL
CLEAR = columns.CLEAR
BUYER = columns.BUYER
AT_LOCAL = columns.AT_LOCAL
STRIDE = 16
"""Rows looked over at once while catching up."""


@compiled
def apply_locally(w: Words, row: int) -> None:
    """Apply one received row to the strategy's own book (feeds whose clocks saw different orders)."""
    flag = bytes_at(w[at.FLAGS])[row]
    kind = flag & KIND_MASK
    if kind == LEVEL:
        price = words_at(w[at.PRICES])[row] - w[at.BASE]
        side = 1 if flag & BUYER else -1
        put_level(w, at.LOCAL_BIDS, at.USED + 2, side, price, words_at(w[at.QTYS])[row])
    elif kind == CLEAR:
        if flag & BUYER:
            clear_ladder(words_at(w[at.LOCAL_BIDS]), bytes_at(w[at.USED + 2]), w[at.TOP])
            w[at.LOCAL_BEST_BID] = 0
        else:
            clear_ladder(words_at(w[at.LOCAL_ASKS]), bytes_at(w[at.USED + 3]), w[at.TOP])
            w[at.LOCAL_BEST_ASK] = w[at.TOP]


@compiled
def receive_rows(market: Handle, until_ns: int) -> None:
    """Receive every row up to and including `until_ns`."""
    w = words(market)
    times = words_at(w[at.LOCAL_TIMES])
    row = w[at.LOCAL_ROW]
    rows = w[at.ROWS]
    if w[at.ONE_ORDER]:
        # Local times never fall, so whole strides can be stepped over.
        while row + STRIDE < rows and times[row + STRIDE] <= until_ns:
            row += STRIDE
        while row < rows and times[row] <= until_ns:
            row += 1
    else:
        flags = bytes_at(w[at.FLAGS])
        while row < rows:
            if flags[row] & AT_LOCAL:
                if times[row] > until_ns:
                    break
                apply_locally(w, row)
            row += 1
    w[at.LOCAL_ROW] = row


@compiled
def touch(w: Words) -> int:
    """Return the packed touch after the last row the strategy received."""
    row = w[at.LOCAL_ROW]
    if row == 0:
        return w[at.TOP]
    return words_at(w[at.TOUCHES])[(row - 1) & w[at.RING_MASK]]


@compiled
def seen_bid(w: Words) -> int:
    """Return the best bid that the strategy has received, NO_PRICE when there is none."""
    index = touch(w) >> 32 if w[at.ONE_ORDER] else w[at.LOCAL_BEST_BID]
    return index + w[at.BASE] if index > 0 else at.NO_PRICE


@compiled
def seen_ask(w: Words) -> int:
    """Return the best ask that the strategy has received, NO_PRICE when there is none."""
    index = touch(w) & 0xFFFFFFFF if w[at.ONE_ORDER] else w[at.LOCAL_BEST_ASK]
    return index + w[at.BASE] if index < w[at.TOP] else at.NO_PRICE


@compiled
def next_row_time(market: Handle) -> int:
    """Return when the next row reaches the strategy, NEVER after the last one."""
    w = words(market)
    times = words_at(w[at.LOCAL_TIMES])
    row = w[at.LOCAL_ROW]
    if not w[at.ONE_ORDER]:
        flags = bytes_at(w[at.FLAGS])
        while row < w[at.ROWS] and not flags[row] & AT_LOCAL:
            row += 1
        w[at.LOCAL_ROW] = row
    return times[row] if row < w[at.ROWS] else at.NEVER


@compiled
def book_fill(w: Words, side: int, price: int, qty: int, maker: int) -> None:
    """Add one fill to the strategy's account; `maker` is the message's word, with the fee tier."""
    value = price * qty
    w[at.POSITION] += side * qty
    w[at.VALUE] += side * value
    words_at(w[at.VALUES])[maker] += value
    if maker & 1:
        w[at.MAKER_VALUE] += value
    else:
        w[at.TAKER_VALUE] += value
    if w[at.INVERSE]:
        contracts = float(qty) / float(price)
        sums = floats_at(w[at.INVERSE_VALUES])
        sums[maker] += contracts
        sums[2 * w[at.FEE_TIERS]] += side * contracts
    w[at.FILLS] += 1
    w[at.FILLED_QTY] += qty
    if w[at.MAKER_VALUE] + w[at.TAKER_VALUE] > at.VALUE_BOUND:
        w[at.ERROR] = at.ERROR_VALUE


@compiled
def apply_response(market: Handle, message: Words) -> None:
    """Let one response change what the strategy knows."""
    w = words(market)
    slot = message[at.M_SLOT]
    kind = message[at.M_KIND]
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    qty = message[at.M_QTY]
    if qty > 0:
        book_fill(w, order[at.SIDE], message[at.M_PRICE], qty, message[at.M_MAKER])
    if order[at.ID] != message[at.M_ID]:
        return  # a refusal for an order that was cleared meanwhile; fills come before that
    log_answer(w, order[at.ID], message, order[at.REQUEST])
    if w[at.AWAITED] == order[at.ID]:
        w[at.AWAITED] = 0
    if kind in (at.CANCEL_REFUSED, at.MODIFY_REFUSED):
        order[at.REQUEST] = at.NO_REQUEST
        return
    order[at.STATUS] = kind
    order[at.LEAVES] = message[at.M_LEAVES]
    if qty > 0:
        order[at.LAST_PRICE] = message[at.M_PRICE]
        order[at.LAST_QTY] = qty
    if kind == at.NEW:
        order[at.PRICE] = message[at.M_PRICE]
    # A partial fill of a resting order says nothing about the cancellation that is under way.
    if kind != at.PARTIALLY_FILLED or order[at.REQUEST] == at.REQUEST_NEW:
        order[at.REQUEST] = at.NO_REQUEST


@compiled
def receive_responses(market: Handle, until_ns: int) -> int:
    """Apply every response up to and including `until_ns`; return how many."""
    w = words(market)
    head = w[at.RESPONSE_HEAD]
    mask = w[at.RESPONSE_MASK]
    first = head
    while head < w[at.RESPONSE_TAIL]:
        message = words_at(w[at.RESPONSES] + 8 * (head & mask) * at.MESSAGE_WORDS)
        if message[at.M_TIME] > until_ns:
            break
        head += 1
        apply_response(market, message)
    w[at.RESPONSE_HEAD] = head
    return head - first
