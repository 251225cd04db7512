"""An operator's own key: signs what loosens, for a riskd whose limits file names operators' public keys."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tradebot.core.errors import ConfigError
from tradebot.core.operator_commands import limits_file_command

KEY_ENV: Final = "TRADEBOT_OPERATOR_KEY"
"""Names the key file; the key itself is never in the environment."""
KEY_HEX_CHARACTERS: Final = 64
VALID_NS: Final = 30 * 1_000_000_000
OWNER_ONLY: Final = 0o077


def load_operator_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in a file: 64 hex characters, readable by its owner alone.

    Raises:
        ConfigError: The file is missing, open to others, or holds no key.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{KEY_ENV}: {path} cannot be read: give the path of your key file") from exc
    if mode & OWNER_ONLY:
        raise ConfigError(f"{KEY_ENV}: {path} is open to others: chmod 600 {path}")
    if len(text) != KEY_HEX_CHARACTERS:
        raise ConfigError(f"{KEY_ENV}: {path} holds no key: {KEY_HEX_CHARACTERS} hex characters are expected")
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    except ValueError as exc:
        raise ConfigError(f"{KEY_ENV}: {path} holds no key: not hex") from exc


def sign_limits_file(
    file: Path, text: str, key: Ed25519PrivateKey, operator: str, role: str, mode: str, in_force: str
) -> Path:
    """Sign a limits file into its `.sig`, one line for each operator, and return that file's path."""
    command = limits_file_command(mode, operator, role, hashlib.sha256(text.encode()).hexdigest(), in_force)
    path = file.with_name(f"{file.name}.sig")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.split(maxsplit=1)[:1] != [operator]]
    path.write_text("\n".join([*kept, f"{operator} {key.sign(command.to_bytes()).hex()}", ""]), encoding="utf-8")
    return path
