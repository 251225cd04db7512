"""Order-by-order feeds as rows of levels and trades, with what a queue position needs to be exact.

A row that adds, modifies, cancels or fills an order becomes the new quantity of its level (and, for a fill, a trade),
so books, trades and stops work as with any feed. Beside each such row stands how many lots came or went there, and the
row at which those lots had taken their place in the queue: lots that were placed before one of our orders are ahead of
it, all others behind. Nothing is estimated. Kinds and rules are those of `tradebot.core.columns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradebot.core import columns
from tradebot.core.columns import Flags, Int64s, MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled

KIND_MASK = columns.KIND_MASK
LEVEL, TRADE, CLEAR = columns.LEVEL, columns.TRADE, columns.CLEAR
ADD, CANCEL, MODIFY, FILL = columns.ORDER_ADD, columns.ORDER_CANCEL, columns.ORDER_MODIFY, columns.ORDER_FILL
BUYER, BOTH = columns.BUYER, columns.BOTH
PRICE_BOUND, QTY_BOUND = at.PRICE_BOUND, at.QTY_BOUND

ON_TAPE: Final = -1
"""Place of a trade that names no order: everybody has seen it, it fills nobody."""
MAX_SPAN_TICKS: Final = 1 << 27

# Columns of one order's state.
_SIDE, _PRICE, _QTY, _PLACE, _ERA = range(5)
_STATE: Final = 5

OK, KIND, CLOCKS, QTY, PRICE, KNOWN, UNKNOWN, SIDE, TOO_MUCH = range(9)
PROBLEMS: Final = (
    "",
    "its flags name a kind that a feed of orders does not have",
    "both clocks must have seen the orders in one order: its flags name only one",
    "its quantity is zero, negative or absurd",
    "its price is absurd",
    "the order is in the book already",
    "the order is not in the book: begin the feed with a snapshot of all orders",
    "the order is of the other side",
    "more is filled than the order has left",
)


@compiled
def expand(
    flags: Flags,
    prices: Int64s,
    qtys: Int64s,
    orders: Int64s,
    low: int,
    fills_remove: bool,
    state: Int64s,
    totals: Int64s,
    out_flags: Flags,
    out: Int64s,
    found: Int64s,
) -> int:
    """Write the rows; return 0 or a number of PROBLEMS, with the rows read and written in `found`.

    Args:
        flags, prices, qtys: The feed's columns.
        orders: Its order ids, numbered 0, 1, …
        low: Lowest price.
        fills_remove: A fill takes its lots off the book; False = a cancel or modify that follows it does.
        state: Shape (orders, 5), zeros.
        totals: Shape (2, prices), zeros: lots per level, bids and asks.
        out_flags, out: Room for twice as many rows; `out` has shape (5, room): price, qty, change, place, row read.
        found: Shape (2,).
    """
    count = 0
    eras = np.ones(2, np.int64)
    for row in range(len(flags)):
        found[0], found[1] = row, count
        flag = flags[row]
        kind = flag & KIND_MASK
        if flag & BOTH != BOTH:
            return CLOCKS
        bare = flag & ~(KIND_MASK | BUYER)
        if kind in (TRADE, CLEAR):
            if kind == CLEAR:
                side = 0 if flag & BUYER else 1
                eras[side] += 1
                totals[side] = 0
            out_flags[count] = flag
            out[0, count], out[1, count], out[2, count] = prices[row], qtys[row], 0
            out[3, count], out[4, count] = ON_TAPE, row
            count += 1
            continue
        if kind < ADD:
            return KIND
        order = state[orders[row]]
        side = 0 if flag & BUYER else 1
        is_here = order[_ERA] == eras[0 if order[_SIDE] > 0 else 1] and order[_QTY] > 0
        qty, price = qtys[row], prices[row]
        if kind != CANCEL and (qty <= 0 or qty > QTY_BOUND):
            return QTY
        if kind in (ADD, MODIFY) and abs(price) > PRICE_BOUND:
            return PRICE
        if kind == ADD:
            if is_here:
                return KNOWN
            was_cleared = order[_QTY] > 0 and order[_SIDE] == 1 - 2 * side
            if not (was_cleared and order[_PRICE] == price and qty <= order[_QTY]):
                order[_PLACE] = count  # not the same order, seen again in a snapshot: a new place
            order[_SIDE], order[_PRICE], order[_QTY], order[_ERA] = 1 - 2 * side, price, qty, eras[side]
            totals[side, price - low] += qty
            out_flags[count] = bare | LEVEL | (BUYER if side == 0 else 0)
            out[0, count], out[1, count], out[2, count] = price, totals[side, price - low], qty
            out[3, count], out[4, count] = order[_PLACE], row
            count += 1
            continue
        if not is_here:
            return UNKNOWN
        if order[_SIDE] != 1 - 2 * side:
            return SIDE
        old, held, place = order[_PRICE], order[_QTY], order[_PLACE]
        change, stays = -held, 0
        if kind == FILL:
            if qty > held:
                return TOO_MUCH
            out_flags[count] = bare | TRADE | (0 if side == 0 else BUYER)
            out[0, count], out[1, count], out[2, count], out[3, count], out[4, count] = old, qty, 0, place, row
            count += 1
            if not fills_remove:
                continue
            change, stays = -qty, held - qty
        elif kind == MODIFY and price == old:
            stays = qty
            if qty <= held:
                change = qty - held
            else:
                order[_PLACE] = count  # larger: to the end of the queue
        order[_QTY] = stays
        totals[side, old - low] += stays - held
        out_flags[count] = bare | LEVEL | (BUYER if side == 0 else 0)
        out[0, count], out[1, count], out[2, count] = old, totals[side, old - low], change
        out[3, count], out[4, count] = place, row
        count += 1
        if kind == MODIFY and price != old:
            order[_PRICE], order[_QTY], order[_PLACE] = price, qty, count
            totals[side, price - low] += qty
            out_flags[count] = bare | LEVEL | (BUYER if side == 0 else 0)
            out[0, count], out[1, count], out[2, count] = price, totals[side, price - low], qty
            out[3, count], out[4, count] = count, row
            count += 1
    found[1] = count
    return OK


@dataclass(frozen=True, slots=True)
class QueueChanges:
    """What stands beside each row of a feed that was made of orders."""

    changes: Int64s
    """Lots that came (> 0) or went (< 0) at the row's level."""
    places: Int64s
    """Row at which those lots had taken their place; of a trade: the filled order's. ON_TAPE = no order."""
    rows: Int64s
    """Row of the order feed."""
    order_ids: Int64s
    """The venue's id of the order, 0 = none."""


