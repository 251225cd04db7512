"""Signed checkpoints of a journal's hash chain: whoever rewrites or cuts off its end must forge a signature.

The chain alone shows edits in the middle; its end can be cut off, or written anew, by anybody who can write the file.
So the owner signs (sequence, link) of its last durable record now and then with an Ed25519 key of its own. Each
checkpoint stands in the journal and, one JSON line each, in a file beside it: the file tells of records that the
journal has lost. Copies of that file elsewhere are witnesses. Journals without checkpoints stay readable; nothing is
claimed about them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tradebot.core.errors import ConfigError
from tradebot.runtime.credentials import require_private, write_private
from tradebot.runtime.journal_format import LINK_BYTES, JournalCorruptError, JournalRecord
from tradebot.runtime.journal_reader import read_journal
from tradebot.runtime.state_dir import StateError

DOMAIN: Final = b"tradebot journal checkpoint v1\0"
SEAL_DOMAIN: Final = b"tradebot seal v1\0"
MAX_KEPT: Final = 10_000
"""Lines of the file beside the journal; then the older half is dropped: the later ones sign the same chain."""
READABLE: Final = 0o644
MAX_BEHIND: Final = 100_000
"""Records that a checkpoint may stand after the one that it signs: more than a journal lets wait for the disk."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed place in a chain."""

    owner: str
    """Daemon and environment, e.g. `riskd demo`."""
    seq: int
    link: bytes
    time_ns: int
    signature: bytes = b""

    def signed_bytes(self) -> bytes:
        """Return what is signed: lengths first, so that no two checkpoints share a text."""
        owner = self.owner.encode()
        head = len(owner).to_bytes(2, "big") + owner
        return DOMAIN + head + self.seq.to_bytes(8, "big") + self.time_ns.to_bytes(8, "big", signed=True) + self.link


class CheckpointKey:
    """The owner's key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        """32 bytes; what verifiers need."""

    def sign(self, owner: str, seq: int, link: bytes, time_ns: int) -> Checkpoint:
        """Return a signed checkpoint."""
        bare = Checkpoint(owner, seq, link, time_ns)
        return Checkpoint(owner, seq, link, time_ns, self._private.sign(bare.signed_bytes()))

    def seal(self, domain: bytes, content: bytes) -> bytes:
        """Return a signature over something else of the owner's, which no checkpoint can be taken for."""
        return self._private.sign(SEAL_DOMAIN + len(domain).to_bytes(2, "big") + domain + content)

    def holds(self, domain: bytes, content: bytes, signature: bytes) -> bool:
        """Return whether `seal` gave this signature for this content."""
        try:
            whole = SEAL_DOMAIN + len(domain).to_bytes(2, "big") + domain + content
            self._private.public_key().verify(signature, whole)
        except InvalidSignature:
            return False
        return True


def checkpoint_dir(state_dir: Path, daemon: str) -> Path:
    """Return the folder of a daemon's key and checkpoints; the daemon writes it, everybody may read its public half."""
    return state_dir / "checkpoints" / daemon


def load_or_create_key(folder: Path) -> CheckpointKey:
    """Return a daemon's key, made at its first start; the public half stands beside it for everybody.

    Raises:
        ConfigError: If the file is readable by others, or no key.
    """
    path = folder / "signing.key"
    if path.exists():
        require_private(path)
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
            key = CheckpointKey(Ed25519PrivateKey.from_private_bytes(secret))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{path} is no checkpoint key (64 hex digits): restore it from a copy ({exc})") from exc
    else:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        private = Ed25519PrivateKey.generate()
        write_private(path, private.private_bytes_raw().hex().encode())
        key = CheckpointKey(private)
    public = public_key_file(folder)
    if not public.exists():
        public.write_text(key.public.hex() + "\n", encoding="ascii")
        public.chmod(READABLE)
    return key


def public_key_file(folder: Path) -> Path:
    """Return where the public half stands."""
    return folder / "public.key"


def checkpoint_file(folder: Path) -> Path:
    """Return the file of checkpoints beside the journal."""
    return folder / "checkpoints.jsonl"


