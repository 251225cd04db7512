"""The exchange side over a feed of orders: our exact place in the queue.

Compiled by itself, the first time a market asks for it, and called by its address: markets without order ids neither
compile nor carry it. A match fills those of our orders that stand before the order it names, or at a better price; lots
that go from before us bring us forward, whatever takes them.
"""

from __future__ import annotations

from functools import cache

from numba import types
from numba.core.types.function_type import CompileResultWAP

from tradebot.core import columns
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import clear_ladder, level_above, level_below
from tradebot.sim.kernels.by_order import ON_TAPE
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.matching import fire_stops, first_response, touch_reached
from tradebot.sim.kernels.memory import Handle, Words, bytes_at, floats_at, handle_type, words, words_at
from tradebot.sim.kernels.orders import fill_resting, fill_shown, trim_reduce_only

KIND_MASK, LEVEL, CLEAR, BUYER = columns.KIND_MASK, columns.LEVEL, columns.CLEAR, columns.BUYER
PAGE_BITS, PLACE_ON_TAPE = at.PAGE_BITS, ON_TAPE


@compiled
def set_level(w: Words, side: int, price: int, qty: int) -> int:
    """Set a level and keep the touch; return the word it replaced."""
    mine = words_at(w[at.BIDS] if side > 0 else w[at.ASKS])
    other = words_at(w[at.ASKS] if side > 0 else w[at.BIDS])
    word = mine[price]
    mine[price] = qty << 1 | word & 1
    bytes_at(w[at.USED] if side > 0 else w[at.USED + 1])[price >> PAGE_BITS] = 1
    if side > 0:
        if qty > 0 and price > w[at.BEST_BID]:
            w[at.BEST_BID] = price
            if price >= w[at.BEST_ASK]:
                w[at.BEST_ASK] = level_above(other, price)
        elif qty == 0 and price == w[at.BEST_BID]:
            w[at.BEST_BID] = level_below(mine, price)
    elif qty > 0 and price < w[at.BEST_ASK]:
        w[at.BEST_ASK] = price
        if price <= w[at.BEST_BID]:
            w[at.BEST_BID] = level_below(other, price)
    elif qty == 0 and price == w[at.BEST_ASK]:
        w[at.BEST_ASK] = level_above(mine, price)
    return word


@compiled
def queue_moved(w: Words, side: int, price: int, change: int, place: int) -> None:
    """Lots placed at a row came or went: those of our orders that came later move."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    for number in range(w[at.LIVE_COUNT]):
        order = live[number] * at.ORDER_WORDS
        here = orders[order + at.X_PRICE] == price and orders[order + at.SIDE] == side
        if here and place < orders[order + at.X_RANK]:
            queue[order + at.F_AHEAD] += float(change)


@compiled
def side_cleared(w: Words, side: int) -> None:
    """The feed begins a side anew: what stood before us is told again, with its place."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    if side > 0:
        clear_ladder(words_at(w[at.BIDS]), bytes_at(w[at.USED]), w[at.TOP])
        w[at.BEST_BID] = 0
    else:
        clear_ladder(words_at(w[at.ASKS]), bytes_at(w[at.USED + 1]), w[at.TOP])
        w[at.BEST_ASK] = w[at.TOP]
    for number in range(w[at.LIVE_COUNT]):
        order = live[number] * at.ORDER_WORDS
        if orders[order + at.SIDE] == side:
            queue[order + at.F_AHEAD] = 0.0


@compiled
def matched(market: Handle, side: int, price: int, qty: int, place: int, time_ns: int) -> None:
    """A resting order of `side` traded: ours that stand before it would have been first."""
    w = words(market)
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    number = 0
    while number < w[at.LIVE_COUNT]:
        slot = live[number]
        order = slot * at.ORDER_WORDS
        count = w[at.LIVE_COUNT]
        if orders[order + at.SIDE] == side:
            beyond = (orders[order + at.X_PRICE] - price) * side
            leaves = orders[order + at.X_LEAVES]
            if beyond > 0:
                fill_resting(market, slot, leaves, time_ns)
            elif beyond == 0 and place >= orders[order + at.X_RANK]:
                fill_shown(market, slot, qty if w[at.PARTIAL_FILLS] else leaves, time_ns)
        if w[at.LIVE_COUNT] == count:
            number += 1
    trim_reduce_only(market, time_ns)


@compiled
def run_order_rows(market: Handle, limit_ns: int, stop_at_response: int) -> int:
    """Do what `matching.run_rows` does, over rows that were made of orders."""
    w = words(market)
    times = words_at(w[at.EXCHANGE_TIMES])
    flags = bytes_at(w[at.FLAGS])
    prices = words_at(w[at.PRICES])
    qtys = words_at(w[at.QTYS])
    changes = words_at(w[at.CHANGES])
    places = words_at(w[at.PLACES])
    touches = words_at(w[at.TOUCHES])
    replaced = words_at(w[at.PREVIOUS])
    mask = w[at.RING_MASK]
    row = w[at.ROW]
    while row < w[at.ROWS] and times[row] <= limit_ns:
        w[at.ROW] = row
        flag = flags[row]
        kind = flag & KIND_MASK
        side = 1 if flag & BUYER else -1
        price = prices[row] - w[at.BASE]
        time_ns = times[row]
        word = 0
        if kind == LEVEL:
            word = set_level(w, side, price, qtys[row])
            if word & 1:
                queue_moved(w, side, price, changes[row], places[row])
            if side > 0:
                if w[at.BEST_BID] >= w[at.MY_ASK]:
                    touch_reached(market, -1, w[at.BEST_BID], time_ns)
            elif w[at.BEST_ASK] <= w[at.MY_BID]:
                touch_reached(market, 1, w[at.BEST_ASK], time_ns)
        elif kind == CLEAR:
            side_cleared(w, side)
        else:
            if places[row] != PLACE_ON_TAPE:
                matched(market, -side, price, qtys[row], places[row], time_ns)
            w[at.LAST_TRADE] = price
            if price >= w[at.STOP_ABOVE] or price <= w[at.STOP_BELOW]:
                fire_stops(market, price, time_ns)
        touches[row & mask] = w[at.BEST_BID] << 32 | w[at.BEST_ASK]
        replaced[row & mask] = word >> 1
        row += 1
        if stop_at_response:
            limit_ns = min(limit_ns, first_response(w))
    w[at.ROW] = row
    return limit_ns


@cache
def runner_address() -> int:
    """Return where the compiled pass lies in this process."""
    signature = (handle_type, types.int64, types.int64)
    dispatcher = run_order_rows
    dispatcher.compile(signature)  # type: ignore[attr-defined]
    return int(CompileResultWAP(dispatcher.overloads[signature]).address)  # type: ignore[attr-defined]
