from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.history.merge import merge
from backtest.history.rows import DataError, Rows, concat, make_rows
from tradebot.core.columns import AT_EXCHANGE, BOTH


def refuse(rows: Rows, index: int, column: str, text: str) -> DataError:
    return DataError(Path("x"), int(rows.row[index]), column, text)


def pieces(times: list[int], source: int, sizes: list[int]) -> Iterator[Rows]:
    """One stream, cut into pieces of the given sizes again and again (0 is an empty piece)."""
    start, turn = 0, 0
    while start < len(times):
        size = sizes[turn % len(sizes)]
        part = times[start : start + size]
        row = np.arange(start, start + len(part))
        yield make_rows(len(part), local_time_ns=part, flags=BOTH, source=source, row=row)
        start, turn = start + size, turn + 1


streams = st.lists(st.lists(st.integers(0, 30), max_size=40).map(sorted), min_size=1, max_size=5)
sizes = st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any)


@settings(deadline=None)  # the machine may be busy
@given(streams, sizes)
def test_merging_is_a_stable_sort_by_receive_time_however_the_streams_are_cut(
    times: list[list[int]], cut: list[int]
) -> None:
    merged = concat(list(merge([pieces(one, i, cut) for i, one in enumerate(times)], refuse)))

    naive = sorted((ns, source, row) for source, one in enumerate(times) for row, ns in enumerate(one))
    assert list(zip(merged.local_time_ns.tolist(), merged.source.tolist(), merged.row.tolist(), strict=True)) == naive


def test_a_stream_that_goes_back_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match="row 3, column local_time_ns: the receive time goes back"):
        list(merge([pieces([1, 5, 9, 7], 0, [2]), pieces([4], 1, [1])], refuse))


def test_a_row_that_only_the_exchange_sees_stays_behind_the_row_it_follows() -> None:
    flags = np.array([BOTH, AT_EXCHANGE, BOTH], np.uint8)
    split = make_rows(3, local_time_ns=[10, 99, 20], flags=flags, row=[0, 1, 2])
    other = make_rows(2, local_time_ns=[15, 30], flags=BOTH, source=1)
    merged = concat(list(merge([iter([split]), iter([other])], refuse)))

    assert merged.local_time_ns.tolist() == [10, 99, 15, 20, 30]


def test_memory_is_bounded_by_pieces_not_by_streams() -> None:
    held = 0.0

    def endless(source: int) -> Iterator[Rows]:
        nonlocal held
        for start in range(0, 100_000, 100):
            held += 1
            times = np.arange(start, start + 100) * 2 + source
            yield make_rows(100, local_time_ns=times, flags=BOTH, source=source)

    ahead = 0.0
    for rows in merge([endless(0), endless(1), endless(2)], refuse):
        held -= len(rows) / 100
        ahead = max(ahead, held)

    assert ahead < 8
