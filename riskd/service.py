"""RiskService: gRPC in, gate, gRPC out. No decisions.

The session's reader handles each message at once and puts the answers into an outbox; another task writes. Operator
commands are answered when what they changed is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc
import structlog

from riskd import reports
from riskd.audit_shell import AuditEntry, find_decision, read_audit
from riskd.controls import control_lines
from riskd.holds import DAEMONS, Clearing
from riskd.messages_service import (
    control_message,
    drill_message,
    kill_message,
    limit_change_message,
    pnl_message,
    position_message,
    risk_event_message,
)
from riskd.self_test_shell import test_limits
from riskd.shell import LiveGate
from riskd.units import PPM
from tradebot._version import __version__
from tradebot.core.amounts import format_decimal
from tradebot.core.approvals import SessionDown, SessionUp
from tradebot.core.errors import ConfigError, RejectedError, SequenceGapError
from tradebot.core.levels import TradingLevel
from tradebot.core.operator_commands import OperatorProof
from tradebot.rpc.common.v1 import status_pb2
from tradebot.rpc.risk.v1 import kill_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as pb_grpc
from tradebot.runtime.feeding import feed
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import Role, caller_role
from tradebot.runtime.outbox import Outbox
from tradebot.runtime.stream_hub import HEARTBEAT_S
from tradebot.wire.fields import require
from tradebot.wire.intents import intent_from_wire
from tradebot.wire.levels import hold_to_wire, level_from_wire, level_table_to_wire, level_to_wire, scope_from_wire
from tradebot.wire.looks import answer_to_wire, report_from_wire
from tradebot.wire.risk import decision_to_wire, down_to_wire, reduce_to_wire, up_from_wire

SERVICE_NAME: Final = "tradebot.rpc.risk.v1.RiskService"
DEFAULT_AUDIT: Final = 100
MAX_AUDIT: Final = 10_000
MAX_STATUS_KILLS: Final = 20
"""Kills that a heartbeat carries."""
MAX_TEXT: Final = 500
"""Longest reason, operator name or id that is taken."""

MAX_LIMITS_CHARACTERS: Final = 256 << 10
MAX_ASK_BYTES: Final = 64 << 10
"""AUT-01: a larger ask is malformed, whatever it says."""
SHOWN_WAIT_S: Final = 2.0
"""How long a list of holds waits for the disk."""

Context = Any
"""grpc.aio.ServicerContext, generic in types that say nothing here."""
_log = structlog.get_logger(__name__)


class RiskServicer(pb_grpc.RiskServiceServicer):
    """See the proto for the meaning of every field."""

    def __init__(self, live: LiveGate, journal_dir: Path) -> None:
        self._live = live
        self._gate = live.gate
        self._journal_dir = journal_dir
        self._started_ns = live.clock.now_ns()
        self.stopping = False

    def binding(self) -> ServiceBinding:
        """Return what a server needs to serve this."""
        return ServiceBinding(SERVICE_NAME, pb_grpc.add_RiskServiceServicer_to_server, self)

    # ---- execd

    async def Session(  # type: ignore[override]  # a coroutine that writes: a generator costs a turn per message
        self, request_iterator: Any, context: Context
    ) -> None:
        outbox: Outbox[SessionDown] = Outbox()
        outbox.write_through(context, _join)
        reader = asyncio.create_task(self._read_session(request_iterator, outbox), name="session reader")
        try:
            async for downs in outbox.batches():
                await context.write(_join(downs))
            if reader.done():
                reader.result()
        finally:
            self._live.session_ended(outbox)
            outbox.close()
            reader.cancel()

    async def _read_session(self, request_iterator: Any, outbox: Outbox[SessionDown]) -> None:
        def take(message: pb.SessionRequest) -> None:
            up, malformed = up_from_wire(message)
            if message.ByteSize() > MAX_ASK_BYTES:
                malformed += _take_oversized(up, message)
            if up.hello is not None:
                _log.info("session_up", session_id=up.hello.session_id, order_log_head=up.hello.order_log_head)
            if not self._live.session_message(outbox, up, malformed):
                raise _SessionReplaced

        try:
            await feed(request_iterator, take)
        except _SessionReplaced:
            pass  # a newer session has taken over
        except SequenceGapError as exc:
            _log.error("order_log_gap", error=str(exc))
            raise RejectedError("ORDER_LOG_GAP", f"{exc}; dial again, the log is resumed") from exc
        finally:
            outbox.close()

    # ---- the eyes

    async def SubmitLook(self, request: pb.SubmitLookRequest, context: Context) -> pb.SubmitLookResponse:
        answer = self._gate.look(await self._read(report_from_wire, request, context), self._now())
        self._live.push()  # a hold that it raised is execd's at once; the journal makes it durable behind that
        return answer_to_wire(answer)

    # ---- operators

    async def CheckIntent(self, request: pb.CheckIntentRequest, context: Context) -> pb.CheckIntentResponse:
        decision = self._gate.check_intent(await self._read(intent_from_wire, request.intent, context), self._now())
        return pb.CheckIntentResponse(decision=decision_to_wire(decision))

    async def ListHolds(self, request: pb.ListHoldsRequest, context: Context) -> pb.ListHoldsResponse:
        with suppress(TimeoutError):  # what a person was shown is still there after a crash; a slow disk hides nothing
            await asyncio.wait_for(self._live.settle(), SHOWN_WAIT_S)
        holds = self._gate.state.holds
        return pb.ListHoldsResponse(
            holds=[hold_to_wire(hold) for hold in holds.listed()],
            levels=level_table_to_wire(holds.table()),
            system_level=level_to_wire(holds.system_level()),
        )

    async def RaiseHold(self, request: pb.RaiseHoldRequest, context: Context) -> pb.RaiseHoldResponse:
        operator, command_id = await self._who(request, context)
        try:
            scope = scope_from_wire(request.scope, "scope")
            if unknown := self._gate.keeper.unknown_name(scope):
                raise RejectedError("SCOPE_INVALID", unknown)
            hold = self._gate.raise_hold(
                level_from_wire(request.level, "level"),
                scope,
                reason=request.reason[:MAX_TEXT],
                operator=operator,
                role=caller_role(),
                command_id=command_id,
                duration_s=request.duration_s,
                now_ns=self._now(),
            )
        except RejectedError as exc:
            await _invalid(context, exc)
        await self._done()
        return pb.RaiseHoldResponse(hold=hold_to_wire(hold), epoch=self._gate.state.holds.epoch)

    async def ClearHold(self, request: pb.ClearHoldRequest, context: Context) -> pb.ClearHoldResponse:
        operator, command_id = await self._who(request, context)
        cleared = self._gate.clear_hold(
            request.hold_id[:MAX_TEXT],
            reason=request.reason[:MAX_TEXT],
            operator=operator,
            role=caller_role(),
            command_id=command_id,
            typed_phrase=request.typed_phrase,
            now_ns=self._now(),
            proof=_proof(request),
        )
        await self._done()
        return pb.ClearHoldResponse(
            cleared=cleared.cleared,
            reason=cleared.reason,
            detail=cleared.detail,
            remaining=[hold_to_wire(hold) for hold in self._gate.state.holds.listed()],
        )

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        operator, command_id = await self._who(request, context)
        try:
            cleared = self._gate.resume(
                reason=request.reason[:MAX_TEXT],
                operator=operator,
                role=caller_role(),
                command_id=command_id,
                now_ns=self._now(),
                proof=_proof(request),
            )
        except RejectedError as exc:
            await _invalid(context, exc)
        await self._done()
        holds = self._gate.state.holds
        return pb.ResumeResponse(
            cleared=[hold_to_wire(hold) for hold in cleared],
            remaining=[hold_to_wire(hold) for hold in holds.listed()],
            system_level=level_to_wire(holds.system_level()),
        )

    async def ExtendHold(self, request: pb.ExtendHoldRequest, context: Context) -> pb.ExtendHoldResponse:
        operator, command_id = await self._who(request, context)
        hold_id = request.hold_id[:MAX_TEXT]
        done = self._gate.keeper.extend_hold(
            hold_id,
            request.extra_s,
            reason=request.reason[:MAX_TEXT],
            operator=operator,
            role=caller_role(),
            command_id=command_id,
            now_ns=self._now(),
        )
        await self._done()
        hold = self._gate.state.holds.holds.get(hold_id)
        return pb.ExtendHoldResponse(
            extended=done.cleared,
            reason=done.reason,
            detail=done.detail,
            hold=None if hold is None else hold_to_wire(hold),
        )

    async def SetLimits(self, request: pb.SetLimitsRequest, context: Context) -> pb.SetLimitsResponse:
        operator, command_id = await self._who(request, context)
        if len(request.limits_yaml) > MAX_LIMITS_CHARACTERS:
            await _invalid(context, RejectedError("LIMITS_TOO_LARGE", f"at most {MAX_LIMITS_CHARACTERS} characters"))
        clearing = Clearing(operator, caller_role(), request.reason[:MAX_TEXT], request.typed_phrase, _proof(request))
        try:
            wanted, answer = self._gate.set_limits(
                request.limits_yaml, clearing, command_id=command_id, dry_run=request.dry_run, now_ns=self._now()
            )
        except ConfigError as exc:
            await _invalid(context, RejectedError("LIMITS_INVALID", str(exc)))
        await self._done()
        if answer.accepted:
            await test_limits(self._live)
        return pb.SetLimitsResponse(
            accepted=answer.accepted,
            reason=answer.reason,
            detail=answer.detail,
            changes=[limit_change_message(change) for change in answer.changes],
            hash=wanted.hash,
        )

    async def Flatten(self, request: pb.FlattenRequest, context: Context) -> pb.FlattenResponse:
        operator, command_id = await self._who(request, context)
        scope = await self._read(lambda raw: scope_from_wire(raw, "scope"), request.scope, context)
        result = self._gate.flatten(
            scope,
            reason=request.reason[:MAX_TEXT],
            operator=operator,
            role=caller_role(),
            command_id=command_id,
            typed_phrase=request.typed_phrase,
            now_ns=self._now(),
        )
        await self._done()
        return pb.FlattenResponse(
            reduces=[reduce_to_wire(command) for command in result.reduces],
            reason=result.reason,
            detail=result.detail,
        )

    async def ListKills(self, request: kill_pb2.ListKillsRequest, context: Context) -> kill_pb2.ListKillsResponse:
        book = self._gate.state.kills
        found = [kill for kill in reversed(book.kills.values()) if request.kill_id in ("", kill.kill_id)]
        drill = book.last_drill
        return kill_pb2.ListKillsResponse(
            kills=[kill_message(kill) for kill in found[: request.limit or len(found)]],
            last_drill=None if drill is None else drill_message(drill),
        )

    async def StartDrill(self, request: kill_pb2.StartDrillRequest, context: Context) -> kill_pb2.StartDrillResponse:
        operator, command_id = await self._who(request, context)
        answer = self._gate.start_drill(
            operator,
            caller_role(),
            command_id,
            request.typed_phrase,
            prepare=request.prepare,
            now_ns=self._now(),
        )
        await self._done()
        fee = Decimal(self._gate.state.commitments.fee_ppm) / PPM
        return kill_pb2.StartDrillResponse(
            kill_id=answer.kill_id, reason=answer.reason, detail=answer.detail, taker_fee_fraction=format_decimal(fee)
        )

    # ---- watchers

    async def WatchPositions(
        self, request: pb.WatchPositionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchPositionsResponse]:
        with self._live.positions.subscribe(request.incarnation, request.resume_after_sequence) as reader:
            if not reader.resumed:
                yield self._positions(reader.position, None, snapshot=True)
            while (batch := await reader.next_batch(HEARTBEAT_S)) is not None:
                # Idle: the open ones again, since their marks move.
                yield self._positions(reader.position, set(batch.items) or None, snapshot=False)

    def _positions(self, sequence: int, instruments: set[str] | None, *, snapshot: bool) -> pb.WatchPositionsResponse:
        now_ns = self._now()
        return pb.WatchPositionsResponse(
            incarnation=self._live.incarnation,
            sequence=sequence,
            snapshot=snapshot,
            positions=[position_message(p) for p in reports.positions(self._gate, now_ns, instruments)],
            time_ns=now_ns,
        )

    async def WatchPnl(self, request: pb.WatchPnlRequest, context: Context) -> AsyncIterator[pb.WatchPnlResponse]:
        currency = self._gate.settings.currency
        with self._live.positions.subscribe() as reader:
            while True:
                now_ns = self._now()
                yield pnl_message(reports.pnl(self._gate, now_ns), currency, now_ns)
                if await reader.next_batch(HEARTBEAT_S) is None:
                    return

    async def WatchRiskEvents(
        self, request: pb.WatchRiskEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRiskEventsResponse]:
        holds = self._gate.state.holds
        if caller_role() is Role.RECORDER:
            self._live.told_build(Role.RECORDER, request.build_hash)
        with (
            self._live.keeping_stream(caller_role()),
            self._live.events.subscribe(request.incarnation, request.resume_after_sequence) as reader,
        ):
            first = self._risk_events(reader.position)
            first.holds.extend(hold_to_wire(hold) for hold in holds.listed())
            first.levels.CopyFrom(level_table_to_wire(holds.table()))
            epoch = holds.epoch
            yield first
            while (batch := await reader.next_batch(HEARTBEAT_S)) is not None:
                message = self._risk_events(reader.position)
                message.events.extend(
                    risk_event_message(self._gate, batch.first_sequence + n, record)
                    for n, record in enumerate(batch.items)
                )
                if holds.epoch != epoch:
                    epoch = holds.epoch
                    message.levels.CopyFrom(level_table_to_wire(holds.table()))
                yield message

    def _risk_events(self, sequence: int) -> pb.WatchRiskEventsResponse:
        return pb.WatchRiskEventsResponse(
            incarnation=self._live.incarnation,
            sequence=sequence,
            system_level=level_to_wire(self._gate.state.holds.system_level()),
        )

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        seen_ns = self._now()
        while True:
            now_ns = self._now()
            yield self._status(now_ns, seen_ns)
            seen_ns = now_ns
            await asyncio.sleep(HEARTBEAT_S)

    # ---- questions

    async def GetDecision(self, request: pb.GetDecisionRequest, context: Context) -> pb.GetDecisionResponse:
        record = self._gate.decider.find(request.decision_id)
        if record is None:
            record = await asyncio.to_thread(find_decision, self._journal_dir, request.decision_id)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no decision {request.decision_id[:MAX_TEXT]!r}")
            raise AssertionError  # abort never returns
        return pb.GetDecisionResponse(decision=decision_to_wire(self._gate.render(record)))

    async def GetLimits(self, request: pb.GetLimitsRequest, context: Context) -> pb.GetLimitsResponse:
        limits = self._gate.limits
        return pb.GetLimitsResponse(
            profile=limits.file.profile,
            hash=limits.hash,
            checks=[
                pb.CheckSetting(check_id=s.check_id, name=s.name, status=s.status, reason=s.reason, limit=s.limit)
                for s in reports.settings(self._gate)
            ],
        )

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        await self._live.settle()
        limit = min(request.limit or DEFAULT_AUDIT, MAX_AUDIT)
        entries = await asyncio.to_thread(read_audit, self._journal_dir, limit)
        return pb.ListAuditResponse(records=[_audit_message(entry) for entry in entries])

    async def ListControls(self, request: pb.ListControlsRequest, context: Context) -> pb.ListControlsResponse:
        limits = self._gate.limits
        lines = control_lines(limits, self._gate.state.controls)
        return pb.ListControlsResponse(
            profile=limits.file.profile, limits_hash=limits.hash, controls=[control_message(line) for line in lines]
        )

    # ---- inside

    def _status(self, now_ns: int, seen_ns: int) -> pb.WatchStatusResponse:
        live, gate = self._live, self._gate
        level = gate.state.holds.system_level()
        problems = [] if live.session_up else ["execd has no session"]
        stale = [i for i in gate.state.rules if not ((view := gate.board.views.get(i)) and view.is_good)]
        if stale:
            problems.append(f"no live book: {' '.join(stale[:5])}")
        problems += [f"the eyes are silent at {venue}" for venue in gate.eye_watch.silent_venues()]
        if others := gate.fleet.text(gate.session.build or gate.fleet.build):
            problems.append(others)
        if level > TradingLevel.RUNNING:
            problems.append(f"level {level.name}")
        state = status_pb2.DAEMON_STATE_DEGRADED if problems else status_pb2.DAEMON_STATE_OK
        watched = gate.board.watched(gate.settings.orders.warm_up_samples or 0)
        items = {
            "approvals": gate.state.approvals,
            "refusals": gate.state.refusals,
            "check_us_p50": live.decide_us_p50(),
            "watched_markets": f"{watched}/{len(gate.state.rules)}",
            "holds": len(gate.state.holds.holds),
            "epoch": gate.state.holds.epoch,
            "working_orders": len(gate.state.commitments.orders),
            "order_log_applied": gate.state.applied,
            "looks": gate.eye_memory.reports,
            "journal_pending_records": live.journal.pending_records,
        }
        return pb.WatchStatusResponse(
            status=status_pb2.DaemonStatus(
                daemon="riskd",
                incarnation=live.incarnation,
                version=__version__,
                mode=gate.environment,
                state=status_pb2.DAEMON_STATE_STOPPING if self.stopping else state,
                summary="; ".join(problems),
                started_time_ns=self._started_ns,
                time_ns=now_ns,
                items=[status_pb2.StatusItem(name=name, value=str(value)) for name, value in items.items()],
                log_lines=[
                    status_pb2.LogLine(time_ns=time_ns, level=severity, daemon="riskd", text=text)
                    for time_ns, severity, text in live.warnings
                    if time_ns > seen_ns
                ],
            ),
            system_level=level_to_wire(level),
            session_up=live.session_up,
            kills=[kill_message(kill) for kill in gate.kills.in_force()][:MAX_STATUS_KILLS],
        )

    def _now(self) -> int:
        return self._live.clock.now_ns()

    async def _done(self) -> None:
        """Tell execd and the watchers, then wait until it is durable."""
        self._live.push()
        await self._live.settle()

    async def _who(self, request: Any, context: Context) -> tuple[str, str]:
        """Return operator and command id; refuse a command without them. A daemon is nobody but itself."""
        try:
            operator, command_id = require(request.operator, "operator"), require(request.command_id, "command_id")
        except RejectedError as exc:
            await _invalid(context, exc)
        role = caller_role()
        return role if role in DAEMONS else operator[:MAX_TEXT], command_id[:MAX_TEXT]

    @staticmethod
    async def _read(convert: Any, message: Any, context: Context) -> Any:
        try:
            return convert(message)
        except RejectedError as exc:
            await _invalid(context, exc)


async def _invalid(context: Context, error: RejectedError) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    raise AssertionError  # abort never returns


def _proof(request: Any) -> OperatorProof | None:
    """Return the signature of a command, None when it has none."""
    if not request.HasField("proof"):
        return None
    proof = request.proof
    return OperatorProof(proof.epoch, proof.expires_time_ns, proof.signature)


def _take_oversized(up: SessionUp, message: pb.SessionRequest) -> list[tuple[int, str]]:
    """Remove asks that are too large and return them as malformed."""
    sizes = {ask.ask_id: size for ask in message.asks if (size := ask.ByteSize()) > MAX_ASK_BYTES}
    up.asks = [ask for ask in up.asks if ask.ask_id not in sizes]
    return [(ask_id, f"{size} bytes, at most {MAX_ASK_BYTES} are allowed") for ask_id, size in sizes.items()]


def _audit_message(entry: AuditEntry) -> pb.AuditRecord:
    return pb.AuditRecord(
        time_ns=entry.time_ns,
        operator=entry.operator,
        role=entry.role,
        command=entry.command,
        arguments=entry.arguments,
        reason=entry.reason,
        result=entry.result,
        record_hash=entry.record_hash,
        command_id=entry.command_id,
    )


class _SessionReplaced(Exception):
    """This stream's messages are void."""


def _join(downs: list[SessionDown]) -> bytes:
    """Messages join by concatenation: repeated fields append, single ones take the latest."""
    return b"".join([down_to_wire(down).SerializeToString() for down in downs])
