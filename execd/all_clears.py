"""All-clears that an earlier life of execd may still owe riskd.

An alarm that ends by itself is cleared by whoever raised it: nobody clears such a hold by hand. What was raised lives
in memory only. So after a restart, everything that may have been raised is looked at with each reconciliation, and
cleared once when it is not so.
"""

from __future__ import annotations

from execd.protection import UNPROTECTED, Protection
from execd.reconcile import MISMATCH, Reconciler
from execd.state import DeskState, VenueState
from execd.unknown import UNRESOLVED, UnknownTracker
from tradebot.core.accounts import VenueAlarm


class AllClears:
    """See the module."""

    def __init__(
        self, state: DeskState, unknown: UnknownTracker, protection: Protection, reconciler: Reconciler
    ) -> None:
        self._state = state
        self._unknown = unknown
        self._protection = protection
        self._reconciler = reconciler
        self._owed: dict[str, list[tuple[str, str]]] = {}
        """Venue -> (cause, instrument)."""

    def restarted(self) -> None:
        """Owe everything that orders of the journal can have raised."""
        self._owed = {name: [(MISMATCH, "")] for name in self._state.venues}
        for instrument_id in {order.facts.terms.instrument_id for order in self._state.orders.all_orders()}:
            if instrument_id in self._state.instruments:
                owed = self._owed[self._state.venue_of(instrument_id).name]
                owed += [(UNRESOLVED, instrument_id), (UNPROTECTED, instrument_id)]

    def reconciled(self, venue: VenueState) -> None:
        """Clear what is not so; the rest is looked at again after the next reconciliation."""
        owed = self._owed.get(venue.name)
        if not owed or venue.reconciling:
            return
        still = [(cause, name) for cause, name in owed if self._is_so(cause, venue, name)]
        for cause, name in owed:
            if (cause, name) not in still:
                venue.alarms.append(VenueAlarm(cause, name, "not so after a restart", cleared=True))
                venue.status_dirty = True
        self._owed[venue.name] = still

    def _is_so(self, cause: str, venue: VenueState, instrument_id: str) -> bool:
        if cause == MISMATCH:
            return self._reconciler.has_mismatch(venue.name)
        if cause == UNRESOLVED:
            return self._unknown.doubts(instrument_id)
        return self._protection.is_naked(instrument_id)
