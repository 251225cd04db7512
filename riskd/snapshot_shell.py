"""Snapshots beside riskd's journal: taken by a process of their own, found again at the start.

`python -m riskd.snapshot_shell --config FILE --state DIR` goes on from the newest snapshot over the journal of the
running riskd and leaves another; riskd starts it at low priority, so that no order ever waits for it. Two are kept:
when the newer one is damaged the older one counts, and without any the journal is folded from its beginning.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from riskd.checkpoint_shell import owner_of
from riskd.config import RiskdConfig
from riskd.limits import Limits, load_limits
from riskd.records import decode_record
from riskd.settings import make_settings
from riskd.snapshots import (
    MAX_SNAPSHOT_BYTES,
    SEAL,
    SnapshotError,
    SnapshotHead,
    decode,
    dump_state,
    encode,
    hash_of,
    load_state,
    python_of,
)
from riskd.state import RiskState
from tradebot.core.errors import TradebotError
from tradebot.runtime.build import build_hash
from tradebot.runtime.config import CommonConfig, load_config
from tradebot.runtime.credentials import write_private
from tradebot.runtime.identity import Role
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_checkpoints import CheckpointKey, checkpoint_dir, load_or_create_key
from tradebot.runtime.journal_format import JournalRecord
from tradebot.runtime.journal_reader import JournalReader

EVERY_RECORDS: Final = 5_000
"""Journal records between two snapshots."""
EVERY_S: Final = 60.0
"""Least time between two: beyond 5,000 records a minute they are further apart."""
MAX_FOLDED: Final = 200_000
"""Records that one run folds; the next one goes on there. So every run has an end, however long the journal is."""
RUN_TIMEOUT_S: Final = 600.0
KEPT: Final = 2
NICENESS: Final = 19
SUFFIX: Final = ".snapshot"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state that was read back."""

    seq: int
    link: bytes
    state: RiskState


class SnapshotStore:
    """The folder of one state directory. Its files are riskd's own: signed with the key of its checkpoints."""

    def __init__(self, folder: Path, key: CheckpointKey, owner: str, limits: Limits, build: str) -> None:
        self._folder, self._key, self._owner, self._build = folder, key, owner, build
        self._limits = limits.hash

    def newest(self) -> Snapshot | None:
        """Return the newest snapshot that counts here; what does not is named in the log."""
        for path in self._files():
            try:
                return self._read(path)
            except (SnapshotError, OSError) as exc:
                _log.info("snapshot_not_used", file=path.name, why=str(exc))
        return None

    def newest_seq(self) -> int:
        """Return the record of the newest file, whether it counts or not; 0 = there is none."""
        return max((int(path.stem) for path in self._files()), default=0)

    def write(self, state: RiskState, record: JournalRecord) -> None:
        """Leave a snapshot of a state after the journal's last record. Older ones than the one before are removed, and
        newer ones: those were made of another journal, and would hide this one.

        Raises:
            SnapshotError: If the state cannot be read back from its bytes.
        """
        content = dump_state(state)
        head = SnapshotHead(
            self._owner, self._build, python_of(), self._limits, record.seq, record.link.hex(), hash_of(content)
        )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        raw = encode(head, self._key.seal(SEAL, head.signed_bytes()), content)
        path = self._folder / f"{record.seq:020d}{SUFFIX}"
        write_private(path, raw)
        files = self._files()
        place = files.index(path)
        torn = self._folder.glob(f".*{SUFFIX}.*")  # of whoever was killed while he wrote
        for other in (*files[:place], *files[place + KEPT :], *torn):
            other.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Return the files, newest first."""
        if not self._folder.is_dir():
            return []
        return sorted((p for p in self._folder.glob(f"*{SUFFIX}") if p.stem.isdigit()), reverse=True)

    def _read(self, path: Path) -> Snapshot:
        if path.stat().st_size > MAX_SNAPSHOT_BYTES:
            raise SnapshotError(f"is larger than {MAX_SNAPSHOT_BYTES} bytes")
        head, signature, content = decode(path.read_bytes())
        if not self._key.holds(SEAL, head.signed_bytes(), signature):
            raise SnapshotError("is not signed with this riskd's key")
        if hash_of(content) != head.content:
            raise SnapshotError("was damaged: its content is not what was signed")
        made = {"owner": head.owner, "build": head.build, "Python": head.python, "limits file": head.limits}
        here = {"owner": self._owner, "build": self._build, "Python": python_of(), "limits file": self._limits}
        for name, value in made.items():
            if value != here[name]:
                raise SnapshotError(f"is of another {name}")
        return Snapshot(head.seq, bytes.fromhex(head.link), load_state(content))


class Following:
    """Journal records after a snapshot, and whether the journal is the one that it was made of."""

    def __init__(self, snapshot: Snapshot | None, fold: Callable[[int, bytes], object]) -> None:
        self._seq, self._link = (snapshot.seq, snapshot.link) if snapshot else (0, b"")
        self._fold = fold
        self.confirmed = snapshot is None

    def record(self, record: JournalRecord) -> None:
        """Take the journal's next record."""
        if record.seq == self._seq:
            self.confirmed = record.link == self._link
        elif record.seq > self._seq and self.confirmed:
            self._fold(record.record_type, record.payload)


