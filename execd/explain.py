"""Explain: one order with its events, intent, approval and grant derivation, as the journal tells them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from execd.records import RecordType
from tradebot.core.errors import RejectedError
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import Execution, OrderRole
from tradebot.wire.approvals import open_approval
from tradebot.wire.execd_records import approval_of, event_of, unpack_parts


@dataclass(slots=True)
class OrderStory:
    """Everything that the journal holds about one order."""

    client_order_id: str
    events: list[OrderEvent] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    raw_intent: bytes = b""
    """The intent that led to it, serialized; empty when it was not found."""
    derivation: str = ""
    """For protection: how the terms follow from the grant."""
    missing: list[str] = field(default_factory=list)
    approved_by: str = ""
    """The decision that its approval names; an order whose sending died with execd has no event that says it."""

    @property
    def decision_id(self) -> str:
        """The decision behind the order, empty when none is known."""
        told = (e.facts.decision_id for e in reversed(self.events) if e.facts and e.facts.decision_id)
        return next(told, self.approved_by)


def tell_story(client_order_id: str, records: Iterable[tuple[int, bytes]], keys: Mapping[str, bytes]) -> OrderStory:
    """Return the story of one order. For a protecting order the intent is its entry's. `keys` open its approval."""
    story = OrderStory(client_order_id)
    intents: dict[str, bytes] = {}
    intent_id = ""
    for record_type, payload in records:
        if record_type == RecordType.APPROVAL and client_order_id.encode() in payload:
            story.approved_by = _decision_of(payload, client_order_id, keys) or story.approved_by
        for event, raw_intent in _events(record_type, payload):
            if raw_intent:
                intents[event.facts.intent_id if event.facts else ""] = raw_intent
            if event.client_order_id != client_order_id:
                continue
            story.events.append(event)
            if event.execution is not None:
                story.executions.append(event.execution)
            if event.facts is not None:
                intent_id = event.facts.intent_id
                if event.facts.role in (OrderRole.PROTECTION, OrderRole.EMERGENCY_EXIT) and event.detail:
                    story.derivation = story.derivation or event.detail
    story.raw_intent = intents.get(intent_id, b"")
    if not story.events:
        story.missing.append(f"order {client_order_id} is not in the journal")
    elif not story.raw_intent and not intent_id.startswith("reduce:"):
        story.missing.append(f"intent {intent_id} is not in the journal")
    return story


def find_order_of_execution(exec_id: str, records: Iterable[tuple[int, bytes]]) -> str:
    """Return the client order id of a fill, empty when it is not in the journal."""
    for record_type, payload in records:
        for event, _ in _events(record_type, payload):
            if event.execution is not None and event.execution.exec_id == exec_id:
                return event.client_order_id
    return ""


def _decision_of(payload: bytes, client_order_id: str, keys: Mapping[str, bytes]) -> str:
    try:
        terms = open_approval(approval_of(payload), keys)
    except RejectedError:
        return ""  # signed with a key that was rotated away
    return terms.decision_id if terms.order.client_order_id == client_order_id else ""


def _events(record_type: int, payload: bytes) -> Iterable[tuple[OrderEvent, bytes]]:
    match record_type:
        case RecordType.ASK:
            raw_intent, raw_event = unpack_parts(payload, 2)
            yield event_of(raw_event), raw_intent
        case RecordType.ORDER_EVENT:
            yield event_of(payload), b""
        case RecordType.DERIVATION:
            raw, count = unpack_parts(payload, 2)
            for part in unpack_parts(raw, count[0]):
                yield event_of(part), b""
