"""Checks of perpetuals against the balance that carries them. Pure functions of a Case as in `checks`; spot, which
borrows nothing, passes.
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
    bounded,
    good_view,
    price_of,
    qty_of,
    rule_of,
)
from riskd.margin import EXHAUSTED_PPM, initial_margin, liquidation_price, use
from riskd.margin_room import fee_of, leverage_of, margin_available, margin_beside, margin_needed, notional_carried
from riskd.units import PPM, UNIT, to_units, to_units_floor
from riskd.worst_case import leaning_qty
from tradebot.core.accounts import PositionMargin
from tradebot.core.orders import Side


def pos_10(case: Case) -> Row:
    """Leverage, then margin in use, both after the fill; then the maintenance margin that the venue tells."""
    limit = case.books.settings.orders.leverage
    if limit is None:
        raise LimitUndefined
    rule, qty = rule_of(case), qty_of(case)
    if rule.is_spot:
        return OK
    equity = margin_available(case)
    if equity <= 0:
        return BLOCK, "LEVERAGE_LIMIT", limit.leverage_ppm, EXHAUSTED_PPM
    leverage = bounded(-(-notional_carried(case, qty) * PPM // equity), limit.leverage_ppm, "LEVERAGE_LIMIT")
    if leverage[0] == BLOCK:
        return leverage
    used = -(-margin_needed(case, qty) * PPM // equity)
    if used > limit.margin_ppm:
        return BLOCK, "MARGIN_LIMIT", limit.margin_ppm, used
    told = case.books.portfolio.margins.get((rule.venue, rule.settle))
    if told is None or told.maintenance_margin < 0:
        raise InputMissing
    kept = use(told).maintenance_ppm
    return (BLOCK, "MARGIN_LIMIT", limit.maintenance_ppm, kept) if kept > limit.maintenance_ppm else leverage


def prc_06(case: Case) -> Row:
    """From the order's price it is further to the liquidation than to the stop, by a multiple. Without a stop there is
    nothing to compare with: whether there must be one is PRC-05's.
    """
    limit = case.books.settings.orders.liquidation
    if limit is None:
        raise LimitUndefined
    rule, price, sign = rule_of(case), price_of(case), case.side.sign
    if rule.is_spot or case.stop_distance is None:
        return OK
    told = case.books.portfolio.position_margins.get(case.instrument_id)
    if told is None or told.maintenance_margin < 0 or (told.liquidation_price or 1) < 0:
        raise InputMissing
    size = leaning_qty(case, qty_of(case))
    wanted = -(-price * case.stop_distance * limit.multiple_ppm // (UNIT * PPM))
    if size <= 0:
        return PASS, "", wanted, price  # the position stays on the other side, and shrinks
    rate_ppm, entry = _rate(case, told, limit.maintenance_ppm), _entry_price(case)
    margin = margin_available(case) - margin_beside(case) - fee_of(case, qty_of(case))
    if told.isolated:
        margin = min(margin, initial_margin(rule.contract.notional(size, entry), leverage_of(case, rule)))
    if margin <= 0 or rate_ppm >= PPM:
        return BLOCK, "LIQUIDATION_TOO_CLOSE", wanted, 0
    after = size * sign
    found = liquidation_price(rule.contract, after, rule.contract.flow(after, entry), margin, rate_ppm)
    prices = [] if found is None else [found]
    if told.liquidation_price is not None and case.books.portfolio.net.get(case.instrument_id, 0) * sign > 0:
        prices.append(to_units(told.liquidation_price))
    if not prices:
        return OK  # no price liquidates it
    distance = min((price - one) * sign for one in prices)
    fits = distance >= wanted
    return (PASS if fits else BLOCK, "" if fits else "LIQUIDATION_TOO_CLOSE", wanted, distance)


def _entry_price(case: Case) -> int:
    """Return the price at which the position counts as entered, the worst that it may be: open results are already in
    what carries it, and are measured at a mark that is no better.
    """
    view, price = good_view(case), price_of(case)
    return max(view.ask, price) if case.side is Side.BUY else min(view.bid, price)


def _rate(case: Case, told: PositionMargin, least_ppm: int) -> int:
    """Return the maintenance margin rate: what is assumed, or what the venue asks of the position if that is more."""
    held, kept = case.books.portfolio.net.get(case.instrument_id, 0), to_units_floor(told.maintenance_margin)
    notional = rule_of(case).contract.notional(held, _entry_price(case)) if held else 0
    return max(least_ppm, -(-kept * PPM // notional)) if notional else least_ppm


MARGIN_CHECKS: Final[dict[str, CheckFunction]] = {"POS-10": pos_10, "PRC-06": prc_06}
