"""Price ladders: one word per tick, quantity << 1 | mark; the mark says that one of our orders stands there.

Index 0 and the top index are walls with a quantity, so a search for the next level needs no bound.
"""

from __future__ import annotations

from tradebot.sim.kernels.jit import compiled
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
def clear_ladder(ladder: Words, top: int) -> None:
    """Take every quantity away; our marks and the walls stay."""
    for index in range(1, top):
        ladder[index] &= 1
