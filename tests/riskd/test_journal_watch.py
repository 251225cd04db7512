"""PTR-08: a journal that may soon not be written any more stops entries; one that failed halts the next life."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from riskd.journal_shell import FAILED_MARK, JournalProbe, _free_bytes, mark_failed, read_mark, remove_mark
from riskd.journal_watch import JournalHealth
from riskd.shell import LiveGate
from tests.riskd.kit import SECOND, WATCHES, Desk, make_test_limits
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.journal import Journal

MS = 1_000_000
GIB = 1 << 30
WELL = JournalHealth(100 * GIB, 1_000, 4 * MS, 0)


def desk(**limits: Any) -> Desk:
    return Desk(limits=make_test_limits({"PTR-08": WATCHES["PTR-08"] | limits}), attended=False)


def measured(at: Desk, health: JournalHealth, seconds: int = 1) -> str:
    for _ in range(seconds):
        at.gate.journal_measured(health, at.now_ns)
        at.wait(1)
    return at.levels()


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ({"free_bytes": 5 * GIB + 1}, "RUNNING"),
        ({"free_bytes": 5 * GIB}, "RUNNING"),
        ({"free_bytes": 5 * GIB - 1}, "REDUCE_ONLY"),
        ({"free_bytes": 0}, "REDUCE_ONLY"),
        ({"free_bytes": -1}, "REDUCE_ONLY"),
        ({"sync_p99_ns": 250 * MS}, "RUNNING"),
        ({"sync_p99_ns": 250 * MS + 1}, "REDUCE_ONLY"),
        ({"sync_p99_ns": 900 * MS, "syncs": 19}, "RUNNING"),
        ({"sync_p99_ns": 900 * MS, "syncs": 20}, "REDUCE_ONLY"),
        ({"stalled_ns": 250 * MS}, "RUNNING"),
        ({"stalled_ns": 250 * MS + 1, "syncs": 0}, "REDUCE_ONLY"),
    ],
    ids=str,
)
def test_space_and_syncs_at_their_limits(health: dict[str, int], expected: str) -> None:
    assert measured(desk(), replace(WELL, **health)) == expected


def test_it_ends_by_itself_and_with_space_to_spare() -> None:
    at = desk()
    full = measured(at, replace(WELL, free_bytes=4 * GIB))
    almost = measured(at, replace(WELL, free_bytes=5 * GIB + GIB // 4 - 1))
    room = measured(at, replace(WELL, free_bytes=5 * GIB + GIB // 4))

    assert (full, almost, room) == ("REDUCE_ONLY", "REDUCE_ONLY", "RUNNING")
    assert at.replayed().state.digest() == at.gate.state.digest()


@pytest.mark.parametrize("before", [0, 3], ids=["never", "not any more"])
def test_who_does_not_measure_hangs_perhaps_in_the_disk(before: int) -> None:
    at = desk()
    measured(at, WELL, before)
    for _ in range(4 if before else 5):
        at.wait(1)
    quiet = at.levels()
    at.wait(1)
    at.wait(1)

    assert (quiet, at.levels()) == ("RUNNING", "REDUCE_ONLY")
    assert measured(at, WELL) == "RUNNING"


def test_a_failed_journal_halts_the_next_life_until_a_person_has_looked(tmp_path: Path) -> None:
    at = desk()
    mark_failed(tmp_path, "write failed (Input/output error)")
    at.gate.journal_failed_before(read_mark(tmp_path), at.now_ns)
    remove_mark(tmp_path)
    remove_mark(tmp_path)  # a second time does nothing
    measured(at, WELL, 5)
    hold = at.gate.state.holds.find("PTR-08", SYSTEM_SCOPE)

    assert hold is not None
    assert (hold.level, hold.release, hold.evidence) == (
        TradingLevel.HALTED, ReleaseRule.ONE_KEY, "write failed (Input/output error)",
    )  # fmt: skip
    assert read_mark(tmp_path) == ""


def test_a_mark_that_cannot_be_read_is_a_mark(tmp_path: Path) -> None:
    (tmp_path / FAILED_MARK).write_bytes(b"\xff\xfe")
    damaged = read_mark(tmp_path)
    (tmp_path / FAILED_MARK).write_bytes(b"")

    assert damaged.startswith("the journal failed before")
    assert read_mark(tmp_path) == "the journal failed"


def test_a_disk_that_takes_no_mark_does_not_hide_the_error_that_is_told(tmp_path: Path) -> None:
    mark_failed(tmp_path / "gone", "write failed")

    assert read_mark(tmp_path) == ""


def test_the_probe_tells_syncs_of_the_last_minute_and_what_hangs(tmp_path: Path) -> None:
    at = desk()
    clock = ManualClock(at.now_ns)
    with Journal.open(tmp_path / "j", clock=clock) as journal:
        probe = JournalProbe(LiveGate(at.gate, clock, journal, "i"), journal, tmp_path)
        for _ in range(30):
            journal.append(1, b"x")
            journal.flush()
        now_ns = max(ended_ns for ended_ns, _ in journal._syncs)
        soon, later = probe.health(7, now_ns), probe.health(7, now_ns + 61 * SECOND)

    assert (soon.free_bytes, soon.stalled_ns, later.syncs, later.sync_p99_ns) == (7, 0, 0, 0)
    assert soon.syncs >= 30
    assert 0 < soon.sync_p99_ns <= max(took for _, took in journal._syncs)


def test_the_probe_tells_the_time_that_99_of_100_syncs_did_not_exceed(tmp_path: Path) -> None:
    at = desk()
    clock = ManualClock(at.now_ns)
    with Journal.open(tmp_path / "j", clock=clock) as journal:
        probe = JournalProbe(LiveGate(at.gate, clock, journal, "i"), journal, tmp_path)
        journal._syncs.clear()
        journal._syncs.extend((SECOND, took) for took in range(200, 0, -1))

        assert probe.health(7, SECOND).sync_p99_ns == 198


def test_free_space_is_told_in_bytes(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free

    assert free // 2 <= _free_bytes(tmp_path) <= free * 2  # others write meanwhile
