"""Limits of the checks that look at an order before it is sent: AUT to RAT of the limits file."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from riskd.base_limits import (
    Day_s,
    Enforced,
    EquityPct,
    Minutes,
    PositiveDecimal,
    PositiveInt,
    PriceBps,
)
from riskd.liquidity_limits import LIQUIDITY_MODELS


class IntentAge(Enforced):
    """AUT-03."""

    max_age_ms: Annotated[int, Field(gt=0, le=60_000)]
    max_future_ms: Annotated[int, Field(ge=0, le=60_000)]


class VenueReadiness(Enforced):
    """STA-03."""

    max_reconcile_age_s: Day_s
    max_session_age_ms: Annotated[int, Field(gt=0, le=60_000)]
    """Age of execd's last message: lease pings come every 250 ms."""


class RestrictedList(Enforced):
    """STA-05; the allow lists stand with the strategies."""

    deny: tuple[str, ...] = ()
    """Instrument ids that nobody may enter."""


class BookAge(Enforced):
    """MKT-01."""

    max_age_ms: dict[str, Annotated[int, Field(gt=0, le=600_000)]]
    """By instrument id, or `*`."""


class PriceCollar(Enforced):
    """PRC-01."""

    collar_bps: dict[str, PriceBps]
    """By instrument id, or `*`."""
    far_multiple: Annotated[int, Field(gt=0, le=100)]
    """The far side (a buy far below the market) is bounded by this multiple of the collar."""
    reduce_collar_bps: PriceBps
    """For reducing orders, around the last good reference."""
    reduce_reference_age_s: Day_s
    """Oldest reference of that collar. Without one so young a reducing order passes within 50 % of the last good price,
    or of what was paid for the position: what is broken may not forbid closing.
    """


class OrderQty(Enforced):
    """SIZ-01."""

    max_qty: dict[str, PositiveDecimal]
    """Base units, by instrument id, or `*`."""
    max_share_pct: Annotated[Decimal, Field(gt=0, le=100)] | None = None
    """Of what was traded within the last minute, as riskd sees it (SIZ-04); the smaller of both holds. None = off."""


class OrderValue(Enforced):
    """SIZ-02."""

    max_pct_of_equity: EquityPct
    max_notional: PositiveDecimal
    """Absolute cap in account currency."""


class FreeBalance(Enforced):
    """POS-01."""

    taker_fee_bps: Annotated[Decimal, Field(ge=0, le=1_000)]
    """Fee that is reserved with each buy."""


class Exposure(Enforced):
    """POS-02 and POS-04."""

    hard_pct: EquityPct
    """Percent of equity; beyond it the order is refused."""
    soft_pct: EquityPct
    """Percent of equity; beyond it the answer is SOFT_ALLOW."""
    max_notional: PositiveDecimal
    """Absolute cap in account currency."""
    soft_notional: PositiveDecimal | None = None
    """Absolute soft cap; None = as `max_notional`."""


class OpenPositions(Enforced):
    """POS-03."""

    max_positions: PositiveInt


class OrderRate(Enforced):
    """RAT-01; the burst of each bucket equals its rate."""

    strategy_per_second: PositiveInt
    strategy_per_minute: PositiveInt
    system_per_second: PositiveInt


class UnknownOrders(Enforced):
    """STA-06: orders whose fate is unknown, at most."""

    max_per_instrument: Annotated[int, Field(ge=0)] = 0
    max_per_venue: Annotated[int, Field(ge=0)] = 2
    """One more freezes the whole venue."""


class MaxSpread(Enforced):
    """MKT-04."""

    max_spread_bps: dict[str, PriceBps]
    """By instrument id, or `*`."""


class MarketBound(Enforced):
    """PRC-04."""

    max_bound_bps: PriceBps
    """How far beyond the opposite best the limit lies that protects a market intent."""


class MandatoryStop(Enforced):
    """PRC-05."""

    min_distance_bps: PriceBps
    max_distance_bps: PriceBps


class LiquidationDistance(Enforced):
    """PRC-06, for perpetuals with a stop."""

    min_stop_multiple: Annotated[Decimal, Field(ge=1, le=100)]
    """The liquidation is at least this many times as far from the price as the stop."""
    maintenance_pct: Annotated[Decimal, Field(gt=0, lt=100)] = Decimal(5)
    """Maintenance margin rate that is assumed: the venue tells none before there is a position. Above its own."""


class TradeRisk(Enforced):
    """SIZ-03: what an entry loses at its stop, costs included; without a stop all of it."""

    max_risk_pct: EquityPct
    """Percent of equity."""
    max_risk: PositiveDecimal
    """Absolute cap in account currency."""
    cost_bps: Annotated[Decimal, Field(ge=0, le=10_000)]
    """Fees and slippage of way in and way out together."""


class SizeOutlier(Enforced):
    """SIZ-05: an entry against the median of those before it, same strategy and instrument."""

    soft_multiple: PositiveInt = 5
    hard_multiple: PositiveInt = 10
    min_orders: Annotated[int, Field(ge=1, le=100)] = 20
    """Entries that must have been approved before there is a median."""


