"""The client against real sockets: any subset of daemons, streams that end, gaps, stops that must get through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from console.client import GrpcLink, new_command_id
from console.config import ConsoleConfig
from console.staleness import Freshness
from console.stop_keys import StopLevel
from console.store import Store
from console.view import Identity
from console.wire_client import amount
from tests.console.servers import (
    Latch,
    execd_serving,
    make_execd,
    make_riskd,
    new_order,
    order,
    riskd_serving,
    stoppable,
    uds_common,
)
from tradebot.core.levels import TradingLevel
from tradebot.rpc.common.v1 import level_pb2
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.identity import Role

WAIT_S = 15.0
"""Longest wait for something that takes milliseconds on a quiet machine."""


class Console:
    """A store with its link, without a terminal."""

    def __init__(self, common: CommonConfig) -> None:
        self.clock = SystemClock()
        self.store = Store(Identity("demo", "ana", "trader", "0"))
        self.link = GrpcLink(common, ConsoleConfig(), Role.TRADER, "ana", self.store, self.clock)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  # the store is polled, as the paint timer does
                await asyncio.sleep(0.01)

    def money(self) -> Freshness:
        return self.store.view(self.clock.now_ns()).money.freshness

    def order_keys(self) -> list[str]:
        return sorted(row.key for row in self.store.view(self.clock.now_ns()).orders.rows)


@asynccontextmanager
async def running(common: CommonConfig) -> AsyncIterator[Console]:
    console = Console(common)
    task = asyncio.create_task(console.link.run())
    try:
        yield console
        assert not task.done(), "the streams must survive whatever the daemons do"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await console.link.close()


async def test_the_console_starts_with_no_daemon_and_finds_one_that_comes_later(short_tmp_path: Path) -> None:
    common = uds_common(short_tmp_path)
    async with running(common) as console:
        await asyncio.sleep(0.2)
        assert console.money() is Freshness.DEAD

        async with riskd_serving(common, make_riskd()):
            await console.until(lambda: console.money() is Freshness.FRESH)

        await console.until(lambda: console.money() is Freshness.STALE)


async def test_the_last_command_of_a_person_is_asked_for_at_start(short_tmp_path: Path) -> None:
    common = uds_common(short_tmp_path)
    async with riskd_serving(common, make_riskd()), running(common) as console:

        def last() -> str:
            command = console.store.view(console.clock.now_ns()).last_command
            return "" if command is None else f"{command.operator} {command.text}"

        await console.until(lambda: last() == "ana HALT ok: 'drill'")


async def test_holds_follow_snapshot_and_events(short_tmp_path: Path) -> None:
    common, riskd = uds_common(short_tmp_path), make_riskd()
    scope = level_pb2.Scope(kind=level_pb2.SCOPE_KIND_SYSTEM)

    def hold(name: str) -> level_pb2.Hold:
        return level_pb2.Hold(
            hold_id=name,
            level=level_pb2.TRADING_LEVEL_HALTED,
            scope=scope,
            release=level_pb2.RELEASE_RULE_ONE_KEY,
        )

    raised, cleared = risk_pb.RISK_EVENT_KIND_HOLD_RAISED, risk_pb.RISK_EVENT_KIND_HOLD_CLEARED
    events = [risk_pb.RiskEvent(kind=raised, hold=hold("H2")), risk_pb.RiskEvent(kind=cleared, hold=hold("H1"))]
    halted = level_pb2.TRADING_LEVEL_HALTED
    riskd.level = halted
    riskd.events = [
        risk_pb.WatchRiskEventsResponse(holds=[hold("H1")], system_level=halted),
        risk_pb.WatchRiskEventsResponse(events=events, system_level=halted),
    ]
    async with riskd_serving(common, riskd), running(common) as console:

        def holds() -> list[str]:
            return [item.hold_id for item in console.store.view(console.clock.now_ns()).level.holds]

        await console.until(lambda: holds() == ["H2"])
        assert console.store.view(console.clock.now_ns()).level.level is TradingLevel.HALTED


async def test_a_gap_in_the_order_log_brings_a_fresh_snapshot(short_tmp_path: Path) -> None:
    common, execd = uds_common(short_tmp_path), make_execd()
    first, gap = execution_pb.WatchOrdersResponse, execution_pb.WatchOrdersResponse
    execd.lives = [
        [first(snapshot=[order("a")], sequence=5), gap(events=[new_order(7, "c")], sequence=7)],
        [first(snapshot=[order("a"), order("b"), order("c")], sequence=7)],
    ]
    async with execd_serving(common, execd), running(common) as console:
        await console.until(lambda: console.order_keys() == ["a", "b", "c"])

    assert execd.subscriptions >= 2


async def test_a_heartbeat_ahead_of_us_is_a_gap_too(short_tmp_path: Path) -> None:
    common, execd = uds_common(short_tmp_path), make_execd()
    message = execution_pb.WatchOrdersResponse
    execd.lives = [
        [message(snapshot=[order("a")], sequence=5), message(sequence=6)],
        [message(snapshot=[order("a"), order("b")], sequence=6)],
    ]
    async with execd_serving(common, execd), running(common) as console:
        await console.until(lambda: console.order_keys() == ["a", "b"])


async def test_events_after_the_snapshot_are_folded_in_order(short_tmp_path: Path) -> None:
    common, execd = uds_common(short_tmp_path), make_execd()
    message = execution_pb.WatchOrdersResponse
    execd.lives = [
        [
            message(snapshot=[order("a")], sequence=5),
            message(sequence=5),
            message(events=[new_order(6, "b"), new_order(7, "c")], sequence=7),
        ]
    ]
    async with execd_serving(common, execd), running(common) as console:
        await console.until(lambda: console.order_keys() == ["a", "b", "c"])

    assert execd.subscriptions == 1


async def test_a_value_of_a_newer_contract_is_survived(short_tmp_path: Path) -> None:
    common, execd = uds_common(short_tmp_path), make_execd()
    strange = order("z")
    strange.status = 77  # type: ignore[assignment]
    message = execution_pb.WatchOrdersResponse
    execd.lives = [[message(snapshot=[strange], sequence=1)], [message(snapshot=[order("a")], sequence=1)]]
    async with execd_serving(common, execd), running(common) as console:
        await console.until(lambda: console.order_keys() == ["a"])


async def test_a_position_without_a_readable_quantity_is_not_taken_for_flat(short_tmp_path: Path) -> None:
    common, riskd = uds_common(short_tmp_path), make_riskd()
    good = risk_pb.Position(venue="simx", instrument_id="simx:BTC-USDT", strategy_id="s", qty="1")
    bad = risk_pb.Position(venue="simx", instrument_id="simx:BTC-USDT", strategy_id="s", qty="")
    riskd.positions = [
        risk_pb.WatchPositionsResponse(sequence=1, snapshot=True, positions=[good]),
        risk_pb.WatchPositionsResponse(sequence=2, positions=[bad]),
    ]
    async with riskd_serving(common, riskd), running(common) as console:

        def view() -> tuple[int, Freshness]:
            shown = console.store.view(console.clock.now_ns())
            return len(shown.positions), shown.positions_freshness

        await console.until(lambda: view()[0] == 1 and view()[1] is Freshness.STALE)


async def test_a_stop_reaches_both_daemons_with_one_command_id(short_tmp_path: Path) -> None:
    common = uds_common(short_tmp_path)
    riskd, execd = Latch(), Latch()
    async with (
        stoppable(common, Role.RISKD, riskd),
        stoppable(common, Role.EXECD, execd),
        running(common) as console,
    ):
        await console.until(lambda: console.store.view(console.clock.now_ns()).stop.answering == 2)
        await console.link.stop(StopLevel.HALT)

        assert [request.command_id for request in riskd.requests] == [request.command_id for request in execd.requests]
        assert riskd.requests[0].operator == "ana"
        assert not console.store.stop_is_pending
        assert console.store.view(console.clock.now_ns()).level.level is TradingLevel.HALTED


async def test_a_dead_daemon_does_not_delay_the_other_and_gets_the_stop_when_it_is_back(short_tmp_path: Path) -> None:
    common = uds_common(short_tmp_path)
    riskd, execd = Latch(), Latch()
    async with stoppable(common, Role.EXECD, execd), running(common) as console:
        await console.until(lambda: console.store.view(console.clock.now_ns()).stop.answering == 1)
        stop = asyncio.create_task(console.link.stop(StopLevel.HALT))
        await console.until(lambda: len(execd.requests) == 1)
        command = console.store.view(console.clock.now_ns()).stop_command
        assert command is not None
        assert command.acked <= 1

        async with stoppable(common, Role.RISKD, riskd):
            await asyncio.wait_for(stop, WAIT_S)

            assert riskd.requests[-1].command_id == execd.requests[0].command_id
            assert len(execd.requests) == 1, "an acknowledged stop is not sent again"


async def test_a_kill_replaces_the_retries_of_a_halt(short_tmp_path: Path) -> None:
    common = uds_common(short_tmp_path)
    execd = Latch()
    async with stoppable(common, Role.EXECD, execd), running(common) as console:
        await console.until(lambda: console.store.view(console.clock.now_ns()).stop.answering == 1)
        halt = asyncio.create_task(console.link.stop(StopLevel.HALT))
        await console.until(lambda: len(execd.requests) == 1)
        kill = asyncio.create_task(console.link.stop(StopLevel.KILL))
        await asyncio.wait_for(halt, WAIT_S)
        await console.until(lambda: len(execd.requests) == 2)
        kill.cancel()
        await asyncio.gather(kill, return_exceptions=True)

        assert console.store.view(console.clock.now_ns()).level.level is TradingLevel.KILLED


async def test_commands_answer_with_sentences(short_tmp_path: Path) -> None:
    common, riskd = uds_common(short_tmp_path), make_riskd()
    console = Console(common)
    async with riskd_serving(common, riskd), execd_serving(common, make_execd()):
        cancel = await console.link.cancel_order("abcdef123456", "by console")
        clear = await console.link.clear_hold("H1", "spread is back")
        switched = await console.link.set_strategy("breakout", False, "by console")
    await console.link.close()

    assert cancel == "cancel 3456 refused: LAST_PROTECTION it protects 0.3 BTC"
    assert clear == "hold cleared, 0 remain, highest RUNNING"
    assert riskd.cleared[0].operator == "ana"
    assert "engine does not answer" in switched


def test_command_ids_are_ulids_and_differ() -> None:
    ids = {new_command_id() for _ in range(100)}

    assert len(ids) == 100
    assert {len(value) for value in ids} == {26}
    assert min(ids)[:8] == max(ids)[:8]


def test_an_empty_or_malformed_amount_is_not_known() -> None:
    assert amount("") is None
    assert amount("abc") is None
    assert amount("NaN") is None
    assert str(amount("-1.50")) == "-1.50"
