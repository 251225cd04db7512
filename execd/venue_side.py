"""The venues' side of the desk: connections, answers, events, private reads. Routes; the parts decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from execd.exits import ExitDesk
from execd.margin_desk import MarginDesk
from execd.mass_cancel import MassCanceler
from execd.orders import Order
from execd.protection import Protection
from execd.reconcile import READ_MARGIN_NS, Reconciler
from execd.records import ReadJob, ReadKind
from execd.requests import PendingRequest
from execd.settings import NS_PER_MS
from execd.state import DeskState, VenueState
from execd.unknown import UnknownTracker
from execd.venue_events import VenueEvents
from tradebot.core.orders import OrderStatus
from tradebot.venues.api_orders import (
    AccountRows,
    BalanceUpdate,
    LedgerUpdate,
    LiquidationUpdate,
    ListUpdate,
    MarginUpdate,
    OrderUpdate,
    RequestKind,
    RequestOutcome,
    StreamEnded,
    TransferUpdate,
    VenueEvent,
    VenueReply,
    VenueSnapshot,
    VenueTrade,
)

WEIGHT_STEP_PCT: Final = 5.0
"""riskd hears of the used weight when it moved by this much, and with everything else."""
ReadResult = VenueSnapshot | AccountRows | list[VenueTrade] | None
"""What the shell read; None when it failed."""


class VenueSide:
    """See the module."""

    def __init__(
        self,
        state: DeskState,
        events: VenueEvents,
        unknown: UnknownTracker,
        reconciler: Reconciler,
        exits: ExitDesk,
        protection: Protection,
        mass_canceler: MassCanceler,
        margin_desk: MarginDesk,
    ) -> None:
        self.state = state
        self.margin_desk = margin_desk
        self.events = events
        self.mass_canceler = mass_canceler
        self.unknown = unknown
        self.reconciler = reconciler
        self.exits = exits
        self.protection = protection
        self._clock_sample_ns: dict[str, int] = {}
        self.ack_ns: list[int] = []
        """From sending an order to its answer, since the shell last took them."""

    def connected(self, name: str, now_ns: int) -> None:
        """The private connection is open: measure the clock, log in."""
        venue = self.state.venues[name]
        venue.connected, venue.reconciling, venue.status_dirty = True, True, True
        venue.login_sent = False
        self.state.send_plain(venue, RequestKind.TIME, now_ns)
        self._clock_sample_ns[name] = now_ns
        if venue.clock_error_ns:  # the clock is known from an earlier connection
            self._log_in(venue, now_ns)

    def lost(self, name: str, now_ns: int) -> None:
        """The private connection is gone: whatever was on its way is unproven."""
        venue = self.state.venues[name]
        venue.connected = venue.live = False
        venue.reconciling = venue.status_dirty = True
        for request in self.state.requests.take_all(name):
            self._unanswered(request.kind, request.client_order_ids, "DISCONNECTED", now_ns)

    def quiet(self, name: str, duration_ns: int, now_ns: int) -> None:
        """The venue's REST side asked for silence."""
        venue = self.state.venues[name]
        venue.quiet_until_ns = max(venue.quiet_until_ns, now_ns + duration_ns)
        venue.status_dirty = True

    def event(self, name: str, event: VenueEvent, now_ns: int) -> None:
        """Take one decoded private frame."""
        venue = self.state.venues[name]
        match event:
            case VenueReply():
                self._reply(venue, event, now_ns)
            case OrderUpdate():
                self.events.order_update(name, event, now_ns)
            case BalanceUpdate():
                self.reconciler.balance_update(venue, event)
                self.exits.balances_changed(now_ns)
            case TransferUpdate():
                self.reconciler.transfer(venue, event)
            case LedgerUpdate():
                self.margin_desk.ledger(event.entry)
            case MarginUpdate():
                self.margin_desk.margins(name, event)
            case LiquidationUpdate():
                self.margin_desk.liquidation(venue, event.execution, now_ns)
            case ListUpdate():
                self._list_update(event, now_ns)
            case StreamEnded():
                self.state.out.reconnects.append((name, event.reason))

    def _list_update(self, update: ListUpdate, now_ns: int) -> None:
        """A list is done: legs that still seem to work are asked after, their own events may have been lost."""
        for client_order_id in update.client_order_ids:
            order = self.state.orders.get(client_order_id)
            if order is not None:
                order.list_id = update.list_id
                if update.done and order.working:
                    self.unknown.doubt(order, now_ns)

    def _reply(self, venue: VenueState, reply: VenueReply, now_ns: int) -> None:
        if reply.used_weight_pct:
            venue.used_weight_pct = reply.used_weight_pct
            if abs(venue.used_weight_pct - venue.told_weight_pct) >= WEIGHT_STEP_PCT:
                venue.status_dirty = True
        if reply.reason == "RATE_LIMITED":
            venue.quiet_until_ns = max(venue.quiet_until_ns, now_ns + max(1_000, reply.retry_after_ms) * NS_PER_MS)
            venue.status_dirty = True
            self.state.notice("warning", "rate_limited", f"{venue.name}: {reply.detail}")
        request = self.state.requests.take(reply.request_id)
        if request is None:
            for row in reply.orders:  # timed out before: what it says is still true
                order = self.events.stranger_or_order(venue.name, row)
                if order is not None:
                    self.events.row(order, row, now_ns)
            return
        match request.kind:
            case RequestKind.PLACE | RequestKind.PLACE_OCO:
                self.ack_ns.append(now_ns - request.sent_ns)
                self.events.place_reply(request.client_order_ids, reply, now_ns)
            case RequestKind.CANCEL | RequestKind.CANCEL_ALL:
                self.events.cancel_reply(request.client_order_ids[0], reply, now_ns)
                self._ask_what_became_of(request.client_order_ids[0], now_ns)
            case RequestKind.QUERY:
                self._query_reply(request, reply, now_ns)
            case RequestKind.TIME:
                self._clock_sample(venue, request.sent_ns, reply, now_ns)
            case RequestKind.LOGIN:
                self._logged_in(venue, reply, now_ns)

    def _query_reply(self, request: PendingRequest, reply: VenueReply, now_ns: int) -> None:
        order = self.state.orders.get(request.client_order_ids[0])
        if order is None:
            return
        if not order.working:
            # Asked before it ended here, or at that time: what the venue said then proves nothing against the end.
            if request.sent_ns - order.state.updated_ns > READ_MARGIN_NS:
                for row in reply.orders:
                    self.events.asked_alone(order, row, now_ns)
            return
        if reply.outcome is RequestOutcome.ACCEPTED:
            for row in reply.orders:
                self.events.row(order, row, now_ns)
            self.unknown.found(order, now_ns)
            if not self.events.has_waiting_row(order.id):
                self.state.repeat_cancel(order, now_ns)
        elif reply.reason == "ORDER_NOT_FOUND":
            self.unknown.not_found(order, now_ns)

    def _ask_what_became_of(self, client_order_id: str, now_ns: int) -> None:
        """A cancel was answered and did not end its order, whatever the answer was: it may have had no effect."""
        order = self.state.orders.get(client_order_id)
        if order is not None and order.working and order.state.status is not OrderStatus.UNKNOWN:
            self.unknown.doubt(order, now_ns)

    def cancel_again(self, order: Order, now_ns: int) -> None:
        """An order in doubt turned out to work: the cancel that went before had no effect."""
        if order.state.status is not OrderStatus.PENDING_CANCEL and not self.events.has_waiting_row(order.id):
            self.state.repeat_cancel(order, now_ns)

    def _clock_sample(self, venue: VenueState, sent_ns: int, reply: VenueReply, now_ns: int) -> None:
        if reply.server_time_ns:
            venue.clock_offset_ns = reply.server_time_ns - (sent_ns + now_ns) // 2
            venue.clock_error_ns = (now_ns - sent_ns) // 2 + NS_PER_MS
            venue.clock_time_ns = now_ns
            venue.status_dirty = True
        if venue.connected:
            self._log_in(venue, now_ns)

    def _log_in(self, venue: VenueState, now_ns: int) -> None:
        if not venue.login_sent:
            venue.login_sent = True
            self.state.send_plain(venue, RequestKind.LOGIN, now_ns)

    def _logged_in(self, venue: VenueState, reply: VenueReply, now_ns: int) -> None:
        if reply.outcome is not RequestOutcome.ACCEPTED:
            self.state.notice("error", "venue_login_failed", f"{venue.name}: {reply.reason} {reply.detail}")
            self.state.out.reconnects.append((venue.name, "login failed"))
            return
        if venue.live:
            return
        venue.live = venue.status_dirty = True
        self.reconciler.want(venue, now_ns)
        for order in self.state.orders.working():
            if self.state.venue_of(order.facts.terms.instrument_id) is venue:
                self.state.repeat_cancel(order, now_ns)

    def _unanswered(self, kind: RequestKind, client_order_ids: Sequence[str], reason: str, now_ns: int) -> None:
        """A request without an answer: a placed order becomes UNKNOWN, a cancel changes nothing but is asked after."""
        for client_order_id in client_order_ids:
            order = self.state.orders.get(client_order_id)
            if order is None or not order.working:
                continue
            if kind in (RequestKind.PLACE, RequestKind.PLACE_OCO):
                if order.state.status is OrderStatus.PENDING_NEW:
                    self.events.outcome_unknown(order, reason, "no answer to the request", now_ns)
            elif kind is RequestKind.CANCEL:
                self.unknown.doubt(order, now_ns)

    def read(self, job: ReadJob, result: ReadResult, now_ns: int) -> None:
        """Take the result of a private read."""
        match job.kind:
            case ReadKind.SNAPSHOT:
                self.reconciler.snapshot_read(job, result if isinstance(result, VenueSnapshot) else None, now_ns)
            case ReadKind.ORDER_TRADES:
                self.events.trades_read(job, result if isinstance(result, list) else None, now_ns)
            case ReadKind.ACCOUNT:
                if isinstance(result, AccountRows):
                    self.reconciler.take_account(self.state.venues[job.venue], result, now_ns, now_ns)
                    self.protection.account_read(job.venue, now_ns)
                self.exits.balances_changed(now_ns)
            case ReadKind.OPEN_ORDERS:
                self.mass_canceler.read(job, result if isinstance(result, VenueSnapshot) else None, now_ns)

    def handle_timer(self, now_ns: int) -> None:
        """Give up on answers that are overdue, and measure the clock again."""
        for request in self.state.requests.take_expired(now_ns):
            self._unanswered(request.kind, request.client_order_ids, "TIMEOUT", now_ns)
            if request.kind is RequestKind.LOGIN:
                self.state.out.reconnects.append((request.venue, "login timed out"))
        for name, sampled_ns in self._clock_sample_ns.items():
            due = now_ns - sampled_ns >= self.state.settings.clock_sample_ms * NS_PER_MS
            if due and self.state.venues[name].connected:
                self._clock_sample_ns[name] = now_ns
                self.state.send_plain(self.state.venues[name], RequestKind.TIME, now_ns)
