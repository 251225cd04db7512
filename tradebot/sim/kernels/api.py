"""What a compiled strategy calls. Prices are ticks, quantities lots, times UTC nanoseconds, all int.

    from tradebot.sim.kernels import api
    from tradebot.sim.kernels.jit import compiled

    @compiled
    def strategy(sim):
        btc = api.market(sim, 0)
        while api.elapse(sim, 100_000_000):
            ...

A strategy sees only what has reached it: rows by their local time, its orders by their responses. An order is named by
the id that submit returned; an id that is unknown (0, or cleared) answers 0 everywhere and does nothing.
"""

from __future__ import annotations

from tradebot.core import columns
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.clock import (
    END,
    FEED,
    RESPONSE,
    TIMEOUT,
    advance_all,
    await_response,
    begin_wake,
    finished,
    start,
)
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.latency import entry_latency
from tradebot.sim.kernels.local import next_row_time, seen_ask, seen_bid
from tradebot.sim.kernels.logs import log_submit, twice_mid
from tradebot.sim.kernels.memory import Handle, Words, bytes_at, handle_at, words, words_at
from tradebot.sim.kernels.orders import respond_at

KIND_MASK = columns.KIND_MASK
LEVEL = columns.LEVEL
BUYER = columns.BUYER

# --- time -----------------------------------------------------------------------------------------------------------


@compiled
def market(sim: Handle, number: int) -> Handle:
    """Return the handle of one market, in the order in which they were given."""
    c = words(sim)
    if number < 0 or number >= c[at.MARKETS]:
        raise IndexError("no market of this number")
    return handle_at(c[at.FIRST_MARKET + number])


@compiled
def now(sim: Handle) -> int:
    """Return the strategy's time."""
    return words(sim)[at.NOW]


@compiled
def elapse(sim: Handle, duration_ns: int) -> bool:
    """Let time pass; False when nothing is left to happen."""
    c = words(sim)
    if not c[at.STARTED]:
        start(c)
    if c[at.NOW] == at.NEVER:
        return False
    begin_wake(c)
    advance_all(c, c[at.NOW] + duration_ns)
    return not finished(c)


@compiled
def wait_feed(sim: Handle, timeout_ns: int, responses: bool) -> int:
    """Wait for the next rows of any market, with `responses` also for the next response.

    Returns FEED, RESPONSE, TIMEOUT or END. All rows of one local time come together.
    """
    c = words(sim)
    if not c[at.STARTED]:
        start(c)
    if c[at.NOW] == at.NEVER:
        return END
    target = c[at.NOW] + timeout_ns
    reason = TIMEOUT
    for number in range(c[at.MARKETS]):
        arrival = next_row_time(handle_at(c[at.FIRST_MARKET + number]))
        if arrival <= target:
            target = arrival
            reason = FEED
    begin_wake(c)
    if responses:
        first = await_response(c, target)
        if first < target:
            target = first
            reason = RESPONSE
    received = advance_all(c, target)
    if finished(c):
        return END
    if responses and received and reason == TIMEOUT:
        return RESPONSE
    return reason


@compiled
def wait_response(sim: Handle, of_market: Handle, order_id: int, timeout_ns: int) -> int:
    """Wait until a response about this order arrives; RESPONSE, TIMEOUT or END."""
    c = words(sim)
    w = words(of_market)
    begin_wake(c)
    deadline = c[at.NOW] + timeout_ns
    while c[at.NOW] < deadline:
        w[at.AWAITED] = order_id
        advance_all(c, await_response(c, deadline))
        if w[at.AWAITED] == 0:
            return RESPONSE
        if finished(c):
            return END
    return TIMEOUT


# --- book -----------------------------------------------------------------------------------------------------------


@compiled
def best_bid(of_market: Handle) -> int:
    """Return the best bid, NO_PRICE when there is none."""
    return seen_bid(words(of_market))


@compiled
def best_ask(of_market: Handle) -> int:
    """Return the best ask, NO_PRICE when there is none."""
    return seen_ask(words(of_market))


