"""Checks of an entry against what the market can carry and what others say it is worth. Pure functions of a Case as in
`checks`; what they read is kept by the market board, nothing is searched.

riskd sees the best bid and offer with their quantities, not the depth behind them: each check takes what it does not
see as nothing.
"""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.inputs import (
    BLOCK,
    PASS,
    CheckFunction,
    InputMissing,
    LimitUndefined,
    Row,
    bounded,
    good_view,
    need,
    price_of,
    qty_of,
    rule_of,
)
from riskd.units import PPM, UNITS_PER_PPM
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import Side


def mkt_05(case: Case) -> Row:
    """The mid is near what others say."""
    most, view = need(case.books.settings.orders.divergence_ppm), good_view(case)
    reference = case.books.board.references.get(case.instrument_id)
    if reference is None or reference.price <= 0 or not reference.is_fresh(case.now_ns):
        raise InputMissing
    twice = 2 * reference.price
    return bounded(-(-abs(view.bid + view.ask - twice) * PPM // twice), most, "REFERENCE_DIVERGENCE")


def best_depth(case: Case) -> int:
    """Return the quantity of the best offer on the other side, 0 when that is too far from the mid."""
    rule, view = case.books.settings.orders.depth, good_view(case)
    if rule is None:
        raise LimitUndefined
    both, buys = view.bid + view.ask, case.side is Side.BUY
    touch, size = (view.ask, view.ask_qty) if buys else (view.bid, view.bid_qty)
    if size <= 0:
        raise InputMissing
    return size if abs(2 * touch - both) * PPM <= both * rule.within_ppm else 0


def depth_multiple_ppm(case: Case) -> int:
    """Return which multiple of the order the depth must be: at CAUTIOUS a larger one."""
    rule = case.books.settings.orders.depth
    if rule is None:
        raise LimitUndefined
    if case.level < TradingLevel.CAUTIOUS:
        return rule.multiple_ppm
    return -(-rule.multiple_ppm * case.books.settings.cautious.depth_ppm // PPM)


def mkt_06(case: Case) -> Row:
    """The best offer on the other side is a multiple of the order."""
    depth, needed = best_depth(case), -(-qty_of(case) * depth_multiple_ppm(case) // PPM)
    fits = depth >= needed
    return (PASS if fits else BLOCK, "" if fits else "INSUFFICIENT_DEPTH", needed, depth)


def slippage_ppm(case: Case) -> int:
    """Return the worst price of the whole order against the mid, >= 0, rounded up: the best offer for what lies there,
    the limit for the rest. An order that waits for a trigger finds another book: all of it at its limit, against the
    trigger.
    """
    qty, price = qty_of(case), price_of(case)
    at_touch = touch = 0
    if case.stop_price:
        both = 2 * case.stop_price
    else:
        view, buys = good_view(case), case.side is Side.BUY
        both = view.bid + view.ask
        touch, size = (view.ask, view.ask_qty) if buys else (view.bid, view.bid_qty)
        if size < 0:
            raise InputMissing
        at_touch = min(qty, size) if (price >= touch if buys else price <= touch) else 0
    paid = at_touch * touch + (qty - at_touch) * price
    beyond = (2 * paid - both * qty) * case.side.sign
    return max(0, -(-beyond * PPM // (both * qty)))


def prc_03(case: Case) -> Row:
    """What the order pays beyond the mid at worst."""
    most = need(case.books.settings.orders.slippage_ppm)
    return bounded(slippage_ppm(case), most, "SLIPPAGE_LIMIT")


def prc_08(case: Case) -> Row:
    """What the sender expects to gain covers the round trip: taker fees both ways and what the entry pays beyond the
    mid, at least half the spread. Limit and measured are ppm of the price.
    """
    settings, view = case.books.settings, good_view(case)
    multiple, fee = need(settings.orders.edge_multiple_ppm), need(settings.fee_ppm)
    edge = case.expected_edge
    if edge is None:
        raise InputMissing
    half_spread = -(-(view.ask - view.bid) * PPM // (view.ask + view.bid))
    least = -(-(2 * fee + max(half_spread, slippage_ppm(case))) * multiple // PPM)
    fits = edge >= least * UNITS_PER_PPM
    return (PASS if fits else BLOCK, "" if fits else "EDGE_BELOW_COST", least, edge // UNITS_PER_PPM)


def share_of_minute(case: Case, share_ppm: int) -> int:
    """Return a share of what was traded within a minute, as far as riskd has seen it."""
    trail = case.books.board.volumes.get(case.instrument_id)
    if trail is None or not trail.is_fresh(case.now_ns) or trail.minute() < 0:
        raise InputMissing
    return trail.minute() * share_ppm // PPM


def participation_room(case: Case) -> int:
    """Return the largest quantity that is let pass."""
    return share_of_minute(case, need(case.books.settings.orders.participation_ppm))


def order_qty_room(case: Case) -> int:
    """Return the largest quantity of one order: the instrument's own, or a share of the minute's volume."""
    most, share_ppm = need(rule_of(case).max_order_qty), case.books.settings.orders.qty_share_ppm
    return most if share_ppm is None else min(most, share_of_minute(case, share_ppm))


def siz_01(case: Case) -> Row:
    """Fat finger."""
    return bounded(qty_of(case), order_qty_room(case), "ORDER_QTY_LIMIT")


def siz_04(case: Case) -> Row:
    """The order is a small part of what was traded within a minute, as far as riskd has seen it."""
    return bounded(qty_of(case), participation_room(case), "PARTICIPATION_LIMIT")


LIQUIDITY_CHECKS: Final[dict[str, CheckFunction]] = {
    "MKT-05": mkt_05,
    "MKT-06": mkt_06,
    "PRC-03": prc_03,
    "PRC-08": prc_08,
    "SIZ-01": siz_01,
    "SIZ-04": siz_04,
}
