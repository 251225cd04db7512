"""Things that happen a little later, in the order in which they were asked for, as on one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

MAX_WAITING: Final = 100_000
"""Things waiting on one line; more means the loop hangs."""


class Loop(Protocol):
    """What keeps time: an event loop."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], object]) -> Any: ...


class DelayLine:
    """One way of one connection: nothing overtakes what was put in before it."""

    __slots__ = ("_last_due", "_loop", "_timer", "_waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._last_due = 0.0
        self._waiting: deque[tuple[float, Callable[[], object]]] = deque()
        self._timer: Any = None
        """The loop's handle of the next call; None when nothing waits."""

    def put(self, delay_s: float, action: Callable[[], object]) -> bool:
        """Do something after a delay, at once without one when nothing waits; False when too much waits already."""
        if not delay_s and not self._waiting:
            action()
            return True
        if len(self._waiting) >= MAX_WAITING:
            return False
        due = self._last_due = max(self._last_due, self._loop.time() + delay_s)
        self._waiting.append((due, action))
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._drain)
        return True

    def _drain(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.popleft()[1]()
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._drain)

    def close(self) -> None:
        """Forget what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
