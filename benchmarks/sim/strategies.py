"""The benchmark's strategies as a user would write them. The peer's versions are in peers/hftbacktest/driver.py.

All quote on the strategy's clock every 100 ms and return counters that must equal the peer's.
"""

from __future__ import annotations

from tradebot.sim.kernels import api
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle

HALF_SPREAD = 5
"""Ticks."""
MAX_POSITION = 100
"""Lots."""
ORDER_QTY = 10
"""Lots."""
GRID_LEVELS = 10
GRID_GAP = 5
"""Ticks."""
EVERY_NS = 100_000_000
REPLAY_STEP_NS = 60_000_000_000


@compiled
def replay(sim: Handle) -> int:
    """Let the whole feed pass; return the number of steps."""
    steps = 0
    while api.elapse(sim, REPLAY_STEP_NS):
        steps += 1
    return steps


@compiled
def every_packet(sim: Handle) -> tuple[int, int]:
    """Wake at every feed packet and read the touch; return wakes and a checksum."""
    market = api.market(sim, 0)
    wakes = 0
    checksum = 0
    while api.wait_feed(sim, REPLAY_STEP_NS, False):
        wakes += 1
        best_bid = api.best_bid(market)
        best_ask = api.best_ask(market)
        if best_bid != at.NO_PRICE and best_ask != at.NO_PRICE:
            checksum += best_bid + best_ask
    return wakes, checksum


@compiled
def make_market(sim: Handle) -> tuple[int, int, int, int]:
    """Quote one bid and one ask around the position-skewed mid; return steps, submits, cancels, checksum."""
    market = api.market(sim, 0)
    steps = 0
    submits = 0
    cancels = 0
    checksum = 0
    while api.elapse(sim, EVERY_NS):
        steps += 1
        api.clear_inactive(market)
        best_bid = api.best_bid(market)
        best_ask = api.best_ask(market)
        if best_bid == at.NO_PRICE or best_ask == at.NO_PRICE:
            continue
        position = api.position(market)
        checksum += steps % 1000003 * position
        twice_mid = best_bid + best_ask - position // 10
        bid = min((twice_mid - 2 * HALF_SPREAD) // 2, best_bid)
        ask = max(-((-twice_mid - 2 * HALF_SPREAD) // 2), best_ask)
        has_bid = False
        has_ask = False
        for place in range(api.order_count(market)):
            order = api.order_at(market, place)
            price = api.order_price(market, order)
            buying = api.order_side(market, order) > 0
            if buying and price == bid:
                has_bid = True
            elif not buying and price == ask:
                has_ask = True
            elif api.cancel(market, order):
                cancels += 1
        if not has_bid and position < MAX_POSITION:
            api.submit_buy(market, bid, ORDER_QTY, at.POST_ONLY)
            submits += 1
        if not has_ask and position > -MAX_POSITION:
            api.submit_sell(market, ask, ORDER_QTY, at.POST_ONLY)
            submits += 1
    return steps, submits, cancels, checksum


@compiled
def make_grid(sim: Handle) -> tuple[int, int, int, int]:
    """As make_market with GRID_LEVELS orders a side on a grid; return steps, submits, cancels, checksum."""
    market = api.market(sim, 0)
    steps = 0
    submits = 0
    cancels = 0
    checksum = 0
    while api.elapse(sim, EVERY_NS):
        steps += 1
        api.clear_inactive(market)
        best_bid = api.best_bid(market)
        best_ask = api.best_ask(market)
        if best_bid == at.NO_PRICE or best_ask == at.NO_PRICE:
            continue
        position = api.position(market)
        checksum += steps % 1000003 * position
        twice_mid = best_bid + best_ask - position // 100
        bid = min((twice_mid - 2 * HALF_SPREAD) // 2, best_bid) // GRID_GAP * GRID_GAP
        ask = -(-max(-((-twice_mid - 2 * HALF_SPREAD) // 2), best_ask) // GRID_GAP * GRID_GAP)
        bids = 0  # bit mask of wanted levels that have an order
        asks = 0
        for place in range(api.order_count(market)):
            order = api.order_at(market, place)
            price = api.order_price(market, order)
            buying = api.order_side(market, order) > 0
            level = (bid - price if buying else price - ask) // GRID_GAP
            if 0 <= level < GRID_LEVELS:
                if buying:
                    bids |= 1 << level
                else:
                    asks |= 1 << level
            elif api.cancel(market, order):
                cancels += 1
        for level in range(GRID_LEVELS):
            if not bids >> level & 1 and position < MAX_POSITION * GRID_LEVELS:
                api.submit_buy(market, bid - level * GRID_GAP, ORDER_QTY, at.POST_ONLY)
                submits += 1
            if not asks >> level & 1 and position > -MAX_POSITION * GRID_LEVELS:
                api.submit_sell(market, ask + level * GRID_GAP, ORDER_QTY, at.POST_ONLY)
                submits += 1
    return steps, submits, cancels, checksum
