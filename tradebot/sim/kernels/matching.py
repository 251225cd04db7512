"""The exchange side: one tight pass over rows, leaving it only for rows that touch our orders.

Filled as maker: a trade at our price that gets through the queue ahead of us, a trade beyond our price, or a best price
of the other side that reaches ours. Rows of equal time keep the order of the file; a request that arrives at a row's
time comes after it.
"""

from __future__ import annotations

from tradebot.core import columns
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import clear_ladder, level_above, level_below
from tradebot.sim.kernels.impact import level_renewed, touch_reached_once, traded_once
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, Words, bytes_at, floats, floats_at, words, words_at
from tradebot.sim.kernels.orders import fill_resting, fill_shown, trim_reduce_only
from tradebot.sim.kernels.queues import after_level, after_trade
from tradebot.sim.kernels.requests import fire
from tradebot.sim.kernels.stops import first_triggered

SEEN = columns.KIND_MASK | columns.AT_EXCHANGE
LEVEL_SEEN = columns.LEVEL | columns.AT_EXCHANGE
TRADE_SEEN = columns.TRADE | columns.AT_EXCHANGE
CLEAR_SEEN = columns.CLEAR | columns.AT_EXCHANGE
BUYER = columns.BUYER
AT_EXCHANGE = columns.AT_EXCHANGE
PAGE_BITS = at.PAGE_BITS


@compiled
def level_changed(market: Handle, side: int, price: int, previous: int, new: int) -> None:
    """Move the queue positions of our orders at one level."""
    w = words(market)
    f = floats(market)
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        if orders[order + at.X_PRICE] == price and orders[order + at.SIDE] == side:
            after_level(w, f, queue, order, previous, new)
    if w[at.IMPACT]:
        level_renewed(w, side, price)


@compiled
def touch_reached(market: Handle, side: int, touch: int, time_ns: int) -> None:
    """Fill our orders of `side` that the other side's best price has reached."""
    w = words(market)
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    if w[at.IMPACT]:
        touch_reached_once(market, side, touch, time_ns)
        trim_reduce_only(market, time_ns)
        return
    place = 0
    while place < w[at.LIVE_COUNT]:
        slot = live[place]
        order = slot * at.ORDER_WORDS
        count = w[at.LIVE_COUNT]
        if orders[order + at.SIDE] == side and (orders[order + at.X_PRICE] - touch) * side >= 0:
            fill_resting(market, slot, orders[order + at.X_LEAVES], time_ns)
        if w[at.LIVE_COUNT] == count:
            place += 1
    trim_reduce_only(market, time_ns)


@compiled
def traded(market: Handle, side: int, price: int, qty: int, time_ns: int) -> None:
    """Let a public trade meet our orders of `side`, the side that was hit."""
    w = words(market)
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    if w[at.IMPACT]:
        traded_once(market, side, price, qty, time_ns)
        trim_reduce_only(market, time_ns)
        return
    place = 0
    while place < w[at.LIVE_COUNT]:
        slot = live[place]
        order = slot * at.ORDER_WORDS
        count = w[at.LIVE_COUNT]
        if orders[order + at.SIDE] == side:
            beyond = (orders[order + at.X_PRICE] - price) * side
            if beyond > 0:
                fill_resting(market, slot, orders[order + at.X_LEAVES], time_ns)
            elif beyond == 0:
                reached = after_trade(queue, order, qty)
                if reached > 0:
                    leaves = orders[order + at.X_LEAVES]
                    fill_shown(market, slot, reached if w[at.PARTIAL_FILLS] else leaves, time_ns)
        if w[at.LIVE_COUNT] == count:
            place += 1
    trim_reduce_only(market, time_ns)


@compiled
def fire_stops(market: Handle, price: int, time_ns: int) -> None:
    """A public trade at ladder index `price` activates the stops it reaches, oldest first."""
    w = words(market)
    while True:
        slot = first_triggered(w, price)
        if slot < 0:
            return
        fire(market, slot, time_ns)


@compiled
def first_response(w: Words) -> int:
    """Return when the next response reaches the strategy, NEVER for none."""
    head = w[at.RESPONSE_HEAD]
    if head == w[at.RESPONSE_TAIL]:
        return at.NEVER
    return words_at(w[at.RESPONSES])[(head & w[at.RESPONSE_MASK]) * at.MESSAGE_WORDS + at.M_TIME]


