"""Good-till-date orders: the exchange ends them by its own clock.

At an instant the rows come first, then marks and fundings, then expiries, then arriving requests: an order may still
fill in the rows of its last moment, and a request that arrives then finds it gone. NEXT_EXPIRY is never later than the
first one; after an order left in another way it may be earlier, and nothing happens then.
"""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, Words, words, words_at
from tradebot.sim.kernels.orders import leave, respond
from tradebot.sim.kernels.stops import stop_waiting


@compiled
def is_over(w: Words, order: int, time_ns: int) -> bool:
    """True when an order's time has come."""
    expires = words_at(w[at.ORDERS])[order + at.EXPIRES]
    return 0 < expires <= time_ns


@compiled
def watch(w: Words, order: int) -> None:
    """An order stays at the exchange from now on."""
    expires = words_at(w[at.ORDERS])[order + at.EXPIRES]
    if expires > 0:
        w[at.NEXT_EXPIRY] = min(w[at.NEXT_EXPIRY], expires)


@compiled
def expire(market: Handle) -> None:
    """End the orders whose time has come, the oldest first: those in the book, then those that wait."""
    w = words(market)
    time_ns = w[at.NEXT_EXPIRY]
    w[at.NEXT_EXPIRY] = at.NEVER
    live = words_at(w[at.LIVE])
    waiting = words_at(w[at.WAITING])
    place = 0
    while place < w[at.LIVE_COUNT]:
        slot = live[place]
        if is_over(w, slot * at.ORDER_WORDS, time_ns):
            leave(market, slot)
            respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        else:
            watch(w, slot * at.ORDER_WORDS)
            place += 1
    place = 0
    while place < w[at.WAITING_COUNT]:
        slot = waiting[place]
        if is_over(w, slot * at.ORDER_WORDS, time_ns):
            stop_waiting(w, slot)
            respond(market, slot, at.EXPIRED, 0, 0, 0, time_ns)
        else:
            watch(w, slot * at.ORDER_WORDS)
            place += 1
