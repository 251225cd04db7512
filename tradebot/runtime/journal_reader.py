"""Read and verify a journal: every CRC, every link, every sequence number, across all segments.

Used at start-up (before appending) and by tools on the journal of a running process: an unfinished tail simply ends the
iteration. Damage anywhere else raises JournalCorruptError; nothing is repaired here.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from tradebot.runtime.journal_format import (
    GENESIS_LINK,
    GROUP_START,
    LINK_BYTES,
    RECORD_HEAD,
    RECORD_OVERHEAD,
    SEGMENT_HEAD_BYTES,
    SEGMENT_SUFFIX,
    JournalCorruptError,
    JournalRecord,
    decode_segment_head,
    record_at,
    segment_name,
    tail_is_torn,
)
from tradebot.runtime.state_dir import StateError

_ZERO_SCAN_BYTES = 1 << 20
_ZEROS = bytes(_ZERO_SCAN_BYTES)


class JournalTail(NamedTuple):
    """Where the valid records end, which is where the next one goes."""

    segment: Path | None
    """None for an empty journal."""
    offset: int
    """Byte offset in `segment` after its last valid record."""
    last_seq: int
    """0 for an empty journal."""
    link: bytes
    torn_bytes: int
    """Bytes after `offset`, up to the last that is not zero: an unfinished write to cut off. 0 after a clean stop."""


class JournalReader:
    """Iterate once over all records; `tail` is known afterwards.

    Raises:
        StateError: If the folder cannot be read.
        JournalCorruptError: While iterating, when a record or segment is damaged or missing.
    """

    def __init__(self, directory: Path, from_seq: int = 1) -> None:
        """Prepare; nothing is read yet.

        Args:
            directory: The journal's folder.
            from_seq: A record that must be among those read; reading begins at the start of its segment. Who needs
                no more than its own segment has the word of that segment's head for what came before.
        """
        self._directory = directory
        self._from_seq = from_seq
        self.tail = JournalTail(None, 0, 0, GENESIS_LINK, 0)

    def __iter__(self) -> Iterator[JournalRecord]:
        names = self._segments()  # once: a reader never chases a writer through segments that came later
        earlier = [name for name in names if name <= segment_name(self._from_seq)]
        if len(earlier) > 1:
            names = names[len(earlier) - 1 :]
            self._skip_to(self._directory / names[0])
        for name in names:
            expected = segment_name(self.tail.last_seq + 1)
            if name != expected:
                raise self._missing(expected, name)
            path = self._directory / name
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self._open_segment(path, data)
                yield from self._records(path, data)
                while name == names[-1] and not self._judge_tail(path, data):
                    yield from self._records(path, data)

    def _skip_to(self, path: Path) -> None:
        with path.open("rb") as file:
            head = decode_segment_head(file.read(SEGMENT_HEAD_BYTES))
        if head is None:
            raise _corrupt(path, 0, "segment header damaged")
        self.tail = self.tail._replace(last_seq=head.first_seq - 1, link=head.prev_link)

    def _segments(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._directory) if name.endswith(SEGMENT_SUFFIX))
        except OSError as exc:
            raise StateError(f"journal folder {self._directory} cannot be read ({exc.strerror})") from exc

    def _open_segment(self, path: Path, data: mmap.mmap) -> None:
        head = decode_segment_head(data[:SEGMENT_HEAD_BYTES])
        if head is None:
            raise _corrupt(path, 0, "segment header damaged")
        if head.first_seq != self.tail.last_seq + 1 or head.prev_link != self.tail.link:
            raise _corrupt(path, 0, f"segment does not continue record {self.tail.last_seq}")
        self.tail = self.tail._replace(segment=path, offset=SEGMENT_HEAD_BYTES)

    def _records(self, path: Path, data: mmap.mmap) -> Iterator[JournalRecord]:
        """Yield records from the tail on and move the tail. Stops at the first that is not whole."""
        unpack, crc32, head_bytes, size = RECORD_HEAD.unpack_from, zlib.crc32, RECORD_HEAD.size, len(data)
        _, offset, last_seq, link, _ = self.tail
        try:
            while offset + RECORD_OVERHEAD <= size:
                length, crc, seq, now_ns, type_field = unpack(data, offset)
                end = offset + length
                if length < RECORD_OVERHEAD or end > size:
                    break
                body = data[offset + 8 : end]
                if crc32(body) != crc:
                    break
                if seq != last_seq + 1:
                    raise _corrupt(path, offset, f"record {seq} follows record {last_seq}")
                stored = body[-LINK_BYTES:]
                if blake2b(link + body[:-LINK_BYTES], digest_size=LINK_BYTES).digest() != stored:
                    raise _corrupt(path, offset, f"hash chain broken at record {seq}")
                last_seq, link, offset = seq, stored, end
                yield JournalRecord(seq, now_ns, type_field & ~GROUP_START, body[head_bytes - 8 : -LINK_BYTES], stored)
        finally:
            self.tail = JournalTail(path, offset, last_seq, link, 0)

    def _judge_tail(self, path: Path, data: mmap.mmap) -> bool:
        """Accept the end of the journal; False when a running writer has gone on in the meantime."""
        offset, seq = self.tail.offset, self.tail.last_seq + 1
        used_end = _last_nonzero(data, offset)
        if used_end == offset:
            return True
        torn = tail_is_torn(data[: min(len(data), used_end + LINK_BYTES)], offset, seq)
        if record_at(data, offset) is not None:
            return False
        if not torn:
            raise _corrupt(path, offset, f"record {seq} damaged, valid records follow")
        self.tail = self.tail._replace(torn_bytes=used_end - offset)
        return True

    def _missing(self, expected: str, found: str) -> JournalCorruptError:
        return JournalCorruptError(
            f"journal {self._directory}: segment {expected} is missing (found {found}): "
            "restore it from a copy; nothing was changed"
        )


def read_journal(directory: Path) -> Iterator[JournalRecord]:
    """Iterate over all records of a journal, verifying everything; also while another process appends to it."""
    return iter(JournalReader(directory))


def _last_nonzero(data: mmap.mmap, start: int) -> int:
    """Return the offset after the last byte at or after `start` that is not zero; `start` if there is none."""
    end = len(data)
    while end > start:
        begin = max(start, end - _ZERO_SCAN_BYTES)
        chunk = data[begin:end]
        if chunk != _ZEROS[: end - begin]:
            return begin + len(chunk.rstrip(b"\0"))
        end = begin
    return start


def _corrupt(path: Path, offset: int, what: str) -> JournalCorruptError:
    return JournalCorruptError(
        f"journal {path} is corrupt at byte {offset} ({what}): restore the file from a copy, or move the state folder "
        "away and start from venue reconciliation; nothing was changed"
    )
