"""The compiled part of the checks: one instrument's book, followed level by level, and what is wrong with it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.history.levels import set_level
from backtest.history.rows import OTHER
from tradebot.core.columns import AT_LOCAL, BUYER, CLEAR, KIND_MASK, LEVEL, SNAPSHOT, TRADE, Int64s

CROSSED, LOCKED, TRADE_OUTSIDE, PRICE_JUMP, NO_SNAPSHOT = range(5)
CODES: Final = 5
MAX_EXAMPLES: Final = 16
"""Examples kept per piece of rows; all are counted."""
JUMP: Final = 10
"""A trade at so many times the price of the one before, or the fraction, has another scale."""

# Places in the state vector.
_BIDS, _ASKS, _LOCAL, _ROW, _SOURCE, _WAS, _TRADE, _SEEN, _PROVEN = range(9)
STATE: Final = 9
_IS_OTHER, _LOCAL_BIT, _BUYER, _KINDS = OTHER, AT_LOCAL, BUYER, KIND_MASK
_LEVEL, _CLEAR, _TRADES, _SNAPSHOT = LEVEL, CLEAR, TRADE, SNAPSHOT


@njit(cache=True)
def follow_book(
    state: Int64s,
    keys: Int64s,
    local_ns: Int64s,
    flags: NDArray[np.uint8],
    price: Int64s,
    qty: Int64s,
    row: Int64s,
    source: NDArray[np.int16],
    counts: Int64s,
    examples: Int64s,
) -> int:  # pragma: no cover - compiled
    """Apply rows of one instrument.

    Args:
        state: Shape (STATE,), carried from call to call.
        keys: Shape (2, capacity): prices of bids, negative prices of asks, rising, so that the best is last.
        local_ns, flags, price, qty, row, source: The rows' columns.
        counts: Shape (CODES,), raised per thing found.
        examples: Shape (MAX_EXAMPLES, 4), filled with (code, source, row, ticks).

    Returns:
        Number of examples filled.
    """
    found = 0
    for i in range(len(flags)):
        flag = flags[i]
        if flag & _IS_OTHER or not flag & _LOCAL_BIT:
            continue
        if local_ns[i] != state[_LOCAL]:
            found = _judge(state, keys, counts, examples, found)
            state[_LOCAL] = local_ns[i]
        state[_ROW], state[_SOURCE] = row[i], source[i]
        kind = flag & _KINDS
        side = 0 if flag & _BUYER else 1
        if kind == _LEVEL:
            if not state[_PROVEN] and not flag & _SNAPSHOT:
                counts[NO_SNAPSHOT] += 1
                if counts[NO_SNAPSHOT] == 1:
                    found = _example(examples, found, NO_SNAPSHOT, source[i], row[i], price[i])
            if flag & _SNAPSHOT:
                state[_PROVEN] = 1
            state[side] = set_level(keys[side], state[side], price[i] if side == 0 else -price[i], qty[i] > 0)
        elif kind == _CLEAR:
            state[side] = 0
        elif kind == _TRADES:
            found = _trade(state, keys, price[i], source[i], row[i], counts, examples, found)
    return found


@njit(cache=True)
def finish(state: Int64s, keys: Int64s, counts: Int64s, examples: Int64s) -> int:  # pragma: no cover - compiled
    """Judge the book after the last row."""
    return int(_judge(state, keys, counts, examples, 0))


@njit(cache=True)
def _example(examples, found, code, source, row, ticks):  # type: ignore[no-untyped-def]  # pragma: no cover
    if found < len(examples):
        examples[found, 0], examples[found, 1] = code, source
        examples[found, 2], examples[found, 3] = row, ticks
        return found + 1
    return found


@njit(cache=True)
def _judge(state, keys, counts, examples, found):  # type: ignore[no-untyped-def]  # pragma: no cover
    """After a packet: crossed or locked, told once until the book is fine again."""
    was, now = state[_WAS], 0
    if state[_BIDS] and state[_ASKS]:
        bid, ask = keys[0, state[_BIDS] - 1], -keys[1, state[_ASKS] - 1]
        now = 2 if bid > ask else 1 if bid == ask else 0
        if now > was:
            code = CROSSED if now == 2 else LOCKED
            counts[code] += 1
            found = _example(examples, found, code, state[_SOURCE], state[_ROW], bid)
    state[_WAS] = now
    return found


@njit(cache=True)
def _trade(state, keys, price, source, row, counts, examples, found):  # type: ignore[no-untyped-def]  # pragma: no cover
    last = state[_TRADE]
    if last and (price >= last * JUMP or price * JUMP <= last):
        counts[PRICE_JUMP] += 1
        found = _example(examples, found, PRICE_JUMP, source, row, price)
    state[_TRADE] = price
    below = state[_BIDS] and price < keys[0, state[_BIDS] - 1]
    above = state[_ASKS] and price > -keys[1, state[_ASKS] - 1]
    if below or above:
        counts[TRADE_OUTSIDE] += 1
        if counts[TRADE_OUTSIDE] == 1:
            found = _example(examples, found, TRADE_OUTSIDE, source, row, price)
    return found
