"""The journal as its users see it: append, wait, reopen, rotate, fail."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.journal_kit import (
    SEGMENT_BYTES,
    open_journal,
    payloads_of,
    records_of,
    segments_of,
    write_records,
)
from tradebot.core.errors import InvariantError
from tradebot.runtime import journal as journal_module
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.journal import Journal, JournalBacklogError, JournalFailedError
from tradebot.runtime.journal_format import GENESIS_LINK, MAX_RECORD_TYPE, JournalRecord
from tradebot.runtime.journal_reader import read_journal
from tradebot.runtime.journal_segments import MAX_PACKED_BYTES
from tradebot.runtime.state_dir import StateError

MAX_LOOKS = 100_000
"""At a whole segment: seconds, if the bytes never come."""


def test_records_come_back_with_sequence_time_type_and_payload(tmp_path: Path) -> None:
    clock = ManualClock(5)
    with Journal.open(tmp_path, clock=clock, segment_bytes=SEGMENT_BYTES) as journal:
        journal.append(1, b"one")
        clock.advance(10)
        journal.append(MAX_RECORD_TYPE, b"")

    found = [(r.seq, r.now_ns, r.record_type, r.payload) for r in records_of(tmp_path)]

    assert found == [(1, 5, 1, b"one"), (2, 15, MAX_RECORD_TYPE, b"")]


def test_an_empty_journal_has_no_records(tmp_path: Path) -> None:
    open_journal(tmp_path).close()

    assert payloads_of(tmp_path) == []


def test_reopening_replays_everything_and_continues_sequence_and_chain(tmp_path: Path) -> None:
    write_records(tmp_path, [b"a", b"b"])
    replayed: list[JournalRecord] = []
    with Journal.open(tmp_path, clock=ManualClock(), segment_bytes=SEGMENT_BYTES, on_record=replayed.append) as journal:
        head_before = journal.head
        seq = journal.append(7, b"c")

    assert [record.payload for record in replayed] == [b"a", b"b"]
    assert head_before == (2, replayed[-1].link)
    assert seq == 3
    assert payloads_of(tmp_path) == [b"a", b"b", b"c"]


def test_the_head_of_a_new_journal_is_the_genesis_link(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        assert journal.head == (0, GENESIS_LINK)


def test_full_segments_rotate_and_the_chain_runs_through(tmp_path: Path) -> None:
    payloads = [bytes([i]) * 500 for i in range(40)]
    write_records(tmp_path, payloads)

    assert len(segments_of(tmp_path)) == 6
    assert payloads_of(tmp_path) == payloads


def test_one_group_larger_than_a_segment_is_split_over_segments(tmp_path: Path) -> None:
    payloads = [bytes([i]) * 700 for i in range(20)]
    with open_journal(tmp_path) as journal:
        for payload in payloads:
            journal.append(1, payload)

    assert len(segments_of(tmp_path)) > 2
    assert payloads_of(tmp_path) == payloads


def test_every_segment_has_its_full_size_from_the_start(tmp_path: Path) -> None:
    write_records(tmp_path, [b"x" * 900] * 9)

    assert {path.stat().st_size for path in segments_of(tmp_path)} == {SEGMENT_BYTES}


def test_no_spare_file_is_left_after_closing(tmp_path: Path) -> None:
    write_records(tmp_path, [b"x" * 1_500] * 3)

    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".tmp") == []


def test_a_payload_that_exactly_fills_a_segment_fits_and_one_more_byte_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        largest = SEGMENT_BYTES - 64 - 58
        journal.append(1, b"x" * largest)
        with pytest.raises(InvariantError, match="exceeds"):
            journal.append(1, b"x" * (largest + 1))

    assert [len(payload) for payload in payloads_of(tmp_path)] == [largest]


@pytest.mark.parametrize("record_type", [-1, MAX_RECORD_TYPE + 1])
def test_a_record_type_outside_its_range_is_refused(tmp_path: Path, record_type: int) -> None:
    with open_journal(tmp_path) as journal, pytest.raises(InvariantError, match="record type"):
        journal.append(record_type, b"")


def test_a_running_journal_can_be_read_by_another_reader(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for i in range(30):
            journal.append(1, bytes([i]) * 300)
        journal.flush()

        assert len(payloads_of(tmp_path)) == 30


def test_reading_while_it_is_written_and_rotated_never_looks_like_damage(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)

    def write() -> None:
        for i in range(400):
            journal.append(1, b"p" * (i * 37 % 900))
            if journal.pending_records > 20:
                journal.flush()

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        durable = journal.durable_seq
        found = [record.seq for record in read_journal(tmp_path)]

        assert found == list(range(1, len(found) + 1))
        assert len(found) >= durable
    journal.close()

    assert len(payloads_of(tmp_path)) == 400
    assert len(segments_of(tmp_path)) > 3


def test_appending_after_closing_fails(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.close()

    with pytest.raises(JournalFailedError, match="closed"):
        journal.append(1, b"")


def test_threads_appending_together_get_distinct_sequence_numbers_in_order(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, segment_bytes=1 << 20)
    seen: list[list[int]] = [[], [], []]

    def work(mine: list[int]) -> None:
        mine.extend(journal.append(1, b"t") for _ in range(500))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()

    assert sorted(seq for mine in seen for seq in mine) == list(range(1, 1501))
    assert [record.seq for record in records_of(tmp_path)] == list(range(1, 1501))


def test_a_second_instance_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    with open_journal(tmp_path), pytest.raises(StateError, match=f"in use by pid {os.getpid()}"):
        open_journal(tmp_path)


def test_a_journal_that_failed_to_open_gives_the_folder_up(tmp_path: Path) -> None:
    write_records(tmp_path, [b"a"])
    segments_of(tmp_path)[0].rename(tmp_path / "00000000000000000002.journal")
    with pytest.raises(StateError, match="missing"):
        open_journal(tmp_path)
    (tmp_path / "00000000000000000002.journal").rename(tmp_path / "00000000000000000001.journal")

    open_journal(tmp_path).close()


def test_backlog_beyond_the_bound_is_refused_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_PENDING_BYTES", 1_000)
    with open_journal(tmp_path) as journal:
        journal.append(1, b"x" * 100)
        with pytest.raises(JournalBacklogError) as caught:
            journal.append(1, b"x" * 1_000)
        journal.flush()
        journal.append(1, b"y")

    assert caught.value.retry_after_ns > 0
    assert [payload[:1] for payload in payloads_of(tmp_path)] == [b"x", b"y"]


async def test_wait_durable_returns_when_the_record_is_on_disk(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Journal.open(tmp_path, clock=ManualClock(), segment_bytes=SEGMENT_BYTES, loop=loop) as journal:
        seqs = [journal.append(1, b"x") for _ in range(5)]
        await asyncio.gather(*(journal.wait_durable(seq) for seq in reversed(seqs)))

        assert journal.durable_seq >= seqs[-1]
        assert payloads_of(tmp_path) == [b"x"] * 5


async def test_wanted_durability_is_announced_once_for_all_that_are_durable_and_never_backwards(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Journal.open(tmp_path, clock=ManualClock(), segment_bytes=1 << 20, loop=loop) as journal:
        heard: list[int] = []
        journal.on_durable(heard.append)
        last = 0
        for _ in range(300):
            last = journal.append(1, b"x")
            journal.want(last)
        await journal.wait_durable(last)
        await asyncio.sleep(0)

    assert heard[-1] == 300
    assert heard == sorted(set(heard))
    assert len(heard) < 300


def test_statistics_count_groups_records_and_time(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for _ in range(3):
            journal.append(1, b"x" * 10)
        journal.flush()
        stats = journal.stats

    assert (stats.records, stats.bytes_written) == (3, 3 * 68)
    assert 1 <= stats.groups <= 3
    assert 0 < stats.write_ns_max <= stats.write_ns_total


async def test_canceling_one_waiter_leaves_the_others_alone(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Journal.open(tmp_path, clock=ManualClock(), segment_bytes=SEGMENT_BYTES, loop=loop) as journal:
        seq = journal.append(1, b"x")
        canceled = asyncio.ensure_future(journal.wait_durable(seq + 1))
        await asyncio.sleep(0)
        canceled.cancel()
        await journal.wait_durable(journal.append(1, b"y"))

    assert canceled.cancelled()


async def test_a_failed_write_fails_waiters_and_all_later_appends_and_is_reported_once(tmp_path: Path) -> None:
    failures: list[JournalFailedError] = []
    journal = Journal.open(
        tmp_path,
        clock=ManualClock(),
        segment_bytes=SEGMENT_BYTES,
        loop=asyncio.get_running_loop(),
        on_failure=failures.append,
    )
    await journal.wait_durable(journal.append(1, b"good"))
    break_disk(journal)
    with pytest.raises(JournalFailedError, match="write failed"):
        await journal.wait_durable(journal.append(1, b"lost"))
    with pytest.raises(JournalFailedError):
        journal.append(1, b"late")
    with pytest.raises(JournalFailedError):
        await journal.wait_durable(99)
    with pytest.raises(JournalFailedError):
        journal.flush()
    journal.close()
    await asyncio.sleep(0)  # the loop hears of it in its next turn

    assert len(failures) == 1
    assert journal.durable_seq == 1
    assert payloads_of(tmp_path) == [b"good"]


def test_groups_of_every_size_and_any_mixture_of_waits_come_back_in_order(tmp_path: Path) -> None:
    """Handed over, encoded by the writer, too large for the pipe, across a rotation, lingering ones among them."""
    rng = random.Random(5)
    payloads: list[bytes] = []
    durable: list[int] = []
    with open_journal(tmp_path, segment_bytes=256 << 10) as journal:
        journal.on_durable(durable.append)
        for _ in range(400):
            payloads.append(rng.randbytes(rng.choice((0, 10, 300, 5_000, 30_000, MAX_PACKED_BYTES, 100_000))))
            seq = journal.append(3, payloads[-1], urgent=rng.random() < 0.9)
            if rng.random() < 0.2:
                journal.flush()
                assert journal.durable_seq == seq
    assert durable == sorted(set(durable))
    assert payloads_of(tmp_path) == payloads


def test_a_file_system_that_cannot_splice_keeps_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "splice", refuse)
    with open_journal(tmp_path) as journal:
        for number in range(50):
            journal.append(1, b"%d" % number)
            if number % 7 == 0:
                journal.flush()

    assert payloads_of(tmp_path) == [b"%d" % number for number in range(50)]


def test_a_group_handed_over_is_written_while_the_interpreter_is_busy(tmp_path: Path) -> None:
    """The bytes are in the file although the appending thread never gave the interpreter lock away."""
    with open_journal(tmp_path, segment_bytes=256 << 10) as journal:
        (segment,) = segments_of(tmp_path)
        with segment.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
            for number in range(20):
                while not journal._parked:
                    time.sleep(0.001)
                mark = b"record-%d;" % number
                switch_s = sys.getswitchinterval()
                sys.setswitchinterval(1_000)  # only a blocking call gives the lock away from here on
                try:
                    journal.append(1, mark)
                    found = any(written.find(mark) >= 0 for _ in range(MAX_LOOKS))
                finally:
                    sys.setswitchinterval(switch_s)
                assert found
                journal.flush()


def break_disk(journal: Journal) -> None:
    """Make every further write fail with a real ENOSPC: the descriptor is replaced by one of a device that is full."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._segments._fd)
    os.close(full)
    journal.flush()  # the parked writer still held the old one


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(st.binary(max_size=400), max_size=12), max_size=6),
    segment_bytes=st.integers(4_096, 9_000),
)
def test_whatever_is_appended_over_any_restarts_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], segment_bytes: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    for batch in batches:
        with open_journal(directory, segment_bytes=segment_bytes) as journal:
            for payload in batch:
                journal.append(3, payload)

    assert payloads_of(directory) == [payload for batch in batches for payload in batch]


