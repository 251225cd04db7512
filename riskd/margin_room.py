"""What an order would use of the margin that carries perpetuals: POS-01 and the headroom of sizing.

Cross margin: a venue's balance of the settlement asset and the open results of everything that settles in it. Positions
count with what works beside them as if the worse side of that were filled; the leverage is the venue's own.
"""

from __future__ import annotations

from riskd.case import Case
from riskd.inputs import InputMissing, price_of, rule_of, view_of
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
    fee = _value(rule, qty, price_of(case))
    own = initial_margin(_value(rule, worst_qty(case, qty), _worst_price(case, rule)), _leverage(case, rule))
    return own + _others(case, rule) + plus_ppm(fee, case.books.commitments.fee_ppm) - fee


def margin_qty(case: Case) -> int:
    """Return the largest quantity that POS-01 would let pass, rounded down."""
    rule = rule_of(case)
    price = _worst_price(case, rule)
    leverage = _leverage(case, rule)
    # Rounded up in the check twice (value, then margin and fee): a few units of slack keep the sized order inside.
    room = margin_available(case) - margin_needed(case, 0) - 4
    per_unit = UNIT * UNIT // leverage + case.books.commitments.fee_ppm * (UNIT // PPM) + 1
    value = room * UNIT // per_unit
    if value <= 0:
        return 0
    return rule.contract.qty_for(value * price // UNIT if rule.contract.inverse else value, price)


def _others(case: Case, rule: InstrumentRule) -> int:
    """Return the initial margin of the other perpetuals that the same balance carries."""
    books, total = case.books, 0
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
        total += initial_margin(_value(other, worst, price), _leverage(case, other))
    return total


def _worst_price(case: Case, rule: InstrumentRule) -> int:
    """Return the price at which this instrument needs most: coins are worth more contracts when it falls."""
    return min(view_of(case).bid, price_of(case)) if rule.contract.inverse else value_price(case)


def _value(rule: InstrumentRule, qty: int, price: int) -> int:
    return rule.contract.notional(qty, price)


def _leverage(case: Case, rule: InstrumentRule) -> int:
    """Return what the venue says of this instrument, units."""
    told = case.books.portfolio.position_margins.get(rule.instrument_id)
    leverage = 0 if told is None else to_units_floor(told.leverage)
    if leverage <= 0:
        raise InputMissing
    return leverage
