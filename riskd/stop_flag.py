"""The flag that the StopService sets from its own thread and the gate reads before every approval.

It closes the gap between the stop and the hold that the loop raises for it. Reads and writes are single attribute
accesses; the lock only orders two stops.
"""

from __future__ import annotations

import threading

from tradebot.core.levels import TradingLevel


class StopFlag:
    """Level latched by a StopService and not yet carried by a hold, or carried by one that is still in force."""

    def __init__(self) -> None:
        self.level = TradingLevel.RUNNING
        self.latch_id = ""
        self._lock = threading.Lock()

    def latch(self, level: TradingLevel, latch_id: str) -> tuple[TradingLevel, str]:
        """Latch; an earlier, harder one stays. Return what is in force."""
        with self._lock:
            if level > self.level:
                self.level, self.latch_id = level, latch_id
            return self.level, self.latch_id

    def clear(self, latch_id: str) -> None:
        """End the latch that this hold carried."""
        with self._lock:
            if latch_id and latch_id == self.latch_id:
                self.level, self.latch_id = TradingLevel.RUNNING, ""
