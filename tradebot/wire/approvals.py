"""Approvals and grants: terms become bytes once, and only these bytes are signed, sent and opened.

The MAC is HMAC-SHA256 over `<domain> 0x00 <key id> 0x00 <terms>`. Opening verifies the MAC over the exact bytes
before it parses them; protobuf bytes are not canonical, so nobody serializes terms a second time.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.approvals import Approval, ApprovalTerms, GrantTerms, ProtectionGrant, VenueAction
from tradebot.core.errors import RejectedError
from tradebot.core.mac import hmac_sha256
from tradebot.core.orders import OrderType
from tradebot.rpc.risk.v1 import approval_pb2 as pb
from tradebot.wire.fields import read_enum, read_optional_decimal, wire_values, write_optional_decimal
from tradebot.wire.orders import ORDER_TYPES, ROLES, SIDES, terms_from_wire, terms_to_wire

APPROVAL_DOMAIN: Final = b"tradebot.approval.v1"
GRANT_DOMAIN: Final = b"tradebot.grant.v1"
ACTIONS: Final = wire_values(VenueAction)
MAX_TYPE_SETS: Final = 16
"""Sets of order types whose wire form is kept; riskd's grants have one."""


def _mac(domain: bytes, key_id: str, terms: bytes, key: bytes) -> bytes:
    return hmac_sha256(key, b"%b\x00%b\x00%b" % (domain, key_id.encode(), terms))


def _verify(domain: bytes, key_id: str, terms: bytes, mac: bytes, keys: Mapping[str, bytes], what: str) -> None:
    key = keys.get(key_id)
    if key is None:
        raise RejectedError(f"{what}_BAD_SIGNATURE", f"key id {key_id!r} is not current")
    if not hmac.compare_digest(_mac(domain, key_id, terms, key), mac):
        raise RejectedError(f"{what}_BAD_SIGNATURE", "the MAC does not match the terms")


def sign_approval(terms: ApprovalTerms, key_id: str, key: bytes) -> Approval:
    """Serialize and sign an approval."""
    raw = pb.ApprovalTerms(
        environment=terms.environment,
        nonce=terms.nonce,
        epoch=terms.epoch,
        valid_for_ms=terms.valid_for_ms,
        session_id=terms.session_id,
        ask_id=terms.ask_id,
        action=terms.action.wire,  # type: ignore[arg-type]
        venue=terms.venue,
        account=terms.account,
        order=terms_to_wire(terms.order),
        role=terms.role.wire,  # type: ignore[arg-type]
        decision_id=terms.decision_id,
        replaces_client_order_id=terms.replaces_client_order_id,
        strategy_id=terms.strategy_id,
    ).SerializeToString()
    return Approval(raw, _mac(APPROVAL_DOMAIN, key_id, raw, key), key_id)


def open_approval(approval: Approval, keys: Mapping[str, bytes]) -> ApprovalTerms:
    """Verify and read an approval.

    Args:
        approval: As received.
        keys: Current keys by id.

    Raises:
        RejectedError: APPROVAL_BAD_SIGNATURE, or a malformed field (a signer's bug).
    """
    _verify(APPROVAL_DOMAIN, approval.key_id, approval.terms, approval.mac, keys, "APPROVAL")
    message = pb.ApprovalTerms.FromString(approval.terms)
    return ApprovalTerms(
        environment=message.environment,
        nonce=message.nonce,
        epoch=message.epoch,
        valid_for_ms=message.valid_for_ms,
        session_id=message.session_id,
        ask_id=message.ask_id,
        action=read_enum(ACTIONS, message.action, "approval.action"),
        venue=message.venue,
        account=message.account,
        order=terms_from_wire(message.order),
        role=read_enum(ROLES, message.role, "approval.role"),
        decision_id=message.decision_id,
        strategy_id=message.strategy_id,
        replaces_client_order_id=message.replaces_client_order_id,
    )


