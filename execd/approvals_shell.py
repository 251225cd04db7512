"""Approvals of orders that are leaving, where kill -9 cannot reach them until the journal has them on disk.

An order waits for its ASK and not for its APPROVAL, which is on disk some milliseconds later. Whoever dies meanwhile,
execd, riskd or both, the order at the venue can still be shown to be approved.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final

from execd.restore import MAX_LOST_APPROVALS
from tradebot.runtime.crash_ring import CrashRing
from tradebot.runtime.journal import Journal

RING_FILE: Final = "approvals.ring"
SLOT_BYTES: Final = 2_048
"""An approval has some 400 bytes, and at most 1,100 with ids of the greatest length."""


class KeptApprovals:
    """A ring beside the journal."""

    def __init__(self, journal: Journal, directory: Path) -> None:
        """Open the ring in the journal's folder, which the journal has locked.

        Raises:
            StateError: It cannot be made.
        """
        self._journal = journal
        self._ring = CrashRing.open(directory / RING_FILE, MAX_LOST_APPROVALS, SLOT_BYTES)
        self.last_life = self._ring.blobs()
        """What the process before this one had kept."""
        self._written_by: deque[int] = deque(maxlen=MAX_LOST_APPROVALS - 1)
        """For each but the oldest: the record up to which all earlier ones are in the journal."""
        self._is_of_last_life = True

    def keep(self, approval: bytes, last_record: int) -> bool:
        """Keep an approval before its order leaves; False when there is no room, because the disk does not keep up.

        Args:
            approval: As it will be in the journal.
            last_record: Records asked for so far.
        """
        marks = self._written_by
        full = len(marks) == marks.maxlen and marks[0] > self._journal.durable_seq
        if full or len(approval) > self._ring.max_blob_bytes:
            return False
        if self._is_of_last_life:  # an order leaves: its ASK, and what this start wrote down before, is on disk
            self._ring.clear()  # left to be overwritten, an old one would outlive the approvals that a start remembers
            self._is_of_last_life = False
        marks.append(last_record)
        self._ring.put(approval)
        return True

    def close(self) -> None:
        """Give the ring up; what is in it stays for the next life."""
        self._ring.close()
