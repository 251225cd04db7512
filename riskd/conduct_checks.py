"""Checks of an entry against what happened lately: how its market moved, how its strategy ordered, what all stops
together may lose. Pure functions of a Case as in `checks`; each costs the same however much is working or open.
"""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.inputs import (
    BLOCK,
    OK,
    PASS,
    SOFT,
    CheckFunction,
    InputMissing,
    LimitUndefined,
    Row,
    bounded,
    cap_of,
    in_currency,
    mid_of,
    need,
    notional_of,
    value_of,
    worth_of,
)
from riskd.order_settings import BreakerRule
from riskd.price_trail import PriceTrail
from riskd.rates import NS_PER_MIN
from riskd.rules import is_operator, permission_key
from riskd.units import PPM, UNIT, amount, with_ppm
from riskd.worst_case import value_positions
from tradebot.core.ids import client_order_id_fits

SIGMA_SAMPLES: Final = 30
"""Minutes after which a measured volatility counts."""


# ---- market


def trail_of(case: Case) -> PriceTrail:
    """Return where the mid was lately; a trail that ended says nothing."""
    trail = case.books.board.trails.get(case.instrument_id)
    if trail is None or not trail.is_fresh(case.now_ns):
        raise InputMissing
    return trail


def sta_07(case: Case) -> Row:
    """riskd has watched this market for long enough. Limit and measured are seconds."""
    least, seen = need(case.books.settings.orders.warm_up_samples), trail_of(case).samples
    return (PASS, "", least, seen) if seen >= least else (BLOCK, "WARMING_UP", least, seen)


def mkt_07(case: Case) -> Row:
    """The mid has not jumped within a minute."""
    rule = case.books.settings.orders.breaker
    if rule is None:
        raise LimitUndefined
    sigma_ppm = case.books.board.minute_ppm(case.instrument_id, SIGMA_SAMPLES)
    return bounded(move_ppm(mid_of(case), trail_of(case)), breaker_ppm(rule, sigma_ppm), "VOLATILITY_BREAKER")


