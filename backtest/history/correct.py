"""Correcting what clocks did to a recording. Explicit steps; each says what it changed.

Negative feed latency: when a row was received before it happened, the two clocks disagree. All receive times of the
instrument are shifted by the largest such error plus a base latency, as hftbacktest does. Then rows are put in order
for each clock: where exchange and receive order agree a row stays one row, elsewhere it is split into one row per
clock. Sources: hftbacktest `correct_local_timestamp`, `correct_event_order` (documentation "Data", read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.history.merge import Refuse
from backtest.history.rows import Rows, concat
from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, BOTH, Int64s

DISORDER_NS: Final = 60_000_000_000
"""A row may come so late behind a newer one of either clock; a later one is refused, as memory is bounded."""
MAX_HELD_ROWS: Final = 8_000_000
"""Rows held while they may still have to be put in another order; 500 MiB."""


@dataclass(slots=True)
class Corrections:
    """What was changed. All zero = the data were in order."""

    shifted_ns: int = 0
    """Added to every receive time of this instrument."""
    rows_shifted: int = 0
    rows_split: int = 0
    """Rows that now are two, one per clock."""
    rows_reordered: int = 0
    """Rows of a single file whose receive time went back, moved to their place."""


def smallest_latency(chunks: Iterable[Rows]) -> int | None:
    """Return the smallest receive time minus exchange time; None when there is no row."""
    found = [int((rows.local_time_ns - rows.exchange_time_ns).min()) for rows in chunks if len(rows)]
    return min(found, default=None)


def shift_for(smallest_ns: int | None, base_latency_ns: int) -> int:
    """Return what has to be added to the receive times: nothing unless a row was received before it happened."""
    return 0 if smallest_ns is None or smallest_ns >= 0 else base_latency_ns - smallest_ns


def shifted(chunks: Iterable[Rows], shift_ns: int, done: Corrections) -> Iterator[Rows]:
    """Yield rows with later receive times."""
    done.shifted_ns = shift_ns
    for rows in chunks:
        if shift_ns:
            done.rows_shifted += len(rows)
            rows = rows.replace(local_time_ns=rows.local_time_ns + shift_ns)
        yield rows


def in_receive_order(chunks: Iterable[Rows], refuse: Refuse, done: Corrections) -> Iterator[Rows]:
    """Yield the rows of one file sorted by receive time; equal times keep their order."""

    def sort(rows: Rows) -> Rows:
        if (rows.flags & BOTH != BOTH).any():  # split already, so in order
            return rows
        order = np.argsort(rows.local_time_ns, kind="stable")
        done.rows_reordered += int((order != np.arange(len(rows))).sum())
        return rows.take(order)

    yield from _in_safe_pieces(chunks, ("local_time_ns",), refuse, sort)


def in_order_of_both_clocks(chunks: Iterable[Rows], refuse: Refuse, done: Corrections) -> Iterator[Rows]:
    """Yield one instrument's rows so that each clock sees its own order; see the module."""

    def split(rows: Rows) -> Rows:
        before = len(rows)
        rows = split_by_clock(rows)
        done.rows_split += len(rows) - before
        return rows

    yield from _in_safe_pieces(chunks, ("exchange_time_ns", "local_time_ns"), refuse, split)


def split_by_clock(rows: Rows) -> Rows:
    """Return rows in which each clock's rows are in that clock's order; rows on whose place both agree stay whole."""
    exchange_places = np.flatnonzero(rows.flags & AT_EXCHANGE != 0)
    local_places = np.flatnonzero(rows.flags & AT_LOCAL != 0)
    by_exchange = exchange_places[np.argsort(rows.exchange_time_ns[exchange_places], kind="stable")]
    by_local = local_places[np.argsort(rows.local_time_ns[local_places], kind="stable")]
    if len(by_exchange) == len(by_local) == len(rows) and np.array_equal(by_exchange, by_local):
        return rows if _is_sorted(by_exchange) else rows.take(by_exchange)
    order, clocks = _interleave(by_exchange, by_local, rows.exchange_time_ns, rows.local_time_ns)
    found = rows.take(order)
    return found.replace(flags=(found.flags & np.uint8(~BOTH & 0xFF)) | clocks)


@njit(cache=True)
def _interleave(
    by_exchange: Int64s, by_local: Int64s, exchange_ns: Int64s, local_ns: Int64s
) -> tuple[Int64s, NDArray[np.uint8]]:  # pragma: no cover - compiled
    """Walk both orders at once; a row stays whole where both are at it, else the one that is due first goes alone."""
    total_e, total_l = len(by_exchange), len(by_local)
    order = np.empty(total_e + total_l, np.int64)
    clocks = np.empty(total_e + total_l, np.uint8)
    count, e, x = 0, 0, 0
    while e < total_e or x < total_l:
        if e == total_e:
            take_exchange = False
        elif x == total_l:
            take_exchange = True
        else:
            a, b = by_exchange[e], by_local[x]
            if a == b:
                order[count], clocks[count] = a, AT_EXCHANGE | AT_LOCAL
                count, e, x = count + 1, e + 1, x + 1
                continue
            if exchange_ns[a] != exchange_ns[b]:
                take_exchange = exchange_ns[a] < exchange_ns[b]
            else:
                take_exchange = local_ns[a] <= local_ns[b]
        if take_exchange:
            order[count], clocks[count] = by_exchange[e], AT_EXCHANGE
            e += 1
        else:
            order[count], clocks[count] = by_local[x], AT_LOCAL
            x += 1
        count += 1
    return order[:count], clocks[:count]


def _in_safe_pieces(chunks: Iterable[Rows], clocks: tuple[str, ...], refuse: Refuse, work: Any) -> Iterator[Rows]:
    """Cut the stream where nothing behind belongs before, and do the work on each piece; like doing it on the whole."""
    held: list[Rows] = []
    held_rows = 0
    done_ns = dict.fromkeys(clocks, -(2**62))
    for rows in chunks:
        if not len(rows):
            continue
        for name in clocks:
            late = np.flatnonzero(getattr(rows, name) <= done_ns[name])
            if len(late):
                raise refuse(rows, int(late[0]), name, f"more than {DISORDER_NS // 10**9} s behind a row before it")
        held.append(rows)
        held_rows += len(rows)
        if held_rows > MAX_HELD_ROWS:
            raise refuse(rows, 0, clocks[0], f"more than {MAX_HELD_ROWS} rows would have to be held to order them")
        whole = concat(held)
        cut = _safe_cut(whole, clocks)
        held = [whole.take(slice(cut, None))]
        held_rows -= cut
        if cut:
            piece = whole.take(slice(0, cut))
            done_ns = {name: int(getattr(piece, name).max()) for name in clocks}
            yield work(piece)
    if held_rows:
        yield work(concat(held))


def _safe_cut(rows: Rows, clocks: tuple[str, ...]) -> int:
    """Return the last place where, in every clock, all before is older than all behind and by DISORDER_NS older than
    the newest row: nothing that may still come belongs before it.
    """
    good = np.ones(len(rows), np.bool_)
    good[0] = False
    for name in clocks:
        times = getattr(rows, name)
        newest = np.maximum.accumulate(times)
        oldest_behind = np.minimum.accumulate(times[::-1])[::-1]
        good[1:] &= (newest[:-1] < oldest_behind[1:]) & (newest[:-1] < newest[-1] - DISORDER_NS)
    places = np.flatnonzero(good)
    return int(places[-1]) if len(places) else 0


def _is_sorted(places: Int64s) -> bool:
    return bool((np.diff(places) > 0).all())
