"""Receive times that data do not have: constant, drawn, or interpolated."""

from __future__ import annotations

import numpy as np
import pytest

from tests.sim.kernels.kit import Happening, make_columns
from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.feed_latency import ConstantFeed, FeedLatency, RecordedFeed, SampledFeed, received

pytestmark = pytest.mark.timeout(300)


def rows_at(*times: int) -> MarketColumns:
    return make_columns([Happening(time, time, columns.LEVEL, True, 99, 1 + place) for place, time in enumerate(times)])


def latencies(rows: MarketColumns, latency: FeedLatency) -> list[int]:
    found = received(rows, latency)
    Feed.of(found)  # in order of both clocks
    return [int(one) for one in found.local_time_ns - rows.exchange_time_ns]


def test_a_constant_latency_is_every_rows() -> None:
    assert latencies(rows_at(10, 10, 25), ConstantFeed(7)) == [7, 7, 7]


def test_drawn_latencies_follow_their_quantiles_repeat_with_the_seed_and_are_shared_by_a_moment() -> None:
    rows = rows_at(*(1_000 * (number // 2) for number in range(2_000)))
    quantiles = (100, 200, 400)
    found = latencies(rows, SampledFeed(quantiles, seed=3))

    assert found == latencies(rows, SampledFeed(quantiles, seed=3)) != latencies(rows, SampledFeed(quantiles, seed=4))
    assert found[::2] == found[1::2]
    assert 100 <= min(found) < 110 < 390 < max(found) <= 400
    assert abs(sorted(found)[1_000] - 200) < 15


def test_measured_latencies_are_interpolated_in_time() -> None:
    measured = RecordedFeed(np.array([100, 200], np.int64), np.array([10, 30], np.int64))

    assert latencies(rows_at(50, 100, 150, 200, 900), measured) == [10, 10, 20, 30, 30]


def test_no_row_overtakes_another() -> None:
    falling = RecordedFeed(np.array([100, 101], np.int64), np.array([50, 0], np.int64))

    assert received(rows_at(100, 101, 160), falling).local_time_ns.tolist() == [150, 150, 160]


def test_latencies_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvariantError, match="negative"):
        ConstantFeed(-1)
    with pytest.raises(InvariantError, match="rising"):
        SampledFeed((5, 3))
    with pytest.raises(InvariantError, match="row 1"):
        RecordedFeed(np.array([5, 5], np.int64), np.array([1, 1], np.int64))
    with pytest.raises(InvariantError, match="row 0: it is of one clock only"):
        received(
            make_columns([Happening(1, 9, columns.LEVEL, True, 9, 1), Happening(2, 3, columns.LEVEL, True, 9, 1)]),
            ConstantFeed(1),
        )