class EquityShare(Enforced):
    """POS-05, POS-06 and POS-11."""

    max_pct_of_equity: EquityPct
    max_notional: PositiveDecimal
    """Absolute cap in account currency."""


class SoftEquityShare(EquityShare):
    """POS-05 and POS-06. The soft cap begins with either of its two; None = as the hard one's."""

    soft_pct: EquityPct | None = None
    """Percent of equity; beyond it the answer is SOFT_ALLOW, and `soft_caps` acts."""
    soft_notional: PositiveDecimal | None = None
    """Account currency."""


class StressLoss(Enforced):
    """POS-13: all prices move together, at once, and nothing hedges: the venue of the hedge may be the one that is
    lost. A book loses in proportion, so that of a grid of shocks the farthest of each direction decides.
    """

    shock_pct: Annotated[int, Field(gt=0, le=100)] = 20
    """Fall."""
    rise_pct: Annotated[int, Field(gt=0, le=1_000)] = 20
    """Rise; what is only bought loses nothing by it."""
    stressed_spread_bps: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Five times the usual spread, say: closing pays half of it."""
    max_loss_pct: EquityPct
    """Percent of equity."""
    max_loss: PositiveDecimal
    """Absolute cap in account currency."""
    soft_pct: EquityPct | None = None
    """Percent of equity; beyond it the answer is SOFT_ALLOW, and `soft_caps` acts. None = as `max_loss_pct`."""
    soft_loss: PositiveDecimal | None = None
    """Account currency; None = as `max_loss`. The soft cap begins with either of the two."""


class AmendRate(Enforced):
    """RAT-02; the burst equals the rate. Cancels are never blocked."""

    strategy_per_second: PositiveInt


class DuplicateWindow(Enforced):
    """RAT-07."""

    window_ms: Annotated[int, Field(gt=0, le=3_600_000)]
    """Within it the same entry is not approved twice."""


class WorkingOrders(Enforced):
    """RAT-08: unfilled orders with the new one, protection included."""

    max_per_instrument: PositiveInt
    max_per_venue: PositiveInt


class Turnover(Enforced):
    """RAT-10."""

    max_times_equity: PositiveDecimal
    """Notional of the UTC day's fills with the new entry, as a multiple of equity."""


class ClockSanity(Enforced):
    """AUT-06."""

    max_offset_ms: Annotated[int, Field(gt=0, le=60_000)] = 250
    """Between our clock and the venue's, beyond what the measurement may be wrong; and the most that it may."""
    max_age_s: Day_s = 180
    """Of the measurement; execd measures once a minute."""


class RestingTime(Enforced):
    """SPC-09, for entries; IOC and FOK end on arrival."""

    max_resting_s: Annotated[int, Field(gt=1, le=86_400)] = 60
    """An entry that rests ends within it."""
    ended_by: Literal["venue", "execd"] = "venue"
    """By the venue's clock: good-till-canceled entries are refused. By execd, where the venue ends no orders: it
    cancels what is older. Either way riskd looks, and holds the instrument when an entry rests longer.
    """


class RulesAge(Enforced):
    """SPC-10."""

    max_age_min: Annotated[int, Field(gt=0, le=1_440)] = 60
    """Since execd last read the venue's trading rules; it reads them every quarter of an hour."""


class WeightBudget(Enforced):
    """RAT-03: shares of the venue's request weight; cancels may use all of it."""

    entry_pct: Annotated[int, Field(gt=0, le=100)] = 70
    reduce_pct: Annotated[int, Field(gt=0, le=100)] = 95


class WarmUp(Enforced):
    """STA-07."""

    min_samples: Annotated[int, Field(ge=1, le=300)] = 60
    """Seconds with a good book that riskd must have seen of an instrument, of the last five minutes."""


TIERS: Final = (Decimal("0.01"), Decimal("0.1"), Decimal("0.5"), Decimal(1))
"""Shares of the limits as written that a deployment may have, smallest first."""


def _as_tier(value: Decimal) -> Decimal:
    if value not in TIERS:
        raise ValueError(f"should be {', '.join(map(str, TIERS[:-1]))} or {TIERS[-1]}")
    return value


class DeploymentTier(Enforced):
    """STA-08."""

    tier: Annotated[Decimal, AfterValidator(_as_tier)] = TIERS[0]
    """Multiplies sizes, and the caps of SIZ and POS that are amounts or shares of equity."""


class DrillAge(Enforced):
    """STA-09."""

    max_age_h: Annotated[int, Field(gt=0, le=168)] = 24
    """Since the last drill of the kill switch that the venue confirmed."""


class VolatilityBreaker(Enforced):
    """MKT-07: the move of one minute, up or down."""

    max_move_bps: PriceBps = 300
    sigmas: PositiveInt = 6
    """The limit is the wider of `max_move_bps` and this multiple of the volatility of a minute, once that is known."""
    hold_min: Minutes = 5


class DriftCollar(Enforced):
    """PRC-02: the mid against its mean of five minutes. (riskd's stream is conflated: it sees no full volume.)"""

    max_drift_bps: PriceBps = 250


