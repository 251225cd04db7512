"""The key that signs approvals: one file, readable by riskd and execd only, bound to one environment.

At most two keys: the first signs, both verify, so a rotation never voids an approval that is on its way. A key made for
demo is refused in testnet or real, on top of the environment being part of every signed text.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretBytes, ValidationError, field_serializer

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import ConfigModel, Mode
from tradebot.runtime.credentials import require_private, write_private

SECRET_BYTES = 32
KEY_ID_BYTES = 4
MAX_KEYS = 2
APPROVAL_KEY_FILE = "approval.json"


class ApprovalKey(ConfigModel):
    """One HMAC-SHA256 key."""

    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    """Travels with each approval so that the reader knows which key to check with."""
    secret_hex: Annotated[SecretBytes, Field(min_length=2 * SECRET_BYTES, max_length=2 * SECRET_BYTES)]

    @property
    def secret(self) -> bytes:
        """The 32 key bytes."""
        return bytes.fromhex(self.secret_hex.get_secret_value().decode())

    @field_serializer("secret_hex", when_used="json")
    def _plain(self, value: SecretBytes) -> str:
        return value.get_secret_value().decode()


class Keyring(ConfigModel):
    """The keys of one environment, the signing one first."""

    environment: Mode
    keys: Annotated[tuple[ApprovalKey, ...], Field(min_length=1, max_length=MAX_KEYS)]

    @property
    def current(self) -> ApprovalKey:
        """The key that signs."""
        return self.keys[0]

    def find(self, key_id: str) -> ApprovalKey | None:
        """Return the key to verify with, None for one we do not hold."""
        return next((key for key in self.keys if key.key_id == key_id), None)


def create_key_file(path: Path, environment: Mode) -> Keyring:
    """Make a fresh key file. An existing one is never overwritten: that would void every approval and grant under way.

    Raises:
        ConfigError: If the file exists or cannot be written.
    """
    if path.exists():
        raise ConfigError(f"{path} exists: rotate it instead, or move it away when nothing runs")
    return _write(path, Keyring(environment=environment, keys=(_new_key(),)))


def rotate_key_file(path: Path, environment: Mode) -> Keyring:
    """Put a new signing key in front and keep the last one for verifying. Both daemons reload it on restart."""
    old = load_keyring(path, environment)
    return _write(path, Keyring(environment=environment, keys=(_new_key(), old.current)))


def load_keyring(path: Path, environment: Mode) -> Keyring:
    """Read the key file.

    Raises:
        ConfigError: If it is missing, readable by others, damaged, or made for another environment.
    """
    try:
        require_private(path)
        data = path.read_bytes()
    except OSError as exc:
        reason = (exc.strerror or "").lower()
        raise ConfigError(f"approval key file {path} cannot be read ({reason}): create it with `tradebot up`") from exc
    try:
        keyring = Keyring.model_validate_json(data)
        for key in keyring.keys:
            bytes.fromhex(key.secret_hex.get_secret_value().decode())
    except (ValidationError, ValueError):  # the original error would show the file's content
        raise ConfigError(f"approval key file {path} is damaged: move it away and create a new one") from None
    if keyring.environment is not environment:
        raise ConfigError(
            f"approval key file {path} was made for {keyring.environment}, this is {environment}: "
            "use another state folder"
        )
    return keyring


def _new_key() -> ApprovalKey:
    return ApprovalKey(
        key_id=secrets.token_hex(KEY_ID_BYTES), secret_hex=SecretBytes(secrets.token_hex(SECRET_BYTES).encode())
    )


def _write(path: Path, keyring: Keyring) -> Keyring:
    write_private(path, keyring.model_dump_json(indent=2).encode() + b"\n")
    return keyring
