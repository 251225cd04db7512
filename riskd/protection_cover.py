"""How much of each position rests behind a stop, as far as execd's log has told. For kills, which close what they leave
without its stop, and for the watch of PTR-06: one rule, two askers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from riskd.exposure import TrackedOrder
from riskd.state import RiskState
from riskd.units import from_units
from tradebot.core.approvals import GrantTerms
from tradebot.core.orders import OrderRole, OrderStatus
from tradebot.core.protection import protectable_qty

STAYS: Final = frozenset({OrderRole.PROTECTION})
"""Roles that protect a position: a kill leaves them at the venue as long as it is open."""
IN_FLIGHT: Final = (OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN)
RESTING: Final = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)

Position = tuple[str, str]
"""(instrument, strategy)."""


def is_stop(order: TrackedOrder) -> bool:
    """Return whether an order is a protecting stop; the target that may rest beside it is none."""
    return order.role in STAYS and order.state.terms.stop_price is not None


def uncovered(state: RiskState, positions: Iterable[Position], *, resting_only: bool) -> list[Position]:
    """Return those positions that were promised a stop and whose stops cover less than all of them.

    A grant is the promise. What is too small for an order of its own counts as covered: dust, for each further grant
    less than a lot, and a position for which execd can place no stop, by its own rule (`protectable_qty`).

    Args:
        state: What is held, granted and working.
        positions: Open positions to look at.
        resting_only: Only stops that the venue has acknowledged count; False: those whose fate is open count too.
    """
    promised: dict[Position, list[GrantTerms]] = {}
    for grant in state.grants:
        promised.setdefault((grant.instrument_id, grant.strategy_id), []).append(grant)
    wanted = [at for at in positions if at in promised]
    if not wanted:
        return []
    covered: dict[Position, int] = {}
    for order in state.commitments.orders.values():
        if is_stop(order) and (not resting_only or order.state.status in RESTING):
            at = (order.instrument_id, state.owner_of(order))
            covered[at] = covered.get(at, 0) + order.leaves
    found = []
    for at in wanted:
        rule = state.rules[at[0]]
        spare = rule.dust_qty + (len(promised[at]) - 1) * rule.lot
        lacks = covered.get(at, 0) + spare < abs(state.portfolio.units_of(*at))
        if lacks and all(_fits_a_stop(state, at, grant) for grant in promised[at]):
            found.append(at)
    return found


def _fits_a_stop(state: RiskState, at: Position, grant: GrantTerms) -> bool:
    """Return whether the venue takes the stop of a grant for a whole position."""
    held, instrument = state.portfolio.positions[at], state.rules[at[0]].instrument
    qty, price = from_units(abs(held.units)), from_units(held.price)
    return protectable_qty(qty, price, grant.side, grant.stop_loss_fraction, instrument) > 0
