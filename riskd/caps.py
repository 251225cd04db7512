"""Caps: a share of equity beside an absolute amount."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from riskd.units import PPM, PPM_PER_PCT, to_units


@dataclass(frozen=True, slots=True)
class Cap:
    """A share of equity and an absolute amount; the stricter holds."""

    ppm: int
    absolute: int
    """Units of account currency."""

    def of(self, equity: int, factor_ppm: int) -> int:
        """Return the cap in units at this equity, multiplied by a size factor."""
        share = equity * self.ppm // PPM
        cap = min(self.absolute, share)
        return cap if factor_ppm == PPM else cap * factor_ppm // PPM


def make_cap(pct: Decimal, absolute: Decimal) -> Cap:
    """Return a cap of the limits file: percent of equity, and account currency."""
    return Cap(int(pct * PPM_PER_PCT), to_units(absolute))
