"""Nothing unchecked reaches the kernels: bad rows are named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.sim.kernels.kit import Happening, make_columns
from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels.feed import MAX_LADDER_TICKS, Feed

# The first test of a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)


def good_rows() -> MarketColumns:
    return make_columns([Happening(100 + n, 102 + n, columns.LEVEL, True, 50 + n, 5) for n in range(4)])


def with_value(name: str, row: int, value: int) -> MarketColumns:
    column = getattr(good_rows(), name).copy()
    column[row] = value
    return dataclasses.replace(good_rows(), **{name: column})


def test_a_good_feed_is_described() -> None:
    feed = Feed.of(good_rows())

    assert (feed.low, feed.high, feed.one_order, feed.in_flight) == (50, 53, True, 3)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("flags", columns.BOTH, "no kind"),
        ("flags", columns.ORDER_ADD | columns.BOTH, "no kind"),
        ("flags", columns.LEVEL, "neither"),
        ("flags", columns.TRADE | columns.BOTH, "received before"),
        ("qty_lots", -1, "quantity"),
        ("qty_lots", 1 << 51, "quantity"),
        ("price_ticks", 1 << 41, "price"),
        ("exchange_time_ns", 99, "exchange time"),
        ("exchange_time_ns", 200, "received before"),
        ("local_time_ns", 101, "local time"),
    ],
)
def test_a_bad_row_is_refused_by_number(name: str, value: int, problem: str) -> None:
    rows = with_value(name, 2, value)
    if problem == "received before" and name == "flags":
        rows = dataclasses.replace(rows, local_time_ns=rows.exchange_time_ns - 1)

    with pytest.raises(InvariantError, match=f"row [02]: .*{problem}"):
        Feed.of(rows)


def test_prices_too_far_apart_are_refused() -> None:
    with pytest.raises(InvariantError, match="span more than"):
        Feed.of(with_value("price_ticks", 3, MAX_LADDER_TICKS + 60))


def test_columns_of_the_wrong_type_or_stride_are_refused() -> None:
    rows = good_rows()

    with pytest.raises(InvariantError, match="column qty_lots"):
        dataclasses.replace(rows, qty_lots=rows.qty_lots.astype(np.float64))
    with pytest.raises(InvariantError, match="column price_ticks"):
        dataclasses.replace(rows, price_ticks=np.zeros(8, np.int64)[::2])


def test_an_empty_feed_ends_at_once() -> None:
    from tests.sim.kernels.kit import run_kernels
    from tests.sim.kernels.reference import Model

    seen = run_kernels(make_columns([]), Model(), [("elapse", {"ns": 5})])

    assert seen[0][0] is False
