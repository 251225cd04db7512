"""gRPC client of the command: one short conversation per command, synchronous, every call with a deadline.

With `kill_client` and `view_client` the only module here that knows protobuf; it hands out `views`. A daemon that does
not answer is an UnreachableError that names it, never a traceback.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from types import TracebackType
from typing import Any, Final

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli import kill_views, views
from cli.kill_client import kills_view
from cli.signing import VALID_NS
from cli.view_client import (
    book_view,
    daemon_view,
    decision_view,
    event_view,
    execution_view,
    hold_view,
    intent_view,
    order_view,
    pnl_view,
    position_view,
    strategy_view,
    table_view,
)
from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import ConfigError, DisconnectedError, RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.core.operator_commands import OperatorCommand
from tradebot.rpc.common.v1 import intent_pb2, level_pb2, order_pb2
from tradebot.rpc.engine.v1 import engine_service_pb2 as engine_pb
from tradebot.rpc.engine.v1 import engine_service_pb2_grpc as engine_grpc
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.execution.v1 import execution_service_pb2_grpc as execution_grpc
from tradebot.rpc.eyes.v1 import eyes_service_pb2 as eyes_pb
from tradebot.rpc.eyes.v1 import eyes_service_pb2_grpc as eyes_grpc
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2_grpc as market_grpc
from tradebot.rpc.recorder.v1 import recorder_service_pb2 as recorder_pb
from tradebot.rpc.recorder.v1 import recorder_service_pb2_grpc as recorder_grpc
from tradebot.rpc.risk.v1 import kill_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as risk_grpc
from tradebot.rpc.stop.v1 import stop_service_pb2 as stop_pb
from tradebot.rpc.stop.v1 import stop_service_pb2_grpc as stop_grpc
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_client import open_sync_channel
from tradebot.runtime.identity import Role
from tradebot.wire.fields import enum_name
from tradebot.wire.instruments import instrument_from_wire
from tradebot.wire.intents import intent_to_wire
from tradebot.wire.levels import level_to_wire, scope_to_wire

CALL_TIMEOUT_S: Final = 5.0
FIRST_MESSAGE_TIMEOUT_S: Final = 2.5
"""A watch stream sends its first message at once, or within a second when it is a heartbeat."""
AUDIT_TIMEOUT_S: Final = 60.0
"""An audit asks the venue."""
NS_PER_S: Final = 1_000_000_000
PREFIX: Final = "LIMIT_DIRECTION_"


class UnreachableError(DisconnectedError):
    """A daemon does not answer; the text says which and what to do."""


class Daemons:
    """Conversations with the daemons of one system, acting as one operator role."""

    def __init__(self, common: CommonConfig, role: Role, operator: str, key: Ed25519PrivateKey | None = None) -> None:
        self._common = common
        self._role = role
        self._operator = operator
        self._key = key
        self._channels: dict[str, grpc.Channel] = {}

    def __enter__(self) -> Daemons:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    # --- health and status ---------------------------------------------------------------------------------------

    def is_serving(self, daemon: str, timeout_s: float = 1.0) -> bool:
        """Return whether a daemon says that it serves."""
        stub: Any = health_pb2_grpc.HealthStub(self._channel(daemon))
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def sees_every_market(self) -> bool:
        """Return whether riskd has a live book of every instrument and has watched it for long enough (STA-07)."""
        try:
            watched, _, known = self.riskd_status().item("watched_markets", "0/0").partition("/")
        except UnreachableError:
            return False
        return watched == known != "0"

    def marketdata_status(self) -> tuple[views.DaemonView, list[views.BookView]]:
        """Return marketdata's heartbeat and books."""
        stub = market_grpc.MarketDataServiceStub(self._channel("marketdata"))
        message = self._first("marketdata", stub.WatchStatus, market_pb.WatchStatusRequest())
        return daemon_view(message.status), [book_view(book) for book in message.books]

    def engine_status(self) -> tuple[views.DaemonView, list[views.StrategyView]]:
        """Return the engine's heartbeat and strategies."""
        stub = engine_grpc.EngineServiceStub(self._channel("engine"))
        message = self._first("engine", stub.WatchStatus, engine_pb.WatchStatusRequest())
        return daemon_view(message.status), [strategy_view(strategy) for strategy in message.strategies]

    def riskd_status(self) -> views.DaemonView:
        """Return riskd's heartbeat."""
        message = self._first("riskd", self._risk().WatchStatus, risk_pb.WatchStatusRequest())
        return daemon_view(message.status)

    def execd_status(self) -> tuple[views.DaemonView, int, int, bool, str]:
        """Return execd's heartbeat, its working and UNKNOWN orders, whether the risk session is up, and the latch."""
        message = self._first("execd", self._execution().WatchStatus, execution_pb.WatchStatusRequest())
        return (
            daemon_view(message.status),
            message.working_orders,
            message.unknown_orders,
            message.risk_session_up,
            message.latch,
        )

    def eyes_status(self) -> views.DaemonView:
        """Return the eyes' heartbeat."""
        stub = eyes_grpc.EyesServiceStub(self._channel("eyes"))
        return daemon_view(self._first("eyes", stub.WatchStatus, eyes_pb.WatchStatusRequest()).status)

    def recorder_status(self) -> tuple[views.DaemonView, list[views.TableView]]:
        """Return the recorder's heartbeat and tables."""
        stub = recorder_grpc.RecorderServiceStub(self._channel("recorder"))
        message = self._first("recorder", stub.WatchStatus, recorder_pb.WatchStatusRequest())
        return daemon_view(message.status), [table_view(table) for table in message.tables]

    # --- money and positions -------------------------------------------------------------------------------------

    def pnl(self) -> views.PnlView:
        """Return PnL and equity as of now."""
        return pnl_view(self._first("riskd", self._risk().WatchPnl, risk_pb.WatchPnlRequest()))

    def positions(self) -> list[views.PositionView]:
        """Return the open positions."""
        message = self._first("riskd", self._risk().WatchPositions, risk_pb.WatchPositionsRequest())
        return [position_view(item) for item in message.positions if Decimal(item.qty or "0")]

    def limits(self) -> views.LimitsView:
        """Return which limits are in force."""
        answer = self._call("riskd", self._risk().GetLimits, risk_pb.GetLimitsRequest())
        enforced = sum(check.status == "enforced" for check in answer.checks)
        return views.LimitsView(answer.profile, answer.hash, enforced, len(answer.checks) - enforced)

    # --- holds ---------------------------------------------------------------------------------------------------

    def holds(self) -> views.HoldsView:
        """Return all holds."""
        answer = self._call("riskd", self._risk().ListHolds, risk_pb.ListHoldsRequest())
        return views.HoldsView(
            enum_name(level_pb2.TradingLevel, answer.system_level, "TRADING_LEVEL_"),
            answer.levels.epoch,
            [hold_view(hold) for hold in answer.holds],
        )

    def raise_hold(self, level: TradingLevel, scope: Scope, reason: str, command_id: str) -> views.HoldView:
        """Raise a hold on a scope smaller than everything."""
        request = risk_pb.RaiseHoldRequest(
            level=level_to_wire(level),
            scope=scope_to_wire(scope),
            reason=reason,
            operator=self._operator,
            command_id=command_id,
        )
        return hold_view(self._call("riskd", self._risk().RaiseHold, request).hold)

    def resume(self, reason: str, command_id: str) -> views.ResumeView:
        """Clear what one operator may clear."""
        proof = self._proof("RESUME", "", reason, command_id)
        request = risk_pb.ResumeRequest(reason=reason, operator=self._operator, command_id=command_id, proof=proof)
        answer = self._call("riskd", self._risk().Resume, request)
        return views.ResumeView(
            [hold_view(hold) for hold in answer.cleared],
            [hold_view(hold) for hold in answer.remaining],
            enum_name(level_pb2.TradingLevel, answer.system_level, "TRADING_LEVEL_"),
        )

    def clear(self, hold_id: str, reason: str, typed_phrase: str, command_id: str) -> tuple[bool, views.ResumeView]:
        """Clear one hold by its rule. Return whether it is gone, and what remains."""
        request = risk_pb.ClearHoldRequest(
            hold_id=hold_id,
            reason=reason,
            operator=self._operator,
            command_id=command_id,
            typed_phrase=typed_phrase,
            proof=self._proof("CLEAR", hold_id, reason, command_id),
        )
        answer = self._call("riskd", self._risk().ClearHold, request)
        remaining = [hold_view(hold) for hold in answer.remaining]
        level = max((TradingLevel[hold.level] for hold in remaining), default=TradingLevel.RUNNING)
        return answer.cleared, views.ResumeView([], remaining, level.name, answer.reason, answer.detail)

    def extend(self, hold_id: str, extra_s: int, reason: str, command_id: str) -> views.ExtendView:
        """Make a TIMED hold last longer."""
        request = risk_pb.ExtendHoldRequest(
            hold_id=hold_id, extra_s=extra_s, reason=reason, operator=self._operator, command_id=command_id
        )
        answer = self._call("riskd", self._risk().ExtendHold, request)
        hold = hold_view(answer.hold) if answer.HasField("hold") else None
        return views.ExtendView(answer.extended, answer.reason, answer.detail, hold)

    def set_limits(
        self, text: str, reason: str, typed_phrase: str, command_id: str, *, dry_run: bool
    ) -> views.SetLimitsView:
        """Put other limits in force, or only say what they would change."""
        request = risk_pb.SetLimitsRequest(
            limits_yaml=text,
            reason=reason,
            operator=self._operator,
            command_id=command_id,
            typed_phrase=typed_phrase,
            proof=None if dry_run else self._proof("SET_LIMITS", limits_hash(text), reason, command_id),
            dry_run=dry_run,
        )
        answer = self._call("riskd", self._risk().SetLimits, request)
        changes = [
            views.LimitChangeView(
                c.path, c.before, c.after, c.ratio, enum_name(risk_pb.LimitDirection, c.direction, PREFIX)
            )
            for c in answer.changes
        ]
        return views.SetLimitsView(answer.accepted, answer.reason, answer.detail, answer.hash, changes)

    def _proof(self, command: str, subject: str, reason: str, command_id: str) -> risk_pb.OperatorProof | None:
        """Sign a command with the operator's key, when there is one, for the holds and limits that riskd has now."""
        if self._key is None:
            return None
        epoch, limits = self.holds().epoch, self.limits().hash
        expires_ns = time.time_ns() + VALID_NS
        signed = OperatorCommand(
            self._common.mode.value,
            command,
            subject,
            self._operator,
            self._role.value,
            reason,
            command_id,
            limits,
            epoch,
            expires_ns,
        )
        signature = self._key.sign(signed.to_bytes())
        return risk_pb.OperatorProof(epoch=epoch, expires_time_ns=expires_ns, signature=signature)

    def flatten(self, scope: Scope, reason: str, typed_phrase: str, command_id: str) -> views.FlattenView:
        """Close positions; riskd answers with the phrase that it wants to be typed."""
        request = risk_pb.FlattenRequest(
            scope=scope_to_wire(scope),
            reason=reason,
            operator=self._operator,
            command_id=command_id,
            typed_phrase=typed_phrase,
        )
        answer = self._call("riskd", self._risk().Flatten, request)
        reduces = [
            views.ReduceView(
                item.reduce_id, item.instrument_id, enum_name(order_pb2.Side, item.side, "SIDE_"), item.qty
            )
            for item in answer.reduces
        ]
        return views.FlattenView(reduces, answer.reason, answer.detail)

    def kills(self, *, kill_id: str = "", limit: int = 0) -> kill_views.KillsView:
        """Return kills, newest first, and the last drill."""
        request = kill_pb2.ListKillsRequest(kill_id=kill_id, limit=limit)
        return kills_view(self._call("riskd", self._risk().ListKills, request))

    def start_drill(self, typed_phrase: str, command_id: str, *, prepare: bool) -> kill_views.DrillStartView:
        """Begin a drill of the kill switch, or have riskd let the drill's orders in."""
        request = kill_pb2.StartDrillRequest(
            operator=self._operator, command_id=command_id, typed_phrase=typed_phrase, prepare=prepare
        )
        answer = self._call("riskd", self._risk().StartDrill, request)
        fee = parse_decimal(answer.taker_fee_fraction, "taker_fee_fraction")
        return kill_views.DrillStartView(answer.kill_id, answer.reason, answer.detail, fee)

    def instruments(self) -> dict[str, Instrument]:
        """Return what is traded, with the venues' rules."""
        stub = market_grpc.MarketDataServiceStub(self._channel("marketdata"))
        answer = self._call("marketdata", stub.ListInstruments, market_pb.ListInstrumentsRequest())
        found = [instrument_from_wire(item) for item in answer.instruments]
        return {item.instrument_id: item for item in found}

    def audit_trail(self, limit: int) -> list[views.AuditRecordView]:
        """Return operator commands and holds, newest first."""
        answer = self._call("riskd", self._risk().ListAudit, risk_pb.ListAuditRequest(limit=limit))
        return [
            views.AuditRecordView(
                record.time_ns,
                record.operator,
                record.role,
                record.command,
                record.arguments,
                record.reason,
                record.result,
                record.record_hash,
            )
            for record in answer.records
        ]

    def controls(self) -> views.ControlReportView:
        """Return the control report."""
        answer = self._call("riskd", self._risk().ListControls, risk_pb.ListControlsRequest())
        return views.ControlReportView(
            answer.profile,
            answer.limits_hash,
            tuple(
                views.ControlView(
                    control.check_id,
                    control.name,
                    control.status,
                    control.reason,
                    control.limit,
                    tuple(control.rts6),
                    tuple(control.sec_15c3_5),
                    control.last_test_time_ns,
                    control.last_test,
                    control.last_test_passed,
                    control.last_breach_time_ns,
                    control.last_breach,
                    control.breaches,
                    control.untested,
                )
                for control in answer.controls
            ),
        )

    # --- orders --------------------------------------------------------------------------------------------------

    def orders(self, *, working_only: bool, instrument_id: str, strategy_id: str, limit: int) -> list[views.OrderView]:
        """Return orders, newest first."""
        request = execution_pb.ListOrdersRequest(
            working_only=working_only, instrument_id=instrument_id, strategy_id=strategy_id, limit=limit
        )
        answer = self._call("execd", self._execution().ListOrders, request)
        return [order_view(order) for order in answer.orders]

    def submit(self, intent: OrderIntent) -> views.IntentAnswerView:
        """Hand in a manual intent; execd makes it one of `manual:<operator>` and riskd checks it like any other."""
        request = execution_pb.SubmitIntentRequest(intent=intent_to_wire(intent))
        answer = self._call("execd", self._execution().SubmitIntent, request).answer
        return views.IntentAnswerView(
            answer.intent_id,
            enum_name(intent_pb2.IntentStatus, answer.status, "INTENT_STATUS_"),
            answer.client_order_id,
            answer.check_id,
            answer.reason,
            answer.detail,
        )

    def cancel(self, client_order_id: str, reason: str, command_id: str) -> views.CancelView:
        """Cancel one order."""
        request = execution_pb.CancelOrderRequest(client_order_id=client_order_id, reason=reason, command_id=command_id)
        answer = self._call("execd", self._execution().CancelOrder, request)
        order = order_view(answer.order) if answer.HasField("order") else None
        return views.CancelView(answer.accepted, answer.reason, answer.detail, order)

    def audit(self, venue: str = "") -> views.AuditView:
        """Compare journal, approvals and venue."""
        request = execution_pb.AuditRequest(venue=venue)
        answer = self._call("execd", self._execution().Audit, request, AUDIT_TIMEOUT_S)
        return views.AuditView(
            venue_orders=answer.venue_orders,
            approved_orders=answer.approved_orders,
            venue_fills=answer.venue_fills,
            booked_fills=answer.booked_fills,
            unknown_orders=answer.unknown_orders,
            unapproved_orders=answer.unapproved_orders,
            position_mismatches=answer.position_mismatches,
            findings=[views.FindingView(item.kind, item.subject, item.detail) for item in answer.findings],
            notes=list(answer.notes),
        )

    def explain(self, exec_id: str, client_order_id: str = "") -> views.ExplainView:
        """Join one fill with everything that led to it."""
        request = execution_pb.ExplainRequest(exec_id=exec_id, client_order_id=client_order_id)
        answer = self._call("execd", self._execution().Explain, request)
        return views.ExplainView(
            executions=[execution_view(item) for item in answer.executions],
            order=order_view(answer.order) if answer.HasField("order") else None,
            events=[event_view(item) for item in answer.events],
            decision=decision_view(answer.decision) if answer.HasField("decision") else None,
            intent=intent_view(answer.intent) if answer.HasField("intent") else None,
            grant_derivation=answer.grant_derivation,
            missing=list(answer.missing),
        )

    # --- strategies, tables ----------------------------------------------------------------------------------------

    def strategies(self) -> list[views.StrategyView]:
        """Return the strategies."""
        stub = engine_grpc.EngineServiceStub(self._channel("engine"))
        answer = self._call("engine", stub.ListStrategies, engine_pb.ListStrategiesRequest())
        return [strategy_view(item) for item in answer.strategies]

    def enable(self, strategy_id: str, enabled: bool, reason: str, command_id: str) -> views.StrategyView:
        """Switch one strategy on or off."""
        stub = engine_grpc.EngineServiceStub(self._channel("engine"))
        request = engine_pb.SetStrategyEnabledRequest(
            strategy_id=strategy_id, enabled=enabled, reason=reason, command_id=command_id
        )
        return strategy_view(self._call("engine", stub.SetStrategyEnabled, request).strategy)

    def tables(self, *, flush: bool) -> views.TablesView:
        """Return rows per table of the database."""
        stub = recorder_grpc.RecorderServiceStub(self._channel("recorder"))
        request = recorder_pb.GetStatisticsRequest(flush=flush)
        answer = self._call("recorder", stub.GetStatistics, request)
        return views.TablesView(answer.database, [table_view(table) for table in answer.tables])

    # --- stop ------------------------------------------------------------------------------------------------------

    def stop(self, daemon: str, level: str, command_id: str, reason: str, timeout_s: float) -> views.StopAck:
        """Latch a stop at one daemon; `level` is HALT or KILL. Never raises."""
        request = stop_pb.StopRequest(
            command_id=command_id,
            level=stop_pb.StopLevel.Value(f"STOP_LEVEL_{level}"),
            operator=self._operator,
            reason=reason,
        )
        stub = stop_grpc.StopServiceStub(self._channel(f"{daemon}.stop"))
        return _stop_ack(daemon, lambda: stub.Stop(request, timeout=timeout_s))

    def ping_stop(self, daemon: str, timeout_s: float) -> views.StopAck:
        """Prove that the stop path of one daemon works. Never raises."""
        stub = stop_grpc.StopServiceStub(self._channel(f"{daemon}.stop"))
        return _stop_ack(daemon, lambda: stub.Ping(stop_pb.PingRequest(), timeout=timeout_s))

    # --- plumbing --------------------------------------------------------------------------------------------------

    def _risk(self) -> Any:
        return risk_grpc.RiskServiceStub(self._channel("riskd"))

    def _execution(self) -> Any:
        return execution_grpc.ExecutionServiceStub(self._channel("execd"))

    def _channel(self, endpoint: str) -> grpc.Channel:
        channel = self._channels.get(endpoint)
        if channel is None:
            channel = self._channels[endpoint] = open_sync_channel(self._common, endpoint, self._role)
        return channel

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("tradebot-operator", self._operator),)

    def _call(self, daemon: str, method: Any, request: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        with _named_errors(daemon):
            return method(request, timeout=timeout_s, metadata=self._metadata())

    def _first(self, daemon: str, method: Any, request: Any) -> Any:
        """Return the first message of a watch stream and leave."""
        with _named_errors(daemon):
            stream = method(request, timeout=FIRST_MESSAGE_TIMEOUT_S, metadata=self._metadata())
            try:
                return next(iter(stream))
            except StopIteration:
                raise UnreachableError(f"{daemon} closed the stream before its first message: try again") from None
            finally:
                stream.cancel()


@contextmanager
def _named_errors(daemon: str) -> Iterator[None]:
    """Turn gRPC failures into errors that name the daemon and what to do."""
    try:
        yield
    except grpc.RpcError as exc:
        code, details = exc.code(), exc.details() or ""
        match code:
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
                text = f"{daemon} does not answer: is it running? (tradebot up, tradebot status)"
                raise UnreachableError(text) from exc
            case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.NOT_FOUND:
                raise RejectedError(code.name, f"{daemon}: {details}") from exc
            case grpc.StatusCode.FAILED_PRECONDITION | grpc.StatusCode.ABORTED | grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise RejectedError(code.name, f"{daemon}: {details}") from exc
            case _:
                raise UnreachableError(f"{daemon} failed: {code.name}: {details}: see its log") from exc


def _stop_ack(daemon: str, call: Callable[[], Any]) -> views.StopAck:
    start = time.monotonic()
    try:
        answer = call()
    except grpc.RpcError as exc:
        return views.StopAck(daemon, False, 0.0, error=exc.code().name)
    ms = round((time.monotonic() - start) * 1e3, 1)
    level = enum_name(stop_pb.StopLevel, answer.level, "STOP_LEVEL_")
    return views.StopAck(daemon, True, ms, "" if level == "UNSPECIFIED" else level)


def scope_of(text: str) -> Scope:
    """Return the scope that `--scope` names: `system`, `venue:NAME`, `instrument:ID` or `strategy:ID`.

    Raises:
        ConfigError: If it is none of these.
    """
    kind, _, name = text.partition(":")
    if kind == "system" and not name:
        return Scope(ScopeKind.SYSTEM)
    found = {"venue": ScopeKind.VENUE, "instrument": ScopeKind.INSTRUMENT, "strategy": ScopeKind.STRATEGY}.get(kind)
    if found is None or not name:
        raise ConfigError(f"--scope {text!r}: write system, venue:NAME, instrument:ID or strategy:ID")
    return Scope(found, name)


def limits_hash(text: str) -> str:
    """Return the hash under which riskd knows these limits."""
    return hashlib.sha256(text.encode()).hexdigest()
