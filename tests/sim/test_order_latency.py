"""The way to the venue and back, call by call, by the kernels' models."""

from __future__ import annotations

import numpy as np

from tradebot.sim.kernels.terms import ConstantLatency, RecordedLatency, SampledLatency
from tradebot.sim.order_latency import OrderLatency

MS = 1_000_000


def recorded(*rows: tuple[int, int, int]) -> RecordedLatency:
    """Rows of milliseconds: sent, reached (0 = refused), answered."""
    return RecordedLatency(*(np.array(column, np.int64) * MS for column in zip(*rows, strict=True)))


def test_each_way_takes_its_own_time() -> None:
    latency = OrderLatency(ConstantLatency(5, 0), ConstantLatency(0, 7))

    assert latency.arrival(100) == (105, False)
    assert latency.answered_ns(105) == 112


def test_drawn_latencies_stay_in_their_distribution_and_never_let_anything_overtake() -> None:
    entry, response = SampledLatency((10, 20, 500), (10, 20, 500), 3), SampledLatency((1, 2, 900), (1, 2, 900), 4)
    latency, again = OrderLatency(entry, response), OrderLatency(entry, response)
    arrivals = [latency.arrival(sent).at_ns for sent in range(0, 20_000, 10)]
    answers = [latency.answered_ns(at) for at in range(0, 20_000, 10)]

    assert arrivals == sorted(arrivals)
    assert answers == sorted(answers)
    assert all(10 <= at - sent <= 500 for at, sent in zip(arrivals, range(0, 20_000, 10), strict=True))
    assert len({at - sent for at, sent in zip(arrivals, range(0, 20_000, 10), strict=True)}) > 50
    assert arrivals == [again.arrival(sent).at_ns for sent in range(0, 20_000, 10)]
    other = OrderLatency(SampledLatency((10, 20, 500), (10, 20, 500), 5), response)
    assert arrivals != [other.arrival(sent).at_ns for sent in range(0, 20_000, 10)]


def test_the_seed_of_one_way_does_not_move_the_other() -> None:
    quantiles = (10, 20, 500)
    one = OrderLatency(SampledLatency(quantiles, quantiles, 1), SampledLatency(quantiles, quantiles, 9))
    other = OrderLatency(SampledLatency(quantiles, quantiles, 2), SampledLatency(quantiles, quantiles, 9))
    for latency in (one, other):
        latency.arrival(0)

    assert [one.answered_ns(at) for at in range(50)] == [other.answered_ns(at) for at in range(50)]


def test_both_ways_of_one_seed_are_drawn_independently() -> None:
    drawn = SampledLatency((1, 1_000_000), (1, 1_000_000), 1)
    latency = OrderLatency(drawn, drawn)
    far = 10_000_000
    there = [latency.arrival(at * far).at_ns - at * far for at in range(500)]
    back = [latency.answered_ns(at * far) - at * far for at in range(500)]

    assert abs(np.corrcoef(there, back)[0, 1]) < 0.2


def test_recorded_latencies_are_interpolated_and_constant_outside() -> None:
    path = recorded((1_000, 1_010, 1_030), (2_000, 2_030, 2_040))
    latency = OrderLatency(path, path)

    assert [latency.arrival(at * MS).at_ns // MS for at in (0, 1_000, 1_500, 2_500)] == [10, 1_010, 1_520, 2_530]
    assert [latency.answered_ns(at * MS) // MS for at in (0, 1_010, 1_520, 3_000)] == [20, 1_030, 1_535, 3_010]


def test_while_the_venue_was_in_trouble_requests_are_refused_and_the_refusal_takes_as_long_as_it_did() -> None:
    path = recorded((1_000, 1_010, 1_020), (2_000, 0, 2_040), (3_000, 3_010, 3_020))
    latency = OrderLatency(path, path)

    assert latency.arrival(2_000 * MS) == (2_040 * MS, True)
    assert latency.arrival(3_000 * MS) == (3_010 * MS, False)
