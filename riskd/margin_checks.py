"""Checks of perpetuals against the balance that carries them. Pure functions of a Case as in `checks`; spot, which
borrows nothing, passes.
"""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.inputs import (
    BLOCK,
    OK,
    CheckFunction,
    InputMissing,
    LimitUndefined,
    Row,
    bounded,
    qty_of,
    rule_of,
)
from riskd.margin import EXHAUSTED_PPM, use
from riskd.margin_room import margin_available, margin_needed, notional_carried
from riskd.units import PPM


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
    if told is None:
        raise InputMissing
    kept = use(told).maintenance_ppm
    return (BLOCK, "MARGIN_LIMIT", limit.maintenance_ppm, kept) if kept > limit.maintenance_ppm else leverage


MARGIN_CHECKS: Final[dict[str, CheckFunction]] = {"POS-10": pos_10}
