"""Secrets: one file per name in the credentials folder; the environment only outside `real`; never YAML, never a log
line.

Order: `$CREDENTIALS_DIRECTORY` (systemd's unswappable folder) or else `secrets.credentials_dir`, then the environment
variable `TRADEBOT_<NAME>`: with a warning, and refused in real.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import SecretStr

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import Mode

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
MAX_SECRET_BYTES = 16_384

_log = structlog.get_logger(__name__)


class SecretStore:
    """Looks secrets up by name, such as `binance_spot_api_key`, and remembers their values for redaction."""

    def __init__(self, mode: Mode, credentials_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self._mode = mode
        self._environment = os.environ if environment is None else environment
        systemd_dir = self._environment.get(CREDENTIALS_VARIABLE)
        self._directory = Path(systemd_dir) if systemd_dir else credentials_dir
        self._by_systemd = bool(systemd_dir)
        self._seen: set[str] = set()

    @property
    def directory(self) -> Path:
        """The credentials folder in use."""
        return self._directory

    @property
    def seen(self) -> frozenset[str]:
        """Values handed out so far; the log redaction replaces them wherever they turn up."""
        return frozenset(self._seen)

    def get(self, name: str) -> SecretStr:
        """Return the secret called `name`; ConfigError says where to put it."""
        found = self.find(name)
        if found is None:
            raise ConfigError(f"secret {name} is missing: put it into the file {self._directory / name} with mode 0600")
        return found

    def find(self, name: str) -> SecretStr | None:
        """Return the secret, or None when it is nowhere. A file others can read is refused, not skipped."""
        value = self._from_file(name)
        if value is None:
            value = self._from_environment(name)
        if value is None:
            return None
        self._seen.add(value)
        return SecretStr(value)

    def _from_file(self, name: str) -> str | None:
        path = self._directory / name
        try:
            if not self._by_systemd:
                require_private(path)
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ConfigError(f"secret file {path} cannot be read ({(exc.strerror or '').lower()})") from exc
        try:
            value = data[: MAX_SECRET_BYTES + 1].decode().strip()
        except UnicodeDecodeError as exc:
            raise ConfigError(f"secret file {path} is not text") from exc
        if not value or len(data) > MAX_SECRET_BYTES:
            raise ConfigError(f"secret file {path} must hold 1..{MAX_SECRET_BYTES} bytes of text")
        return value

    def _from_environment(self, name: str) -> str | None:
        variable = f"TRADEBOT_{name.upper()}"
        value = self._environment.get(variable)
        if not value:
            return None
        if self._mode is Mode.REAL:
            raise ConfigError(
                f"secret {name} comes from the environment variable {variable}, which mode real refuses: "
                f"unset it and put the value into {self._directory / name}"
            )
        _log.warning("secret_from_environment", name=name, variable=variable, fix="use a credentials file")
        return value


def require_private(path: Path) -> None:
    """Refuse a secret file that group or others can touch. FileNotFoundError passes through."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"secret file {path} has mode {mode:04o}: others can read it; run chmod 600 {path}")


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises:
        ConfigError: If the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written ({(exc.strerror or '').lower()}): check the folder") from exc
