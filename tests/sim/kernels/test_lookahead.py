"""A compiled strategy sees nothing before its time: what comes later changes nothing that it saw before."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.sim.kernels.kit import Step, feeds, models, run_kernels, scripts
from tests.sim.kernels.reference import Model
from tradebot.core.columns import BOTH, BUYER, LEVEL, MarketColumns

FAR_NS = 5_000
"""A row that no script reaches: data that end are something to see, and this is not about their end."""
VIEW = 4
"""Time, touch and position, depths, orders."""

# The first test of a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)


def up_to(rows: MarketColumns, cut_ns: int) -> MarketColumns:
    """Return the rows that happened up to a time, then one far away."""
    kept = rows.exchange_time_ns <= cut_ns
    far = (FAR_NS, FAR_NS, LEVEL | BOTH | BUYER, 90, 1)
    columns: tuple[NDArray[Any], ...] = (
        rows.exchange_time_ns,
        rows.local_time_ns,
        rows.flags,
        rows.price_ticks,
        rows.qty_lots,
    )
    return MarketColumns(
        *(np.append(column[kept], column.dtype.type(value)) for column, value in zip(columns, far, strict=True))
    )


def views(rows: MarketColumns, model: Model, script: list[Step], until_ns: int) -> list[list[Any]]:
    """Return what the strategy saw after each step that ended by a time."""
    seen = [one for one in run_kernels(rows, model, script)[0] if not isinstance(one, bool | np.bool_)]
    steps = [seen[start : start + VIEW] for start in range(0, len(seen), VIEW)]
    return list(takewhile(lambda step: step[0] <= until_ns, steps))


@given(feeds(), models(), scripts(), st.integers(100, 160))
@settings(max_examples=150, deadline=None)
def test_rows_that_happen_later_change_nothing_that_a_strategy_saw_before(
    rows: MarketColumns, model: Model, script: list[Step], cut_ns: int
) -> None:
    whole = views(up_to(rows, FAR_NS - 1), model, script, cut_ns)

    assert whole == views(up_to(rows, cut_ns), model, script, cut_ns)
