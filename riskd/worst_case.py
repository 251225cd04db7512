"""Worst-case exposure: positions, working and UNKNOWN orders and reservations, as if the bad half of them filled."""

from __future__ import annotations

from riskd.case import Case
from riskd.inputs import InputMissing, in_currency, qty_of, rule_of, view_of
from riskd.units import UNIT, amount
from tradebot.core.orders import Side


def worst_qty(case: Case, qty: int) -> int:
    """Return the worst-case absolute position with `qty` more: max(|P + Wb + q|, |P - Ws - q|)."""
    held = case.books.portfolio.net.get(case.instrument_id, 0)
    committed = case.books.commitments.by_instrument.get(case.instrument_id)
    buy, sell = (committed.buy, committed.sell) if committed is not None else (0, 0)
    if case.side is Side.BUY:
        buy += qty
    else:
        sell += qty
    short = 0 if rule_of(case).is_spot else sell - held
    return max(held + buy, short, 0)


def value_price(case: Case) -> int:
    """Return the price at which this instrument's exposure is counted: ask or limit, the higher."""
    view = view_of(case)
    if not view.is_good:
        raise InputMissing
    return max(view.ask, case.price)


def quote_worth(case: Case, qty: int) -> int:
    """Return what a quantity of the instrument is worth at that price, quote asset."""
    return rule_of(case).contract.quote_notional(qty, value_price(case))


def exposure(case: Case) -> int:
    """Return this instrument's worst-case notional with the order, account currency."""
    if case.exposure is None:
        case.exposure = in_currency(case, quote_worth(case, worst_qty(case, qty_of(case))))
    return case.exposure


def gross_others(case: Case) -> int:
    """Return the worst-case notional of all other instruments, account currency."""
    _survey(case)
    if case.gross_others is None:
        raise InputMissing
    return case.gross_others


def base_others(case: Case) -> int:
    """Return the worst-case notional of all other instruments of the same base asset, account currency."""
    gross_others(case)
    assert case.base_others is not None
    return case.base_others


def open_others(case: Case) -> int:
    """Return how many other instruments are held, dust left out, or entered."""
    _survey(case)
    assert case.open_others is not None
    return case.open_others


def _survey(case: Case) -> None:
    """Look at all other instruments, once per ask: five checks need what comes of it. One loop without calls, because
    it is the only part of a decision that grows with the number of instruments. An exposed instrument without a good
    price, or whose quote asset has no rate, leaves the notionals unknown.
    """
    if case.open_others is not None:
        return
    books, own, base = case.books, case.instrument_id, rule_of(case).base
    rules, views, net, committed = books.rules, books.board.views, books.portfolio.net, books.commitments.by_instrument
    rates: dict[str, int | None] = {}
    gross = same_base = count = 0
    known = True
    for instrument_id in net.keys() | committed.keys():
        if instrument_id == own:
            continue
        rule, held, orders = rules[instrument_id], net.get(instrument_id, 0), committed.get(instrument_id)
        worst = held
        if orders is not None:
            worst += orders.buy
        if not rule.is_spot:
            worst = max(worst, (0 if orders is None else orders.sell) - held)
        if held > rule.dust_qty or held < -rule.dust_qty or (orders is not None and orders.entries > 0):
            count += 1
        if worst <= 0:
            continue
        quote = rule.quote
        if quote not in rates:
            rates[quote] = books.board.rate(quote, long=False)
        rate, view = rates[quote], views.get(instrument_id)
        if view is None or not view.good_ns or rate is None:
            known = False
            continue
        # Spot has no multiplier; the call costs as much as all the rest of the loop.
        notional = (
            -(-view.good_ask * worst // UNIT) if rule.is_spot else rule.contract.quote_notional(worst, view.good_ask)
        )
        if rate != UNIT:
            notional = amount(rate, notional)
        gross += notional
        if rule.base == base:
            same_base += notional
    case.open_others = count
    if known:
        case.gross_others, case.base_others = gross, same_base
