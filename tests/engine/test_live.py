"""The live shell: links come up in any order, survive restarts of the others, and lose nothing in silence."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from prometheus_client import generate_latest

from engine.metrics_shell import EngineMetrics
from engine.switch_shell import SwitchedOff, SwitchFile
from tests.engine.builders import ETH, MS, S, fill_event, live_market, trade
from tests.engine.live_kit import MarketServer, engine_stub, live_engine
from tests.support.builders import BTC, make_instrument
from tradebot.core.market import MarketRow
from tradebot.rpc.engine.v1 import engine_service_pb2 as pb
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.runtime.identity import Role
from tradebot.runtime.metrics import Metrics
from tradebot.runtime.state_dir import StateError
from tradebot.wire.intents import intent_from_wire
from tradebot.wire.orders import event_to_wire


def now_ns() -> int:
    return time.time_ns()


def tick(price: int = 10_000, index: int = 0) -> list[MarketRow]:
    return [*live_market(now_ns(), index=index), trade(price, now_ns(), index)]


async def test_a_trade_becomes_an_intent_at_execd(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        kit.market.push(tick(), sent_time_ns=123)
        await kit.until(lambda: kit.execution.intents)

        intent = intent_from_wire(kit.execution.intents[0])
        assert intent.instrument_id == BTC
        assert intent.incarnation == "live-1"
        assert intent.context.market_incarnation == "md-1"
        assert intent.context.market_sequence == 4
        assert intent.context.market_sent_time_ns == 123
        assert kit.execution.strategy_ids == [["s1", "riskd"]]
        assert kit.execution.builds == ["build"]
        assert list(kit.market.requests[0].instrument_ids) == [BTC]


async def test_an_instrument_that_marketdata_does_not_follow_leaves_the_others_trading(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path, instruments=[ETH, BTC], unfollowed=[ETH]) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        kit.market.push(tick())
        await kit.until(lambda: kit.execution.intents)

        assert list(kit.market.requests[0].instrument_ids) == [BTC]
        assert kit.execution.intents[0].instrument_id == BTC


async def test_a_restarted_marketdata_has_other_indexes_and_trading_goes_on(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        kit.market.push(tick())
        await kit.until(lambda: len(kit.execution.intents) == 1)

        await kit.restart_market(MarketServer("md-2", [(5, make_instrument())]))
        await kit.until(lambda: kit.market.requests)
        kit.market.push(tick(index=0))  # an index of the earlier life: nobody's
        kit.market.push(tick(index=5))
        await kit.until(lambda: len(kit.execution.intents) == 2)

        assert kit.execution.intents[1].context.market_incarnation == "md-2"


async def test_no_intent_is_made_while_execd_is_away(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        kit.execution.positions.append(
            execution_pb.PositionView(strategy_id="s1", instrument_id=BTC, qty="0.5", avg_price="100")
        )
        kit.execution.hang_up()
        await kit.until(lambda: not kit.engine.core.execution_up)
        kit.market.push(tick())
        await kit.until(lambda: kit.engine.core.runs["s1"].dropped == 1)
        await kit.until(lambda: kit.engine.core.execution_up)
        kit.market.push(tick())
        await kit.until(lambda: kit.execution.intents)

        assert kit.engine.lost_intents == 0
        assert len(kit.execution.strategy_ids) == 2
        assert kit.engine.core.fold.holdings["s1", BTC].qty == Decimal("0.5")


async def test_a_silent_marketdata_is_broken_off(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path, silence_s=0.2) as kit:
        await kit.until(lambda: kit.engine.market_up)
        kit.market.push(tick())
        await kit.until(lambda: kit.engine.core.markets and kit.engine.core.markets[BTC].live)
        await kit.until(lambda: not kit.engine.core.markets[BTC].live)
        await kit.until(lambda: len(kit.market.requests) >= 2)


async def test_fills_from_execd_move_the_position_view(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        kit.market.push(tick())
        await kit.until(lambda: kit.execution.intents)
        event = fill_event(intent_from_wire(kit.execution.intents[0]), "0.25", "100")
        kit.execution.push(execution_pb.SubmitIntentsResponse(order_events=[event_to_wire(event)]))

        await kit.until(lambda: kit.engine.core.fold.holdings["s1", BTC].qty == Decimal("0.25"))


async def test_bars_of_history_warm_the_strategy_up(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path, "breakout_atr", bar_ms=1000, ema_length=5, atr_length=5) as kit:
        start = now_ns() // S * S
        for k in range(-40, 3):
            kit.market.bars.append(
                market_pb.Bar(
                    open_time_ns=start + k * S,
                    close_time_ns=start + (k + 1) * S,
                    open="100", high="100", low="100", close="100", volume="1", trade_count=1,
                )
            )  # fmt: skip
        await kit.until(lambda: kit.engine.market_up)
        kit.market.push(tick())
        run = kit.engine.core.runs["s1"]
        await kit.until(lambda: not run.warming_up)

        assert run.bars >= 24
        assert kit.engine.core.history_wanted() == []


async def test_a_quiet_bar_closes_on_the_clock(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path, "breakout_atr", bar_ms=1000) as kit:
        await kit.until(lambda: kit.engine.market_up)
        core = kit.engine.core
        (request,) = core.history_wanted()
        core.feed_history(request.instrument_id, request.interval_ns, [], 0)
        kit.market.push(tick())
        await kit.until(lambda: core.runs["s1"].bars >= 1)


async def test_switching_off_stops_entries_and_is_remembered(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        stub = engine_stub(kit)
        request = pb.SetStrategyEnabledRequest(strategy_id="s1", enabled=False, reason="test", command_id="c1")
        answer = await stub.SetStrategyEnabled(request)
        assert not answer.strategy.enabled
        assert answer.strategy.changed_by == "trader"
        kit.market.push(tick())
        await kit.until(lambda: kit.engine.core.runs["s1"].dropped == 1)

        remembered = SwitchFile(short_tmp_path).entries
        assert remembered["s1"].reason == "test"

        request.command_id, request.enabled = "c2", True
        await stub.SetStrategyEnabled(request)
        request.command_id, request.enabled = "c1", False
        answer = await stub.SetStrategyEnabled(request)  # the same command again changes nothing
        assert answer.strategy.enabled
        assert SwitchFile(short_tmp_path).entries == {}


async def test_the_operators_name_and_role_are_kept_and_shown(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        stub = engine_stub(kit)
        watching = aiter(engine_stub(kit, Role.VIEWER).WatchStatus(pb.WatchStatusRequest()))
        await anext(watching)
        request = pb.SetStrategyEnabledRequest(strategy_id="s1", enabled=False, reason="news", command_id="c1")
        answer = await stub.SetStrategyEnabled(request, metadata=(("tradebot-operator", "ana"),))
        assert answer.strategy.changed_by == "ana (trader)"

        status = await anext(watching)
        assert "strategy s1 switched off by ana (trader): news" in [line.text for line in status.status.log_lines]
        status = await anext(watching)
        assert not [line for line in status.status.log_lines if "switched" in line.text]


async def test_metrics_follow_the_counters(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        metrics = Metrics("engine")
        figures = EngineMetrics(metrics, kit.engine)
        kit.market.push(tick())
        await kit.until(lambda: kit.execution.intents)
        figures.update()

        text = generate_latest(metrics.registry).decode()
        assert 'tradebot_engine_intents{strategy="s1"} 1.0' in text
        assert "tradebot_engine_rows 4.0" in text
        assert "tradebot_engine_books_live 1.0" in text


async def test_status_says_what_is_missing_and_lists_strategies(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        await kit.until(lambda: kit.engine.core.execution_up and kit.engine.market_up)
        stub = engine_stub(kit, Role.VIEWER)
        status = await anext(aiter(stub.WatchStatus(pb.WatchStatusRequest())))
        assert status.status.summary == ""
        assert status.strategies[0].strategy_id == "s1"

        kit.market.hang_up()
        await kit.until(lambda: not kit.engine.market_up)
        status = await anext(aiter(stub.WatchStatus(pb.WatchStatusRequest())))
        assert "no market data" in status.status.summary


async def test_bad_operator_requests_are_answered_with_the_fix(short_tmp_path: Path) -> None:
    async with live_engine(short_tmp_path) as kit:
        stub = engine_stub(kit)
        with pytest.raises(grpc.aio.AioRpcError, match="'nope' is not one of: s1"):
            await stub.SetStrategyEnabled(pb.SetStrategyEnabledRequest(strategy_id="nope", command_id="c"))
        with pytest.raises(grpc.aio.AioRpcError, match="command_id: required"):
            await stub.SetStrategyEnabled(pb.SetStrategyEnabledRequest(strategy_id="s1"))
        harness = engine_stub(kit, Role.BACKTEST)
        with pytest.raises(grpc.aio.AioRpcError, match="--drive"):
            await anext(aiter(harness.Drive(iter([pb.DriveRequest()]))))


def test_a_damaged_switch_file_stops_the_start(tmp_path: Path) -> None:
    file = SwitchFile(tmp_path)
    file.switch_off("s1", SwitchedOff("trader", "why", MS))
    assert list(SwitchFile(tmp_path).entries) == ["s1"]
    (tmp_path / "switched_off.json").write_text("[1]")

    with pytest.raises(StateError, match="is damaged"):
        SwitchFile(tmp_path)
