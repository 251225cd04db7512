"""Full collections happen in quiet moments, and at latest after some hours."""

from __future__ import annotations

import pytest

from tradebot.runtime.collector import FULL_AT_LATEST_S, FULL_EVERY_S, QUIET_SHARE, is_due


@pytest.mark.parametrize(
    ("since_s", "share", "due"),
    [
        (0.0, 0.0, False),
        (FULL_EVERY_S - 1, 0.0, False),
        (FULL_EVERY_S, 0.0, True),
        (FULL_EVERY_S, QUIET_SHARE - 0.001, True),
        (FULL_EVERY_S, QUIET_SHARE, False),
        (FULL_AT_LATEST_S - 1, 1.0, False),
        (FULL_AT_LATEST_S, 1.0, True),
        (2 * FULL_AT_LATEST_S, 0.0, True),
    ],
)
def test_a_full_collection_is_due_when_it_is_time_and_quiet(since_s: float, share: float, due: bool) -> None:
    assert is_due(since_s, share) is due
