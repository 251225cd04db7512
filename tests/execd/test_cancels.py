"""A cancel that is wanted is repeated until its order is over, whatever was answered, lost or overtaken, and slowly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.execd.desk_kit import DeskKit
from tradebot.core.approvals import LevelEntry, LevelTable
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel
from tradebot.core.orders import OrderStatus, TimeInForce
from tradebot.venues.api_orders import RequestKind

GONE = (-2011, "Unknown order sent.", 400)
PROVES_NOTHING = [(-1003, "Too many requests", 429), (-1007, "Timeout", 504), (-9999, "never documented", 400)]


def cancel(kit: DeskKit, client_order_id: str) -> None:
    kit.desk.on_cancel(client_order_id, "", kit.now_ns)
    kit.pump()


def pass_time(kit: DeskKit, seconds: int) -> None:
    for _ in range(seconds):
        kit.advance(1_000)
        kit.serve_queries()
        kit.serve_cancels()


@pytest.mark.parametrize(("code", "text", "status"), PROVES_NOTHING)
def test_a_cancel_whose_answer_proves_nothing_is_sent_again(code: int, text: str, status: int) -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    cancel(kit, order.id)
    kit.refuse(RequestKind.CANCEL, code, text, status)
    pass_time(kit, 10)

    assert kit.status(order) is OrderStatus.CANCELED


def test_a_cancel_that_overtook_its_order_is_sent_again_when_the_stream_shows_the_order() -> None:
    """The refused cancel made the order UNKNOWN; its NEW event came before the query for it was due."""
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.levels(LevelTable(2, (LevelEntry(SYSTEM_SCOPE, TradingLevel.HALTED, 2),)))
    kit.refuse(RequestKind.CANCEL, *GONE)
    kit.place()

    assert kit.serve_cancels() == 1
    assert kit.status(order) is OrderStatus.CANCELED


@pytest.mark.parametrize(("code", "text", "status"), PROVES_NOTHING)
def test_a_cancel_that_fails_before_its_order_is_confirmed_is_sent_again(code: int, text: str, status: int) -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    cancel(kit, order.id)
    kit.refuse(RequestKind.CANCEL, code, text, status)
    kit.place()
    pass_time(kit, 10)

    assert kit.status(order) is OrderStatus.CANCELED


def test_an_order_found_by_a_full_read_is_canceled_again_and_only_once() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    cancel(kit, order.id)
    kit.refuse(RequestKind.CANCEL, *GONE)
    kit.desk.reconciler.want(kit.desk.state.venues["binance"], kit.now_ns)
    kit.pump()
    kit.serve_reads()
    kit.serve_queries()

    assert kit.serve_cancels() == 1
    assert kit.status(order) is OrderStatus.CANCELED


def test_a_fill_that_is_found_with_the_order_does_not_make_its_cancel_forgotten() -> None:
    """The answer to the query told of a fill whose event was lost: its trade is read first, the order works on."""
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    cancel(kit, order.id)
    kit.take_sends(RequestKind.CANCEL)  # lost
    kit.match(order, "0.004", "60000", stream=False)
    kit.advance(3_600)
    kit.serve_queries()
    kit.serve_reads()

    assert kit.serve_cancels() == 1
    assert (kit.status(order), order.state.filled_qty) == (OrderStatus.CANCELED, Decimal("0.004"))


def test_a_fill_on_the_stream_and_a_full_read_do_not_make_a_cancel_forgotten() -> None:
    """The fill makes the UNKNOWN order PARTIALLY_FILLED, so the read that ends the doubt recovers nothing."""
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    cancel(kit, order.id)
    kit.refuse(RequestKind.CANCEL, *GONE)
    kit.match(order, "0.004", "60000")
    kit.desk.reconciler.want(kit.desk.state.venues["binance"], kit.now_ns)
    kit.pump()
    kit.serve_reads()

    assert kit.serve_cancels() == 1
    assert kit.status(order) is OrderStatus.CANCELED


@pytest.mark.parametrize("when", ["the cancel overtook the order", "the cancel was refused"])
def test_a_cancel_that_was_sent_is_still_wanted_after_a_crash(when: str) -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    if when == "the cancel was refused":
        kit.place()
    cancel(kit, order.id)
    if when == "the cancel was refused":
        kit.refuse(RequestKind.CANCEL, *GONE)
    else:
        kit.place(answer=False, stream=False)
    kit.restart()
    pass_time(kit, 5)

    assert kit.status(order.id) is OrderStatus.CANCELED


def test_a_cancel_accepted_without_a_connection_is_done_after_a_crash() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.venue_lost("binance", kit.now_ns)
    answer = kit.desk.on_cancel(order.id, "", kit.now_ns)
    kit.pump()
    assert (answer.accepted, answer.reason) == (True, "VENUE_DISCONNECTED")
    written = len(kit.records)
    kit.desk.on_cancel(order.id, "", kit.now_ns)
    kit.pump()
    assert len(kit.records) == written  # said again, it is the same wish
    kit.restart()

    assert kit.serve_cancels() == 1
    assert kit.status(order.id) is OrderStatus.CANCELED


def test_a_cancel_accepted_while_its_order_is_asked_for_is_remembered_by_a_crash() -> None:
    """SENT was lost with the crash as well, and the venue has the order."""
    kit = DeskKit()
    kit.submit(time_in_force=TimeInForce.GTC)
    (order,) = kit.desk.state.orders.all_orders()
    cancel(kit, order.id)
    kit._take(order.facts.terms, False)
    kit.restart()
    pass_time(kit, 5)

    assert kit.status(order.id) is OrderStatus.CANCELED


@pytest.mark.parametrize(("code", "text", "status"), [GONE, *PROVES_NOTHING])
def test_a_venue_that_refuses_every_cancel_is_not_stormed(code: int, text: str, status: int) -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    cancel(kit, order.id)
    cancels = queries = 0
    for _ in range(3_000):
        cancels += sum(send.kind is RequestKind.CANCEL for send in kit.sends)
        kit.refuse(RequestKind.CANCEL, code, text, status)
        kit.advance(10)
        queries += kit.serve_queries()

    assert order.working
    assert 3 <= cancels <= 20  # in 30 s; it was one with every answer, until the venue bans us
    assert queries <= 20
