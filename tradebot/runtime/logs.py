"""JSON log lines through structlog: daemon name bound, secrets redacted, size bounded.

The renderer writes one line per event to a stream or a rotating file. Redaction is by key (anything that looks like a
secret) and by value (every secret the process has read), so a secret inside an error text is caught too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import LogConfig

REDACTED = "***"
MAX_TEXT_CHARS = 4_096
"""A longer value is cut: a venue's HTML error page must not fill the disk."""
_MIN_SECRET_CHARS = 6
_SECRET_KEY = re.compile(
    r"secret|password|passphrase|api_?key|token|signature|private_key|authorization", re.IGNORECASE
)
_MIB = 1 << 20


def configure_logs(
    daemon: str, config: LogConfig, file: Path | None = None, secrets: Callable[[], frozenset[str]] = frozenset
) -> None:
    """Set structlog up for this process. Call once, early.

    Args:
        daemon: Bound to every line as `daemon`.
        config: Level and rotation.
        file: Log file, or None for standard error.
        secrets: Returns the values to hide, e.g. `lambda: store.seen`.

    Raises:
        ConfigError: If the log file cannot be opened.
    """
    handler = _open_handler(file, config)
    handler.setFormatter(logging.Formatter("%(message)s"))
    sink = logging.getLogger("tradebot.log")
    for old in sink.handlers[:]:
        sink.removeHandler(old)
        old.close()
    sink.addHandler(handler)
    sink.setLevel(logging.DEBUG)
    sink.propagate = False
    _adopt_libraries()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _DaemonName(daemon),
            _add_severity,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            Redactor(secrets),
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, config.level.upper())),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )


class Redactor:
    """structlog processor that hides secrets and bounds the size of values."""

    def __init__(self, secrets: Callable[[], frozenset[str]] = frozenset) -> None:
        self._secrets = secrets

    def __call__(self, logger: Any, method_name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        hidden = sorted((value for value in self._secrets() if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True)
        for key, value in event.items():
            event[key] = REDACTED if _SECRET_KEY.search(key) else _clean(value, hidden)
        return event


def _clean(value: Any, hidden: list[str]) -> Any:
    match value:
        case str():
            for secret in hidden:
                value = value.replace(secret, REDACTED)
            return value if len(value) <= MAX_TEXT_CHARS else value[:MAX_TEXT_CHARS] + "…"
        case Mapping():
            return {
                key: REDACTED if _SECRET_KEY.search(str(key)) else _clean(item, hidden) for key, item in value.items()
            }
        case list() | tuple():
            return [_clean(item, hidden) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return _clean(str(value), hidden)


class _LibraryHandler(logging.Handler):
    """Puts what libraries say through the standard logger into our lines, redacted like the rest."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        say = log.error if record.levelno >= logging.ERROR else log.warning
        error = record.exc_info[1] if record.exc_info else None
        say("library", library=record.name, text=record.getMessage(), exc_info=error)


def _adopt_libraries() -> None:
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _LibraryHandler)]:
        root.removeHandler(old)
    root.addHandler(_LibraryHandler(logging.WARNING))


def _add_severity(logger: Any, method_name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["severity"] = method_name  # `level` is a trading level here
    return event


class _DaemonName:
    """Adds `daemon` to every line, from any thread."""

    def __init__(self, daemon: str) -> None:
        self._daemon = daemon

    def __call__(self, logger: Any, method_name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["daemon"] = self._daemon
        return event


def _open_handler(file: Path | None, config: LogConfig) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            file, maxBytes=config.max_file_mib * _MIB, backupCount=config.kept_files, encoding="utf-8"
        )
    except OSError as exc:
        raise ConfigError(
            f"log file {file} cannot be opened ({(exc.strerror or '').lower()}): make its folder writable"
        ) from exc


def _dump(event: Mapping[str, Any], **_: Any) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str)