def test_records_of_one_turn_come_back_in_order_with_one_time(tmp_path: Path) -> None:
    with Journal.open(tmp_path, clock=ManualClock(5), segment_bytes=SEGMENT_BYTES) as journal:
        last = journal.append_all([(1, b"one"), (2, b"two")])
        after = journal.append(3, b"three")

    assert (last, after) == (2, 3)
    assert [(r.seq, r.now_ns, r.record_type) for r in records_of(tmp_path)] == [(1, 5, 1), (2, 5, 2), (3, 5, 3)]


def test_of_records_that_go_together_none_is_queued_when_one_is_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path, clock=ManualClock(5), segment_bytes=SEGMENT_BYTES) as journal:
        with pytest.raises(InvariantError, match="outside"):
            journal.append_all([(1, b"good"), (MAX_RECORD_TYPE + 1, b"bad")])
        journal.append(2, b"next")

    assert payloads_of(tmp_path) == [b"next"]


def test_a_backlog_refuses_a_whole_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_PENDING_RECORDS", 2)
    with Journal.open(tmp_path, clock=ManualClock(5), segment_bytes=SEGMENT_BYTES) as journal:
        with pytest.raises(JournalBacklogError):
            journal.append_all([(1, b"a"), (1, b"b"), (1, b"c")])

        assert journal.appended_seq == 0


async def test_the_loop_is_told_only_of_what_it_wants_to_hear(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    heard: list[int] = []
    with Journal.open(tmp_path, clock=ManualClock(), segment_bytes=1 << 20, loop=loop) as journal:
        journal.on_durable(heard.append)
        journal.append(1, b"nobody waits")
        journal.flush()
        await asyncio.sleep(0)
        silent = list(heard)

        wanted = journal.append(1, b"wanted", urgent=False)
        already = journal.want(wanted)
        await journal.wait_durable(wanted)

        assert (silent, already, heard) == ([], False, [wanted])
        assert journal.want(wanted)


async def test_records_wanted_later_than_others_are_heard_of_too(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Journal.open(tmp_path, clock=ManualClock(), segment_bytes=1 << 20, loop=loop) as journal:
        waiting = []
        for _ in range(50):
            waiting.append(asyncio.ensure_future(journal.wait_durable(journal.append(1, b"x"))))
            await asyncio.sleep(0)

        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert journal.pending_records == 0
