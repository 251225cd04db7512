"""Where our order stands in the queue at its price: lots ahead of it, estimated from level updates and trades.

Risk-averse: only trades, and a level that gets smaller than what was ahead, move us forward. Probability models: a
decrease that trades do not explain happened behind us with probability p(front, back). Source: the models published by
hftbacktest 2.4 (`queue.rs`), after Rigtorp, "Estimating order queue position" (2013). The arithmetic follows it
operation by operation, NaN included, because the exactness benchmark compares every fill.
"""

from __future__ import annotations

import math
from typing import Final

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Floats, Words

RISK_AVERSE: Final = 0
POWER: Final = 1
"""f(back) / (f(back) + f(front)), f(x) = x ** n."""
LOGARITHM: Final = 2
"""f(back) / (f(back) + f(front)), f(x) = ln(1 + x), x in base units."""
POWER_OF_SUM: Final = 3
"""f(back) / f(back + front), f(x) = x ** n."""
LOGARITHM_OF_SUM: Final = 4
"""f(back) / f(back + front), f(x) = ln(1 + x)."""
POWER_COMPLEMENT: Final = 5
"""1 - f(front / (front + back)), f(x) = x ** n."""
FIFO: Final = 6
"""Exact, for feeds made of orders (`Feed.of_orders`); its arithmetic is in `fifo`."""


@compiled
def power(base: float, exponent: float) -> float:
    """Return base ** exponent; squares and cubes are exact products and cost nothing."""
    if exponent == 2.0:
        return base * base
    if exponent == 3.0:
        return base * base * base
    return float(base**exponent)


@compiled
def probability_behind(model: int, front: float, back: float, exponent: float, lot_size: float) -> float:
    """Return the probability that a decrease happened behind us, given lots ahead and behind."""
    if model == POWER:
        return power(back, exponent) / (power(back, exponent) + power(front, exponent))
    if model == LOGARITHM:
        ours = math.log(1.0 + back * lot_size)
        return ours / (ours + math.log(1.0 + front * lot_size))
    if model == POWER_OF_SUM:
        return power(back, exponent) / power(back + front, exponent)
    if model == LOGARITHM_OF_SUM:
        return math.log(1.0 + back * lot_size) / math.log(1.0 + (back + front) * lot_size)
    return 1.0 - power(front / (front + back), exponent)


@compiled
def after_level(w: Words, f: Floats, order: Floats, base: int, previous: int, new: int) -> None:
    """Move an order's queue position for a change of its level, in lots. `base` is the order's first word."""
    ahead = order[base + at.F_AHEAD]
    if w[at.QUEUE_MODEL] == RISK_AVERSE:
        order[base + at.F_AHEAD] = min(ahead, float(new))
        return
    # What trades took has been counted already.
    change = float(previous - new) - order[base + at.F_TRADED]
    order[base + at.F_TRADED] = 0.0
    if change < 0.0:
        order[base + at.F_AHEAD] = min(ahead, float(new))
        return
    back = float(previous) - ahead
    behind = probability_behind(w[at.QUEUE_MODEL], ahead, back, f[at.F_QUEUE_POWER], f[at.F_LOT_SIZE])
    if math.isinf(behind):
        behind = 1.0
    estimate = ahead - (1.0 - behind) * change + min(back - behind * change, 0.0)
    if estimate < float(new):  # false for NaN, which then becomes the whole level
        order[base + at.F_AHEAD] = estimate
    else:
        order[base + at.F_AHEAD] = float(new)


@compiled
def after_trade(order: Floats, base: int, qty: int) -> int:
    """Let a trade at our price eat the queue; return the lots of it that reach us."""
    ahead = order[base + at.F_AHEAD] - qty
    order[base + at.F_TRADED] += qty
    reached = math.floor(0.5 - ahead) if ahead < 0.0 else 0
    order[base + at.F_AHEAD] = 0.0 if reached > 0 else ahead
    return reached