@compiled
def depth_at(of_market: Handle, side: int, price: int) -> int:
    """Return the lots displayed at a price; side 1 for bids, -1 for asks."""
    w = words(of_market)
    index = price - w[at.BASE]
    if index <= 0 or index >= w[at.TOP]:
        return 0
    if not w[at.ONE_ORDER]:
        return words_at(w[at.LOCAL_BIDS] if side > 0 else w[at.LOCAL_ASKS])[index] >> 1
    # The exchange's book is ahead of ours by the rows in flight: the oldest that changed this level replaced ours.
    flags = bytes_at(w[at.FLAGS])
    prices = words_at(w[at.PRICES])
    wanted = LEVEL | (BUYER if side > 0 else 0)
    for row in range(w[at.LOCAL_ROW], w[at.ROW]):
        if prices[row] == price and flags[row] & (KIND_MASK | BUYER) == wanted:
            return words_at(w[at.PREVIOUS])[row & w[at.RING_MASK]]
    return words_at(w[at.BIDS] if side > 0 else w[at.ASKS])[index] >> 1


# --- rows received since the last wake ------------------------------------------------------------------------------


@compiled
def rows_begin(of_market: Handle) -> int:
    """Return the first row that is new since the last wake."""
    return words(of_market)[at.WAKE_ROW]


@compiled
def rows_end(of_market: Handle) -> int:
    """Return the row after the last one received."""
    return words(of_market)[at.LOCAL_ROW]


@compiled
def row_flags(of_market: Handle, row: int) -> int:
    """Return a row's flags (`tradebot.core.columns`), 0 for one that was not received."""
    w = words(of_market)
    return bytes_at(w[at.FLAGS])[row] if 0 <= row < w[at.LOCAL_ROW] else 0


@compiled
def row_price(of_market: Handle, row: int) -> int:
    """Return a row's price."""
    w = words(of_market)
    return words_at(w[at.PRICES])[row] if 0 <= row < w[at.LOCAL_ROW] else at.NO_PRICE


@compiled
def row_qty(of_market: Handle, row: int) -> int:
    """Return a row's quantity."""
    w = words(of_market)
    return words_at(w[at.QTYS])[row] if 0 <= row < w[at.LOCAL_ROW] else 0


@compiled
def row_order_id(of_market: Handle, row: int) -> int:
    """Return the venue's id of the order that a row is about; 0 for none, and for feeds without order ids."""
    w = words(of_market)
    if not w[at.ORDER_IDS]:
        return 0
    return words_at(w[at.ORDER_IDS])[row] if 0 <= row < w[at.LOCAL_ROW] else 0


@compiled
def feed_latency(of_market: Handle) -> int:
    """Return local less exchange time of the last row received, 0 before the first."""
    w = words(of_market)
    row = w[at.LOCAL_ROW] - 1
    if row < 0:
        return 0
    return words_at(w[at.LOCAL_TIMES])[row] - words_at(w[at.EXCHANGE_TIMES])[row]


# --- position -------------------------------------------------------------------------------------------------------


@compiled
def position(of_market: Handle) -> int:
    """Return the signed position the strategy knows of."""
    return words(of_market)[at.POSITION]


# --- orders ---------------------------------------------------------------------------------------------------------


@compiled
def find(w: Words, order_id: int) -> int:
    """Return the slot of an order, -1 when it is unknown."""
    if order_id <= 0:
        return -1
    slot = (order_id - 1) % w[at.MAX_ORDERS]
    return slot if words_at(w[at.ORDERS])[slot * at.ORDER_WORDS + at.ID] == order_id else -1


@compiled
def field(of_market: Handle, order_id: int, name: int) -> int:
    """Return one word of an order, 0 for an unknown one."""
    w = words(of_market)
    slot = find(w, order_id)
    return words_at(w[at.ORDERS])[slot * at.ORDER_WORDS + name] if slot >= 0 else 0


