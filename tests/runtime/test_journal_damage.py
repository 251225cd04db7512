"""Damage on disk: a torn tail is cut off and reported, everything else is refused, and nothing durable disappears in
silence.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.journal_kit import (
    SEGMENT_BYTES,
    open_journal,
    overwrite,
    payloads_of,
    record_spans,
    segments_of,
    write_group,
    write_records,
)
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.journal import Journal, JournalFailedError
from tradebot.runtime.journal_format import SEGMENT_HEAD_BYTES, JournalCorruptError, tail_is_torn
from tradebot.runtime.journal_reader import JournalReader
from tradebot.runtime.journal_segments import preallocate
from tradebot.runtime.state_dir import StateError

PAYLOADS = [b"first", b"second record", b"third, the last one"]


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    """Three records, each its own group, in one segment."""
    write_records(tmp_path / "journal", PAYLOADS)
    return tmp_path / "journal"


def test_a_tail_torn_at_any_byte_is_cut_off_and_what_was_before_it_survives(journal_dir: Path, tmp_path: Path) -> None:
    start, end = record_spans(PAYLOADS)[-1]
    for cut in range(start, end):
        copy = tmp_path / f"cut{cut}"
        shutil.copytree(journal_dir, copy)
        overwrite(segments_of(copy)[0], cut, bytes(end - cut))
        with open_journal(copy) as journal:
            reported = journal.torn_bytes_cut
            journal.append(7, b"after")

        assert payloads_of(copy) == [*PAYLOADS[:2], b"after"], f"cut at {cut}"
        assert (reported > 0) == (cut > start), f"cut at {cut}"


def test_a_flipped_byte_anywhere_is_noticed(journal_dir: Path, tmp_path: Path) -> None:
    """Before the last record it is corruption; in the last one it cannot be told from a torn write and is reported as
    that.
    """
    segment = segments_of(journal_dir)[0]
    spans = record_spans(PAYLOADS)
    original = segment.read_bytes()
    for offset in range(spans[-1][1]):
        overwrite(segment, offset, bytes([original[offset] ^ 0x41]))
        if offset < spans[-1][0]:
            with pytest.raises(JournalCorruptError, match="nothing was changed"):
                payloads_of(journal_dir)
        else:
            reader = JournalReader(journal_dir)

            assert len(list(reader)) == 2
            assert reader.tail.torn_bytes > 0
        overwrite(segment, offset, original[offset : offset + 1])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_damage_never_passes_as_the_original_records(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    payloads = [bytes([i]) * (37 * i % 400) for i in range(30)]
    write_group(directory, payloads)
    path = data.draw(st.sampled_from(segments_of(directory)))
    used = len(path.read_bytes().rstrip(b"\0"))
    offset = data.draw(st.integers(0, used - 1))
    junk = data.draw(st.binary(min_size=1, max_size=64))
    if path.read_bytes()[offset : offset + len(junk)] == junk:
        return
    overwrite(path, offset, junk)
    reader = JournalReader(directory)
    try:
        found = [record.payload for record in reader]
    except JournalCorruptError:
        return

    assert reader.tail.torn_bytes > 0
    assert found == payloads[: len(found)]


def test_the_corruption_line_names_file_offset_and_what_to_do(journal_dir: Path) -> None:
    segment = segments_of(journal_dir)[0]
    offset = record_spans(PAYLOADS)[1][0]
    overwrite(segment, offset + 30, b"\xff")
    with pytest.raises(JournalCorruptError) as caught:
        open_journal(journal_dir)
    text = str(caught.value)

    assert f"{segment} is corrupt at byte {offset} (record 2 damaged, valid records follow)" in text
    assert "restore the file" in text
    assert "\n" not in text


def test_a_record_zeroed_out_before_valid_ones_is_corruption_not_an_end(journal_dir: Path) -> None:
    start, end = record_spans(PAYLOADS)[1]
    overwrite(segments_of(journal_dir)[0], start, bytes(end - start))

    with pytest.raises(JournalCorruptError, match="record 2 damaged"):
        payloads_of(journal_dir)


def test_opening_a_corrupt_journal_changes_nothing(journal_dir: Path) -> None:
    segment = segments_of(journal_dir)[0]
    overwrite(segment, record_spans(PAYLOADS)[0][0] + 30, b"\xff")
    before = segment.read_bytes()
    with pytest.raises(JournalCorruptError):
        open_journal(journal_dir)

    assert segment.read_bytes() == before


def test_an_edited_record_with_a_correct_checksum_breaks_the_chain(journal_dir: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    write_records(forged, [PAYLOADS[0], b"SECOND record", PAYLOADS[2]])
    start, end = record_spans(PAYLOADS)[1]
    overwrite(segments_of(journal_dir)[0], start, segments_of(forged)[0].read_bytes()[start:end])

    with pytest.raises(JournalCorruptError, match="hash chain broken at record 3"):
        payloads_of(journal_dir)


def test_a_missing_middle_segment_is_corruption(tmp_path: Path) -> None:
    write_records(tmp_path, [b"x" * 1_000] * 12)
    segments_of(tmp_path)[1].unlink()

    with pytest.raises(JournalCorruptError, match="is missing"):
        payloads_of(tmp_path)


def test_a_missing_first_segment_is_corruption(tmp_path: Path) -> None:
    write_records(tmp_path, [b"x" * 1_000] * 12)
    segments_of(tmp_path)[0].unlink()

    with pytest.raises(JournalCorruptError, match="is missing"):
        open_journal(tmp_path)


def test_a_torn_record_in_a_segment_that_has_a_successor_is_corruption(tmp_path: Path) -> None:
    write_records(tmp_path, [b"x" * 1_000] * 8)
    first = segments_of(tmp_path)[0]
    used = len(first.read_bytes().rstrip(b"\0"))
    overwrite(first, used - 20, bytes(20))

    with pytest.raises(JournalCorruptError):
        payloads_of(tmp_path)


def test_a_segment_of_another_journal_is_refused(journal_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_records(other, [b"z" * 1_000] * 8)
    mine = tmp_path / "mine"
    write_records(mine, [b"x" * 1_000] * 8)
    shutil.copy(segments_of(other)[1], segments_of(mine)[1])

    with pytest.raises(JournalCorruptError, match="does not continue record"):
        payloads_of(mine)


def test_a_power_cut_inside_one_large_group_is_a_torn_tail_even_if_later_sectors_arrived(tmp_path: Path) -> None:
    write_records(tmp_path, [b"durable"])
    group = [bytes([65 + i]) * 400 for i in range(6)]
    write_group(tmp_path, group)
    segment = segments_of(tmp_path)[0]
    overwrite(segment, 512, bytes(512))  # the second sector never reached the disk, the later ones did
    with open_journal(tmp_path) as journal:
        reported = journal.torn_bytes_cut

    assert reported > 1_000
    assert payloads_of(tmp_path) == [b"durable"]


def test_the_same_hole_before_a_later_group_is_corruption(tmp_path: Path) -> None:
    write_records(tmp_path, [b"durable"])
    write_group(tmp_path, [bytes([65 + i]) * 400 for i in range(6)])
    write_records(tmp_path, [b"later"])
    overwrite(segments_of(tmp_path)[0], 512, bytes(512))

    with pytest.raises(JournalCorruptError, match="record 2 damaged"):
        open_journal(tmp_path)


def test_garbage_flipped_inside_the_last_group_is_corruption_when_its_other_records_are_whole(tmp_path: Path) -> None:
    write_group(tmp_path, [bytes([65 + i]) * 100 for i in range(6)])
    overwrite(segments_of(tmp_path)[0], record_spans([b"x" * 100] * 2)[1][0] + 40, b"\0\0")

    with pytest.raises(JournalCorruptError, match="record 2 damaged"):
        open_journal(tmp_path)


def test_after_a_torn_tail_was_cut_no_old_bytes_can_come_back(tmp_path: Path) -> None:
    write_records(tmp_path, [b"keep", b"t" * 800])
    start, end = record_spans([b"keep", b"t" * 800])[1]
    segment = segments_of(tmp_path)[0]
    overwrite(segment, start + 40, b"\xff")
    open_journal(tmp_path).close()

    assert segment.read_bytes()[start:end] == bytes(end - start)


def test_tail_is_torn_finds_a_later_record_among_zero_payloads() -> None:
    """The scan looks for sequence numbers; zeros in payloads look like the upper bytes of one and must not hide it."""
    from tradebot.runtime.journal_format import GENESIS_LINK, GROUP_START, encode_record

    first, link = encode_record(1, 0, GROUP_START, bytes(700), GENESIS_LINK)
    second, _ = encode_record(2, 0, GROUP_START, bytes(700), link)
    data = bytearray(bytes(SEGMENT_HEAD_BYTES) + first + second)
    data[SEGMENT_HEAD_BYTES + 4] ^= 1

    assert not tail_is_torn(bytes(data), SEGMENT_HEAD_BYTES, 1)
    assert tail_is_torn(bytes(data[: SEGMENT_HEAD_BYTES + len(first)]), SEGMENT_HEAD_BYTES, 1)


def test_a_full_disk_at_preallocation_is_one_clear_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(StateError, match="no room for a segment of 1048576 bytes: free disk space"):
            preallocate(tmp_path / "spare.tmp", 1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, old_handler)

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_running_fails_the_journal_and_keeps_what_was_durable(tmp_path: Path) -> None:
    failures: list[JournalFailedError] = []
    journal = Journal.open(tmp_path, clock=ManualClock(), segment_bytes=SEGMENT_BYTES, on_failure=failures.append)
    journal.append(1, b"kept")
    journal.flush()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT_BYTES - 1, old[1]))  # the next segment cannot be made
    try:
        for _ in range(3):
            journal.append(1, b"x" * 1_500)
        with pytest.raises(JournalFailedError, match=r"no room|File too large"):
            journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, old_handler)
        journal.close()

    assert len(failures) == 1
    assert payloads_of(tmp_path)[0] == b"kept"
    # The first of the three may be handed over alone; the third needs the segment that cannot be made.
    assert journal.durable_seq in (1, 2, 3)
    assert payloads_of(tmp_path)[1:] in ([b"x" * 1_500] * count for count in range(journal.durable_seq - 1, 3))


def test_an_unwritable_folder_is_one_clear_line() -> None:
    with pytest.raises(StateError, match="make it writable"):
        open_journal(Path("/proc/tradebot/journal"))


def test_a_file_where_the_folder_should_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("not a folder")

    with pytest.raises(StateError, match="cannot be used"):
        open_journal(tmp_path / "journal")


WRITER = """
import sys, pathlib
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.journal import Journal
out = sys.stdout.buffer
journal = Journal.open(pathlib.Path(sys.argv[1]), clock=SystemClock(), segment_bytes=65536)
journal.on_durable(lambda seq: (out.write(b"%d\\n" % seq), out.flush()))
n = journal.appended_seq
while True:
    n += 1
    journal.append(9, b"%d:" % n + b"p" * (n % 300))
    if n % 50 == 0:
        journal.flush()
"""


@pytest.mark.parametrize("kill_after_lines", [1, 40, 300])
def test_kill_9_of_the_writer_loses_no_record_that_was_reported_durable(tmp_path: Path, kill_after_lines: int) -> None:
    root = Path(__file__).resolve().parents[2]
    for _ in range(2):  # the second life continues the first one's journal
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=root,
            env={"PYTHONPATH": str(root)},
        )
        assert process.stdout is not None
        reported = 0
        for _ in range(kill_after_lines):
            reported = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        reported = int(rest.split()[-1]) if rest.endswith(b"\n") else reported
        payloads = payloads_of(tmp_path)

        assert len(payloads) >= reported
        assert all(payload.startswith(b"%d:" % (i + 1)) for i, payload in enumerate(payloads))
