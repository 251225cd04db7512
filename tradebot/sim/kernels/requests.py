"""What happens when a request reaches the exchange: a new order, a cancellation, a modification.

Without partial fills an order that takes liquidity is done in full at the best price, whatever is displayed there; with
them it walks the levels. Displayed liquidity is consumed only with the impact option: history does not know us.
"""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import available
from tradebot.sim.kernels.expiry import is_over, watch
from tradebot.sim.kernels.impact import eat
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.logs import log_arrival
from tradebot.sim.kernels.meeting import best_offer, offered, sweep
from tradebot.sim.kernels.memory import Handle, Words, floats, words, words_at
from tradebot.sim.kernels.orders import fill, leave, reducible, respond, rest, trim_reduce_only
from tradebot.sim.kernels.perpetual import lacks_margin
from tradebot.sim.kernels.stops import is_triggered, stop_waiting, wait


@compiled
def ladder_index(w: Words, price: int) -> int:
    """Return a price's ladder index, kept inside the walls; data never comes near those."""
    return min(max(price - w[at.BASE], 1), w[at.TOP] - 1)


@compiled
def offered_up_to(w: Words, side: int, last: int) -> int:
    """Return the lots an order of `side` could take from the best price to ladder index `last`."""
    if w[at.MEETING]:
        return offered(w, side, last)
    index = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
    total = 0
    while (last - index) * side >= 0 and 0 < index < w[at.TOP]:
        total += available(w, -side, index)
        index += side
    return total


@compiled
def walk(market: Handle, slot: int, last: int, time_ns: int) -> bool:
    """Take level by level up to ladder index `last`; True when the order ended on the way though lots are left."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    side = orders[order + at.SIDE]
    if w[at.MEETING]:
        return sweep(market, slot, side, orders[order + at.X_LEAVES], last, time_ns) < 0
    index = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
    while (last - index) * side >= 0 and 0 < index < w[at.TOP] and orders[order + at.X_LEAVES] > 0:
        done = min(available(w, -side, index), orders[order + at.X_LEAVES])
        if done > 0:
            fill(market, slot, index + w[at.BASE], done, 0, time_ns)
            eat(w, -side, index, done)
        index += side
    return False


@compiled
def fill_at(market: Handle, slot: int, price: int, time_ns: int) -> None:
    """Do all that is left of an order at one price in ticks, whatever is displayed there."""
    w = words(market)
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    qty = order[at.X_LEAVES]
    if w[at.MEETING]:
        if order[at.BUDGET] != at.NO_BUDGET and qty * price > order[at.BUDGET]:
            respond(market, slot, at.EXPIRED, 0, 0, at.BUDGET_SPENT, time_ns)
            return
        respond(market, w[at.MAX_ORDERS], at.PRINTED, price, qty, order[at.SIDE], time_ns)
    fill(market, slot, price, qty, 0, time_ns)


@compiled
def take(market: Handle, slot: int, time_ns: int) -> None:
    """Trade an order that meets the other side."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    side = orders[order + at.SIDE]
    kind = orders[order + at.KIND] & at.TIME_IN_FORCE
    best = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
    last = orders[order + at.X_PRICE]
    if kind == at.MARKET:
        last = w[at.TOP] - 1 if side > 0 else 1
    if not w[at.PARTIAL_FILLS]:
        if 0 < best < w[at.TOP] and (last - best) * side >= 0:
            fill_at(market, slot, best + w[at.BASE], time_ns)
        else:  # it would have met nobody but ourselves
            respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        return
    if kind == at.FOK and offered_up_to(w, side, last) < orders[order + at.X_LEAVES]:
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        return
    if kind == at.GTC and w[at.IMPACT]:
        if not walk(market, slot, last, time_ns) and orders[order + at.X_LEAVES] > 0:
            rest(market, slot, time_ns)
            watch(w, order)
            respond(market, slot, at.NEW, orders[order + at.PRICE_AT_EXCHANGE], 0, 0, time_ns)
        return
    if kind == at.GTC:
        # What the better levels leave is done at the limit: a remainder cannot rest where history shows the other side.
        if not walk(market, slot, last - side, time_ns) and orders[order + at.X_LEAVES] > 0:
            fill_at(market, slot, orders[order + at.PRICE_AT_EXCHANGE], time_ns)
        return
    if not walk(market, slot, last, time_ns) and orders[order + at.X_LEAVES] > 0:
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)


@compiled
def would_take(w: Words, side: int, price: int) -> bool:
    """True when an order of `side` with a limit at ladder index `price` would trade at once."""
    best = best_offer(w, -side)
    return 0 < best < w[at.TOP] and (price - best) * side >= 0


@compiled
def meets_itself(market: Handle, slot: int, time_ns: int) -> bool:
    """Self-trade prevention; True when the incoming order ends here.

    Our own resting orders that its limit reaches (a market order: that the other side's best price reaches) are in its
    way. EXPIRE_MAKER cancels those, EXPIRE_TAKER ends the incoming order, EXPIRE_BOTH does both.
    """
    w = words(market)
    orders = words_at(w[at.ORDERS])
    live = words_at(w[at.LIVE])
    order = slot * at.ORDER_WORDS
    side = orders[order + at.SIDE]
    limit = orders[order + at.X_PRICE]
    if orders[order + at.KIND] & at.TIME_IN_FORCE == at.MARKET:
        limit = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
        if limit in (0, w[at.TOP]):
            return False  # nothing to trade with: it expires by itself
    met = False
    place = 0
    while place < w[at.LIVE_COUNT]:
        other = live[place]
        base = other * at.ORDER_WORDS
        if orders[base + at.SIDE] == -side and (limit - orders[base + at.X_PRICE]) * side >= 0:
            met = True
            if w[at.SELF_TRADE] & at.EXPIRE_MAKER:
                leave(market, other)
                respond(market, other, at.CANCELED, 0, 0, 0, time_ns)
                continue
        place += 1
    if met and w[at.SELF_TRADE] & at.EXPIRE_TAKER:
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        return True
    return False


