"""Orders whose outcome is not proven: queried by client id until the venue tells, never resent.

"Not found" proves nothing until the request's own deadline plus a margin has passed; then it takes several answers
over a stretch of time, and a full read of open orders, history and trades without the order. Otherwise the order
stays UNKNOWN, its exposure stays reserved, and after a minute an operator is told. A cancel without a proven outcome
changes nothing by itself: the order keeps working until its end is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from execd.orders import Order
from execd.settings import NS_PER_MS
from execd.state import DeskState
from tradebot.core.orders import OrderEventKind, OrderStatus

UNRESOLVED: Final = "UNRESOLVED_ORDER"
"""Alarm of an instrument; its all-clear ends riskd's hold."""


@dataclass(slots=True)
class Doubt:
    """One order that is asked after."""

    client_order_id: str
    instrument_id: str
    since_ns: int
    next_query_ns: int
    queries: int = 0
    not_found: int = 0
    """Answers that count."""
    first_not_found_ns: int = 0
    last_not_found_ns: int = 0
    absent_in_read_ns: int = 0
    """Start of the last full read that did not show it."""
    paged: bool = False

    def start_over(self) -> None:
        """What was shown so far proves nothing any more."""
        self.not_found = self.first_not_found_ns = self.last_not_found_ns = self.absent_in_read_ns = 0


class UnknownTracker:
    """Asks after orders in doubt, in virtual or real time."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._doubts: dict[str, Doubt] = {}

    def doubt(self, order: Order, now_ns: int, *, at_once: bool = False) -> None:
        """Ask after an order until its state is proven.

        What is found at work is canceled again when a cancel is wanted, so each cancel without effect makes us wait
        longer: a venue that goes on refusing must not be asked at the rate at which it answers.
        """
        if order.id in self._doubts:
            return
        times_ms = self._state.settings.unknown.query_at_ms
        step = min(max(0, order.cancels - 1), len(times_ms) - 1)
        first_ms = 0 if at_once else times_ms[step]
        self._doubts[order.id] = Doubt(
            order.id, order.facts.terms.instrument_id, now_ns, now_ns + first_ms * NS_PER_MS, step
        )

    def settled(self, client_order_id: str) -> None:
        """Its state is proven; the last one that riskd was told of ends its hold."""
        doubt = self._doubts.pop(client_order_id, None)
        if doubt is None or not doubt.paged:
            return
        instrument_id = doubt.instrument_id
        if not any(other.paged and other.instrument_id == instrument_id for other in self._doubts.values()):
            self._state.alarm(self._state.venue_of(instrument_id), UNRESOLVED, instrument_id, cleared=True)

    def doubts(self, instrument_id: str) -> bool:
        """Return whether an order of a market is asked after."""
        return any(doubt.instrument_id == instrument_id for doubt in self._doubts.values())

    def found(self, order: Order, now_ns: int) -> bool:
        """The venue showed the order; return whether that ended a doubt. A cancel that is wanted had no effect then."""
        doubt = self._doubts.get(order.id)
        if doubt is None:
            return False
        if order.state.status is OrderStatus.UNKNOWN:
            doubt.start_over()
            return False
        self.settled(order.id)
        return True

    def not_found(self, order: Order, now_ns: int) -> None:
        """The venue does not know the order. That counts only long after the request's deadline."""
        doubt = self._doubts.get(order.id)
        if doubt is None or now_ns < self._counts_from_ns(order, doubt):
            return
        doubt.not_found += 1
        doubt.first_not_found_ns = doubt.first_not_found_ns or now_ns
        doubt.last_not_found_ns = now_ns
        self._conclude(order, doubt, now_ns)

    def absent_in_read(self, order: Order, read_started_ns: int, now_ns: int) -> None:
        """A full read of open orders, history and trades did not show the order."""
        doubt = self._doubts.get(order.id)
        if doubt is not None and read_started_ns >= self._counts_from_ns(order, doubt):
            doubt.absent_in_read_ns = read_started_ns
            self._conclude(order, doubt, now_ns)

    def wants_read(self) -> bool:
        """Return whether a full read is all that is missing for a conclusion."""
        return any(self._answers_suffice(d) and not d.absent_in_read_ns for d in self._doubts.values())

    def _counts_from_ns(self, order: Order, doubt: Doubt) -> int:
        settings = self._state.settings
        venue = self._state.venue_of(order.facts.terms.instrument_id)
        sent_ns = order.sent_ns or doubt.since_ns  # before a restart: at the latest when we began to ask
        wait_ms = settings.recv_window_ms + settings.unknown.margin_ms
        return sent_ns + wait_ms * NS_PER_MS + abs(venue.clock_error_ns)

    def _answers_suffice(self, doubt: Doubt) -> bool:
        rule = self._state.settings.unknown
        spread_ns = doubt.last_not_found_ns - doubt.first_not_found_ns
        return doubt.not_found >= rule.proof_answers and spread_ns >= rule.proof_spread_ms * NS_PER_MS

    def _conclude(self, order: Order, doubt: Doubt, now_ns: int) -> None:
        if not self._answers_suffice(doubt) or not doubt.absent_in_read_ns:
            return
        if order.state.filled_qty or order.state.status not in (OrderStatus.UNKNOWN, OrderStatus.PENDING_NEW):
            doubt.start_over()  # it did exist: absence proves nothing about its end, so it is asked after for ever
            return
        self.settled(order.id)
        detail = f"{doubt.not_found} times not found, and in no read of orders and trades"
        self._state.emit(order.id, OrderEventKind.PROVEN_ABSENT, now_ns, reason="NEVER_PLACED", detail=detail)

    # ---- time

    def handle_timer(self, now_ns: int) -> None:
        """Send the queries that are due."""
        rule = self._state.settings.unknown
        for doubt in list(self._doubts.values()):
            if now_ns < doubt.next_query_ns:
                continue
            order = self._state.orders.get(doubt.client_order_id)
            if order is None or not order.working:
                self.settled(doubt.client_order_id)
                continue
            doubt.queries += 1
            later = rule.query_at_ms[doubt.queries :]
            planned = doubt.since_ns + later[0] * NS_PER_MS if later else now_ns + rule.repeat_ms * NS_PER_MS
            doubt.next_query_ns = max(planned, now_ns + NS_PER_MS)
            self._state.query(order, now_ns)
            if not doubt.paged and now_ns - doubt.since_ns >= rule.page_after_ms * NS_PER_MS:
                doubt.paged = True
                venue = self._state.venue_of(doubt.instrument_id)
                self._state.alarm(venue, UNRESOLVED, doubt.instrument_id, f"order {order.id} is unknown since a minute")

    def next_timer_ns(self) -> int | None:
        """Return when the next query is due."""
        if not self._doubts:
            return None
        return min((doubt.next_query_ns for doubt in self._doubts.values()), default=None)
