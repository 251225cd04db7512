"""Trails of the last minutes: what a second sample of the same moment says, and how long one speaks."""

from __future__ import annotations

import pytest

from riskd.price_trail import PriceTrail
from riskd.volume_trail import VolumeTrail
from tests.riskd.kit import MS, SECOND


def test_a_second_sample_of_the_same_moment_says_nothing_new() -> None:
    prices, volumes = PriceTrail(), VolumeTrail()
    for trail in (prices, volumes):
        for at_ns in (0, SECOND, SECOND, 2 * SECOND - MS):
            trail.add(7 if at_ns == 0 else 10, at_ns)

    assert (prices.samples, prices.minute_ago(), volumes.minute()) == (2, 7, 3)


def test_a_clock_that_was_set_back_begins_a_trail_anew() -> None:
    trail = PriceTrail()
    for price, at_ns in ((7, 5 * SECOND), (9, 6 * SECOND), (20, 6 * SECOND - 1)):
        trail.add(price, at_ns)

    assert (trail.samples, trail.mean(), trail.minute_ago()) == (1, 20, 20)


def test_the_mean_is_that_of_five_minutes_both_ends_counted() -> None:
    trail = PriceTrail()
    for second in range(301):
        trail.add(301 if second == 0 else 0, second * SECOND)
    assert (trail.samples, trail.mean()) == (301, 1)

    trail.add(0, 301 * SECOND)

    assert (trail.samples, trail.mean()) == (301, 0)


@pytest.mark.parametrize(("age_ns", "fresh"), [(5 * SECOND, True), (5 * SECOND + 1, False)])
def test_a_trail_speaks_for_five_seconds(age_ns: int, fresh: bool) -> None:
    trail = PriceTrail()
    assert not trail.is_fresh(0)
    trail.add(1, 10)

    assert trail.is_fresh(10 + age_ns) is fresh
