"""Checks of one entry before the wire: market, price protection, size, portfolio and repetition. Pure functions of a
Case as in `checks`; each costs the same however many orders are working.
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
    equity_of,
    good_view,
    in_currency,
    need,
    notional_of,
    price_of,
    qty_of,
    rule_of,
    soft_of,
    two_step,
    value_of,
    worth_of,
)
from riskd.rates import NS_PER_S, amends_of
from riskd.units import PPM, UNIT, UNITS_PER_PPM, amount, plus_ppm
from riskd.worst_case import base_others, both_sides, exposure, net_exposure
from tradebot.core.approvals import VenueAction
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import RESTING_TIMES, OrderType, Side

RESTING_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
"""Types with a limit price: the only ones that may reach a venue."""


def sta_06(case: Case) -> Row:
    """No order of unknown fate in the instrument, few at the venue."""
    here, whole = need(case.books.settings.orders.max_unknown_instrument), case.books.settings.orders.max_unknown_venue
    if case.venue_status is None:
        raise InputMissing
    unknown = case.books.commitments.working.unknown
    at_venue = max(unknown.get(case.venue, 0), len(case.venue_status.unknown_client_order_ids))
    if at_venue > need(whole):
        return BLOCK, "UNRESOLVED_ORDER", need(whole), at_venue
    return bounded(unknown.get(case.instrument_id, 0), here, "UNRESOLVED_ORDER")


def mkt_04(case: Case) -> Row:
    """(ask - bid) / mid, rounded up. At CAUTIOUS less is let pass."""
    view, most = good_view(case), need(rule_of(case).max_spread_ppm)
    if case.level >= TradingLevel.CAUTIOUS:
        most = most * case.books.settings.cautious.spread_ppm // PPM
    spread_ppm = -(-(view.ask - view.bid) * 2 * PPM // (view.bid + view.ask))
    return bounded(spread_ppm, most, "SPREAD_TOO_WIDE")


def prc_04(case: Case) -> Row:
    """A market intent is a limit near the opposite best that never rests; no order goes out without a limit."""
    bound = need(case.books.settings.orders.market_bound_ppm)
    if case.terms.order_type not in RESTING_TYPES or (case.order is not None and case.terms.price is None):
        return BLOCK, "MARKET_ORDER_FORBIDDEN", bound, 0
    if case.intent is None or case.intent.order_type is not OrderType.MARKET:
        return OK
    view, sign = good_view(case), case.side.sign
    touch = view.ask if sign > 0 else view.bid
    beyond_ppm = -(-(price_of(case) - touch) * sign * PPM // touch)
    if case.terms.time_in_force in RESTING_TIMES:
        return BLOCK, "MARKET_ORDER_FORBIDDEN", bound, beyond_ppm
    return bounded(beyond_ppm, bound, "MARKET_ORDER_FORBIDDEN")


def prc_05(case: Case) -> Row:
    """The stop is there, neither in the noise nor out of reach."""
    orders = case.books.settings.orders
    nearest, farthest = need(orders.min_stop_ppm), need(orders.max_stop_ppm)
    distance = case.stop_distance
    if distance is None:
        return BLOCK, "STOP_MISSING", nearest, 0
    if distance < nearest * UNITS_PER_PPM:
        return BLOCK, "STOP_DISTANCE_INVALID", nearest, distance // UNITS_PER_PPM
    return bounded(-(-distance // UNITS_PER_PPM), farthest, "STOP_DISTANCE_INVALID")


def prc_07(case: Case) -> Row:
    """A post-only order that would take is refused here instead of at the venue."""
    if not case.terms.post_only:
        return OK
    price, view = price_of(case), good_view(case)
    limit = view.ask if case.side is Side.BUY else view.bid
    crosses = price >= limit if case.side is Side.BUY else price <= limit
    return (BLOCK if crosses else PASS, "POST_ONLY_WOULD_CROSS" if crosses else "", limit, price)


def siz_03(case: Case) -> Row:
    """What is lost at the stop with costs; without a stop everything."""
    orders, notional = case.books.settings.orders, notional_of(case)
    distance = UNIT if case.stop_distance is None else case.stop_distance
    costs = plus_ppm(notional, need(orders.trade_cost_ppm)) - notional
    risk = in_currency(case, amount(notional, distance) + costs)
    return bounded(risk, cap_of(orders.trade_risk, case), "TRADE_RISK_LIMIT")


def siz_05(case: Case) -> Row:
    """A slip of the finger: many times what this strategy orders here."""
    orders, qty = case.books.settings.orders, qty_of(case)
    soft, hard, fewest = need(orders.outlier_soft), need(orders.outlier_hard), need(orders.outlier_min_orders)
    log = case.repetition.sizes.get((case.strategy_id, case.instrument_id))
    if log is None or log.count < fewest:
        return PASS, "", 0, qty
    if qty > hard * log.median:
        return BLOCK, "ORDER_SIZE_OUTLIER", hard * log.median, qty
    over = qty > soft * log.median
    return (SOFT if over else PASS, "ORDER_SIZE_OUTLIER" if over else "", soft * log.median, qty)


def pos_05(case: Case) -> Row:
    """Net exposure on the order's side: what makes it smaller passes, however large it is."""
    orders = case.books.settings.orders
    hard, soft = cap_of(orders.net_exposure, case), soft_of(orders.net_soft, case)
    return two_step(net_exposure(case), hard, soft, "NET_EXPOSURE_LIMIT")


