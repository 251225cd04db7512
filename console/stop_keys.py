"""The rule of the stop key: the first press halts at once, a second *separate* press kills, a held or bouncing key
never does.

Terminals report presses and automatic repeats alike and no releases. So a press counts as the second one only after
silence before it and silence after it. A key that is let go right after its very first automatic repeat looks like two
presses; nothing a terminal sends tells them apart.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

NS_PER_MS: Final = 1_000_000
SILENCE_BEFORE_NS: Final = 150 * NS_PER_MS
SILENCE_AFTER_NS: Final = 120 * NS_PER_MS
KILL_WINDOW_NS: Final = 5_000 * NS_PER_MS
"""The second press must come this soon after the first."""
LATE_TIMER_NS: Final = 60 * NS_PER_MS
"""A timer that comes later than this ran behind a busy loop: presses may wait unread behind it."""
MAX_REARMS: Final = 3


class StopLevel(Enum):
    """How hard to stop. Values are the names in the contract."""

    HALT = "HALT"
    KILL = "KILL"


class StopKeys:
    """Told of every press with its time; answers what to do."""

    def __init__(self) -> None:
        self._last_press_ns: int | None = None
        self._halted_ns: int | None = None
        self._candidate_ns: int | None = None
        self._due_ns = 0
        self._rearms = 0

    def press(self, now_ns: int) -> StopLevel | None:
        """Return HALT or KILL when this press decides it; a second press decides nothing before its silence is over."""
        silent = self._last_press_ns is None or now_ns - self._last_press_ns >= SILENCE_BEFORE_NS
        candidate_ns, self._candidate_ns = self._candidate_ns, None
        self._last_press_ns = now_ns
        if candidate_ns is not None and now_ns - candidate_ns >= SILENCE_AFTER_NS:
            self._halted_ns = None  # its silence was complete, only the timer is behind
            return StopLevel.KILL
        if not silent:
            return None
        if self.kill_window_left_ns(now_ns) == 0:
            self._halted_ns = now_ns
            return StopLevel.HALT
        self._candidate_ns, self._due_ns, self._rearms = now_ns, now_ns + SILENCE_AFTER_NS, 0
        return None

    def kill_window_left_ns(self, now_ns: int) -> int:
        """Return how long a second press still kills; 0 when the next press halts."""
        if self._halted_ns is None:
            return 0
        return max(0, self._halted_ns + KILL_WINDOW_NS - now_ns)

    def next_timer_ns(self) -> int | None:
        """Return when `handle_timer` wants to be called."""
        return None if self._candidate_ns is None else self._due_ns

    def handle_timer(self, now_ns: int) -> StopLevel | None:
        """Return KILL when the silence after the second press is complete."""
        if self._candidate_ns is None or now_ns < self._due_ns:
            return None
        if now_ns - self._due_ns > LATE_TIMER_NS and self._rearms < MAX_REARMS:
            self._due_ns = now_ns + SILENCE_AFTER_NS
            self._rearms += 1
            return None
        self._candidate_ns = self._halted_ns = None
        return StopLevel.KILL
