"""Values of the features against hand calculations and their published definitions."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

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


def test_nothing_has_a_value_before_it_has_seen_enough() -> None:
    ema, rsi, atr = Ema(3), Rsi(3), Atr(3)
    for _ in range(2):
        assert math.isnan(ema.update(1.0))
        assert math.isnan(atr.update(2.0, 1.0, 1.5))
    for _ in range(3):
        assert math.isnan(rsi.update(1.0))

    assert ema.update(1.0) == 1.0
    assert atr.update(2.0, 1.0, 1.5) == 1.0
    assert rsi.update(1.0) == 50.0


def test_returns_over_one_and_several_steps() -> None:
    one, two, log = Return(), Return(2), Return(log=True)
    for price in (100.0, 110.0, 121.0):
        one.update(price)
        two.update(price)
        log.update(price)

    assert one.value == pytest.approx(0.1)
    assert two.value == pytest.approx(0.21)
    assert log.value == pytest.approx(math.log(1.1))


def test_ema_weights_the_newest_by_two_over_length_plus_one() -> None:
    ema = Ema(3)
    for value in (1.0, 2.0, 3.0):
        ema.update(value)

    assert ema.value == 2.25


def test_rsi_of_wilders_kind_on_a_known_series() -> None:
    # Fourteen changes: ten of +1 (mean gain 10/14), four of -1 (mean loss 4/14).
    rsi = Rsi(14)
    price = 100.0
    rsi.update(price)
    for change in [1.0] * 10 + [-1.0] * 4:
        price += change
        rsi.update(price)
    assert rsi.value == pytest.approx(100.0 * 10 / 14)

    rsi.update(price + 1.0)

    gain, loss = (10 / 14 * 13 + 1) / 14, (4 / 14 * 13) / 14
    assert rsi.value == pytest.approx(100 * gain / (gain + loss))


def test_atr_counts_the_gap_from_the_previous_close() -> None:
    wilder, ewma = Atr(2), Atr(2, AtrKind.EWMA)
    for atr in (wilder, ewma):
        atr.update(11.0, 9.0, 10.0)  # range 2
        atr.update(15.0, 14.0, 14.0)  # 15 - 10 = 5
    assert wilder.value == ewma.value == 3.5

    wilder.update(14.0, 13.0, 13.0)
    ewma.update(14.0, 13.0, 13.0)

    assert wilder.value == pytest.approx(3.5 + (1.0 - 3.5) / 2)
    assert ewma.value == pytest.approx(3.5 + (1.0 - 3.5) * 2 / 3)


def test_keltner_is_the_average_close_plus_and_minus_k_ranges() -> None:
    keltner = Keltner(ema_length=2, atr_length=2, multiple=1.5)
    keltner.update(11.0, 9.0, 10.0)
    middle, upper, lower = keltner.update(11.0, 9.0, 10.0)

    assert (middle, upper, lower) == (10.0, 13.0, 7.0)


def test_donchian_keeps_the_extremes_of_its_window_only() -> None:
    donchian = Donchian(2)
    donchian.update(9.0, 1.0)
    donchian.update(5.0, 3.0)
    assert (donchian.upper, donchian.lower) == (9.0, 1.0)

    donchian.update(6.0, 4.0)

    assert (donchian.upper, donchian.lower) == (6.0, 3.0)


def test_ofi_counts_growth_only() -> None:
    ofi = OrderFlowImbalance(2)
    ofi.update(10.0, 10.0)

    assert ofi.update(13.0, 9.0) == 3.0  # bids grew by 3; the shrinking ask counts for nothing
    assert ofi.update(5.0, 11.0) == -2.0


def test_rolling_z_score_uses_the_sample_deviation() -> None:
    statistics = RollingStatistics(3)
    for value in (100.0, 1.0, 2.0, 3.0):
        statistics.update(value)

    assert statistics.mean == pytest.approx(2.0)
    assert statistics.deviation == pytest.approx(1.0)
    assert statistics.z_score == pytest.approx(1.0)


def test_a_constant_series_has_z_score_zero() -> None:
    statistics = RollingStatistics(3)
    for _ in range(7):
        statistics.update(5.0)

    assert statistics.z_score == 0.0


def test_microprice_leans_to_the_thin_side() -> None:
    assert microprice(100.0, 30.0, 101.0, 10.0) == 100.75
    assert microprice(100.0, 0.0, 101.0, 0.0) == 100.5


def test_depth_imbalance_counts_the_best_levels_only() -> None:
    assert depth_imbalance([3.0, 1.0, 1000.0], [1.0, 1.0, 0.0], 2) == pytest.approx(2 / 6)
    assert depth_imbalance([], [], 5) == 0.0


def test_live_features_do_not_import_numba() -> None:
    code = "import sys, tradebot.features; sys.exit('numba' in sys.modules or 'numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
