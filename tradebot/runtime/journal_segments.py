"""Segment files on disk: written ahead with zeros, rotated, synced. Runs in the journal's writer thread.

The next segment is prepared in the background once the current one is half full, so a full disk is discovered long
before an order needs the space, and rotation costs three syncs instead of writing 64 MiB. A prepared file gets its name
only when its header is durable: a segment that has a name is a segment that can be read.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import structlog

from tradebot.core.errors import ConfigError
from tradebot.runtime.journal_format import (
    GROUP_START,
    RECORD_OVERHEAD,
    SEGMENT_HEAD_BYTES,
    SegmentHead,
    encode_record,
    encode_segment_head,
    segment_name,
)
from tradebot.runtime.journal_reader import JournalTail
from tradebot.runtime.state_dir import StateError

MIN_SEGMENT_BYTES = 4_096
MAX_PAYLOAD_BYTES = 4 << 20
MAX_PACKED_BYTES = 32 << 10
"""Largest group that is handed over through a pipe; what is larger is encoded by the writer."""
SPARE_NAME = "spare.tmp"
SPARE_PAUSE_S = 0.02
"""Between the blocks of a spare: 64 MiB take some two seconds instead of stopping the disk for one."""
_ZERO_BLOCK = bytes(1 << 20)
_FILE_MODE = 0o640

_log = structlog.get_logger(__name__)


class PendingRecord(Protocol):
    """What the writer needs of a queued record."""

    @property
    def seq(self) -> int: ...
    @property
    def now_ns(self) -> int: ...
    @property
    def record_type(self) -> int: ...
    @property
    def payload(self) -> bytes: ...


class SegmentWriter:
    """Appends groups at the tail and rotates. Any OSError from `write_group` is final."""

    def __init__(self, directory: Path, segment_bytes: int, tail: JournalTail) -> None:
        if segment_bytes < MIN_SEGMENT_BYTES:
            raise ConfigError(
                f"journal segment size {segment_bytes} is too small: use at least {MIN_SEGMENT_BYTES} bytes"
            )
        self.directory = directory
        self._segment_bytes = segment_bytes
        self.max_payload_bytes = min(MAX_PAYLOAD_BYTES, segment_bytes - SEGMENT_HEAD_BYTES - RECORD_OVERHEAD)
        self._last_seq = tail.last_seq
        self._link = tail.link
        self.head = (tail.last_seq, tail.link)
        """(sequence, link) of the last durable record."""
        self._packed = (tail.last_seq, tail.link, 0)
        """(sequence, link) of the last record of the packed group, and the group's bytes."""
        self._can_splice = True
        self._spare_thread: threading.Thread | None = None
        self._hasten = threading.Event()
        """Set when somebody waits for the spare."""
        (directory / SPARE_NAME).unlink(missing_ok=True)
        if tail.segment is None:
            self._fd = self._start_segment()
        else:
            self._fd = os.open(tail.segment, os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC)
            self._offset = tail.offset
            self._size = os.fstat(self._fd).st_size
            if tail.torn_bytes:
                _write_zeros(self._fd, tail.offset, tail.torn_bytes, self._size)
                os.fdatasync(self._fd)

    def write_group(self, group: Sequence[PendingRecord]) -> None:
        """Make all records durable, in order; returns when they are."""
        chunks: list[bytes] = []
        used, mark, link = 0, GROUP_START, self._link
        for record in group:
            size = len(record.payload) + RECORD_OVERHEAD
            if self._offset + used + size > self._size:
                self._write(b"".join(chunks))
                self._link = link
                self.head = (self._last_seq, link)
                self._rotate()
                chunks, used, mark = [], 0, GROUP_START
            data, link = encode_record(record.seq, record.now_ns, record.record_type | mark, record.payload, link)
            chunks.append(data)
            used += size
            mark = 0
            self._last_seq = record.seq
        self._write(b"".join(chunks))
        self._link = link
        self.head = (self._last_seq, link)
        if self._offset * 2 > self._size:
            self._prepare_spare()

    def pack(self, group: Sequence[PendingRecord]) -> bytes | None:
        """Return the bytes of a group for `write_packed`, None when the segment has no room for all of it.

        For another thread than the writer's, while that waits in `write_packed`.
        """
        chunks: list[bytes] = []
        seq, mark, link = self._last_seq, GROUP_START, self._link
        for record in group:
            seq = record.seq
            data, link = encode_record(seq, record.now_ns, record.record_type | mark, record.payload, link)
            chunks.append(data)
            mark = 0
        packed = b"".join(chunks)
        if self._offset + len(packed) > self._size:
            return None
        self._packed = (seq, link, len(packed))
        return packed

    def write_packed(self, pipe: int) -> bool:
        """Wait until the bytes of a packed group are in a pipe and make them durable; False = the pipe was closed.

        Waiting and writing is one system call: the disk begins while the interpreter is still busy elsewhere.
        """
        done = self._move(pipe, MAX_PACKED_BYTES)
        if not done:
            return False
        seq, link, size = self._packed
        while done < size:
            done += self._move(pipe, size - done)
        self._last_seq, self._link = self.head = (seq, link)
        if self._offset * 2 > self._size:
            self._prepare_spare()
        return True

    def _move(self, pipe: int, limit: int) -> int:
        if self._can_splice:
            try:
                moved = os.splice(pipe, self._fd, limit, offset_dst=self._offset)
            except OSError as exc:
                if exc.errno != errno.EINVAL:
                    raise
                self._can_splice = False  # this file system cannot; nothing was taken out of the pipe
            else:
                self._offset += moved
                return moved
        data = os.read(pipe, limit)
        self._write(data)
        return len(data)

    def close(self) -> None:
        """Close the files; the spare is thrown away."""
        self._hasten.set()
        if self._spare_thread is not None:
            self._spare_thread.join()
            self._spare_thread = None
        (self.directory / SPARE_NAME).unlink(missing_ok=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        """One O_DSYNC write at the tail; a short write goes on where it stopped."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self._offset)
            self._offset += written
            view = view[written:]

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._fd = self._start_segment()

    def _start_segment(self) -> int:
        """Turn the spare into the next segment and return its descriptor."""
        self._hasten.set()
        if self._spare_thread is not None:
            self._spare_thread.join()
            self._spare_thread = None
        spare = self.directory / SPARE_NAME
        if not spare.exists():
            preallocate(spare, self._segment_bytes)
        first_seq = self._last_seq + 1
        fd = os.open(spare, os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC)
        os.pwrite(fd, encode_segment_head(SegmentHead(first_seq, self._link)), 0)
        os.rename(spare, self.directory / segment_name(first_seq))
        _sync_dir(self.directory)
        self._offset, self._size = SEGMENT_HEAD_BYTES, os.fstat(fd).st_size
        return fd

    def _prepare_spare(self) -> None:
        if self._spare_thread is None:
            self._hasten.clear()
            self._spare_thread = threading.Thread(target=self._make_spare, name="journal-spare", daemon=True)
            self._spare_thread.start()

    def _make_spare(self) -> None:
        try:
            preallocate(self.directory / SPARE_NAME, self._segment_bytes, self._hasten)
        except StateError as exc:  # said now, while half a segment is left; rotation will try once more and then fail
            _log.error("journal_space_low", error=str(exc))


def preallocate(path: Path, size: int, hasten: threading.Event | None = None) -> None:
    """Write a file of zeros and sync it, so that later writes need no metadata and no new blocks.

    Args:
        path: The file.
        size: Its bytes.
        hasten: Until it is set, blocks are synced one by one with pauses: orders wait for records on the same disk.

    Raises:
        StateError: If the disk is full or the folder not writable; nothing is left behind.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
        try:
            os.posix_fallocate(fd, 0, size)  # finds out about a full disk before writing anything
            for offset in range(0, size, len(_ZERO_BLOCK)):  # unwritten extents would cost metadata at every sync
                _write_zeros(fd, offset, len(_ZERO_BLOCK), size)
                if hasten is not None and not hasten.is_set():
                    os.fdatasync(fd)
                    hasten.wait(SPARE_PAUSE_S)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        path.unlink(missing_ok=True)
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = f"no room for a segment of {size} bytes" if full else f"cannot write ({exc.strerror})"
        fix = "free disk space or lower journal.segment_mib" if full else "make it writable for this user"
        raise StateError(f"journal folder {path.parent}: {reason}: {fix}") from exc


def _write_zeros(fd: int, offset: int, length: int, file_size: int) -> None:
    end = min(offset + length, file_size)
    while offset < end:
        offset += os.pwrite(fd, _ZERO_BLOCK[: min(len(_ZERO_BLOCK), end - offset)], offset)


def _sync_dir(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
