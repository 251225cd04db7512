"""The arithmetic of the sizing methods, in integers: amounts in units, ratios in ppm. Every rounding makes smaller.

A method makes offers, each with the name of the factor behind it; the smallest one holds and is the factor that bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from riskd import sizing_limits as limits
from riskd.round_trips import TripStats
from riskd.units import PPM, PPM_PER_BPS, PPM_PER_PCT, to_units

MIN_PAYOFF_PPM: Final = 1
"""Least average loss that a payoff is computed with: a strategy that never lost has no infinite payoff."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An amount and the factor that it comes from."""

    amount: int
    factor: str


def smallest(*offers: Offer) -> Offer:
    """Return the smallest offer, the first of equals, never below 0."""
    least = min(offers, key=lambda offer: offer.amount)
    return Offer(max(0, least.amount), least.factor)


@dataclass(frozen=True, slots=True)
class AdaptationRule:
    """`limits.Adaptation` as ints."""

    window: int
    min_trips: int
    raise_at_ppm: int
    lower_at_ppm: int
    max_ppm: int
    min_ppm: int


def adaptation_ppm(rule: AdaptationRule, stats: TripStats, day_ppm: int | None) -> int:
    """Return the factor on a strategy's cap.

    Args:
        rule: The rule.
        stats: Its latest `rule.window` round trips.
        day_ppm: Day PnL of the account, None = not known (then nothing grows).
    """
    if stats.trips < rule.min_trips:
        return PPM
    won = stats.win_rate_ppm
    factor = PPM
    if won < rule.lower_at_ppm:
        factor -= -(-(PPM - rule.min_ppm) * (rule.lower_at_ppm - won) // rule.lower_at_ppm)
    elif won > rule.raise_at_ppm and stats.net_ppm > 0 and day_ppm is not None and day_ppm >= 0:
        factor += (rule.max_ppm - PPM) * (won - rule.raise_at_ppm) // (PPM - rule.raise_at_ppm)
    if stats.net_ppm < 0:
        factor = min(factor, (PPM + rule.min_ppm) // 2)
    return factor


def per_trade_allocation(available: int, max_open_trades: int, max_per_trade: int) -> Offer:
    """Return min(available / max_open_trades, max_per_trade)."""
    return smallest(Offer(max_per_trade, "max_per_trade"), Offer(available // max_open_trades, "available_per_trade"))


def risk_per_trade(equity: int, risk_ppm: int, max_risk: int, stop_ppm: int, cost_ppm: int) -> Offer:
    """Return the value whose stop-out loses `risk_ppm` of equity, or `max_risk`, whichever is less.

    Args:
        equity: Units of account currency.
        risk_ppm: Share of equity.
        max_risk: Absolute cap of the loss.
        stop_ppm: Distance of the stop from the entry, > 0.
        cost_ppm: Fees of both sides and slippage, share of the value.
    """
    risk = smallest(Offer(equity * risk_ppm // PPM, "risk_per_trade"), Offer(max_risk, "max_risk"))
    return Offer(risk.amount * PPM // (stop_ppm + cost_ppm), risk.factor)


def volatility_target(budget: int, target_ppm: int, volatility_ppm: int) -> Offer:
    """Return budget x target / measured; both are daily volatilities, measured > 0."""
    return Offer(budget * target_ppm // volatility_ppm, "volatility_target")


def kelly_ppm(stats: TripStats, fraction_ppm: int, clip_ppm: int) -> int:
    """Return the clipped share of equity: fraction x (p - (1 - p) / b), b = average win / average loss."""
    if not stats.trips or not stats.win_ppm:
        return 0
    won, loss = stats.win_rate_ppm, max(MIN_PAYOFF_PPM, stats.loss_ppm)
    share = won - -(-(PPM - won) * loss // stats.win_ppm)
    return min(clip_ppm, max(0, share * fraction_ppm // PPM))


@dataclass(frozen=True, slots=True)
class SizingRule:
    """A method of the limits file as ints; what a method does not use is 0."""

    method: str
    amount: int = 0
    """Fixed quote amount, cap per trade, largest risk, or volatility budget."""
    max_open_trades: int = 1
    daily_ppm: int = 0
    adapt: AdaptationRule | None = None
    share_ppm: int = 0
    """Risk per trade, target volatility or Kelly fraction."""
    cost_ppm: int = 0
    default_stop_ppm: int = 0
    per_symbol_cap: int = 0
    total_cap: int = 0
    min_vol_ppm: int = 0
    cold_vol_ppm: int = 0
    half_life_min: int = 0
    warm_up_min: int = 0
    clip_ppm: int = 0
    window: int = 0
    min_trips: int = 0
    unproven_ppm: int = 0


def make_sizing(sizing: limits.Sizing) -> SizingRule:
    """Return the ints of a method."""
    match sizing:
        case limits.FixedQuote():
            return SizingRule(sizing.method, to_units(sizing.quote_amount))
        case limits.PerTradeAllocation():
            return SizingRule(
                sizing.method,
                to_units(sizing.max_per_trade),
                max_open_trades=sizing.max_open_trades,
                daily_ppm=_pct(sizing.daily_allocation_pct),
                adapt=None if sizing.adapt is None else _adaptation(sizing.adapt),
            )
        case limits.RiskPerTrade():
            return SizingRule(
                sizing.method,
                to_units(sizing.max_risk),
                share_ppm=_pct(sizing.risk_pct),
                cost_ppm=math.ceil(sizing.cost_bps * PPM_PER_BPS),
                default_stop_ppm=0 if sizing.default_stop_pct is None else _pct(sizing.default_stop_pct),
            )
        case limits.VolatilityTarget():
            return SizingRule(
                sizing.method,
                to_units(sizing.budget),
                share_ppm=_pct(sizing.target_daily_vol_pct),
                per_symbol_cap=to_units(sizing.per_symbol_cap),
                total_cap=to_units(sizing.total_cap),
                min_vol_ppm=_pct(sizing.min_vol_pct),
                cold_vol_ppm=0 if sizing.cold_vol_pct is None else _pct(sizing.cold_vol_pct),
                half_life_min=sizing.half_life_min,
                warm_up_min=sizing.warm_up_min,
            )
        case limits.KellyLite():
            return SizingRule(
                sizing.method,
                to_units(sizing.max_per_trade),
                share_ppm=int(sizing.fraction * PPM),
                clip_ppm=_pct(sizing.clip_pct),
                window=sizing.window,
                min_trips=sizing.min_trips,
                unproven_ppm=_pct(sizing.unproven_pct),
            )


def _pct(value: Decimal) -> int:
    return int(value * PPM_PER_PCT)


def _adaptation(adapt: limits.Adaptation) -> AdaptationRule:
    return AdaptationRule(
        adapt.window,
        adapt.min_trips,
        _pct(adapt.raise_at_win_pct),
        _pct(adapt.lower_at_win_pct),
        int(adapt.max_factor * PPM),
        int(adapt.min_factor * PPM),
    )
