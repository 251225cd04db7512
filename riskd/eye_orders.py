"""PTR-01: is an order that the eyes see at a venue one that riskd allowed? A pure comparison."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from riskd.exposure import Commitments, Cover, TrackedOrder
from riskd.units import to_units_floor
from tradebot.core.looks import SeenOrder
from tradebot.core.orders import OrderTerms, Side

NO_APPROVAL: Final = "riskd never approved it"
NOT_SENT: Final = "execd's log has it as never sent, and riskd knows of no approval"
NOT_ASKED: Final = "execd's log has it, riskd never approved it and no grant covers it"


def problem(seen: SeenOrder, commitments: Commitments) -> str:
    """Return why an order goes beyond what riskd allowed; empty when it does not."""
    known = commitments.orders.get(seen.client_order_id) or commitments.ended.get(seen.client_order_id)
    if known is None:
        return NO_APPROVAL
    if known.approved_terms is None and known.cover is Cover.NONE:
        return NOT_ASKED
    if known.cover is Cover.LOST and not known.sent:
        return NOT_SENT
    return _beyond(seen, known)


def _beyond(seen: SeenOrder, known: TrackedOrder) -> str:
    terms = known.approved_terms or known.state.terms
    if seen.instrument_id != terms.instrument_id:
        return f"allowed for {terms.instrument_id}"
    if seen.side is not terms.side:
        return f"allowed as {terms.side.name}"
    if to_units_floor(seen.qty) > to_units_floor(terms.qty):
        return f"quantity above the allowed {terms.qty}"
    if _worse(terms, seen.price):
        return f"price beyond the allowed {terms.price}"
    if seen.filled_qty > seen.qty:
        return f"filled {seen.filled_qty}, more than ordered"
    return ""


def _worse(terms: OrderTerms, price: Decimal | None) -> bool:
    """Return whether a limit gives more away than the allowed one; no limit at all does."""
    if terms.price is None:
        return False
    if price is None:
        return True
    return price > terms.price if terms.side is Side.BUY else price < terms.price


def describe(seen: SeenOrder, why: str) -> str:
    """Return one line that names the order."""
    price = "market" if seen.price is None else f"at {seen.price}"
    state = "open" if seen.is_open else f"filled {seen.filled_qty}"
    return (
        f"{seen.side.name} {seen.qty} {seen.venue_symbol} {price}, {state}, order {seen.venue_order_id} "
        f"client id {seen.client_order_id!r}: {why}"
    )
