"""Margin arithmetic in scaled integers: what a position needs, how much of it is used, where the venue liquidates.

The venue's own figures are the truth (MarginState, PositionMargin); these formulas say what an order would make of them
and check what the venue says. Isolated margin, one-way mode. Source: the venues' published formulas, see
docs/risk-money.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.units import PPM, UNIT, to_units_floor
from tradebot.core.accounts import MarginState
from tradebot.core.pnl import Contract

EXHAUSTED_PPM: Final = 10**9
"""Use of a margin account that has nothing left: a thousand times everything."""


@dataclass(frozen=True, slots=True)
class MarginUse:
    """How much of a margin account is in use; ppm of its margin balance, rounded up."""

    initial_ppm: int
    maintenance_ppm: int
    """1,000,000 is liquidation."""


def use(state: MarginState) -> MarginUse:
    """Return how much of a margin account is used. One without any margin left is exhausted."""
    balance = to_units_floor(state.margin_balance)
    if balance <= 0:
        return MarginUse(EXHAUSTED_PPM, EXHAUSTED_PPM)
    initial, maintenance = to_units_floor(state.initial_margin), to_units_floor(state.maintenance_margin)
    return MarginUse(-(-initial * PPM // balance), -(-maintenance * PPM // balance))


def initial_margin(notional: int, leverage: int) -> int:
    """Return what opening a notional needs at a leverage in units (10x = 10 UNIT), rounded up."""
    return -(-notional * UNIT // leverage)


def maintenance_margin(notional: int, rate_ppm: int, deduction: int = 0) -> int:
    """Return what keeping a notional needs in its tier, rounded up.

    Args:
        notional: Settlement asset, units.
        rate_ppm: The tier's maintenance margin rate.
        deduction: The tier's maintenance amount: what the lower tiers need less.
    """
    return max(0, -(-notional * rate_ppm // PPM) - deduction)


def liquidation_price(
    contract: Contract, qty: int, entry_flow: int, margin: int, rate_ppm: int, deduction: int = 0
) -> int | None:
    """Return the price in units at which an isolated position has only its maintenance margin left.

    Solves margin + unrealized(price) = notional(price) x rate - deduction for the price; exact but for the last unit,
    which is rounded towards the market (a liquidation is never seen later than it comes). Where a venue asks for
    maintenance margin of the entry value, take that off `margin` and pass a rate of 0.

    Args:
        contract: How the instrument pays.
        qty: Signed units, not 0.
        entry_flow: What entering moved.
        margin: Margin of the position, settlement asset.
        rate_ppm: Maintenance margin rate of its tier.
        deduction: Maintenance amount of its tier.

    Returns:
        The price, or None when no price above 0 liquidates it.
    """
    own = margin + entry_flow + deduction
    if contract.inverse:
        # own - qty x m / p = |qty| x m / p x rate: the coin value falls as the price rises.
        value = qty * contract.multiplier  # x 1e12 of coin per price unit
        need = value * PPM + abs(value) * rate_ppm
        if need == 0 or own == 0 or (need > 0) != (own > 0):
            return None
        return _toward_market(need, own * PPM, qty)
    # own + qty x m x p = |qty| x m x p x rate
    size = qty * contract.multiplier
    need = abs(size) * rate_ppm - size * PPM
    if need == 0 or own == 0 or (need > 0) != (own > 0):
        return None
    return _toward_market(own * PPM * UNIT * UNIT, need, qty)


def _toward_market(numerator: int, denominator: int, qty: int) -> int:
    """Divide; up for a long position (whose liquidation lies below), down for a short one."""
    return -(-numerator // denominator) if qty > 0 else numerator // denominator
