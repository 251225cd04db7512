"""Limits of the order checks as ints. None = not configured, which refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from riskd.base_limits import Enforced
from riskd.caps import Cap, make_cap
from riskd.limits import Limits, for_key
from riskd.liquidity_limits import EdgeCoversCost, MinimumDepth, Participation, ReferenceDivergence, Slippage
from riskd.order_limits import (
    AckLatency,
    AmendRate,
    ClockSanity,
    DriftCollar,
    DrillAge,
    DuplicateWindow,
    EquityShare,
    ExecutionQuality,
    Leverage,
    LiquidationDistance,
    MandatoryStop,
    MarketBound,
    OrderQty,
    OrderToTrade,
    PortfolioHeat,
    RejectRate,
    RepeatedExecution,
    RestingTime,
    RulesAge,
    SizeOutlier,
    SoftEquityShare,
    StrategyAllocation,
    StressLoss,
    TradeRisk,
    Turnover,
    UnknownOrders,
    VenueExposure,
    VolatilityBreaker,
    WarmUp,
    WeightBudget,
    WorkingOrders,
)
from riskd.rates import NS_PER_MIN, NS_PER_S
from riskd.units import PPM, PPM_PER_BPS, PPM_PER_PCT

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """One int or small object per limit."""

    max_unknown_instrument: int | None
    max_unknown_venue: int | None
    market_bound_ppm: int | None
    min_stop_ppm: int | None
    max_stop_ppm: int | None
    liquidation: LiquidationRule | None
    trade_risk: Cap | None
    trade_cost_ppm: int | None
    outlier_soft: int | None
    outlier_hard: int | None
    outlier_min_orders: int | None
    net_exposure: Cap | None
    net_soft: Cap | None
    concentration: Cap | None
    concentration_soft: Cap | None
    open_order_value: Cap | None
    stress: StressRule | None
    amends_per_second: int | None
    duplicate_ns: int | None
    max_working_instrument: int | None
    max_working_venue: int | None
    turnover_ppm: int | None
    """Of equity."""
    clock: ClockSanity | None
    weight: WeightBudget | None
    resting: RestingRule | None
    rules_age_ns: int | None
    warm_up_samples: int | None
    drill_age_ns: int | None
    breaker: BreakerRule | None
    drift_ppm: int | None
    divergence_ppm: int | None
    depth: DepthRule | None
    slippage_ppm: int | None
    participation_ppm: int | None
    qty_share_ppm: int | None
    """Of the minute's volume, SIZ-01; None = off."""
    edge_multiple_ppm: int | None
    venue_hard_ppm: int | None
    """Of equity."""
    venue_soft_ppm: int | None
    allocations: Allocations | None
    leverage: LeverageRule | None
    heat: Cap | None
    order_to_trade: OrderToTrade | None
    rejects: RejectRate | None
    repeats: RepeatedExecution | None
    quality: ExecutionQuality | None
    latency: AckLatency | None
    sane_fills: bool
    """PTR-02: whether price, side and instrument of a fill are held against its order."""


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """MKT-07."""

    move_ppm: int
    sigmas: int
    hold_ns: int


@dataclass(frozen=True, slots=True)
class DepthRule:
    """MKT-06."""

    multiple_ppm: int
    within_ppm: int


@dataclass(frozen=True, slots=True)
class LeverageRule:
    """POS-10, ppm of the balance that carries perpetuals."""

    leverage_ppm: int
    margin_ppm: int
    maintenance_ppm: int


@dataclass(frozen=True, slots=True)
class StressRule:
    """POS-13."""

    fall_ppm: int
    """What is bought loses of its value when prices fall, with what closing costs then."""
    rise_ppm: int
    """The same of what is sold when they rise."""
    hard: Cap
    soft: Cap | None


@dataclass(frozen=True, slots=True)
class RestingRule:
    """SPC-09."""

    max_ns: int
    by_execd: bool
    """Whether execd ends good-till-canceled entries."""


@dataclass(frozen=True, slots=True)
class LiquidationRule:
    """PRC-06."""

    multiple_ppm: int
    """Of the stop's distance."""
    maintenance_ppm: int


