"""Limits as the checks read them: ints, made once at load. None = not configured, which refuses."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from riskd.caps import Cap, make_cap
from riskd.catalogue import CONFIGURABLE_IDS
from riskd.cautious import CautiousRule
from riskd.clusters import ClusterRule
from riskd.eye_rule import EyeRule, make_eye_rule
from riskd.guards import GuardRules, make_guard_rules
from riskd.limits import ClusterExposure, DayLoss, HoldingTime, Limits
from riskd.losses import LossRule, make_rule
from riskd.order_limits import (
    DeploymentTier,
    Exposure,
    FreeBalance,
    IntentAge,
    OpenPositions,
    OrderRate,
    OrderValue,
    PriceCollar,
    RestrictedList,
    VenueReadiness,
)
from riskd.order_settings import OrderSettings, make_order_settings
from riskd.sizing_methods import SizingRule, make_sizing
from riskd.units import PPM, PPM_PER_BPS
from riskd.watch_rule import WatchRule, make_watch_rule

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SoftCapRule:
    """Soft caps as ints; None = no limit."""

    grace_ns: int
    holding_grace_ns: int
    auto_close: bool
    holding_soft_ns: int | None
    holding_hard_ns: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """One int or small object per limit."""

    currency: str
    undefined_checks: int
    """Checks that the limits file forgot."""
    max_intent_age_ns: int | None
    max_intent_future_ns: int | None
    max_reconcile_age_ns: int | None
    max_session_age_ns: int | None
    deny: frozenset[str] | None
    collar_far: int | None
    reduce_collar_ppm: int | None
    reduce_reference_ns: int | None
    order_cap: Cap | None
    fee_ppm: int | None
    position_hard: Cap | None
    position_soft: Cap | None
    gross_hard: Cap | None
    gross_soft: Cap | None
    cluster_hard: Cap | None
    cluster_soft: Cap | None
    clusters: ClusterRule | None
    soft_caps: SoftCapRule | None
    max_positions: int | None
    orders: OrderSettings
    strategy_per_second: int | None
    strategy_per_minute: int | None
    system_per_second: int | None
    loss: LossRule | None
    guards: GuardRules
    sizing: SizingRule
    mid_marks: bool
    """Equity at mid instead of conservative marks."""
    mark_age_ns: int
    """How old a venue's mark or index price may be."""
    tier_ppm: int
    """Size factor of the deployment."""
    cautious_ppm: int
    """Size factor at CAUTIOUS, the deployment's included."""
    cautious: CautiousRule
    emergency_ppm: int
    """How far below the market an emergency exit of a grant may sell."""
    approval_valid_ms: int
    lease_valid_ms: int
    parent_ttl_ns: int
    cool_off_ns: int
    solo: bool
    sign_off_ns: int
    eyes: EyeRule
    watches: WatchRule


