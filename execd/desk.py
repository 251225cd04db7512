"""The desk: execd's pure core. Told what happens and what time it is, it answers with an outbox; it does no I/O.

It only routes: parts own the decisions (see the modules named in `__init__`). After every call all fresh order
events have been shown to every part, so the outbox is complete. The same object runs live, in the backtest and in
tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from execd.asking import AskDesk, AskOutcome, AskResult
from execd.exits import ExitDesk
from execd.intake import IntentWindow, Refusal, check_intent, order_terms
from execd.latch import LatchBoard
from execd.orders import Order, is_entry
from execd.protection import Protection
from execd.reconcile import Reconciler, VenueSnapshot
from execd.records import Outbox, ReadJob, ReadKind, RecordType
from execd.settings import NS_PER_MS, DeskSettings
from execd.state import DeskState, VenueState
from execd.unknown import UnknownTracker
from execd.venue_events import VenueEvents
from tradebot.core.accounts import VenueStatus
from tradebot.core.approvals import ApprovalAnswer, SessionDown, SessionHello, SessionUp, StopLatch
from tradebot.core.errors import RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent
from tradebot.core.levels import TradingLevel
from tradebot.core.order_events import OrderFacts, PositionView
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.venues.api_orders import (
    AccountRows,
    BalanceUpdate,
    ListUpdate,
    OrderCodec,
    OrderUpdate,
    RequestKind,
    RequestOutcome,
    StreamEnded,
    TransferUpdate,
    VenueReply,
    VenueTrade,
)
from tradebot.wire.execd_records import intent_bytes, latch_bytes, pack_parts

MAX_INTENTS_UNASKED: Final = 10_000
"""Asks in flight at once; beyond it intents are refused instead of queued."""
_ZERO: Final = Decimal(0)
ReadResult = VenueSnapshot | AccountRows | list[VenueTrade] | None
"""What the shell read; None when it failed."""


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """Answer to a cancel command."""

    accepted: bool
    reason: str = ""
    detail: str = ""


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
        self.unknown = UnknownTracker(self.state)
        self.events = VenueEvents(self.state)
        self.reconciler = Reconciler(self.state, self.events, self.unknown)
        self.window = IntentWindow(settings.intent_window)
        self._build_hash = build_hash
        self._entries_canceled_for_lease = False
        self._clock_sample_ns: dict[str, int] = {}
        self._account_jobs: dict[int, str] = {}
        self._stopping = False

    # ---- start

    def start(self, log_incarnation: str, start_number: int, next_record: int, now_ns: int) -> None:
        """Begin a run after everything was restored.

        Args:
            log_incarnation: Id of the order event log; kept over restarts.
            start_number: Counts starts; part of client order ids.
            next_record: Sequence number that the journal gives to the next record.
            now_ns: Now.
        """
        state = self.state
        state.log_incarnation, state.start_number = log_incarnation, start_number
        state.start_records(next_record)
        self.reconciler.foreign_from_ns = now_ns
        state.record(RecordType.INCARNATION, f"{log_incarnation} {start_number}".encode())
        for order in state.orders.working():
            self._after_restart(order, now_ns)
        self._drain(now_ns)

    def _after_restart(self, order: Order, now_ns: int) -> None:
        """What was on its way when we died is UNKNOWN: it may have been sent after its last journaled event."""
        status = order.state.status
        if status is OrderStatus.PENDING_NEW:
            order.was_sent = True
            detail = "execd restarted before the outcome was known"
            self.state.emit(order.id, OrderEventKind.OUTCOME_UNKNOWN, now_ns, reason="RESTART", detail=detail)
        elif status in (OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN):
            order.was_sent = True
            self.unknown.doubt(order, now_ns, at_once=True)

    # ---- intents

    def on_intent(self, intent: OrderIntent, now_ns: int, raw: bytes = b"") -> None:
        """Take an intent; `raw` is it as received, so that the journal need not serialize it again."""
        self._intent(intent, now_ns, raw)
        self._drain(now_ns)

    def _intent(self, intent: OrderIntent, now_ns: int, raw: bytes) -> None:
        state = self.state
        if self.window.seen(intent.intent_id):
            state.answer(self.window.duplicate(intent.intent_id))
            return
        refusal = check_intent(intent, state.instruments) or self._not_ready(intent)
        if refusal is not None:
            self._refuse_intent(intent.intent_id, refusal)
            return
        raw = raw or intent_bytes(intent)
        if intent.role is OrderRole.EXIT:
            self.window.open(intent.intent_id)
            self.exits.exit(intent, raw, lambda o, cid, at_ns: self._finish_intent(intent.intent_id, cid, o), now_ns)
            return
        client_order_id = state.new_client_order_id(intent.strategy_id)
        terms = order_terms(intent, client_order_id, intent.qty or _ZERO, state.quotes, state.settings, now_ns)
        if isinstance(terms, Refusal):
            self._refuse_intent(intent.intent_id, terms)
            return
        self.window.open(intent.intent_id)
        facts = OrderFacts(
            terms, intent.strategy_id, intent.intent_id, 0, intent.role, now_ns, trace_id=intent.trace_id
        )
        self.asks.ask_order(
            terms,
            facts,
            lambda outcome, at_ns: self._finish_intent(intent.intent_id, client_order_id, outcome),
            now_ns,
            intent=intent,
            raw_intent=raw,
        )

    def _not_ready(self, intent: OrderIntent) -> Refusal | None:
        if self._stopping:
            return Refusal("STA-01", "STOPPING", "execd is stopping")
        if not self.asks.ready:
            return Refusal("EXE-06", "RISK_SESSION_DOWN", "riskd cannot be asked")
        if self.asks.pending_count >= MAX_INTENTS_UNASKED:
            return Refusal("RAT-01", "BUSY", f"{MAX_INTENTS_UNASKED} asks are in flight")
        venue = self.state.venue_of(intent.instrument_id)
        if not venue.live:
            return Refusal("STA-03", "VENUE_DISCONNECTED", f"{venue.name}: the private stream is down")
        if intent.role is OrderRole.ENTRY and self.latches.level >= TradingLevel.HALTED:
            return Refusal("STA-01", "LATCHED", "a stop is latched in execd")
        return None

    def _refuse_intent(self, intent_id: str, refusal: Refusal) -> None:
        answer = IntentAnswer(intent_id, IntentStatus.REFUSED, refusal.check_id, refusal.reason, refusal.detail)
        self.window.open(intent_id)
        self.window.close(answer)
        parts = pack_parts(*(text.encode() for text in (intent_id, refusal.check_id, refusal.reason, refusal.detail)))
        self.state.record(RecordType.INTENT_REFUSED, parts)
        self.state.answer(answer)

    def _finish_intent(self, intent_id: str, client_order_id: str, outcome: AskOutcome) -> None:
        refused = outcome.result is AskResult.REFUSED
        status = IntentStatus.REFUSED if refused else IntentStatus.ACCEPTED
        order_id = "" if refused else client_order_id
        answer = IntentAnswer(intent_id, status, outcome.check_id, outcome.reason, outcome.detail, order_id)
        self.window.close(answer)
        self.state.answer(answer)

    def _granted(self, client_order_id: str, answer: ApprovalAnswer, now_ns: int) -> None:
        entry = self.state.orders.get(client_order_id)
        if entry is None or answer.grant is None:
            return
        try:
            self.protection.grant(entry, answer.grant)
        except RejectedError as exc:
            venue = self.state.venue_of(entry.facts.terms.instrument_id)
            self.state.alarm(venue, "GRANT_INVALID", entry.facts.terms.instrument_id, f"entry {entry.id}: {exc}")

    # ---- cancels

    def on_cancel(self, client_order_id: str, reason: str, now_ns: int) -> CancelAnswer:
        """Cancel one order for an operator or a strategy."""
        answer = self._cancel(client_order_id, reason or "OPERATOR", now_ns)
        self._drain(now_ns)
        return answer

    def _cancel(self, client_order_id: str, reason: str, now_ns: int) -> CancelAnswer:
        order = self.state.orders.get(client_order_id)
        if order is None:
            return CancelAnswer(False, "UNKNOWN_ORDER", f"no order {client_order_id!r} is known")
        if not order.working:
            return CancelAnswer(True, "", "the order is done already")
        if order.facts.role is OrderRole.PROTECTION:
            detail = "it protects an open position: close the position, or let execd replace it"
            return CancelAnswer(False, "LAST_PROTECTION", detail)
        if not self.state.venue_of(order.facts.terms.instrument_id).connected:
            self.state.cancel(order, reason, now_ns)
            return CancelAnswer(True, "VENUE_DISCONNECTED", "sent when the connection is back")
        self.state.cancel(order, reason, now_ns)
        return CancelAnswer(True)

    def _cancel_entries(self, reason: str, now_ns: int, level_at_least: TradingLevel | None = None) -> int:
        """Cancel working entries; with a level, only those whose scopes are at it."""
        count = 0
        for order in self.state.orders.working():
            if not is_entry(order) or order.cancel_wanted:
                continue
            facts = order.facts
            venue = self.state.venue_of(facts.terms.instrument_id).name
            level = self.state.link.levels.level_for(venue, facts.terms.instrument_id, facts.strategy_id)
            if level_at_least is None or level >= level_at_least:
                self.state.cancel(order, reason, now_ns)
                count += 1
        return count

    # ---- riskd

    def session_connected(self, session_id: str, now_ns: int) -> None:
        """The stream to riskd is open: say hello. Nothing else goes up before its welcome."""
        state = self.state
        state.link.connected(session_id)
        self.asks.session_started()
        hello = SessionHello(
            session_id,
            state.log_incarnation,
            state.orders.log.head,
            self._build_hash,
            tuple(state.instruments.values()),
            self.latches.latches,
        )
        state.out.up = SessionUp(hello=hello)
        state.out.up_dirty = True

    def session_lost(self, now_ns: int) -> None:
        """The stream to riskd is gone: REDUCE_ONLY at once, open asks are void."""
        self.state.link.lost()
        self.asks.session_lost(now_ns)
        self.state.out.up = SessionUp()
        self.state.out.up_dirty = False
        self._drain(now_ns)

    def on_session(self, down: SessionDown, now_ns: int) -> None:
        """Take what riskd sent, in the order of its fields."""
        if down.welcome is not None:
            self._welcome(down, now_ns)
        if down.levels is not None:
            self._levels(down, now_ns)
        for answer in down.answers:
            self.asks.answered(answer, now_ns)
        if down.lease is not None:
            self.state.link.lease_answer(down.lease)
            if self.state.link.lease_valid(now_ns):
                self._entries_canceled_for_lease = False
        for command in down.reduces:
            self.exits.reduce(command, now_ns)
        for grant in down.renewed_grants:
            try:
                if not self.protection.renewed(grant):
                    self.state.notice("warning", "grant_unknown_entry", "riskd renewed a grant of an unknown entry")
            except RejectedError as exc:
                self.state.notice("error", "grant_invalid", str(exc))
        self._drain(now_ns)

    def _welcome(self, down: SessionDown, now_ns: int) -> None:
        state = self.state
        if down.welcome is None or not state.link.session_id:
            return
        if not state.link.welcome(down.welcome, now_ns):
            text = f"riskd serves {down.welcome.environment}, execd {state.settings.environment}: no session"
            state.notice("error", "environment_mismatch", text)
            return
        missed = state.orders.log.after(down.welcome.order_log_resume_after)
        if missed is None:
            text = f"riskd resumes after {down.welcome.order_log_resume_after}, the log ends at {state.orders.log.head}"
            state.notice("error", "order_log_gap", text)
            missed = state.orders.log.after(0) or []
        state.out.up.order_events.extend(missed)
        for venue in state.venues.values():
            venue.status_dirty = True
            self.reconciler.resend_account(venue, now_ns)
        self.protection.session_started()
        self._ping(now_ns)

    def _levels(self, down: SessionDown, now_ns: int) -> None:
        if down.levels is None:
            return
        self.state.link.levels = down.levels
        ended = self.latches.clear(down.levels.cleared_latch_ids)
        for latch_id in ended:
            self.state.record(RecordType.UNLATCH, latch_id.encode())
            self.state.notice("warning", "stop_cleared", latch_id)
        self._cancel_entries("LEVEL", now_ns, TradingLevel.REDUCE_ONLY)

    def _ping(self, now_ns: int) -> None:
        ping = self.state.link.ping_due(now_ns)
        if ping is not None:
            self.state.out.up.ping = ping
            self.state.out.up_dirty = True

    def on_latch(self, latch: StopLatch, now_ns: int) -> None:
        """A stop was set (the gateway obeys it already): journal it, tell riskd, cancel entries."""
        self.latches.set(latch)
        self.state.record(RecordType.LATCH, latch_bytes(latch))
        if self.state.link.welcomed:
            self.state.out.up.latches.append(latch)
            self.state.out.up_dirty = True
        self.state.notice("error", "stop_latched", f"{latch.level.name} by {latch.operator}: {latch.reason}")
        self._cancel_entries("STOPPED", now_ns)
        self._drain(now_ns)

    # ---- venues

    def venue_connected(self, name: str, now_ns: int) -> None:
        """The private connection is open: measure the clock, log in."""
        venue = self.state.venues[name]
        venue.connected, venue.reconciling, venue.status_dirty = True, True, True
        self.state.send_plain(venue, RequestKind.TIME, now_ns)
        self._clock_sample_ns[name] = now_ns
        if venue.clock_error_ns:
            self.state.send_plain(venue, RequestKind.LOGIN, now_ns)
        self._drain(now_ns)

    def venue_lost(self, name: str, now_ns: int) -> None:
        """The private connection is gone: whatever was on its way is unproven."""
        venue = self.state.venues[name]
        venue.connected = venue.live = False
        venue.reconciling = venue.status_dirty = True
        for request in self.state.requests.take_all(name):
            self._unanswered(request.kind, request.client_order_ids, "DISCONNECTED", now_ns)
        self._drain(now_ns)

    def on_venue_event(
        self,
        name: str,
        event: VenueReply | OrderUpdate | ListUpdate | BalanceUpdate | TransferUpdate | StreamEnded,
        now_ns: int,
    ) -> None:
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
            case ListUpdate():
                self._list_update(event, now_ns)
            case StreamEnded():
                self.state.out.reconnects.append((name, event.reason))
        self._drain(now_ns)

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
        if reply.reason == "RATE_LIMITED":
            venue.quiet_until_ns = max(venue.quiet_until_ns, now_ns + max(1_000, reply.retry_after_ms) * NS_PER_MS)
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
                self.events.place_reply(request.client_order_ids, reply, now_ns)
            case RequestKind.CANCEL | RequestKind.CANCEL_ALL:
                self.events.cancel_reply(request.client_order_ids[0], reply, now_ns)
            case RequestKind.QUERY:
                self._query_reply(request.client_order_ids[0], reply, now_ns)
            case RequestKind.TIME:
                self._clock_sample(venue, request.sent_ns, reply, now_ns)
            case RequestKind.LOGIN:
                self._logged_in(venue, reply, now_ns)

    def _query_reply(self, client_order_id: str, reply: VenueReply, now_ns: int) -> None:
        order = self.state.orders.get(client_order_id)
        if order is None or not order.working:
            return
        if reply.outcome is RequestOutcome.ACCEPTED:
            for row in reply.orders:
                self.events.row(order, row, now_ns)
            self.unknown.found(order, now_ns)
            if not self.events.has_waiting_row(order.id):
                self.state.repeat_cancel(order, now_ns)
        elif reply.reason == "ORDER_NOT_FOUND":
            self.unknown.not_found(order, now_ns)

    def _clock_sample(self, venue: VenueState, sent_ns: int, reply: VenueReply, now_ns: int) -> None:
        if reply.server_time_ns:
            venue.clock_offset_ns = reply.server_time_ns - (sent_ns + now_ns) // 2
            venue.clock_error_ns = (now_ns - sent_ns) // 2 + NS_PER_MS
        if not venue.live and venue.connected:
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

    # ---- reads

    def on_read(self, job: ReadJob, result: ReadResult, now_ns: int) -> None:
        """Take the result of a private read."""
        match job.kind:
            case ReadKind.SNAPSHOT:
                self.reconciler.snapshot_read(job, result if isinstance(result, VenueSnapshot) else None, now_ns)
                self._drain(now_ns)
                self.protection.audit(now_ns)
            case ReadKind.ORDER_TRADES:
                self.events.trades_read(job, result if isinstance(result, list) else None, now_ns)
            case ReadKind.ACCOUNT:
                if isinstance(result, AccountRows):
                    self.reconciler.take_account(self.state.venues[job.venue], result, now_ns, now_ns)
                    self.protection.account_read(job.venue, now_ns)
                self.exits.balances_changed(now_ns)
        self._drain(now_ns)

    # ---- market

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
        self.protection.durable(seq, now_ns)
        self._drain(now_ns)

    def handle_timer(self, now_ns: int) -> None:
        """Do everything that is due."""
        for request in self.state.requests.take_expired(now_ns):
            self._unanswered(request.kind, request.client_order_ids, "TIMEOUT", now_ns)
            if request.kind is RequestKind.LOGIN:
                self.state.out.reconnects.append((request.venue, "login timed out"))
        self._drain(now_ns)
        self.asks.handle_timer(now_ns)
        self.exits.handle_timer(now_ns)
        self.unknown.handle_timer(now_ns)
        self.protection.handle_timer(now_ns)
        self.reconciler.handle_timer(now_ns)
        self._ping(now_ns)
        self._lease_watch(now_ns)
        for name, sampled_ns in self._clock_sample_ns.items():
            venue = self.state.venues[name]
            if venue.connected and now_ns - sampled_ns >= self.state.settings.clock_sample_ms * NS_PER_MS:
                self._clock_sample_ns[name] = now_ns
                self.state.send_plain(venue, RequestKind.TIME, now_ns)
        self._drain(now_ns)

    def _lease_watch(self, now_ns: int) -> None:
        link = self.state.link
        if self._entries_canceled_for_lease or not link.entries_overdue(now_ns):
            return
        self._entries_canceled_for_lease = True
        if count := self._cancel_entries("RISK_LEASE_EXPIRED", now_ns):
            self.state.notice("error", "lease_lost", f"{count} working entries are canceled: riskd is silent")

    def next_timer_ns(self, now_ns: int) -> int | None:
        """Return when `handle_timer` is due next."""
        lease_ns = None
        if not self._entries_canceled_for_lease and self.state.orders.working_count:
            lease_ns = self.state.link.lease_sent_ns + self.state.settings.cancel_entries_after_ms * NS_PER_MS
        times = (
            self.state.requests.next_timer_ns(),
            self.asks.next_timer_ns(),
            self.exits.next_timer_ns(),
            self.unknown.next_timer_ns(),
            self.protection.next_timer_ns(),
            self.reconciler.next_timer_ns(),
            self.state.link.next_timer_ns(),
            lease_ns,
        )
        return min((t for t in times if t is not None), default=None)

    def shut_down(self, now_ns: int) -> None:
        """Stop policy: no new orders, entries canceled, stops stay at the venue."""
        self._stopping = True
        self._cancel_entries("SHUTDOWN", now_ns)
        self._drain(now_ns)

    # ---- outbox

    @property
    def has_output(self) -> bool:
        """True when `take` or `take_up` would return something to do."""
        out = self.state.out
        return bool(
            out.up_dirty or out.records or out.sends or out.answers or out.reads or out.reconnects or out.notices
        )

    def take(self) -> Outbox:
        """Return and clear what is to be done. Session parts are cleared only when they are taken with `take_up`."""
        out = self.state.out
        self.state.out = Outbox(up=out.up, up_dirty=out.up_dirty)
        return out

    def take_up(self) -> SessionUp | None:
        """Return and clear what goes up to riskd; None when there is nothing."""
        self._report_venues()
        out = self.state.out
        if not out.up_dirty:
            return None
        up, out.up, out.up_dirty = out.up, SessionUp(), False
        return up

    def _report_venues(self) -> None:
        if not self.state.link.welcomed:
            return
        for venue in self.state.venues.values():
            if venue.status_dirty:
                self.state.out.up.venues.append(self.venue_status(venue))
                self.state.out.up_dirty = True
                venue.status_dirty = False
                venue.alarms.clear()

    def venue_status(self, venue: VenueState) -> VenueStatus:
        """Return the state of one venue's private side."""
        unknown = tuple(
            client_order_id
            for client_order_id in self.state.orders.unknown_ids()
            if (order := self.state.orders.get(client_order_id)) is not None
            and self.state.venue_of(order.facts.terms.instrument_id) is venue
        )
        return VenueStatus(
            venue.name,
            venue.account,
            venue.live,
            venue.reconciled_ns,
            venue.reconciling,
            unknown,
            tuple(venue.alarms),
            venue.used_weight_pct,
        )

    def position_views(self) -> list[PositionView]:
        """Return the derived positions that are not flat."""
        return [self.position_view(*key) for key, p in self.state.orders.positions.items() if p.qty]

    def position_view(self, strategy_id: str, instrument_id: str) -> PositionView:
        """Return one derived position."""
        qty, avg_price = self.state.orders.positions.view(strategy_id, instrument_id)
        stop = self.protection.stop_price(strategy_id, instrument_id)
        return PositionView(strategy_id, instrument_id, qty, avg_price, stop)

    def _drain(self, now_ns: int) -> None:
        """Show every fresh order event to every part, until none is left."""
        fresh = self.state.fresh
        while fresh:
            order, event = fresh.popleft()
            status = order.state.status
            if status is OrderStatus.UNKNOWN:
                duplicate = event.reason == "DUPLICATE_CLIENT_ID"
                at_once = duplicate or event.kind is OrderEventKind.CANCEL_REJECTED or event.reason == "RESTART"
                self.unknown.doubt(order, now_ns, at_once=at_once)
                self.state.venue_of(order.facts.terms.instrument_id).status_dirty = True
            elif event.kind in (OrderEventKind.RECOVERED, OrderEventKind.PROVEN_ABSENT) or status.is_terminal:
                self.unknown.settled(order.id)
                if event.kind in (OrderEventKind.RECOVERED, OrderEventKind.PROVEN_ABSENT):
                    self.state.venue_of(order.facts.terms.instrument_id).status_dirty = True
            self.exits.after_event(order, event, now_ns)
            self.protection.after_event(order, event, now_ns)
