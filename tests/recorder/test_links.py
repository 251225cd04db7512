"""Streams into the database over real sockets: nothing missing and nothing twice, whatever stops in between."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recorder.client import Links
from recorder.config import RecorderConfig
from recorder.shell import Recorder
from recorder.sqlite_store import SqliteStore
from recorder.tables import Entry, Op, StreamPosition
from tests.support.builders import BTC, make_execution, make_instrument, make_terms
from tradebot.core.market import BUY_FLAG, LAST_FLAG, MarketRow, RowColumns, RowKind
from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.rpc.common.v1 import level_pb2
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1 import execution_service_pb2_grpc as execution_grpc
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2_grpc as market_grpc
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as risk_grpc
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.grpc_server import RpcServer, ServiceBinding
from tradebot.runtime.identity import Role
from tradebot.runtime.sequenced_log import SequencedLog
from tradebot.runtime.stream_hub import StreamHub
from tradebot.wire.instruments import instrument_to_wire
from tradebot.wire.market import rows_to_wire
from tradebot.wire.orders import event_to_wire, snapshot_to_wire

WAIT_S = 10.0
IDLE_S = 0.1
LIVES = 5
"""Starts of the recorder; all but the last one end like kill -9."""


class ExecdFeed(execution_grpc.ExecutionServiceServicer):
    """The WatchOrders contract over a log that the test writes."""

    def __init__(self, incarnation: str = "log1", capacity: int = 10_000) -> None:
        self.hub: StreamHub[OrderEvent] = StreamHub(SequencedLog(incarnation, capacity))
        self.orders: list[OrderSnapshot] = []

    def publish(
        self, kind: OrderEventKind = OrderEventKind.ACCEPTED, *, exec_id: str = "", first: bool = False
    ) -> None:
        sequence = self.hub.log.last_sequence + 1
        event = OrderEvent(
            sequence=sequence,
            client_order_id="c1",
            kind=kind,
            status=OrderStatus.NEW,
            receive_time_ns=sequence,
            facts=OrderFacts(make_terms(), "s1", "i1", 0, OrderRole.ENTRY, 1) if first else None,
            execution=make_execution(exec_id, qty="0.001") if exec_id else None,
        )
        self.hub.publish(event)

    async def WatchOrders(self, request: Any, context: Any) -> AsyncIterator[execution_pb.WatchOrdersResponse]:
        with self.hub.subscribe(request.incarnation, request.resume_after_sequence) as reader:
            if not reader.resumed:
                snapshot = [snapshot_to_wire(order) for order in self.orders]
                yield self._message(snapshot=snapshot, sequence=reader.position)
            while (batch := await reader.next_batch(IDLE_S)) is not None:
                events = [event_to_wire(event) for event in batch.items]
                yield self._message(events=events, sequence=reader.position)

    def _message(self, **fields: Any) -> execution_pb.WatchOrdersResponse:
        return execution_pb.WatchOrdersResponse(incarnation=self.hub.log.incarnation, **fields)


class RiskdFeed(risk_grpc.RiskServiceServicer):
    """The watch streams of riskd."""

    def __init__(self) -> None:
        self.hub: StreamHub[risk_pb.RiskEvent] = StreamHub(SequencedLog("risk1", 10_000))
        self.builds: list[str] = []

        self.raised: list[risk_pb.RaiseHoldRequest] = []
        self.cleared: list[risk_pb.ClearHoldRequest] = []
        self.holds: list[level_pb2.Hold] = []
        self.is_slow = False
        """A hold is raised, and the answer comes too late."""

    async def RaiseHold(self, request: Any, context: Any) -> Any:
        self.raised.append(request)
        hold = level_pb2.Hold(hold_id=f"H{len(self.raised)}", cause="RECORDER", raised_by="recorder")
        if self.is_slow:
            self.holds.append(hold)
            await asyncio.sleep(WAIT_S)
        return risk_pb.RaiseHoldResponse(hold=hold)

    async def ListHolds(self, request: Any, context: Any) -> Any:
        return risk_pb.ListHoldsResponse(holds=self.holds)

    async def ClearHold(self, request: Any, context: Any) -> Any:
        self.cleared.append(request)
        return risk_pb.ClearHoldResponse(cleared=True)

    def publish(self, text: str) -> None:
        sequence = self.hub.log.last_sequence + 1
        kind = risk_pb.RISK_EVENT_KIND_COMMAND
        self.hub.publish(risk_pb.RiskEvent(sequence=sequence, kind=kind, time_ns=sequence, text=text))

    async def WatchRiskEvents(self, request: Any, context: Any) -> AsyncIterator[risk_pb.WatchRiskEventsResponse]:
        self.builds.append(request.build_hash)
        with self.hub.subscribe(request.incarnation, request.resume_after_sequence) as reader:
            yield risk_pb.WatchRiskEventsResponse(incarnation="risk1", sequence=reader.position)
            while (batch := await reader.next_batch(IDLE_S)) is not None:
                yield risk_pb.WatchRiskEventsResponse(incarnation="risk1", events=batch.items, sequence=reader.position)

    async def WatchPositions(self, request: Any, context: Any) -> AsyncIterator[risk_pb.WatchPositionsResponse]:
        position = risk_pb.Position(instrument_id=BTC, strategy_id="s1", qty="0.5", avg_price="60000")
        yield risk_pb.WatchPositionsResponse(incarnation="p1", snapshot=True, positions=[position], time_ns=1)
        await asyncio.sleep(WAIT_S)

    async def WatchPnl(self, request: Any, context: Any) -> AsyncIterator[risk_pb.WatchPnlResponse]:
        yield risk_pb.WatchPnlResponse(time_ns=10**10, realized_pnl="1", unrealized_pnl="2", fees="0", equity="10003")
        await asyncio.sleep(WAIT_S)


class MarketFeed(market_grpc.MarketDataServiceServicer):
    """The Subscribe contract over a log of trades that the test writes."""

    def __init__(self) -> None:
        self.hub: StreamHub[MarketRow] = StreamHub(SequencedLog("run1", 100_000))

    @property
    def readers(self) -> int:
        return self.hub.subscribers

    def publish(self, trade_id: int) -> None:
        time_ns = trade_id * 1_000_000
        self.hub.publish(MarketRow(RowKind.TRADE, 0, BUY_FLAG | LAST_FLAG, 6_000_000, 10, trade_id, time_ns, time_ns))

    async def Subscribe(self, request: Any, context: Any) -> AsyncIterator[market_pb.SubscribeResponse]:
        instruments = [instrument_to_wire(make_instrument(), 0)]
        if int(RowKind.TRADE) not in request.kinds:
            yield market_pb.SubscribeResponse(incarnation="run1", instruments=instruments, snapshot=True)
            await asyncio.sleep(WAIT_S)
            return
        with self.hub.subscribe(request.incarnation, request.resume_after_sequence) as reader:
            yield market_pb.SubscribeResponse(
                incarnation="run1", instruments=instruments, snapshot=not reader.resumed, head_sequence=reader.position
            )
            while (batch := await reader.next_batch(IDLE_S)) is not None:
                message = market_pb.SubscribeResponse(head_sequence=reader.position)
                if batch.items:
                    rows = RowColumns()
                    rows.extend(batch.items)
                    message.rows.CopyFrom(rows_to_wire(rows, batch.first_sequence, 1))
                yield message


class World:
    """The three feeds, served on real sockets."""

    def __init__(self, folder: Path) -> None:
        self.common = CommonConfig.model_validate({"mode": "demo", "state_dir": str(folder)})
        self.path = folder / "db" / "t.sqlite"
        self.execd = ExecdFeed()  # type: ignore[abstract]  # the feeds serve only what the recorder calls
        self.riskd = RiskdFeed()  # type: ignore[abstract]
        self.market = MarketFeed()  # type: ignore[abstract]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        bindings = (
            (Role.EXECD, "execution", "Execution", execution_grpc.add_ExecutionServiceServicer_to_server, self.execd),
            (Role.RISKD, "risk", "Risk", risk_grpc.add_RiskServiceServicer_to_server, self.riskd),
            (
                Role.MARKETDATA,
                "marketdata",
                "MarketData",
                market_grpc.add_MarketDataServiceServicer_to_server,
                self.market,
            ),
        )
        servers = []
        for role, package, name, add, servicer in bindings:
            service = ServiceBinding(f"tradebot.rpc.{package}.v1.{name}Service", add, servicer)
            server = RpcServer(role, self.common, [service], on_crash=crash, roles=frozenset({Role.RECORDER}))
            await server.start()
            servers.append(server)
        try:
            yield
        finally:
            for server in servers:
                await server.stop(0)

    @asynccontextmanager
    async def recording(self, *, clean: bool = True, **settings: int) -> AsyncIterator[Recorder]:
        """Run a recorder; unclean means it dies without writing what waits, as kill -9 does."""
        store = SqliteStore(self.path)
        recorder = Recorder(RecorderConfig.model_validate({"flush_interval_ms": 20, **settings}), store, SystemClock())
        channels = [open_channel(self.common, daemon, Role.RECORDER) for daemon in ("marketdata", "execd", "riskd")]
        links = Links(recorder, SystemClock(), *channels, build="build")
        sessions = [links.tape, links.books, links.orders, links.risk_events, links.positions, links.pnl]
        sessions += [links.requirement] if recorder.section.required else []
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(redial(session.__name__, session)) for session in sessions
        ]
        tasks.append(asyncio.create_task(recorder.run()))
        try:
            yield recorder
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for channel in channels:
                await channel.close()
            if clean:
                await recorder.close()
            else:
                await recorder.abandon()
                store.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.path) as db:
            return db.execute(sql).fetchall()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  what is waited for is a database, not a task
                await asyncio.sleep(0.01)

    async def until_following(self) -> None:
        """Wait until both streams have a place in the database: before that there is nothing to resume."""
        stored = "SELECT count(*) FROM stream_positions WHERE source IN ('execd.orders', 'marketdata.tape')"
        await self.until(lambda: self.query(stored) == [(2,)] and self.market.readers > 0)

    async def until_caught_up(self, recorder: Recorder) -> None:
        await self.until(lambda: _sequence(recorder, "execd.orders") == self.execd.hub.log.last_sequence)
        await self.until(lambda: _sequence(recorder, "marketdata.tape") == self.market.hub.log.last_sequence)


def _sequence(recorder: Recorder, source: str) -> int:
    position = recorder.position(source)
    return 0 if position is None else position.sequence


def crash(where: str, error: BaseException) -> None:
    raise AssertionError(f"{where}: {error}")


@pytest.fixture
def world(short_tmp_path: Path) -> World:
    return World(short_tmp_path)


async def test_a_first_contact_records_the_whole_log_and_not_only_what_follows(world: World) -> None:
    world.execd.publish(OrderEventKind.ASKED, first=True)
    world.execd.publish(OrderEventKind.FILL, exec_id="t1")
    world.riskd.publish("halt by ana")
    async with world.serving(), world.recording() as recorder:
        await world.until(lambda: recorder.position("execd.orders") is not None)
        await world.until(lambda: recorder.position("riskd.events") is not None)
        world.execd.publish(OrderEventKind.FILL, exec_id="t2")
        await world.until(lambda: _sequence(recorder, "execd.orders") == 3)

    assert world.query("SELECT sequence FROM events WHERE source = 'execd.orders'") == [(1,), (2,), (3,)]
    assert world.query("SELECT id FROM fills") == [("t1",), ("t2",)]
    assert world.query("SELECT type, payload FROM risk_events") == [("COMMAND", '{"text":"halt by ana"}')]
    assert set(world.riskd.builds) == {"build"}
    assert world.query("SELECT qty FROM positions") == [("0.5",)]
    assert world.query("SELECT equity FROM pnl_snapshots WHERE symbol = '*'") == [("10003",)]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_crashes_of_the_recorder_lose_nothing_and_write_nothing_twice(world: World, seed: int) -> None:
    rng = random.Random(seed)
    world.execd.publish(OrderEventKind.ASKED, first=True)
    async with world.serving():
        for life in range(LIVES):
            last = life == LIVES - 1
            async with world.recording(clean=last) as recorder:
                await world.until_following()
                for _ in range(rng.randint(20, 60)):
                    world.execd.publish(OrderEventKind.FILL, exec_id=f"t{world.execd.hub.log.last_sequence}")
                    world.market.publish(world.market.hub.log.last_sequence + 1)
                    if rng.random() < 0.2:
                        await asyncio.sleep(rng.random() * 0.02)
                if last:
                    await world.until_caught_up(recorder)
    events, trades = world.execd.hub.log.last_sequence - 1, world.market.hub.log.last_sequence

    fills = [f"t{n}" for n in range(1, events + 1)]
    assert [row[0] for row in world.query("SELECT id FROM fills ORDER BY ts, CAST(substr(id, 2) AS INTEGER)")] == fills
    assert [row[0] for row in world.query("SELECT sequence FROM events ORDER BY sequence")] == list(
        range(1, events + 2)
    )
    assert [row[0] for row in world.query("SELECT id FROM trades ORDER BY id")] == list(range(1, trades + 1))
    volume = sum(Decimal(row[0]) for row in world.query("SELECT v FROM bars_1m"))
    assert volume == trades * Decimal("0.0001")


async def test_a_log_that_forgot_the_point_leaves_a_gap_event_and_not_silence(world: World) -> None:
    world.execd = ExecdFeed(capacity=4)  # type: ignore[abstract]
    world.execd.publish(OrderEventKind.ASKED, first=True)
    async with world.serving():
        async with world.recording() as recorder:
            await world.until(lambda: recorder.position("execd.orders") is not None)
        for _ in range(10):
            world.execd.publish()
        async with world.recording() as recorder:
            await world.until(lambda: _sequence(recorder, "execd.orders") == 11)

    gaps = world.query("SELECT sequence, payload FROM events WHERE type = 'GAP'")
    assert gaps == [(12, '{"written_to":1,"resumed_at":12}')]


async def test_a_database_that_cannot_be_written_stops_order_streams_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.sqlite_store.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr("recorder.shell.RETRY_S", 0.02)
    monkeypatch.setattr("recorder.batcher.MAX_WAITING_LOSSLESS", 50)
    world.execd.publish(OrderEventKind.ASKED, first=True)
    async with world.serving(), world.recording() as recorder:
        await world.until(lambda: recorder.position("execd.orders") is not None)
        blocker = sqlite3.connect(world.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for n in range(500):
            world.execd.publish(OrderEventKind.FILL, exec_id=f"t{n}")
            if n % 10 == 0:
                await asyncio.sleep(0.005)
        await world.until(lambda: bool(recorder.failure))
        failure, held = recorder.failure, recorder.position("execd.orders")
        blocker.execute("ROLLBACK")
        blocker.close()
        await world.until(lambda: _sequence(recorder, "execd.orders") == 501)
        await world.until(lambda: not recorder.failure)

    assert "cannot be written" in failure
    assert held is not None
    assert held.sequence < 501
    assert world.query("SELECT count(*) FROM fills") == [(500,)]


@pytest.mark.parametrize("required", [True, False])
async def test_while_a_required_database_cannot_be_written_riskd_holds(
    world: World, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    monkeypatch.setattr("recorder.sqlite_store.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr("recorder.shell.RETRY_S", 0.02)
    monkeypatch.setattr("recorder.client.LOOK_S", 0.02)
    world.execd.publish(OrderEventKind.ASKED, first=True)
    async with world.serving(), world.recording(required=required) as recorder:
        await world.until(lambda: recorder.position("execd.orders") is not None)
        assert not world.riskd.raised
        blocker = sqlite3.connect(world.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        world.execd.publish(OrderEventKind.FILL, exec_id="t1")
        await world.until(lambda: bool(recorder.failure))
        if required:
            await world.until(lambda: bool(world.riskd.raised))
            assert not world.riskd.cleared
        blocker.execute("ROLLBACK")
        blocker.close()
        await world.until(lambda: not recorder.failure)
        if required:
            await world.until(lambda: bool(world.riskd.cleared))

    assert [request.level for request in world.riskd.raised] == [level_pb2.TRADING_LEVEL_REDUCE_ONLY] * required
    assert [request.hold_id for request in world.riskd.cleared] == ["H1"] * required


async def test_a_hold_whose_answer_came_too_late_is_cleared_when_the_database_is_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.sqlite_store.BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr("recorder.shell.RETRY_S", 0.02)
    monkeypatch.setattr("recorder.client.LOOK_S", 0.02)
    monkeypatch.setattr("recorder.client.CALL_TIMEOUT_S", 1.0)
    world.riskd.is_slow = True
    world.execd.publish(OrderEventKind.ASKED, first=True)
    async with world.serving(), world.recording(required=True) as recorder:
        await world.until(lambda: recorder.position("execd.orders") is not None)
        blocker = sqlite3.connect(world.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        world.execd.publish(OrderEventKind.FILL, exec_id="t1")
        await world.until(lambda: bool(world.riskd.raised))
        blocker.execute("ROLLBACK")
        blocker.close()
        await world.until(lambda: bool(world.riskd.cleared))

    assert [request.hold_id for request in world.riskd.cleared] == ["H1"]


async def test_a_hold_of_an_earlier_life_is_cleared_when_the_database_is_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.client.LOOK_S", 0.02)
    world.riskd.holds = [
        level_pb2.Hold(hold_id="H6", cause="RECORDER", raised_by="ana"),
        level_pb2.Hold(hold_id="H7", cause="RECORDER", raised_by="recorder"),
    ]
    async with world.serving(), world.recording(required=True):
        await world.until(lambda: bool(world.riskd.cleared))

    assert [request.hold_id for request in world.riskd.cleared] == ["H7"]


async def test_a_new_log_of_the_same_daemon_is_read_from_its_beginning(world: World) -> None:
    world.execd.publish(OrderEventKind.ASKED, first=True)
    async with world.serving(), world.recording() as recorder:
        await world.until(lambda: _sequence(recorder, "execd.orders") == 1)
    world.execd = ExecdFeed("log2")  # type: ignore[abstract]
    for _ in range(3):
        world.execd.publish()
    async with world.serving(), world.recording() as recorder:
        await world.until(lambda: _sequence(recorder, "execd.orders") == 3)

    assert world.query("SELECT incarnation, sequence FROM events ORDER BY 1, 2") == [
        ("log1", 1), ("log2", 1), ("log2", 2), ("log2", 3),
    ]  # fmt: skip


async def test_a_writer_canceled_in_the_middle_of_a_batch_leaves_it_to_the_last_flush(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.sqlite")
    recorder = Recorder(RecorderConfig(), store, SystemClock())
    blocker = asyncio.get_running_loop().run_in_executor(recorder._thread, time.sleep, 0.2)
    recorder.accept([Entry(Op.TRADE, (1, BTC, "1", "1", "BUY", 1, 1))], StreamPosition("marketdata.tape", "run1", 1))
    flush = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0.05)
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    await blocker
    await recorder.close()

    with sqlite3.connect(tmp_path / "t.sqlite") as db:
        assert db.execute("SELECT id FROM trades").fetchall() == [(1,)]
        assert db.execute("SELECT sequence FROM stream_positions").fetchall() == [(1,)]
