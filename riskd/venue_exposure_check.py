"""POS-08: how much would be gone with one venue. A pure function of a Case as in `checks`."""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.inputs import BLOCK, SOFT, CheckFunction, InputMissing, Row, bounded, equity_of, need, rule_of
from riskd.units import with_ppm
from riskd.worst_case import derivatives_beside, exposure

EXPOSED: Final = "VENUE_EXPOSURE_LIMIT"


def pos_08(case: Case) -> Row:
    """What lies at the venue, and its derivatives as if the worse side of all orders filled: their other side may stand
    elsewhere. Spot, held or ordered, is paid from what lies there and counts once.
    """
    orders, there = case.books.settings.orders, case.venue_equity
    hard, soft = need(orders.venue_hard_ppm), need(orders.venue_soft_ppm)
    equity = equity_of(case)
    if there is None or there <= 0:
        raise InputMissing  # nothing lies there that an entry could be paid from: somebody has not told all
    measured = there + derivatives_beside(case) + (0 if rule_of(case).is_spot else exposure(case))
    row = bounded(measured, with_ppm(equity, hard), EXPOSED)
    if row[0] == BLOCK or measured <= (warned := with_ppm(equity, soft)):
        return row
    return SOFT, EXPOSED, warned, measured


VENUE_EXPOSURE_CHECKS: Final[dict[str, CheckFunction]] = {"POS-08": pos_08}
