"""Signed checkpoints: a journal whose end was cut off or rewritten is found out; everything else stays readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtime.journal_kit import SEGMENT_BYTES, records_of, segments_of, write_records
from tradebot.core.errors import ConfigError
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_checkpoints import (
    MAX_KEPT,
    ChainVerdict,
    Checkpoint,
    CheckpointKey,
    checkpoint_file,
    keep,
    kept_checkpoints,
    load_or_create_key,
    public_key_file,
    verify_journal,
)
from tradebot.runtime.journal_format import SEGMENT_HEAD_BYTES, JournalRecord
from tradebot.runtime.state_dir import StateError

OWNER = "riskd demo"
SIGNED_TYPE = 51


@pytest.fixture
def key(tmp_path: Path) -> CheckpointKey:
    return load_or_create_key(tmp_path)


def sign_end(tmp_path: Path, key: CheckpointKey, owner: str = OWNER) -> Checkpoint:
    """Sign the last record, as a running daemon does."""
    last = list(records_of(tmp_path / "journal"))[-1]
    signed = key.sign(owner, last.seq, last.link, 1_000)
    keep(checkpoint_file(tmp_path), signed)
    return signed


def verdict_of(tmp_path: Path, key: CheckpointKey, inside: Checkpoint | None = None) -> ChainVerdict:
    def find(record: JournalRecord) -> Checkpoint | None:
        return inside if record.record_type == SIGNED_TYPE else None

    beside = kept_checkpoints(checkpoint_file(tmp_path))
    return verify_journal(tmp_path / "journal", OWNER, key.public, beside, find)


def rewritten(tmp_path: Path, payloads: list[bytes]) -> None:
    """Replace the journal by one with other records and a chain that holds, as somebody without the key would."""
    for path in segments_of(tmp_path / "journal"):
        path.unlink()
    write_records(tmp_path / "journal", payloads)


def test_a_journal_as_it_was_signed_has_no_problems(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a", b"b"])
    sign_end(tmp_path, key)
    write_records(tmp_path / "journal", [b"c"])
    sign_end(tmp_path, key)
    write_records(tmp_path / "journal", [b"d", b"e"])
    verdict = verdict_of(tmp_path, key)

    assert verdict.problems == []
    assert (verdict.records, verdict.checkpoints, verdict.signed_seq, verdict.unsigned) == (5, 2, 3, 2)


def test_a_journal_without_checkpoints_stays_readable_and_claims_nothing(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a", b"b"])
    verdict = verdict_of(tmp_path, key)

    assert verdict.problems == []
    assert (verdict.records, verdict.signed_seq, verdict.unsigned) == (2, 0, 2)


def test_an_end_that_was_cut_off_is_found(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a", b"b", b"c"])
    sign_end(tmp_path, key)
    last = list(records_of(tmp_path / "journal"))[-1]
    (path,) = segments_of(tmp_path / "journal")
    data = bytearray(path.read_bytes())
    start = data.rindex(last.seq.to_bytes(8, "little") + last.now_ns.to_bytes(8, "little")) - 8
    assert start > SEGMENT_HEAD_BYTES
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    verdict = verdict_of(tmp_path, key)

    assert verdict.records == 2
    assert verdict.problems == ["the journal ends at record 2, but record 3 was signed: its end was cut off"]


def test_a_rewritten_end_with_a_chain_that_holds_is_found(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a", b"b", b"c"])
    sign_end(tmp_path, key)
    rewritten(tmp_path, [b"a", b"b", b"X", b"d"])
    verdict = verdict_of(tmp_path, key)

    assert verdict.problems == [
        "checkpoint of record 3 in the file beside the journal signs another record: the journal was rewritten"
    ]
    assert verdict.signed_seq == 0


def test_a_checkpoint_inside_finds_a_rewrite_when_the_file_beside_is_gone(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a", b"b"])
    signed = sign_end(tmp_path, key)
    checkpoint_file(tmp_path).unlink()

    def with_checkpoint(payload: bytes) -> ChainVerdict:
        rewritten(tmp_path, [b"a", payload])
        with Journal.open(tmp_path / "journal", clock=ManualClock(), segment_bytes=SEGMENT_BYTES) as journal:
            journal.append(SIGNED_TYPE, b"")
        return verdict_of(tmp_path, key, signed)

    assert with_checkpoint(b"b").problems == []
    assert with_checkpoint(b"B").problems == [
        "checkpoint of record 2 in record 3 signs another record: the journal was rewritten"
    ]


def test_a_forged_or_foreign_signature_is_found(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a"])
    other = load_or_create_key(tmp_path / "others")
    sign_end(tmp_path, other)
    sign_end(tmp_path, key, "riskd real")
    verdict = verdict_of(tmp_path, key)

    assert [problem.split(" beside the journal ")[1] for problem in verdict.problems] == [
        "is not signed with the known key",
        "is one of 'riskd real', not of 'riskd demo'",
    ]


@pytest.mark.parametrize("field", ["seq", "time_ns", "link", "signature"])
def test_every_field_of_a_checkpoint_is_signed(tmp_path: Path, key: CheckpointKey, field: str) -> None:
    write_records(tmp_path / "journal", [b"a", b"b"])
    sign_end(tmp_path, key)
    path = checkpoint_file(tmp_path)
    raw = json.loads(path.read_text())
    raw[field] = raw[field] - 1 if isinstance(raw[field], int) else "00" + raw[field][2:]
    path.write_text(json.dumps(raw) + "\n")

    assert len(verdict_of(tmp_path, key).problems) == 1


def test_damage_in_the_middle_is_a_problem_and_no_crash(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"first", b"second", b"third"])
    sign_end(tmp_path, key)
    (path,) = segments_of(tmp_path / "journal")
    path.write_bytes(path.read_bytes().replace(b"second", b"sEcond"))

    assert "is corrupt" in verdict_of(tmp_path, key).problems[0]


def test_a_torn_last_line_is_left_out_and_a_broken_one_named(tmp_path: Path, key: CheckpointKey) -> None:
    write_records(tmp_path / "journal", [b"a"])
    sign_end(tmp_path, key)
    path = checkpoint_file(tmp_path)
    whole = path.read_text()
    path.write_text(whole + whole[:30])
    assert len(kept_checkpoints(path)) == 1

    path.write_text("{}\n" + whole)
    with pytest.raises(StateError, match="line 1 is no checkpoint"):
        kept_checkpoints(path)


def test_the_file_beside_never_grows_without_end(tmp_path: Path, key: CheckpointKey) -> None:
    path = checkpoint_file(tmp_path)
    line = key.sign(OWNER, 1, bytes(32), 0)
    keep(path, line)
    path.write_text(path.read_text() * MAX_KEPT)
    keep(path, key.sign(OWNER, 2, bytes(32), 0))

    found = kept_checkpoints(path)
    assert len(found) == MAX_KEPT // 2 + 1
    assert found[-1].seq == 2


def test_the_key_is_made_once_private_and_its_public_half_for_all(tmp_path: Path) -> None:
    first, again = load_or_create_key(tmp_path), load_or_create_key(tmp_path)

    assert first.public == again.public
    assert bytes.fromhex(public_key_file(tmp_path).read_text().strip()) == first.public
    assert (tmp_path / "signing.key").stat().st_mode & 0o077 == 0
    (tmp_path / "signing.key").write_text("nonsense")
    with pytest.raises(ConfigError, match="is no checkpoint key"):
        load_or_create_key(tmp_path)
