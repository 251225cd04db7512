"""What cannot be recorded is not traded, where the configuration says `required`: while the database cannot be written
the recorder keeps a hold at riskd, and nothing is added.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "recorder"
CAUSE: Final = "RECORDER"


class Requirement:
    """The recorder's own hold: when it must stand, and whether it does. Two looks that find the database failing raise
    it, one that finds it well clears it.
    """

    def __init__(self) -> None:
        self.hold_id = ""
        """Empty: none stands."""
        self._failed_before = False

    def told(self, cause: str, raised_by: str, hold_id: str) -> None:
        """riskd lists a hold in force: it may be one of an earlier life."""
        if (cause, raised_by) == (CAUSE, NAME):
            self.hold_id = hold_id

    def must_raise(self, failure: str) -> bool:
        """Look at the database: why it fails, empty = it does not."""
        before, self._failed_before = self._failed_before, bool(failure)
        return bool(failure) and before and not self.hold_id

    def must_clear(self, failure: str) -> bool:
        """Return whether the hold stands for nothing."""
        return not failure and bool(self.hold_id)
