"""Our orders at the exchange: resting, leaving, filling; and the messages about it.

`LIVE` lists the slots that rest. A ladder's mark bit says whether any of them stands at a price, and MY_BID / MY_ASK
are their best prices: the pass over rows needs no more than those to know that a row does not concern us.
"""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import available
from tradebot.sim.kernels.fees import choose_tier, count_volume
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.latency import response_time
from tradebot.sim.kernels.logs import log_fill, log_rest
from tradebot.sim.kernels.memory import Handle, Words, floats, floats_at, words, words_at


@compiled
def respond(market: Handle, slot: int, kind: int, price: int, qty: int, maker: int, time_ns: int) -> None:
    """Send the strategy one message about what happens to an order now."""
    respond_at(market, slot, kind, price, qty, maker, response_time(market, time_ns))


@compiled
def respond_at(market: Handle, slot: int, kind: int, price: int, qty: int, maker: int, arrival: int) -> None:
    """Send one message that arrives at a given time. Messages never overtake each other."""
    w = words(market)
    tail = w[at.RESPONSE_TAIL]
    head = w[at.RESPONSE_HEAD]
    mask = w[at.RESPONSE_MASK]
    if tail - head > mask:
        w[at.ERROR] = at.ERROR_RESPONSES
        return
    ring = words_at(w[at.RESPONSES])
    if tail > head:
        arrival = max(arrival, ring[((tail - 1) & mask) * at.MESSAGE_WORDS + at.M_TIME])
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    message = (tail & mask) * at.MESSAGE_WORDS
    ring[message + at.M_TIME] = arrival
    ring[message + at.M_SLOT] = slot
    ring[message + at.M_KIND] = kind
    ring[message + at.M_ID] = order[at.ID]
    ring[message + at.M_PRICE] = price
    ring[message + at.M_QTY] = qty
    ring[message + at.M_LEAVES] = order[at.X_LEAVES]
    ring[message + at.M_MAKER] = maker
    w[at.RESPONSE_TAIL] = tail + 1


@compiled
def refresh_best(w: Words) -> None:
    """Find our best resting prices again."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    bid = -1
    ask = w[at.TOP] + 1
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        price = orders[order + at.X_PRICE]
        if orders[order + at.SIDE] > 0:
            bid = max(bid, price)
        else:
            ask = min(ask, price)
    w[at.MY_BID] = bid
    w[at.MY_ASK] = ask


@compiled
def show(w: Words, order: int) -> None:
    """Let the next part of an iceberg stand in the queue; all of any other order."""
    orders = words_at(w[at.ORDERS])
    leaves = orders[order + at.X_LEAVES]
    display = orders[order + at.DISPLAY]
    orders[order + at.X_SHOWN] = min(display, leaves) if display > 0 else leaves


@compiled
def rest(market: Handle, slot: int, time_ns: int) -> None:
    """Put an order at the end of the queue at its price."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    price = orders[order + at.X_PRICE]
    buying = orders[order + at.SIDE] > 0
    ladder = words_at(w[at.BIDS] if buying else w[at.ASKS])
    queue = floats_at(w[at.ORDERS])
    queue[order + at.F_AHEAD] = float(available(w, orders[order + at.SIDE], price))
    queue[order + at.F_TRADED] = 0.0
    ladder[price] |= 1
    show(w, order)
    place = w[at.LIVE_COUNT]
    words_at(w[at.LIVE])[place] = slot
    w[at.LIVE_COUNT] = place + 1
    orders[order + at.X_PLACE] = place
    orders[order + at.X_SINCE] = time_ns
    w[at.ARRIVALS] += 1
    orders[order + at.ARRIVED] = w[at.ARRIVALS]
    orders[order + at.X_RANK] = w[at.ROW]
    log_rest(w, slot)
    if buying:
        w[at.MY_BID] = max(w[at.MY_BID], price)
    else:
        w[at.MY_ASK] = min(w[at.MY_ASK], price)


