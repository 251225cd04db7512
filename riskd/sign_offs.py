"""Two signatures of two people: in a team what needs the second key is done when a trader and a risk officer, who are
not the same person, have both asked for it within a few minutes while nothing else changed.

Kept in memory: after a restart both sign again, which loosens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.holds import KEY_HOLDERS, Clearing, ClearRefusal

MAX_WAITING: Final = 100
"""First signatures that wait at once; the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class SignOff:
    """A first signature."""

    operator: str
    role: str
    epoch: int
    """Epoch that was signed: a change of the set of holds voids the signature."""
    time_ns: int


class SignOffs:
    """First signatures by what they are for: a hold, or a change of limits."""

    def __init__(self, valid_ns: int) -> None:
        self._valid_ns = valid_ns
        self._waiting: dict[str, SignOff] = {}

    def sign(self, subject: str, clearing: Clearing, epoch: int, now_ns: int) -> ClearRefusal | None:
        """Return None when this is the second signature, else what is still missing."""
        first = self._waiting.get(subject)
        fresh = first is not None and first.epoch == epoch and 0 <= now_ns - first.time_ns <= self._valid_ns
        if first is not None and fresh and first.role != clearing.role:
            if first.operator == clearing.operator:
                return ClearRefusal("SAME_PERSON", f"{first.operator} has signed as {first.role}: somebody else must")
            del self._waiting[subject]
            return None
        self._waiting.pop(subject, None)
        self._waiting[subject] = SignOff(clearing.operator, clearing.role, epoch, now_ns)
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        (other,) = set(KEY_HOLDERS) - {clearing.role}
        text = f"signed by {clearing.operator} ({clearing.role}); a {other} who is somebody else must sign within"
        return ClearRefusal("SECOND_SIGNATURE_NEEDED", f"{text} {self._valid_ns // 1_000_000_000} s")
