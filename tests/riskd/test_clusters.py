"""Clusters: correlation over a rolling window, pins, hysteresis; compared with numpy."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskd.clusters import MAX_INSTRUMENTS, PAIRS_PER_FEED, ClusterRule, ClusterTracker, gather, pearson

BAR = 300
RULE = ClusterRule(bar_ns=BAR, window_bars=60, min_bars=20, join_at=0.8, leave_below=0.7)


def walk(tracker: ClusterTracker, bars: int, seed: int, weights: dict[str, float], start: int = 0) -> list[bool]:
    """Feed prices whose bar returns share a common move by these weights; return where the clusters changed."""
    rng = random.Random(seed)
    prices = dict.fromkeys(weights, 100.0)
    changes = []
    for bar in range(start, start + bars):
        common = rng.gauss(0, 0.01)
        for name, weight in weights.items():
            prices[name] *= 1 + weight * common + (1 - weight) * rng.gauss(0, 0.01)
        before = tracker.clusters
        tracker.feed(prices, bar * BAR + 10)
        changes.append(tracker.clusters != before)
        tracker.feed(prices, bar * BAR + 200)
    return changes


def test_what_moves_together_is_one_cluster_and_what_does_not_is_none() -> None:
    tracker = ClusterTracker(RULE)
    changes = walk(tracker, 80, 1, {"btc": 0.95, "eth": 0.9, "doge": 0.0, "sol": 0.92})

    assert tracker.clusters == (("btc", "eth", "sol"),)
    assert changes.count(True) >= 1
    assert not any(changes[:21])  # one bar for the first price, twenty returns, and then the end of that bar


def test_a_pair_between_the_two_thresholds_stays_as_it_is() -> None:
    for first, joined in ((0.97, True), (0.2, False)):
        tracker = ClusterTracker(RULE)
        walk(tracker, 61, 2, {"a": first, "b": first})
        assert bool(tracker.clusters) is joined
        middle = seed_between(0.71, 0.79)
        walk(tracker, 62, middle, {"a": 0.62, "b": 0.62}, start=61)
        value = tracker.correlation("a", "b")
        assert value is not None
        assert 0.7 <= value < 0.8
        assert bool(tracker.clusters) is joined


def seed_between(low: float, high: float) -> int:
    """Return a seed whose window has a correlation strictly between two values at every one of its last bars."""
    for seed in range(2_000):
        tracker = ClusterTracker(RULE)
        walk(tracker, 62, seed, {"a": 0.62, "b": 0.62})
        value = tracker.correlation("a", "b")
        if value is not None and low < value < high:
            return seed
    raise AssertionError("no such seed")


def test_a_pair_parts_when_its_correlation_falls_below_the_lower_threshold() -> None:
    tracker = ClusterTracker(RULE)
    walk(tracker, 61, 2, {"a": 0.97, "b": 0.97})
    assert tracker.clusters == (("a", "b"),)
    walk(tracker, 70, 5, {"a": 0.1, "b": 0.1}, start=61)

    assert not tracker.clusters


def test_pins_hold_without_any_price_and_join_what_they_share() -> None:
    pinned = ClusterRule(BAR, 60, 20, 0.8, 0.7, pins=(("btc", "eth"), ("eth", "sol"), ("x", "y")))
    tracker = ClusterTracker(pinned)
    assert tracker.clusters == (("btc", "eth", "sol"), ("x", "y"))
    walk(tracker, 80, 1, {"btc": 0.0, "eth": 0.0})

    assert tracker.clusters == (("btc", "eth", "sol"), ("x", "y"))


def test_a_seed_of_the_last_life_stands_until_enough_bars_say_otherwise() -> None:
    tracker = ClusterTracker(RULE)
    tracker.seed([["a", "b"]])
    assert tracker.clusters == (("a", "b"),)
    walk(tracker, 20, 3, {"a": 0.0, "b": 0.0})
    assert tracker.clusters == (("a", "b"),)
    walk(tracker, 20, 4, {"a": 0.0, "b": 0.0}, start=20)
    assert not tracker.clusters


def test_a_gap_makes_no_return() -> None:
    tracker = ClusterTracker(RULE)
    for bar, price in ((0, 100.0), (1, 101.0), (5, 200.0), (6, 202.0), (7, 202.0)):
        tracker.feed({"a": price, "b": price}, bar * BAR)
    known = [value for value in tracker._returns["a"] if value is not None]

    assert known == pytest.approx([np.log(1.01), np.log(1.01)])


def test_no_more_instruments_are_compared_than_the_first_so_many() -> None:
    tracker = ClusterTracker(RULE)
    names = [f"i{number}" for number in range(MAX_INSTRUMENTS + 1)]
    for bar in range(2):
        for name in names:
            tracker.feed({name: 100.0}, bar * BAR)

    assert list(tracker._returns) == names[:-1]


def test_one_call_compares_a_few_pairs_and_the_clusters_change_with_the_last() -> None:
    pinned = ClusterRule(BAR, 60, 20, 0.8, 0.7)
    names = [f"i{number}" for number in range(10)]  # 45 pairs
    tracker = ClusterTracker(pinned)
    tracker.correlation = lambda one, other: 1.0  # type: ignore[method-assign]
    tracker.feed(dict.fromkeys(names, 100.0), 0)
    tracker.feed({}, BAR)
    first = (tracker.clusters, len(tracker._due))
    tracker.feed({}, BAR)

    assert first == ((), 45 - PAIRS_PER_FEED)
    assert tracker.clusters == (tuple(names),)


def test_an_instrument_that_comes_later_is_compared_by_the_bars_that_it_shares() -> None:
    tracker = ClusterTracker(RULE)
    prices = [100.0, 101.0, 100.0, 103.0, 102.0, 105.0]
    for bar, price in enumerate(prices):
        told = {"a": price} if bar < 2 else {"a": price, "b": 2 * price}
        tracker.feed(told, bar * BAR)
    tracker.feed({}, len(prices) * BAR)
    returns = [list(tracker._returns[name]) for name in ("a", "b")]

    assert returns[1][:3] == [None] * 3
    assert returns[1][3:] == pytest.approx(returns[0][3:])
    assert len(returns[0]) == len(returns[1]) == 6


@pytest.mark.parametrize(("value", "together"), [(0.7, True), (0.69, False)])
def test_a_pair_parts_below_its_lower_threshold_only(value: float, together: bool) -> None:
    tracker = ClusterTracker(RULE)
    tracker.seed([["a", "b"]])
    tracker.correlation = lambda one, other: value  # type: ignore[method-assign]
    tracker.feed({"a": 1.0, "b": 1.0}, 0)
    tracker.feed({}, BAR)

    assert bool(tracker.clusters) is together


def test_a_clock_that_was_set_back_ends_no_bar() -> None:
    tracker = ClusterTracker(RULE)
    for at, price in ((5 * BAR, 100.0), (2 * BAR, 101.0), (4 * BAR, 102.0)):
        tracker.feed({"a": price}, at)
    assert not tracker._returns
    tracker.feed({"a": 103.0}, 6 * BAR)

    assert list(tracker._returns["a"]) == [None]


@pytest.mark.parametrize(("bars", "known"), [(RULE.min_bars - 1, False), (RULE.min_bars, True)])
def test_a_correlation_is_known_from_the_fewest_bars_on(bars: int, known: bool) -> None:
    tracker = ClusterTracker(RULE)
    walk(tracker, bars + 2, 1, {"a": 1.0, "b": 1.0})  # the first price makes no return, and the last bar is still open

    assert (tracker.correlation("a", "b") is not None) is known


def test_an_instrument_that_nobody_told_correlates_with_nothing() -> None:
    tracker = ClusterTracker(RULE)
    walk(tracker, 30, 1, {"a": 1.0})

    assert tracker.correlation("a", "b") is None


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_ignored(price: float) -> None:
    tracker = ClusterTracker(RULE)
    tracker.feed({"a": price}, 0)
    tracker.feed({"a": price}, BAR)

    assert not tracker._returns


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=50))
def test_correlation_is_numpys(pairs: list[tuple[float, float]]) -> None:
    ours = pearson(pairs)
    a, b = np.array(pairs).T
    if ours is None or a.std() < 1e-6 or b.std() < 1e-6:
        return
    assert ours == pytest.approx(float(np.corrcoef(a, b)[0, 1]), abs=1e-6)


def test_something_that_stands_still_correlates_with_nothing() -> None:
    assert pearson([(1.0, 2.0), (1.0, 3.0), (1.0, 4.0)]) is None


def test_groups_that_share_a_member_are_one_whatever_the_order() -> None:
    groups = [("d", "c"), ("a", "b"), ("b", "c"), ("z",)]

    assert gather(groups) == gather(reversed(groups)) == (("a", "b", "c", "d"),)


def test_what_is_too_many_to_be_compared_counts_as_joined() -> None:
    """102 that move as one are one; one that moves by itself stays outside."""
    tracker = ClusterTracker(RULE)
    names = [f"m{at:03}" for at in range(MAX_INSTRUMENTS + 1)]
    rng = random.Random(7)
    prices = dict.fromkeys(["alone", *names], 100.0)
    for bar in range(23):
        move = rng.gauss(0, 0.01)
        for name in prices:
            prices[name] *= 1 + (rng.gauss(0, 0.01) if name == "alone" else move)
        for at in range(1 if bar < 22 else 130):  # 4,950 pairs, 40 at a time
            tracker.feed(prices, bar * BAR + at)

    assert tracker.clusters == (tuple(names),)


def test_instruments_beyond_the_bound_are_joined_at_once_and_in_the_next_life() -> None:
    prices = {f"m{at:03}": 100.0 for at in range(MAX_INSTRUMENTS + 2)}
    beyond = tuple(sorted(prices)[MAX_INSTRUMENTS:])
    tracker = ClusterTracker(RULE)

    for now_ns in (0, 1):
        tracker.feed(prices, now_ns)
        assert tracker.clusters == (beyond,)

    pinned = ClusterTracker(replace(RULE, pins=(("m000", "m001"),)))
    pinned.seed([["m000", "m001", *beyond], ["m005", beyond[0]]])
    pinned.feed(prices, 0)
    assert pinned.clusters == (("m000", "m001", *beyond),)