def move_ppm(mid: int, trail: PriceTrail) -> int:
    """Return how far the mid is from where it was a minute ago, rounded up."""
    before = trail.minute_ago()
    if before <= 0:
        raise InputMissing
    return -(-abs(mid - before) * PPM // before)


def breaker_ppm(rule: BreakerRule, sigma_ppm: int) -> int:
    """Return the widest move that is let pass; a volatility that is not known (0) widens nothing."""
    return max(rule.move_ppm, rule.sigmas * sigma_ppm)


def prc_02(case: Case) -> Row:
    """The mid is near its mean of five minutes."""
    most, mean = need(case.books.settings.orders.drift_ppm), trail_of(case).mean()
    if mean <= 0:
        raise InputMissing
    return bounded(-(-abs(mid_of(case) - mean) * PPM // mean), most, "PRICE_COLLAR_DYNAMIC")


# ---- order


def spc_06(case: Case) -> Row:
    """The client order id is one that execd makes for this strategy; that form fits every venue."""
    if case.order is None:
        return OK
    fits = client_order_id_fits(case.terms.client_order_id, case.strategy_id)
    return OK if fits else (BLOCK, "INVALID_CLIENT_ORDER_ID", 0, 0)


# ---- portfolio


def strategy_used(case: Case) -> int:
    """Return the value of what this strategy holds and works, account currency, without the new order."""
    books = case.books
    value_positions(books, case.now_ns)
    held = books.open_risk.value_of(case.strategy_id)
    if held is None:
        raise InputMissing
    for asset in books.commitments.entry_value:
        value = books.commitments.strategy_entries.get((case.strategy_id, asset), 0)
        if value:
            held += worth_of(case, asset, value)
    return held


def allocation_of(case: Case) -> int:
    """Return the allocation of this strategy."""
    allocations = case.books.settings.orders.allocations
    return cap_of(None if allocations is None else allocations.cap_of(permission_key(case.strategy_id)), case)


def pos_09(case: Case) -> Row:
    """What the strategy holds, works and wants, against its allocation."""
    hard, allocations = allocation_of(case), case.books.settings.orders.allocations
    assert allocations is not None
    measured = strategy_used(case) + value_of(case)
    if measured > hard:
        return BLOCK, "STRATEGY_ALLOCATION_LIMIT", hard, measured
    soft = with_ppm(hard, allocations.soft_ppm)
    return (SOFT, "STRATEGY_ALLOCATION_LIMIT", soft, measured) if measured > soft else (PASS, "", hard, measured)


def heat_before(case: Case) -> int:
    """Return what positions and unfilled entries lose at their stops, account currency."""
    books = case.books
    value_positions(books, case.now_ns)
    heat = books.open_risk.at_stops()
    if heat is None:
        raise InputMissing
    for asset, value in books.commitments.entry_risk.items():
        if value:
            heat += worth_of(case, asset, value)
    return heat


def stop_of(case: Case) -> int:
    """Return the distance of the order's stop as a share of its price, units; without a stop all of it."""
    if case.intent is not None:
        return UNIT if case.stop_distance is None else case.stop_distance
    return UNIT


def pos_12(case: Case) -> Row:
    """Everything that is lost when every stop is hit."""
    risk = in_currency(case, amount(notional_of(case), stop_of(case)))
    return bounded(heat_before(case) + risk, cap_of(case.books.settings.orders.heat, case), "PORTFOLIO_HEAT_LIMIT")


# ---- conduct


def rat_04(case: Case) -> Row:
    """Orders per trade of the last hour, this one with them."""
    rule = case.books.settings.orders.order_to_trade
    if rule is None:
        raise LimitUndefined
    orders = case.books.flow.orders_of(case.strategy_id, case.now_ns) + 1
    if orders < rule.min_orders:
        return PASS, "", rule.max_ratio, 0
    ratio = -(-orders // max(case.books.flow.trades_of(case.strategy_id, case.now_ns), 1))
    over = ratio > rule.max_ratio
    return (SOFT if over else PASS, "ORDER_TO_TRADE_RATIO" if over else "", rule.max_ratio, ratio)


def rat_05(case: Case) -> Row:
    """The venue has not refused too many orders of this strategy, or of all."""
    rule, flow = case.books.settings.orders.rejects, case.books.flow
    if rule is None:
        raise LimitUndefined
    at_venue = flow.rejects_of("venue", case.venue, case.now_ns)
    if at_venue > rule.venue_per_minute:
        return BLOCK, "REJECT_RATE", rule.venue_per_minute, at_venue
    return bounded(flow.rejects_of("strategy", case.strategy_id, case.now_ns), rule.strategy_per_minute, "REJECT_RATE")


def rat_06(case: Case) -> Row:
    """The strategy has not entered here again and again with nobody looking."""
    rule = case.books.settings.orders.repeats
    if rule is None:
        raise LimitUndefined
    if is_operator(case.strategy_id):
        return OK
    key = (case.strategy_id, case.instrument_id, case.side.sign)
    recent, today = case.books.flow.repeated(key, rule.window_min * NS_PER_MIN, case.now_ns)
    if today >= rule.max_per_day:
        return BLOCK, "REPEATED_EXECUTION_LIMIT", rule.max_per_day, today + 1
    return bounded(recent + 1, rule.max_entries, "REPEATED_EXECUTION_LIMIT")


CONDUCT_CHECKS: Final[dict[str, CheckFunction]] = {
    "STA-07": sta_07,
    "MKT-07": mkt_07,
    "SPC-06": spc_06,
    "PRC-02": prc_02,
    "POS-09": pos_09,
    "POS-12": pos_12,
    "RAT-04": rat_04,
    "RAT-05": rat_05,
    "RAT-06": rat_06,
}
