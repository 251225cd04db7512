"""What an order would use of the margin that carries perpetuals: POS-01, POS-10, PRC-06 and the headroom of sizing.

Cross margin: a venue's balance of the settlement asset and the open results of everything that settles in it. Positions
count with what works beside them as if the worse side of that were filled; the leverage is the venue's own.
"""

from __future__ import annotations

from riskd.case import Case
from riskd.inputs import InputMissing, good_view, price_of, rule_of
from riskd.margin import initial_margin
from riskd.rules import InstrumentRule
from riskd.units import PPM, UNIT, plus_ppm, to_units_floor
from riskd.worst_case import value_price, worst_qty


def margin_available(case: Case) -> int:
    """Return what carries positions that settle in this instrument's asset, units of it."""
    rule, portfolio = rule_of(case), case.books.portfolio
    if rule.venue not in portfolio.snapshot_venues:
        raise InputMissing
    opened = portfolio.open_result(rule.venue, rule.settle, case.books.rules, case.books.board)
    if opened is None:
        raise InputMissing
    key = (rule.venue, rule.settle)
    return portfolio.balances.get(key, 0) + opened - case.books.commitments.by_asset.get(key, 0)


def margin_needed(case: Case, qty: int) -> int:
    """Return the initial margin of everything with `qty` more of this instrument, and the fee of that order."""
    rule = rule_of(case)
    own = initial_margin(_value(rule, worst_qty(case, qty), _worst_price(case, rule)), leverage_of(case, rule))
    return own + margin_beside(case) + fee_of(case, qty)


def notional_carried(case: Case, qty: int) -> int:
    """Return the worst-case notional of everything with `qty` more of this instrument, settlement asset."""
    rule = rule_of(case)
    return _value(rule, worst_qty(case, qty), _worst_price(case, rule)) + _beside(case)[0]


def fee_of(case: Case, qty: int) -> int:
    """Return the taker fee of a quantity at the order's price, settlement asset, rounded up."""
    value = _value(rule_of(case), qty, price_of(case))
    return plus_ppm(value, case.books.commitments.fee_ppm) - value


def margin_beside(case: Case) -> int:
    """Return the initial margin of the other perpetuals that the same balance carries."""
    return _beside(case)[1]


def margin_qty(case: Case, available: int) -> int:
    """Return the largest quantity whose margin and fee fit into `available` with everything else, rounded down."""
    rule = rule_of(case)
    # Rounded up in the check twice (value, then margin and fee): a few units of slack keep the sized order inside.
    room = available - margin_needed(case, 0) - 4
    per_unit = UNIT * UNIT // leverage_of(case, rule) + case.books.commitments.fee_ppm * (UNIT // PPM) + 1
    return _qty_for(case, room * UNIT // per_unit)


def notional_qty(case: Case, most: int) -> int:
    """Return the largest quantity that keeps the notional of everything within `most`, rounded down."""
    return _qty_for(case, most - notional_carried(case, 0) - 2)


def _qty_for(case: Case, value: int) -> int:
    """Return the quantity that a value in settlement asset buys at the worst price; 0 for none."""
    if value <= 0:
        return 0
    rule = rule_of(case)
    price = _worst_price(case, rule)
    return rule.contract.qty_for(value * price // UNIT if rule.contract.inverse else value, price)


def _beside(case: Case) -> tuple[int, int]:
    """Return (notional, initial margin) of the other perpetuals that the same balance carries; once per ask."""
    if case.carried_beside is None:
        case.carried_beside = _others(case, rule_of(case))
    return case.carried_beside


def _others(case: Case, rule: InstrumentRule) -> tuple[int, int]:
    books, notional, total = case.books, 0, 0
    net, committed = books.portfolio.net, books.commitments.by_instrument
    for instrument_id in net.keys() | committed.keys():
        other = books.rules[instrument_id]
        is_beside = (other.venue, other.settle) == (rule.venue, rule.settle)
        if other.is_spot or not is_beside or instrument_id == rule.instrument_id:
            continue
        held, orders = net.get(instrument_id, 0), committed.get(instrument_id)
        buy, sell = (0, 0) if orders is None else (orders.buy, orders.sell)
        worst = max(held + buy, sell - held, 0)
        if not worst:
            continue
        view = books.board.views.get(instrument_id)
        if view is None or not view.good_ns:
            raise InputMissing
        price = view.good_bid if other.contract.inverse else view.good_ask
        value = _value(other, worst, price)
        notional += value
        total += initial_margin(value, leverage_of(case, other))
    return notional, total


def _worst_price(case: Case, rule: InstrumentRule) -> int:
    """Return the price at which this instrument needs most: coins are worth more contracts when it falls."""
    return min(good_view(case).bid, price_of(case)) if rule.contract.inverse else value_price(case)


def _value(rule: InstrumentRule, qty: int, price: int) -> int:
    return rule.contract.notional(qty, price)


def leverage_of(case: Case, rule: InstrumentRule) -> int:
    """Return what the venue says of this instrument, units."""
    told = case.books.portfolio.position_margins.get(rule.instrument_id)
    leverage = 0 if told is None else to_units_floor(told.leverage)
    if leverage <= 0:
        raise InputMissing
    return leverage