@dataclass(frozen=True, slots=True)
class Allocations:
    """POS-09."""

    caps: Mapping[str, Cap]
    """By strategy, `manual:*` or `*`; one that has only half of its cap has none."""
    soft_ppm: int
    """Of the cap."""

    def cap_of(self, key: str) -> Cap | None:
        """Return the cap of a permission key."""
        return for_key(self.caps, key)


def make_order_settings(limits: Limits) -> OrderSettings:
    """Return the ints of a limits file."""
    unknown, bound = limits.enforced("STA-06", UnknownOrders), limits.enforced("PRC-04", MarketBound)
    stop, risk = limits.enforced("PRC-05", MandatoryStop), limits.enforced("SIZ-03", TradeRisk)
    outlier, stress = limits.enforced("SIZ-05", SizeOutlier), limits.enforced("POS-13", StressLoss)
    amends, twice = limits.enforced("RAT-02", AmendRate), limits.enforced("RAT-07", DuplicateWindow)
    working, turnover = limits.enforced("RAT-08", WorkingOrders), limits.enforced("RAT-10", Turnover)
    warm_up, breaker = limits.enforced("STA-07", WarmUp), limits.enforced("MKT-07", VolatilityBreaker)
    drift, heat = limits.enforced("PRC-02", DriftCollar), limits.enforced("POS-12", PortfolioHeat)
    rules, drill = limits.enforced("SPC-10", RulesAge), limits.enforced("STA-09", DrillAge)
    divergence, depth = limits.enforced("MKT-05", ReferenceDivergence), limits.enforced("MKT-06", MinimumDepth)
    slippage, share = limits.enforced("PRC-03", Slippage), limits.enforced("SIZ-04", Participation)
    edge = limits.enforced("PRC-08", EdgeCoversCost)
    allocation, venue = limits.enforced("POS-09", StrategyAllocation), limits.enforced("POS-08", VenueExposure)
    resting = limits.enforced("SPC-09", RestingTime)
    leverage, liquidation = limits.enforced("POS-10", Leverage), limits.enforced("PRC-06", LiquidationDistance)
    return OrderSettings(
        max_unknown_instrument=None if unknown is None else unknown.max_per_instrument,
        max_unknown_venue=None if unknown is None else unknown.max_per_venue,
        market_bound_ppm=None if bound is None else bound.max_bound_bps * PPM_PER_BPS,
        min_stop_ppm=None if stop is None else stop.min_distance_bps * PPM_PER_BPS,
        max_stop_ppm=None if stop is None else stop.max_distance_bps * PPM_PER_BPS,
        liquidation=None if liquidation is None else _liquidation(liquidation),
        trade_risk=None if risk is None else make_cap(risk.max_risk_pct, risk.max_risk),
        trade_cost_ppm=None if risk is None else ceil(risk.cost_bps * PPM_PER_BPS),
        outlier_soft=None if outlier is None else outlier.soft_multiple,
        outlier_hard=None if outlier is None else outlier.hard_multiple,
        outlier_min_orders=None if outlier is None else outlier.min_orders,
        net_exposure=_share(limits, "POS-05"),
        net_soft=_soft_share(limits, "POS-05"),
        concentration=_share(limits, "POS-06"),
        concentration_soft=_soft_share(limits, "POS-06"),
        open_order_value=_share(limits, "POS-11"),
        stress=None if stress is None else _stress(stress),
        amends_per_second=None if amends is None else amends.strategy_per_second,
        duplicate_ns=None if twice is None else twice.window_ms * _NS_PER_MS,
        max_working_instrument=None if working is None else working.max_per_instrument,
        max_working_venue=None if working is None else working.max_per_venue,
        turnover_ppm=None if turnover is None else int(turnover.max_times_equity * PPM),
        clock=limits.enforced("AUT-06", ClockSanity),
        weight=limits.enforced("RAT-03", WeightBudget),
        resting=None if resting is None else RestingRule(resting.max_resting_s * NS_PER_S, resting.ended_by == "execd"),
        rules_age_ns=None if rules is None else rules.max_age_min * NS_PER_MIN,
        warm_up_samples=None if warm_up is None else warm_up.min_samples,
        drill_age_ns=None if drill is None else drill.max_age_h * 60 * NS_PER_MIN,
        breaker=None if breaker is None else _breaker(breaker),
        drift_ppm=None if drift is None else drift.max_drift_bps * PPM_PER_BPS,
        divergence_ppm=None if divergence is None else divergence.max_divergence_bps * PPM_PER_BPS,
        depth=None if depth is None else _depth(depth),
        slippage_ppm=None if slippage is None else slippage.max_slippage_bps * PPM_PER_BPS,
        participation_ppm=None if share is None else int(share.max_share_pct * PPM_PER_PCT),
        qty_share_ppm=_qty_share_ppm(limits),
        edge_multiple_ppm=None if edge is None else ceil(edge.min_cost_multiple * PPM),
        venue_hard_ppm=None if venue is None else int(venue.hard_pct * PPM_PER_PCT),
        venue_soft_ppm=None if venue is None else int(venue.soft_pct * PPM_PER_PCT),
        allocations=None if allocation is None else _allocations(allocation),
        leverage=None if leverage is None else _leverage(leverage),
        heat=None if heat is None else make_cap(heat.max_heat_pct, heat.max_heat),
        order_to_trade=limits.enforced("RAT-04", OrderToTrade),
        rejects=limits.enforced("RAT-05", RejectRate),
        repeats=limits.enforced("RAT-06", RepeatedExecution),
        quality=limits.enforced("PNL-08", ExecutionQuality),
        latency=limits.enforced("PTR-09", AckLatency),
        sane_fills=limits.enforced("PTR-02", Enforced) is not None,
    )


