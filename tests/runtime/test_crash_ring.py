"""What was put into the ring is there after kill -9, whole or not at all; the oldest makes room."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tradebot.core.errors import InvariantError
from tradebot.runtime.crash_ring import CrashRing
from tradebot.runtime.state_dir import StateError

WRITES_AND_DIES = """
import os, signal, sys
from pathlib import Path
from tradebot.runtime.crash_ring import CrashRing
ring = CrashRing.open(Path(sys.argv[1]), 4, 64)
for number in range(6):
    ring.put(f"blob {number}".encode())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_newest_blobs_of_a_killed_process_are_read_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    done = subprocess.run([sys.executable, "-c", WRITES_AND_DIES, str(path)], cwd=PROJECT_ROOT, timeout=60, check=False)

    assert done.returncode == -signal.SIGKILL
    assert sorted(CrashRing.open(path, 4, 64).blobs()) == [b"blob 2", b"blob 3", b"blob 4", b"blob 5"]


def test_a_blob_that_was_half_written_is_none_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    ring = CrashRing.open(path, 4, 64)
    ring.put(b"first")
    ring.put(b"second")
    ring.close()
    with path.open("r+b") as file:
        file.seek(64 + 8)
        file.write(b"X")

    assert CrashRing.open(path, 4, 64).blobs() == [b"first"]


def test_a_ring_of_another_size_begins_empty(tmp_path: Path) -> None:
    CrashRing.open(tmp_path / "ring", 4, 64).put(b"old")

    assert CrashRing.open(tmp_path / "ring", 8, 64).blobs() == []


@pytest.mark.parametrize("blob", [b"", bytes(57)])
def test_what_no_slot_takes_is_refused(tmp_path: Path, blob: bytes) -> None:
    ring = CrashRing.open(tmp_path / "ring", 4, 64)
    with pytest.raises(InvariantError, match="a slot takes 1 to 56"):
        ring.put(blob)

    assert ring.blobs() == []


def test_a_place_that_cannot_hold_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="ring cannot be used"):
        CrashRing.open(tmp_path / "missing" / "ring", 4, 64)