def pos_06(case: Case) -> Row:
    """One base asset over all its instruments."""
    orders = case.books.settings.orders
    hard, soft = cap_of(orders.concentration, case), soft_of(orders.concentration_soft, case)
    return two_step(base_others(case) + exposure(case), hard, soft, "CONCENTRATION_LIMIT")


def unfilled_value(case: Case) -> int:
    """Return the value of all entries that are not filled yet, account currency."""
    total = 0
    for asset, value in case.books.commitments.entry_value.items():
        if value:
            total += worth_of(case, asset, value)
    return total


def pos_11(case: Case) -> Row:
    """Entries that are not filled yet, this one with them."""
    total = value_of(case) + unfilled_value(case)
    return bounded(total, cap_of(case.books.settings.orders.open_order_value, case), "OPEN_ORDER_VALUE_LIMIT")


def pos_13(case: Case) -> Row:
    """All that is bought falls together, or all that is sold rises: the worse of both, and nothing hedges."""
    rule = case.books.settings.orders.stress
    if rule is None:
        raise LimitUndefined
    bought, sold = both_sides(case)
    loss = max(-(-bought * rule.fall_ppm // PPM), -(-sold * rule.rise_ppm // PPM))
    return two_step(loss, cap_of(rule.hard, case), soft_of(rule.soft, case), "STRESS_LOSS_LIMIT")


def rat_02(case: Case) -> Row:
    """Token bucket of amendments."""
    per = need(case.books.settings.orders.amends_per_second)
    if case.order is None or case.order.action is not VenueAction.REPLACE:
        return OK
    used = case.books.rates.used(amends_of(case.strategy_id), per, NS_PER_S, case.now_ns)
    return bounded(used + 1, per, "AMEND_RATE_LIMIT")


def rat_07(case: Case) -> Row:
    """The same entry again, before its window is over. Limit and measured are ms since the first."""
    window_ns = need(case.books.settings.orders.duplicate_ns)
    key = (case.strategy_id, case.instrument_id, case.side, qty_of(case), price_of(case))
    before_ns = case.repetition.recent.get(key)
    if before_ns is None:
        return OK
    age_ns = case.now_ns - before_ns
    twice = age_ns < window_ns
    return (BLOCK if twice else PASS, "DUPLICATE_ORDER" if twice else "", window_ns // 1_000_000, age_ns // 1_000_000)


def rat_08(case: Case) -> Row:
    """Orders that work, with this one; one that replaces another adds none."""
    orders, count = case.books.settings.orders, case.books.commitments.working.count
    more = 0 if case.order is not None and case.order.action is VenueAction.REPLACE else 1
    here, whole = need(orders.max_working_instrument), need(orders.max_working_venue)
    at_venue = count.get(case.venue, 0) + more
    if at_venue > whole:
        return BLOCK, "WORKING_ORDER_LIMIT", whole, at_venue
    return bounded(count.get(case.instrument_id, 0) + more, here, "WORKING_ORDER_LIMIT")


def rat_09(case: Case) -> Row:
    """The price would meet an order of our own, whoever's."""
    price = price_of(case)
    own = case.books.commitments.working.best(case.instrument_id, case.side.opposite)
    if not own or case.stop_price:
        return OK
    meets = price >= own if case.side is Side.BUY else price <= own
    return (BLOCK if meets else PASS, "SELF_TRADE_RISK" if meets else "", own, price)


def rat_10(case: Case) -> Row:
    """The day's fills and this entry against equity."""
    books = case.books
    limit = equity_of(case) * need(books.settings.orders.turnover_ppm) // PPM
    total = value_of(case)
    for asset, value in books.portfolio.turned.items():
        total += worth_of(case, asset, value)
    return bounded(total, limit, "TURNOVER_LIMIT")


ORDER_CHECKS: Final[dict[str, CheckFunction]] = {
    "STA-06": sta_06,
    "MKT-04": mkt_04,
    "PRC-04": prc_04,
    "PRC-05": prc_05,
    "PRC-07": prc_07,
    "SIZ-03": siz_03,
    "SIZ-05": siz_05,
    "POS-05": pos_05,
    "POS-06": pos_06,
    "POS-11": pos_11,
    "POS-13": pos_13,
    "RAT-02": rat_02,
    "RAT-07": rat_07,
    "RAT-08": rat_08,
    "RAT-09": rat_09,
    "RAT-10": rat_10,
}
