"""Alarms: what needs a person. Derived from what is shown; acknowledging and shelving are not built yet.

An alarm has a cause, a consequence and an action. It appears after its on-delay, so that a hiccup is not an alarm, and
stays as long as its condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NS_PER_S: Final = 1_000_000_000
MAX_ALARMS: Final = 200


@dataclass(frozen=True, slots=True)
class Condition:
    """Something wrong now."""

    key: str
    """Equal for the same cause; its age is counted per key."""
    priority: int
    """1 act now, 2 soon, 3 this shift."""
    text: str
    """Cause and consequence."""
    action: str
    on_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition that has lasted."""

    priority: int
    text: str
    action: str
    since_ns: int
    key: str = ""


class AlarmBook:
    """Remembers since when each condition has been true."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def evaluate(self, conditions: Iterable[Condition], now_ns: int) -> tuple[Alarm, ...]:
        """Return the alarms in force, worst and then oldest first."""
        current = {condition.key: condition for condition in list(conditions)[:MAX_ALARMS]}
        self._since = {key: self._since.get(key, now_ns) for key in current}
        found = [
            Alarm(condition.priority, condition.text, condition.action, self._since[key], key)
            for key, condition in current.items()
            if now_ns - self._since[key] >= condition.on_delay_s * NS_PER_S
        ]
        return tuple(sorted(found, key=lambda alarm: (alarm.priority, alarm.since_ns, alarm.key)))