@compiled
def run_rows(market: Handle, limit_ns: int, stop_at_response: int) -> int:
    """Apply the exchange's rows up to and including `limit_ns`; return how far it went.

    With `stop_at_response` it goes no further than the first response, where the strategy may act.
    """
    w = words(market)
    times = words_at(w[at.EXCHANGE_TIMES])
    flags = bytes_at(w[at.FLAGS])
    prices = words_at(w[at.PRICES])
    qtys = words_at(w[at.QTYS])
    bids = words_at(w[at.BIDS])
    asks = words_at(w[at.ASKS])
    used_bids = bytes_at(w[at.USED])
    used_asks = bytes_at(w[at.USED + 1])
    touches = words_at(w[at.TOUCHES])
    replaced = words_at(w[at.PREVIOUS])
    mask = w[at.RING_MASK]
    base = w[at.BASE]
    rows = w[at.ROWS]
    # Locals stay in registers; in an array the touch alone made this loop 4.5 times slower.
    row = w[at.ROW]
    bid = w[at.BEST_BID]
    ask = w[at.BEST_ASK]
    my_bid = w[at.MY_BID]
    my_ask = w[at.MY_ASK]
    stop_above = w[at.STOP_ABOVE]
    stop_below = w[at.STOP_BELOW]
    last_trade = w[at.LAST_TRADE]
    while row < rows:
        flag = flags[row]
        time_ns = times[row]
        if time_ns > limit_ns:
            if flag & AT_EXCHANGE:
                break
            row += 1
            continue
        kind = flag & SEEN
        price = prices[row] - base
        qty = qtys[row]
        previous = 0
        ours = False
        if kind == LEVEL_SEEN:
            if flag & BUYER:
                word = bids[price]
                bids[price] = qty << 1 | word & 1
                used_bids[price >> PAGE_BITS] = 1
                previous = word >> 1
                if qty > 0:
                    if price > bid:
                        bid = price
                        if price >= ask:
                            ask = level_above(asks, price)
                elif price == bid:
                    bid = level_below(bids, price)
                if word & 1:
                    level_changed(market, 1, price, previous, qty)
                if bid >= my_ask:
                    touch_reached(market, -1, bid, time_ns)
                    ours = True
            else:
                word = asks[price]
                asks[price] = qty << 1 | word & 1
                used_asks[price >> PAGE_BITS] = 1
                previous = word >> 1
                if qty > 0:
                    if price < ask:
                        ask = price
                        if price <= bid:
                            bid = level_below(bids, price)
                elif price == ask:
                    ask = level_above(asks, price)
                if word & 1:
                    level_changed(market, -1, price, previous, qty)
                if ask <= my_bid:
                    touch_reached(market, 1, ask, time_ns)
                    ours = True
        elif kind == TRADE_SEEN:
            if flag & BUYER:
                if price >= my_ask:
                    traded(market, -1, price, qty, time_ns)
                    ours = True
            elif price <= my_bid:
                traded(market, 1, price, qty, time_ns)
                ours = True
            last_trade = price
            if price >= stop_above or price <= stop_below:
                w[at.LAST_TRADE] = price
                w[at.BEST_BID] = bid
                w[at.BEST_ASK] = ask
                fire_stops(market, price, time_ns)
                ours = True
        elif kind == CLEAR_SEEN:
            if flag & BUYER:
                clear_ladder(bids, used_bids, w[at.TOP])
                bid = 0
            else:
                clear_ladder(asks, used_asks, w[at.TOP])
                ask = w[at.TOP]
        touches[row & mask] = bid << 32 | ask
        replaced[row & mask] = previous
        row += 1
        if ours:
            my_bid = w[at.MY_BID]
            my_ask = w[at.MY_ASK]
            stop_above = w[at.STOP_ABOVE]
            stop_below = w[at.STOP_BELOW]
            if stop_at_response:
                limit_ns = min(limit_ns, first_response(w))
    w[at.ROW] = row
    w[at.BEST_BID] = bid
    w[at.BEST_ASK] = ask
    w[at.LAST_TRADE] = last_trade
    return limit_ns
