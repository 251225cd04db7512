"""Round trips per strategy: from flat to flat, net of fees and funding. Win rate, payoff and streaks come from here.

A trip's result is kept as its return on what was entered (ppm), so trips in different assets compare without prices.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from riskd.units import PPM

MAX_TRIPS: Final = 200
"""Trips remembered per strategy: the longest window that a sizing rule may ask for."""


@dataclass(frozen=True, slots=True)
class TripStats:
    """Figures of the latest trips."""

    trips: int = 0
    wins: int = 0
    win_ppm: int = 0
    """Average return of the wins, ppm of what was entered."""
    loss_ppm: int = 0
    """Average loss of the others, ppm, >= 0."""
    net_ppm: int = 0
    """Sum of all returns."""

    @property
    def win_rate_ppm(self) -> int:
        """Wins per trip, rounded down; 0 without trips."""
        return self.wins * PPM // self.trips if self.trips else 0


@dataclass(slots=True)
class TripLog:
    """One strategy's trips, oldest first."""

    returns_ppm: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_TRIPS))
    losses_in_row: int = 0
    """Consecutive losing trips up to now; a trip that earns nothing counts as lost."""
    acted: int = 0
    """`losses_in_row` when a hold was last raised for them."""

    def add(self, net: int, entered: int) -> None:
        """Take one finished trip.

        Args:
            net: Result after fees and funding, units of any asset.
            entered: What its entries moved in the same units, > 0.
        """
        self.returns_ppm.append(net * PPM // max(1, entered))
        self.losses_in_row += 1
        if net > 0:
            self.begin_streak()

    def begin_streak(self) -> None:
        """No loss counts any more: a trip was won, or an operator has looked into them."""
        self.losses_in_row = self.acted = 0

    def stats(self, window: int = MAX_TRIPS) -> TripStats:
        """Return the figures of the latest `window` trips."""
        return stats_of(islice(reversed(self.returns_ppm), window))


def stats_of(returns_ppm: Iterable[int]) -> TripStats:
    """Return the figures of some returns. A return of 0 is no win: the fees were for nothing."""
    wins = losses = won = lost = 0
    for value in returns_ppm:
        if value > 0:
            wins, won = wins + 1, won + value
        else:
            losses, lost = losses + 1, lost - value
    return TripStats(wins + losses, wins, won // wins if wins else 0, -(-lost // losses) if losses else 0, won - lost)
