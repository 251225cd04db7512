"""Peers run in their own virtual environments under build/peers: their pins conflict with ours and with each other."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

PEERS: Final = Path("build/peers")
INSTALL_TIMEOUT_S: Final = 900.0


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment; make the environment when it is missing or its lock changed."""
    lock = Path(__file__).parent / peer / "requirements.txt"
    home = PEERS / peer
    python = home / "bin" / "python"
    stamp = home / "lock.sha256"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        uv = (sys.executable, "-m", "uv")
        make = (*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        install = (*uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(lock))
        for command in (make, install):
            subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S)
        stamp.write_text(wanted)
    return python
