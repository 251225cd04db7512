"""Kills and drills as the journal has them."""

from __future__ import annotations

from typing import Final

from riskd.records import Command, DrillDone, KillSaga
from riskd.saga import released

DRILL_STRATEGY: Final = "manual:drill"
"""Owns the drill's orders; nothing else is in its scope."""
DRILL_OPENED: Final = "DRILL_OPENED"
"""Command by which an operator lets the drill's orders in."""
DRILL_CLOSED: Final = "DRILL_CLOSED"
"""riskd's own, when its time is over and nothing came of it."""
DRILL_OPEN_NS: Final = 60 * 1_000_000_000
"""So long the drill's orders are let in."""
MAX_KILLS: Final = 1_000
"""Kills remembered; of more the oldest that is over is forgotten."""


class SagaBook:
    """A fold: the last record of each kill, the last drill, and the one that is open."""

    def __init__(self) -> None:
        self.kills: dict[str, KillSaga] = {}
        """By the id of their hold, oldest first."""
        self.last_drill: DrillDone | None = None
        """The last test of the kill switch (STA-09)."""
        self.opened: Command | None = None
        """Who let the drill's orders in, and when, until their kill begins."""

    def apply(self, saga: KillSaga) -> None:
        """Take the present state of a kill."""
        self.kills[saga.kill_id] = saga
        if saga.drill:
            self.opened = None
        if len(self.kills) > MAX_KILLS:
            over = next((key for key, kill in self.kills.items() if kill.outcome), None)
            if over is not None:
                del self.kills[over]

    def commanded(self, command: Command) -> None:
        """Take an operator's command."""
        if command.command == DRILL_OPENED:
            self.opened = command
        elif command.command == DRILL_CLOSED:
            self.opened = None

    def is_open(self, now_ns: int) -> bool:
        """Return whether the drill's orders are let in."""
        return self.opened is not None and 0 <= now_ns - self.opened.time_ns <= DRILL_OPEN_NS

    def hold_cleared(self, hold_id: str, time_ns: int) -> None:
        """The hold of a kill is gone: so is the kill, if it was not done."""
        saga = self.kills.get(hold_id)
        if saga is not None:
            self.kills[hold_id] = released(saga, time_ns)

    def digest(self) -> tuple[object, ...]:
        """Return what makes two books different."""
        return list(self.kills.values()), self.last_drill, self.opened
