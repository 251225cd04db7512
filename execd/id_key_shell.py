"""The key of client order ids: made at the first start, kept for ever: by it our orders are recognized."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from tradebot.core.errors import ConfigError
from tradebot.runtime.credentials import require_private, write_private

FILE_NAME: Final = "client_order_id.key"
KEY_BYTES: Final = 32


def load_id_key(keys_dir: Path) -> bytes:
    """Return the key; create it when there is none.

    Raises:
        ConfigError: If it is readable by others, damaged, or cannot be written.
    """
    path = keys_dir / FILE_NAME
    try:
        if not path.exists():
            write_private(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
        require_private(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as exc:
        raise ConfigError(f"key file {path} cannot be used ({(exc.strerror or '').lower()})") from exc
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"key file {path} is damaged: restore it; without it our orders cannot be recognized")
    return key
