"""riskd silent, riskd stopped, levels raised, stops latched: entries go, protection stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import LeaseAnswer, LevelEntry, LevelTable, SessionDown, StopLatch, Welcome
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, OrderStatus, TimeInForce
from tradebot.venues.api_orders import RequestKind


def resting_entry(kit: DeskKit, **changes: Any) -> str:
    """Leave a limit order at the venue."""
    order = kit.order(limit_price="50000", time_in_force=TimeInForce.GTC, **changes)
    kit.place()
    return order.id


def with_position(kit: DeskKit) -> None:
    """Hold a position with its stop at the venue."""
    order = kit.order(intent_id="held")
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.place()


def test_pings_go_up_every_quarter_second() -> None:
    kit = DeskKit()
    before = kit.desk.state.link._ping_sequence
    kit.advance(1_000)

    assert kit.desk.state.link._ping_sequence - before == 4


def test_a_silent_riskd_costs_the_lease_in_one_second_and_the_entries_in_three() -> None:
    kit = DeskKit()
    with_position(kit)
    entry = resting_entry(kit, intent_id="entry")
    kit.advance(250)
    kit.answer_pings = False
    silent_from = kit.desk.state.link.lease_sent_ns
    kit.advance((silent_from + 1_001_000_000 - kit.now_ns) / 1e6)
    assert not kit.desk.state.link.lease_valid(kit.now_ns)
    assert not kit.take_sends(RequestKind.CANCEL)

    kit.advance((silent_from + 3_001_000_000 - kit.now_ns) / 1e6)

    (frame,) = kit.take_sends(RequestKind.CANCEL)
    assert frame["params"]["origClientOrderId"] == entry


def test_a_lost_session_is_reduce_only_at_once() -> None:
    kit = DeskKit()
    kit.desk.session_lost(kit.now_ns)
    kit.pump()
    kit.submit()

    assert kit.answers[-1].reason == "RISK_SESSION_DOWN"
    assert kit.desk.state.link.level_for("binance", BTC, "s1") is TradingLevel.REDUCE_ONLY


def test_open_asks_end_with_the_session() -> None:
    kit = DeskKit()
    kit.submit()
    kit.desk.session_lost(kit.now_ns)
    kit.pump()

    assert kit.answers[-1].reason == "RISK_SESSION_LOST"
    (order,) = kit.desk.state.orders.all_orders()
    assert order.state.status is OrderStatus.REJECTED


def test_a_frozen_riskd_that_wakes_up_cannot_extend_the_past() -> None:
    kit = DeskKit()
    kit.advance(250)
    kit.answer_pings = False
    kit.advance(30_000)
    oldest = min(kit.desk.state.link._pings)
    kit.desk.on_session(SessionDown(lease=LeaseAnswer(oldest, 1_000, 1)), kit.now_ns)

    assert not kit.desk.state.link.lease_valid(kit.now_ns)


def test_a_returning_riskd_hears_every_event_it_missed() -> None:
    kit = DeskKit()
    seen = kit.desk.state.orders.log.head
    order = kit.order()
    kit.desk.session_lost(kit.now_ns)
    kit.pump()
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.up_events.clear()
    kit.connect_risk(resume_after=seen)

    assert [e.sequence for e in kit.up_events] == list(range(seen + 1, kit.desk.state.orders.log.head + 1))


def test_the_environment_of_riskd_has_to_be_ours() -> None:
    from tradebot.core.approvals import SessionDown, Welcome

    kit = DeskKit(connect=False)
    kit.desk.session_connected("s", kit.now_ns)
    kit.pump()
    kit.desk.on_session(SessionDown(Welcome(0, 1, "real")), kit.now_ns)
    kit.pump()

    assert not kit.desk.asks.ready


@pytest.mark.parametrize(
    "level", [TradingLevel.REDUCE_ONLY, TradingLevel.PAUSED, TradingLevel.HALTED, TradingLevel.KILLED]
)
def test_from_reduce_only_on_entries_are_canceled_and_protection_stays(level: TradingLevel) -> None:
    kit = DeskKit()
    with_position(kit)
    entry = resting_entry(kit, intent_id="entry")
    kit.levels(LevelTable(7, (LevelEntry(SYSTEM_SCOPE, level, 7),)))

    canceled = [frame["params"]["origClientOrderId"] for frame in kit.take_sends(RequestKind.CANCEL)]
    assert canceled == [entry]
    assert len(kit.working_stops()) == 1


def test_cautious_leaves_entries_alone() -> None:
    kit = DeskKit()
    resting_entry(kit)
    kit.levels(LevelTable(7, (LevelEntry(SYSTEM_SCOPE, TradingLevel.CAUTIOUS, 7),)))

    assert not kit.take_sends(RequestKind.CANCEL)


def test_a_level_of_another_instrument_leaves_entries_alone() -> None:
    kit = DeskKit()
    resting_entry(kit)
    scope = Scope(ScopeKind.INSTRUMENT, "binance:ETH-USDT")
    kit.levels(LevelTable(7, (LevelEntry(scope, TradingLevel.HALTED, 7),)))

    assert not kit.take_sends(RequestKind.CANCEL)


def test_a_latched_stop_cancels_entries_tells_riskd_and_keeps_protection() -> None:
    kit = DeskKit()
    with_position(kit)
    entry = resting_entry(kit, intent_id="entry")
    latch = StopLatch("stop-1", TradingLevel.HALTED, "op", "why", kit.now_ns)
    kit.latches.set(latch)
    kit.desk.on_latch(latch, kit.now_ns)
    kit.pump()
    kit.submit(intent_id="after")

    assert [f["params"]["origClientOrderId"] for f in kit.take_sends(RequestKind.CANCEL)] == [entry]
    assert kit.answers[-1].reason == "LATCHED"
    assert len(kit.working_stops()) == 1


def test_a_latch_survives_a_restart_and_ends_only_when_riskd_says_so() -> None:
    kit = DeskKit()
    latch = StopLatch("stop-1", TradingLevel.HALTED, "op", "why", kit.now_ns)
    kit.desk.on_latch(latch, kit.now_ns)
    kit.pump()
    kit.restart()
    assert kit.latch_level() is TradingLevel.HALTED
    assert kit.latches.latches[0].operator == "op"

    kit.levels(LevelTable(3, (), ("stop-1",)))
    assert kit.latch_level() is TradingLevel.RUNNING

    kit.restart()
    assert kit.latch_level() is TradingLevel.RUNNING


def test_a_kill_latch_lets_nothing_but_cancels_through() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    latch = StopLatch("stop-1", TradingLevel.KILLED, "op", "", kit.now_ns)
    kit.latches.set(latch)
    kit.desk.on_latch(latch, kit.now_ns)
    kit.pump()
    kit.match(order, "0.004", "60000")
    kit.advance(5_000)

    assert kit.serve_cancels() == 1
    assert not kit.take_sends(RequestKind.PLACE)


def test_stopping_cancels_entries_and_keeps_stops() -> None:
    kit = DeskKit()
    with_position(kit)
    entry = resting_entry(kit, intent_id="entry")
    kit.desk.shut_down(kit.now_ns)
    kit.pump()
    kit.submit(intent_id="late")

    assert [f["params"]["origClientOrderId"] for f in kit.take_sends(RequestKind.CANCEL)] == [entry]
    assert kit.answers[-1].reason == "STOPPING"
    assert [o.facts.role for o in kit.working_stops()] == [OrderRole.PROTECTION]


def test_an_order_canceled_while_riskd_decides_is_never_sent() -> None:
    kit = DeskKit()
    kit.submit(time_in_force=TimeInForce.GTC)
    client_order_id = kit.asks[0].order.order.client_order_id  # type: ignore[union-attr]
    kit.desk.on_cancel(client_order_id, "changed my mind", kit.now_ns)
    kit.pump()
    kit.allow()

    assert kit.answers[-1].reason == "CANCELED_BEFORE_SEND"
    assert not kit.take_sends(RequestKind.PLACE)


def test_riskd_hears_the_build_of_the_engine_at_once_and_again_in_each_session() -> None:
    kit = DeskKit()
    kit.desk.engine_connected("build-7")
    up = kit.desk.take_up()
    assert up is not None
    assert up.engine_build == "build-7"

    kit.desk.session_lost(kit.now_ns)
    kit.desk.session_connected("again", kit.now_ns)
    kit.desk.take_up()
    kit.desk.on_session(SessionDown(Welcome(0, 1, "demo")), kit.now_ns)
    up = kit.desk.take_up()

    assert up is not None
    assert up.engine_build == "build-7"
