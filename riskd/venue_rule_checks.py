"""Checks of the venue's own rules as far as they move: its price band. Pure functions of a Case as in `checks`."""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.inputs import BLOCK, PASS, CheckFunction, InputMissing, Row, best_prices, price_of, rule_of
from riskd.units import PPM
from tradebot.core.orders import Side

OUTSIDE: Final = "PRICE_OUTSIDE_VENUE_BAND"


def spc_07(case: Case) -> Row:
    """Limit and trigger within the venue's fixed prices, the limit within its multiples of the market's price. The
    venue takes its own average of minutes; that the middle is near it is PRC-02's.
    """
    band, price = rule_of(case).band, price_of(case)
    if band is None:
        raise InputMissing
    for asked in (price, case.stop_price):
        if asked and band.min_price is not None and asked < band.min_price:
            return BLOCK, OUTSIDE, band.min_price, asked
        if asked and band.max_price is not None and asked > band.max_price:
            return BLOCK, OUTSIDE, band.max_price, asked
    least_ppm, most_ppm = band.buy if case.side is Side.BUY else band.sell
    bid, ask = best_prices(case)
    low = 0 if least_ppm is None else -(-(bid + ask) * least_ppm // (2 * PPM))
    if price < low:
        return BLOCK, OUTSIDE, low, price
    if most_ppm is None:
        return PASS, "", low, price
    high = (bid + ask) * most_ppm // (2 * PPM)
    return (BLOCK, OUTSIDE, high, price) if price > high else (PASS, "", high, price)


VENUE_RULE_CHECKS: Final[dict[str, CheckFunction]] = {"SPC-07": spc_07}
