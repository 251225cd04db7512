"""Snapshots only save time: whatever happens to them, riskd's state is the one that its journal makes."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from riskd.gate import RiskGate
from riskd.limits import Limits
from riskd.records import MemorySink
from riskd.snapshot_shell import KEPT, Following, SnapshotStore, take
from riskd.snapshots import SnapshotError, decode, dump_state, encode, load_state
from tests.riskd.kit import Desk
from tests.riskd.test_restore import Life
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_checkpoints import load_or_create_key
from tradebot.runtime.journal_format import JournalRecord
from tradebot.runtime.journal_reader import JournalReader, read_journal

Records = list[tuple[int, bytes]]
LIMITS = Desk().limits


def live(seed: int, steps: int = 80) -> Desk:
    """Return a desk after a random life."""
    life = Life(seed)
    for _ in range(steps):
        life.step()
    return life.desk


def restored(desk: Desk, begin: Records, rest: Records) -> RiskGate:
    """Return a gate whose state went through a snapshot in between."""
    before = desk.new_gate(MemorySink())
    before.restore(begin)
    gate = desk.new_gate(MemorySink(), load_state(dump_state(before.state)))
    gate.restore(rest)
    return gate


@pytest.mark.parametrize("seed", range(6))
def test_a_snapshot_at_any_record_and_the_rest_make_the_state_of_the_whole_journal(seed: int) -> None:
    desk = live(seed)
    records = desk.sink.records
    cuts = random.Random(seed).sample(range(len(records) + 1), 6)

    for cut in [0, len(records), *cuts]:
        gate = restored(desk, records[:cut], records[cut:])
        assert gate.state.digest() == desk.gate.state.digest(), cut
        gate.start("again", desk.now_ns)


def test_what_went_through_a_snapshot_decides_as_what_never_did() -> None:
    twins = [live(3), live(3)]
    twins[1].gate = restored(twins[1], twins[1].sink.records, [])
    twins[0].gate = twins[0].replayed()
    for desk in twins:
        desk.gate.start("life2", desk.now_ns)
        desk.hello()
        desk.venue()

    answers = []
    for desk in twins:
        life = Life(3)
        life.desk, life.rng = desk, random.Random(11)
        for _ in range(40):
            life.step()
        answers.append([payload for _, payload in desk.gate._ledger._sink.records])  # type: ignore[union-attr]
    assert answers[0] == answers[1]


# ---- files


LATER = 50
"""Records that a test appends itself."""


@cache
def long_life() -> Records:
    """Return the records of the journal that the tests below read."""
    return live(5, 260).sink.records


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a life but for its end, in several segments."""
    folder = tmp_path / "journal"
    write_journal(folder, long_life()[:-LATER])
    assert len(list(folder.glob("*.journal"))) >= 3
    return folder


def write_journal(folder: Path, records: Records) -> None:
    """Append records, in small segments."""
    with Journal.open(folder, clock=ManualClock(1), segment_bytes=1 << 16) as journal:
        for kind, payload in records:
            journal.append(kind, payload)
        journal.flush()


def store(journal: Path, *, owner: str = "riskd demo", limits: Limits = LIMITS, build: str = "b1") -> SnapshotStore:
    """Return the store beside a journal."""
    key = load_or_create_key(journal.parent / "keys")
    return SnapshotStore(journal.parent / "snapshots", key, owner, limits, build)


def files(journal: Path) -> list[Path]:
    """Return the snapshots, oldest first."""
    return sorted((journal.parent / "snapshots").iterdir())


def start(journal: Path, found: SnapshotStore) -> tuple[str, int]:
    """Return the digest of the state that a start finds, and how many records it folded."""
    snapshot, folded = found.newest(), 0
    gate = Desk().new_gate(MemorySink(), snapshot.state if snapshot else None)

    def fold(kind: int, payload: bytes) -> None:
        nonlocal folded
        folded += 1
        gate.restore_one(kind, payload)

    following = Following(snapshot, fold)
    for record in read_journal(journal):
        following.record(record)
    assert following.confirmed
    gate.finish_restore()
    return gate.state.digest(), folded


def whole(journal: Path) -> str:
    """Return the digest of the state that the whole journal makes."""
    gate = Desk().new_gate(MemorySink())
    gate.restore((record.record_type, record.payload) for record in read_journal(journal))
    return gate.state.digest()


def test_a_start_folds_what_came_after_the_snapshot_and_nothing_else(journal: Path) -> None:
    last = take(store(journal), journal, LIMITS)
    assert last == 0, "too little is new"
    last = take(store(journal), journal, LIMITS, every=1)
    assert start(journal, store(journal)) == (whole(journal), 0)

    write_journal(journal, long_life()[-LATER:])
    assert start(journal, store(journal)) == (whole(journal), LATER)
    assert take(store(journal), journal, LIMITS, every=LATER) == last + LATER
    assert start(journal, store(journal)) == (whole(journal), 0)