def make_settings(limits: Limits) -> Settings:
    """Return the ints of a limits file."""
    file = limits.file
    age, ready = limits.enforced("AUT-03", IntentAge), limits.enforced("STA-03", VenueReadiness)
    restricted, collar = limits.enforced("STA-05", RestrictedList), limits.enforced("PRC-01", PriceCollar)
    value, balance = limits.enforced("SIZ-02", OrderValue), limits.enforced("POS-01", FreeBalance)
    position, gross = limits.enforced("POS-02", Exposure), limits.enforced("POS-04", Exposure)
    count, rate = limits.enforced("POS-03", OpenPositions), limits.enforced("RAT-01", OrderRate)
    loss, cluster = limits.enforced("PNL-01", DayLoss), limits.enforced("POS-07", ClusterExposure)
    tier = limits.enforced("STA-08", DeploymentTier)
    tier_ppm = PPM if tier is None else int(tier.tier * PPM)
    return Settings(
        currency=file.currency,
        undefined_checks=sum(check_id not in limits.checks for check_id in CONFIGURABLE_IDS),
        max_intent_age_ns=None if age is None else age.max_age_ms * NS_PER_MS,
        max_intent_future_ns=None if age is None else age.max_future_ms * NS_PER_MS,
        max_reconcile_age_ns=None if ready is None else ready.max_reconcile_age_s * NS_PER_S,
        max_session_age_ns=None if ready is None else ready.max_session_age_ms * NS_PER_MS,
        deny=None if restricted is None else frozenset(restricted.deny),
        collar_far=None if collar is None else collar.far_multiple,
        reduce_collar_ppm=None if collar is None else collar.reduce_collar_bps * PPM_PER_BPS,
        reduce_reference_ns=None if collar is None else collar.reduce_reference_age_s * NS_PER_S,
        order_cap=None if value is None else make_cap(value.max_pct_of_equity, value.max_notional),
        fee_ppm=None if balance is None else ceil(balance.taker_fee_bps * PPM_PER_BPS),
        position_hard=None if position is None else make_cap(position.hard_pct, position.max_notional),
        position_soft=None if position is None else _soft_cap(position),
        gross_hard=None if gross is None else make_cap(gross.hard_pct, gross.max_notional),
        gross_soft=None if gross is None else _soft_cap(gross),
        cluster_hard=None if cluster is None else make_cap(cluster.hard_pct, cluster.max_notional),
        cluster_soft=None if cluster is None else _soft_cap(cluster),
        clusters=None if cluster is None else _cluster_rule(cluster, limits.file.cluster_pins),
        soft_caps=_soft_caps(limits),
        max_positions=None if count is None else count.max_positions,
        orders=make_order_settings(limits),
        strategy_per_second=None if rate is None else rate.strategy_per_second,
        strategy_per_minute=None if rate is None else rate.strategy_per_minute,
        system_per_second=None if rate is None else rate.system_per_second,
        loss=None if loss is None else make_rule(loss),
        guards=make_guard_rules(limits),
        sizing=make_sizing(file.sizing),
        mid_marks=file.day_mark == "mid",
        mark_age_ns=file.max_mark_age_ms * NS_PER_MS,
        tier_ppm=tier_ppm,
        cautious_ppm=int(file.cautious_size_factor * tier_ppm),
        cautious=CautiousRule(
            file.cautious.adds,
            file.cautious.entry_spacing_s * NS_PER_S,
            file.cautious.loss_cooldown_s * NS_PER_S,
            int(file.cautious.spread_factor * PPM),
            ceil(file.cautious.depth_factor * PPM),
        ),
        emergency_ppm=file.grants.emergency_bound_bps * PPM_PER_BPS,
        approval_valid_ms=file.approval_valid_ms,
        lease_valid_ms=file.lease_valid_ms,
        parent_ttl_ns=file.parent_ttl_s * NS_PER_S,
        cool_off_ns=file.cool_off_min * 60 * NS_PER_S,
        solo=file.operators == "solo",
        sign_off_ns=file.sign_off_min * 60 * NS_PER_S,
        eyes=make_eye_rule(limits),
        watches=make_watch_rule(limits),
    )


def _cluster_rule(cluster: ClusterExposure, pins: tuple[tuple[str, ...], ...]) -> ClusterRule:
    return ClusterRule(
        cluster.bar_s * NS_PER_S,
        cluster.window_bars,
        cluster.min_bars,
        cluster.join_at,
        cluster.leave_below,
        pins,
    )


def _soft_caps(limits: Limits) -> SoftCapRule | None:
    caps, aged = limits.file.soft_caps, limits.enforced("POS-14", HoldingTime)
    if caps is None:
        return None
    return SoftCapRule(
        caps.grace_s * NS_PER_S,
        caps.holding_grace_s * NS_PER_S,
        caps.auto_close,
        None if aged is None else aged.soft_h * 3_600 * NS_PER_S,
        None if aged is None else aged.hard_h * 3_600 * NS_PER_S,
    )


def _soft_cap(exposure: Exposure) -> Cap:
    return make_cap(exposure.soft_pct, exposure.soft_notional or exposure.max_notional)
