"""Pure statistics on prices and books: one step function per feature, used one value at a time and on whole columns.

`steps` holds the arithmetic, `incremental` the objects a live strategy updates, `columns` the same steps compiled by
numba over arrays. Both forms run the same operations in the same order, so they agree bit for bit. Only `columns`
imports numba, which costs about a second at start: import it where whole columns are wanted, never in a live daemon.
Floats are right here and nowhere near an order's price or quantity.
"""

from tradebot.features.incremental import (
    Atr,
    AtrKind,
    Donchian,
    Ema,
    Keltner,
    OrderFlowImbalance,
    Return,
    RollingStatistics,
    Rsi,
    depth_imbalance,
    microprice,
)

__all__ = [
    "Atr",
    "AtrKind",
    "Donchian",
    "Ema",
    "Keltner",
    "OrderFlowImbalance",
    "Return",
    "RollingStatistics",
    "Rsi",
    "depth_imbalance",
    "microprice",
]
