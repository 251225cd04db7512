"""The kernels and a slow, obvious simulator agree on everything a strategy can see and on every fill."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kernels.kit import Step, feeds, models, run_kernels, run_reference, scripts
from tests.sim.kernels.reference import Model
from tradebot.core.columns import MarketColumns

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


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(st.booleans().flatmap(feeds), models(), scripts())
@settings(max_examples=5_000, deadline=None)
def test_kernels_agree_with_the_reference_at_length(rows: MarketColumns, model: Model, script: list[Step]) -> None:
    assert run_kernels(rows, model, script) == run_reference(rows, model, script)
