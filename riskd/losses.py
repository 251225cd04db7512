"""The day loss rule (PNL-01): pause, then half size, then armed again at a lower level; the third time is a halt.
What follows a halt that was cleared is what follows a pause, but for the next trigger of that day: it halts again.

State is one record; every change makes a new one. Times of the pause live in its holds, so a restart continues them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from riskd.limits import DayLoss
from riskd.rates import NS_PER_MIN
from riskd.records import LossGuardState
from riskd.units import PPM_PER_PCT

MAX_PAUSES: Final = 2
"""The next trigger on the same UTC day halts."""


class LossAction(Enum):
    """What the rule wants next."""

    NOTHING = 0
    PAUSE = 1
    HALT = 2
    BE_CAUTIOUS = 3
    REARM = 4
    END_PAUSE = 5


@dataclass(frozen=True, slots=True)
class LossRule:
    """PNL-01 as ints."""

    pause_ppm: int
    rearm_ppm: int
    step_ppm: int
    pause_ns: int
    second_pause_ns: int
    cautious_ns: int
    needs_recovery: bool
    """Trading goes on only above `pause_ppm`, else with the next UTC day."""


def make_rule(limits: DayLoss) -> LossRule:
    """Return the rule of a limits file."""
    return LossRule(
        int(limits.pause_at_pct * PPM_PER_PCT),
        int(limits.rearm_at_pct * PPM_PER_PCT),
        int(limits.rearm_step_pct * PPM_PER_PCT),
        limits.pause_min * NS_PER_MIN,
        limits.second_pause_min * NS_PER_MIN,
        limits.cautious_min * NS_PER_MIN,
        limits.resume_requires_recovery,
    )


def fresh_state(rule: LossRule | None) -> LossGuardState:
    """Return the state of a day without losses."""
    return LossGuardState(0, 0 if rule is None else rule.pause_ppm, "", "", False)


def next_action(state: LossGuardState, rule: LossRule, day_ppm: int | None, held: frozenset[str]) -> LossAction:
    """Return what the rule wants, given which of its holds are still in force.

    Args:
        state: Where it stands.
        rule: The rule.
        day_ppm: Day PnL in ppm, None = not known.
        held: Ids of all holds in force.
    """
    if state.pause_hold_id:
        if state.pause_hold_id not in held:
            return LossAction.BE_CAUTIOUS
        return LossAction.END_PAUSE if state.overdue and has_recovered(rule, day_ppm) else LossAction.NOTHING
    if day_ppm is not None and day_ppm <= state.trigger_ppm:
        return LossAction.PAUSE if state.triggers < MAX_PAUSES else LossAction.HALT
    if state.cautious_hold_id and state.cautious_hold_id not in held:
        return LossAction.REARM
    return LossAction.NOTHING


def has_recovered(rule: LossRule, day_ppm: int | None) -> bool:
    """Return whether the day is known to be above the level that paused it."""
    return day_ppm is not None and day_ppm > rule.pause_ppm


def rearm_level(rule: LossRule, day_ppm: int | None) -> int:
    """Return the level of the next trigger: never the same loss twice."""
    return rule.rearm_ppm if day_ppm is None else min(rule.rearm_ppm, day_ppm - rule.step_ppm)
