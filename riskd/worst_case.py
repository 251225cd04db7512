"""Worst-case exposure: positions, working and UNKNOWN orders and reservations, as if the bad half of them filled."""

from __future__ import annotations

from riskd.case import Case
from riskd.inputs import InputMissing, in_currency, qty_of, rule_of, view_of
from riskd.units import amount
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


def exposure(case: Case) -> int:
    """Return this instrument's worst-case notional with the order, account currency."""
    if case.exposure is None:
        case.exposure = in_currency(case, amount(value_price(case), worst_qty(case, qty_of(case))))
    return case.exposure


def gross_others(case: Case) -> int:
    """Return the worst-case notional of all other instruments, account currency."""
    if case.gross_others is None:
        base, gross, same_base = rule_of(case).base, 0, 0
        for instrument_id in exposed_instruments(case):
            if instrument_id != case.instrument_id:
                notional = worst_notional(case, instrument_id)
                gross += notional
                if case.books.rules[instrument_id].base == base:
                    same_base += notional
        case.gross_others, case.base_others = gross, same_base
    return case.gross_others


def base_others(case: Case) -> int:
    """Return the worst-case notional of all other instruments of the same base asset, account currency."""
    gross_others(case)
    assert case.base_others is not None
    return case.base_others


def exposed_instruments(case: Case) -> set[str]:
    """Return instruments with a position or commitments."""
    books = case.books
    exposed = {i for i, units in books.portfolio.net.items() if units}
    exposed.update(i for i, committed in books.commitments.by_instrument.items() if committed.buy or committed.sell)
    return exposed


def worst_notional(case: Case, instrument_id: str) -> int:
    """Return one other instrument's worst-case notional at its last good ask."""
    books = case.books
    rule, view = books.rules[instrument_id], books.board.views.get(instrument_id)
    held, committed = books.portfolio.net.get(instrument_id, 0), books.commitments.by_instrument.get(instrument_id)
    buy, sell = (committed.buy, committed.sell) if committed is not None else (0, 0)
    worst = max(held + buy, 0 if rule.is_spot else sell - held, 0)
    if not worst:
        return 0
    rate = books.board.rate(rule.quote, long=False)
    if view is None or not view.good_ns or rate is None:
        raise InputMissing
    return amount(rate, amount(view.good_ask, worst))
