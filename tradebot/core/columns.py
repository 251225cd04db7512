"""One layout for recorded market data: parallel integer columns, one instrument, one row per fact.

Readers (files, recorder databases) produce it, the simulator's kernels consume it; nothing between them copies rows.

Rows are in the order in which both clocks saw them: `exchange_time_ns` never falls over the rows that carry
`AT_EXCHANGE`, `local_time_ns` never falls over the rows that carry `AT_LOCAL`, and a row is never received before it
happened. A feed whose two clocks saw the same order (one stream) has both flags on every row. Where streams overtake
each other, a reader writes the row twice, once per clock, each at its own place; the kernels then keep two books.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core.errors import InvariantError

KIND_MASK: Final = 0x07
LEVEL: Final = 1
"""A price level's new absolute quantity; 0 removes it."""
TRADE: Final = 2
"""A public match; `BUYER` tells the aggressor."""
CLEAR: Final = 3
"""Every level of this side is gone (a snapshot follows, or the venue said so); price and quantity are 0."""
ORDER_ADD: Final = 4
"""A resting order appeared (feeds with order ids)."""
ORDER_CANCEL: Final = 5
"""A resting order left without a trade."""
ORDER_MODIFY: Final = 6
"""A resting order has this price and quantity now; it keeps its place if the price stayed and the quantity fell."""
ORDER_FILL: Final = 7
"""A resting order traded this quantity away."""

BUYER: Final = 0x08
"""Bid level, buying aggressor or buy order; without it ask level, selling aggressor or sell order."""
AT_EXCHANGE: Final = 0x10
"""The row happens at the exchange, at `exchange_time_ns`."""
AT_LOCAL: Final = 0x20
"""The row is received by the strategy, at `local_time_ns`."""
SNAPSHOT: Final = 0x40
"""A LEVEL row that belongs to a snapshot; it acts like any other level."""
BOTH: Final = AT_EXCHANGE | AT_LOCAL

Int64s = NDArray[np.int64]
Flags = NDArray[np.uint8]

COLUMNS: Final = {
    "exchange_time_ns": np.dtype(np.int64),
    "local_time_ns": np.dtype(np.int64),
    "flags": np.dtype(np.uint8),
    "price_ticks": np.dtype(np.int64),
    "qty_lots": np.dtype(np.int64),
}
"""Column name -> type, in the order of storage. `order_id` (int64) comes last, where a feed has it."""


@dataclass(frozen=True, slots=True)
class MarketColumns:
    """Market data of one instrument; every column has shape (rows,) and is contiguous. They may be memory maps."""

    exchange_time_ns: Int64s
    """UTC nanoseconds of the venue's clock (matching engine where the feed has it)."""
    local_time_ns: Int64s
    """UTC nanoseconds of receipt."""
    flags: Flags
    """Kind | side | which clocks | snapshot."""
    price_ticks: Int64s
    """Price / tick_size of the instrument."""
    qty_lots: Int64s
    """Base units or contracts / lot_size of the instrument, >= 0."""
    order_id: Int64s | None = None
    """The venue's order id, only with the ORDER kinds."""

    def __post_init__(self) -> None:
        """Raise InvariantError for a wrong type, shape or stride: the kernels read raw memory."""
        rows = len(self.flags)
        for name, dtype in (*COLUMNS.items(), ("order_id", np.dtype(np.int64))):
            column = getattr(self, name)
            if name == "order_id" and column is None:
                continue
            if column.dtype != dtype or column.shape != (rows,) or not column.flags.c_contiguous:
                raise InvariantError(
                    f"column {name}: need {rows} contiguous {dtype} values, got {column.dtype} of shape {column.shape}"
                )

    def __len__(self) -> int:
        return len(self.flags)

    def head(self, rows: int) -> MarketColumns:
        """Return the first `rows` rows, sharing memory."""
        order_id = None if self.order_id is None else self.order_id[:rows]
        return MarketColumns(
            self.exchange_time_ns[:rows],
            self.local_time_ns[:rows],
            self.flags[:rows],
            self.price_ticks[:rows],
            self.qty_lots[:rows],
            order_id,
        )
