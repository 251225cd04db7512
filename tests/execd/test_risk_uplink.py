"""What execd sends up to riskd: bytes put together by hand say what protobuf says."""

from __future__ import annotations

import pytest

from execd.risk_client import SessionUplink, encode_events
from tests.support.builders import make_intent
from tests.support.builders import make_terms as make_order_terms
from tradebot.core.approvals import ApprovalAsk, ApproveOrder, LeasePing, SessionUp, VenueAction
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.runtime.outbox import Outbox
from tradebot.wire.execd_records import event_bytes, intent_bytes
from tradebot.wire.risk import up_from_wire, up_to_wire


def _read(outbox: Outbox[bytes]) -> SessionUp:
    data = b"".join(outbox._items)
    up, malformed = up_from_wire(pb.SessionRequest.FromString(data))
    assert not malformed
    return up


def _event(sequence: int) -> OrderEvent:
    terms = make_order_terms()
    facts = OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, 5)
    kind = OrderEventKind.ASKED
    return OrderEvent(sequence, terms.client_order_id, kind, OrderStatus.PENDING_NEW, 7, facts)


@pytest.mark.parametrize("serialized", [True, False])
def test_order_events_arrive_as_they_were_whether_serialized_already_or_not(serialized: bool) -> None:
    events = [_event(1), _event(2), _event(3)]

    data = encode_events([(event, event_bytes(event) if serialized else b"") for event in events])

    assert data == up_to_wire(SessionUp(order_events=events)).SerializeToString()


@pytest.mark.parametrize("raw", [True, False])
async def test_an_ask_arrives_as_it_was_with_its_intent(raw: bool) -> None:
    outbox: Outbox[bytes] = Outbox()
    intent = make_intent()
    order = ApproveOrder(
        "i1", 2, VenueAction.NEW, make_order_terms(), OrderRole.ENTRY, "binance", "main", "s1", trace_id="t"
    )
    ask = ApprovalAsk(3, 9, intent, order)

    SessionUplink(outbox).ask(ask, intent_bytes(intent) if raw else b"")

    expected, _ = up_from_wire(up_to_wire(SessionUp(asks=[ask])))
    assert _read(outbox) == expected


async def test_what_goes_up_in_turn_is_read_as_one_message() -> None:
    outbox: Outbox[bytes] = Outbox()
    uplink = SessionUplink(outbox)
    event = _event(1)

    uplink.events([(event, event_bytes(event))], False)
    uplink.rest(SessionUp(ping=LeasePing(4, 11), abandons=[7]))

    assert _read(outbox) == SessionUp(order_events=[event], ping=LeasePing(4, 11), abandons=[7])
