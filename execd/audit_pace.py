"""How often an audit may read a venue: it has a share of the request budget, the rest is for trading and the eyes.

Pure: seconds of a monotonic clock in, seconds to wait out.
"""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.2
"""Of the venue's weight per window."""


class AuditPace:
    """One venue."""

    def __init__(self, weight_per_s: float) -> None:
        """`weight_per_s` is what audits may use on average."""
        self._weight_per_s = weight_per_s
        self._free_at_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return for how long the venue is to be left alone yet."""
        return max(0.0, self._free_at_s - now_s)

    def spent(self, weight: int, began_s: float) -> None:
        """An audit that began then has cost so much."""
        self._free_at_s = max(self._free_at_s, began_s) + weight / self._weight_per_s
