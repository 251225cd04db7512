"""How long a request takes to the exchange and a response back: constant, recorded, or drawn from a distribution."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, Words, words, words_at

CONSTANT: Final = 0
RECORDED: Final = 1
SAMPLED: Final = 2


@compiled
def uniform(w: Words) -> float:
    """Return the next number in [0, 1) (SplitMix64)."""
    state = np.uint64(w[at.RANDOM]) + np.uint64(0x9E3779B97F4A7C15)
    w[at.RANDOM] = np.int64(state)  # type: ignore[call-overload]
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return float(np.float64(state >> np.uint64(11)) * (1.0 / 9007199254740992.0))


@compiled
def sampled(w: Words, table: int) -> int:
    """Draw from quantiles at equal steps of probability, linear between them."""
    quantiles = words_at(table)
    place = uniform(w) * (w[at.TABLE_ROWS] - 1)
    below = int(place)
    low = quantiles[below]
    return low + int((place - below) * (quantiles[below + 1] - low))


@compiled
def between(x: int, x1: int, y1: int, x2: int, y2: int) -> int:
    """Return y at x on the line through two points; the part is cut toward zero."""
    return int((y2 - y1) / (x2 - x1) * (x - x1)) + y1


@compiled
def recorded_entry(w: Words, sent_ns: int) -> int:
    """Interpolate the recorded entry latency; negative: the venue refused then, after that long."""
    sent = words_at(w[at.ENTRY_TABLE])
    reached = words_at(w[at.RECORDED_EXCHANGE])
    answered = words_at(w[at.RECORDED_RESPONSE])
    last = w[at.TABLE_ROWS] - 1
    row = w[at.ENTRY_CURSOR]
    while row < last and sent[row + 1] <= sent_ns:
        row += 1
    w[at.ENTRY_CURSOR] = row
    if sent_ns < sent[0] or row == last:
        if reached[row] <= 0:
            return sent[row] - answered[row]
        return reached[row] - sent[row]
    if reached[row] <= 0 or reached[row + 1] <= 0:
        return -between(sent_ns, sent[row], answered[row] - sent[row], sent[row + 1], answered[row + 1] - sent[row + 1])
    return between(sent_ns, sent[row], reached[row] - sent[row], sent[row + 1], reached[row + 1] - sent[row + 1])


@compiled
def recorded_response(w: Words, happened_ns: int) -> int:
    """Interpolate the recorded response latency over the rows that reached the exchange."""
    reached = words_at(w[at.RECORDED_EXCHANGE])
    answered = words_at(w[at.RECORDED_RESPONSE])
    rows = w[at.TABLE_ROWS]
    row = w[at.RESPONSE_CURSOR]
    following = row
    while True:
        following = row + 1
        while following < rows and reached[following] <= 0:
            following += 1
        if following >= rows or reached[following] > happened_ns:
            break
        row = following
    w[at.RESPONSE_CURSOR] = row
    if happened_ns < reached[row] or following >= rows:
        return answered[row] - reached[row]
    return between(
        happened_ns, reached[row], answered[row] - reached[row],
        reached[following], answered[following] - reached[following],
    )  # fmt: skip


@compiled
def entry_latency(market: Handle, sent_ns: int) -> int:
    """Return how long a request takes; negative when the venue refuses without looking, known after that long."""
    w = words(market)
    if w[at.LATENCY_MODEL] == CONSTANT:
        return w[at.ENTRY_LATENCY]
    if w[at.LATENCY_MODEL] == SAMPLED:
        return sampled(w, w[at.ENTRY_TABLE])
    return recorded_entry(w, sent_ns)


@compiled
def response_time(market: Handle, happened_ns: int) -> int:
    """Return when the strategy learns of what happens at the exchange now."""
    w = words(market)
    if w[at.LATENCY_MODEL] == CONSTANT:
        return happened_ns + w[at.RESPONSE_LATENCY]
    if w[at.LATENCY_MODEL] == SAMPLED:
        return happened_ns + sampled(w, w[at.RESPONSE_TABLE])
    return happened_ns + recorded_response(w, happened_ns)
