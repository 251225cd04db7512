"""A deterministic feed of L2 diffs and trades of one BTCUSDT-like perpetual, tick 0.1, lot 0.001.

A latent fair value (stochastic-volatility random walk, about 12 ticks per square-root second) drags a zero-intelligence
book. Packets arrive self-exciting (Hawkes-like). 60 % are depth packets (geometric, 8 level updates on average): the
touch retreats or improves toward the fair value, otherwise levels are added, shrunk or deleted at a heavy-tailed
distance. 40 % are market orders (lognormal size, autocorrelated sign) that print one trade per level and then its diffs
at the same exchange time. One feed latency per packet (2 ms + lognormal ~1 ms); both clocks never fall; the book is
never crossed.

SplitMix64 inside, so numpy's and numba's generators do not matter; another libm might: compare SHA256 first.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core import columns
from tradebot.core.columns import Int64s, MarketColumns
from tradebot.sim.kernels.jit import compiled

TICK_SIZE: Final = 0.1
LOT_SIZE: Final = 0.001
START_PRICE: Final = 600_000
"""Ticks."""
HALF_WIDTH: Final = 131_072
"""Half of the internal ladder, ticks."""
START_NS: Final = 1_700_000_000_000_000_000
SNAPSHOT_LEVELS: Final = 1000
LEFT_OVER: Final = 64
"""Rows a packet may need; generation stops that early."""
DEPTH, TRADE, SNAPSHOT = 1, 2, 4
Array = Any
"""numba arrays: mypy would want casts in every line."""
Neutral = dict[str, NDArray[Any]]
SHA256: Final = {(5_000_000, 42): "b15ae06b9c3fb7dfce3a18703ca03a5f45c85e47ef72733f4dab4df566700115"}
"""(rows asked for, seed) -> hash of the neutral columns."""


@compiled
def uniform(state: Array) -> float:
    """Return a float in (0, 1)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = state[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = bits ^ (bits >> np.uint64(31))
    unit: float = (np.float64(bits >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)
    return unit


@compiled
def normal(state: Array) -> float:
    """Return a standard normal number."""
    return math.sqrt(-2.0 * math.log(uniform(state))) * math.cos(6.283185307179586 * uniform(state))


@compiled
def size(state: Array, median: float, sigma: float) -> int:
    """Return a lognormal quantity in lots, at least 1."""
    return max(1, int(median * math.exp(sigma * normal(state))))


@compiled
def distance(state: Array) -> int:
    """Return a heavy-tailed distance from the touch in ticks."""
    if uniform(state) < 0.6:
        return int(math.log(uniform(state)) / math.log(0.8))
    return min(1500, int(3.0 * (uniform(state) ** -0.9 - 1.0)) + 1)


@compiled
def fill_columns(
    seed: Any, rows: int, exchange: Array, local: Array, kind: Array, side: Array, price: Array, qty: Array
) -> int:
    """Write rows into the columns; return how many."""
    state = np.array([seed], np.uint64)
    base = START_PRICE - HALF_WIDTH
    book = np.zeros((2, 2 * HALF_WIDTH), np.int64)  # bids, asks
    levels = np.zeros(2, np.int64)
    best = np.array([START_PRICE - 1 - base, START_PRICE - base])
    row = 0
    now = START_NS
    for depth in range(SNAPSHOT_LEVELS):
        for s in range(2):
            if depth == 0 or uniform(state) < 0.7:
                i = best[s] - depth if s == 0 else best[s] + depth
                q = size(state, 1500.0 if depth == 0 else 60.0, 1.0)
                book[s, i] = q
                levels[s] += 1
                exchange[row], local[row], kind[row] = now, now + 3_000_000, SNAPSHOT
                side[row], price[row], qty[row] = 1 - 2 * s, i + base, q
                row += 1
    last_local = now + 3_000_000
    fair = float(START_PRICE) - 0.5
    volatility = 0.0
    excitation = 0.0
    previous_sign = 1
    while row < rows - LEFT_OVER:
        rate = 80.0 * (0.55 + excitation)
        dt = -math.log(uniform(state)) / rate
        dt = min(dt, 0.5)
        now += max(1_000, int(dt * 1e9))
        excitation = excitation * math.exp(-dt * 4.0) + 0.02
        volatility = volatility * math.exp(-dt * 0.01) + 0.09 * math.sqrt(dt) * normal(state)
        fair += 12.0 * math.exp(volatility) * math.sqrt(dt) * normal(state)
        first = row
        gap = fair - (0.5 * (best[0] + best[1]) + base)
        if uniform(state) < 0.4:
            buy_probability = 0.5 + 0.2 * previous_sign + 0.28 * math.tanh(gap / 4.0)
            sign = 1 if uniform(state) < buy_probability else -1
            previous_sign = sign
            s = 1 if sign == 1 else 0  # the side consumed
            step = 1 if s == 1 else -1
            left = size(state, 12.0, 1.6)
            if uniform(state) < 0.05:
                left *= 20
            touch = best[s]
            i = touch
            eaten = 0
            while left > 0 and eaten < 12 and levels[s] > 200:
                if book[s, i] > 0:
                    done = min(left, book[s, i])
                    left -= done
                    book[s, i] -= done
                    exchange[row], kind[row], side[row], price[row], qty[row] = now, TRADE, sign, i + base, done
                    row += 1
                    eaten += 1
                    if book[s, i] == 0:
                        levels[s] -= 1
                if left > 0 or book[s, i] == 0:
                    i += step
            traded = row
            for j in range(first, traded):
                exchange[row], kind[row], side[row], price[row] = now, DEPTH, -sign, price[j]
                qty[row] = book[s, price[j] - base]
                row += 1
            i = touch
            while book[s, i] == 0:
                i += step
            best[s] = i
            excitation += 0.03
        else:
            updates = 1 + int(math.log(uniform(state)) / math.log(1.0 - 1.0 / 8.0))
            updates = min(updates, 60)
            for _ in range(updates):
                gap = fair - (0.5 * (best[0] + best[1]) + base)
                s = 0 if uniform(state) < 0.5 else 1
                outward = -1 if s == 0 else 1
                spread = best[1] - best[0]
                toward = gap * -outward  # > 0: the fair value pulls this side inwards
                u = uniform(state)
                if toward < -1.0 and u < 0.65 and levels[s] > 200:
                    i = best[s]  # retreat: pull the touch
                    q = 0 if uniform(state) < 0.8 else book[s, i] // 3
                elif spread > 1 and u < (0.8 if toward > 1.0 else 0.5):
                    room = spread - 1  # improve the touch
                    if toward < room:
                        room = max(1, int(toward))
                    i = best[s] - outward * (1 + int(uniform(state) * room))
                    if (s == 0 and i >= best[1]) or (s == 1 and i <= best[0]):
                        i = best[s] - outward
                    q = size(state, 300.0, 1.0)
                else:
                    d = distance(state)
                    i = best[s] + outward * d
                    current = book[s, i]
                    added = size(state, 250.0 if d == 0 else 40.0, 1.0)
                    w = uniform(state)
                    if current == 0 or w < 0.5:
                        q = current + added
                    elif w < 0.85 or d == 0 or levels[s] <= 200:
                        q = int(current * uniform(state)) + 1
                    else:
                        q = 0
                    if q == current:
                        q = current + 1
                if book[s, i] == 0 and q > 0:
                    levels[s] += 1
                elif book[s, i] > 0 and q == 0:
                    levels[s] -= 1
                book[s, i] = q
                if q > 0 and (i - best[s]) * outward < 0:
                    best[s] = i
                while book[s, best[s]] == 0:
                    best[s] += outward
                exchange[row], kind[row], side[row], price[row], qty[row] = now, DEPTH, 1 - 2 * s, i + base, q
                row += 1
        received = now + 2_000_000 + int(1_000_000 * math.exp(0.5 * normal(state)))
        last_local = max(last_local, received)
        for j in range(first, row):
            local[j] = last_local
    return row


def neutral_columns(rows: int, seed: int) -> Neutral:
    """Generate up to `rows` rows: times ns, kind 1 depth 2 trade 4 snapshot, side +1 bid or buyer, ticks, lots."""
    neutral: Neutral = {
        "exchange_time_ns": np.empty(rows, np.int64),
        "local_time_ns": np.empty(rows, np.int64),
        "kind": np.empty(rows, np.int8),
        "side": np.empty(rows, np.int8),
        "price_ticks": np.empty(rows, np.int64),
        "qty_lots": np.empty(rows, np.int64),
    }
    used = fill_columns(np.uint64(seed), rows, *neutral.values())
    return {name: column[:used] for name, column in neutral.items()}


def fingerprint(neutral: Neutral) -> str:
    """Return the sha256 of the neutral columns."""
    digest = hashlib.sha256()
    for column in neutral.values():
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def market_columns(neutral: Neutral) -> MarketColumns:
    """Turn neutral columns into the simulator's layout; both clocks saw one order."""
    kind, flags = neutral["kind"], np.full(len(neutral["kind"]), columns.BOTH, np.uint8)
    flags |= np.where(kind == TRADE, columns.TRADE, columns.LEVEL).astype(np.uint8)
    flags |= np.where(kind == SNAPSHOT, columns.SNAPSHOT, 0).astype(np.uint8)
    flags |= np.where(neutral["side"] > 0, columns.BUYER, 0).astype(np.uint8)
    times: tuple[Int64s, Int64s] = (neutral["exchange_time_ns"], neutral["local_time_ns"])
    return MarketColumns(*times, flags, neutral["price_ticks"], neutral["qty_lots"])


def synthetic_l2(rows: int, seed: int) -> MarketColumns:
    """Generate a feed and check it where its hash is known."""
    neutral = neutral_columns(rows, seed)
    known = SHA256.get((rows, seed))
    if known is not None and fingerprint(neutral) != known:
        raise RuntimeError(f"the generator made another feed for {rows} rows, seed {seed}: this libm differs")
    return market_columns(neutral)
