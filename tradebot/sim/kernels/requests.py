"""What happens when a request reaches the exchange: a new order, a cancellation, a modification.

Without partial fills an order that takes liquidity is done in full at the best price, whatever is displayed there; with
them it walks the levels. Displayed liquidity is not consumed: history does not know us.
"""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, Words, words, words_at
from tradebot.sim.kernels.orders import fill, leave, respond, rest


@compiled
def ladder_index(w: Words, price: int) -> int:
    """Return a price's ladder index, kept inside the walls; data never comes near those."""
    return min(max(price - w[at.BASE], 1), w[at.TOP] - 1)


@compiled
def displayed_up_to(w: Words, side: int, last: int) -> int:
    """Return the lots an order of `side` could take from the best price to ladder index `last`."""
    ladder = words_at(w[at.ASKS] if side > 0 else w[at.BIDS])
    index = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
    total = 0
    while (last - index) * side >= 0 and 0 < index < w[at.TOP]:
        total += ladder[index] >> 1
        index += side
    return total


@compiled
def walk(market: Handle, slot: int, last: int, time_ns: int) -> None:
    """Take level by level up to ladder index `last`."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    side = orders[order + at.SIDE]
    ladder = words_at(w[at.ASKS] if side > 0 else w[at.BIDS])
    index = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
    while (last - index) * side >= 0 and 0 < index < w[at.TOP] and orders[order + at.X_LEAVES] > 0:
        displayed = ladder[index] >> 1
        if displayed > 0:
            fill(market, slot, index + w[at.BASE], min(displayed, orders[order + at.X_LEAVES]), 0, time_ns)
        index += side


@compiled
def take(market: Handle, slot: int, time_ns: int) -> None:
    """Trade an order that meets the other side."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    side = orders[order + at.SIDE]
    kind = orders[order + at.KIND]
    best = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
    if not w[at.PARTIAL_FILLS]:
        fill(market, slot, best + w[at.BASE], orders[order + at.X_LEAVES], 0, time_ns)
        return
    last = orders[order + at.X_PRICE]
    if kind == at.MARKET:
        last = w[at.TOP] - 1 if side > 0 else 1
    if kind == at.FOK and displayed_up_to(w, side, last) < orders[order + at.X_LEAVES]:
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        return
    if kind == at.GTC:
        # What the better levels leave is done at the limit: a remainder cannot rest where history shows the other side.
        walk(market, slot, last - side, time_ns)
        if orders[order + at.X_LEAVES] > 0:
            fill(market, slot, orders[order + at.PRICE_AT_EXCHANGE], orders[order + at.X_LEAVES], 0, time_ns)
        return
    walk(market, slot, last, time_ns)
    if orders[order + at.X_LEAVES] > 0:
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)


@compiled
def enter(market: Handle, slot: int, time_ns: int) -> None:
    """A new order, or a modified one that lost its place, meets the book."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    kind = orders[order + at.KIND]
    price = orders[order + at.X_PRICE]
    if orders[order + at.SIDE] > 0:
        empty = w[at.BEST_ASK] == w[at.TOP]
        takes = kind == at.MARKET or price >= w[at.BEST_ASK]
    else:
        empty = w[at.BEST_BID] == 0
        takes = kind == at.MARKET or price <= w[at.BEST_BID]
    if takes and not empty and kind != at.POST_ONLY:
        take(market, slot, time_ns)
    elif takes or kind in (at.IOC, at.FOK):
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
    else:
        rest(market, slot, time_ns)
        respond(market, slot, at.NEW, orders[order + at.PRICE_AT_EXCHANGE], 0, 0, time_ns)


@compiled
def set_terms(w: Words, slot: int, price: int, qty: int) -> None:
    """Give an order its price and quantity at the exchange."""
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    orders[order + at.X_PRICE] = ladder_index(w, price)
    orders[order + at.PRICE_AT_EXCHANGE] = price
    orders[order + at.X_LEAVES] = qty


@compiled
def modify(market: Handle, slot: int, price: int, qty: int, time_ns: int) -> None:
    """Give a resting order a new price and open quantity; only a smaller quantity at the same price keeps its place."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    if orders[order + at.PRICE_AT_EXCHANGE] == price and qty <= orders[order + at.X_LEAVES]:
        orders[order + at.X_LEAVES] = qty
        respond(market, slot, at.NEW, price, 0, 0, time_ns)
        return
    leave(market, slot)
    set_terms(w, slot, price, qty)
    enter(market, slot, time_ns)


@compiled
def arrive(market: Handle) -> None:
    """Process the first request under way."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    head = w[at.REQUEST_HEAD]
    request = words_at(w[at.REQUESTS] + 8 * (head & w[at.REQUEST_MASK]) * at.MESSAGE_WORDS)
    w[at.REQUEST_HEAD] = head + 1
    slot = request[at.M_SLOT]
    kind = request[at.M_KIND]
    time_ns = request[at.M_TIME]
    order = slot * at.ORDER_WORDS
    if kind == at.REQUEST_NEW:
        set_terms(w, slot, request[at.M_PRICE], request[at.M_QTY])
        enter(market, slot, time_ns)
        return
    if orders[order + at.ID] != request[at.M_ID]:
        return  # done and cleared long ago; nobody is waiting for an answer
    if orders[order + at.X_PLACE] < 0:
        refused = at.CANCEL_REFUSED if kind == at.REQUEST_CANCEL else at.MODIFY_REFUSED
        respond(market, slot, refused, 0, 0, 0, time_ns)
    elif kind == at.REQUEST_CANCEL:
        leave(market, slot)
        respond(market, slot, at.CANCELED, 0, 0, 0, time_ns)
    else:
        modify(market, slot, request[at.M_PRICE], request[at.M_QTY], time_ns)
