"""Worst-case exposure: positions, working and UNKNOWN orders and reservations, as if the bad half of them filled."""

from __future__ import annotations

from riskd.case import Books, Case
from riskd.exposure_sums import REVALUE_NS
from riskd.inputs import InputMissing, good_view, in_currency, qty_of, rule_of
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
    return max(good_view(case).ask, case.price)


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


def net_exposure(case: Case) -> int:
    """Return how far all instruments together lean to the order's side once it and all that works on that side are
    filled, and nothing against it; account currency, below 0 when they still lean to the other side.

    Beta is 1 for every instrument: none is known. All is valued at the ask, as gross exposure is.
    """
    own = leaning_qty(case, qty_of(case))
    notional = in_currency(case, quote_worth(case, own))
    return net_others(case) + (notional if own > 0 else -notional)


def leaning_qty(case: Case, qty: int) -> int:
    """Return the position to the order's side with `qty` more, when nothing against it is filled."""
    held = case.books.portfolio.net.get(case.instrument_id, 0)
    committed = case.books.commitments.by_instrument.get(case.instrument_id)
    if case.side is Side.BUY:
        return held + (0 if committed is None else committed.buy) + qty
    return (0 if committed is None else committed.sell) + qty - held


def both_sides(case: Case) -> tuple[int, int]:
    """Return the notional of all that is bought when every buy fills and no sell does, and of all that is sold when
    every sell fills and no buy does; this order with them, account currency. Nothing is netted over instruments.
    """
    bought, sold = sides_beside(case)
    qty = qty_of(case)
    if rule_of(case).is_spot:  # nothing is sold that is not held
        return bought + exposure(case), sold
    held = case.books.portfolio.net.get(case.instrument_id, 0)
    committed = case.books.commitments.by_instrument.get(case.instrument_id)
    buys, sells = (0, 0) if committed is None else (committed.buy, committed.sell)
    if case.side is Side.BUY:
        buys += qty
    else:
        sells += qty
    long, short = max(held + buys, 0), max(sells - held, 0)
    bought += in_currency(case, quote_worth(case, long)) if long else 0
    sold += in_currency(case, quote_worth(case, short)) if short else 0
    return bought, sold


def sides_beside(case: Case) -> tuple[int, int]:
    """Return the same of all other instruments."""
    _survey(case)
    others = case.books.sums.sides_beside(case.instrument_id)
    if others is None:
        raise InputMissing
    return others


def net_others(case: Case) -> int:
    """Return how far all other instruments lean to the order's side, as in `net_exposure`."""
    _survey(case)
    others = case.books.sums.net_others(case.instrument_id)
    if others is None:
        raise InputMissing
    return others[0] if case.side is Side.BUY else -others[1]


def base_others(case: Case) -> int:
    """Return the worst-case notional of all other instruments of the same base asset, account currency."""
    gross_others(case)
    assert case.base_others is not None
    return case.base_others


def cluster_others(case: Case) -> int | None:
    """Return the worst-case notional of all that moves together with this instrument, account currency; None = nothing
    does.
    """
    gross_others(case)
    return case.books.sums.cluster_others(case.instrument_id)


def derivatives_beside(case: Case) -> int:
    """Return the worst-case notional of the venue's other derivatives, account currency."""
    gross_others(case)
    return case.books.sums.derivatives_at(rule_of(case).venue, case.instrument_id)


def open_others(case: Case) -> int:
    """Return how many other instruments are held, dust left out, or entered."""
    _survey(case)
    assert case.open_others is not None
    return case.open_others


def value_all(books: Books, now_ns: int, max_age_ns: int = REVALUE_NS) -> None:
    """Bring the sums over all instruments up to date: what moved, or everything when they are older than that."""
    books.sums.refresh(books.portfolio, books.commitments, books.board, books.rules, now_ns, max_age_ns)


def value_positions(books: Books, now_ns: int, max_age_ns: int = REVALUE_NS) -> None:
    """Bring the sums over all positions up to date, likewise."""
    books.open_risk.refresh(books.portfolio.positions, books.rules, books.board, now_ns, max_age_ns)


def _survey(case: Case) -> None:
    """Look at all other instruments, once per ask: five checks need what comes of it."""
    if case.open_others is not None:
        return
    books, base = case.books, rule_of(case).base
    value_all(books, case.now_ns)
    case.gross_others, case.base_others, case.open_others = books.sums.others(case.instrument_id, base)
