"""When the garbage collector may run: in quiet moments, or when memory has grown.

Messages and events make no cycles, so what a collection finds is little. It stops the loop for a millisecond even when
it looks at young objects only, and for tens of them once a daemon remembers some 100,000 orders and events: both were
seen in the 99th percentile of tick to wire. What exists when the daemon is ready is never looked at again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import structlog

LOOK_EVERY_S: Final = 10.0
QUIET_SHARE: Final = 0.02
"""A process that used less of one core since the last look is quiet."""
FULL_EVERY_S: Final = 600.0
FULL_AT_LATEST_S: Final = 6 * 3600.0
"""Without any quiet moment it happens all the same."""
RARELY: Final = (50_000, 20, 100)
"""Thresholds of a long computation; the interpreter's own are (700, 10, 10)."""
GROWTH_BYTES: Final = 256 << 20
"""Resident memory gained since the last time that is looked through at once."""

_log = structlog.get_logger(__name__)


def hold_collector() -> None:
    """Collect nothing until the daemon is ready: reading a journal back makes many objects and no cycles, and looking
    through them again and again took a fifth of its time.
    """
    gc.disable()


def settle_collector() -> None:
    """Collect once, then never by itself. Called when a daemon is ready."""
    gc.collect()
    gc.freeze()
    gc.disable()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect seldom, and never what exists already: for a long computation that makes few cycles and keeps much."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def collect_when_quiet() -> NoReturn:
    """Do the full collections, for ever."""
    collected_s = looked_s = time.monotonic()
    used_s = time.process_time()
    resident = resident_bytes()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now_s, now_used_s = time.monotonic(), time.process_time()
        share = (now_used_s - used_s) / (now_s - looked_s)
        looked_s, used_s = now_s, now_used_s
        if is_due(now_s - collected_s, share, resident_bytes() - resident):
            found = gc.collect()
            collected_s, resident = time.monotonic(), resident_bytes()
            _log.debug("collected", objects=found, took_ms=round((collected_s - now_s) * 1_000, 1))


def is_due(since_s: float, share: float, grown_bytes: int) -> bool:
    """Return whether to collect everything now.

    Args:
        since_s: Time since the last time.
        share: Share of one core that the process uses.
        grown_bytes: Resident memory gained since then.
    """
    if grown_bytes >= GROWTH_BYTES or since_s >= FULL_AT_LATEST_S:
        return True
    return since_s >= FULL_EVERY_S and share < QUIET_SHARE


def resident_bytes() -> int:
    """Return the memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
