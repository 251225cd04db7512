"""Budgets and waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.budget import Backoff, RateBudget
from tests.marketdata.market_kit import T0, S
from tradebot.core.errors import InvariantError


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(requests: list[tuple[int, int]]) -> None:
    budget, now, spent = RateBudget(10, 5 * S), T0, list[tuple[int, int]]()
    for units, pause in requests:
        now += pause * S
        now += budget.wait_ns(units, now)
        budget.spend(units, now)
        spent.append((now, units))

    for end, _ in spent:
        assert sum(units for at, units in spent if end - 5 * S < at <= end) <= 10


def test_the_venues_own_count_wins_when_it_is_higher() -> None:
    budget = RateBudget(100, 60 * S)
    budget.spend(10, T0)
    budget.observe(95, T0 + S)

    assert budget.wait_ns(5, T0 + S) == 0
    assert budget.wait_ns(6, T0 + S) == 59 * S


def test_a_block_is_obeyed_even_with_budget_left() -> None:
    budget = RateBudget(100, 60 * S)
    budget.block(7 * S, T0)

    assert budget.wait_ns(1, T0 + 2 * S) == 5 * S


def test_one_request_larger_than_the_limit_passes_alone() -> None:
    assert RateBudget(10, S).wait_ns(250, T0) == 0


def test_a_budget_of_nothing_is_a_bug() -> None:
    with pytest.raises(InvariantError):
        RateBudget(0, S)


def test_waits_grow_with_jitter_to_a_bound_and_start_again() -> None:
    backoff = Backoff(S, 8 * S)
    highest = [backoff.next_wait_ns(0.999999) for _ in range(6)]
    lowest = backoff.next_wait_ns(0.0)
    backoff.reset()

    assert [round(wait / S) for wait in highest] == [1, 2, 4, 8, 8, 8]
    assert lowest == S
    assert backoff.next_wait_ns(0.9) == S
