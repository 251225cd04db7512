"""execd's shell trades at the offline exchange over its real protocol."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.execd.live_kit import live_kit
from tests.support.builders import BTC
from tradebot.core.intents import IntentStatus
from tradebot.core.orders import OrderRole, OrderStatus


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


async def test_an_exit_takes_the_stop_down_and_closes_the_position(tmp_path: Path) -> None:
    from tradebot.core.orders import Side

    async with live_kit(tmp_path) as kit:
        kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: bool(kit.resting_stops()), "stop rests")
        exit_id = kit.submit(kit.market_intent(OrderRole.EXIT, side=Side.SELL, qty=None))
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")

        assert kit.answers[exit_id].status is IntentStatus.ACCEPTED
        assert not kit.resting_stops()
        await kit.until(lambda: kit.desk.state.orders.working_count == 0, "nothing works")


async def test_a_stop_that_triggers_closes_the_position(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: bool(kit.resting_stops()), "stop rests")
        await kit.shock(-70)
        await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")

        assert kit.desk.state.orders.unknown_count == 0