@compiled
def send(of_market: Handle, slot: int, kind: int, price: int, qty: int) -> None:
    """Put a request on its way. Requests never overtake each other; a venue in trouble refuses without looking."""
    w = words(of_market)
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    order[at.REQUEST] = kind
    head = w[at.REQUEST_HEAD]
    tail = w[at.REQUEST_TAIL]
    mask = w[at.REQUEST_MASK]
    ring = words_at(w[at.REQUESTS])
    sent_ns = words_at(w[at.CLOCK])[at.NOW]
    latency = entry_latency(of_market, sent_ns)
    if latency < 0:
        refusals = (at.REJECTED, at.CANCEL_REFUSED, at.MODIFY_REFUSED)
        respond_at(of_market, slot, refusals[kind - 1], 0, 0, 0, sent_ns - latency)
        return
    arrival = sent_ns + latency
    if tail > head:
        arrival = max(arrival, ring[((tail - 1) & mask) * at.MESSAGE_WORDS + at.M_TIME])
    message = (tail & mask) * at.MESSAGE_WORDS
    ring[message + at.M_TIME] = arrival
    ring[message + at.M_SLOT] = slot
    ring[message + at.M_KIND] = kind
    ring[message + at.M_ID] = order[at.ID]
    ring[message + at.M_PRICE] = price
    ring[message + at.M_QTY] = qty
    w[at.REQUEST_TAIL] = tail + 1


@compiled
def is_known(side: int, kind: int, display: int) -> bool:
    """True for a side, kind and display that some order may have."""
    if side not in (1, -1) or display < 0 or kind & at.KNOWN_KIND != kind:
        return False
    return kind & at.TIME_IN_FORCE <= at.MARKET and kind & at.TRIGGERED != at.TRIGGERED


@compiled
def submit(of_market: Handle, side: int, price: int, qty: int, kind: int, tag: int, trigger: int, display: int) -> int:
    """Send a new order and return its id; 0 for a quantity below one lot or an absurd price or quantity.

    A side, kind or display that no order has is a mistake in the strategy: the run stops with it.

    Args:
        side: 1 buys, -1 sells.
        price: Limit price; ignored by MARKET.
        qty: Lots, > 0.
        kind: GTC, POST_ONLY, IOC, FOK or MARKET, plus REDUCE_ONLY, plus STOP or TAKE_PROFIT.
        tag: Any number, to know the order by.
        trigger: Price of the public trade that activates a STOP or TAKE_PROFIT.
        display: Lots that an iceberg shows at a time, 0 for all.
    """
    w = words(of_market)
    if not is_known(side, kind, display):
        w[at.ERROR] = at.ERROR_TERMS
        return 0
    if qty <= 0 or qty > at.QTY_BOUND or max(abs(price), abs(trigger)) > at.PRICE_BOUND:
        return 0
    if w[at.FREE_COUNT] == 0:
        w[at.ERROR] = at.ERROR_ORDERS
        return 0
    if w[at.ORDER_LOG_MAX] != 0 and w[at.NEXT_SERIAL] >= w[at.ORDER_LOG_MAX]:
        w[at.ERROR] = at.ERROR_ORDER_LOG
        return 0
    w[at.FREE_COUNT] -= 1
    slot = words_at(w[at.FREE])[w[at.FREE_COUNT]]
    w[at.NEXT_SERIAL] += 1
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    order[at.ID] = w[at.NEXT_SERIAL] * w[at.MAX_ORDERS] + slot + 1
    order[at.SIDE] = side
    order[at.PRICE] = price
    order[at.QTY] = qty
    order[at.LEAVES] = qty
    order[at.STATUS] = at.PENDING_NEW
    order[at.KIND] = kind
    order[at.TAG] = tag
    order[at.TRIGGER] = trigger
    order[at.DISPLAY] = display
    order[at.EXPIRES] = 0
    order[at.X_WAITING] = 0
    order[at.SUBMITTED_AT] = words_at(w[at.CLOCK])[at.NOW]
    order[at.LAST_PRICE] = 0
    order[at.LAST_QTY] = 0
    order[at.X_PLACE] = -1
    words_at(w[at.OPEN])[w[at.OPEN_COUNT]] = slot
    w[at.OPEN_COUNT] += 1
    w[at.SUBMITS] += 1
    if w[at.ORDER_LOG_MAX] != 0:
        log_submit(w, order, twice_mid(seen_bid(w), seen_ask(w)))
    send(of_market, slot, at.REQUEST_NEW, price, qty)
    return order[at.ID]


@compiled
def submit_until(
    of_market: Handle, side: int, price: int, qty: int, kind: int, tag: int, trigger: int, display: int, expires_ns: int
) -> int:
    """Send a good-till-date order: as `submit`, and the exchange ends it when its clock reaches `expires_ns`.

    The rows of that instant still fill it, a request that arrives then finds it gone; an order that arrives as late as
    that expires at once. 0 = never.
    """
    order_id = submit(of_market, side, price, qty, kind, tag, trigger, display)
    if order_id != 0:
        w = words(of_market)
        words_at(w[at.ORDERS])[find(w, order_id) * at.ORDER_WORDS + at.EXPIRES] = expires_ns
    return order_id


