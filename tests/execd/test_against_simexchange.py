"""execd's shell trades at the offline exchange over its real protocol, with the exchange's faults switched on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.execd.live_kit import LiveKit, live_kit
from tests.support.builders import BTC
from tradebot.core.intents import IntentStatus
from tradebot.core.orders import OrderRole, OrderStatus, Side
from tradebot.venues.api_orders import VenueSnapshot


async def protected_entry(kit: LiveKit) -> None:
    """Buy and wait for the stop to rest."""
    kit.submit(kit.market_intent(qty="0.01"))
    await kit.until(lambda: bool(kit.resting_stops()), "stop rests")


async def assert_audit_is_clean(kit: LiveKit) -> None:
    """Every venue order has one approval, every fill is booked once, positions are the venue's."""
    report = await kit.audited()
    assert report.findings == []
    assert report.venue_orders == report.approved_orders > 0
    assert report.venue_fills == report.booked_fills


async def test_the_audit_tells_orders_that_are_not_what_was_allowed_and_what_others_traded(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await protected_entry(kit)
        honest = await kit.venue_snapshot()
        (stop,) = kit.resting_stops()

        async def findings(snapshot: VenueSnapshot) -> list[str]:
            return [finding.kind for finding in (await kit.audited(snapshot)).findings]

        def altered(**changes: Any) -> VenueSnapshot:
            orders = [replace(row, **changes) if row.client_order_id == stop.id else row for row in honest.orders]
            return replace(honest, orders=orders)

        assert await findings(honest) == []
        for changes in (
            {"qty": Decimal("0.00998")},
            {"price": Decimal(1)},
            {"stop_price": None},
            {"side": Side.BUY},
            {"instrument_id": "binance:ETH-USDT"},
        ):
            assert await findings(altered(**changes)) == ["UNAPPROVED_ORDER"], changes
        instrument_id, bought = honest.trades[0]
        theirs = bought._replace(venue_order_id="9999", execution=replace(bought.execution, exec_id="9999"))
        assert await findings(replace(honest, trades=[*honest.trades, (instrument_id, theirs)])) == ["FOREIGN_FILL"]
        kit.desk.reconciler.first_looks["binance"] = theirs.execution.event_time_ns + 1  # before we first looked
        assert await findings(replace(honest, trades=[*honest.trades, (instrument_id, theirs)])) == []


async def test_an_entry_fills_and_its_stop_rests_at_the_venue(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        intent_id = kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: bool(kit.resting_stops()), "stop rests")

        assert kit.answers[intent_id].status is IntentStatus.ACCEPTED
        (entry,) = kit.orders(OrderRole.ENTRY)
        (stop,) = kit.resting_stops()
        assert entry.state.status is OrderStatus.FILLED
        assert stop.facts.terms.qty == Decimal("0.00999")
        assert kit.desk.state.orders.positions.qty("s1", BTC) == Decimal("0.00999")
        assert await kit.working_at_venue() == [stop.id]
        await assert_audit_is_clean(kit)


async def test_a_stop_and_a_target_rest_as_one_list(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        kit.approver.take_profit = Decimal("0.01")
        await protected_entry(kit)

        assert len(await kit.working_at_venue()) == 2
        (stop,) = kit.resting_stops()
        assert stop.list_id
        await assert_audit_is_clean(kit)


async def test_a_target_that_is_reached_closes_the_position_and_its_stop_goes(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        kit.approver.take_profit = Decimal("0.005")
        await protected_entry(kit)
        await kit.shock(80)
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")
        await kit.until(lambda: kit.desk.state.orders.working_count == 0, "nothing works")

        assert await kit.working_at_venue() == []
        await assert_audit_is_clean(kit)


async def test_an_exit_takes_the_stop_down_and_closes_the_position(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await protected_entry(kit)
        exit_id = kit.submit(kit.market_intent(OrderRole.EXIT, side=Side.SELL, qty=None))
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")

        assert kit.answers[exit_id].status is IntentStatus.ACCEPTED
        await kit.until(lambda: kit.desk.state.orders.working_count == 0, "nothing works")
        await assert_audit_is_clean(kit)


async def test_a_stop_that_triggers_closes_the_position(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await protected_entry(kit)
        await kit.shock(-70)
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")

        assert kit.desk.state.orders.unknown_count == 0
        await assert_audit_is_clean(kit)


@pytest.mark.parametrize("kind", ["drop", "time_out", "delay", "disconnect"])
async def test_an_order_that_was_placed_but_not_answered_is_adopted_and_protected(tmp_path: Path, kind: str) -> None:
    async with live_kit(tmp_path) as kit:
        extra: dict[str, Any] = {"delay_ms": 600} if kind == "delay" else {}
        await kit.fault(kind=kind, action="place", count=1, **extra)
        await protected_entry(kit)
        await kit.until(lambda: kit.desk.state.orders.unknown_count == 0, "resolved")

        assert len(kit.orders(OrderRole.ENTRY)) == 1
        (entry,) = kit.orders(OrderRole.ENTRY)
        assert entry.state.status is OrderStatus.FILLED
        await assert_audit_is_clean(kit)


@pytest.mark.parametrize("kind", ["drop_request", "internal"])
async def test_an_order_that_never_arrived_is_proven_absent(tmp_path: Path, kind: str) -> None:
    async with live_kit(tmp_path) as kit:
        await kit.fault(kind=kind, action="place", count=1)
        kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: kit.desk.state.orders.unknown_count == 1, "unknown")
        await kit.until(lambda: kit.desk.state.orders.unknown_count == 0, "resolved")

        (entry,) = kit.orders(OrderRole.ENTRY)
        assert (entry.state.status, entry.reason) == (OrderStatus.REJECTED, "NEVER_PLACED")
        assert await kit.working_at_venue() == []


async def test_lost_and_doubled_account_events_change_nothing_in_the_end(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await kit.fault(kind="duplicate", action="any", count=3)
        await kit.fault(kind="drop_event", action="any", count=2, skip=1)
        await protected_entry(kit)
        await kit.shock(-70)
        await kit.until(lambda: not kit.resting_stops(), "stop triggered")
        kit.desk.reconciler.want(kit.desk.state.venues["binance"], kit.clock.now_ns())
        kit.live.flush()
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")

        await assert_audit_is_clean(kit)


async def test_a_rate_limit_answer_is_a_rejection_and_entries_wait(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await kit.fault(kind="rate_limited", action="place", count=1, retry_after_s=1)
        kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: any(not o.working for o in kit.orders(OrderRole.ENTRY)), "rejected")
        second = kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: second in kit.answers, "answered")

        assert kit.orders(OrderRole.ENTRY)[0].reason == "RATE_LIMITED"
        assert kit.answers[second].reason == "RATE_LIMITED"


async def test_a_disconnect_while_a_position_is_protected_costs_nothing(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await protected_entry(kit)
        before = kit.desk.state.venues["binance"].reconciled_ns
        await kit.fault(kind="disconnect_trade")
        await kit.until(lambda: kit.desk.state.venues["binance"].reconciled_ns > before, "reconciled again")

        assert len(kit.resting_stops()) == 1
        assert kit.orders(OrderRole.PROTECTION) == kit.resting_stops()
        await assert_audit_is_clean(kit)


async def test_execd_comes_back_from_its_journal_to_the_same_position_and_stop(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await protected_entry(kit)
        (stop,) = kit.resting_stops()
        await kit.stop()
        await kit.start()

        assert [o.id for o in kit.resting_stops()] == [stop.id]
        assert kit.desk.state.orders.positions.qty("s1", BTC) == Decimal("0.00999")
        await kit.shock(-70)
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")
        await assert_audit_is_clean(kit)


async def test_fills_while_execd_was_down_are_found_when_it_comes_back(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await protected_entry(kit)
        await kit.stop()
        await kit.shock(-70)
        import asyncio

        await asyncio.sleep(0.5)
        await kit.start()
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")

        await assert_audit_is_clean(kit)
