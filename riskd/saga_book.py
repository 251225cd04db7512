"""Kills and drills as the journal has them."""

from __future__ import annotations

from typing import Final

from riskd.records import DrillDone, KillSaga
from riskd.saga import released

DRILL_STRATEGY: Final = "manual:drill"
"""Owns the drill's orders; nothing else is in its scope."""
MAX_KILLS: Final = 1_000
"""Kills remembered; of more the oldest that is over is forgotten."""


class SagaBook:
    """A fold: the last record of each kill, and the last drill."""

    def __init__(self) -> None:
        self.kills: dict[str, KillSaga] = {}
        """By the id of their hold, oldest first."""
        self.last_drill: DrillDone | None = None
        """The last test of the kill switch (STA-09)."""

    def apply(self, saga: KillSaga) -> None:
        """Take the present state of a kill."""
        self.kills[saga.kill_id] = saga
        if len(self.kills) > MAX_KILLS:
            over = next((key for key, kill in self.kills.items() if kill.outcome), None)
            if over is not None:
                del self.kills[over]

    def hold_cleared(self, hold_id: str, time_ns: int) -> None:
        """The hold of a kill is gone: so is the kill, if it was not done."""
        saga = self.kills.get(hold_id)
        if saga is not None:
            self.kills[hold_id] = released(saga, time_ns)

    def digest(self) -> tuple[object, ...]:
        """Return what makes two books different."""
        return list(self.kills.values()), self.last_drill