def _breaker(limit: VolatilityBreaker) -> BreakerRule:
    return BreakerRule(limit.max_move_bps * PPM_PER_BPS, limit.sigmas, limit.hold_min * NS_PER_MIN)


def _depth(limit: MinimumDepth) -> DepthRule:
    return DepthRule(ceil(limit.min_depth_multiple * PPM), limit.depth_within_bps * PPM_PER_BPS)


def _liquidation(limit: LiquidationDistance) -> LiquidationRule:
    return LiquidationRule(ceil(limit.min_stop_multiple * PPM), ceil(limit.maintenance_pct * PPM_PER_PCT))


def _leverage(limit: Leverage) -> LeverageRule:
    return LeverageRule(
        int(limit.max_leverage * PPM), limit.max_margin_pct * PPM_PER_PCT, limit.max_maintenance_pct * PPM_PER_PCT
    )


def _allocations(limit: StrategyAllocation) -> Allocations:
    keys = sorted({*limit.max_pct_of_equity, *limit.max_notional})
    caps = {}
    for key in keys:
        pct, absolute = for_key(limit.max_pct_of_equity, key), for_key(limit.max_notional, key)
        if pct is not None and absolute is not None:
            caps[key] = make_cap(pct, absolute)
    return Allocations(caps, limit.soft_share_pct * PPM_PER_PCT)


def _qty_share_ppm(limits: Limits) -> int | None:
    found = limits.enforced("SIZ-01", OrderQty)
    return None if found is None or found.max_share_pct is None else int(found.max_share_pct * PPM_PER_PCT)


def _stress(limit: StressLoss) -> StressRule:
    closing_ppm = -(-limit.stressed_spread_bps * PPM_PER_BPS // 2)
    soft = None
    if limit.soft_pct is not None or limit.soft_loss is not None:
        soft = make_cap(limit.soft_pct or limit.max_loss_pct, limit.soft_loss or limit.max_loss)
    return StressRule(
        limit.shock_pct * PPM_PER_PCT + closing_ppm,
        limit.rise_pct * PPM_PER_PCT + closing_ppm,
        make_cap(limit.max_loss_pct, limit.max_loss),
        soft,
    )


def _soft_share(limits: Limits, check_id: str) -> Cap | None:
    share = limits.enforced(check_id, SoftEquityShare)
    if share is None or (share.soft_pct is None and share.soft_notional is None):
        return None
    return make_cap(share.soft_pct or share.max_pct_of_equity, share.soft_notional or share.max_notional)


def _share(limits: Limits, check_id: str) -> Cap | None:
    share = limits.enforced(check_id, EquityShare)
    return None if share is None else make_cap(share.max_pct_of_equity, share.max_notional)
