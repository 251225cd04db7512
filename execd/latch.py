"""The stop latch: set from the StopService's own thread, read by the gateway before each send.

Reading is one attribute read of an immutable tuple, so neither side ever waits for the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from tradebot.core.approvals import StopLatch
from tradebot.core.levels import TradingLevel


class LatchBoard:
    """Stops in force. A latch ends only when riskd says that the hold which carries it was cleared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latches: tuple[StopLatch, ...] = ()
        self.level = TradingLevel.RUNNING
        """Highest latched level."""

    @property
    def latches(self) -> tuple[StopLatch, ...]:
        """All latches in force."""
        return self._latches

    def set(self, latch: StopLatch) -> bool:
        """Add a latch; return False when its id is in force already. Safe from any thread."""
        with self._lock:
            if any(known.latch_id == latch.latch_id for known in self._latches):
                return False
            # The level rises first: a send that runs between the two lines is refused, never let through.
            self.level = max(self.level, latch.level)
            self._latches = (*self._latches, latch)
            return True

    def clear(self, latch_ids: Iterable[str]) -> list[str]:
        """End latches by id and return those that were in force."""
        gone = set(latch_ids)
        with self._lock:
            ended = [latch.latch_id for latch in self._latches if latch.latch_id in gone]
            if ended:
                self._latches = tuple(latch for latch in self._latches if latch.latch_id not in gone)
                self.level = max((latch.level for latch in self._latches), default=TradingLevel.RUNNING)
        return ended
