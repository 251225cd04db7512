"""Which build runs: a hash over the source of everything that takes part in an order, read once at start (AUT-05).

Two daemons of one installation have the same; one that was left behind by an update does not. Source: SEC order on
Knight Capital, 16 October 2013: seven of eight servers had the new code.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

from tradebot._version import __version__

PACKAGES: Final = ("tradebot", "marketdata", "engine", "riskd", "execd", "recorder")
GENERATED: Final = "rpc"
"""Stubs: made from the contracts, which differ in their comments alone or not at all."""
_ROOT: Final = Path(__file__).resolve().parents[2]


def build_hash(root: Path = _ROOT) -> str:
    """Return version and hash of the source below a folder, e.g. `0.3.0+1f0c...`."""
    total = blake2b(digest_size=16)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root)
            if GENERATED not in name.parts:
                total.update(f"{name}\n".encode())
                total.update(blake2b(path.read_bytes(), digest_size=16).digest())
    return f"{__version__}+{total.hexdigest()}"
