"""What counts for an hour and for a minute; the 99th percentile of acknowledgements equals sorting the minute anew."""

from __future__ import annotations

import random

import pytest

from riskd.order_flow import MAX_LATENCIES, OrderFlow
from riskd.rates import NS_PER_MIN, NS_PER_S
from riskd.windows import WindowCount


def by_sorting(told: list[tuple[int, int]], now_ns: int, fewest: int) -> int:
    took = sorted(ns for at_ns, ns in told[-MAX_LATENCIES:] if now_ns - at_ns < NS_PER_MIN)
    return 0 if len(took) < fewest else took[-(-99 * len(took) // 100) - 1]


@pytest.mark.parametrize("seed", range(4))
def test_the_slowest_acknowledgements_of_a_minute_are_those_that_sorting_finds(seed: int) -> None:
    chance, flow, told = random.Random(seed), OrderFlow(), list[tuple[int, int]]()
    now_ns, found = 0, set[int]()
    for _ in range(8_000):
        now_ns += int(chance.expovariate(1 / chance.choice([NS_PER_S // 100, NS_PER_S // 10, 2 * NS_PER_S])))
        took_ns = chance.choice([chance.randrange(1, 10), chance.randrange(1, 10**9)])
        flow.acknowledged(took_ns, now_ns)
        told.append((now_ns, took_ns))
        if chance.random() < 0.05:
            asked_ns = now_ns + chance.choice([0, NS_PER_S, NS_PER_MIN - 1, NS_PER_MIN])
            found.add(flow.ack_p99_ns(asked_ns, 20))
            assert flow.ack_p99_ns(asked_ns, 20) == by_sorting(told, asked_ns, 20)
            now_ns = asked_ns

    assert len(found) > 50


def test_an_acknowledgement_counts_for_less_than_a_minute() -> None:
    flow = OrderFlow()
    flow.acknowledged(7, 0)

    assert flow.ack_p99_ns(NS_PER_MIN - 1, 1) == 7
    assert flow.ack_p99_ns(NS_PER_MIN, 1) == 0


def test_an_order_and_its_trade_count_for_an_hour() -> None:
    flow = OrderFlow()
    flow.ordered("s1", 0)
    flow.traded("s1", 0)
    hour_ns, late_ns = 60 * NS_PER_MIN, 61 * NS_PER_MIN

    assert (flow.orders_of("s1", hour_ns), flow.trades_of("s1", hour_ns)) == (1, 1)
    assert (flow.orders_of("s1", late_ns), flow.trades_of("s1", late_ns)) == (0, 0)


def test_what_happens_within_one_bucket_takes_the_room_of_one() -> None:
    window = WindowCount(NS_PER_S, NS_PER_MIN)
    for now_ns in (5, 6, NS_PER_S - 1):
        window.add(now_ns)

    assert window.digest() == (3, (0,), (0,))
    assert window.count(NS_PER_MIN + NS_PER_S - 1, NS_PER_MIN) == 3
    assert window.count(NS_PER_MIN + NS_PER_S, NS_PER_MIN) == 0