def levels_of(rows: MarketColumns, *, fills_remove: bool = True) -> tuple[MarketColumns, QueueChanges]:
    """Return an order-by-order feed as levels and trades.

    Args:
        rows: Columns with order ids: ORDER kinds, TRADE rows of the tape, CLEAR.
        fills_remove: False for feeds in which a fill is followed by the cancel or modify that takes it off the book.

    Raises:
        InvariantError: Naming the first bad row.
    """
    if rows.order_id is None:
        raise InvariantError("a feed of orders needs the column order_id")
    kinds = rows.flags & np.uint8(KIND_MASK)
    priced = rows.price_ticks[(kinds == ADD) | (kinds == MODIFY)]
    low, high = (int(priced.min()), int(priced.max())) if len(priced) else (0, 0)
    if high - low > MAX_SPAN_TICKS:
        raise InvariantError(f"prices from {low} to {high} ticks span more than {MAX_SPAN_TICKS}: drop the outliers")
    ids, orders = np.unique(rows.order_id, return_inverse=True)
    state = np.zeros((len(ids), _STATE), np.int64)
    totals = np.zeros((2, high - low + 1), np.int64)
    flags, out, found = np.zeros(2 * len(rows), np.uint8), np.zeros((5, 2 * len(rows)), np.int64), np.zeros(2, np.int64)
    problem = expand(
        rows.flags, rows.price_ticks, rows.qty_lots, orders.astype(np.int64).ravel(), low, fills_remove, state, totals,
        flags, out, found,
    )  # fmt: skip
    if problem != OK:
        raise InvariantError(f"order row {found[0]}, id {rows.order_id[found[0]]}: {PROBLEMS[problem]}")
    count = int(found[1]) if len(rows) else 0
    price, qty, changes, places, sources = (np.ascontiguousarray(column[:count]) for column in out)
    made = MarketColumns(rows.exchange_time_ns[sources], rows.local_time_ns[sources], flags[:count], price, qty)
    named = np.where(places == ON_TAPE, 0, rows.order_id[sources]) if count else places
    return made, QueueChanges(changes, places, sources, named)
