"""The desk: execd's pure core. Told what happens and what time it is, it answers with an outbox; it does no I/O.

It only routes. Intents and commands: `intent_desk`; asking riskd and sending: `asking`, through the `gateway`; closing:
`exits`; stops at the venue: `protection`; what venues tell: `venue_side`, `venue_events`, `unknown`, `reconcile`;
riskd's session: `risk_side`, and its kills: `mass_cancel`. After every call all fresh order events have been shown to
every part, so the outbox is complete. The same object runs live, in the backtest and in tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from execd.all_clears import AllClears
from execd.asking import AskDesk
from execd.exits import ExitDesk
from execd.gateway import CancelPurpose
from execd.intent_desk import CancelAnswer, IntentDesk
from execd.key_watch import KeyWatch
from execd.latch import LatchBoard
from execd.margin_desk import MarginDesk
from execd.mass_cancel import MassCanceler
from execd.orders import Order
from execd.protection import Protection
from execd.reconcile import Reconciler
from execd.records import Outbox, ReadJob, ReadKind, RecordType
from execd.resting import RestingEntries
from execd.risk_side import RiskSide
from execd.settings import DeskSettings
from execd.state import DeskState
from execd.unknown import UnknownTracker
from execd.venue_events import VenueEvents
from execd.venue_side import ReadResult, VenueSide
from tradebot.core.approvals import GrantTerms, ProtectionGrant, SessionDown, SessionUp, StopLatch
from tradebot.core.errors import RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent
from tradebot.core.order_events import OrderEvent, PositionView
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.venues.api_orders import KeyRights, OrderCodec, VenueEvent

__all__ = ["CancelAnswer", "Desk", "ReadResult"]


class Desk:
    """See the module."""

    def __init__(
        self,
        settings: DeskSettings,
        instruments: Mapping[str, Instrument],
        codecs: Mapping[str, OrderCodec],
        approval_keys: Mapping[str, bytes],
        id_key: bytes,
        latches: LatchBoard | None = None,
        build_hash: str = "",
    ) -> None:
        """Make an empty desk.

        Args:
            settings: Numbers.
            instruments: Everything that may be traded, by instrument id.
            codecs: Venue name -> codec of its account.
            approval_keys: Keys that riskd signs with, by key id.
            id_key: Key of client order ids.
            latches: Stop latches; shared with the StopService's thread.
            build_hash: For AUT-05.
        """
        self.latches = latches if latches is not None else LatchBoard()
        self.state = DeskState(settings, instruments, codecs, approval_keys, id_key, self.latches)
        self.asks = AskDesk(self.state, self._granted)
        self.protection = Protection(self.state)
        self.state.on_fold = self.protection.fold
        self.exits = ExitDesk(self.state, self.asks, self.protection)
        self.intents = IntentDesk(self.state, self.asks, self.exits, self.protection)
        self.unknown = UnknownTracker(self.state)
        self.events = VenueEvents(self.state)
        self.reconciler = Reconciler(self.state, self.events, self.unknown)
        self._all_clears = AllClears(self.state, self.unknown, self.protection, self.reconciler)
        canceler = MassCanceler(self.state, self.reconciler)
        margin_desk = MarginDesk(self.state)
        self._resting = RestingEntries(self.state)
        self._keys = KeyWatch(self.state)
        self.venue_side = VenueSide(
            self.state, self.events, self.unknown, self.reconciler, self.exits, self.protection, canceler, margin_desk
        )
        self.risk_side = RiskSide(
            self.state,
            self.asks,
            self.intents,
            self.exits,
            self.protection,
            self.reconciler,
            canceler,
            margin_desk,
            self._resting,
            build_hash,
        )

    # ---- start and stop

    def start(
        self,
        log_incarnation: str,
        start_number: int,
        next_record: int,
        now_ns: int,
        lost_approvals: Iterable[bytes] = (),
    ) -> None:
        """Begin a run after everything was restored.

        Args:
            log_incarnation: Id of the order event log; kept over restarts.
            start_number: Counts starts; part of client order ids.
            next_record: Sequence number that the journal gives to the next record.
            now_ns: Now.
            lost_approvals: Records of the last life that its journal misses.
        """
        state = self.state
        state.log_incarnation, state.start_number, state.started_ns = log_incarnation, start_number, now_ns
        state.start_records(next_record)
        # What strangers did before we first looked is not ours to judge.
        self.reconciler.foreign_from_ns = min(self.reconciler.watermarks.values(), default=now_ns)
        state.record(RecordType.INCARNATION, f"{log_incarnation} {start_number}".encode())
        for payload in lost_approvals:
            state.record(RecordType.APPROVAL, payload)
        for order in state.orders.working():
            self._after_restart(order, now_ns)
        if start_number > 1:
            self._all_clears.restarted()
            self._keys.restarted()
        self._drain(now_ns)

    def _after_restart(self, order: Order, now_ns: int) -> None:
        """What was on its way when we died is UNKNOWN: it may have been sent after its last journaled event."""
        status = order.state.status
        if order.cancel_wanted and order.facts.role is OrderRole.PROTECTION:
            order.cancel_purpose = CancelPurpose.RESIZE.value
        if status is OrderStatus.PENDING_NEW:
            detail = "execd restarted before the outcome was known"
            self.state.emit(order.id, OrderEventKind.OUTCOME_UNKNOWN, now_ns, reason="RESTART", detail=detail)
        elif status in (OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN):
            self.unknown.doubt(order, now_ns, at_once=True)

    def shut_down(self, now_ns: int) -> None:
        """Stop policy: no new orders, entries canceled, stops stay at the venue."""
        self.intents.stopping = True
        self.intents.cancel_entries("SHUTDOWN", now_ns)
        self._drain(now_ns)

    # ---- intents and commands

    def on_intent(self, intent: OrderIntent, now_ns: int, raw: bytes = b"") -> None:
        """Take an intent; `raw` is it as received, so that the journal need not serialize it again."""
        self.intents.take(intent, now_ns, raw)
        self._drain(now_ns)

    def on_cancel(self, client_order_id: str, reason: str, now_ns: int) -> CancelAnswer:
        """Cancel one order for an operator or a strategy."""
        answer = self.intents.cancel(client_order_id, reason or "OPERATOR", now_ns)
        self._drain(now_ns)
        return answer

    def _granted(self, order: Order, grant: ProtectionGrant, terms: GrantTerms | None, now_ns: int) -> None:
        try:
            self.protection.grant(order, grant, terms)
        except RejectedError as exc:
            instrument_id = order.facts.terms.instrument_id
            detail = f"entry {order.id}: {exc}"
            self.state.alarm(self.state.venue_of(instrument_id), "GRANT_INVALID", instrument_id, detail)

    # ---- riskd

    def session_connected(self, session_id: str, now_ns: int) -> None:
        """The stream to riskd is open: say hello. Nothing else goes up before its welcome."""
        self.risk_side.connected(session_id)

    def session_lost(self, now_ns: int) -> None:
        """The stream to riskd is gone: REDUCE_ONLY at once, open asks are void."""
        self.risk_side.lost(now_ns)
        self._drain(now_ns)

    def on_session(self, down: SessionDown, now_ns: int) -> None:
        """Take what riskd sent, in the order of its fields."""
        self.risk_side.message(down, now_ns)
        self._drain(now_ns)

    def engine_connected(self, build: str) -> None:
        """An engine opened its stream; empty = it does not tell its build."""
        self.risk_side.engine_told(build)

    def on_latch(self, latch: StopLatch, now_ns: int) -> None:
        """A stop was set (the gateway obeys it already): journal it, tell riskd, cancel entries."""
        self.risk_side.latch(latch, now_ns)
        self._drain(now_ns)

    # ---- venues

    def venue_connected(self, name: str, now_ns: int) -> None:
        """The private connection is open: measure the clock, log in."""
        self.venue_side.connected(name, now_ns)

    def rules_read(self, name: str, found: str, now_ns: int) -> None:
        """The venue's trading rules were read again: riskd compares their hash with that of the rules in use."""
        venue = self.state.venues[name]
        if venue.rules_hash not in ("", found):
            self.state.notice("error", "rules_changed", f"{name} changed its trading rules: restart execd to use them")
        venue.rules_time_ns, venue.rules_hash, venue.status_dirty = now_ns, found, True

    def status_read(self, name: str, *, maintenance: bool) -> None:
        """The venue told whether it is under maintenance (STA-03)."""
        venue = self.state.venues[name]
        if maintenance is not venue.maintenance:
            venue.maintenance, venue.status_dirty = maintenance, True
            self.state.notice("warning", "venue_maintenance", f"{name}: {'begins' if maintenance else 'is over'}")

    def rights_read(self, name: str, rights: KeyRights | None, now_ns: int) -> None:
        """The venue told what the key may do, or (None) did not (PTR-10)."""
        self._keys.read(self.state.venues[name], rights, now_ns)

    def venue_lost(self, name: str, now_ns: int) -> None:
        """The private connection is gone: whatever was on its way is unproven."""
        self.venue_side.lost(name, now_ns)
        self._drain(now_ns)

    def venue_quiet(self, name: str, duration_ns: int, now_ns: int) -> None:
        """The venue's REST side asked for silence."""
        self.venue_side.quiet(name, duration_ns, now_ns)

    def on_venue_event(self, name: str, event: VenueEvent, now_ns: int) -> None:
        """Take one decoded private frame."""
        self.venue_side.event(name, event, now_ns)
        self._drain(now_ns)

    def on_read(self, job: ReadJob, result: ReadResult, now_ns: int) -> None:
        """Take the result of a private read."""
        self.venue_side.read(job, result, now_ns)
        self._drain(now_ns)
        if job.kind is ReadKind.SNAPSHOT:
            self.protection.audit(now_ns)
            self._drain(now_ns)
            self._all_clears.reconciled(self.state.venues[job.venue])

    def quote_moved(self, instrument_id: str, now_ns: int) -> None:
        """The best prices of an instrument changed (the caller wrote them into the quote)."""
        self.protection.quote_moved(instrument_id, now_ns)
        if self.state.fresh:
            self._drain(now_ns)

    # ---- disk and time

    def on_durable(self, seq: int, now_ns: int) -> None:
        """Everything up to this record survives a power cut."""
        self.state.durable_seq = seq
        self.asks.durable(seq, now_ns)
        self.protection.orders.durable(seq, now_ns)
        self._drain(now_ns)

    def awaited_seq(self) -> int | None:
        """Return the first record for which an order waits; None when none does."""
        asked, derived = self.asks.awaited_seq, self.protection.orders.awaited_seq
        if asked is None or derived is None:
            return derived if asked is None else asked
        return min(asked, derived)

    def handle_timer(self, now_ns: int) -> None:
        """Do everything that is due."""
        self.venue_side.handle_timer(now_ns)
        self._drain(now_ns)
        self.asks.handle_timer(now_ns)
        self.exits.handle_timer(now_ns)
        self.unknown.handle_timer(now_ns)
        self.protection.handle_timer(now_ns)
        self._resting.handle_timer(now_ns)
        self.reconciler.handle_timer(now_ns)
        self.risk_side.ping(now_ns)
        self.risk_side.lease_watch(now_ns)
        self._drain(now_ns)

    def next_timer_ns(self, now_ns: int) -> int | None:
        """Return when `handle_timer` is due next."""
        times = (
            self.state.requests.next_timer_ns(),
            self.asks.next_timer_ns(),
            self.exits.next_timer_ns(),
            self.unknown.next_timer_ns(),
            self.protection.next_timer_ns(),
            self._resting.next_timer_ns(),
            self.reconciler.next_timer_ns(),
            self.state.link.next_timer_ns(),
            self.risk_side.lease_timer_ns(),
        )
        return min([at_ns for at_ns in times if at_ns is not None], default=None)

    # ---- outbox

    @property
    def has_output(self) -> bool:
        """True when `take` or `take_up` would return something to do."""
        out = self.state.out
        acts = out.up_dirty or out.up.order_events or out.records or out.sends or out.answers
        return bool(acts or out.reads or out.reconnects or out.notices)

    def take(self) -> Outbox:
        """Return and clear what is to be done; what goes up to riskd stays for `take_up`."""
        out = self.state.out
        self.state.out = Outbox(up=out.up, up_dirty=out.up_dirty)
        return out

    def take_events(self) -> list[OrderEvent]:
        """Return and clear the order events that `take_up` would hand to riskd."""
        return self.risk_side.take_events()

    def take_up(self) -> SessionUp | None:
        """Return and clear what goes up to riskd; None when there is nothing."""
        return self.risk_side.take_up()

    # ---- views

    def position_views(self) -> list[PositionView]:
        """Return the derived positions that are not flat."""
        return [self.position_view(*key) for key, p in self.state.orders.positions.items() if p.qty]

    def position_view(self, strategy_id: str, instrument_id: str) -> PositionView:
        """Return one derived position."""
        qty, avg_price = self.state.orders.positions.view(strategy_id, instrument_id)
        stop = self.protection.stop_price(strategy_id, instrument_id)
        return PositionView(strategy_id, instrument_id, qty, avg_price, stop)

    # ---- fresh order events

    def _drain(self, now_ns: int) -> None:
        """Show every fresh order event to every part, until none is left."""
        fresh = self.state.fresh
        while fresh:
            order, event = fresh.popleft()
            status = order.state.status
            if status is OrderStatus.UNKNOWN or status.is_terminal or event.kind is OrderEventKind.RECOVERED:
                self._watch_doubt(order, event, now_ns)
            self.exits.after_event(order, event, now_ns)
            self.protection.after_event(order, event, now_ns)
            self._resting.after_event(order, event)

    def _watch_doubt(self, order: Order, event: OrderEvent, now_ns: int) -> None:
        """An order is unproven now, or proven: riskd hears of both with the venue's state."""
        status = order.state.status
        if status is OrderStatus.UNKNOWN:
            pressing = event.reason in ("DUPLICATE_CLIENT_ID", "RESTART")
            just_gone = event.kind is OrderEventKind.CANCEL_REJECTED and order.cancels <= 1
            self.unknown.doubt(order, now_ns, at_once=pressing or just_gone)
        else:
            self.unknown.settled(order.id)
            self.venue_side.cancel_again(order, now_ns)
        if status is OrderStatus.UNKNOWN or event.kind in (OrderEventKind.RECOVERED, OrderEventKind.PROVEN_ABSENT):
            self.state.venue_of(order.facts.terms.instrument_id).status_dirty = True
