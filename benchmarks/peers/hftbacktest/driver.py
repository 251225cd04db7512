"""`python -m benchmarks.peers.hftbacktest.driver [DATA MODE QUEUE]`, under the peer's own interpreter.

The same rules as benchmarks/sim/strategies.py, written against hftbacktest. It compiles them in every process: numba
cannot cache functions that hold its C pointers.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
from hftbacktest import BUY, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit, uint64

from benchmarks.sim.worker import Job, Result, serve

HALF_SPREAD, MAX_POSITION, ORDER_QTY = 5, 100, 10
GRID_LEVELS, GRID_GAP = 10, 5
COMPILE_ROWS = 20_000
"""Rows of the run that only compiles."""


@njit
def replay(hbt, tick, lot):  # type: ignore[no-untyped-def]
    """Let the whole feed pass."""
    steps = 0
    while hbt.elapse(60_000_000_000) == 0:
        steps += 1
    return (steps,)


@njit
def every_packet(hbt, tick, lot):  # type: ignore[no-untyped-def]
    """Wake at every feed packet and read the touch."""
    wakes = 0
    checksum = 0
    while hbt.wait_next_feed(False, 60_000_000_000) != 1:
        depth = hbt.depth(0)
        wakes += 1
        best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
        if best_bid > 0 and best_ask > 0 and best_ask < 10_000_000_000:
            checksum += best_bid + best_ask
    return wakes, checksum


@njit
def make_market(hbt, tick, lot):  # type: ignore[no-untyped-def]
    """Quote one bid and one ask around the position-skewed mid."""
    steps = 0
    submits = 0
    cancels = 0
    checksum = 0
    while hbt.elapse(100_000_000) == 0:
        steps += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
        if best_bid <= 0 or best_ask <= 0 or best_ask > 10_000_000_000:
            continue
        position = int(np.round(hbt.position(0) / lot))
        checksum += steps % 1000003 * position
        twice_mid = best_bid + best_ask - position // 10
        bid = min((twice_mid - 2 * HALF_SPREAD) // 2, best_bid)
        ask = max(-((-twice_mid - 2 * HALF_SPREAD) // 2), best_ask)
        bid_id = uint64(2 * bid)
        ask_id = uint64(2 * ask + 1)
        has_bid = False
        has_ask = False
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            if order.order_id == bid_id:
                has_bid = True
            elif order.order_id == ask_id:
                has_ask = True
            elif order.cancellable:
                hbt.cancel(0, order.order_id, False)
                cancels += 1
        if not has_bid and position < MAX_POSITION:
            hbt.submit_buy_order(0, bid_id, bid * tick, ORDER_QTY * lot, GTX, LIMIT, False)
            submits += 1
        if not has_ask and position > -MAX_POSITION:
            hbt.submit_sell_order(0, ask_id, ask * tick, ORDER_QTY * lot, GTX, LIMIT, False)
            submits += 1
    return steps, submits, cancels, checksum


@njit
def make_grid(hbt, tick, lot):  # type: ignore[no-untyped-def]
    """As make_market with GRID_LEVELS orders a side on a grid."""
    steps = 0
    submits = 0
    cancels = 0
    checksum = 0
    while hbt.elapse(100_000_000) == 0:
        steps += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
        if best_bid <= 0 or best_ask <= 0 or best_ask > 10_000_000_000:
            continue
        position = int(np.round(hbt.position(0) / lot))
        checksum += steps % 1000003 * position
        twice_mid = best_bid + best_ask - position // 100
        bid = min((twice_mid - 2 * HALF_SPREAD) // 2, best_bid) // GRID_GAP * GRID_GAP
        ask = -(-max(-((-twice_mid - 2 * HALF_SPREAD) // 2), best_ask) // GRID_GAP * GRID_GAP)
        bids = 0
        asks = 0
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            keep = False
            if order.side == BUY:
                level = (bid - order.price_tick) // GRID_GAP
                if level >= 0 and level < GRID_LEVELS:
                    bids |= 1 << level
                    keep = True
            else:
                level = (order.price_tick - ask) // GRID_GAP
                if level >= 0 and level < GRID_LEVELS:
                    asks |= 1 << level
                    keep = True
            if not keep and order.cancellable:
                hbt.cancel(0, order.order_id, False)
                cancels += 1
        for level in range(GRID_LEVELS):
            price = bid - level * GRID_GAP
            if not bids >> level & 1 and position < MAX_POSITION * GRID_LEVELS:
                hbt.submit_buy_order(0, uint64(2 * price), price * tick, ORDER_QTY * lot, GTX, LIMIT, False)
                submits += 1
            price = ask + level * GRID_GAP
            if not asks >> level & 1 and position > -MAX_POSITION * GRID_LEVELS:
                hbt.submit_sell_order(0, uint64(2 * price + 1), price * tick, ORDER_QTY * lot, GTX, LIMIT, False)
                submits += 1
    return steps, submits, cancels, checksum


STRATEGIES = {"replay": replay, "packet": every_packet, "mm": make_market, "grid": make_grid}
compiled: set[str] = set()


@cache
def load(folder: str) -> np.ndarray:
    """Load one folder's events."""
    events: np.ndarray = np.load(Path(folder, "hftbacktest.npz"))["data"]
    return events


def simulate(folder: str, mode: str, queue: str, rows: int | None) -> Result:
    """Simulate once over the first rows."""
    tick, lot, low, high = (float(word) for word in Path(folder, "steps.txt").read_text().split())
    asset = (
        BacktestAsset()
        .data(load(folder)[:rows])
        .linear_asset(1.0)
        .constant_order_latency(10_000_000, 10_000_000)
        .no_partial_fill_exchange()
        .trading_value_fee_model(-0.00005, 0.0007)
        .tick_size(tick)
        .lot_size(lot)
        .last_trades_capacity(0)
        .roi_lb(low)
        .roi_ub(high)
    )
    asset = asset.risk_adverse_queue_model() if queue == "risk" else asset.power_prob_queue_model(2.0)
    hbt = ROIVectorMarketDepthBacktest([asset])
    begin = time.perf_counter()
    counters = STRATEGIES[mode](hbt, tick, lot)
    wall_s = time.perf_counter() - begin
    state = hbt.state_values(0)
    depth = hbt.depth(0)
    best_bid, best_ask = int(depth.best_bid_tick), int(depth.best_ask_tick)
    result = {
        "counters": [int(counter) for counter in counters],
        "fills": int(state.num_trades),
        "position_lots": round(state.position / lot),
        "equity": float(state.balance + state.position * 0.5 * (best_bid + best_ask) * tick - state.fee),
        "touch": [best_bid, best_ask],
        "wall_s": wall_s,
    }
    hbt.close()
    return result


def run(job: Job) -> Result:
    """Simulate once; the first run of a mode is preceded by a short one that compiles it."""
    if job["mode"] not in compiled:
        simulate(job["data"], job["mode"], job["queue"], COMPILE_ROWS)
        compiled.add(job["mode"])
    return simulate(job["data"], job["mode"], job["queue"], None)


if __name__ == "__main__":
    serve(run)
