"""Market data that has been looked through: kernels index raw memory with it, so nothing may reach them unchecked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradebot.core import columns
from tradebot.core.columns import Flags, Int64s, MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.by_order import QueueChanges, levels_of
from tradebot.sim.kernels.jit import compiled

KIND_MASK = columns.KIND_MASK
LEVEL = columns.LEVEL
TRADE = columns.TRADE
CLEAR = columns.CLEAR
AT_EXCHANGE = columns.AT_EXCHANGE
AT_LOCAL = columns.AT_LOCAL
BOTH = columns.BOTH

PRICE_BOUND = at.PRICE_BOUND
QTY_BOUND = at.QTY_BOUND
MAX_LADDER_TICKS: Final = 1 << 27
"""Widest price range of one feed: 1 GiB of address space per side, of which only touched pages are real."""

OK: Final = 0
PROBLEMS: Final = (
    "",
    "its flags name no kind the simulator knows",
    "its flags name neither the exchange's nor the strategy's clock",
    "its quantity is negative, zero for a trade, or absurd",
    "its price is absurd",
    "its exchange time is before the row above",
    "its local time is before the row above",
    "it was received before it happened: correct the latencies first",
)


@compiled
def look_through(
    exchange_times: Int64s,
    local_times: Int64s,
    flags: Flags,
    prices: Int64s,
    qtys: Int64s,
    lookahead_ns: int,
    found: Int64s,
) -> int:
    """Check every row; return 0 or a number of PROBLEMS with the row in found[0].

    found: shape (6,): row, lowest price, highest price, most rows in flight, 1 when both clocks saw one order, rows.
    """
    last_exchange = -(1 << 62)
    last_local = -(1 << 62)
    low = 1 << 62
    high = -(1 << 62)
    one_order = 1
    ahead = 0
    most = 0
    rows = len(flags)
    for row in range(rows):
        found[0] = row
        flag = flags[row]
        kind = flag & KIND_MASK
        if kind not in (LEVEL, TRADE, CLEAR):
            return 1
        if not flag & BOTH:
            return 2
        qty = qtys[row]
        if qty < 0 or qty > QTY_BOUND or (kind == TRADE and qty == 0):
            return 3
        price = prices[row]
        if price > PRICE_BOUND or price < -PRICE_BOUND:
            return 4
        exchange_ns = exchange_times[row]
        local_ns = local_times[row]
        if flag & AT_EXCHANGE:
            if exchange_ns < last_exchange:
                return 5
            last_exchange = exchange_ns
        if flag & AT_LOCAL:
            if local_ns < last_local:
                return 6
            last_local = local_ns
        if local_ns < exchange_ns:
            return 7
        if kind == CLEAR or flag & BOTH != BOTH:
            # Undoing rows in flight cannot bring a cleared side back.
            one_order = 0
        if kind != CLEAR:
            low = min(low, price)
            high = max(high, price)
        if one_order:
            while ahead < rows and exchange_times[ahead] <= local_ns + lookahead_ns:
                ahead += 1
            most = max(most, ahead - row)
    found[1] = low
    found[2] = high
    found[3] = most
    found[4] = one_order
    found[5] = rows
    return 0


@dataclass(frozen=True, slots=True)
class Feed:
    """Checked columns of one instrument and what the kernels must know about them. Make it once, simulate often."""

    columns: MarketColumns
    low: int
    """Lowest price, ticks."""
    high: int
    in_flight: int
    """Most rows that have happened and not been received, at any wake."""
    one_order: bool
    """Both clocks saw the rows in the same order."""

    queue: QueueChanges | None = None
    """Of a feed made of orders: what moved in the queues."""

    @classmethod
    def of(cls, rows: MarketColumns, lookahead_ns: int = 0) -> Feed:
        """Look through the columns.

        Args:
            rows: Market data.
            lookahead_ns: Smallest order-entry latency that will be simulated with waits for responses.

        Raises:
            InvariantError: Naming the first bad row.
        """
        if rows.order_id is not None:
            raise InvariantError("a feed of single orders: make it with Feed.of_orders")
        return cls._checked(rows, lookahead_ns, None)

    @classmethod
    def of_orders(cls, rows: MarketColumns, lookahead_ns: int = 0, *, fills_remove: bool = True) -> Feed:
        """Look through a feed of single orders; see `by_order`. Its books can be used with any queue model.

        Args:
            rows: Market data with order ids.
            lookahead_ns: As in `of`.
            fills_remove: False for feeds in which a cancel or modify follows each fill and takes it off the book.

        Raises:
            InvariantError: Naming the first bad row.
        """
        made, queue = levels_of(rows, fills_remove=fills_remove)
        return cls._checked(made, lookahead_ns, queue)

    @classmethod
    def _checked(cls, rows: MarketColumns, lookahead_ns: int, queue: QueueChanges | None) -> Feed:
        found = np.zeros(6, np.int64)
        problem = look_through(
            rows.exchange_time_ns, rows.local_time_ns, rows.flags, rows.price_ticks, rows.qty_lots, lookahead_ns, found
        )
        if problem != OK:
            row = int(found[0]) if queue is None else int(queue.rows[found[0]])
            raise InvariantError(f"market data row {row}: {PROBLEMS[problem]}")
        low, high = (int(found[1]), int(found[2])) if found[1] <= found[2] else (0, 0)
        if high - low > MAX_LADDER_TICKS:
            raise InvariantError(
                f"prices from {low} to {high} ticks span more than {MAX_LADDER_TICKS}: drop the outliers"
            )
        return cls(rows, low, high, int(found[3]), bool(found[4]), queue)
