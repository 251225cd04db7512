"""Verifies operators' signatures: with `operator_keys` in the limits file, whatever loosens must be signed."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from riskd.holds import Clearing, ClearRefusal
from riskd.limits import OperatorKey
from tradebot.core.operator_commands import MAX_VALID_NS, OperatorCommand


class CommandVerifier:
    """Knows who may sign."""

    def __init__(self, keys: Mapping[str, OperatorKey], environment: str, limits_hash: str) -> None:
        """Prepare.

        Args:
            keys: Operator -> key; empty = nothing needs a signature.
            environment: Mode that signatures must name.
            limits_hash: Limits in force, which signatures must name.
        """
        self._keys = {name: (key.role, bytes.fromhex(key.public_key)) for name, key in keys.items()}
        self._environment = environment
        self._limits_hash = limits_hash

    def problem(
        self, command: str, subject: str, clearing: Clearing, command_id: str, epoch: int, now_ns: int
    ) -> ClearRefusal | None:
        """Return why a command is not signed as it must be, None when it is or needs no signature."""
        if not self._keys:
            return None
        operator, proof = clearing.operator, clearing.proof
        found = self._keys.get(operator)
        if found is None:
            return ClearRefusal("KEY_UNKNOWN", f"operator_keys of the limits file has no key of {operator!r}")
        role, key = found
        if role != clearing.role:
            return ClearRefusal("KEY_ROLE", f"{operator}'s key is that of a {role}, not of a {clearing.role}")
        if proof is None:
            return ClearRefusal("SIGNATURE_NEEDED", f"{command} must be signed with {operator}'s key")
        if not 0 < proof.expires_ns - now_ns <= MAX_VALID_NS:
            return ClearRefusal("SIGNATURE_EXPIRED", "sign again: a signature lasts a minute at most")
        if proof.epoch != epoch:
            return ClearRefusal("EPOCH_CHANGED", f"signed at epoch {proof.epoch}, now {epoch}: look again, then sign")
        signed = OperatorCommand(
            self._environment,
            command,
            subject,
            operator,
            role,
            clearing.reason,
            command_id,
            self._limits_hash,
            proof.epoch,
            proof.expires_ns,
        )
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(proof.signature, signed.to_bytes())
        except (InvalidSignature, ValueError):
            return ClearRefusal("SIGNATURE_INVALID", f"the signature is not {operator}'s over this command")
        return None