@compiled
def submit_buy(of_market: Handle, price: int, qty: int, kind: int) -> int:
    """Send a buy order and return its id."""
    return submit(of_market, 1, price, qty, kind, 0, 0, 0)


@compiled
def submit_sell(of_market: Handle, price: int, qty: int, kind: int) -> int:
    """Send a sell order and return its id."""
    return submit(of_market, -1, price, qty, kind, 0, 0, 0)


@compiled
def cancelable(of_market: Handle, order_id: int) -> bool:
    """True when the order is known to rest and no request about it is under way."""
    w = words(of_market)
    slot = find(w, order_id)
    if slot < 0:
        return False
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    return (order[at.STATUS] in (at.NEW, at.PARTIALLY_FILLED)) and order[at.REQUEST] == at.NO_REQUEST


@compiled
def cancel(of_market: Handle, order_id: int) -> bool:
    """Ask for a cancellation; False when the order is not cancelable now."""
    if not cancelable(of_market, order_id):
        return False
    w = words(of_market)
    w[at.CANCELS] += 1
    send(of_market, find(w, order_id), at.REQUEST_CANCEL, 0, 0)
    return True


@compiled
def modify(of_market: Handle, order_id: int, price: int, qty: int) -> bool:
    """Ask for a new price and open quantity; False when the order cannot be changed now."""
    if qty <= 0 or qty > at.QTY_BOUND or abs(price) > at.PRICE_BOUND or not cancelable(of_market, order_id):
        return False
    w = words(of_market)
    w[at.MODIFIES] += 1
    send(of_market, find(w, order_id), at.REQUEST_MODIFY, price, qty)
    return True


@compiled
def clear_inactive(of_market: Handle) -> None:
    """Forget orders that are filled, canceled or expired; their slots become free."""
    w = words(of_market)
    opened = words_at(w[at.OPEN])
    orders = words_at(w[at.ORDERS])
    free = words_at(w[at.FREE])
    place = 0
    while place < w[at.OPEN_COUNT]:
        slot = opened[place]
        order = slot * at.ORDER_WORDS
        if orders[order + at.STATUS] >= at.FILLED:
            orders[order + at.ID] = 0
            w[at.OPEN_COUNT] -= 1
            opened[place] = opened[w[at.OPEN_COUNT]]
            free[w[at.FREE_COUNT]] = slot
            w[at.FREE_COUNT] += 1
        else:
            place += 1


@compiled
def order_count(of_market: Handle) -> int:
    """Return how many orders are known, finished ones included until they are cleared."""
    return words(of_market)[at.OPEN_COUNT]


@compiled
def order_at(of_market: Handle, place: int) -> int:
    """Return the id of the order at a place below `order_count`, 0 beyond. Clearing reorders the places."""
    w = words(of_market)
    if place < 0 or place >= w[at.OPEN_COUNT]:
        return 0
    slot = words_at(w[at.OPEN])[place]
    return words_at(w[at.ORDERS])[slot * at.ORDER_WORDS + at.ID]


@compiled
def order_status(of_market: Handle, order_id: int) -> int:
    """Return PENDING_NEW, NEW, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED or REJECTED."""
    return field(of_market, order_id, at.STATUS)


@compiled
def order_side(of_market: Handle, order_id: int) -> int:
    """Return 1 for a buy, -1 for a sell."""
    return field(of_market, order_id, at.SIDE)


@compiled
def order_price(of_market: Handle, order_id: int) -> int:
    """Return the limit price last known."""
    return field(of_market, order_id, at.PRICE)


@compiled
def order_leaves(of_market: Handle, order_id: int) -> int:
    """Return the open quantity last known."""
    return field(of_market, order_id, at.LEAVES)


@compiled
def order_tag(of_market: Handle, order_id: int) -> int:
    """Return the strategy's own number."""
    return field(of_market, order_id, at.TAG)


@compiled
def order_request(of_market: Handle, order_id: int) -> int:
    """Return the request under way, NO_REQUEST for none."""
    return field(of_market, order_id, at.REQUEST)
