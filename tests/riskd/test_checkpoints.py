"""riskd signs its journal while it runs, and halts on one that is not the one that it signed."""

from __future__ import annotations

from pathlib import Path

from riskd.checkpoint_shell import EVERY_RECORDS, CheckpointSigner, as_record, checkpoint_in, verify
from riskd.records import TYPE_OF, encode_record
from tests.riskd.kit import SECOND, Desk
from tradebot.core.levels import ReleaseRule, TradingLevel
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.config import CommonConfig, Mode
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_format import JournalRecord

SEGMENT_BYTES = 1 << 16


class Life:
    """One life of a process on a state folder."""

    def __init__(self, state: Path) -> None:
        self.common = CommonConfig(mode=Mode.DEMO, state_dir=state)
        self.clock = ManualClock(1_000 * SECOND)
        self.signer = CheckpointSigner(self.common, self.clock)
        self.desk = Desk(connect=False)
        self.journal = Journal.open(
            self.common.journal_dir("riskd"), clock=self.clock, segment_bytes=SEGMENT_BYTES, on_record=self.restore
        )
        self.verdict = self.signer.finish_restore()

    def restore(self, record: JournalRecord) -> None:
        self.signer.restored(record)

    def write(self, count: int) -> None:
        for _ in range(count):
            self.journal.append(1, b"x")
        self.journal.flush()

    def sign(self) -> None:
        record = as_record(self.signer.sign(self.journal))
        self.journal.append(TYPE_OF[type(record)], encode_record(record))
        self.journal.flush()

    def end(self) -> None:
        self.journal.close()


def due_after(life: Life, records: int, seconds: float) -> bool:
    life.write(records)
    life.clock.advance(int(seconds * SECOND))
    return life.signer.is_due(life.journal.head[0])


def test_a_signature_is_due_when_enough_was_written_or_a_minute_passed(tmp_path: Path) -> None:
    for name, records, seconds, due in (
        ("nothing", 0, 3600, False), ("a little at once", 1, 59.9, False), ("a little, a minute later", 1, 60, True),
        ("much", EVERY_RECORDS, 0, True), ("less", EVERY_RECORDS - 1, 0, False),
    ):  # fmt: skip
        life = Life(tmp_path / name)
        assert due_after(life, records, seconds) is due, name
        life.end()


def test_what_was_signed_is_proven_from_outside_and_at_the_next_start(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.write(5)
    life.sign()
    life.write(2)
    verdict, key = verify(life.common)
    assert (verdict.problems, verdict.records, verdict.signed_seq, verdict.unsigned) == ([], 8, 5, 3)
    assert verdict.checkpoints == 2  # beside the journal and in it
    assert len(key) == 16
    life.signer.sign_last(life.journal)
    life.end()
    again = Life(tmp_path)

    assert (again.verdict.problems, again.verdict.signed_seq, again.verdict.unsigned) == ([], 8, 0)
    again.end()


def test_a_journal_that_lost_its_end_is_found_at_the_start_and_halts(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.write(5)
    life.sign()
    life.end()
    for path in life.common.journal_dir("riskd").glob("*.journal"):
        path.unlink()
    again = Life(tmp_path)
    again.write(3)
    again.end()
    problem = again.verdict.problems[0]
    desk = again.desk
    desk.gate.journal_doubted(problem, desk.now_ns)
    hold = next(hold for hold in desk.gate.state.holds.listed() if hold.cause == "JOURNAL_REWRITTEN")

    assert problem == "the journal ends at record 0, but record 5 was signed: its end was cut off"
    assert (hold.level, hold.release) == (TradingLevel.HALTED, ReleaseRule.TWO_KEY)
    assert verify(again.common)[0].problems


def test_a_checkpoint_record_changes_nothing_that_is_remembered(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.write(1)
    signed = life.signer.sign(life.journal)
    life.end()
    desk = Desk()
    before = desk.gate.state.digest()
    desk.gate.journal_signed(as_record(signed))
    kind, payload = desk.sink.records[-1]

    assert desk.gate.state.digest() == before
    assert checkpoint_in(JournalRecord(1, 0, kind, payload, b"")) == signed
    assert checkpoint_in(JournalRecord(1, 0, 4, b"", b"")) is None
