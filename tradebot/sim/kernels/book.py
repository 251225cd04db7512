"""Price ladders: one word per tick, quantity << 1 | mark; the mark says that one of our orders stands there.

Index 0 and the top index are walls with a quantity, so a search for the next level needs no bound.
"""

from __future__ import annotations

from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.layout import PAGE_BITS
from tradebot.sim.kernels.memory import Words


@compiled
def level_below(ladder: Words, index: int) -> int:
    """Return the next lower index that has a quantity; 0 when there is none."""
    index -= 1
    while ladder[index] < 2:
        index -= 1
    return index


@compiled
def level_above(ladder: Words, index: int) -> int:
    """Return the next higher index that has a quantity; the top index when there is none."""
    index += 1
    while ladder[index] < 2:
        index += 1
    return index


@compiled
def clear_ladder(ladder: Words, used: Words, top: int) -> None:
    """Take every quantity away; our marks and the walls stay. Ladders can be wide: only pages in use are visited."""
    for page in range((top >> PAGE_BITS) + 1):
        if used[page]:
            used[page] = 0
            first = page << PAGE_BITS
            for index in range(max(first, 1), min(first + (1 << PAGE_BITS), top)):
                ladder[index] &= 1