class VenueExposure(Enforced):
    """POS-08: what would be gone with a venue. No tier and no level changes where the money lies."""

    hard_pct: EquityPct = Decimal(60)
    """Percent of equity; beyond it the order is refused."""
    soft_pct: EquityPct = Decimal(50)
    """Percent of equity; beyond it the answer is SOFT_ALLOW."""


class StrategyAllocation(Enforced):
    """POS-09: worst-case value of what a strategy holds and works."""

    max_pct_of_equity: dict[str, EquityPct]
    """By strategy id, `manual:*` for each operator, or `*` for each of the others."""
    max_notional: dict[str, PositiveDecimal]
    """Absolute caps in account currency, by the same keys."""
    soft_share_pct: Annotated[int, Field(gt=0, le=100)] = 90
    """Of the allocation; beyond it the answer is SOFT_ALLOW."""


class Leverage(Enforced):
    """POS-10: what perpetuals are to the balance that carries them, the order with them."""

    max_leverage: Annotated[Decimal, Field(gt=0, le=100)]
    """Worst-case notional over that balance with its open results."""
    max_margin_pct: Annotated[int, Field(gt=0, le=100)] = 60
    """Initial margin at the venue's leverage, and the order's fee, of the same."""
    max_maintenance_pct: Annotated[int, Field(gt=0, lt=100)] = 35
    """Maintenance margin of the same, as the venue tells both; 100 is liquidation."""


class PortfolioHeat(Enforced):
    """POS-12: what all positions and unfilled entries lose together at their stops."""

    max_heat_pct: EquityPct
    """Percent of equity."""
    max_heat: PositiveDecimal
    """Absolute cap in account currency."""


class OrderToTrade(Enforced):
    """RAT-04: orders per trade of the last hour."""

    max_ratio: PositiveInt = 100
    min_orders: PositiveInt = 50
    """Fewer orders than this prove nothing."""
    cautious_min: Minutes = 30


class RejectRate(Enforced):
    """RAT-05: rejects of the venue in the last minute."""

    strategy_per_minute: PositiveInt = 5
    venue_per_minute: PositiveInt = 10
    pause_min: Minutes = 10


class RepeatedExecution(Enforced):
    """RAT-06: entries of a strategy on one side of an instrument without a person in between."""

    max_entries: PositiveInt = 20
    window_min: Annotated[int, Field(gt=0, le=60)] = 10
    max_per_day: PositiveInt = 100
    """On one UTC day."""


class ExecutionQuality(Enforced):
    """PNL-08: what entries paid beyond the mid at their approval, against half the spread then."""

    max_ratio: PositiveInt = 3
    fills: Annotated[int, Field(ge=1, le=100)] = 20
    """The latest of a strategy that are looked at; with fewer nothing is judged."""
    floor_bps: PriceBps = 5
    """A spread of a tick expects nothing: at least this is expected of every fill."""
    cautious_min: Minutes = 30


class AckLatency(Enforced):
    """PTR-09: from riskd's approval to the venue's acknowledgement, 99th percentile of a minute."""

    max_p99_ms: Annotated[int, Field(gt=0, le=600_000)] = 2_000
    min_orders: PositiveInt = 20
    """Fewer than this within the minute prove nothing."""
    cautious_min: Minutes = 5


ORDER_MODELS: Final[Mapping[str, type[Enforced]]] = {
    **LIQUIDITY_MODELS,
    "AUT-03": IntentAge,
    "AUT-06": ClockSanity,
    "STA-03": VenueReadiness,
    "STA-05": RestrictedList,
    "STA-06": UnknownOrders,
    "STA-07": WarmUp,
    "STA-08": DeploymentTier,
    "STA-09": DrillAge,
    "MKT-01": BookAge,
    "MKT-04": MaxSpread,
    "MKT-07": VolatilityBreaker,
    "SPC-09": RestingTime,
    "SPC-10": RulesAge,
    "PRC-01": PriceCollar,
    "PRC-02": DriftCollar,
    "PRC-04": MarketBound,
    "PRC-05": MandatoryStop,
    "PRC-06": LiquidationDistance,
    "SIZ-01": OrderQty,
    "SIZ-02": OrderValue,
    "SIZ-03": TradeRisk,
    "SIZ-05": SizeOutlier,
    "POS-01": FreeBalance,
    "POS-02": Exposure,
    "POS-03": OpenPositions,
    "POS-04": Exposure,
    "POS-05": SoftEquityShare,
    "POS-06": SoftEquityShare,
    "POS-08": VenueExposure,
    "POS-09": StrategyAllocation,
    "POS-10": Leverage,
    "POS-11": EquityShare,
    "POS-12": PortfolioHeat,
    "POS-13": StressLoss,
    "RAT-01": OrderRate,
    "RAT-02": AmendRate,
    "RAT-03": WeightBudget,
    "RAT-04": OrderToTrade,
    "RAT-05": RejectRate,
    "RAT-06": RepeatedExecution,
    "RAT-07": DuplicateWindow,
    "RAT-08": WorkingOrders,
    "RAT-10": Turnover,
    "PNL-08": ExecutionQuality,
    "PTR-09": AckLatency,
}
"""By check; the others that run before the wire take `status` alone."""
