"""Reads what the system says about its boot. Linux only: elsewhere nothing is told, and no clock is believed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from riskd.clock_trust import BootTime

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def read_boot_time(boot_id: Path = BOOT_ID) -> BootTime:
    """Return the time since this boot, sleep included, and its id where it may be read."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return BootTime()
    try:
        name = boot_id.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):  # a sandbox without /proc/sys
        name = ""
    return BootTime(name, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
