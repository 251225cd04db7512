"""Helpers to make, damage and read back journals on disk."""

from __future__ import annotations

from pathlib import Path

from tradebot.runtime.clock import ManualClock
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_format import RECORD_OVERHEAD, SEGMENT_HEAD_BYTES, JournalRecord
from tradebot.runtime.journal_reader import read_journal

SEGMENT_BYTES = 4_096


def open_journal(directory: Path, *, segment_bytes: int = SEGMENT_BYTES, start_ns: int = 1_000) -> Journal:
    """Open without a loop: only flush waits."""
    return Journal.open(directory, clock=ManualClock(start_ns), segment_bytes=segment_bytes)


def write_records(directory: Path, payloads: list[bytes], *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """Append one record per payload, each in its own commit group, type 7."""
    with open_journal(directory, segment_bytes=segment_bytes) as journal:
        for payload in payloads:
            journal.append(7, payload)
            journal.flush()


def write_group(directory: Path, payloads: list[bytes], *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """Append all payloads in one commit group, straight through the segment writer."""
    from tradebot.runtime.journal import _Pending  # the queue's own record type
    from tradebot.runtime.journal_reader import JournalReader
    from tradebot.runtime.journal_segments import SegmentWriter

    directory.mkdir(parents=True, exist_ok=True)
    reader = JournalReader(directory)
    for _ in reader:
        pass
    first = reader.tail.last_seq + 1
    writer = SegmentWriter(directory, segment_bytes, reader.tail)
    writer.write_group([_Pending(first + i, 1_000, 7, payload) for i, payload in enumerate(payloads)])
    writer.close()


def payloads_of(directory: Path) -> list[bytes]:
    """Read everything back."""
    return [record.payload for record in read_journal(directory)]


def records_of(directory: Path) -> list[JournalRecord]:
    """Read everything back."""
    return list(read_journal(directory))


def segments_of(directory: Path) -> list[Path]:
    """Segment files, oldest first."""
    return sorted(directory.glob("*.journal"))


def record_spans(payloads: list[bytes]) -> list[tuple[int, int]]:
    """Byte range of each record in a journal of one segment."""
    spans, offset = [], SEGMENT_HEAD_BYTES
    for payload in payloads:
        end = offset + RECORD_OVERHEAD + len(payload)
        spans.append((offset, end))
        offset = end
    return spans


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Change bytes of a file in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
