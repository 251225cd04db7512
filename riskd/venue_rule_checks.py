"""Checks of the venue's own rules: its price band, and whether they still are what riskd knows. Pure functions of a
Case as in `checks`.
"""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.inputs import BLOCK, PASS, CheckFunction, InputMissing, Row, best_prices, is_blind, need, price_of, rule_of
from riskd.settings import NS_PER_MS
from riskd.units import PPM
from tradebot.core.orders import Side

OUTSIDE: Final = "PRICE_OUTSIDE_VENUE_BAND"


def spc_07(case: Case) -> Row:
    """Limit and trigger within the venue's fixed prices, the limit within its multiples of the market's price. The
    venue takes its own average of minutes; that the middle is near it is PRC-02's. A reducing order without a price
    that is young enough leaves the multiples to the venue.
    """
    band, price = rule_of(case).band, price_of(case)
    if band is None:
        raise InputMissing
    for asked in (price, case.stop_price):
        if asked and band.min_price is not None and asked < band.min_price:
            return BLOCK, OUTSIDE, band.min_price, asked
        if asked and band.max_price is not None and asked > band.max_price:
            return BLOCK, OUTSIDE, band.max_price, asked
    if is_blind(case):
        return PASS, "", 0, price
    least_ppm, most_ppm = band.buy if case.side is Side.BUY else band.sell
    bid, ask = best_prices(case)
    low = 0 if least_ppm is None else -(-(bid + ask) * least_ppm // (2 * PPM))
    if price < low:
        return BLOCK, OUTSIDE, low, price
    if most_ppm is None:
        return PASS, "", low, price
    high = (bid + ask) * most_ppm // (2 * PPM)
    return (BLOCK, OUTSIDE, high, price) if price > high else (PASS, "", high, price)


def spc_10(case: Case) -> Row:
    """The rules in use are those that the venue had when they were last read, and that is not long ago."""
    oldest, status = need(case.books.settings.orders.rules_age_ns), case.venue_status
    used = case.books.rules_hashes.get(case.venue, "")
    if status is None or status.rules_time_ns <= 0 or not status.rules_hash or not used:
        raise InputMissing
    age = abs(case.now_ns - status.rules_time_ns)  # what was read in the far future would never age
    if age > oldest or status.rules_hash != used:
        return BLOCK, "INSTRUMENT_RULES_STALE", oldest // NS_PER_MS, -(-age // NS_PER_MS)
    return PASS, "", oldest // NS_PER_MS, age // NS_PER_MS


VENUE_RULE_CHECKS: Final[dict[str, CheckFunction]] = {"SPC-07": spc_07, "SPC-10": spc_10}
