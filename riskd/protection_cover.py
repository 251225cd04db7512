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

    A grant is the promise, and execd keeps one stop for each. What is too small for an order of its own counts as
    covered: dust; for each further grant less than a lot; what was left when an earlier grant ended; and what execd
    can place no stop for, by its own rule (`protectable_qty`): of one grant all of it, of several what lacks.

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
    return [at for at in wanted if _lacks_a_stop(state, at, promised[at], covered.get(at, 0))]


def _lacks_a_stop(state: RiskState, at: Position, grants: list[GrantTerms], covered: int) -> bool:
    rule = state.rules[at[0]]
    promised = abs(state.portfolio.units_of(*at) - state.grants.remnants.get(at, 0))
    lacks, further = promised - covered, len(grants) - 1
    if lacks <= rule.dust_qty + further * rule.lot:
        return False
    return all(_fits_a_stop(state, at, grant, lacks if further else promised) for grant in grants)


def _fits_a_stop(state: RiskState, at: Position, grant: GrantTerms, units: int) -> bool:
    """Return whether the venue takes the stop of a grant for so much of a position."""
    price, instrument = from_units(state.portfolio.positions[at].price), state.rules[at[0]].instrument
    return protectable_qty(from_units(units), price, grant.side, grant.stop_loss_fraction, instrument) > 0
