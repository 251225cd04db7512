"""Killed anywhere, execd comes back from its journal: nothing lost, nothing sent twice, positions as at the venue."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from execd.latch import LatchBoard
from execd.records import RecordType
from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import StopLatch
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import OrderRole, OrderStatus, Side, TimeInForce
from tradebot.core.protection import protectable_qty
from tradebot.venues.api_orders import RequestKind


def picture(kit: DeskKit) -> dict[str, Any]:
    """Everything about the desk that a restart must not change."""
    desk = kit.desk
    return {
        "orders": {o.id: (o.snapshot(), sorted(o.state.exec_ids)) for o in desk.state.orders.all_orders()},
        "positions": {key: (p.qty, p.avg_price) for key, p in desk.state.orders.positions.items()},
        "head": desk.state.orders.log.head,
        "open": {g.entry.id: g.open_qty for g in desk.protection.book.entries.values() if g.open_qty},
        "uses": {k: (u.orders, u.stop_price) for k, u in desk.state.gateway.uses.items()},
        "sent": sorted(desk.state.gateway._sent_ids),
        "baselines": desk.reconciler.baselines,
        "watermarks": desk.reconciler.watermarks,
        "counts": (desk.state.orders.sent_count, desk.state.orders.fill_count),
    }


def busy_day(kit: DeskKit) -> Iterator[str]:
    """Entries, partial fills, a resize, an exit, a refusal, a rejection; yields after each step."""
    order = kit.order(intent_id="a", qty="0.01", time_in_force=TimeInForce.GTC)
    yield "sent"
    kit.place(answer=False, stream=False)
    yield "placed, nobody knows"
    kit.report(kit.venue.orders[order.id], "NEW")
    yield "acknowledged"
    kit.match(order, "0.004", "60000", stream=False)
    yield "filled, nobody knows"
    kit.tell_trade(kit.venue.orders[order.id], kit.venue.trades[-1])
    kit.advance(150)
    yield "stop sent"
    kit.place()
    yield "stop rests"
    kit.match(order, "0.006", "60000")
    yield "stop being canceled"
    kit.serve_cancels()
    yield "new stop sent"
    kit.place()
    kit.submit(intent_id="bad", limit_price="1.001")
    kit.order(intent_id="b")
    yield "second entry sent"
    kit.refuse(RequestKind.PLACE, -2010, "Account has insufficient balance for requested action.")
    yield "second entry rejected"
    kit.submit(intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty="0.004", limit_price="59990")
    kit.allow()
    yield "exit allowed, stop being canceled"
    kit.serve_cancels()
    yield "exit being asked"
    kit.allow()
    yield "exit sent"
    (row,) = kit.place(answer=False, stream=False)
    kit.match(row["clientOrderId"], "0.004", "59995", stream=False)
    yield "exit filled, nobody knows"
    kit.tell_trade(row, kit.venue.trades[-1])
    kit.place()
    yield "stop of the rest"


STEPS = 15
MOST_LOST = 4


@pytest.mark.parametrize("steps", range(1, STEPS + 1))
def test_the_journal_folds_to_the_live_state(steps: int) -> None:
    kit = DeskKit()
    for _ in islice(busy_day(kit), steps):
        pass
    before = picture(kit)
    kit.desk = kit.restored()

    assert picture(kit) == before


def test_counts_of_a_kept_state_go_on_after_a_restart() -> None:
    kit = DeskKit()
    for _ in busy_day(kit):
        pass
    before = (kit.desk.intents.window.count, kit.desk.state.orders.sent_count, kit.desk.state.orders.fill_count)
    kit.restart()
    kit.order(intent_id="another", qty="0.01")

    assert before[0] == 4  # entry, a malformed one, a second entry, an exit
    assert before[1] > 4
    assert kit.desk.intents.window.count == before[0] + 1
    assert kit.desk.state.orders.sent_count == before[1] + 1
    assert kit.desk.state.orders.fill_count == before[2] > 0


@pytest.mark.parametrize("lost", range(MOST_LOST))
@pytest.mark.parametrize("steps", range(1, STEPS + 1))
def test_killed_at_any_step_it_recovers_to_the_venues_truth(steps: int, lost: int) -> None:
    kit = DeskKit()
    for _ in islice(busy_day(kit), steps):
        pass
    # What was not durable is lost, but never an ASK or a derivation: the send waits for those.
    gates = [index for index, (kind, _) in enumerate(kit.records) if kind in (RecordType.ASK, RecordType.DERIVATION)]
    kit.restart(lose_last=min(lost, len(kit.records) - 1 - gates[-1]))
    for _ in range(160):
        kit.advance(500)
        kit.serve_queries()
        kit.serve_cancels()
        kit.place()

    position = kit.desk.state.orders.positions.of_base("BTC") + kit.desk.reconciler.baselines["binance", "BTC"]
    assert position == kit.venue.base
    assert kit.desk.state.orders.unknown_count == 0
    assert ("UNAPPROVED_ORDER", False) not in kit.alarms
    locked = sum((o.state.leaves_qty for o in kit.working_stops()), Decimal(0))
    guarded = [g for g in kit.desk.protection.book.entries.values() if g.grant is not None]
    assert not guarded or locked == sum((protectable(kit, g.open_qty) for g in guarded), Decimal(0))


def protectable(kit: DeskKit, qty: Decimal) -> Decimal:
    """Return what a stop can carry."""
    return protectable_qty(qty, Decimal(50_000), Side.SELL, Decimal("0.005"), kit.instruments[BTC])


def test_an_ask_without_outcome_is_unknown_after_a_restart_and_adopted_when_the_venue_has_it() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place(answer=False, stream=False)
    kit.records = [(kind, payload) for kind, payload in kit.records if not _is_after_ask(kit, kind, payload, order.id)]
    kit.restart()

    again = kit.desk.state.orders.get(order.id)
    assert again is not None
    assert kit.status(again) is OrderStatus.NEW
    assert again.facts.decision_id == ""


def _is_after_ask(kit: DeskKit, kind: int, payload: bytes, client_order_id: str) -> bool:
    """True for records that come after ASK in this order's life: what a crash right after the send loses."""
    return kind != 2 and client_order_id.encode() in payload


