"""Payloads of execd's journal records: protobuf messages, framed by their lengths where one fact needs several."""

from __future__ import annotations

import struct
from typing import Final

from tradebot.core.approvals import Approval, ProtectionGrant, StopLatch
from tradebot.core.errors import InvariantError
from tradebot.core.intents import OrderIntent
from tradebot.core.order_events import OrderEvent
from tradebot.rpc.common.v1 import intent_pb2, order_pb2
from tradebot.rpc.risk.v1 import approval_pb2, risk_service_pb2
from tradebot.wire.approvals import approval_from_wire, approval_to_wire, grant_from_wire, grant_to_wire
from tradebot.wire.intents import intent_from_wire, intent_to_wire
from tradebot.wire.orders import event_from_wire, event_to_wire
from tradebot.wire.risk import latch_from_wire, latch_to_wire

_LENGTH: Final = struct.Struct("<I")


def pack_parts(*parts: bytes) -> bytes:
    """Return parts, each after its length."""
    return b"".join([piece for part in parts for piece in (_LENGTH.pack(len(part)), part)])


def unpack_parts(payload: bytes, count: int) -> list[bytes]:
    """Return exactly `count` parts.

    Raises:
        InvariantError: If the payload holds anything else.
    """
    parts, offset = [], 0
    for _ in range(count):
        if offset + _LENGTH.size > len(payload):
            raise InvariantError("journal record of execd is shorter than its parts")
        (length,) = _LENGTH.unpack_from(payload, offset)
        offset += _LENGTH.size
        parts.append(payload[offset : offset + length])
        offset += length
    if offset != len(payload):
        raise InvariantError("journal record of execd does not end with its last part")
    return parts


def intent_bytes(intent: OrderIntent) -> bytes:
    """Serialize an intent."""
    return intent_to_wire(intent).SerializeToString()


def intent_of(data: bytes) -> OrderIntent:
    """Read an intent."""
    return intent_from_wire(intent_pb2.OrderIntent.FromString(data))


def event_bytes(event: OrderEvent) -> bytes:
    """Serialize an order event."""
    return event_to_wire(event).SerializeToString()


def event_of(data: bytes) -> OrderEvent:
    """Read an order event."""
    return event_from_wire(order_pb2.OrderEvent.FromString(data))


def grant_bytes(grant: ProtectionGrant) -> bytes:
    """Serialize a grant; the signed bytes inside stay untouched."""
    return grant_to_wire(grant).SerializeToString()


def grant_of(data: bytes) -> ProtectionGrant:
    """Read a grant, still closed."""
    return grant_from_wire(approval_pb2.ProtectionGrant.FromString(data))


def approval_bytes(approval: Approval) -> bytes:
    """Serialize an approval; the signed bytes inside stay untouched."""
    return approval_to_wire(approval).SerializeToString()


def approval_of(data: bytes) -> Approval:
    """Read an approval, still closed."""
    return approval_from_wire(approval_pb2.Approval.FromString(data))


def latch_bytes(latch: StopLatch) -> bytes:
    """Serialize a stop latch."""
    return latch_to_wire(latch).SerializeToString()


def latch_of(data: bytes) -> StopLatch:
    """Read a stop latch."""
    return latch_from_wire(risk_service_pb2.StopLatch.FromString(data))
