"""Where our orders belong to several accounts, they meet each other: what is on offer, and one sweep through it.

A price's offer is what the background still shows there and our orders that rest there, each in its turn: our oldest
order comes after what is ahead of it. Prices are ladder indices; 0 and TOP mean that there is none.
"""

from __future__ import annotations

import math
from typing import Final

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import available, level_far_above, level_far_below
from tradebot.sim.kernels.impact import eat
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, Words, bytes_at, floats_at, words, words_at
from tradebot.sim.kernels.orders import fill, fill_shown, leave, respond

NOBODY: Final = -1
"""Instead of a slot: the rest of the world takes."""
ENDED: Final = -1
"""Answer of a sweep after which the incoming order is no more though lots are left."""


@compiled
def best_background(w: Words, side: int) -> int:
    """Return the best price of `side` at which the background has anything left to take."""
    index = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    if w[at.IMPACT]:
        while 0 < index < w[at.TOP] and available(w, side, index) == 0:
            index = next_level(w, side, index)
    return index


@compiled
def left_at(w: Words, side: int, index: int) -> int:
    """Return the background's lots that can be taken at a price: none of a level that a crossing hid."""
    best = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    return available(w, side, index) if (best - index) * side >= 0 else 0


@compiled
def next_level(w: Words, side: int, index: int) -> int:
    """Return the next worse displayed price."""
    if side > 0:
        return level_far_below(words_at(w[at.BIDS]), bytes_at(w[at.USED]), index)
    return level_far_above(words_at(w[at.ASKS]), bytes_at(w[at.USED + 1]), index, w[at.TOP])


@compiled
def best_offer(w: Words, side: int) -> int:
    """Return the best price of `side` with anything to take."""
    if not w[at.MEETING]:
        return w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    index = best_background(w, side)
    return max(index, w[at.MY_BID]) if side > 0 else min(index, w[at.MY_ASK])


@compiled
def next_offer(w: Words, side: int, beyond: int) -> int:
    """Return the best price of `side` with anything to take that is worse than `beyond`."""
    index = w[at.BEST_BID] if side > 0 else w[at.BEST_ASK]
    if (beyond - index) * side <= 0:  # a level better than the best is one that a crossing hid
        index = next_level(w, side, beyond)
    while 0 < index < w[at.TOP] and available(w, side, index) == 0:
        index = next_level(w, side, index)
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        price = orders[order + at.X_PRICE]
        if orders[order + at.SIDE] == side and (beyond - price) * side > 0 and (price - index) * side > 0:
            index = price
    return index


@compiled
def offered_at(w: Words, side: int, index: int) -> int:
    """Return the lots that can be taken at a price, ours included."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    total = left_at(w, side, index)
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        if orders[order + at.X_PRICE] == index and orders[order + at.SIDE] == side:
            total += orders[order + at.X_LEAVES]
    return total


@compiled
def offered(w: Words, side: int, last: int) -> int:
    """Return the lots that an order of `side` could take up to ladder index `last`."""
    index = best_offer(w, -side)
    total = 0
    while (last - index) * side >= 0 and 0 < index < w[at.TOP]:
        total += offered_at(w, -side, index)
        index = next_offer(w, -side, index)
    return total


@compiled
def cost_of(w: Words, side: int, qty: int) -> int:
    """Return the tick-lots that taking up to `qty` lots would cost or bring."""
    index = best_offer(w, -side)
    total = 0
    while qty > 0 and 0 < index < w[at.TOP]:
        part = min(qty, offered_at(w, -side, index))
        total += part * (index + w[at.BASE])
        qty -= part
        index = next_offer(w, -side, index)
    return total


@compiled
def lots_for(w: Words, side: int, tick_lots: int) -> int:
    """Return the whole lots that could be taken for a value."""
    index = best_offer(w, -side)
    lots = 0
    while 0 < index < w[at.TOP]:
        price = index + w[at.BASE]
        there = offered_at(w, -side, index)
        part = min(there, tick_lots // price)
        lots += part
        tick_lots -= part * price
        if part < there:
            break
        index = next_offer(w, -side, index)
    return lots


@compiled
def oldest_at(w: Words, side: int, index: int) -> int:
    """Return the slot of our oldest order at a price, NOBODY for none."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        if orders[order + at.X_PRICE] == index and orders[order + at.SIDE] == side:
            return live[place]
    return NOBODY


@compiled
def prevented(market: Handle, slot: int, maker: int, time_ns: int) -> bool:
    """Self-trade prevention at the moment of the match; True when the two of them do not trade."""
    orders = words_at(words(market)[at.ORDERS])
    order = slot * at.ORDER_WORDS
    mode = orders[order + at.PREVENTION]
    if mode == 0 or orders[order + at.ACCOUNT] != orders[maker * at.ORDER_WORDS + at.ACCOUNT]:
        return False
    if mode & at.EXPIRE_MAKER:
        leave(market, maker)
        respond(market, maker, at.EXPIRED, 0, 0, at.SELF_TRADE_MET, time_ns)
    if mode & at.EXPIRE_TAKER:
        respond(market, slot, at.EXPIRED, 0, 0, at.SELF_TRADE_MET, time_ns)
    return True


@compiled
def sweep(market: Handle, slot: int, side: int, qty: int, last: int, time_ns: int) -> int:
    """Let an order, or NOBODY, take up to `qty` lots up to ladder index `last`; return the lots left, or ENDED.

    Without impact a level stays as it is: it is taken whole, before ours at its price, and then left behind.
    """
    w = words(market)
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    taken = 0
    while qty > 0:
        index = next_offer(w, -side, taken) if taken else best_offer(w, -side)
        if index <= 0 or index >= w[at.TOP] or (last - index) * side < 0:
            return qty
        price = index + w[at.BASE]
        part = left_at(w, -side, index)
        maker = oldest_at(w, -side, index)
        if part > 0 and not w[at.IMPACT]:
            maker = NOBODY
            taken = index
        if maker != NOBODY:
            ahead = min(part, math.ceil(queue[maker * at.ORDER_WORDS + at.F_AHEAD]))
            if ahead > 0:
                part = ahead
                maker = NOBODY
            else:
                there = maker * at.ORDER_WORDS
                part = min(orders[there + at.X_SHOWN], orders[there + at.X_LEAVES])
        if maker != NOBODY and slot != NOBODY and prevented(market, slot, maker, time_ns):
            if orders[order + at.PREVENTION] & at.EXPIRE_TAKER:
                return ENDED
            continue
        part = min(part, qty)
        if slot != NOBODY and orders[order + at.BUDGET] != at.NO_BUDGET:
            part = min(part, orders[order + at.BUDGET] // price)
            if part == 0:
                respond(market, slot, at.EXPIRED, 0, 0, at.BUDGET_SPENT, time_ns)
                return ENDED
            orders[order + at.BUDGET] -= part * price
        respond(market, w[at.MAX_ORDERS], at.PRINTED, price, part, side, time_ns)
        if w[at.IMPACT] == at.BOOK_IS_OURS:
            w[at.LAST_TRADE] = index
        if maker == NOBODY:
            eat(w, -side, index, part)
        else:
            fill_shown(market, maker, part, time_ns)
        if slot != NOBODY:
            fill(market, slot, price, part, 0, time_ns)
        qty -= part
    return 0
