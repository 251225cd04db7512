"""Fee schedules: what a venue charges makers and takers by the volume of the last 30 days.

A venue looks once a day, at midnight UTC, at what was traded over the 30 days before; the tier found then holds for the
day. Kernels (`kernels.fees`) and the engine's backtest apply the same schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Self

from tradebot.core.amounts import MONEY_ONE
from tradebot.core.errors import InvariantError

DAY_NS: Final = 86_400_000_000_000
WINDOW_DAYS: Final = 30
MAX_TIERS: Final = 64
BPS: Final = Decimal(10_000)
RATE_ONE: Final = 10**8
"""Scale of rates in integers: exact to a ten-thousandth of a basis point."""


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Rates from a volume on."""

    volume: Decimal
    """Traded over the window, quote units, at or above."""
    maker: Decimal
    """Share of the traded value; negative is a rebate."""
    taker: Decimal


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """A venue's table and where the account stands in it."""

    tiers: tuple[FeeTier, ...]
    """Volumes rising from 0."""
    prior_volume: Decimal = Decimal(0)
    """Traded in the 30 days before the first fill, quote units; taken as spread evenly."""
    day_ns: int = DAY_NS
    """The venue's day, from midnight UTC."""

    def __post_init__(self) -> None:
        """Raise InvariantError for what is no table."""
        volumes = [tier.volume for tier in self.tiers]
        if not 0 < len(volumes) <= MAX_TIERS or volumes[0] != 0 or sorted(set(volumes)) != volumes:
            raise InvariantError(f"fee tiers: 1 to {MAX_TIERS} with volumes that rise from 0, not {volumes}")
        if self.prior_volume < 0 or self.day_ns <= 0:
            raise InvariantError("fee schedule: a volume or a day below zero")
        for rate in (rate for tier in self.tiers for rate in (tier.maker, tier.taker)):
            if not rate.is_finite() or abs(rate) >= 1:
                raise InvariantError(f"a fee is a share of the traded value, between -1 and 1, not {rate}")

    @classmethod
    def flat(cls, maker: Decimal, taker: Decimal) -> Self:
        """Return a schedule of one tier."""
        return cls((FeeTier(Decimal(0), maker, taker),))

    @classmethod
    def of_bps(cls, rows: Sequence[tuple[Decimal, Decimal, Decimal]], prior_volume: Decimal = Decimal(0)) -> Self:
        """Return the schedule of (volume, maker bps, taker bps)."""
        return cls(tuple(FeeTier(volume, maker / BPS, taker / BPS) for volume, maker, taker in rows), prior_volume)


class FeeAccount:
    """One account's volume, day by day, and its tier."""

    def __init__(self, schedule: FeeSchedule) -> None:
        self._schedule = schedule
        self._days: dict[int, Fraction] = {}
        """Day -> volume; no older than the window."""
        self._first_day: int | None = None
        self._tier = 0
        self._tier_day: int | None = None

    def tier(self, now_ns: int) -> FeeTier:
        """Return the rates of a time; times never fall by more than the day they are in."""
        schedule = self._schedule
        if len(schedule.tiers) == 1:
            return schedule.tiers[0]
        day = now_ns // schedule.day_ns
        if day != self._tier_day:
            self._first_day = day if self._first_day is None else self._first_day
            self._tier_day = day
            volume = self._window(day)
            self._tier = max(place for place, tier in enumerate(schedule.tiers) if tier.volume <= volume)
            self._days = {one: traded for one, traded in self._days.items() if one >= day - WINDOW_DAYS}
        return schedule.tiers[self._tier]

    def scaled(self, is_maker: bool, now_ns: int) -> int:
        """Return a rate times RATE_ONE."""
        tier = self.tier(now_ns)
        return int((tier.maker if is_maker else tier.taker) * RATE_ONE)

    def traded_money(self, money: int, now_ns: int) -> None:
        """Count a fill, quote Money."""
        if len(self._schedule.tiers) > 1:
            self.traded(Decimal(money) / MONEY_ONE, now_ns)

    def traded(self, volume: Decimal, now_ns: int) -> None:
        """Count a fill, quote units."""
        day = now_ns // self._schedule.day_ns
        self._days[day] = self._days.get(day, Fraction(0)) + Fraction(volume)

    def _window(self, day: int) -> Fraction:
        assert self._first_day is not None
        days = range(day - WINDOW_DAYS, day)
        before = sum(1 for one in days if one < self._first_day)
        own = sum((self._days.get(one, Fraction(0)) for one in days if one >= self._first_day), Fraction(0))
        return own + Fraction(self._schedule.prior_volume) * before / WINDOW_DAYS