@compiled
def leave(market: Handle, slot: int) -> None:
    """Take an order out of the book."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    live = words_at(w[at.LIVE])
    order = slot * at.ORDER_WORDS
    place = orders[order + at.X_PLACE]
    last = w[at.LIVE_COUNT] - 1
    for following in range(place, last):  # the others keep their order: whoever came first is served first
        moved = live[following + 1]
        live[following] = moved
        orders[moved * at.ORDER_WORDS + at.X_PLACE] = following
    orders[order + at.X_PLACE] = -1
    w[at.LIVE_COUNT] = last
    price = orders[order + at.X_PRICE]
    side = orders[order + at.SIDE]
    for other in range(last):
        base = live[other] * at.ORDER_WORDS
        if orders[base + at.X_PRICE] == price and orders[base + at.SIDE] == side:
            return
    if not w[at.IMPACT] or words_at(w[at.EATEN] if side > 0 else w[at.EATEN + 1])[price] == 0:
        ladder = words_at(w[at.BIDS] if side > 0 else w[at.ASKS])
        ladder[price] &= -2
    if price == w[at.MY_BID] or price == w[at.MY_ASK]:
        refresh_best(w)


@compiled
def fill(market: Handle, slot: int, price: int, qty: int, maker: int, time_ns: int) -> None:
    """Trade `qty` lots of an order at `price` (ticks); a resting order that is done leaves the book."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    leaves = orders[order + at.X_LEAVES] - qty
    orders[order + at.X_LEAVES] = leaves
    side = orders[order + at.SIDE]
    w[at.X_POSITION] += side * qty
    w[at.X_VALUE] += side * qty * price
    f = floats(market)
    if w[at.FEE_TIERS] > 1:
        choose_tier(w, f, time_ns)
        count_volume(w, f, price, qty)
    rate = f[at.F_MAKER_FEE] if maker else f[at.F_TAKER_FEE]
    if w[at.INVERSE]:
        f[at.F_X_INVERSE] += side * (float(qty) / float(price))
        f[at.F_X_FEES] += rate * (float(qty) / float(price))
    else:
        f[at.F_X_FEES] += rate * (float(qty) * float(price))
    tier = 2 * w[at.TIER]
    respond(market, slot, at.PARTIALLY_FILLED if leaves > 0 else at.FILLED, price, qty, maker + tier, time_ns)
    log_fill(w, slot, price, qty, maker, time_ns)
    if leaves == 0 and orders[order + at.X_PLACE] >= 0:
        leave(market, slot)


@compiled
def reducible(w: Words, order: int) -> int:
    """Return the lots an order may still trade: a reduce-only order no more than the position it reduces."""
    orders = words_at(w[at.ORDERS])
    leaves = orders[order + at.X_LEAVES]
    if orders[order + at.KIND] & at.REDUCE_ONLY:
        return min(leaves, max(-w[at.X_POSITION] * orders[order + at.SIDE], 0))
    return leaves


@compiled
def fill_resting(market: Handle, slot: int, most: int, time_ns: int) -> int:
    """Fill a resting order as maker with at most `most` lots; return how many."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    done = min(most, reducible(w, order))
    if done > 0:
        fill(market, slot, orders[order + at.PRICE_AT_EXCHANGE], done, 1, time_ns)
    return done


@compiled
def fill_shown(market: Handle, slot: int, most: int, time_ns: int) -> int:
    """Fill the part that stands in the queue; an iceberg's next part goes to the end of it. Returns the lots done."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    done = fill_resting(market, slot, min(most, orders[order + at.X_SHOWN]), time_ns)
    orders[order + at.X_SHOWN] -= done
    if done > 0 and orders[order + at.X_SHOWN] == 0 and orders[order + at.X_LEAVES] > 0:
        show(w, order)
        queue = floats_at(w[at.ORDERS])
        queue[order + at.F_AHEAD] = float(available(w, orders[order + at.SIDE], orders[order + at.X_PRICE]))
        queue[order + at.F_TRADED] = 0.0
        orders[order + at.X_RANK] = w[at.ROW]
    return done


@compiled
def trim_reduce_only(market: Handle, time_ns: int) -> None:
    """After fills: reduce-only orders larger than the position shrink, those without one are canceled."""
    w = words(market)
    if not w[at.USES_REDUCE_ONLY]:
        return
    orders = words_at(w[at.ORDERS])
    live = words_at(w[at.LIVE])
    place = 0
    while place < w[at.LIVE_COUNT]:
        slot = live[place]
        order = slot * at.ORDER_WORDS
        most = reducible(w, order)
        if most == 0:
            leave(market, slot)
            respond(market, slot, at.CANCELED, 0, 0, 0, time_ns)
        else:
            orders[order + at.X_LEAVES] = most
            orders[order + at.X_SHOWN] = min(orders[order + at.X_SHOWN], most)
            place += 1
