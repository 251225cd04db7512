"""The session with riskd: asks, order events and lease pings up; approvals, leases and levels down.

One message carries whatever is waiting. Order events and intents were serialized already for journal and engine; their
bytes are put into the message as they are.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final

import grpc
import structlog

from execd.shell import LiveDesk
from tradebot.core.approvals import ApprovalAsk, SessionUp
from tradebot.core.errors import RejectedError, TransientError
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.risk.v1.risk_service_pb2_grpc import RiskServiceStub
from tradebot.runtime.feeding import feed
from tradebot.runtime.outbox import Outbox
from tradebot.wire.execd_records import intent_bytes
from tradebot.wire.orders import event_to_wire, terms_to_wire
from tradebot.wire.risk import down_from_wire, up_to_wire
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

            def sink(up: SessionUp, raw_events: dict[int, bytes], raw_intents: dict[str, bytes], urgent: bool) -> None:
                outbox.put(encode_up(up, raw_events, raw_intents), urgent=urgent)

            self._live.risk_connected(session_id, sink)
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


def encode_up(up: SessionUp, raw_events: Mapping[int, bytes], raw_intents: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a SessionRequest.

    Args:
        up: What goes up.
        raw_events: Serialized order events by sequence; those that are missing are serialized here.
        raw_intents: Serialized intents by id; the same.
    """
    parts: list[bytes] = []
    for event in up.order_events:
        raw = raw_events.get(event.sequence) or event_to_wire(event).SerializeToString()
        parts += (_EVENT_TAG, varint(len(raw)), raw)
    asks, up.asks = up.asks, []
    events, up.order_events = up.order_events, []
    rest = up_to_wire(up).SerializeToString() if up.has_more_than_events() else b""
    up.asks, up.order_events = asks, events
    for ask in asks:
        raw = _encode_ask(ask, raw_intents)
        parts += (_ASK_TAG, varint(len(raw)), raw)
    parts.append(rest)
    return b"".join(parts)


def _encode_ask(ask: ApprovalAsk, raw_intents: Mapping[str, bytes]) -> bytes:
    raw_intent = raw_intents.get(ask.parent.intent_id) if ask.parent is not None else None
    message = pb.ApprovalAsk(ask_id=ask.ask_id, sent_time_ns=ask.sent_time_ns)
    if ask.order is not None:
        order = ask.order
        message.order.intent_id = order.intent_id
        message.order.child_index = order.child_index
        message.order.action = order.action.wire  # type: ignore[assignment]
        message.order.order.CopyFrom(terms_to_wire(order.order))
        message.order.role = order.role.wire  # type: ignore[assignment]
        message.order.venue = order.venue
        message.order.account = order.account
        message.order.replaces_client_order_id = order.replaces_client_order_id
        message.order.strategy_id = order.strategy_id
        message.order.reduce_id = order.reduce_id
        message.order.trace_id = order.trace_id
    if ask.parent is None:
        return message.SerializeToString()
    if not raw_intent:
        raw_intent = intent_bytes(ask.parent)
    parent = _INTENT_TAG + varint(len(raw_intent)) + raw_intent
    return message.SerializeToString() + _PARENT_TAG + varint(len(parent)) + parent


def _as_is(data: bytes) -> bytes:
    return data
