"""Session files: records one after the other, each with its length and checksum in front.

A crash may cut the last record short; everything before it is whole. A file of another version is refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec
import structlog

from engine.session import Record
from tradebot.core.errors import ConfigError
from tradebot.runtime.state_dir import StateError

MAGIC: Final = b"tradebot session 1\n"
SUFFIX: Final = ".session"
MAX_SESSION_BYTES: Final = 16 << 30
"""A session that grows beyond it is recorded no further: days of a busy market."""
MAX_RECORD_BYTES: Final = 256 << 20
_HEAD: Final = struct.Struct("<II")
"""Length and CRC-32 of the record that follows."""

_log = structlog.get_logger(__name__)


class SessionWriter:
    """Appends records to a new file. Written through to the system with every record that wants something."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            StateError: If it cannot be written.
        """
        self.path = path
        self._encode = msgspec.msgpack.Encoder().encode
        self._size = 0
        self._file: IO[bytes] | None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except OSError as exc:
            raise StateError(
                f"{path}: cannot be written ({exc.strerror}): free it, or set engine.record false"
            ) from exc
        self._file.write(MAGIC)

    def __call__(self, record: Record) -> None:
        """Append one record."""
        if self._file is None:
            return
        body = self._encode(record)
        self._file.write(_HEAD.pack(len(body), zlib.crc32(body)) + body)
        self._size += len(body)
        if self._size > MAX_SESSION_BYTES:
            _log.error("session_full", path=str(self.path), bytes=self._size)
            self.close()

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_session(path: Path) -> Iterator[Record]:
    """Yield the records of a session file; a record cut short at the very end is left out.

    Raises:
        ConfigError: If it is no session, or damaged before its end.
    """
    decode = msgspec.msgpack.Decoder(Record).decode
    number = 0
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path}: not a session of this version; record one with engine.record: true")
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                number += 1
                size, checksum = _HEAD.unpack(head)
                if size > MAX_RECORD_BYTES:
                    raise ConfigError(f"{path}: record {number} claims {size} bytes: the file is damaged")
                body = file.read(size)
                if len(body) < size:
                    return
                if zlib.crc32(body) != checksum:
                    raise ConfigError(f"{path}: record {number} has a wrong checksum: the file is damaged")
                yield decode(body)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    except msgspec.DecodeError as exc:
        raise ConfigError(
            f"{path}: record {number} cannot be read ({exc}): was it written by another version?"
        ) from exc
