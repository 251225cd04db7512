"""What the venue holds against what we hold: lost events are found, strangers and differences are told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import ApprovalAnswer, Verdict
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus, Side, TimeInForce
from tradebot.venues.api_orders import RequestKind


def stranger(kit: DeskKit) -> dict[str, object]:
    """An order that a person placed in the venue's app."""
    row = {
        "orderId": 9_000,
        "clientOrderId": "web_abc",
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "origQty": "1",
        "price": "100",
        "stopPrice": "0",
        "executedQty": "0",
        "status": "NEW",
        "orderListId": -1,
    }
    kit.venue.orders["web_abc"] = row
    return row


def test_a_lost_fill_event_is_found_within_a_minute() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "60000", stream=False)
    kit.advance(61_000)

    assert order.state.filled_qty == Decimal("0.004")
    assert len(kit.take_sends(RequestKind.PLACE)) == 1  # and protected


def test_an_order_canceled_at_the_venue_behind_our_back_is_found() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.end(order, "CANCELED", stream=False)
    kit.advance(61_000)

    assert order.state.status is OrderStatus.CANCELED


def test_an_order_sent_while_a_read_runs_is_not_missed_by_it() -> None:
    kit = DeskKit()
    kit.desk.reconciler.want(kit.desk.state.venues["binance"], kit.now_ns)
    kit.pump()
    snapshot = kit.snapshot()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.on_read(kit.reads.pop(), snapshot, kit.now_ns)
    kit.pump()

    assert order.state.status is OrderStatus.NEW
    assert not kit.take_sends(RequestKind.QUERY)


def test_a_stranger_is_reported_once() -> None:
    kit = DeskKit()
    kit.report(stranger(kit), "NEW")
    kit.advance(130_000)

    assert kit.alarms.count(("FOREIGN_ACTIVITY", False)) == 1


def test_an_order_with_our_keyed_id_that_the_journal_does_not_know_is_unapproved() -> None:
    kit = DeskKit()
    row = stranger(kit)
    del kit.venue.orders["web_abc"]
    row["clientOrderId"] = kit.desk.state.new_client_order_id("s1")
    kit.report(row, "NEW")

    assert ("UNAPPROVED_ORDER", False) in kit.alarms


def test_a_balance_that_positions_do_not_explain_is_told_after_two_equal_reads_and_cleared_when_it_goes() -> None:
    kit = DeskKit()
    kit.venue.base += Decimal("0.5")
    kit.advance(60_500)
    assert ("POSITION_MISMATCH", False) not in kit.alarms

    kit.advance(3_000)
    assert kit.alarms.count(("POSITION_MISMATCH", False)) == 1

    kit.venue.base -= Decimal("0.5")
    kit.advance(61_000)
    assert ("POSITION_MISMATCH", True) in kit.alarms


def test_a_deposit_moves_the_baseline_and_is_no_mismatch() -> None:
    kit = DeskKit()
    kit.venue.base += Decimal("0.5")
    body = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "0.5", "T": 1}
    kit.frame({"subscriptionId": 0, "event": body})
    kit.advance(130_000)

    assert ("POSITION_MISMATCH", False) not in kit.alarms


def test_coins_that_were_there_before_us_are_not_ours() -> None:
    kit = DeskKit(connect=False)
    kit.venue.base = Decimal(2)
    kit.connect()
    kit.advance(130_000)

    assert kit.desk.state.orders.positions.of_base("BTC") == 0
    assert ("POSITION_MISMATCH", False) not in kit.alarms