def keep(path: Path, checkpoint: Checkpoint) -> None:
    """Append a checkpoint to the file beside the journal, durable."""
    kept = _lines(path)
    line = _encode(checkpoint)
    if len(kept) >= MAX_KEPT:
        fresh = path.with_suffix(".tmp")
        fresh.write_text("".join([*kept[MAX_KEPT // 2 :], line]), encoding="utf-8")
        os.replace(fresh, path)
        return
    with path.open("a", encoding="utf-8") as file:
        if not kept:
            path.chmod(READABLE)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def kept_checkpoints(path: Path) -> list[Checkpoint]:
    """Return what stands beside the journal, oldest first. A torn last line is left out.

    Raises:
        StateError: If a whole line is no checkpoint.
    """
    found = []
    for number, line in enumerate(_lines(path), 1):
        if not line.endswith("\n"):
            break
        try:
            raw = json.loads(line)
            found.append(
                Checkpoint(
                    str(raw["owner"]),
                    int(raw["seq"]),
                    bytes.fromhex(raw["link"]),
                    int(raw["time_ns"]),
                    bytes.fromhex(raw["signature"]),
                )
            )
        except (ValueError, KeyError, TypeError) as exc:
            raise StateError(f"{path} line {number} is no checkpoint: restore the file from a copy") from exc
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise StateError(f"{path} cannot be read ({exc.strerror})") from exc


def _encode(checkpoint: Checkpoint) -> str:
    return (
        json.dumps(
            {
                "owner": checkpoint.owner,
                "seq": checkpoint.seq,
                "link": checkpoint.link.hex(),
                "time_ns": checkpoint.time_ns,
                "signature": checkpoint.signature.hex(),
            }
        )
        + "\n"
    )


# ---- verifying


@dataclass(slots=True)
class ChainVerdict:
    """What a journal proves about itself."""

    records: int = 0
    checkpoints: int = 0
    """Signatures that hold over a link that is there."""
    signed_seq: int = 0
    """Everything up to here is as it was signed; 0 = nothing is."""
    signed_ns: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def unsigned(self) -> int:
        """Records after the last checkpoint: those may have been cut off or rewritten unseen."""
        return self.records - self.signed_seq


class ChainVerifier:
    """Follows a chain and holds checkpoints against it. Feed every record, then ask for the verdict."""

    def __init__(self, owner: str, public: bytes, beside: Iterable[Checkpoint]) -> None:
        """Prepare.

        Args:
            owner: Whose checkpoints count.
            public: Its key.
            beside: Checkpoints from the file beside the journal.
        """
        self._owner = owner
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self._beside: dict[int, list[Checkpoint]] = {}
        for checkpoint in beside:
            self._beside.setdefault(checkpoint.seq, []).append(checkpoint)
        self._links: dict[int, bytes] = {}
        """Of the latest records, oldest first."""
        self.verdict = ChainVerdict()

    def record(self, record: JournalRecord, inside: Checkpoint | None) -> None:
        """Take one record, and the checkpoint that it is, if it is one."""
        self.verdict.records = record.seq
        self._links[record.seq] = record.link
        if len(self._links) > MAX_BEHIND:
            del self._links[next(iter(self._links))]
        for checkpoint in self._beside.pop(record.seq, ()):
            self._judge(checkpoint, record.link, "the file beside the journal")
        if inside is not None:
            self._judge(inside, self._links.get(inside.seq, b""), f"record {record.seq}")

    def finish(self) -> ChainVerdict:
        """Return the verdict once the journal is read."""
        if self._beside:
            last = max(self._beside)
            self.verdict.problems.append(
                f"the journal ends at record {self.verdict.records}, but record {last} was signed: its end was cut off"
            )
        return self.verdict

    def _judge(self, checkpoint: Checkpoint, link: bytes, where: str) -> None:
        told = f"checkpoint of record {checkpoint.seq} in {where}"
        if checkpoint.owner != self._owner:
            self.verdict.problems.append(f"{told} is one of {checkpoint.owner!r}, not of {self._owner!r}")
            return
        try:
            self._key.verify(checkpoint.signature, checkpoint.signed_bytes())
        except InvalidSignature:
            self.verdict.problems.append(f"{told} is not signed with the known key")
            return
        if len(link) != LINK_BYTES or checkpoint.link != link:
            self.verdict.problems.append(f"{told} signs another record: the journal was rewritten")
            return
        self.verdict.checkpoints += 1
        if checkpoint.seq > self.verdict.signed_seq:
            self.verdict.signed_seq, self.verdict.signed_ns = checkpoint.seq, checkpoint.time_ns


def verify_journal(
    directory: Path,
    owner: str,
    public: bytes,
    beside: Iterable[Checkpoint],
    inside: Callable[[JournalRecord], Checkpoint | None],
) -> ChainVerdict:
    """Read a whole journal and hold it against its checkpoints; damage becomes a problem, nothing is raised for it.

    Args:
        directory: The journal.
        owner: Whose it is.
        public: The owner's public key.
        beside: Checkpoints from the file beside it.
        inside: Returns the checkpoint that a record is.
    """
    verifier = ChainVerifier(owner, public, beside)
    try:
        for record in read_journal(directory):
            verifier.record(record, inside(record))
    except JournalCorruptError as exc:
        verifier.verdict.problems.append(str(exc))
        return verifier.verdict
    return verifier.finish()
