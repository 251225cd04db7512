"""Checks of the system that an entry would go out through: builds, limits, the venue's clock and rate budget, the kill
switch. Pure functions of a Case as in `checks`.
"""

from __future__ import annotations

import math
from typing import Final

from riskd.case import Case
from riskd.inputs import (
    BLOCK,
    OK,
    PASS,
    CheckFunction,
    InputMissing,
    LimitUndefined,
    Row,
    bounded,
    cap_of,
    equity_of,
    need,
    price_of,
    rule_of,
    value_of,
)
from riskd.saga_book import DRILL_STRATEGY
from riskd.units import PPM, PPM_PER_PCT
from tradebot.core.levels import TradingLevel

UNTESTED: Final = "KILLSWITCH_UNTESTED"
DRILL_TIMES_MINIMUM: Final = 2
"""A drill's order is worth at most this multiple of the venue's minimum."""
_NS_PER_MS: Final = 1_000_000


def aut_05(case: Case) -> Row:
    """execd runs the very build that riskd runs, and so does every other daemon that told its own."""
    fleet = case.books.fleet
    if not case.build or not fleet.build:
        raise InputMissing
    fits = case.build == fleet.build and not fleet.others
    return OK if fits else (BLOCK, "BUILD_MISMATCH", 0, 0)


def aut_06(case: Case) -> Row:
    """Our clock is the venue's, as far as a measurement that is young enough can tell."""
    rule, status = case.books.settings.orders.clock, case.venue_status
    if rule is None:
        raise LimitUndefined
    if status is None or not 0 < status.clock_error_ns <= rule.max_offset_ms * _NS_PER_MS:
        raise InputMissing  # what may be wrong by more than it is to tell says nothing
    if abs(case.now_ns - status.clock_time_ns) > rule.max_age_s * 10**9:
        raise InputMissing  # a measurement of the far future would never age
    off_ns = max(0, abs(status.clock_offset_ns) - status.clock_error_ns)
    return bounded(-(-off_ns // _NS_PER_MS), rule.max_offset_ms, "CLOCK_UNTRUSTED")


def aut_07(case: Case) -> Row:
    """The limits file speaks of every check. Measured is how many it forgot."""
    return bounded(case.books.settings.undefined_checks, 0, "LIMIT_UNDEFINED")


def sta_08(case: Case) -> Row:
    """An entry is at most the deployment's share of the largest order value, whatever the level."""
    settings = case.books.settings
    if settings.order_cap is None:
        raise LimitUndefined
    limit = settings.order_cap.of(equity_of(case), settings.tier_ppm)
    return bounded(value_of(case), limit, "DEPLOYMENT_TIER_LIMIT")


def sta_09(case: Case) -> Row:
    """The kill switch was tried lately. A drill has to begin somewhere: its own tiny entries pass."""
    oldest_ns, drill = need(case.books.settings.orders.drill_age_ns), case.books.kills.last_drill
    if case.strategy_id == DRILL_STRATEGY and case.qty <= _drill_qty(case):
        return OK
    if drill is None or drill.time_ns <= 0:
        return BLOCK, UNTESTED, oldest_ns // _NS_PER_MS, 0
    age_ns = abs(case.now_ns - drill.time_ns)  # one of the far future would never age
    return bounded(-(-age_ns // _NS_PER_MS), oldest_ns // _NS_PER_MS, UNTESTED)


def _drill_qty(case: Case) -> int:
    """Return the largest quantity of a drill's order: what can be bought, protected and sold again after a fee in base,
    one lot more.
    """
    rule = rule_of(case)
    worth = rule.contract.qty_for(rule.min_notional * DRILL_TIMES_MINIMUM, price_of(case))
    kept = -(-rule.min_qty // rule.lot)
    lots = -(-kept * PPM // (PPM - case.books.commitments.fee_ppm))
    return max(worth, lots * rule.lot) + rule.lot


def siz_07(case: Case) -> Row:
    """At CAUTIOUS an entry is at most the factor's share of the largest order value."""
    if case.level < TradingLevel.CAUTIOUS:
        return OK
    limit = cap_of(case.books.settings.order_cap, case)
    return bounded(value_of(case), limit, "CAUTIOUS_SIZE_LIMIT")


def rat_03(case: Case) -> Row:
    """The venue's request weight leaves room for what matters more: reducing orders, and last cancels.

    What is not known refuses an entry; it never forbids closing a position.
    """
    rule, status = case.books.settings.orders.weight, case.venue_status
    if rule is None:
        raise LimitUndefined
    limit = (rule.reduce_pct if case.reducing else rule.entry_pct) * PPM_PER_PCT
    if status is None or not math.isfinite(status.rate_used_pct) or status.rate_used_pct < 0:
        if case.reducing:
            return PASS, "", limit, 0
        raise InputMissing
    used = math.ceil(status.rate_used_pct * PPM_PER_PCT)
    if case.now_ns < status.quiet_until_ns and not case.reducing:
        return BLOCK, "VENUE_RATE_BUDGET", 0, used
    return bounded(used, limit, "VENUE_RATE_BUDGET")


READINESS_CHECKS: Final[dict[str, CheckFunction]] = {
    "AUT-05": aut_05,
    "AUT-06": aut_06,
    "AUT-07": aut_07,
    "STA-08": sta_08,
    "STA-09": sta_09,
    "SIZ-07": siz_07,
    "RAT-03": rat_03,
}
