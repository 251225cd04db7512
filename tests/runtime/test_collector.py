"""Collections happen in quiet moments, when memory has grown, and at latest after some hours."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tradebot.runtime.collector import FULL_AT_LATEST_S, FULL_EVERY_S, GROWTH_BYTES, QUIET_SHARE, is_due


@pytest.mark.parametrize(
    ("since_s", "share", "grown_bytes", "due"),
    [
        (0.0, 0.0, 0, False),
        (FULL_EVERY_S - 1, 0.0, 0, False),
        (FULL_EVERY_S, 0.0, 0, True),
        (FULL_EVERY_S, QUIET_SHARE - 0.001, 0, True),
        (FULL_EVERY_S, QUIET_SHARE, 0, False),
        (FULL_AT_LATEST_S - 1, 1.0, GROWTH_BYTES - 1, False),
        (FULL_AT_LATEST_S, 1.0, 0, True),
        (2 * FULL_AT_LATEST_S, 0.0, 0, True),
        (0.0, 1.0, GROWTH_BYTES, True),
        (0.0, 0.0, -GROWTH_BYTES, False),
    ],
)
def test_a_collection_is_due_when_it_is_time_and_quiet_or_memory_grew(
    since_s: float, share: float, grown_bytes: int, due: bool
) -> None:
    assert is_due(since_s, share, grown_bytes) is due


def test_a_settled_daemon_collects_nothing_by_itself_and_keeps_what_exists() -> None:
    code = """
import gc
from tradebot.runtime.collector import resident_bytes, settle_collector
before = resident_bytes()
settle_collector()
keep = [[n] for n in range(200_000)]
print(gc.isenabled(), gc.get_freeze_count() > 1_000, resident_bytes() - before > 10 << 20)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout

    assert said.split() == ["False", "True", "True"]
