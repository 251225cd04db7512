"""Orders that wait at the exchange for a public trade to reach their trigger."""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Words, words_at


@compiled
def waits_for_rise(side: int, kind: int) -> bool:
    """True when a trade at or above the trigger activates the order: a stop to buy, a profit to sell."""
    rising = side > 0
    return not rising if kind & at.TAKE_PROFIT else rising


@compiled
def reaches(side: int, kind: int, trigger: int, price: int) -> bool:
    """True when a trade at `price` activates an order; both prices are ticks, or both ladder indices."""
    return price >= trigger if waits_for_rise(side, kind) else price <= trigger


@compiled
def is_triggered(w: Words, order: int, price: int) -> bool:
    """True when a trade at ladder index `price` activates the order."""
    orders = words_at(w[at.ORDERS])
    trigger = orders[order + at.TRIGGER] - w[at.BASE]
    return reaches(orders[order + at.SIDE], orders[order + at.KIND], trigger, price)


@compiled
def refresh_triggers(w: Words) -> None:
    """Find the nearest triggers again."""
    orders = words_at(w[at.ORDERS])
    waiting = words_at(w[at.WAITING])
    above = at.NEVER
    below = -at.NEVER
    for place in range(w[at.WAITING_COUNT]):
        order = waiting[place] * at.ORDER_WORDS
        trigger = orders[order + at.TRIGGER] - w[at.BASE]
        if waits_for_rise(orders[order + at.SIDE], orders[order + at.KIND]):
            above = min(above, trigger)
        else:
            below = max(below, trigger)
    w[at.STOP_ABOVE] = above
    w[at.STOP_BELOW] = below


@compiled
def wait(w: Words, slot: int) -> None:
    """Let an order wait."""
    place = w[at.WAITING_COUNT]
    words_at(w[at.WAITING])[place] = slot
    words_at(w[at.ORDERS])[slot * at.ORDER_WORDS + at.X_WAITING] = place + 1
    w[at.WAITING_COUNT] = place + 1
    refresh_triggers(w)


@compiled
def stop_waiting(w: Words, slot: int) -> None:
    """Take an order off the list. The order of the others stays: triggers fire oldest first."""
    orders = words_at(w[at.ORDERS])
    waiting = words_at(w[at.WAITING])
    w[at.WAITING_COUNT] -= 1
    for place in range(orders[slot * at.ORDER_WORDS + at.X_WAITING] - 1, w[at.WAITING_COUNT]):
        moved = waiting[place + 1]
        waiting[place] = moved
        orders[moved * at.ORDER_WORDS + at.X_WAITING] = place + 1
    orders[slot * at.ORDER_WORDS + at.X_WAITING] = 0
    refresh_triggers(w)


@compiled
def first_triggered(w: Words, price: int) -> int:
    """Return the slot of the oldest waiting order that a trade at ladder index `price` activates, -1 for none."""
    if w[at.STOP_BELOW] < price < w[at.STOP_ABOVE]:
        return -1
    waiting = words_at(w[at.WAITING])
    for place in range(w[at.WAITING_COUNT]):
        if is_triggered(w, waiting[place] * at.ORDER_WORDS, price):
            return waiting[place]
    return -1
