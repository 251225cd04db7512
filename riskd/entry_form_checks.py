"""Checks of an entry as a whole: how long it may rest, and the orders that its plan means. Pure functions of a Case as
in `checks`.
"""

from __future__ import annotations

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
    best_prices,
    price_of,
    qty_of,
    rule_of,
)
from riskd.settings import NS_PER_MS, NS_PER_S
from riskd.units import PPM, UNIT, floor_to, with_ppm
from tradebot.core.orders import RESTING_TIMES, Side, TimeInForce

LEAST_RESTING_NS: Final = NS_PER_S
"""An order that ends sooner may end before it is there."""
INVALID: Final = "ORDER_LIST_INVALID"


def spc_08(case: Case) -> Row:
    """Stop and target of the plan, at the entry's price: each on its side of it by a tick, all that the
    entry leaves, which the venue takes there. They come one by one from its grant, which has no target without a stop.
    Each part of a parent has its own grant, and thus stops of its own size.
    """
    stop, target = case.stop_distance, case.target_distance
    if case.intent is None and case.parent is None:
        raise InputMissing  # nobody knows what protects it
    if stop is None and target is None:
        return OK
    rule, price, qty = rule_of(case), price_of(case), qty_of(case)
    if stop is None:
        return BLOCK, INVALID, price, 0
    long = case.side is Side.BUY
    for distance, below in ((stop, long), (target, not long)):
        if distance is None:
            continue
        leg = leg_price(price, -distance if below else distance, rule.tick, up=long)
        if leg <= 0 or not (leg < price if below else leg > price):
            return BLOCK, INVALID, price, leg
    left = _left_to_protect(case, qty)
    if left < rule.min_qty:
        return BLOCK, INVALID, rule.min_qty, left
    # The least that the position may be worth when it is protected; a short one's stop lies above and needs less.
    least = _least_price(case, price) * (UNIT - stop) // UNIT
    if long:  # and sells with a limit below the stop when that hangs: the venue counts an order's value at its limit
        least = with_ppm(least, PPM - case.books.settings.emergency_ppm)
    worth = rule.contract.quote_notional(left, least)
    return (PASS if worth >= rule.min_notional else BLOCK, "" if worth >= rule.min_notional else INVALID,
            rule.min_notional, worth)  # fmt: skip


def _left_to_protect(case: Case, qty: int) -> int:
    """Return what a stop can carry of a quantity: whole lots, after the fee that a spot buy may pay in what it buys."""
    rule, fee = rule_of(case), case.books.commitments.fee_ppm
    return floor_to(qty * (PPM - fee) // PPM, rule.lot) if rule.is_spot and case.side is Side.BUY else qty


def _least_price(case: Case, price: int) -> int:
    """Return the lowest price at which an entry is seen to fill: a buy at the offer or its trigger, below its limit."""
    if case.side is Side.SELL:
        return price
    return min(price, case.stop_price or best_prices(case)[1])


def leg_price(price: int, offset: int, tick: int, *, up: bool) -> int:
    """Return the price at a distance (a share of the price, units; below 0 = lower), on a tick as execd rounds it: up
    for what protects a long position, down for a short one's.
    """
    raw = price * (UNIT + offset)
    step = UNIT * tick
    return (-(-raw // step) if up else raw // step) * tick


def spc_09(case: Case) -> Row:
    """An entry that may rest says when it ends, and that is soon, unless execd ends it. Limit and measured are ms from
    now.
    """
    rule = case.books.settings.orders.resting
    if rule is None:
        raise LimitUndefined
    terms, most = case.terms, rule.max_ns
    if terms.time_in_force not in RESTING_TIMES:
        return OK  # IOC and FOK end on arrival
    if terms.time_in_force is not TimeInForce.GTD:
        return OK if rule.by_execd else (BLOCK, "EXPIRY_INVALID", most // NS_PER_MS, 0)
    left = terms.expire_time_ns - case.now_ns
    if left < LEAST_RESTING_NS:
        return BLOCK, "EXPIRY_INVALID", LEAST_RESTING_NS // NS_PER_MS, left // NS_PER_MS
    fits = left <= most
    return (PASS if fits else BLOCK, "" if fits else "EXPIRY_INVALID", most // NS_PER_MS, -(-left // NS_PER_MS))


ENTRY_FORM_CHECKS: Final[dict[str, CheckFunction]] = {"SPC-08": spc_08, "SPC-09": spc_09}