def test_an_unsized_ask_that_reached_the_venue_takes_its_quantity_from_there_and_alarms() -> None:
    kit = DeskKit()
    order = kit.order(qty=None, time_in_force=TimeInForce.GTC)
    kit.place(answer=False, stream=False)
    kit.records = [(kind, payload) for kind, payload in kit.records if not _is_after_ask(kit, kind, payload, order.id)]
    kit.restart()

    again = kit.desk.state.orders.get(order.id)
    assert again is not None
    assert again.state.terms.qty == Decimal("0.01")
    assert ("RECOVERED_ORDER", False) in kit.alarms


def test_an_ask_that_never_reached_the_venue_is_unknown_and_reserved_until_proven_absent() -> None:
    kit = DeskKit()
    kit.submit()
    kit.asks.clear()
    kit.restart()
    (order,) = kit.desk.state.orders.all_orders()
    assert kit.status(order) is OrderStatus.UNKNOWN
    for _ in range(150):
        kit.advance(500)
        kit.serve_queries()

    assert kit.status(order) is OrderStatus.REJECTED
    assert order.reason == "NEVER_PLACED"


def test_fills_that_happened_while_we_were_down_are_booked_once_and_protected() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.01", "60000", stream=False)
    kit.restart()

    again = kit.desk.state.orders.get(order.id)
    assert again is not None
    assert kit.status(again) is OrderStatus.FILLED
    assert kit.desk.state.orders.positions.qty("s1", BTC) == Decimal("0.00999")
    (stop,) = kit.place()
    assert stop["origQty"] == "0.00999"


def test_a_stop_that_rests_is_not_doubled_by_a_restart() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.place()
    kit.restart()
    kit.advance(30_000)

    assert not kit.take_sends(RequestKind.PLACE)
    assert len(kit.working_stops()) == 1


def test_a_stop_that_vanished_while_we_were_down_is_placed_again() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.match(order, "0.01", "60000")
    (stop,) = kit.place()
    kit.end(stop["clientOrderId"], "CANCELED", stream=False)
    kit.restart()

    (again,) = kit.place()
    assert again["origQty"] == "0.00999"


def test_client_order_ids_of_two_starts_never_meet() -> None:
    kit = DeskKit()
    first = kit.order(intent_id="a")
    kit.place()
    kit.restart()
    second = kit.order(intent_id="b")

    assert first.id != second.id
    assert len(second.id) == 32


def test_order_event_sequences_go_on_over_a_restart() -> None:
    kit = DeskKit()
    kit.order()
    kit.place()
    head = kit.desk.state.orders.log.head
    kit.restart()
    kit.order(intent_id="b")

    assert kit.desk.state.orders.log.head > head
    assert kit.desk.state.log_incarnation == "log-1"
    events = kit.desk.state.orders.log.after(0)
    assert events is not None
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("at_venue", [True, False], ids=["the order rests", "its answer was lost"])
def test_a_stop_that_a_crash_interrupted_still_cancels_entries_without_riskd(at_venue: bool) -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place(answer=at_venue, stream=at_venue)
    kit.desk.venue_lost("binance", kit.now_ns)
    kit.desk.on_latch(StopLatch("l1", TradingLevel.KILLED, "anna", "stop", kit.now_ns), kit.now_ns)
    kit.pump()
    kit.latches = LatchBoard()
    kit.desk = kit._new_desk()  # riskd stays away
    kit.connect_venue()
    kit.advance(1_000)
    kit.serve_queries()

    assert kit.latch_level() is TradingLevel.KILLED
    assert kit.serve_cancels() >= 1
    assert kit.status(order.id) is OrderStatus.CANCELED


def test_an_order_that_a_crash_recovered_can_be_canceled_after_the_next_crash() -> None:
    """Its SENT was lost with the first crash: RECOVERED says as well that it is at the venue."""
    kit = DeskKit()
    kit.submit(time_in_force=TimeInForce.GTC)
    asked = len(kit.records)
    kit.allow()
    kit.place(answer=False, stream=False)
    kit.restart(lose_last=len(kit.records) - asked)
    (order,) = kit.desk.state.orders.all_orders()
    assert kit.status(order) is OrderStatus.NEW
    kit.restart()
    kit.desk.on_cancel(order.id, "", kit.now_ns)
    kit.pump()

    assert kit.serve_cancels() == 1
    assert kit.status(order.id) is OrderStatus.CANCELED


def test_fills_of_an_order_whose_size_was_lost_are_booked_without_an_anomaly() -> None:
    kit = DeskKit()
    kit.submit(qty=None, time_in_force=TimeInForce.GTC)
    asked = len(kit.records)
    kit.allow()
    (order,) = kit.desk.state.orders.all_orders()
    kit.place(answer=False, stream=False)
    kit.match(order, "0.004", "60000", stream=False)
    kit.restart(lose_last=len(kit.records) - asked)

    (order,) = [o for o in kit.desk.state.orders.all_orders() if o.id == order.id]
    assert (order.state.terms.qty, order.state.filled_qty) == (Decimal("0.01"), Decimal("0.004"))
    assert [cause for cause, cleared in kit.alarms if not cleared] == ["RECOVERED_ORDER"]
