"""riskd signs the end of its journal: every so many records, once a minute while anything is written, and at the stop.

Opening the journal holds it against the checkpoints of before; verifying it from outside is `tradebot audit --journal`
and `tradebot doctor`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from riskd.records import JournalCheckpoint, RecordType, decode_record
from tradebot.runtime.clock import Clock
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.identity import Role
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_checkpoints import (
    ChainVerdict,
    ChainVerifier,
    Checkpoint,
    CheckpointKey,
    checkpoint_dir,
    checkpoint_file,
    keep,
    kept_checkpoints,
    load_or_create_key,
    public_key_file,
    verify_journal,
)
from tradebot.runtime.journal_format import JournalRecord
from tradebot.runtime.state_dir import StateError

EVERY_RECORDS: Final = 1_000
EVERY_S: Final = 60.0
LOOK_S: Final = 1.0

_log = structlog.get_logger(__name__)


def owner_of(common: CommonConfig) -> str:
    """Return whose checkpoints count here."""
    return f"{Role.RISKD} {common.mode}"


def checkpoint_in(record: JournalRecord) -> Checkpoint | None:
    """Return the checkpoint that a record is, None for any other."""
    if record.record_type != RecordType.CHECKPOINT:
        return None
    found = decode_record(record.record_type, record.payload)
    assert isinstance(found, JournalCheckpoint)
    return Checkpoint(found.owner, found.seq, found.link, found.time_ns, found.signature)


def as_record(signed: Checkpoint) -> JournalCheckpoint:
    """Return the journal's record of a checkpoint."""
    return JournalCheckpoint(signed.owner, signed.seq, signed.link, signed.time_ns, signed.signature)


class CheckpointSigner:
    """Signs for a running journal. Belongs to the loop's thread."""

    def __init__(self, common: CommonConfig, clock: Clock) -> None:
        self._owner = owner_of(common)
        self._clock = clock
        folder = checkpoint_dir(common.state_dir, Role.RISKD)
        self._key: CheckpointKey = load_or_create_key(folder)
        self._path = checkpoint_file(folder)
        self._verifier = ChainVerifier(self._owner, self._key.public, kept_checkpoints(self._path))
        self._signed_seq = 0
        self._signed_ns = clock.now_ns()
        self._quiet_seq = 0
        """What the journal ends with when nothing but a checkpoint came since the last signature."""

    def restored(self, record: JournalRecord) -> None:
        """Take a record while the journal is read back."""
        self._verifier.record(record, checkpoint_in(record))

    def finish_restore(self) -> ChainVerdict:
        """Return what the journal proves about itself, once it is read."""
        verdict = self._verifier.finish()
        self._signed_seq = self._quiet_seq = verdict.records
        return verdict

    async def run(self, journal: Journal, append: Callable[[Checkpoint], None]) -> None:
        """Sign when it is due, for ever; `append` writes the checkpoint into the journal."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.is_due(journal.head[0]):
                signed = await asyncio.to_thread(self.sign, journal)
                append(signed)
                self._quiet_seq = journal.appended_seq

    def is_due(self, seq: int) -> bool:
        """Return whether a journal that ends here wants a signature."""
        waited_s = (self._clock.now_ns() - self._signed_ns) / 1e9
        return seq - self._signed_seq >= EVERY_RECORDS or (seq > self._quiet_seq and waited_s >= EVERY_S)

    def sign(self, journal: Journal) -> Checkpoint:
        """Sign the last durable record and keep the checkpoint beside the journal."""
        seq, link = journal.head
        signed = self._key.sign(self._owner, seq, link, self._clock.now_ns())
        keep(self._path, signed)
        self._signed_seq, self._signed_ns = seq, signed.time_ns
        return signed

    def sign_last(self, journal: Journal) -> None:
        """At the stop: sign what came since."""
        if journal.head[0] > self._signed_seq:
            self.sign(journal)


def verify(common: CommonConfig) -> tuple[ChainVerdict, str]:
    """Return what riskd's journal proves about itself, and the key's fingerprint; for `audit` and `doctor`.

    Raises:
        StateError: If there is no journal or no public key.
    """
    folder = checkpoint_dir(common.state_dir, Role.RISKD)
    public_file = public_key_file(folder)
    try:
        public = bytes.fromhex(public_file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as exc:
        raise StateError(f"{public_file} is missing or no key: riskd writes it at its start") from exc
    beside = kept_checkpoints(checkpoint_file(folder))
    verdict = verify_journal(common.journal_dir(Role.RISKD), owner_of(common), public, beside, checkpoint_in)
    return verdict, public.hex()[:16]
