"""riskd, execd and marketdata on real sockets, saying what a test tells them to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from tradebot.rpc.common.v1 import level_pb2, order_pb2, status_pb2
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1 import execution_service_pb2_grpc as execution_grpc
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as risk_grpc
from tradebot.rpc.stop.v1 import stop_service_pb2 as stop_pb
from tradebot.rpc.stop.v1 import stop_service_pb2_grpc as stop_grpc
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_server import RpcServer, ServiceBinding
from tradebot.runtime.identity import Role
from tradebot.runtime.stop_service import StopServer

Stream = AsyncIterator[Any]


class Riskd(risk_grpc.RiskServiceServicer):
    """Sends what is in its lists, then waits."""

    def __init__(self) -> None:
        self.level = level_pb2.TRADING_LEVEL_RUNNING
        self.events: list[risk_pb.WatchRiskEventsResponse] = []
        self.positions: list[risk_pb.WatchPositionsResponse] = []
        self.cleared: list[risk_pb.ClearHoldRequest] = []

    async def WatchStatus(self, request: Any, context: Any) -> Stream:
        status = status_pb2.DaemonStatus(daemon="riskd", incarnation="r1", state=status_pb2.DAEMON_STATE_OK)
        yield risk_pb.WatchStatusResponse(status=status, system_level=self.level, session_up=True)
        await asyncio.Event().wait()

    async def WatchPnl(self, request: Any, context: Any) -> Stream:
        yield risk_pb.WatchPnlResponse(currency="USDT", equity="10018.42", day_pnl="18.42", day_limit_pct=-2.0)
        await asyncio.Event().wait()

    async def WatchPositions(self, request: Any, context: Any) -> Stream:
        for message in self.positions:
            yield message
        await asyncio.Event().wait()

    async def WatchRiskEvents(self, request: Any, context: Any) -> Stream:
        for message in self.events:
            yield message
        await asyncio.Event().wait()

    async def ListAudit(self, request: Any, context: Any) -> Any:
        records = [
            risk_pb.AuditRecord(time_ns=9, operator="riskd", role="riskd", command="HOLD", result="cleared"),
            risk_pb.AuditRecord(time_ns=8, operator="ana", role="trader", command="HALT", result="ok", reason="drill"),
        ]
        return risk_pb.ListAuditResponse(records=records)

    async def ClearHold(self, request: Any, context: Any) -> Any:
        self.cleared.append(request)
        return risk_pb.ClearHoldResponse(cleared=True)


class Execd(execution_grpc.ExecutionServiceServicer):
    """One list of messages per subscription: the second subscriber gets the second list."""

    def __init__(self) -> None:
        self.lives: list[list[execution_pb.WatchOrdersResponse]] = []
        self.subscriptions = 0

    async def WatchStatus(self, request: Any, context: Any) -> Stream:
        status = status_pb2.DaemonStatus(daemon="execd", incarnation="e1", state=status_pb2.DAEMON_STATE_OK)
        yield execution_pb.WatchStatusResponse(status=status, risk_session_up=True, working_orders=2)
        await asyncio.Event().wait()

    async def WatchOrders(self, request: Any, context: Any) -> Stream:
        life = self.lives[min(self.subscriptions, len(self.lives) - 1)] if self.lives else []
        self.subscriptions += 1
        for message in life:
            yield message
        await asyncio.Event().wait()

    async def CancelOrder(self, request: Any, context: Any) -> Any:
        return execution_pb.CancelOrderResponse(accepted=False, reason="LAST_PROTECTION", detail="it protects 0.3 BTC")


class Latch(stop_grpc.StopServiceServicer):
    """Remembers the stops."""

    def __init__(self) -> None:
        self.requests: list[stop_pb.StopRequest] = []
        self.level = stop_pb.STOP_LEVEL_UNSPECIFIED

    def Stop(self, request: stop_pb.StopRequest, context: grpc.ServicerContext) -> stop_pb.StopResponse:
        self.requests.append(request)
        self.level = max(self.level, request.level)
        return stop_pb.StopResponse(level=self.level, latch_id=request.command_id)

    def Ping(self, request: stop_pb.PingRequest, context: grpc.ServicerContext) -> stop_pb.PingResponse:
        return stop_pb.PingResponse(level=self.level)


def make_riskd() -> Riskd:
    """Return a riskd that serves only what the console calls."""
    return Riskd()  # type: ignore[abstract]


def make_execd() -> Execd:
    """Return an execd that serves only what the console calls."""
    return Execd()  # type: ignore[abstract]


def uds_common(folder: Path) -> CommonConfig:
    """Return a configuration with sockets below `folder`."""
    return CommonConfig.model_validate({"mode": "demo", "state_dir": str(folder)})


@asynccontextmanager
async def serving(common: CommonConfig, role: Role, service: str, add: Any, servicer: Any) -> AsyncIterator[None]:
    """Serve one service to traders."""
    binding = ServiceBinding(f"tradebot.rpc.{service}", add, servicer)
    server = RpcServer(role, common, [binding], on_crash=lambda *_: None, roles=frozenset({Role.TRADER}))
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


def riskd_serving(common: CommonConfig, servicer: Riskd) -> Any:
    """Serve riskd."""
    return serving(common, Role.RISKD, "risk.v1.RiskService", risk_grpc.add_RiskServiceServicer_to_server, servicer)


def execd_serving(common: CommonConfig, servicer: Execd) -> Any:
    """Serve execd."""
    add = execution_grpc.add_ExecutionServiceServicer_to_server
    return serving(common, Role.EXECD, "execution.v1.ExecutionService", add, servicer)


@asynccontextmanager
async def stoppable(common: CommonConfig, role: Role, latch: Latch) -> AsyncIterator[None]:
    """Serve one daemon's stop path."""
    binding = ServiceBinding("tradebot.rpc.stop.v1.StopService", stop_grpc.add_StopServiceServicer_to_server, latch)
    server = StopServer(role, common, binding, roles=frozenset({Role.TRADER}))
    server.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.stop)


def order(name: str, status: order_pb2.OrderStatus.ValueType = order_pb2.ORDER_STATUS_NEW) -> order_pb2.OrderSnapshot:
    """Return a limit buy as it stands."""
    return order_pb2.OrderSnapshot(facts=facts(name), status=status, filled_qty="0", avg_price="0", updated_time_ns=5)


def facts(name: str) -> order_pb2.OrderFacts:
    """Return the facts of a limit buy."""
    terms = order_pb2.OrderTerms(
        client_order_id=name,
        instrument_id="simx:BTC-USDT",
        side=order_pb2.SIDE_BUY,
        order_type=order_pb2.ORDER_TYPE_LIMIT,
        qty="1",
        price="100",
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
    )
    return order_pb2.OrderFacts(terms=terms, strategy_id="s", intent_id="i", role=order_pb2.ORDER_ROLE_ENTRY)


def new_order(sequence: int, name: str) -> order_pb2.OrderEvent:
    """Return the event with which an order is accepted."""
    return order_pb2.OrderEvent(
        sequence=sequence,
        client_order_id=name,
        kind=order_pb2.ORDER_EVENT_KIND_ACCEPTED,
        status=order_pb2.ORDER_STATUS_NEW,
        facts=facts(name),
        receive_time_ns=sequence,
    )
