"""How entries without a quantity are sized: the methods as written in a limits file.

Amounts are in account currency unless said otherwise; percentages of equity. See docs/risk-money.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field

from riskd.base_limits import PositiveDecimal
from riskd.round_trips import MAX_TRIPS
from tradebot.runtime.config import ConfigModel

KELLY_CLIP_PCT: Final = Decimal(5)
"""Kelly-lite never puts more of the equity into one trade."""

Percent = Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False)]
Trips = Annotated[int, Field(gt=0, le=MAX_TRIPS)]


class FixedQuote(ConfigModel):
    """The same amount every time."""

    method: Literal["fixed_quote"]
    quote_amount: PositiveDecimal
    """Quote asset per entry at strength 1."""


class Adaptation(ConfigModel):
    """How PnL and win rate of a strategy's latest round trips move its cap."""

    window: Trips
    min_trips: Trips
    """Fewer leave the cap as it is."""
    raise_at_win_pct: Percent
    """Above it the cap grows in a straight line up to `max_factor` at 100 %, if the window and the day have earned."""
    lower_at_win_pct: Percent
    """Below it the cap shrinks in a straight line down to `min_factor` at 0 %."""
    max_factor: Annotated[Decimal, Field(ge=1, le=10)]
    min_factor: Annotated[Decimal, Field(gt=0, le=1)]
    """A window that lost is at most halfway between this and 1, whatever it won how often."""


class PerTradeAllocation(ConfigModel):
    """min(free balance / max_open_trades, max_per_trade), within the day's allocation."""

    method: Literal["per_trade_allocation"]
    max_open_trades: Annotated[int, Field(gt=0)]
    max_per_trade: PositiveDecimal
    daily_allocation_pct: Percent = Decimal(100)
    """All positions and entries together, in percent of the balance at the start of the day."""
    adapt: Adaptation | None = None


class RiskPerTrade(ConfigModel):
    """The stop distance decides: a stopped trade loses this much, costs included."""

    method: Literal["risk_per_trade"]
    risk_pct: Percent
    max_risk: PositiveDecimal
    cost_bps: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
    """Fees of both sides and slippage of the stop."""
    default_stop_pct: Percent | None = None
    """For entries without a stop plan; None = those are not sized."""


class VolatilityTarget(ConfigModel):
    """budget x target volatility / measured volatility: every position moves about as much."""

    method: Literal["volatility_target"]
    budget: PositiveDecimal
    target_daily_vol_pct: Percent
    per_symbol_cap: PositiveDecimal
    """Worst-case value of one instrument, over all strategies."""
    total_cap: PositiveDecimal
    """Worst-case value of all instruments."""
    min_vol_pct: Percent
    """A calmer market counts as this volatile."""
    half_life_min: Annotated[int, Field(gt=0, le=1440)] = 60
    warm_up_min: Annotated[int, Field(gt=0, le=1440)] = 30
    """Minutes of returns before a measurement counts."""
    cold_vol_pct: Percent | None = None
    """Daily volatility assumed until then; None = nothing is sized until then."""


class KellyLite(ConfigModel):
    """A fraction of the Kelly share p - (1 - p) / payoff of the strategy's own round trips, clipped to 0 .. 5 %."""

    method: Literal["kelly_lite"]
    fraction: Annotated[Decimal, Field(gt=0, le=1)]
    clip_pct: Annotated[Decimal, Field(gt=0, le=KELLY_CLIP_PCT)] = KELLY_CLIP_PCT
    window: Trips = 100
    min_trips: Trips = 30
    unproven_pct: Annotated[Decimal, Field(gt=0, le=KELLY_CLIP_PCT)]
    """Share of equity while there are fewer trips."""
    max_per_trade: PositiveDecimal


Sizing = Annotated[
    FixedQuote | PerTradeAllocation | RiskPerTrade | VolatilityTarget | KellyLite, Field(discriminator="method")
]
"""One of the methods."""
