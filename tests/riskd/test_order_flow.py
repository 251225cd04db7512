"""The 99th percentile of acknowledgements equals sorting the last minute anew, whatever the order of events."""

from __future__ import annotations

import random

import pytest

from riskd.order_flow import MAX_LATENCIES, OrderFlow
from riskd.rates import NS_PER_MIN, NS_PER_S


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