@lru_cache(MAX_TYPE_SETS)
def _wire_types(types: frozenset[OrderType]) -> tuple[int, ...]:
    return tuple(sorted(one.wire for one in types))


def sign_grant(terms: GrantTerms, key_id: str, key: bytes) -> ProtectionGrant:
    """Serialize and sign a protection grant."""
    raw = pb.GrantTerms(
        environment=terms.environment,
        grant_id=terms.grant_id,
        venue=terms.venue,
        account=terms.account,
        entry_client_order_id=terms.entry_client_order_id,
        instrument_id=terms.instrument_id,
        side=terms.side.wire,  # type: ignore[arg-type]
        max_qty=format_decimal(terms.max_qty),
        min_price=format_decimal(terms.min_price),
        max_price=format_decimal(terms.max_price),
        order_types=_wire_types(terms.order_types),  # type: ignore[arg-type]
        tighten_only=terms.tighten_only,
        max_orders=terms.max_orders,
        expires_time_ns=terms.expires_time_ns,
        strategy_id=terms.strategy_id,
        stop_loss_fraction=write_optional_decimal(terms.stop_loss_fraction),
        take_profit_fraction=write_optional_decimal(terms.take_profit_fraction),
        covers_position=terms.covers_position,
        emergency_bound_bps=terms.emergency_bound_bps,
    ).SerializeToString()
    return ProtectionGrant(raw, _mac(GRANT_DOMAIN, key_id, raw, key), key_id)


def open_grant(grant: ProtectionGrant, keys: Mapping[str, bytes]) -> GrantTerms:
    """Verify and read a protection grant.

    Raises:
        RejectedError: GRANT_BAD_SIGNATURE, or a malformed field (a signer's bug).
    """
    _verify(GRANT_DOMAIN, grant.key_id, grant.terms, grant.mac, keys, "GRANT")
    message = pb.GrantTerms.FromString(grant.terms)
    return GrantTerms(
        environment=message.environment,
        grant_id=message.grant_id,
        venue=message.venue,
        account=message.account,
        entry_client_order_id=message.entry_client_order_id,
        instrument_id=message.instrument_id,
        side=read_enum(SIDES, message.side, "grant.side"),
        max_qty=parse_decimal(message.max_qty, "grant.max_qty"),
        min_price=parse_decimal(message.min_price, "grant.min_price"),
        max_price=parse_decimal(message.max_price, "grant.max_price"),
        order_types=frozenset(read_enum(ORDER_TYPES, t, "grant.order_types") for t in message.order_types),
        tighten_only=message.tighten_only,
        max_orders=message.max_orders,
        expires_time_ns=message.expires_time_ns,
        strategy_id=message.strategy_id,
        stop_loss_fraction=read_optional_decimal(message.stop_loss_fraction, "grant.stop_loss_fraction"),
        take_profit_fraction=read_optional_decimal(message.take_profit_fraction, "grant.take_profit_fraction"),
        covers_position=message.covers_position,
        emergency_bound_bps=message.emergency_bound_bps,
    )


def approval_to_wire(approval: Approval) -> pb.Approval:
    """Return the message; the signed bytes pass through untouched."""
    return pb.Approval(terms=approval.terms, mac=approval.mac, key_id=approval.key_id)


def approval_from_wire(message: pb.Approval) -> Approval:
    """Return the approval, still closed."""
    return Approval(message.terms, message.mac, message.key_id)


def grant_to_wire(grant: ProtectionGrant) -> pb.ProtectionGrant:
    """Return the message; the signed bytes pass through untouched."""
    return pb.ProtectionGrant(terms=grant.terms, mac=grant.mac, key_id=grant.key_id)


def grant_from_wire(message: pb.ProtectionGrant) -> ProtectionGrant:
    """Return the grant, still closed."""
    return ProtectionGrant(message.terms, message.mac, message.key_id)
