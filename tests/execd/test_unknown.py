"""Orders whose outcome is not proven: queried, adopted or proven absent, never sent again. In virtual time."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.orders import OrderEventKind, OrderStatus, TimeInForce
from tradebot.venues.api_orders import RequestKind

K = OrderEventKind


def sent_and_silent(kit: DeskKit, *, placed: bool) -> str:
    """Send an order whose answer never comes; return its id. `placed`: the venue took it all the same."""
    order = kit.order(time_in_force=TimeInForce.GTC)
    if placed:
        kit.place(answer=False, stream=False)
    else:
        kit.take_sends(RequestKind.PLACE)
    return order.id


def kinds(kit: DeskKit, client_order_id: str) -> list[OrderEventKind]:
    return [event.kind for event in kit.up_events if event.client_order_id == client_order_id]


def test_no_answer_in_time_is_unknown_and_nothing_is_resent() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=False)
    kit.advance(3_000)

    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    assert kit.status(order) is OrderStatus.UNKNOWN
    assert not kit.take_sends(RequestKind.PLACE)
    assert kit.desk.risk_side.venue_status(kit.desk.state.venues["binance"]).unknown_client_order_ids == (order_id,)


def test_it_is_queried_at_half_one_two_four_eight_sixteen_and_thirty_seconds() -> None:
    kit = DeskKit()
    sent_and_silent(kit, placed=False)
    kit.advance(3_000)
    began_ns = kit.now_ns
    times = []
    for _ in range(700):
        kit.advance(50)
        if kit.take_sends(RequestKind.QUERY):
            times.append((kit.now_ns - began_ns) / 1e9)

    assert times == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 35.0]


def test_an_order_that_was_placed_is_found_and_adopted() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=True)
    kit.advance(3_500)
    kit.serve_queries()

    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    assert kit.status(order) is OrderStatus.NEW
    assert kinds(kit, order_id) == [K.ASKED, K.SENT, K.OUTCOME_UNKNOWN, K.RECOVERED]
    assert len(kit.venue.orders) == 1


def test_an_order_that_filled_in_silence_is_found_with_its_trades() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=True)
    kit.match(order_id, "0.004", "60000", stream=False)
    kit.match(order_id, "0.006", "60000", stream=False)
    kit.advance(3_500)
    kit.serve_queries()
    kit.serve_reads()

    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    assert kit.status(order) is OrderStatus.FILLED
    assert kit.desk.state.orders.fill_count == 2
    assert kit.desk.state.orders.positions.qty("s1", BTC) == Decimal("0.00999")
    assert len(kit.take_sends(RequestKind.PLACE)) == 1  # its stop


def test_one_not_found_proves_nothing() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=False)
    for _ in range(150):
        kit.advance(100)
        kit.serve_queries()

    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    assert kit.status(order) is OrderStatus.UNKNOWN


def test_an_order_never_placed_is_proven_absent_after_the_deadline_and_five_answers() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=False)
    sent_ns = kit.now_ns
    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    while order.state.status is not OrderStatus.REJECTED and kit.now_ns - sent_ns < 120_000_000_000:
        kit.advance(500)
        kit.serve_queries()

    waited_s = (kit.now_ns - sent_ns) / 1e9
    assert kit.status(order) is OrderStatus.REJECTED
    assert kinds(kit, order_id)[-1] is K.PROVEN_ABSENT
    assert 37 <= waited_s <= 75  # recvWindow 2 s + margin 15 s + 20 s spread, then the next answers and a full read
    assert not kit.take_sends(RequestKind.PLACE)


def test_an_order_that_appears_late_inside_the_window_is_adopted() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=False)
    for _ in range(40):
        kit.advance(500)
        kit.serve_queries()
    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    kit._take(order.facts.terms, False)
    kit.advance(15_000)
    kit.serve_queries()

    assert kit.status(order) is OrderStatus.NEW


def test_an_order_that_appears_after_it_was_proven_absent_is_booked_and_alarms() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=False)
    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    for _ in range(200):
        kit.advance(500)
        kit.serve_queries()
    assert kit.status(order) is OrderStatus.REJECTED
    kit._take(order.facts.terms, False)
    kit.match(order_id, "0.01", "60000")

    assert order.state.filled_qty == Decimal("0.01")
    assert ("LATE_APPEARANCE", False) in kit.alarms


def test_after_a_minute_without_proof_an_operator_is_told() -> None:
    kit = DeskKit()
    sent_and_silent(kit, placed=False)
    for _ in range(70):
        kit.advance(1_000)
        kit.take_sends(RequestKind.QUERY)

    assert ("UNRESOLVED_ORDER", False) in kit.alarms


def test_a_disconnect_makes_what_is_on_its_way_unknown_and_the_reconnect_resolves_it() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=True)
    kit.desk.venue_lost("binance", kit.now_ns)
    kit.pump()
    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    assert kit.status(order) is OrderStatus.UNKNOWN

    kit.connect_venue()

    assert kit.status(order) is OrderStatus.NEW


@pytest.mark.parametrize(
    ("status", "code", "text", "unknown"),
    [
        (400, -1013, "Filter failure: LOT_SIZE", False),
        (400, -1021, "Timestamp for this request is outside of the recvWindow.", False),
        (400, -2010, "Account has insufficient balance for requested action.", False),
        (400, -2010, "Duplicate order sent.", True),
        (400, -1102, "Mandatory parameter missing", False),
        (401, -2015, "Invalid API-key", False),
        (429, -1003, "Too many requests", False),
        (418, -1003, "IP banned", False),
        (503, -1008, "Server overloaded", False),
        (500, 0, "", True),
        (503, -1001, "Internal error", True),
        (504, -1007, "Timeout waiting for response from backend server.", True),
        (400, -1006, "An unexpected response was received.", True),
        (400, -9999, "never documented", True),
    ],
)
def test_an_error_answer_is_a_rejection_only_when_it_is_listed_as_one(
    status: int, code: int, text: str, unknown: bool
) -> None:
    kit = DeskKit()
    order = kit.order()
    kit.refuse(RequestKind.PLACE, code, text, status)

    assert order.state.status is (OrderStatus.UNKNOWN if unknown else OrderStatus.REJECTED)


def test_a_duplicate_id_answer_queries_the_first_order_at_once() -> None:
    kit = DeskKit()
    kit.order()
    kit.refuse(RequestKind.PLACE, -2010, "Duplicate order sent.")
    kit.advance(1)

    assert len(kit.take_sends(RequestKind.QUERY)) == 1


def test_a_cancel_rejected_as_unknown_is_a_query_and_finds_the_fill() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.on_cancel(order.id, "", kit.now_ns)
    kit.pump()
    kit.match(order, "0.01", "60000", stream=False)
    kit.serve_cancels()
    kit.advance(1)
    kit.serve_queries()
    kit.serve_reads()

    assert kit.status(order) is OrderStatus.FILLED


def test_a_cancel_without_an_answer_changes_nothing_and_is_sent_again_when_the_order_still_works() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.on_cancel(order.id, "", kit.now_ns)
    kit.pump()
    kit.take_sends(RequestKind.CANCEL)  # lost
    kit.advance(3_600)
    kit.serve_queries()
    assert kit.status(order) is OrderStatus.PENDING_CANCEL

    assert kit.serve_cancels() == 1
    assert kit.status(order) is OrderStatus.CANCELED


def test_a_terminal_report_with_a_hole_waits_for_the_missing_trade() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "60000", stream=False)  # its event is lost
    row = kit.venue.orders[order.id]
    row["status"] = "CANCELED"
    kit.report(row, "CANCELED")
    assert order.working

    kit.serve_reads()

    assert kit.status(order) is OrderStatus.CANCELED
    assert order.state.filled_qty == Decimal("0.004")


def test_the_venue_telling_us_to_be_quiet_stops_entries_and_lets_cancels_through() -> None:
    kit = DeskKit()
    resting = kit.order(intent_id="rest", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.order(intent_id="i2")
    kit.refuse(RequestKind.PLACE, -1003, "Too many requests", 429)
    kit.submit(intent_id="i3")
    kit.allow()
    assert kit.answers[-1].reason == "RATE_LIMITED"

    kit.desk.on_cancel(resting.id, "", kit.now_ns)
    kit.pump()

    assert kit.serve_cancels() == 1


def test_an_unknown_order_with_fills_is_asked_after_for_ever_when_the_venue_forgets_it() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "60000")
    kit.desk.on_cancel(order.id, "OPERATOR", kit.now_ns)
    kit.pump()
    kit.refuse(RequestKind.CANCEL, -2011, "Unknown order sent.")
    assert kit.status(order) is OrderStatus.UNKNOWN
    del kit.venue.orders[order.id]
    for _ in range(400):
        kit.advance(500)
        kit.serve_queries()

    assert kit.status(order) is OrderStatus.UNKNOWN
    assert K.PROVEN_ABSENT not in kinds(kit, order.id)
    kit.advance(10_000)
    assert kit.take_sends(RequestKind.QUERY), "nobody asks after it any more"


def test_an_order_seen_once_more_needs_the_whole_proof_again() -> None:
    kit = DeskKit()
    order_id = sent_and_silent(kit, placed=False)
    order = kit.desk.state.orders.get(order_id)
    assert order is not None
    for _ in range(60):
        kit.advance(500)
        kit.serve_queries()
    doubt = kit.desk.unknown._doubts[order_id]
    assert doubt.not_found
    kit.desk.unknown.found(order, kit.now_ns)

    assert (doubt.not_found, doubt.first_not_found_ns, doubt.last_not_found_ns, doubt.absent_in_read_ns) == (0, 0, 0, 0)


def test_the_all_clear_of_unresolved_orders_comes_with_the_last_of_them() -> None:
    kit = DeskKit()
    first, second = (kit.order(intent_id=f"i{n}", time_in_force=TimeInForce.GTC) for n in (1, 2))
    kit.take_sends(RequestKind.PLACE)
    for _ in range(70):
        kit.advance(1_000)
        kit.take_sends(RequestKind.QUERY)
    assert kit.alarms == [("UNRESOLVED_ORDER", False)] * 2
    row = kit._take(first.facts.terms, False)
    row["status"] = "CANCELED"
    kit.report(row, "CANCELED")
    assert ("UNRESOLVED_ORDER", True) not in kit.alarms

    row = kit._take(second.facts.terms, False)
    row["status"] = "CANCELED"
    kit.report(row, "CANCELED")
    assert kit.alarms.count(("UNRESOLVED_ORDER", True)) == 1
