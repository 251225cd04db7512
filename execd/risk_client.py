"""The session with riskd: asks, order events and lease pings up; approvals, leases and levels down.

One message carries whatever is waiting. Order events and intents were serialized already for journal and engine; their
bytes are put into the message as they are.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import grpc
import structlog

from execd.shell import EventRow, LiveDesk
from tradebot.core.amounts import parse_decimal
from tradebot.core.approvals import ApprovalAsk, SessionUp
from tradebot.core.errors import RejectedError, TransientError
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.risk.v1.risk_service_pb2_grpc import RiskServiceStub
from tradebot.runtime.feeding import feed
from tradebot.runtime.outbox import Outbox
from tradebot.wire.execd_records import event_bytes, intent_bytes
from tradebot.wire.risk import down_from_wire, order_to_wire, up_to_wire
from tradebot.wire.varint import varint

SESSION_METHOD: Final = "/tradebot.rpc.risk.v1.RiskService/Session"
CALL_TIMEOUT_S: Final = 2.0
_EVENT_TAG: Final = b"\x12"
"""SessionRequest.order_events = 2, length-delimited."""
_ASK_TAG: Final = b"\x42"
"""SessionRequest.asks = 8, length-delimited."""
_PARENT_TAG: Final = b"\x12"
"""ApprovalAsk.parent = 2, length-delimited."""
_INTENT_TAG: Final = b"\x0a"
"""ApproveParent.intent = 1, length-delimited."""

_log = structlog.get_logger(__name__)


class RiskClient:
    """See the module."""

    def __init__(self, live: LiveDesk, channel: grpc.aio.Channel) -> None:
        self._live = live
        self._stub = RiskServiceStub(channel)
        self._session = channel.stream_stream(
            SESSION_METHOD, request_serializer=_as_is, response_deserializer=pb.SessionResponse.FromString
        )

    async def session(self) -> None:
        """Open the session and talk until it ends."""
        outbox: Outbox[bytes] = Outbox()
        call = self._session(wait_for_ready=True)
        outbox.write_through(call, b"".join)  # protobuf messages join by concatenation: repeated fields append
        writer: asyncio.Task[None] | None = None
        session_id = secrets.token_hex(8)
        try:
            await call.wait_for_connection()
            self._live.risk_connected(session_id, SessionUplink(outbox))
            writer = asyncio.create_task(self._write(call, outbox), name="risk session")
            _log.info("risk_session_up", session_id=session_id)
            await feed(call, self._take)
        finally:
            outbox.close()
            self._live.risk_lost()
            if writer is not None:
                writer.cancel()
            call.cancel()

    def _take(self, message: pb.SessionResponse) -> None:
        try:
            down = down_from_wire(message)
        except RejectedError as exc:
            raise TransientError(f"riskd sent a malformed message: {exc}") from exc
        self._live.risk_message(down)

    @staticmethod
    async def _write(call: grpc.aio.StreamStreamCall[bytes, pb.SessionResponse], outbox: Outbox[bytes]) -> None:
        try:
            async for messages in outbox.batches():
                await call.write(b"".join(messages))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            call.cancel()  # the reader sees the end and reports it

    async def decision(self, decision_id: str) -> pb.GetDecisionResponse:
        """Return riskd's decision with every check; raises `TransientError` when riskd is down or does not know it."""
        try:
            return await self._stub.GetDecision(pb.GetDecisionRequest(decision_id=decision_id), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as exc:
            raise TransientError(f"riskd: {exc.code().name} {exc.details()}") from exc

    async def positions(self) -> Mapping[str, Decimal]:
        """Return what riskd holds per instrument, over all strategies; `TransientError` when riskd does not answer."""
        call = self._stub.WatchPositions(pb.WatchPositionsRequest(), timeout=CALL_TIMEOUT_S)
        held: defaultdict[str, Decimal] = defaultdict(Decimal)
        try:
            async for message in call:
                for position in message.positions:
                    held[position.instrument_id] += parse_decimal(position.qty, "qty")
                return held
        except (grpc.aio.AioRpcError, RejectedError) as exc:
            raise TransientError(f"riskd: {exc}") from exc
        finally:
            call.cancel()
        raise TransientError("riskd closed the stream of positions before its first message")


class SessionUplink:
    """Session messages as bytes, into the outbox of the stream. Protobuf messages join by concatenation."""

    def __init__(self, outbox: Outbox[bytes]) -> None:
        self._outbox = outbox

    def ask(self, ask: ApprovalAsk, raw_intent: bytes) -> None:
        """Send an ask at once."""
        raw = _encode_ask(ask, raw_intent)
        self._outbox.put(_ASK_TAG + varint(len(raw)) + raw)

    def events(self, rows: Sequence[EventRow], urgent: bool) -> None:
        """Send order events, in order."""
        self._outbox.put(encode_events(rows), urgent=urgent)

    def rest(self, up: SessionUp) -> None:
        """Send everything else, at once."""
        self._outbox.put(up_to_wire(up).SerializeToString())


def encode_events(rows: Sequence[EventRow]) -> bytes:
    """Return order events as (part of) a SessionRequest; events without bytes are serialized here."""
    parts: list[bytes] = []
    for event, row in rows:
        raw = row or event_bytes(event)
        parts += (_EVENT_TAG, varint(len(raw)), raw)
    return b"".join(parts)


def _encode_ask(ask: ApprovalAsk, raw_intent: bytes) -> bytes:
    message = pb.ApprovalAsk(ask_id=ask.ask_id, sent_time_ns=ask.sent_time_ns)
    if ask.order is not None:
        message.order.CopyFrom(order_to_wire(ask.order))
    if ask.parent is None:
        return message.SerializeToString()
    raw_intent = raw_intent or intent_bytes(ask.parent)
    parent = _INTENT_TAG + varint(len(raw_intent)) + raw_intent
    return message.SerializeToString() + _PARENT_TAG + varint(len(parent)) + parent


def _as_is(data: bytes) -> bytes:
    return data
