"""The features over whole columns, compiled by numba from the same step functions that live strategies use.

Inputs and outputs are float64 arrays of shape (n,), oldest first; a value that is not ready yet is NaN. Kernels are
compiled at first call and not cached on disk: numba's cache watches only this file, and a changed `steps.py` would go
unnoticed, which is worse than half a second of compiling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradebot.features import steps
from tradebot.features.incremental import AtrKind, smoothing

Column = NDArray[np.float64]
"""Shape (n,), oldest first."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def compiled(function: FunctionT) -> FunctionT:
    """Compile for numba and keep the function's own type, which numba's annotations lose."""
    return cast(FunctionT, njit(function))


_simple_return = compiled(steps.simple_return_step)
_log_return = compiled(steps.log_return_step)
_ema = compiled(steps.ema_step)
_true_range = compiled(steps.true_range)
_rsi_value = compiled(steps.rsi_value)
_microprice = compiled(steps.microprice_step)
_imbalance = compiled(steps.imbalance_step)
_total_of = compiled(steps.total_of)
_ofi = compiled(steps.ofi_step)
_highest = compiled(steps.highest)
_lowest = compiled(steps.lowest)
_rolling = compiled(steps.rolling_step)
_deviation = compiled(steps.deviation)
_z_score = compiled(steps.z_score)


@compiled
def _seeded_average(count: int, average: float, value: float, length: int, alpha: float) -> float:
    # steps.seeded_average_step calls ema_step, which numba cannot see through as a plain function: same two lines here.
    if count < length:
        return average + (value - average) / float(count + 1)
    return _ema(average, value, alpha)


def returns(prices: Column, length: int = 1, *, log: bool = False) -> Column:
    """Return the return over `length` observations."""
    return _log_returns(prices, length) if log else _simple_returns(prices, length)


@compiled
def _simple_returns(prices: Column, length: int) -> Column:
    out = np.full(len(prices), np.nan)
    for i in range(length, len(prices)):
        out[i] = _simple_return(prices[i - length], prices[i])
    return out


@compiled
def _log_returns(prices: Column, length: int) -> Column:
    out = np.full(len(prices), np.nan)
    for i in range(length, len(prices)):
        out[i] = _log_return(prices[i - length], prices[i])
    return out


@compiled
def ema(values: Column, length: int) -> Column:
    """Exponential average with alpha = 2 / (length + 1), seeded with the first value."""
    out = np.full(len(values), np.nan)
    alpha = 2.0 / (length + 1)
    average = 0.0
    for i in range(len(values)):
        average = _ema(average, values[i], alpha) if i else values[i]
        if i + 1 >= length:
            out[i] = average
    return out


@compiled
def rsi(prices: Column, length: int) -> Column:
    """Wilder's relative strength index."""
    out = np.full(len(prices), np.nan)
    alpha = 1.0 / length
    average_gain = 0.0
    average_loss = 0.0
    for i in range(1, len(prices)):
        change = prices[i] - prices[i - 1]
        gain, loss = (change, 0.0) if change > 0.0 else (0.0, -change)
        average_gain = _seeded_average(i - 1, average_gain, gain, length, alpha)
        average_loss = _seeded_average(i - 1, average_loss, loss, length, alpha)
        if i >= length:
            out[i] = _rsi_value(average_gain, average_loss)
    return out


def atr(highs: Column, lows: Column, closes: Column, length: int, kind: AtrKind = AtrKind.WILDER) -> Column:
    """Average true range."""
    return _atr(highs, lows, closes, length, smoothing(length, kind))


@compiled
def _atr(highs: Column, lows: Column, closes: Column, length: int, alpha: float) -> Column:
    out = np.full(len(closes), np.nan)
    average = 0.0
    for i in range(len(closes)):
        widest = _true_range(highs[i], lows[i], closes[i - 1]) if i else highs[i] - lows[i]
        average = _seeded_average(i, average, widest, length, alpha)
        if i + 1 >= length:
            out[i] = average
    return out


def keltner(
    highs: Column,
    lows: Column,
    closes: Column,
    ema_length: int = 20,
    atr_length: int = 14,
    multiple: float = 2.0,
    kind: AtrKind = AtrKind.EWMA,
) -> tuple[Column, Column, Column]:
    """Return (middle, upper, lower)."""
    middle = ema(closes, ema_length)
    width = multiple * atr(highs, lows, closes, atr_length, kind)
    upper, lower = middle + width, middle - width
    return np.where(np.isnan(upper), np.nan, middle), upper, lower


@compiled
def donchian(highs: Column, lows: Column, length: int) -> tuple[Column, Column]:
    """Return (upper, lower) of the last `length` bars, the current one included."""
    upper = np.full(len(highs), np.nan)
    lower = np.full(len(highs), np.nan)
    for i in range(length - 1, len(highs)):
        upper[i] = _highest(highs[i - length + 1 : i + 1], length)
        lower[i] = _lowest(lows[i - length + 1 : i + 1], length)
    return upper, lower


@compiled
def rolling(values: Column, length: int) -> tuple[Column, Column, Column]:
    """Return (mean, sample standard deviation, z-score) over windows of `length`; mean and deviation from the start."""
    size = len(values)
    means = np.full(size, np.nan)
    deviations = np.full(size, np.nan)
    scores = np.full(size, np.nan)
    ring = np.zeros(length)
    index, count, mean, spread = 0, 0, 0.0, 0.0
    for i in range(size):
        index, count, mean, spread = _rolling(ring, index, count, mean, spread, values[i])
        means[i] = mean
        deviations[i] = _deviation(spread, count)
        if count == length:
            scores[i] = _z_score(values[i], mean, deviations[i])
    return means, deviations, scores


def order_flow_imbalance(bid_qtys: Column, ask_qtys: Column, length: int) -> tuple[Column, Column]:
    """Return (imbalance, z-score) for columns of quantities at the best bid and ask."""
    values = _order_flow(bid_qtys, ask_qtys)
    scores = np.full(len(values), np.nan)
    if len(values) > 1:
        scores[1:] = rolling(values[1:], length)[2]
    return values, scores


@compiled
def _order_flow(bid_qtys: Column, ask_qtys: Column) -> Column:
    out = np.full(len(bid_qtys), np.nan)
    for i in range(1, len(bid_qtys)):
        out[i] = _ofi(bid_qtys[i - 1], bid_qtys[i], ask_qtys[i - 1], ask_qtys[i])
    return out


@compiled
def microprice(bids: Column, bid_qtys: Column, asks: Column, ask_qtys: Column) -> Column:
    """Return the mid weighted by the opposite quantities."""
    out = np.empty(len(bids))
    for i in range(len(bids)):
        out[i] = _microprice(bids[i], bid_qtys[i], asks[i], ask_qtys[i])
    return out


@compiled
def depth_imbalance(bid_qtys: NDArray[np.float64], ask_qtys: NDArray[np.float64], levels: int) -> Column:
    """Return the imbalance per book. Both arrays have shape (n, depth), best level first, 0 where there is none."""
    out = np.empty(len(bid_qtys))
    for i in range(len(bid_qtys)):
        out[i] = _imbalance(_total_of(bid_qtys[i], levels), _total_of(ask_qtys[i], levels))
    return out
