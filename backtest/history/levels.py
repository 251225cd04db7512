"""Compiled: which price levels one side of a book has, as a sorted line of keys. Quantities do not matter here.

Keys are prices of bids and negative prices of asks, rising, so that the best is last and most changes move few keys.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, BUYER, CLEAR, KIND_MASK, LEVEL, SNAPSHOT, Int64s

FIRST_CAPACITY: Final = 1 << 14
MAX_LEVELS: Final = 2_000_000
"""Price levels on one side of one book; more is no book."""
_AT_EXCHANGE, _AT_LOCAL, _BUYER, _KINDS = AT_EXCHANGE, AT_LOCAL, BUYER, KIND_MASK
_LEVEL, _CLEAR, _SNAPSHOT = LEVEL, CLEAR, SNAPSHOT


@njit(cache=True)
def set_level(line: Int64s, count: int, key: int, here: bool) -> int:  # pragma: no cover - compiled
    """Add or remove a key; return the new count."""
    low, high = 0, count
    if count and line[count - 1] < key:
        low = count
    while low < high:
        middle = (low + high) // 2
        if line[middle] < key:
            low = middle + 1
        else:
            high = middle
    known = low < count and line[low] == key
    if here and not known:
        for j in range(count, low, -1):
            line[j] = line[j - 1]
        line[low] = key
        return count + 1
    if known and not here:
        for j in range(low, count - 1):
            line[j] = line[j + 1]
        return count - 1
    return count


def grown(lines: Int64s, needed: int) -> Int64s:
    """Return lines (last axis: keys) with room for `needed` keys."""
    if needed <= lines.shape[-1]:
        return lines
    larger = np.zeros((*lines.shape[:-1], 2 * needed), np.int64)
    larger[..., : lines.shape[-1]] = lines
    return larger


@njit(cache=True)
def expand_clears(
    counts: Int64s,
    lines: Int64s,
    flags: NDArray[np.uint8],
    price: Int64s,
    qty: Int64s,
    out: Int64s,
) -> int:  # pragma: no cover - compiled
    """Write a clear that goes through a price as the levels that it removes, or as a clear of the whole side.

    Args:
        counts: Shape (2, 2): keys per clock (exchange, local) and side, carried from call to call.
        lines: Shape (2, 2, capacity): the keys.
        flags, price, qty: The rows' columns.
        out: Shape (room, 3), filled with (row, ticks, new flags) of what is written for clears; a clear without an
            entry removes nothing.

    Returns:
        Number of entries; when that is more than the room, the rest is missing.
    """
    found = 0
    for i in range(len(flags)):
        flag = flags[i]
        if flag & 0x80:
            continue
        kind = flag & _KINDS
        side = 0 if flag & _BUYER else 1
        sign = 1 if side == 0 else -1
        first = 0 if flag & _AT_EXCHANGE else 1
        last = 1 if flag & _AT_LOCAL else 0
        if kind == _LEVEL:
            for clock in range(first, last + 1):
                counts[clock, side] = set_level(lines[clock, side], counts[clock, side], sign * price[i], qty[i] > 0)
        elif kind == _CLEAR:
            line, count = lines[first, side], counts[first, side]
            keep = count
            while price[i] and keep and line[keep - 1] >= sign * price[i]:
                keep -= 1
            if price[i] == 0 or keep == 0:
                counts[first, side] = counts[last, side] = 0
                if found < len(out):
                    out[found, 0], out[found, 1], out[found, 2] = i, 0, flag
                found += 1
                continue
            for j in range(count - 1, keep - 1, -1):
                if found < len(out):
                    out[found, 0], out[found, 1] = i, sign * line[j]
                    out[found, 2] = (flag & ~_KINDS & 0xFF) | _LEVEL | _SNAPSHOT
                found += 1
            counts[first, side] = keep
            while last != first and counts[last, side] and lines[last, side, counts[last, side] - 1] >= sign * price[i]:
                counts[last, side] -= 1
    return found
