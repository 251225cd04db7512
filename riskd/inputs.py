"""What all checks are made of: their outcome, and inputs that are there or refuse.

Fail closed: an input that is missing or makes no sense raises InputMissing, a limit that nobody set LimitUndefined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from riskd.caps import Cap
from riskd.case import Case
from riskd.marks import MarketView
from riskd.rules import InstrumentRule
from riskd.units import UNIT, amount
from tradebot.core.approvals import CheckOutcome

Row = tuple[int, str, int, int]
"""outcome (CheckOutcome value), reason, limit, measured."""
CheckFunction = Callable[[Case], Row]

PASS: Final = CheckOutcome.PASS.value
BLOCK: Final = CheckOutcome.BLOCK.value
SOFT: Final = CheckOutcome.SOFT.value
OK: Final[Row] = (PASS, "", 0, 0)
INPUT_MISSING: Final[Row] = (BLOCK, "CHECK_INPUT_MISSING", 0, 0)
LIMIT_UNDEFINED: Final[Row] = (BLOCK, "LIMIT_UNDEFINED", 0, 0)
CHECK_ERROR: Final[Row] = (BLOCK, "CHECK_ERROR", 0, 0)
"""A check that raised: whatever went wrong inside is a refusal."""


class InputMissing(Exception):
    """An input is missing, stale, zero or not finite."""


class LimitUndefined(Exception):
    """The limit is not configured."""


def need(value: int | None) -> int:
    """Return a limit that must be there."""
    if value is None:
        raise LimitUndefined
    return value


def cap_of(cap: Cap | None, case: Case) -> int:
    if cap is None:
        raise LimitUndefined
    equity = case.equity
    if equity is None or equity <= 0:
        raise InputMissing
    return cap.of(equity, case.factor_ppm)


def equity_of(case: Case) -> int:
    if case.equity is None or case.equity <= 0:
        raise InputMissing
    return case.equity


def rule_of(case: Case) -> InstrumentRule:
    if case.rule is None:
        raise InputMissing
    return case.rule


def view_of(case: Case) -> MarketView:
    if case.view is None:
        raise InputMissing
    return case.view


def good_view(case: Case) -> MarketView:
    """Return the market with both sides, uncrossed, on a LIVE book."""
    view = case.view
    if view is None or not view.is_good:
        raise InputMissing
    return view


def mid_of(case: Case) -> int:
    """Return the middle of a good book, rounded down."""
    view = good_view(case)
    return (view.bid + view.ask) // 2


def is_blind(case: Case) -> bool:
    """Return whether a reducing order finds no good prices within their age: it may close all the same."""
    if not case.reducing:
        return False
    oldest, view = need(case.books.settings.reduce_reference_ns), case.view
    return view is None or not view.good_ns or abs(case.now_ns - view.good_ns) > oldest


def best_prices(case: Case) -> tuple[int, int]:
    """Return (bid, ask) of a good book; reducing orders take the last good ones within their age."""
    if not case.reducing:
        view = good_view(case)
        return view.bid, view.ask
    if is_blind(case):
        raise InputMissing
    view = view_of(case)
    return view.good_bid, view.good_ask


def last_known_price(case: Case) -> int:
    """Return what a blind reducing order is held against: the middle of the last good prices, however old, else what
    was paid for the position.
    """
    view = case.view
    if view is not None and view.good_ns:
        return (view.good_bid + view.good_ask) // 2
    owner = case.reduce.strategy_id if case.reduce is not None else case.strategy_id
    price = case.books.portfolio.entry_price(case.instrument_id, owner)
    if price <= 0:
        raise InputMissing
    return price


def qty_of(case: Case) -> int:
    if case.qty <= 0:
        raise InputMissing
    return case.qty


def price_of(case: Case) -> int:
    if case.price <= 0:
        raise InputMissing
    return case.price


def notional_of(case: Case) -> int:
    """Return what the order is worth at its price, quote asset, rounded up."""
    price, qty = case.price, case.qty
    if price <= 0 or qty <= 0:
        raise InputMissing
    return rule_of(case).contract.quote_notional(qty, price)


def value_of(case: Case) -> int:
    """Return the order's notional in account currency, rounded up: five checks need it."""
    if case.value is None:
        case.value = in_currency(case, notional_of(case))
    return case.value


def in_currency(case: Case, value: int) -> int:
    """Return a quote amount in account currency, rounded up."""
    rule = case.rule
    if rule is None:
        raise InputMissing
    return worth_of(case, rule.quote, value)


def worth_of(case: Case, asset: str, value: int) -> int:
    """Return an amount of an asset in account currency, rounded up."""
    rate = case.books.board.rate(asset, long=False)
    if rate is None or rate <= 0:
        raise InputMissing
    return value if rate == UNIT else amount(rate, value)


def soft_of(cap: Cap | None, case: Case) -> int | None:
    """Return a soft cap, which need not be there."""
    return None if cap is None else cap_of(cap, case)


def two_step(measured: int, hard: int, soft: int | None, reason: str) -> Row:
    """Beyond the soft cap is allowed and said; at either cap nothing is."""
    if measured > hard:
        return BLOCK, reason, hard, measured
    return (SOFT, reason, soft, measured) if soft is not None and measured > soft else (PASS, "", hard, measured)


def bounded(measured: int, limit: int, reason: str) -> Row:
    """At the limit is allowed."""
    return (BLOCK, reason, limit, measured) if measured > limit else (PASS, "", limit, measured)