def open_store(common: CommonConfig, limits: Limits) -> SnapshotStore:
    """Return the store of a state directory."""
    key = load_or_create_key(checkpoint_dir(common.state_dir, Role.RISKD))
    return SnapshotStore(common.state_dir / "snapshots" / Role.RISKD, key, owner_of(common), limits, build_hash())


def take(
    store: SnapshotStore, journal: Path, limits: Limits, *, every: int = EVERY_RECORDS, most: int = MAX_FOLDED
) -> int:
    """Leave a snapshot of what a journal holds now, or of `most` records more than the last one; return its last
    record, 0 when fewer than `every` are new.

    Raises:
        TradebotError: If the journal or a file cannot be read or written; nothing that counts is lost then.
    """
    begin = store.newest()
    state, last = _folded(begin, JournalReader(journal, begin.seq if begin else 1), limits, most)
    if state is None:  # the journal is another one
        begin = None
        state, last = _folded(None, JournalReader(journal), limits, most)
    if state is None or last is None or last.seq - (begin.seq if begin else 0) < every:
        return 0
    store.write(state, last)
    return last.seq


def _folded(
    begin: Snapshot | None, records: Iterable[JournalRecord], limits: Limits, most: int
) -> tuple[RiskState | None, JournalRecord | None]:
    state = begin.state if begin else RiskState(limits, make_settings(limits))
    following = Following(begin, lambda kind, payload: state.apply(decode_record(kind, payload)))
    last, end = None, (begin.seq if begin else 0) + most
    for last in records:
        following.record(last)
        if last.seq >= end:
            break
    return (state if following.confirmed else None), last


class SnapshotTaker:
    """Starts the other process when there is enough new. Belongs to riskd's loop; whatever fails there stays there."""

    def __init__(self, args: argparse.Namespace, store: SnapshotStore, begun_at: int) -> None:
        """Prepare for a riskd that was started with these flags, from the snapshot of a record; 0 = from none."""
        self._store = store
        self._command = [sys.executable, "-m", "riskd.snapshot_shell", "--config", str(args.config)]
        if args.state is not None:
            self._command += ["--state", str(args.state)]
        for override in args.set:
            self._command += ["--set", override]
        self._seq = begun_at

    async def run(self, journal: Journal) -> None:
        """Look and start, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            if journal.durable_seq - self._seq >= EVERY_RECORDS:
                tried_seq = journal.durable_seq
                # After a failure the next try has its time.
                self._seq = self._store.newest_seq() if await self._take() else tried_seq

    async def _take(self) -> bool:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), RUN_TIMEOUT_S)
        except BaseException as exc:
            process.kill()
            await process.wait()
            if isinstance(exc, TimeoutError):
                _log.warning("snapshot_took_too_long", seconds=RUN_TIMEOUT_S)
                return False
            raise
        if process.returncode:
            _log.warning("snapshot_failed", code=process.returncode, said=said.decode(errors="replace")[-500:].strip())
        return not process.returncode


def main() -> int:
    """Take one snapshot."""
    with suppress(OSError):  # a sandbox may forbid it: then it has riskd's own priority
        os.nice(NICENESS)
    with suppress(OSError):  # before riskd, when there is too little memory for both
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="environment file of riskd")
    parser.add_argument("--state", type=Path, metavar="DIR", help="root of all state; replaces state_dir")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace one value")
    parser.add_argument("--every", type=int, default=EVERY_RECORDS, help="new records that are worth a snapshot")
    options = parser.parse_args()
    try:
        config = load_config(options.config, Role.RISKD, RiskdConfig, options.set, options.state)
        limits = load_limits(config.section.limits_path(config.path, config.common.mode))
        store = open_store(config.common, limits)
        seq = take(store, config.common.journal_dir(Role.RISKD), limits, every=options.every)
    except TradebotError as exc:
        print(f"riskd snapshot: {' '.join(str(exc).split())}", file=sys.stderr)
        return 1
    print(f"snapshot of record {seq}" if seq else "too little is new: no snapshot")
    return 0


if __name__ == "__main__":
    sys.exit(main())
