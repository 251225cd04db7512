"""Rebuilding the desk from its journal by folding recorded outcomes. No check is run again, nothing is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from execd.desk import Desk
from execd.records import RecordType
from tradebot.core.errors import InvariantError, RejectedError
from tradebot.core.intents import IntentAnswer, IntentStatus
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.wire.approvals import open_approval, open_grant
from tradebot.wire.execd_records import approval_of, event_of, grant_of, intent_of, latch_of, unpack_parts

MAX_LOST_APPROVALS: Final = 512
"""Approvals of orders that left and that the journal may not have yet; with so many the next order waits for it."""


class Restorer:
    """Feeds journal records, oldest first, into an empty desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.log_incarnation = ""
        self.starts = 0
        """Starts of execd on this journal so far."""
        self.records = 0
        self._grants: dict[str, str] = {}
        """Entry -> grant id, to count the orders sent under it."""
        self._latched: dict[str, bytes] = {}
        self._approvals: deque[bytes] = deque(maxlen=2 * MAX_LOST_APPROVALS)
        """The newest in the journal: those of one ring, and as many that a start wrote down after it."""
        self._readers: dict[int, Callable[[bytes], None]] = {
            RecordType.INCARNATION: self._incarnation,
            RecordType.ASK: self._ask,
            RecordType.ORDER_EVENT: lambda payload: self._event(event_of(payload)),
            RecordType.GRANT: self._grant,
            RecordType.DERIVATION: self._derivation,
            RecordType.APPROVAL: self._approvals.append,  # audit and Explain read them all
            RecordType.LATCH: self._latch,
            RecordType.UNLATCH: self._unlatch,
            RecordType.WATERMARK: self._watermark,
            RecordType.INTENT_REFUSED: self._intent_refused,
            RecordType.DRY_RUN: lambda payload: None,
            RecordType.BASELINE: self._baseline,
            RecordType.CANCEL_WANTED: self._cancel_wanted,
        }

    def apply(self, record_type: int, payload: bytes) -> None:
        """Fold one record.

        Raises:
            InvariantError: If it cannot follow what came before.
        """
        reader = self._readers.get(record_type)
        if reader is None:
            raise InvariantError(f"journal of execd: record type {record_type} is unknown to this version")
        try:
            reader(payload)
        except RejectedError as exc:
            raise InvariantError(f"journal of execd: record type {record_type} is malformed: {exc}") from exc
        self.records += 1

    def finish(self) -> None:
        """Put the stops that are still in force back."""
        for payload in self._latched.values():
            self._desk.latches.set(latch_of(payload))

    def lost_approvals(self, kept: Iterable[bytes]) -> list[bytes]:
        """Return those of the approvals kept by the last life that the journal misses: it died before they were on
        disk, and their orders may have left.
        """
        written, state = set(self._approvals), self._desk.state
        lost = []
        for payload in kept:
            if payload in written:
                continue
            try:
                terms = open_approval(approval_of(payload), state.gateway.keys)
            except RejectedError:
                continue  # signed with a key that was rotated away long after its order
            if state.orders.get(terms.order.client_order_id) is not None:
                lost.append(payload)
        return lost

    def _incarnation(self, payload: bytes) -> None:
        incarnation, number = payload.decode().split()
        self.log_incarnation, self.starts = incarnation, int(number)

    def _ask(self, payload: bytes) -> None:
        raw_intent, raw_event = unpack_parts(payload, 2)
        if raw_intent:
            intent = intent_of(raw_intent)
            if not self._desk.intents.window.seen(intent.intent_id):
                self._desk.intents.window.open(intent.intent_id)
        self._event(event_of(raw_event))

    def _derivation(self, payload: bytes) -> None:
        raw, count = unpack_parts(payload, 2)
        for part in unpack_parts(raw, count[0]):
            self._event(event_of(part))

    def _event(self, event: OrderEvent) -> None:
        desk = self._desk
        order = desk.state.orders.fold(event)
        desk.protection.fold(order, event)
        if event.kind is OrderEventKind.SENT:
            desk.state.gateway.note_sent(order.id)
            grant_id = self._grants.get(order.facts.protects_client_order_id)
            if grant_id is not None and order.facts.role in (OrderRole.PROTECTION, OrderRole.EMERGENCY_EXIT):
                desk.state.gateway.note_grant_use(grant_id, order.facts.terms)
        if event.kind in (OrderEventKind.SENT, OrderEventKind.REFUSED) and order.facts.role in (
            OrderRole.ENTRY,
            OrderRole.EXIT,
        ):
            refused = order.state.status is OrderStatus.REJECTED
            desk.intents.window.close(
                IntentAnswer(
                    order.facts.intent_id,
                    IntentStatus.REFUSED if refused else IntentStatus.ACCEPTED,
                    event.check_id,
                    event.reason,
                    event.detail,
                    "" if refused else order.id,
                )
            )

    def _grant(self, payload: bytes) -> None:
        entry_id, raw = unpack_parts(payload, 2)
        entry = self._desk.protection.entry(entry_id.decode())
        if entry is None:
            return  # old enough to be forgotten
        grant = grant_of(raw)
        try:
            self._desk.protection.grant(entry, grant, journal=False)
            self._grants[entry.id] = open_grant(grant, self._desk.state.gateway.keys).grant_id
        except RejectedError:
            return  # signed with a key that was rotated away: riskd is asked for a new one

    def _latch(self, payload: bytes) -> None:
        self._latched[latch_of(payload).latch_id] = payload

    def _unlatch(self, payload: bytes) -> None:
        self._latched.pop(payload.decode(), None)

    def _watermark(self, payload: bytes) -> None:
        venue, time_ns = payload.decode().split()
        self._desk.reconciler.set_watermark(venue, int(time_ns))

    def _baseline(self, payload: bytes) -> None:
        venue, asset, amount = payload.decode().split()
        self._desk.reconciler.baselines[venue, asset] = Decimal(amount)

    def _cancel_wanted(self, payload: bytes) -> None:
        client_order_id, reason = (part.decode() for part in unpack_parts(payload, 2))
        order = self._desk.state.orders.get(client_order_id)
        if order is not None:
            order.cancel_wanted = reason

    def _intent_refused(self, payload: bytes) -> None:
        intent_id, check_id, reason, detail = (part.decode() for part in unpack_parts(payload, 4))
        self._desk.intents.window.open(intent_id)
        self._desk.intents.window.close(IntentAnswer(intent_id, IntentStatus.REFUSED, check_id, reason, detail))
