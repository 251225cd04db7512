"""How long entries may rest: riskd says it with every lease (SPC-09), execd cancels what is older.

The age counts from the intent's arrival, which the order log keeps over restarts. One good till a date ends by the
venue's clock; what the venue forgets to end is canceled like any other. Without riskd's word nothing is: then the lease
is over, and every working entry is canceled for that.
"""

from __future__ import annotations

from typing import Final

from execd.deadlines import Deadlines
from execd.orders import Order, is_entry
from execd.settings import NS_PER_S
from execd.state import DeskState
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind

RESTED_TOO_LONG: Final = "RESTED_TOO_LONG"
"""Reason of the cancel."""
VENUE_SLACK_NS: Final = NS_PER_S
"""So long after its date the venue has ended an order and told of it."""


class RestingEntries:
    """See the module."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._lifetime_ns = 0
        """0 = riskd sets no limit."""
        self._deadlines = Deadlines()

    def after_event(self, order: Order, event: OrderEvent) -> None:
        """An entry is on its way, is at the venue after all, or is over."""
        if not order.working:
            self._deadlines.set(order.id, None)
        elif event.kind in (OrderEventKind.SENT, OrderEventKind.RECOVERED) and is_entry(order):
            self._deadlines.set(order.id, self._due_ns(order))

    def follow(self, lifetime_ns: int) -> None:
        """Take riskd's word; another one counts for what rests already."""
        if lifetime_ns == self._lifetime_ns:
            return
        self._lifetime_ns = lifetime_ns
        for order in self._state.orders.working():
            if is_entry(order):
                self._deadlines.set(order.id, self._due_ns(order))

    def _due_ns(self, order: Order) -> int | None:
        if not self._lifetime_ns:
            return None
        date_ns = order.facts.terms.expire_time_ns
        return date_ns + VENUE_SLACK_NS if date_ns else order.facts.created_time_ns + self._lifetime_ns

    def handle_timer(self, now_ns: int) -> None:
        """Cancel what is due. A cancel that cannot be sent, or is lost, is repeated like any other."""
        for client_order_id in self._deadlines.take(now_ns):
            order = self._state.orders.get(client_order_id)
            if order is not None and order.working and not order.cancel_wanted:
                self._state.cancel(order, RESTED_TOO_LONG, now_ns)

    def next_timer_ns(self) -> int | None:
        """Return when an entry is due."""
        return self._deadlines.next_ns()