def test_a_failed_read_is_repeated_and_the_venue_stays_unreconciled() -> None:
    kit = DeskKit(connect=False)
    kit.connect_risk()
    kit.desk.venue_connected("binance", kit.now_ns)
    kit.pump()
    kit.reply_to(RequestKind.TIME, {"serverTime": kit.now_ns // 1_000_000})
    kit.reply_to(RequestKind.LOGIN, {"subscriptionId": 0})
    kit.desk.on_read(kit.reads.pop(), None, kit.now_ns)
    kit.pump()
    venue = kit.desk.state.venues["binance"]
    assert venue.reconciling

    kit.advance(1_100)

    assert not venue.reconciling


def test_the_user_stream_is_open_before_anything_is_read() -> None:
    kit = DeskKit(connect=False)
    kit.desk.venue_connected("binance", kit.now_ns)
    kit.pump()
    kit.reply_to(RequestKind.TIME, {"serverTime": kit.now_ns // 1_000_000})
    assert not kit.reads

    kit.reply_to(RequestKind.LOGIN, {"subscriptionId": 0})

    assert len(kit.reads) == 1


def test_requests_carry_the_venues_time() -> None:
    kit = DeskKit(connect=False)
    kit.connect_risk()
    kit.desk.venue_connected("binance", kit.now_ns)
    kit.pump()
    kit.reply_to(RequestKind.TIME, {"serverTime": kit.now_ns // 1_000_000 + 7_000})
    (login,) = kit.take_sends(RequestKind.LOGIN)

    assert login["params"]["timestamp"] == kit.now_ns // 1_000_000 + 7_000


def test_the_account_goes_up_complete_at_the_start_and_in_parts_afterwards() -> None:
    kit = DeskKit()
    kit.desk.reconciler.resend_account(kit.desk.state.venues["binance"], kit.now_ns)
    up = kit.desk.take_up()
    assert up is not None
    assert up.accounts[0].complete

    event = kit.codec.decode(
        b'{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1,"u":1,"B":[{"a":"BTC","f":"1","l":"0"}]}}'
    )
    assert event is not None
    kit.desk.on_venue_event("binance", event, kit.now_ns)
    up = kit.desk.take_up()
    assert up is not None
    assert [(a.complete, a.balances[0].asset) for a in up.accounts] == [(False, "BTC")]


def test_a_session_that_the_venue_ends_is_dialled_again() -> None:
    kit = DeskKit()
    event = kit.codec.decode(b'{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1}}')
    assert event is not None
    kit.desk.on_venue_event("binance", event, kit.now_ns)

    assert kit.desk.take().reconnects == [("binance", "eventStreamTerminated")]


def test_the_position_view_is_per_strategy_and_instrument() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.match(order, "0.01", "60000")

    (view,) = kit.desk.position_views()
    assert (view.strategy_id, view.instrument_id, view.qty) == ("s1", BTC, Decimal("0.00999"))


def reread(kit: DeskKit) -> None:
    """One reconciliation, and the venue's answers to what it asks."""
    kit.advance(61_000)
    kit.serve_reads()
    kit.serve_queries()


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED"])
def test_an_order_that_we_hold_terminal_and_the_venue_still_works_comes_back_and_is_canceled(status: str) -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.end(order, status)
    assert kit.status(order) is OrderStatus[status]
    kit.venue.orders[order.id]["status"] = "NEW"  # the venue took its own word back
    reread(kit)

    assert kit.alarms.count(("LATE_APPEARANCE", False)) == 1
    assert [event.kind for event in kit.up_events if event.client_order_id == order.id][-2:] == [
        OrderEventKind.RECOVERED,
        OrderEventKind.CANCEL_SENT,
    ]
    assert kit.serve_cancels() == 1
    assert kit.status(order) is OrderStatus.CANCELED


def test_an_order_of_which_we_booked_everything_is_canceled_when_the_venue_still_works_it() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.venue.orders[order.id].update(status="PARTIALLY_FILLED", origQty="0.02")
    reread(kit)

    assert ("LATE_APPEARANCE", False) in kit.alarms
    assert kit.serve_cancels() == 1
    assert kit.venue.orders[order.id]["status"] == "CANCELED"
    assert (kit.status(order), order.state.filled_qty) == (OrderStatus.FILLED, Decimal("0.01"))


def test_a_list_of_open_orders_alone_brings_no_order_back() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.reconciler.want(kit.desk.state.venues["binance"], kit.now_ns)
    kit.pump()
    stale = kit.snapshot()
    kit.end(order, "CANCELED")
    kit.now_ns += 5_000_000_000
    kit.desk.on_read(kit.reads.pop(), stale, kit.now_ns)  # older than the end: worth no question
    kit.pump()
    assert not kit.take_sends(RequestKind.QUERY)

    kit.venue.orders[order.id]["status"] = "NEW"
    kit.advance(61_000)  # now the list is younger, but the venue, asked for the order alone, says that it is over
    kit.serve_reads()
    kit.venue.orders[order.id]["status"] = "CANCELED"

    assert kit.serve_queries() == 1
    assert kit.status(order) is OrderStatus.CANCELED
    assert ("LATE_APPEARANCE", False) not in kit.alarms


def test_an_answer_that_was_asked_for_before_the_end_brings_no_order_back() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.state.query(order, kit.now_ns)
    kit.pump()
    row = dict(kit.venue.orders[order.id])
    kit.end(order, "CANCELED")
    kit.venue.orders[order.id] = row
    kit.serve_queries()

    assert kit.status(order) is OrderStatus.CANCELED


def test_an_order_that_was_never_sent_and_works_at_the_venue_is_unapproved() -> None:
    kit = DeskKit()
    kit.submit(time_in_force=TimeInForce.GTC)
    kit.answer(ApprovalAnswer(kit.asks.pop().ask_id, Verdict.BLOCK, "d1", check_id="STA-01", reason="LEVEL_FORBIDS"))
    (order,) = kit.desk.state.orders.all_orders()
    kit._take(replace(order.facts.terms, qty=Decimal("0.01")), False)
    reread(kit)

    assert kit.alarms == [("UNAPPROVED_ORDER", False)]
    assert kit.serve_cancels() == 1


def test_a_returned_order_is_still_canceled_after_a_crash() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.end(order, "CANCELED")
    kit.venue.orders[order.id]["status"] = "NEW"
    reread(kit)
    assert kit.records[-1]
    kit.restart(lose_last=1)  # CANCEL_SENT

    assert kit.serve_cancels() == 1
    assert kit.status(order.id) is OrderStatus.CANCELED


def test_a_stop_that_turns_out_to_rest_beside_its_successor_is_canceled_and_the_successor_stays() -> None:
    kit = DeskKit()
    entry = kit.order()
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.place()
    (first,) = kit.working_stops()
    kit.end(first, "CANCELED")
    kit.advance(1_100)
    kit.place()
    (second,) = kit.working_stops()
    kit.venue.orders[first.id]["status"] = "NEW"
    reread(kit)

    assert kit.serve_cancels() == 1
    assert (kit.status(first), kit.status(second)) == (OrderStatus.CANCELED, OrderStatus.NEW)


def test_a_stop_that_turns_out_to_rest_after_its_position_was_closed_is_canceled() -> None:
    kit = DeskKit()
    entry = kit.order()
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.place()
    (stop,) = kit.working_stops()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="59990", stop_loss_fraction=None
    )
    kit.allow()
    kit.serve_cancels()
    kit.allow()
    kit.place()
    (closing,) = kit.by_role(OrderRole.EXIT)
    kit.match(closing, "0.00999", "60000")
    assert not kit.desk.protection.book.entries
    kit.venue.orders[stop.id]["status"] = "NEW"
    reread(kit)

    assert kit.serve_cancels() == 1
