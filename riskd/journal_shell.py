"""Measures the journal's disk once a second for PTR-08, in a thread of its own: a disk that hangs must not hang riskd.
And the mark of a failed journal, which outlives the process.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from riskd.journal_watch import JournalHealth
from riskd.shell import LiveGate
from tradebot.runtime.journal import Journal

INTERVAL_S: Final = 1.0
WINDOW_NS: Final = 60_000_000_000
FAILED_MARK: Final = "riskd-journal-failed"
MAX_MARK_CHARACTERS: Final = 400


class JournalProbe:
    """One journal and its folder."""

    def __init__(self, live: LiveGate, journal: Journal, directory: Path) -> None:
        self._live = live
        self._journal = journal
        self._directory = directory
        self._durable_seq = -1
        self._moved_ns = 0

    async def run(self) -> None:
        """Measure, for ever."""
        while True:
            free = await asyncio.to_thread(_free_bytes, self._directory)
            self._live.journal_measured(self.health(free, time.monotonic_ns()))
            await asyncio.sleep(INTERVAL_S)

    def health(self, free_bytes: int, now_ns: int) -> JournalHealth:
        """Return a measurement; `now_ns` is monotonic."""
        journal = self._journal
        durable = journal.durable_seq
        if durable != self._durable_seq or durable >= journal.appended_seq:
            self._durable_seq, self._moved_ns = durable, now_ns
        took = sorted(journal.syncs_since(now_ns - WINDOW_NS))
        p99 = took[-(-99 * len(took) // 100) - 1] if took else 0
        return JournalHealth(free_bytes, len(took), p99, now_ns - self._moved_ns)


def mark_failed(state_dir: Path, problem: str) -> None:
    """Leave word for the next life, if the disk still takes it."""
    try:
        (state_dir / FAILED_MARK).write_text(problem[:MAX_MARK_CHARACTERS], encoding="utf-8")
    except OSError:
        pass  # the journal's own error is what is told and logged


def read_mark(state_dir: Path) -> str:
    """Return the word of an earlier life; empty when its journal did not fail."""
    try:
        return (state_dir / FAILED_MARK).read_text(encoding="utf-8") or "the journal failed"
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        return f"the journal failed before ({exc})"


def remove_mark(state_dir: Path) -> None:
    """The hold that it asked for is durable."""
    (state_dir / FAILED_MARK).unlink(missing_ok=True)


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
