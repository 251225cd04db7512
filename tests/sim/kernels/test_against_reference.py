"""The kernels and a slow, obvious simulator agree on everything a strategy can see and on every fill."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kernels.kit import (
    Step,
    feeds,
    market_of,
    models,
    play_kernels,
    play_reference,
    run_kernels,
    run_reference,
    scripts,
)
from tests.sim.kernels.reference import Model, ReferenceSimulator
from tradebot.core.columns import MarketColumns
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.simulator import Simulator

# The first test of a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)


@given(feeds(overtaking=False), models(), scripts())
@settings(max_examples=250, deadline=None)
def test_kernels_agree_with_the_reference_on_one_ordered_feeds(
    rows: MarketColumns, model: Model, script: list[Step]
) -> None:
    assert run_kernels(rows, model, script) == run_reference(rows, model, script)


@given(feeds(), models(), scripts())
@settings(max_examples=250, deadline=None)
def test_kernels_agree_with_the_reference_where_rows_overtake(
    rows: MarketColumns, model: Model, script: list[Step]
) -> None:
    assert run_kernels(rows, model, script) == run_reference(rows, model, script)


@given(st.lists(st.tuples(feeds(), models()), min_size=2, max_size=2), scripts(markets=2))
@settings(max_examples=150, deadline=None)
def test_two_markets_of_different_latency_share_one_clock(
    markets: list[tuple[MarketColumns, Model]], script: list[Step]
) -> None:
    simulator = Simulator([market_of(Feed.of(rows, model.smallest_entry_ns), model) for rows, model in markets])

    found = play_kernels(simulator, script, count=2)
    assert found == play_reference([ReferenceSimulator(rows, model) for rows, model in markets], script)


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(st.booleans().flatmap(feeds), models(), scripts())
@settings(max_examples=5_000, deadline=None)
def test_kernels_agree_with_the_reference_at_length(rows: MarketColumns, model: Model, script: list[Step]) -> None:
    assert run_kernels(rows, model, script) == run_reference(rows, model, script)
