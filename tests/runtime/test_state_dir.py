from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tradebot.runtime.state_dir import StateError, StateLock

HOLDER = """
import sys, pathlib
from tradebot.runtime.state_dir import StateLock
lock = StateLock.acquire(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_is_created_and_locked_for_one_owner(tmp_path: Path) -> None:
    with StateLock.acquire(tmp_path / "a" / "b"), pytest.raises(StateError, match=f"pid {os.getpid()}"):
        StateLock.acquire(tmp_path / "a" / "b")


def test_the_lock_names_the_other_process_and_dies_with_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(root)},
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StateError, match=f"in use by pid {holder.pid}: stop that process"):
            StateLock.acquire(tmp_path)
        holder.kill()
        holder.wait()

    StateLock.acquire(tmp_path).release()


def test_releasing_twice_is_harmless(tmp_path: Path) -> None:
    lock = StateLock.acquire(tmp_path)
    lock.release()
    lock.release()

    StateLock.acquire(tmp_path).release()


def test_an_unusable_folder_is_one_clear_line() -> None:
    with pytest.raises(StateError, match=r"state folder /proc/tradebot cannot be used \(.*\): make it writable"):
        StateLock.acquire(Path("/proc/tradebot"))
