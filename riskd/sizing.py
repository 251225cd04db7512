"""How large an order is when the intent leaves it to riskd: entries by a fixed quote amount, exits by the position.

A sized entry is clipped to the strictest headroom and says which check bound it; an entry whose sender named a quantity
is never clipped, only refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from riskd.case import Case
from riskd.checks import (
    InputMissing,
    LimitUndefined,
    closable,
    closing_elsewhere,
    free_balance,
    gross_others,
    value_price,
    worst_qty,
)
from riskd.settings import Cap
from riskd.units import PPM, UNIT, floor_to, to_units_floor
from tradebot.core.orders import Side


@dataclass(frozen=True, slots=True)
class Sized:
    """A quantity in units and the check that made it smaller (empty = none)."""

    qty: int
    binding: str = ""


def size_exit(case: Case) -> Sized:
    """Return what is left to close: the position minus what other closing orders already take, in whole lots."""
    assert case.rule is not None
    held, owner = closable(case)
    if held * case.side.sign >= 0:
        return Sized(0)
    return Sized(floor_to(max(0, abs(held) - closing_elsewhere(case, owner)), case.rule.lot))


def size_entry(case: Case, strength: Decimal, enforced: frozenset[str]) -> Sized:
    """Return the quantity of an entry.

    Args:
        case: The ask; price is known, quantity is not.
        strength: In (0, 1].
        enforced: Checks in force; others bind nothing.
    """
    rule, price = case.rule, case.price
    if rule is None or price <= 0 or not 0 < strength <= 1:
        return Sized(0)
    amount = case.books.settings.quote_amount * to_units_floor(strength) // UNIT * case.factor_ppm // PPM
    wanted = floor_to(amount * UNIT // price, rule.lot)
    best, binding = wanted, ""
    for check_id, headroom in HEADROOMS.items():
        if check_id not in enforced:
            continue
        try:
            room = floor_to(max(0, headroom(case)), rule.lot)
        except (InputMissing, LimitUndefined):
            continue  # the check itself refuses, with the right reason
        if room < best:
            best, binding = room, check_id
    if best < rule.min_qty or best * price < rule.min_notional * UNIT:
        return Sized(wanted)  # nothing useful fits: let the binding check say so
    return Sized(best, binding)


def _quote_room(case: Case, cap: Cap | None) -> int:
    """Return a cap in the instrument's quote asset."""
    rule, rate = case.rule, None
    if rule is not None:
        rate = case.books.board.rate(rule.quote, long=False)
    if cap is None or case.equity is None or not rate:
        raise InputMissing
    return cap.of(case.equity, case.factor_ppm) * UNIT // rate


def _order_qty(case: Case) -> int:
    if case.rule is None or case.rule.max_order_qty is None:
        raise LimitUndefined
    return case.rule.max_order_qty


def _order_value(case: Case) -> int:
    return _quote_room(case, case.books.settings.order_cap) * UNIT // case.price


def _balance(case: Case) -> int:
    free = free_balance(case)
    if case.side is Side.SELL:
        return free
    fee = case.books.commitments.fee_ppm
    # Twice rounded up in the check (notional, then fee): two units of slack keep the sized order inside.
    return (free - 2) * PPM // (PPM + fee) * UNIT // case.price


def _position(case: Case) -> int:
    room = _quote_room(case, case.books.settings.position_hard)
    return room * UNIT // value_price(case) - _worst_before(case)


def _gross(case: Case) -> int:
    settings = case.books.settings
    others = gross_others(case)
    rule = case.rule
    rate = None if rule is None else case.books.board.rate(rule.quote, long=False)
    if settings.gross_hard is None or case.equity is None or not rate:
        raise InputMissing
    room = settings.gross_hard.of(case.equity, case.factor_ppm) - others
    return room * UNIT // rate * UNIT // value_price(case) - _worst_before(case)


def _worst_before(case: Case) -> int:
    return worst_qty(case, 0)


HEADROOMS: Final[dict[str, Callable[[Case], int]]] = {
    "SIZ-01": _order_qty,
    "SIZ-02": _order_value,
    "POS-01": _balance,
    "POS-02": _position,
    "POS-04": _gross,
}
"""Largest quantity in units that each check would let pass; catalogue order."""
