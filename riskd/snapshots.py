"""riskd's state as bytes: what a start folds no more. The journal stays the truth, a snapshot only saves reading it.

A snapshot counts for the same build, Python and limits file, and only over the very record that it was made at: its
sequence and link are compared with the journal's. Everything else is folded from the journal, as without snapshots.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from riskd.state import RiskState
from tradebot.core.errors import ConfigError

FORMAT: Final = 1
MAX_SNAPSHOT_BYTES: Final = 1 << 30
SEAL: Final = b"riskd snapshot"
_OWN: Final = ("riskd.", "tradebot.core.")
"""Packages whose classes may be in a state."""
_OTHERS: Final = frozenset(
    {
        ("builtins", "frozenset"), ("builtins", "int"), ("builtins", "set"), ("collections", "defaultdict"),
        ("collections", "deque"), ("decimal", "Decimal"),
    }
)  # fmt: skip


class SnapshotError(ConfigError):
    """A snapshot that cannot be used; the journal can."""


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """What a snapshot was made of."""

    owner: str
    """Daemon and environment."""
    build: str
    python: str
    limits: str
    """Hash of the limits file."""
    seq: int
    """Last journal record that it contains."""
    link: str
    """Of that record, hex."""
    content: str
    """SHA-256 of the state's bytes, hex."""

    def signed_bytes(self) -> bytes:
        """Return what is signed; also the first line of the file but for its signature."""
        return json.dumps([FORMAT, *(getattr(self, name) for name in self.__dataclass_fields__)]).encode()


def python_of() -> str:
    """Return what a pickle depends on beside our own build."""
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def dump_state(state: RiskState) -> bytes:
    """Return a state as bytes.

    Raises:
        SnapshotError: If what comes back would be another state: then no snapshot is made.
    """
    content = pickle.dumps(state, protocol=5)
    if load_state(content).digest() != state.digest():
        raise SnapshotError("the state that comes back from its bytes is another one: no snapshot is made")
    return content


def load_state(content: bytes) -> RiskState:
    """Return the state that `dump_state` wrote. Classes of other packages are refused before anything is made.

    Raises:
        SnapshotError: If the bytes hold no state.
    """
    try:
        state = _Unpickler(io.BytesIO(content)).load()
    except Exception as exc:  # pickle raises whatever the classes inside raise
        raise SnapshotError(f"holds no state of this build ({exc})") from exc
    if not isinstance(state, RiskState):
        raise SnapshotError(f"holds a {type(state).__name__}, no state")
    return state


def hash_of(content: bytes) -> str:
    """Return what stands in the head for the state's bytes."""
    return hashlib.sha256(content).hexdigest()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _member  # how Python 3.11 writes a member of an enumeration
        own = module.startswith(_OWN) and "." not in name  # a dotted name would reach what the module imports
        if own or (module, name) in _OTHERS:
            return super().find_class(module, name)
        raise SnapshotError(f"{module}.{name} is no part of a state")


def _member(enumeration: type[Enum], name: str) -> Enum:
    return enumeration.__members__[name]


def encode(head: SnapshotHead, signature: bytes, content: bytes) -> bytes:
    """Return a snapshot's file."""
    return head.signed_bytes() + b"\n" + signature.hex().encode() + b"\n" + content


def decode(raw: bytes) -> tuple[SnapshotHead, bytes, bytes]:
    """Return head, signature and the state's bytes of a file; nothing of it is trusted yet.

    Raises:
        SnapshotError: If it is no snapshot.
    """
    first, _, rest = raw.partition(b"\n")
    second, _, content = rest.partition(b"\n")
    try:
        version, owner, build, python, limits, seq, link, digest = json.loads(first)
        head = SnapshotHead(str(owner), str(build), str(python), str(limits), int(seq), str(link), str(digest))
        signature = bytes.fromhex(second.decode("ascii"))
    except (ValueError, TypeError) as exc:
        raise SnapshotError("is no snapshot, or torn") from exc
    if version != FORMAT or head.signed_bytes() != first:
        raise SnapshotError(f"has format {version!r}, not {FORMAT}")
    return head, signature, content
