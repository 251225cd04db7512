"""The incremental and the whole-column form of each feature agree bit for bit on any input."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.features import columns
from tradebot.features.columns import Column
from tradebot.features.incremental import (
    Atr,
    AtrKind,
    Donchian,
    Ema,
    Keltner,
    OrderFlowImbalance,
    Return,
    RollingStatistics,
    Rsi,
    depth_imbalance,
    microprice,
)

prices = st.floats(min_value=1e-6, max_value=1e6, allow_nan=False)
quantities = st.integers(min_value=0, max_value=10**9).map(float)
price_lists = st.lists(prices, min_size=0, max_size=80)
lengths = st.integers(min_value=1, max_value=20)
agreement = settings(max_examples=60, deadline=None)


@st.composite
def bars(draw: st.DrawFn) -> tuple[list[float], list[float], list[float]]:
    """Columns (high, low, close) with low <= close <= high."""
    triples = draw(st.lists(st.tuples(prices, prices, prices).map(sorted), max_size=80))
    return [t[2] for t in triples], [t[0] for t in triples], [t[1] for t in triples]


def column(values: Iterable[float]) -> Column:
    return np.array(list(values), dtype=np.float64)


def assert_same_bits(ours: Iterable[float], theirs: Column) -> None:
    left = column(ours)
    both_nan = np.isnan(left) & np.isnan(theirs)
    differing = (left.view(np.int64) != theirs.view(np.int64)) & ~both_nan

    assert not differing.any(), (left[differing], theirs[differing])


@agreement
@given(price_lists, lengths, st.booleans())
def test_returns_agree(values: list[float], length: int, log: bool) -> None:
    feature = Return(length, log=log)
    assert_same_bits([feature.update(v) for v in values], columns.returns(column(values), length, log=log))


@agreement
@given(price_lists, lengths)
def test_ema_agrees(values: list[float], length: int) -> None:
    feature = Ema(length)
    assert_same_bits([feature.update(v) for v in values], columns.ema(column(values), length))


@agreement
@given(price_lists, lengths)
def test_rsi_agrees(values: list[float], length: int) -> None:
    feature = Rsi(length)
    assert_same_bits([feature.update(v) for v in values], columns.rsi(column(values), length))


@agreement
@given(bars(), lengths, st.sampled_from(AtrKind))
def test_atr_agrees(data: tuple[list[float], list[float], list[float]], length: int, kind: AtrKind) -> None:
    feature = Atr(length, kind)
    ours = [feature.update(h, low, c) for h, low, c in zip(*data, strict=True)]
    assert_same_bits(ours, columns.atr(column(data[0]), column(data[1]), column(data[2]), length, kind))


@agreement
@given(bars(), lengths, lengths, st.floats(0.1, 5.0))
def test_keltner_agrees(
    data: tuple[list[float], list[float], list[float]], ema_length: int, atr_length: int, multiple: float
) -> None:
    feature = Keltner(ema_length, atr_length, multiple)
    ours = [feature.update(h, low, c) for h, low, c in zip(*data, strict=True)]
    whole = columns.keltner(column(data[0]), column(data[1]), column(data[2]), ema_length, atr_length, multiple)
    for position in range(3):
        assert_same_bits([row[position] for row in ours], whole[position])


@agreement
@given(bars(), lengths)
def test_donchian_agrees(data: tuple[list[float], list[float], list[float]], length: int) -> None:
    feature = Donchian(length)
    ours = [feature.update(h, low) for h, low in zip(data[0], data[1], strict=True)]
    whole = columns.donchian(column(data[0]), column(data[1]), length)
    for position in range(2):
        assert_same_bits([row[position] for row in ours], whole[position])


@agreement
@given(st.lists(st.floats(-1e9, 1e9), max_size=120), st.integers(2, 15))
def test_rolling_statistics_agree(values: list[float], length: int) -> None:
    feature = RollingStatistics(length)
    ours = []
    for value in values:
        score = feature.update(value)
        ours.append((feature.mean, feature.deviation, score))
    whole = columns.rolling(column(values), length)
    for position in range(3):
        assert_same_bits([row[position] for row in ours], whole[position])


@agreement
@given(st.lists(st.tuples(quantities, quantities), max_size=80), st.integers(2, 15))
def test_order_flow_imbalance_agrees(rows: list[tuple[float, float]], length: int) -> None:
    feature = OrderFlowImbalance(length)
    ours = []
    for bid_qty, ask_qty in rows:
        value = feature.update(bid_qty, ask_qty)
        ours.append((value, feature.z_score))
    whole = columns.order_flow_imbalance(column(r[0] for r in rows), column(r[1] for r in rows), length)
    for position in range(2):
        assert_same_bits([row[position] for row in ours], whole[position])


@agreement
@given(st.lists(st.tuples(prices, quantities, prices, quantities), min_size=1, max_size=40))
def test_microprice_agrees(rows: list[tuple[float, float, float, float]]) -> None:
    whole = columns.microprice(*(column(row[i] for row in rows) for i in range(4)))
    assert_same_bits([microprice(*row) for row in rows], whole)


@agreement
@given(
    st.lists(
        st.tuples(st.lists(quantities, min_size=5, max_size=5), st.lists(quantities, min_size=5, max_size=5)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 8),
)
def test_depth_imbalance_agrees(rows: list[tuple[list[float], list[float]]], levels: int) -> None:
    whole = columns.depth_imbalance(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), levels)
    assert_same_bits([depth_imbalance(bids, asks, levels) for bids, asks in rows], whole)


@pytest.mark.parametrize("window", [5, 50])
def test_rolling_statistics_do_not_drift(window: int) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(1e6, 1.0, 20_000)

    means, deviations, _ = columns.rolling(values, window)

    last = values[-window:]
    assert means[-1] == pytest.approx(last.mean(), rel=1e-12)
    assert deviations[-1] == pytest.approx(last.std(ddof=1), rel=1e-6)
