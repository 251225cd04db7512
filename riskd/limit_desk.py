"""Decides whether an operator may put other limits in force: the role risk tightens, the second key loosens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.holds import MIN_REASON_CHARACTERS, SECOND_KEY_ROLE, Clearing, ClearRefusal
from riskd.limit_changes import Direction, LimitChange, compare, too_far
from riskd.limits import Limits
from riskd.sign_offs import SignOffs
from riskd.signatures import CommandVerifier

PHRASE_CHARACTERS: Final = 8
NO_CHANGE: Final = "NO_CHANGE"


@dataclass(frozen=True, slots=True)
class LimitsAnswer:
    """What came of it."""

    accepted: bool
    changes: tuple[LimitChange, ...]
    reason: str = ""
    detail: str = ""


def phrase_for(limits: Limits) -> str:
    """Return what must be typed to loosen."""
    return f"LIMITS {limits.hash[:PHRASE_CHARACTERS]}"


class LimitDesk:
    """Judges; the gate acts."""

    def __init__(self, limits: Limits, verifier: CommandVerifier, sign_off_ns: int) -> None:
        self._limits = limits
        self._verifier = verifier
        self._sign_offs = SignOffs(sign_off_ns)

    def judge(self, wanted: Limits, clearing: Clearing, command_id: str, epoch: int, now_ns: int) -> LimitsAnswer:
        """Return whether these limits may be put in force now, and everything that they change."""
        changes = tuple(compare(self._limits, wanted))
        refusal = self._refusal(wanted, list(changes), clearing, command_id, epoch, now_ns)
        if refusal is not None:
            return LimitsAnswer(False, changes, refusal.reason, refusal.detail)
        return LimitsAnswer(True, changes)

    def _refusal(
        self, wanted: Limits, changes: list[LimitChange], clearing: Clearing, command_id: str, epoch: int, now_ns: int
    ) -> ClearRefusal | None:
        fixed = next((c for c in changes if c.direction is Direction.REFUSED), None)
        far = too_far(changes)
        if not changes:
            return ClearRefusal(NO_CHANGE, "these limits say what is in force already")
        if len(clearing.reason.strip()) < MIN_REASON_CHARACTERS:
            return ClearRefusal("REASON_TOO_SHORT", f"give a reason of at least {MIN_REASON_CHARACTERS} characters")
        if fixed is not None:
            return ClearRefusal("NEEDS_RESTART", f"{fixed.path} cannot change while riskd runs: edit the file, restart")
        if far is not None:
            text = f"{far.path} from {far.before} to {far.after}: at most a factor of ten looser at once"
            return ClearRefusal("BEYOND_SANITY_BOUND", text)
        loosens = any(c.direction is Direction.LOOSENS for c in changes)
        solo = self._limits.file.operators == "solo"
        if clearing.role != SECOND_KEY_ROLE and (solo or not loosens):
            return ClearRefusal("NOT_PERMITTED", "limits are changed by the role risk")
        problem = self._verifier.problem("SET_LIMITS", wanted.hash, clearing, command_id, epoch, now_ns)
        if problem is not None or not loosens:
            return problem
        if clearing.typed_phrase != phrase_for(wanted):
            return ClearRefusal("PHRASE_MISMATCH", f"this loosens: type exactly: {phrase_for(wanted)}")
        return None if solo else self._sign_offs.sign(wanted.hash, clearing, epoch, now_ns)
