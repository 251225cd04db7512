"""When the garbage collector may run: young objects often and cheaply, everything only in quiet moments.

Messages and events make no cycles, so what a full collection finds is little, and it stops the loop for tens of
milliseconds once a daemon remembers some 100,000 orders and events (seen as the 99th percentile of tick to wire). What
exists when the daemon is ready is never looked at again.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final, NoReturn

import structlog

YOUNG_OBJECTS: Final = 2_000
"""Net new objects between two young collections: each takes some 0.1 ms."""
NEVER: Final = 1_000_000_000
LOOK_EVERY_S: Final = 10.0
QUIET_SHARE: Final = 0.02
"""A process that used less of one core since the last look is quiet."""
FULL_EVERY_S: Final = 600.0
FULL_AT_LATEST_S: Final = 6 * 3600.0
"""Without any quiet moment it happens all the same."""

_log = structlog.get_logger(__name__)


def settle_collector() -> None:
    """Collect once, then set the policy. Called when a daemon is ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, NEVER, NEVER)


async def collect_when_quiet() -> NoReturn:
    """Do the full collections, for ever."""
    collected_s = looked_s = time.monotonic()
    used_s = time.process_time()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now_s, now_used_s = time.monotonic(), time.process_time()
        share = (now_used_s - used_s) / (now_s - looked_s)
        looked_s, used_s = now_s, now_used_s
        if is_due(now_s - collected_s, share):
            found = gc.collect()
            collected_s = time.monotonic()
            _log.debug("collected", objects=found, took_ms=round((collected_s - now_s) * 1_000, 1))


def is_due(since_s: float, share: float) -> bool:
    """Return whether to collect everything now.

    Args:
        since_s: Time since the last time.
        share: Share of one core that the process uses.
    """
    return since_s >= FULL_AT_LATEST_S or (since_s >= FULL_EVERY_S and share < QUIET_SHARE)
