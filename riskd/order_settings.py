"""Limits of the order checks as ints. None = not configured, which refuses."""

from __future__ import annotations

from dataclasses import dataclass

from riskd.caps import Cap, make_cap
from riskd.limits import Limits
from riskd.order_limits import (
    AmendRate,
    DuplicateWindow,
    EquityShare,
    MandatoryStop,
    MarketBound,
    SizeOutlier,
    StressLoss,
    TradeRisk,
    Turnover,
    UnknownOrders,
    WorkingOrders,
)
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
    trade_risk: Cap | None
    trade_cost_ppm: int | None
    outlier_soft: int | None
    outlier_hard: int | None
    outlier_min_orders: int | None
    concentration: Cap | None
    open_order_value: Cap | None
    stress_ppm: int | None
    stress_loss: Cap | None
    amends_per_second: int | None
    duplicate_ns: int | None
    max_working_instrument: int | None
    max_working_venue: int | None
    turnover_ppm: int | None
    """Of equity."""


def make_order_settings(limits: Limits) -> OrderSettings:
    """Return the ints of a limits file."""
    unknown, bound = limits.enforced("STA-06", UnknownOrders), limits.enforced("PRC-04", MarketBound)
    stop, risk = limits.enforced("PRC-05", MandatoryStop), limits.enforced("SIZ-03", TradeRisk)
    outlier, stress = limits.enforced("SIZ-05", SizeOutlier), limits.enforced("POS-13", StressLoss)
    amends, twice = limits.enforced("RAT-02", AmendRate), limits.enforced("RAT-07", DuplicateWindow)
    working, turnover = limits.enforced("RAT-08", WorkingOrders), limits.enforced("RAT-10", Turnover)
    return OrderSettings(
        max_unknown_instrument=None if unknown is None else unknown.max_per_instrument,
        max_unknown_venue=None if unknown is None else unknown.max_per_venue,
        market_bound_ppm=None if bound is None else bound.max_bound_bps * PPM_PER_BPS,
        min_stop_ppm=None if stop is None else stop.min_distance_bps * PPM_PER_BPS,
        max_stop_ppm=None if stop is None else stop.max_distance_bps * PPM_PER_BPS,
        trade_risk=None if risk is None else make_cap(risk.max_risk_pct, risk.max_risk),
        trade_cost_ppm=None if risk is None else -int(-risk.cost_bps * PPM_PER_BPS // 1),
        outlier_soft=None if outlier is None else outlier.soft_multiple,
        outlier_hard=None if outlier is None else outlier.hard_multiple,
        outlier_min_orders=None if outlier is None else outlier.min_orders,
        concentration=_share(limits, "POS-06"),
        open_order_value=_share(limits, "POS-11"),
        stress_ppm=None if stress is None else stress.shock_pct * PPM_PER_PCT,
        stress_loss=None if stress is None else make_cap(stress.max_loss_pct, stress.max_loss),
        amends_per_second=None if amends is None else amends.strategy_per_second,
        duplicate_ns=None if twice is None else twice.window_ms * _NS_PER_MS,
        max_working_instrument=None if working is None else working.max_per_instrument,
        max_working_venue=None if working is None else working.max_per_venue,
        turnover_ppm=None if turnover is None else int(turnover.max_times_equity * PPM),
    )


def _share(limits: Limits, check_id: str) -> Cap | None:
    share = limits.enforced(check_id, EquityShare)
    return None if share is None else make_cap(share.max_pct_of_equity, share.max_notional)
