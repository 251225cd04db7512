"""What an operator signs when a command loosens something: exact bytes that both sides make from the same fields.

Each field is prefixed with its length, so no two commands share their bytes. Raising a hold is never signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "tradebot.operator-command.v1"
MAX_VALID_NS: Final = 60 * 1_000_000_000
"""A signature ends at most this long after it is used: it is made for now."""
LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """One command as it is signed."""

    environment: str
    """demo, paper, testnet, real: a signature of one is worth nothing in another."""
    command: str
    """CLEAR, RESUME, SET_LIMITS, LOAD_LIMITS."""
    subject: str
    """Hold id; hash of the new limits; empty for RESUME."""
    operator: str
    role: str
    reason: str
    command_id: str
    limits_hash: str
    """Limits in force when it was signed."""
    epoch: int
    """Epoch of the holds that the operator has seen."""
    expires_ns: int

    def to_bytes(self) -> bytes:
        """Return the bytes to sign."""
        fields = (
            DOMAIN,
            self.environment,
            self.command,
            self.subject,
            self.operator,
            self.role,
            self.reason,
            self.command_id,
            self.limits_hash,
            str(self.epoch),
            str(self.expires_ns),
        )
        encoded = (field.encode() for field in fields)
        return b"".join(len(data).to_bytes(LENGTH_BYTES, "big") + data for data in encoded)


def limits_file_command(
    environment: str, operator: str, role: str, file_hash: str, in_force_hash: str
) -> OperatorCommand:
    """Return what is signed beside a limits file: this file may take the place of those limits, whenever riskd starts.

    It is worth nothing once other limits have been in force: an old file cannot come back with its old signature.
    """
    return OperatorCommand(environment, "LOAD_LIMITS", file_hash, operator, role, "", "", in_force_hash, 0, 0)


@dataclass(frozen=True, slots=True)
class OperatorProof:
    """What travels with a signed command besides its own fields."""

    epoch: int
    expires_ns: int
    signature: bytes
    """Ed25519."""
