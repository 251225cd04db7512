"""Nothing old looks fresh: grades, marks, and what a closed stream does, with a clock that moves when told to."""

from __future__ import annotations

import pytest

from console.staleness import ACCOUNT, HEARTBEAT, MARKET, Feed, Freshness, Thresholds, grade, mark
from console.text import Tone

S = 1_000_000_000


@pytest.mark.parametrize(
    ("thresholds", "age_s", "expected"),
    [
        (MARKET, 1.0, Freshness.FRESH),
        (MARKET, 1.1, Freshness.LATE),
        (MARKET, 3.0, Freshness.LATE),
        (MARKET, 3.1, Freshness.STALE),
        (MARKET, 10.0, Freshness.STALE),
        (MARKET, 10.1, Freshness.DEAD),
        (ACCOUNT, 2.0, Freshness.FRESH),
        (ACCOUNT, 5.0, Freshness.LATE),
        (ACCOUNT, 15.0, Freshness.STALE),
        (ACCOUNT, 15.1, Freshness.DEAD),
        (HEARTBEAT, 2.0, Freshness.FRESH),
        (HEARTBEAT, 3.0, Freshness.LATE),
        (HEARTBEAT, 5.0, Freshness.STALE),
        (HEARTBEAT, 5.1, Freshness.DEAD),
    ],
)
def test_age_decides_the_grade(thresholds: Thresholds, age_s: float, expected: Freshness) -> None:
    assert grade(int(age_s * S), thresholds) is expected


def test_what_never_arrived_is_dead() -> None:
    assert grade(None, MARKET) is Freshness.DEAD
    assert Feed().freshness(0, ACCOUNT) is Freshness.DEAD


def test_a_closed_stream_is_stale_at_once_and_fresh_again_with_its_next_message() -> None:
    feed = Feed()
    feed.heard(10 * S)

    assert feed.freshness(10 * S, ACCOUNT) is Freshness.FRESH

    feed.closed()

    assert feed.freshness(10 * S, ACCOUNT) is Freshness.STALE
    assert feed.freshness(26 * S, ACCOUNT) is Freshness.DEAD

    feed.heard(27 * S)

    assert feed.freshness(27 * S, ACCOUNT) is Freshness.FRESH


def test_a_message_that_was_old_on_arrival_is_not_fresh() -> None:
    feed = Feed()
    feed.heard(100 * S, sent_ns=92 * S)

    assert feed.age_ns(100 * S) == 8 * S
    assert feed.freshness(100 * S, ACCOUNT) is Freshness.STALE


@pytest.mark.parametrize(
    ("freshness", "expected"),
    [
        (Freshness.FRESH, "  12.5"),
        (Freshness.LATE, "  12.5"),
        (Freshness.STALE, " ~12.5"),
        (Freshness.DEAD, "     ?"),
    ],
)
def test_a_number_keeps_its_width_and_shows_its_grade(freshness: Freshness, expected: str) -> None:
    assert mark("  12.5", freshness).text == expected


def test_stale_values_lose_every_other_colour() -> None:
    assert mark("1", Freshness.STALE, Tone.GAIN).tone is Tone.STALE
    assert mark("1", Freshness.DEAD, Tone.P1).tone is Tone.STALE
