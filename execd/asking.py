"""Asking riskd and sending what it allows: the path of every order that needs an approval.

ASK is journaled while riskd decides; the order is sent when the approval is verified *and* ASK is durable. No answer
within the deadline voids the ask: a late approval is reported as never used and nothing is retried with an old price.
The approval's own record waits for company; what is sent is kept by the shell first, so that no crash loses it.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from execd.gateway import AskedOrder, Blocked, Prepared
from execd.orders import Order
from execd.records import RecordType
from execd.settings import NS_PER_MS
from execd.state import DeskState
from tradebot.core.approvals import (
    ApprovalAnswer,
    ApprovalAsk,
    ApproveOrder,
    GrantTerms,
    NeverUsed,
    ProtectionGrant,
    VenueAction,
    Verdict,
)
from tradebot.core.errors import RejectedError
from tradebot.core.intents import OrderIntent, SignalContext
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms
from tradebot.core.values import value
from tradebot.wire.approvals import open_approval
from tradebot.wire.execd_records import approval_bytes, pack_parts

MAX_UNPREPARED: Final = 64
"""Asks whose requests are built ahead at once; in a burst there is no idle time to do it in."""


class AskResult(Enum):
    """How an ask ended."""

    SENT = "sent"
    ALLOWED = "allowed"
    """A parent without a venue message."""
    REFUSED = "refused"


@value(frozen=True, slots=True)
class AskOutcome:
    """Told to whoever asked."""

    result: AskResult
    check_id: str = ""
    reason: str = ""
    detail: str = ""


OnOutcome = Callable[[AskOutcome, int], None]
"""Called with the outcome and the time."""
OnGrant = Callable[[Order, ProtectionGrant, GrantTerms | None, int], None]
"""Called with the order, the grant that came with its approval, and the terms if the gateway verified them."""


@dataclass(slots=True)
class PendingAsk:
    """One question to riskd."""

    ask_id: int
    sent_ns: int
    record_seq: int
    """ASK in the journal; 0 when there is no order to send."""
    asked: AskedOrder | None
    context: SignalContext | None
    on_outcome: OnOutcome
    answer: ApprovalAnswer | None = None
    """Kept while it waits for ASK to be durable."""
    prepared: Prepared | None = None


class AskDesk:
    """Asks of the current session."""

    def __init__(self, state: DeskState, on_grant: OnGrant) -> None:
        self._state = state
        self._on_grant = on_grant
        self._pending: OrderedDict[int, PendingAsk] = OrderedDict()
        self._held: list[tuple[int, int]] = []
        """(record sequence, ask id) of allowed asks that wait for the disk."""
        self._next_ask_id = 1
        self._unprepared: list[PendingAsk] = []
        self.round_trips_ns: list[int] = []
        """Since the shell last took them."""

    @property
    def ready(self) -> bool:
        """True when riskd can be asked."""
        return self._state.link.welcomed

    @property
    def awaited_seq(self) -> int | None:
        """The record without which the first allowed order cannot be sent."""
        return self._held[0][0] if self._held else None

    @property
    def pending_count(self) -> int:
        """Asks in flight."""
        return len(self._pending)

    def ask_order(
        self,
        terms: OrderTerms,
        facts: OrderFacts,
        on_outcome: OnOutcome,
        now_ns: int,
        *,
        intent: OrderIntent | None = None,
        with_parent: bool = True,
        raw_intent: bytes = b"",
        reduce_id: str = "",
    ) -> None:
        """Journal ASK, make the order known, and ask riskd for it.

        Args:
            terms: The exact order; qty 0 lets the parent's sizing decide.
            facts: Its facts.
            on_outcome: Told once.
            now_ns: Now.
            intent: Intent behind it.
            with_parent: Ask for the intent as a whole in the same message.
            raw_intent: The intent as received, journaled as it is.
            reduce_id: riskd's command that it executes.
        """
        state = self._state
        venue = state.venue_of(terms.instrument_id)
        order = ApproveOrder(
            facts.intent_id,
            facts.child_index,
            VenueAction.NEW,
            terms,
            facts.role,
            venue.name,
            venue.account,
            facts.strategy_id,
            reduce_id=reduce_id,
            trace_id=facts.trace_id,
        )
        wants_stop = intent is not None and intent.protection.stop_loss_fraction is not None
        asked = AskedOrder(self._next_ask_id, now_ns, venue.name, terms, facts.role, facts.strategy_id, wants_stop)
        context = intent.context if intent is not None else None
        pending = PendingAsk(0, now_ns, 0, asked, context, on_outcome)
        self._ask(intent if with_parent else None, order, pending, raw_intent)
        raw_event = state.emit(terms.client_order_id, OrderEventKind.ASKED, now_ns, facts=facts, journal=False)
        payload = pack_parts(raw_intent, raw_event) if state.settings.journaled else b""
        pending.record_seq = state.record(RecordType.ASK, payload)
        if terms.qty > 0 and len(self._unprepared) < MAX_UNPREPARED:
            self._unprepared.append(pending)

    def ask_parent(self, intent: OrderIntent, on_outcome: OnOutcome, now_ns: int) -> None:
        """Ask whether an intent may be worked at all; its order follows when its size is known."""
        self._ask(intent, None, PendingAsk(0, now_ns, 0, None, None, on_outcome), b"")

    def _ask(
        self, parent: OrderIntent | None, order: ApproveOrder | None, pending: PendingAsk, raw_intent: bytes
    ) -> None:
        pending.ask_id = self._next_ask_id
        self._next_ask_id += 1
        self._pending[pending.ask_id] = pending
        ask = ApprovalAsk(pending.ask_id, pending.sent_ns, parent, order)
        if self._state.ask_now is not None:
            self._state.ask_now(ask, raw_intent)
            return
        self._state.out.up.asks.append(ask)
        self._state.out.up_dirty = True

    def prepare(self, now_ns: int) -> None:
        """Build the venue requests of fresh asks while riskd decides. Optional: what is not prepared is built later."""
        state, fresh = self._state, self._unprepared
        self._unprepared = []
        for pending in fresh:
            if pending.asked is not None and pending.answer is None and pending.ask_id in self._pending:
                request_id = state.requests.next_id()
                timestamp_ms = state.venues[pending.asked.venue].timestamp_ms(now_ns)
                pending.prepared = state.gateway.prepare(pending.asked, request_id, timestamp_ms)

    # ---- answers

    def answered(self, answer: ApprovalAnswer, now_ns: int) -> None:
        """Take riskd's answer to one ask."""
        pending = self._pending.get(answer.ask_id)
        if pending is None or pending.answer is not None:
            self._void(answer, "ABANDONED" if pending is None else "ANSWERED_TWICE")
            return
        self.round_trips_ns.append(now_ns - pending.sent_ns)
        if answer.verdict is Verdict.BLOCK:
            self._refuse(
                pending, AskOutcome(AskResult.REFUSED, answer.check_id, answer.reason, answer.detail), now_ns, answer
            )
        elif pending.asked is None:
            del self._pending[pending.ask_id]
            pending.on_outcome(AskOutcome(AskResult.ALLOWED), now_ns)
        elif pending.record_seq > self._state.durable_seq:
            pending.answer = answer
            heapq.heappush(self._held, (pending.record_seq, pending.ask_id))
        else:
            self._send(pending, pending.asked, answer, now_ns)

    def durable(self, seq: int, now_ns: int) -> None:
        """Send what only waited for the disk."""
        while self._held and self._held[0][0] <= seq:
            pending = self._pending.get(heapq.heappop(self._held)[1])
            if pending is not None and pending.answer is not None and pending.asked is not None:
                self._send(pending, pending.asked, pending.answer, now_ns)

    def _send(self, pending: PendingAsk, asked: AskedOrder, answer: ApprovalAnswer, now_ns: int) -> None:
        state = self._state
        order = state.orders.get(asked.terms.client_order_id)
        venue = state.venues[asked.venue]
        if order is None or not order.working:
            self._refuse(
                pending, AskOutcome(AskResult.REFUSED, "EXE-08", "ORDER_CLOSED", "closed while asked"), now_ns, answer
            )
            return
        obstacle = _obstacle(order, venue.live, now_ns < venue.quiet_until_ns)
        if obstacle is not None:
            self._refuse(pending, obstacle, now_ns, answer)
            return
        prepared = pending.prepared
        request_id = prepared.request_id if prepared is not None else state.requests.next_id()
        position = state.orders.positions.total(asked.terms.instrument_id)
        timestamp_ms = venue.timestamp_ms(now_ns)
        passed = state.gateway.pass_approved(
            answer.approval, asked, position, request_id, timestamp_ms, now_ns, grant=answer.grant, prepared=prepared
        )
        if isinstance(passed, Blocked):
            state.notice("error", "gateway_blocked", f"{passed.check_id} {passed.reason}: {passed.detail}")
            outcome = AskOutcome(AskResult.REFUSED, passed.check_id, passed.reason, passed.detail)
            self._refuse(pending, outcome, now_ns, answer)
            return
        if state.settings.dry_run:
            state.record(RecordType.DRY_RUN, passed.data)
            outcome = AskOutcome(AskResult.REFUSED, "", "DRY_RUN", "stopped at the wire")
            self._refuse(pending, outcome, now_ns, answer)
            return
        payload = approval_bytes(answer.approval) if answer.approval is not None and state.settings.journaled else b""
        if payload and state.keep_approval is not None and not state.keep_approval(payload, state.last_record):
            outcome = AskOutcome(AskResult.REFUSED, "EXE-06", "JOURNAL_SLOW", "too many approvals wait for the disk")
            self._refuse(pending, outcome, now_ns, answer)
            return
        del self._pending[pending.ask_id]
        context = pending.context
        sent_ns, received_ns = (context.market_sent_time_ns, context.market_receive_time_ns) if context else (0, 0)
        state.send_passed(passed, request_id, now_ns, sent_ns, received_ns)
        order.sent_ns = now_ns
        facts = order.facts.decided(passed.legs[0], passed.decision_id)
        state.emit(order.id, OrderEventKind.SENT, now_ns, facts=facts)
        if payload:
            state.record(RecordType.APPROVAL, payload)
        if answer.grant is not None:
            self._on_grant(order, answer.grant, passed.grant, now_ns)
        pending.on_outcome(AskOutcome(AskResult.SENT), now_ns)

    def _refuse(
        self,
        pending: PendingAsk,
        outcome: AskOutcome,
        now_ns: int,
        answer: ApprovalAnswer | None = None,
    ) -> None:
        self._pending.pop(pending.ask_id, None)
        if answer is not None and answer.approval is not None:
            self._void(answer, outcome.reason)
        if pending.asked is not None:
            client_order_id = pending.asked.terms.client_order_id
            order = self._state.orders.get(client_order_id)
            if order is not None and order.working and not order.was_sent:
                decision_id = answer.decision_id if answer is not None else ""
                facts = order.facts.decided(order.facts.terms, decision_id) if decision_id else None
                self._state.emit(
                    client_order_id,
                    OrderEventKind.REFUSED,
                    now_ns,
                    facts=facts,
                    reason=outcome.reason,
                    detail=outcome.detail,
                    check_id=outcome.check_id,
                )
        pending.on_outcome(outcome, now_ns)

    def _void(self, answer: ApprovalAnswer, reason: str) -> None:
        """State that an approval was not used and never will be: from here on the gateway refuses it.

        Nothing is said of one that was used or given up before, that belongs to another open ask, or to another session
        (riskd settles those by the order log): a repeated answer must not free the reservation of an order that works.
        """
        if answer.approval is None:
            return
        gateway = self._state.gateway
        try:
            terms = open_approval(answer.approval, gateway.keys)
        except RejectedError:
            return  # not an approval of riskd's: there is nothing to release
        foreign = terms.session_id != self._state.link.session_id or terms.ask_id in self._pending
        if foreign or not gateway.spend(terms.nonce):
            return
        self._state.out.up.never_used.append(NeverUsed(terms.nonce, terms.order.client_order_id, reason))
        self._state.out.up_dirty = True

    # ---- time and session

    def handle_timer(self, now_ns: int) -> None:
        """Give up on asks without an answer, and on those whose ASK the disk does not take."""
        limit_ns = self._state.settings.ask_deadline_ms * NS_PER_MS
        overdue = []
        for pending in self._pending.values():
            if now_ns - pending.sent_ns < limit_ns:
                break
            overdue.append(pending)
        for pending in overdue:
            self._state.out.up.abandons.append(pending.ask_id)
            self._state.out.up_dirty = True
            reason = "RISK_TIMEOUT" if pending.answer is None else "JOURNAL_SLOW"
            detail = f"not decided and durable within {self._state.settings.ask_deadline_ms} ms"
            self._refuse(pending, AskOutcome(AskResult.REFUSED, "EXE-06", reason, detail), now_ns, pending.answer)

    def session_started(self) -> None:
        """Ask ids count from 1 in each session."""
        self._next_ask_id = 1

    def session_lost(self, now_ns: int) -> None:
        """Every open ask is void."""
        for pending in list(self._pending.values()):
            outcome = AskOutcome(AskResult.REFUSED, "EXE-06", "RISK_SESSION_LOST", "riskd went away before it decided")
            self._refuse(pending, outcome, now_ns)
        self._held.clear()

    def next_timer_ns(self) -> int | None:
        """Return the deadline of the oldest ask."""
        if not self._pending:
            return None
        return next(iter(self._pending.values())).sent_ns + self._state.settings.ask_deadline_ms * NS_PER_MS


def _obstacle(order: Order, live: bool, quiet: bool) -> AskOutcome | None:
    if order.cancel_wanted:
        return AskOutcome(AskResult.REFUSED, "", "CANCELED_BEFORE_SEND", order.cancel_wanted)
    if not live:
        return AskOutcome(AskResult.REFUSED, "STA-03", "VENUE_DISCONNECTED", "the private stream is down")
    if quiet and order.facts.role is OrderRole.ENTRY:
        return AskOutcome(AskResult.REFUSED, "RAT-03", "RATE_LIMITED", "the venue asked for silence")
    return None
