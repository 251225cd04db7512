"""Fee tiers in the kernels: the volume of the last 30 days decides once a day what a fill costs, as in `sim.fees`.

Markets of one venue share one table of volumes by day. It is exact for one market; where several share it, one that is
looked at first after midnight does not know the others' fills of the wake that midnight fell into.
"""

from __future__ import annotations

from typing import Final

from tradebot.sim.fees import WINDOW_DAYS
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Floats, Words, floats_at

# The venue's volumes, float64.
LAST_DAY: Final = 0
"""-1 before the first fill."""
FIRST_DAY: Final = 1
PRIOR_PER_DAY: Final = 2
FIRST_SLOT: Final = 3
SLOTS: Final = WINDOW_DAYS + 2
"""Days that are remembered: the window, today, and one for markets that are behind."""
VOLUME_WORDS: Final = FIRST_SLOT + SLOTS
TIER_COLUMNS: Final = 3
"""Volume, maker rate, taker rate."""
DAYS = WINDOW_DAYS


@compiled
def choose_tier(w: Words, f: Floats, time_ns: int) -> None:
    """At the first fill of a day: take the tier of the window before it."""
    day = time_ns // w[at.FEE_DAY_NS]
    if day == w[at.FEE_DAY]:
        return
    w[at.FEE_DAY] = day
    volumes = floats_at(w[at.VOLUMES])
    if volumes[LAST_DAY] < 0.0:
        volumes[LAST_DAY] = float(day)
        volumes[FIRST_DAY] = float(day)
    last = int(volumes[LAST_DAY])
    for fresh in range(max(last + 1, day - SLOTS + 1), day + 1):
        volumes[FIRST_SLOT + fresh % SLOTS] = 0.0
    volumes[LAST_DAY] = float(max(last, day))
    traded = 0.0
    for one in range(day - DAYS, day):
        traded += volumes[FIRST_SLOT + one % SLOTS] if one >= int(volumes[FIRST_DAY]) else volumes[PRIOR_PER_DAY]
    table = floats_at(w[at.FEE_TABLE])
    tier = 0
    while tier + 1 < w[at.FEE_TIERS] and table[(tier + 1) * TIER_COLUMNS] <= traded:
        tier += 1
    w[at.TIER] = tier
    f[at.F_MAKER_FEE] = table[tier * TIER_COLUMNS + 1]
    f[at.F_TAKER_FEE] = table[tier * TIER_COLUMNS + 2]


@compiled
def count_volume(w: Words, f: Floats, price: int, qty: int) -> None:
    """Add a fill to its day."""
    amount = float(qty) if w[at.INVERSE] else float(price) * float(qty)
    floats_at(w[at.VOLUMES])[FIRST_SLOT + w[at.FEE_DAY] % SLOTS] += amount * f[at.F_VOLUME_UNIT]
