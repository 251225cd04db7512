"""Bytes of the journal: records, segment headers, and telling a torn tail from corruption. Pure: bytes in, records or
errors out.

Record, little endian, no padding:

    len u32 | crc32 u32 | seq u64 | now_ns i64 | type u16 | payload | link 32 B

`len` counts the whole record. The CRC covers everything after itself. `link` is BLAKE2b-256 over the previous link, the
fields from `seq` on, and the payload, so nothing in the middle can be dropped, moved or edited unseen. The top bit of
`type` marks the first record of a commit group: a group is written and synced as one, and the next one starts only when
it is durable.

Segment: a 64-byte header, records, then zeros (the file is preallocated). A length of zero ends the records of a
segment.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from mmap import mmap
from typing import NamedTuple

from tradebot.core.errors import InvariantError
from tradebot.runtime.state_dir import StateError

MAGIC = b"TBJRNL1\n"
SEGMENT_SUFFIX = ".journal"
LINK_BYTES = 32
GENESIS_LINK = bytes(LINK_BYTES)
"""Link before the first record of a journal."""
GROUP_START = 0x8000
MAX_RECORD_TYPE = GROUP_START - 1
SECTOR_BYTES = 512
"""Smallest unit a disk writes whole; a lost write leaves whole sectors of the preallocated zeros."""

RECORD_HEAD = struct.Struct("<IIQqH")
_BODY_HEAD = struct.Struct("<QqH")
_LEN_CRC = struct.Struct("<II")
_SEGMENT_HEAD = struct.Struct("<8sQ32s12xI")
SEGMENT_HEAD_BYTES = _SEGMENT_HEAD.size
RECORD_OVERHEAD = RECORD_HEAD.size + LINK_BYTES


class JournalCorruptError(StateError):
    """The journal is damaged and nothing may be guessed: the daemon does not start. Names file and offset."""


class JournalRecord(NamedTuple):
    """One durable fact."""

    seq: int
    """From 1, contiguous over the life of the journal."""
    now_ns: int
    """The writer's steady clock when it was appended."""
    record_type: int
    """Meaning is the daemon's own, 0..32767."""
    payload: bytes
    link: bytes
    """Chain hash up to and including this record, 32 bytes."""


class SegmentHead(NamedTuple):
    """What a segment continues from."""

    first_seq: int
    prev_link: bytes


def encode_record(seq: int, now_ns: int, type_field: int, payload: bytes, prev_link: bytes) -> tuple[bytes, bytes]:
    """Return (record bytes, link). `type_field` may carry GROUP_START."""
    body = _BODY_HEAD.pack(seq, now_ns, type_field) + payload
    link = blake2b(prev_link + body, digest_size=LINK_BYTES).digest()
    body += link
    return _LEN_CRC.pack(len(body) + 8, zlib.crc32(body)) + body, link


def encode_segment_head(head: SegmentHead) -> bytes:
    """Return the 64 bytes that open a segment."""
    unsigned = _SEGMENT_HEAD.pack(MAGIC, head.first_seq, head.prev_link, 0)[:-4]
    return unsigned + struct.pack("<I", zlib.crc32(unsigned))


def decode_segment_head(data: bytes) -> SegmentHead | None:
    """Return the header, or None when these bytes are not one."""
    if len(data) < SEGMENT_HEAD_BYTES:
        return None
    magic, first_seq, prev_link, crc = _SEGMENT_HEAD.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[: SEGMENT_HEAD_BYTES - 4]) != crc:
        return None
    return SegmentHead(first_seq, prev_link)


def segment_name(first_seq: int) -> str:
    """File name of the segment that starts with this sequence number; sorts in order."""
    return f"{first_seq:020d}{SEGMENT_SUFFIX}"


def record_at(data: bytes | mmap, offset: int) -> tuple[int, int] | None:
    """Return (end offset, type field) of a record whose length and CRC hold at `offset`, or None. The chain is not
    checked.
    """
    if offset + RECORD_OVERHEAD > len(data):
        return None
    length, crc, _seq, _now_ns, type_field = RECORD_HEAD.unpack_from(data, offset)
    end = offset + length
    if length < RECORD_OVERHEAD or end > len(data) or zlib.crc32(data[offset + 8 : end]) != crc:
        return None
    return end, type_field


def tail_is_torn(data: bytes, bad_offset: int, expected_seq: int) -> bool:
    """Decide what a bad record means. True: an unfinished last write, safe to cut off. False: corruption.

    Torn: nothing valid follows. Also torn: valid records follow, none of them opens a later group, and sectors of the
    hole were never written (still zero). That is a power cut in the middle of one multi-sector write, none of which was
    ever reported durable. Any other damage with valid records after it is corruption, because those records prove that
    the bad one had been durable.

    Args:
        data: A segment up to its last byte that is not zero and at least LINK_BYTES more (a link may end in zeros).
        bad_offset: Where the bad record starts.
        expected_seq: The sequence number that should stand there.
    """
    first_valid: int | None = None
    for offset in _candidate_offsets(data, bad_offset, expected_seq):
        found = record_at(data, offset)
        if found is None:
            continue
        if found[1] & GROUP_START:
            return False
        first_valid = offset if first_valid is None else first_valid
    return first_valid is None or _has_unwritten_sector(data, bad_offset, first_valid)


def _candidate_offsets(data: bytes, bad_offset: int, expected_seq: int) -> Iterator[int]:
    """Yield offsets after the bad record where a later sequence number may stand in a record head.

    At most 2**24 records fit in a segment, so the upper five bytes of a later number are known but for one carry.
    """
    upper = expected_seq >> 24
    patterns = b"|".join(re.escape((upper + carry).to_bytes(5, "little")) for carry in (0, 1))
    later_seq = re.compile(b"(?=...(?:" + patterns + b"))", re.DOTALL)
    seq_at = 8  # offset of `seq` inside a record
    for match in later_seq.finditer(data, bad_offset + seq_at + 1):
        offset = match.start() - seq_at
        seq = int.from_bytes(data[match.start() : match.start() + 8], "little")
        length = int.from_bytes(data[offset : offset + 4], "little")
        if seq > expected_seq and RECORD_OVERHEAD <= length <= len(data) - offset:
            yield offset


def _has_unwritten_sector(data: bytes, start: int, end: int) -> bool:
    """Return whether the rest of the sector at `start`, or a whole sector before `end`, is still zero."""
    while start < end:
        sector_end = (start // SECTOR_BYTES + 1) * SECTOR_BYTES
        if sector_end <= end and not any(data[start:sector_end]):
            return True
        start = sector_end
    return False


def check_payload(record_type: int, payload_bytes: int, max_payload_bytes: int) -> None:
    """Refuse what the format cannot hold; both are our own bugs."""
    if not 0 <= record_type <= MAX_RECORD_TYPE:
        raise InvariantError(f"journal record type {record_type} is outside 0..{MAX_RECORD_TYPE}")
    if payload_bytes > max_payload_bytes:
        raise InvariantError(f"journal payload of {payload_bytes} bytes exceeds {max_payload_bytes}")
