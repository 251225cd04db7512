"""Perpetuals: mark prices and funding at the venue's own times, margin, liquidation; linear and inverse contracts.

Money of a linear contract is counted in tick-lots, of an inverse one in lots per tick (its value is quantity / price).
Decisions are made in floats, in one fixed order of operations; what is reported is computed again exactly.
Margin is the market's own collateral; orders at work on the same side count as if they were filled.
"""

from __future__ import annotations

import math
from typing import Final

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Floats, Handle, Words, floats, floats_at, words, words_at
from tradebot.sim.kernels.orders import fill, leave, respond
from tradebot.sim.kernels.stops import stop_waiting

MARK: Final = 1
"""Event: the venue's mark price, ticks."""
FUNDING: Final = 2
"""Event: longs pay this share of their value at the mark price to shorts."""
LIQUIDATION_ID: Final = -1
"""Order id of a liquidation in the fill log."""


@compiled
def value_of(w: Words, qty: float, price: float) -> float:
    """Return what a quantity is worth at a price."""
    return qty / price if w[at.INVERSE] else qty * price


@compiled
def margin_balance(w: Words, f: Floats, mark: float) -> float:
    """Return collateral with every result realized or not, after fees and funding."""
    held = float(w[at.X_POSITION])
    result = f[at.F_X_INVERSE] - held / mark if w[at.INVERSE] else held * mark - w[at.X_VALUE]
    return f[at.F_COLLATERAL] + result - f[at.F_X_FEES] - f[at.F_FUNDING]


@compiled
def next_event(w: Words) -> int:
    """Return when the venue's next mark or funding is due, NEVER for none."""
    if w[at.EVENT] >= w[at.EVENTS]:
        return at.NEVER
    return words_at(w[at.EVENT_TIMES])[w[at.EVENT]]


@compiled
def lacks_margin(w: Words, f: Floats, slot: int, limit: int, qty: int) -> bool:
    """True when an order at `limit` for `qty` lots would make the position larger than the collateral carries.

    What it has in the book now does not count: those would be its new terms. Stops that wait do not count either, they
    are asked when they fire.
    """
    orders = words_at(w[at.ORDERS])
    order = slot * at.ORDER_WORDS
    if f[at.F_LEVERAGE] <= 0.0 or orders[order + at.KIND] & at.REDUCE_ONLY:
        return False
    live = words_at(w[at.LIVE])
    side = orders[order + at.SIDE]
    price = float(limit)
    if orders[order + at.KIND] & at.TIME_IN_FORCE == at.MARKET:
        best = w[at.BEST_ASK] if side > 0 else w[at.BEST_BID]
        if best in (0, w[at.TOP]):
            return False  # nothing to trade with: it expires by itself
        price = float(w[at.BASE] + best)
    working = qty
    for place in range(w[at.LIVE_COUNT]):
        other = live[place] * at.ORDER_WORDS
        if orders[other + at.SIDE] == side and other != order:
            working += orders[other + at.X_LEAVES]
    exposure = abs(w[at.X_POSITION] + side * working)
    if exposure <= abs(w[at.X_POSITION]):
        return False
    mark = f[at.F_MARK] if f[at.F_MARK] > 0.0 else price
    return value_of(w, float(exposure), price) > margin_balance(w, f, mark) * f[at.F_LEVERAGE]


@compiled
def liquidate(market: Handle, time_ns: int) -> None:
    """Cancel every order and close the position at the mark price, rounded against us, as a taker."""
    w = words(market)
    f = floats(market)
    live = words_at(w[at.LIVE])
    waiting = words_at(w[at.WAITING])
    while w[at.LIVE_COUNT] > 0:
        slot = live[0]
        leave(market, slot)
        respond(market, slot, at.CANCELED, 0, 0, 0, time_ns)
    while w[at.WAITING_COUNT] > 0:
        slot = waiting[0]
        stop_waiting(w, slot)
        respond(market, slot, at.CANCELED, 0, 0, 0, time_ns)
    held = w[at.X_POSITION]
    slot = w[at.MAX_ORDERS]  # one slot more than a strategy can use
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    order[at.ID] = LIQUIDATION_ID
    order[at.SIDE] = -1 if held > 0 else 1
    order[at.X_LEAVES] = abs(held)
    order[at.X_PLACE] = -1
    price = math.floor(f[at.F_MARK]) if held > 0 else math.ceil(f[at.F_MARK])
    w[at.LIQUIDATIONS] += 1
    w[at.LIQUIDATED_VALUE] += abs(held) * price
    f[at.F_LIQUIDATED_INVERSE] += float(abs(held)) / float(price)
    f[at.F_X_FEES] += f[at.F_LIQUIDATION_FEE] * value_of(w, float(abs(held)), float(price))
    fill(market, slot, price, abs(held), 0, time_ns)


@compiled
def venue_event(market: Handle) -> None:
    """Process the venue's next mark or funding, then see whether the margin still carries the position."""
    w = words(market)
    f = floats(market)
    number = w[at.EVENT]
    w[at.EVENT] = number + 1
    value = floats_at(w[at.EVENT_VALUES])[number]
    time_ns = words_at(w[at.EVENT_TIMES])[number]
    if words_at(w[at.EVENT_KINDS])[number] == MARK:
        f[at.F_MARK] = value
        w[at.MARK_EVENT] = number
    elif f[at.F_MARK] > 0.0 and w[at.X_POSITION] != 0:
        f[at.F_FUNDING] += value * value_of(w, float(w[at.X_POSITION]), f[at.F_MARK])
        log = words_at(w[at.FUNDING_LOG] + 24 * w[at.FUNDING_COUNT])
        log[0] = number
        log[1] = w[at.MARK_EVENT]
        log[2] = w[at.X_POSITION]
        w[at.FUNDING_COUNT] += 1
    mark = f[at.F_MARK]
    if f[at.F_LEVERAGE] > 0.0 and mark > 0.0 and w[at.X_POSITION] != 0:
        needed = f[at.F_MAINTENANCE] * value_of(w, float(abs(w[at.X_POSITION])), mark)
        if margin_balance(w, f, mark) <= needed:
            liquidate(market, time_ns)
