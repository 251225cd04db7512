"""When a daemon that ended is started again. Pure: exits and `now_ns` in, the next step out.

Rule: five starts within a minute, waiting longer each time; then the supervisor gives up, because a crash loop is a
finding and not a state. Unusable configuration or state is not retried at all: it does not heal by itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
MAX_STARTS: Final = 5
"""Starts allowed within START_WINDOW_NS."""
START_WINDOW_NS: Final = 60 * NS_PER_S
FIRST_BACKOFF_MS: Final = 250
MAX_BACKOFF_MS: Final = 4_000
FATAL_EXIT_CODES: Final = {2: "configuration is unusable", 3: "state folder is unusable"}
"""Exit codes of a daemon for which a restart changes nothing."""


@dataclass(frozen=True, slots=True)
class RestartAt:
    """Start again at this time."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not start again."""

    reason: str
    crash_loop: bool
    """True when it kept crashing, False when it cannot work as configured."""


class RestartPolicy:
    """Restart decisions for one daemon."""

    def __init__(self) -> None:
        self._starts: deque[int] = deque(maxlen=MAX_STARTS)

    def started(self, now_ns: int) -> None:
        """Note a start."""
        self._starts.append(now_ns)

    def ended(self, exit_code: int, now_ns: int) -> RestartAt | GiveUp:
        """Say what follows an end that nobody asked for. Negative codes are signals, as subprocess reports them."""
        fatal = FATAL_EXIT_CODES.get(exit_code)
        if fatal is not None:
            return GiveUp(f"{fatal} (exit code {exit_code})", crash_loop=False)
        recent = [start for start in self._starts if now_ns - start < START_WINDOW_NS]
        if len(recent) >= MAX_STARTS:
            return GiveUp(f"{len(recent)} starts within a minute, the last ended with {describe_exit(exit_code)}", True)
        backoff_ms = min(FIRST_BACKOFF_MS << max(len(recent) - 1, 0), MAX_BACKOFF_MS)
        return RestartAt(now_ns + backoff_ms * NS_PER_MS)


def describe_exit(exit_code: int) -> str:
    """Return an exit code in words."""
    if exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"
