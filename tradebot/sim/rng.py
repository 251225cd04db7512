"""A small seeded generator, so that the same seed gives the same market on every machine and Python version.

SplitMix64 (Steele, Lea, Flood 2014): one 64-bit state, passes BigCrush, and its state is one integer to save.
"""

from __future__ import annotations

import math
from typing import Final

_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15


class SplitMix64:
    """Seeded stream of numbers. Pass it in; never make one inside a core."""

    __slots__ = ("_spare", "_state")

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK
        self._spare: float | None = None

    def next_u64(self) -> int:
        """Return the next 64 bits."""
        self._state = state = (self._state + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return state ^ (state >> 31)

    def uniform(self) -> float:
        """Return a float in [0, 1) with 53 random bits."""
        return (self.next_u64() >> 11) * (1.0 / (1 << 53))

    def between(self, low: float, high: float) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * self.uniform()

    def below(self, bound: int) -> int:
        """Return an integer in [0, bound). The bias is below 2^-40 for the small bounds used here."""
        return self.next_u64() % bound

    def exponential(self, mean: float) -> float:
        """Return a waiting time with the given mean."""
        return -mean * math.log(1.0 - self.uniform())

    def normal(self) -> float:
        """Return a standard normal (Box-Muller, both values used)."""
        spare = self._spare
        if spare is not None:
            self._spare = None
            return spare
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        angle = 2.0 * math.pi * self.uniform()
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def fork(self) -> SplitMix64:
        """Return an independent generator, so that one consumer's draws do not shift another's."""
        return SplitMix64(self.next_u64())