def test_a_long_journal_is_folded_in_several_runs(journal: Path) -> None:
    last = sum(1 for _ in read_journal(journal))

    taken = [take(store(journal), journal, LIMITS, every=1, most=100) for _ in range(last // 100 + 1)]

    assert taken == [*range(100, last, 100), last]
    assert start(journal, store(journal)) == (whole(journal), 0)


def damage_content(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 1
    path.write_bytes(bytes(raw))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def forge(path: Path) -> None:
    """Another head, for the same content."""
    head, signature, content = decode(path.read_bytes())
    raw = encode(head, signature, content)
    path.write_bytes(raw.replace(b'"b1"', b'"b2"', 1))


@pytest.mark.parametrize("spoil", [damage_content, cut, empty, forge])
def test_a_damaged_snapshot_leaves_the_older_one_and_more_to_fold(journal: Path, spoil: Callable[[Path], None]) -> None:
    take(store(journal), journal, LIMITS, every=1)
    write_journal(journal, long_life()[-LATER:])
    take(store(journal), journal, LIMITS, every=1)
    assert len(files(journal)) == KEPT

    spoil(files(journal)[-1])
    assert start(journal, store(journal)) == (whole(journal), LATER)
    spoil(files(journal)[0])
    digest, folded = start(journal, store(journal))
    assert (digest, folded) == (whole(journal), sum(1 for _ in read_journal(journal)))


def test_snapshots_of_another_build_owner_or_limits_file_do_not_count(journal: Path) -> None:
    take(store(journal), journal, LIMITS, every=1)
    assert store(journal).newest() is not None
    assert store(journal, build="b2").newest() is None
    assert store(journal, owner="riskd live").newest() is None
    assert store(journal, limits=replace(LIMITS, hash="another")).newest() is None


def test_a_snapshot_of_another_riskd_s_key_does_not_count(journal: Path) -> None:
    take(store(journal), journal, LIMITS, every=1)
    (journal.parent / "keys" / "signing.key").unlink()

    assert store(journal).newest() is None


class Evil:
    """Runs a command when it is unpickled by somebody who does not look."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('/dev/null')",)


def test_bytes_that_name_other_classes_are_refused_before_anything_runs() -> None:
    with pytest.raises(SnapshotError, match=r"eval is no part of a state"):
        load_state(pickle.dumps(Evil()))
    with pytest.raises(SnapshotError, match="no state"):
        load_state(pickle.dumps({"a": 1}))
    with pytest.raises(SnapshotError, match=r"os\.getpid is no part"):
        load_state(b"\x80\x04\x8c\x14riskd.snapshot_shell\x8c\x09os.getpid\x93)R.")  # what one of our modules imports


def test_a_journal_that_was_written_anew_or_cut_is_not_the_snapshots(journal: Path) -> None:
    take(store(journal), journal, LIMITS, every=1)
    snapshot = store(journal).newest()
    assert snapshot is not None
    records = list(read_journal(journal))
    folded: list[int] = []

    for found in (records[:8] + [_replaced(record) for record in records[8:]], records[:-1]):
        following = Following(snapshot, lambda kind, _: folded.append(kind))
        for record in found:
            following.record(record)
        assert not following.confirmed
    assert folded == []


def _replaced(record: JournalRecord) -> JournalRecord:
    return record._replace(link=bytes(len(record.link)))


def test_another_journal_in_its_place_is_folded_whole(journal: Path) -> None:
    take(store(journal), journal, LIMITS, every=1)
    for path in journal.iterdir():
        path.unlink()
    write_journal(journal, live(8, 60).sink.records)
    last = sum(1 for _ in read_journal(journal))

    assert take(store(journal), journal, LIMITS, every=1) == last
    (path,) = files(journal)  # one of a later record would hide it for as long as this journal is shorter
    assert int(path.stem) == last
    assert load_state(decode(path.read_bytes())[2]).digest() == whole(journal)


def test_what_a_killed_writer_left_is_removed(journal: Path) -> None:
    torn = journal.parent / "snapshots" / f".{7:020d}.snapshot.4711"
    torn.parent.mkdir()
    torn.write_bytes(b"half of it")

    take(store(journal), journal, LIMITS, every=1)

    assert len(files(journal)) == 1
    assert not torn.exists()


def test_a_reader_may_begin_at_the_segment_of_a_record(journal: Path) -> None:
    records = list(read_journal(journal))
    middle = len(records) // 2

    found = list(JournalReader(journal, middle))

    assert 1 < found[0].seq <= middle
    assert found == records[found[0].seq - 1 :]
    assert list(JournalReader(journal, 1)) == records
