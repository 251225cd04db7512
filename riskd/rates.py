"""Token buckets for RAT-01 and RAT-02, as GCRA: one integer per bucket, no floats, no refill loop.

A bucket of rate r per period holds r tokens. `full_at` is when it would be full again; a new order moves it by one
interval. Source: generic cell rate algorithm, ITU-T I.371.
"""

from __future__ import annotations

from typing import Final

MAX_BUCKETS: Final = 2_000
"""Strategies and operators with a bucket; the one used longest ago is forgotten, it is full anyway."""
SYSTEM: Final = ""
NS_PER_S: Final = 1_000_000_000
NS_PER_MIN: Final = 60 * NS_PER_S


def amends_of(strategy_id: str) -> str:
    """Return the owner of a strategy's bucket of amendments."""
    return f"{strategy_id} amends"


class RateBuckets:
    """Buckets by (owner, period)."""

    def __init__(self) -> None:
        self.full_at: dict[tuple[str, int], int] = {}

    def used(self, owner: str, per: int, period_ns: int, now_ns: int) -> int:
        """Return the tokens taken and not yet refilled, rounded up."""
        missing_ns = self.full_at.get((owner, period_ns), 0) - now_ns
        return 0 if missing_ns <= 0 else -(-missing_ns * per // period_ns)

    def take(self, owner: str, per: int, period_ns: int, now_ns: int) -> None:
        """Take one token, whether or not there is one."""
        key = (owner, period_ns)
        full_at = max(self.full_at.pop(key, 0), now_ns)
        self.full_at[key] = full_at + -(-period_ns // per)
        if len(self.full_at) > MAX_BUCKETS:
            del self.full_at[next(iter(self.full_at))]
