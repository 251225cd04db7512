"""An intent becomes an approved order, fills, and everybody hears of it in order."""

from __future__ import annotations

from decimal import Decimal

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import ApprovalAnswer, Verdict
from tradebot.core.intents import IntentStatus
from tradebot.core.orders import OrderEventKind, OrderStatus
from tradebot.venues.api_orders import RequestKind

K = OrderEventKind


def test_an_allowed_intent_is_sent_and_its_fill_becomes_a_position_net_of_the_base_fee() -> None:
    kit = DeskKit()

    order = kit.order(qty="0.01")
    kit.place()
    kit.match(order, "0.01", "60000")

    assert order.state.status is OrderStatus.FILLED
    assert kit.desk.state.orders.positions.qty("s1", BTC) == Decimal("0.00999")
    assert kit.answers[-1].status is IntentStatus.ACCEPTED
    kinds = [e.kind for e in kit.up_events if e.client_order_id == order.id]
    assert kinds == [K.ASKED, K.SENT, K.ACCEPTED, K.FILL_COMPLETE]
    assert [e.sequence for e in kit.up_events] == list(range(1, len(kit.up_events) + 1))


def test_nothing_is_sent_before_the_ask_is_durable() -> None:
    kit = DeskKit(auto_durable=False)
    kit.submit()
    kit.allow()
    assert not kit.take_sends(RequestKind.PLACE)

    kit.desk.on_durable(len(kit.records), kit.now_ns)
    kit.pump()

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_nothing_is_sent_before_riskd_answers() -> None:
    kit = DeskKit()
    kit.submit()

    assert not kit.take_sends(RequestKind.PLACE)


def test_a_refusal_ends_the_order_with_check_and_reason() -> None:
    kit = DeskKit()
    kit.submit()
    ask = kit.asks.pop()

    kit.answer(ApprovalAnswer(ask.ask_id, Verdict.BLOCK, "d9", check_id="POS-01", reason="INSUFFICIENT_FUNDS"))

    answer = kit.answers[-1]
    assert (answer.status, answer.check_id, answer.reason) == (IntentStatus.REFUSED, "POS-01", "INSUFFICIENT_FUNDS")
    (order,) = kit.desk.state.orders.all_orders()
    assert order.state.status is OrderStatus.REJECTED
    assert not kit.take_sends(RequestKind.PLACE)


def test_no_answer_within_the_deadline_voids_the_ask_and_the_late_approval_is_never_used() -> None:
    kit = DeskKit()
    kit.submit()
    ask = kit.asks.pop()
    kit.advance(251)
    assert kit.abandons == [ask.ask_id]
    assert kit.answers[-1].reason == "RISK_TIMEOUT"

    kit.answer(kit.approver.answer(ask, kit.session_id, kit.now_ns))

    assert [n.reason for n in kit.never_used] == ["ABANDONED"]
    assert not kit.take_sends(RequestKind.PLACE)


def test_a_repeated_intent_is_answered_and_not_executed_again() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.submit()

    assert kit.answers[-1].status is IntentStatus.DUPLICATE
    assert kit.answers[-1].client_order_id == order.id
    assert not kit.asks


def test_a_repeated_intent_after_a_restart_is_not_executed_again() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.restart()
    kit.submit()

    assert kit.answers[-1].status is IntentStatus.DUPLICATE
    assert kit.answers[-1].client_order_id == order.id


def test_a_malformed_intent_is_refused_with_aut_01_before_riskd_is_asked() -> None:
    kit = DeskKit()
    kit.submit(limit_price="60000.001")

    assert (kit.answers[-1].check_id, kit.answers[-1].reason) == ("AUT-01", "INTENT_MALFORMED")
    assert not kit.asks


def test_a_fill_that_overtakes_the_answer_is_booked_once() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01")
    (request,) = kit.take_sends(RequestKind.PLACE)
    row = kit._take(order.facts.terms, False)
    kit.match(order, "0.004", "60000")
    kit.frame({"id": request["id"], "status": 200, "result": {**kit._row(row), "status": "NEW", "executedQty": "0"}})
    kit.match(order, "0.006", "60000")

    assert order.state.status is OrderStatus.FILLED
    assert order.state.filled_qty == Decimal("0.01")


def test_a_duplicate_fill_is_booked_once() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01")
    kit.place()
    trade = kit.match(order, "0.004", "60000")
    kit.tell_trade(kit.venue.orders[order.id], trade)

    assert order.state.filled_qty == Decimal("0.004")
    assert kit.desk.state.orders.fill_count == 1


def test_a_late_cancel_ack_does_not_reopen_a_filled_order() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01")
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.report({**kit.venue.orders[order.id], "status": "CANCELED"}, "CANCELED")

    assert order.state.status is OrderStatus.FILLED


def test_a_fill_after_the_cancel_is_booked_and_the_order_stays_canceled() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01")
    kit.place()
    kit.end(order, "CANCELED")
    kit.match(order, "0.004", "60000")

    assert order.state.status is OrderStatus.CANCELED
    assert order.state.filled_qty == Decimal("0.004")


def test_an_overfill_is_an_alarm_and_not_booked() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01")
    kit.place()
    kit.match(order, "0.02", "60000")

    assert order.state.filled_qty == 0
    assert ("FILL_ANOMALY", False) in kit.alarms


def test_a_market_intent_becomes_a_bounded_limit_ioc_order() -> None:
    kit = DeskKit()
    from dataclasses import replace

    from tests.support.builders import make_intent
    from tradebot.core.orders import OrderType, TimeInForce

    kit.submit(replace(make_intent(limit_price=None), order_type=OrderType.MARKET))
    terms = kit.asks[0].order.order  # type: ignore[union-attr]

    assert terms.order_type is OrderType.LIMIT
    assert terms.time_in_force is TimeInForce.IOC
    assert terms.price == Decimal("60120.00")


def test_riskd_sizes_an_entry_without_quantity() -> None:
    kit = DeskKit()
    order = kit.order(qty=None)
    (row,) = kit.place()

    assert row["origQty"] == "0.01"
    assert order.facts.terms.qty == Decimal("0.01")
