"""Own impact: displayed liquidity is taken once, and one public trade fills us once.

What our takers ate at a level stays eaten until the feed says something new about that level. The ladder's mark stands
for eaten lots too, so the pass over rows finds such levels without another look. A book that is ours to change
(BOOK_IS_OURS) simply loses them.
"""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.book import available, put_level
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, Words, floats_at, words, words_at
from tradebot.sim.kernels.orders import fill_resting, fill_shown
from tradebot.sim.kernels.queues import after_trade


@compiled
def advance(w: Words, side: int, index: int, qty: int) -> None:
    """Lots at the front of a level are gone: our orders there move up."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        if orders[order + at.X_PRICE] == index and orders[order + at.SIDE] == side:
            queue[order + at.F_AHEAD] = max(queue[order + at.F_AHEAD] - qty, 0.0)


@compiled
def eat(w: Words, side: int, index: int, qty: int) -> None:
    """Remember lots taken from a level of `side`; they stood ahead of our own orders there."""
    if not w[at.IMPACT]:
        return
    if w[at.MEETING]:
        advance(w, side, index, qty)
    if w[at.IMPACT] == at.BOOK_IS_OURS:
        put_level(w, at.BIDS, at.USED, side, index, available(w, side, index) - qty)
    else:
        words_at(w[at.EATEN] if side > 0 else w[at.EATEN + 1])[index] += qty
        words_at(w[at.BIDS] if side > 0 else w[at.ASKS])[index] |= 1


@compiled
def level_renewed(w: Words, side: int, index: int) -> None:
    """The feed spoke about a level: nothing of it is eaten any more."""
    words_at(w[at.EATEN] if side > 0 else w[at.EATEN + 1])[index] = 0
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    for place in range(w[at.LIVE_COUNT]):
        order = live[place] * at.ORDER_WORDS
        if orders[order + at.X_PRICE] == index and orders[order + at.SIDE] == side:
            return
    words_at(w[at.BIDS] if side > 0 else w[at.ASKS])[index] &= -2


@compiled
def first_in_line(w: Words, side: int, reached: int) -> int:
    """Return our best, oldest order of `side` at or beyond a price that was not visited yet: its slot, -1 for none."""
    live = words_at(w[at.LIVE])
    orders = words_at(w[at.ORDERS])
    best = -1
    for place in range(w[at.LIVE_COUNT]):
        slot = live[place]
        order = slot * at.ORDER_WORDS
        if orders[order + at.SIDE] != side or (orders[order + at.X_PRICE] - reached) * side < 0:
            continue
        if orders[order + at.X_VISIT] == w[at.VISIT]:
            continue
        if best < 0:
            best = slot
            continue
        other = best * at.ORDER_WORDS
        ahead = (orders[order + at.X_PRICE] - orders[other + at.X_PRICE]) * side
        if ahead > 0 or (ahead == 0 and orders[order + at.ARRIVED] < orders[other + at.ARRIVED]):
            best = slot
    if best >= 0:
        orders[best * at.ORDER_WORDS + at.X_VISIT] = w[at.VISIT]
    return best


@compiled
def traded_once(market: Handle, side: int, price: int, qty: int, time_ns: int) -> None:
    """Let a public trade meet our orders of `side`: best price first, then the oldest, never more than was traded."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    queue = floats_at(w[at.ORDERS])
    w[at.VISIT] += 1
    left = qty
    while True:
        slot = first_in_line(w, side, price)
        if slot < 0:
            return
        order = slot * at.ORDER_WORDS
        if orders[order + at.X_PRICE] != price:
            left -= fill_resting(market, slot, min(left, orders[order + at.X_LEAVES]), time_ns)
        else:
            # What filled our older orders did not come out of the queue ahead of this one.
            reached = after_trade(queue, order, left)
            queue[order + at.F_TRADED] += qty - left
            if reached > 0 and left > 0:
                left -= fill_shown(market, slot, min(reached, left), time_ns)


@compiled
def touch_reached_once(market: Handle, side: int, touch: int, time_ns: int) -> None:
    """Fill our orders of `side` from the levels of the other side that reach them, with what is displayed there."""
    w = words(market)
    orders = words_at(w[at.ORDERS])
    w[at.VISIT] += 1
    index = touch
    while 0 < index < w[at.TOP]:
        slot = first_in_line(w, side, index)
        if slot < 0:
            return
        order = slot * at.ORDER_WORDS
        # An order visited for this level may be reached by the next one too.
        while (orders[order + at.X_PRICE] - index) * side >= 0 and 0 < index < w[at.TOP]:
            most = min(available(w, -side, index), orders[order + at.X_LEAVES])
            done = fill_resting(market, slot, most, time_ns) if most > 0 else 0
            if done > 0:
                eat(w, -side, index, done)
            if orders[order + at.X_PLACE] < 0 or done < most:
                break
            if available(w, -side, index) == 0:
                index += side
