"""A limits file at a start against the limits last in force: nobody loosens by editing a file and starting again.

The journal keeps what was in force. A file that only tightens is taken as it is. One that loosens is signed beside
itself when `operator_keys` were in force (`FILE.sig`, `tradebot sign-limits`), else riskd does not start; without keys
it is taken with a hold, whose end is the second key's. The first start of all has nothing to compare with.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from riskd.holds import SECOND_KEY_ROLE
from riskd.limit_changes import Direction, LimitChange, compare, tree_of
from riskd.limits import Limits, parse_limits
from riskd.records import LimitsChanged, LimitsLoaded
from tradebot.core.errors import ConfigError
from tradebot.core.levels import Hold
from tradebot.core.operator_commands import limits_file_command

LIMITS_LOOSENED: Final = "LIMITS_LOOSENED"
"""Cause of the hold."""
_MIN_NS: Final = 60 * 1_000_000_000


@dataclass(slots=True)
class LimitsBook:
    """What the journal knows of limits in force; a fold."""

    file_hash: str = ""
    """Of the file that was loaded last; empty = none was."""
    text: str = ""
    """Limits that were in force with everybody's consent."""
    hash: str = ""
    waiting: tuple[str, str] | None = None
    """Text and hash of looser ones whose hold stands."""

    def loaded(self, record: LimitsLoaded) -> None:
        """A file was taken at a start."""
        self.file_hash = record.hash
        self._take(record.text, record.hash, waits=record.held)

    def changed(self, record: LimitsChanged) -> None:
        """An operator put others in force while riskd ran."""
        digest = hashlib.sha256(record.text.encode()).hexdigest()
        self._take(record.text, digest, waits=self.waiting is not None)

    def hold_cleared(self, hold: Hold | None, operator: str) -> None:
        """A hold ended; that of a looser file by keys is their consent."""
        if hold is not None and hold.cause == LIMITS_LOOSENED and operator != "riskd" and self.waiting is not None:
            self._take(*self.waiting, waits=False)

    def _take(self, text: str, digest: str, *, waits: bool) -> None:
        if waits:
            self.waiting = (text, digest)
        else:
            self.text, self.hash, self.waiting = text, digest, None


@dataclass(frozen=True, slots=True)
class FileTaken:
    """A file that is another than the one before."""

    changes: tuple[LimitChange, ...] = ()
    signers: str = ""
    """Operators whose signatures it carries; empty = it needs none."""
    held: str = ""
    """What it loosens and nobody has agreed to, for the hold; empty = nothing."""
    cool_off_ns: int = 0
    """Of the limits before, which the file cannot shorten for itself."""


def text_of(limits: Limits) -> str:
    """Return limits as text that `parse_limits` reads; comments are gone."""
    return json.dumps(tree_of(limits), ensure_ascii=False)


def take_file(book: LimitsBook, file: Limits, environment: str) -> FileTaken | None:
    """Return what a start with this file changes, None when it is the one of before.

    Raises:
        ConfigError: It loosens, keys are in force, and it is not signed with them.
    """
    if file.hash == book.file_hash:
        return None
    if not book.text:
        return FileTaken()
    try:
        before = replace(parse_limits(book.text), hash=book.hash)
    except ConfigError as exc:
        return FileTaken(held=f"the limits before say what this version refuses, compare by hand: {exc}")
    changes = tuple(compare(before, file))
    looser = [change for change in changes if change.direction is not Direction.TIGHTENS]
    if not looser:
        return FileTaken(changes)
    if before.file.operator_keys:
        return FileTaken(changes, _signers(before, file, environment))
    text = f"{len(looser)} limits looser than before: {'; '.join(map(change_text, looser))}"
    return FileTaken(changes, held=text, cool_off_ns=before.file.cool_off_min * _MIN_NS)


def change_text(change: LimitChange) -> str:
    """Return a change in words."""
    ratio = f" (x {change.ratio})" if change.ratio else ""
    return f"{change.path} {change.before or 'nothing'} -> {change.after or 'nothing'}{ratio}"


def _signers(before: Limits, file: Limits, environment: str) -> str:
    signed = {
        key.role: name
        for name, signature in file.signatures
        if (key := before.file.operator_keys.get(name)) is not None
        and _is_signed(bytes.fromhex(key.public_key), signature, environment, name, key.role, file.hash, before.hash)
    }
    needed = {SECOND_KEY_ROLE} if before.file.operators == "solo" else {"trader", SECOND_KEY_ROLE}
    missing = sorted(needed - signed.keys())
    if missing:
        raise ConfigError(
            f"the limits file loosens what is in force and is not signed as {' and as '.join(missing)}: run `tradebot "
            f"sign-limits FILE --in-force {before.hash}`, or put the limits of before back"
        )
    return " ".join(sorted(signed.values()))


def _is_signed(
    key: bytes, signature: bytes, environment: str, operator: str, role: str, file_hash: str, before_hash: str
) -> bool:
    command = limits_file_command(environment, operator, role, file_hash, before_hash)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, command.to_bytes())
    except (InvalidSignature, ValueError):
        return False
    return True
