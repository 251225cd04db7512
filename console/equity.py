"""Equity over time since the console was opened, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CAPACITY: Final = 1024
"""Points kept. When full, every second one goes and the spacing doubles: any span fits."""
FIRST_SPACING_NS: Final = 1_000_000_000


class EquityHistory:
    """Evenly spaced samples; the newest value is always the last point."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._points: list[float] = []
        self._spacing_ns = FIRST_SPACING_NS
        self._last_kept_ns: int | None = None
        self._first_ns = 0
        self._now_ns = 0
        self._newest: float | None = None

    def add(self, value: float, now_ns: int) -> None:
        """Take a value."""
        self._newest, self._now_ns = value, now_ns
        if self._last_kept_ns is None:
            self._first_ns = now_ns
        elif now_ns - self._last_kept_ns < self._spacing_ns:
            return
        self._last_kept_ns = now_ns
        self._points.append(value)
        if len(self._points) >= self._capacity:
            self._points = self._points[::2]
            self._spacing_ns *= 2

    @property
    def values(self) -> Sequence[float]:
        """Oldest first."""
        return self._points if self._newest is None else (*self._points[:-1], self._newest)

    @property
    def span_ns(self) -> int:
        """Time between the oldest and the newest value."""
        return self._now_ns - self._first_ns
