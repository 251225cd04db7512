"""The newest blobs of a process, in memory that belongs to the kernel: kill -9 at any instruction loses none of them.

For what must be known after a crash but may not wait for the disk. A file of fixed slots is mapped; a blob is a copy
into the next slot and counts from its checksum on. The kernel writes the pages out when it likes: a power cut may take
the newest, so nothing here stands in for the journal.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Final

from tradebot.core.errors import InvariantError
from tradebot.runtime.state_dir import StateError

_HEAD: Final = struct.Struct("<II")
"""Length and CRC-32 of the blob; a slot that was never written has length 0."""
_FILE_MODE: Final = 0o600


class CrashRing:
    """One file, one writer."""

    def __init__(self, memory: mmap.mmap, slots: int, slot_bytes: int) -> None:
        self._memory = memory
        self._slots = slots
        self._slot_bytes = slot_bytes
        self._next = 0
        self.max_blob_bytes = slot_bytes - _HEAD.size

    @classmethod
    def open(cls, path: Path, slots: int, slot_bytes: int) -> CrashRing:
        """Map the file, made when missing; its blobs are those of the last life.

        Raises:
            StateError: It cannot be made, or the disk has no room for it.
        """
        size = slots * slot_bytes
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            try:
                if os.fstat(fd).st_size != size:
                    os.ftruncate(fd, 0)
                os.posix_fallocate(fd, 0, size)  # a page that finds no room later would be a SIGBUS
                memory = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as exc:
            raise StateError(
                f"{path} cannot be used ({(exc.strerror or str(exc)).lower()}): make it writable, free {size} bytes"
            ) from exc
        return cls(memory, slots, slot_bytes)

    def put(self, blob: bytes) -> None:
        """Keep a blob in place of the oldest one.

        Raises:
            InvariantError: It is empty or longer than `max_blob_bytes`.
        """
        if not 0 < len(blob) <= self.max_blob_bytes:
            raise InvariantError(f"a blob of {len(blob)} bytes, a slot takes 1 to {self.max_blob_bytes}")
        start = self._next * self._slot_bytes
        body = start + _HEAD.size
        self._memory[body : body + len(blob)] = blob
        _HEAD.pack_into(self._memory, start, len(blob), zlib.crc32(blob))
        self._next = (self._next + 1) % self._slots

    def blobs(self) -> list[bytes]:
        """Return every whole blob, in no particular order; one that was being written when the process died is none."""
        found = []
        for start in range(0, self._slots * self._slot_bytes, self._slot_bytes):
            length, checksum = _HEAD.unpack_from(self._memory, start)
            body = start + _HEAD.size
            if 0 < length <= self.max_blob_bytes:
                blob = self._memory[body : body + length]
                if zlib.crc32(blob) == checksum:
                    found.append(blob)
        return found

    def clear(self) -> None:
        """Forget every blob; the next one goes to the first slot."""
        for start in range(0, self._slots * self._slot_bytes, self._slot_bytes):
            _HEAD.pack_into(self._memory, start, 0, 0)
        self._next = 0

    def close(self) -> None:
        """Unmap it; the file stays."""
        self._memory.close()