@compiled
def enter(market: Handle, slot: int, time_ns: int) -> None:
    """A new order, one that was triggered, or a modified one that lost its place meets the book."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    kind = orders[order + at.KIND] & at.TIME_IN_FORCE
    price = orders[order + at.X_PRICE]
    most = reducible(w, order)
    if most == 0:
        respond(market, slot, at.REJECTED, 0, 0, 0, time_ns)
        return
    orders[order + at.X_LEAVES] = most
    if w[at.SELF_TRADE] and meets_itself(market, slot, time_ns):
        return
    side = orders[order + at.SIDE]
    if kind == at.MARKET:
        price = w[at.TOP] - 1 if side > 0 else 1
    takes = would_take(w, side, price)
    if takes and kind != at.POST_ONLY:
        take(market, slot, time_ns)
        trim_reduce_only(market, time_ns)
    elif takes or kind in (at.IOC, at.FOK, at.MARKET):
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
    else:
        rest(market, slot, time_ns)
        watch(w, order)
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
def too_small(w: Words, order: int, price: int, qty: int) -> bool:
    """True when these terms are below the venue's minima; a market order is valued at the price it would get."""
    orders = words_at(w[at.ORDERS])
    if orders[order + at.KIND] & at.TIME_IN_FORCE == at.MARKET:
        best = w[at.BEST_ASK] if orders[order + at.SIDE] > 0 else w[at.BEST_BID]
        price = at.NO_PRICE if best in (0, w[at.TOP]) else best + w[at.BASE]
    if qty < w[at.MIN_QTY]:
        return True
    return w[at.MIN_VALUE] > 0 and price != at.NO_PRICE and qty * price < w[at.MIN_VALUE]


@compiled
def fire(market: Handle, slot: int, time_ns: int) -> None:
    """A stop's trigger was reached. The margin is asked again: since it came, the position may have grown."""
    w = words(market)
    order = slot * at.ORDER_WORDS
    orders = words_at(w[at.ORDERS])
    stop_waiting(w, slot)
    if lacks_margin(w, floats(market), slot, orders[order + at.PRICE_AT_EXCHANGE], orders[order + at.X_LEAVES]):
        respond(market, slot, at.REJECTED, 0, 0, 0, time_ns)
        return
    enter(market, slot, time_ns)


@compiled
def accept(market: Handle, slot: int, time_ns: int) -> None:
    """A new order arrives: against the rules, waiting for its trigger, or straight into the book."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    kind = orders[order + at.KIND]
    if is_over(w, order, time_ns):
        respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        return
    price, qty = orders[order + at.PRICE_AT_EXCHANGE], orders[order + at.X_LEAVES]
    if too_small(w, order, price, qty) or lacks_margin(w, floats(market), slot, price, qty):
        respond(market, slot, at.REJECTED, 0, 0, 0, time_ns)
        return
    if kind & at.REDUCE_ONLY:
        w[at.USES_REDUCE_ONLY] = 1
    if kind & at.TRIGGERED and (w[at.LAST_TRADE] < 0 or not is_triggered(w, order, w[at.LAST_TRADE])):
        wait(w, slot)
        watch(w, order)
        respond(market, slot, at.NEW, orders[order + at.PRICE_AT_EXCHANGE], 0, 0, time_ns)
        return
    enter(market, slot, time_ns)


@compiled
def modify(market: Handle, slot: int, price: int, qty: int, time_ns: int) -> None:
    """Give an order a new price and open quantity; only a smaller quantity at the same price keeps its place."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    is_smaller = orders[order + at.PRICE_AT_EXCHANGE] == price and qty <= orders[order + at.X_LEAVES]
    if too_small(w, order, price, qty) or (not is_smaller and lacks_margin(w, floats(market), slot, price, qty)):
        respond(market, slot, at.MODIFY_REFUSED, 0, 0, 0, time_ns)
        return
    if orders[order + at.X_WAITING]:
        set_terms(w, slot, price, qty)
        respond(market, slot, at.NEW, price, 0, 0, time_ns)
        return
    if is_smaller:
        orders[order + at.X_LEAVES] = qty
        orders[order + at.X_SHOWN] = min(orders[order + at.X_SHOWN], qty)
        respond(market, slot, at.NEW, price, 0, 0, time_ns)
        return
    leave(market, slot)
    set_terms(w, slot, price, qty)
    enter(market, slot, time_ns)


@compiled
def withdraw(market: Handle, slot: int) -> None:
    """Take an order out of the book, or off the list of those that wait."""
    w = words(market)
    if words_at(w[at.ORDERS])[slot * at.ORDER_WORDS + at.X_WAITING]:
        stop_waiting(w, slot)
    else:
        leave(market, slot)


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
        log_arrival(w, slot, time_ns)
        accept(market, slot, time_ns)
        return
    if orders[order + at.ID] != request[at.M_ID]:
        return  # done and cleared long ago; nobody is waiting for an answer
    if orders[order + at.X_PLACE] < 0 and not orders[order + at.X_WAITING]:
        refused = at.CANCEL_REFUSED if kind == at.REQUEST_CANCEL else at.MODIFY_REFUSED
        respond(market, slot, refused, 0, 0, 0, time_ns)
    elif kind == at.REQUEST_CANCEL:
        withdraw(market, slot)
        respond(market, slot, at.CANCELED, 0, 0, 0, time_ns)
    else:
        modify(market, slot, request[at.M_PRICE], request[at.M_QTY], time_ns)
