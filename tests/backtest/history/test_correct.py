from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.history import correct
from backtest.history.correct import Corrections, in_order_of_both_clocks, in_receive_order, split_by_clock
from backtest.history.load import History
from backtest.history.rows import DataError, Market, Rows, concat, make_rows
from tests.backtest.history.test_merge import refuse
from tests.support.history_files import MARKET, MS, make_market, write_native_csv
from tests.support.realdata import real_data_file
from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, BOTH

Stamped = tuple[int, int]


def rows_of(stamps: list[Stamped]) -> Rows:
    exchange, local = ([pair[i] for pair in stamps] for i in (0, 1))
    flags = np.full(len(stamps), BOTH, np.uint8)
    return make_rows(
        len(stamps), exchange_time_ns=exchange, local_time_ns=local, flags=flags, row=np.arange(len(stamps))
    )


def naive_split(stamps: list[Stamped]) -> list[tuple[int, int]]:
    """(row, clocks), the documented way: walk the rows by exchange time and by local time at once."""
    waiting_exchange = sorted(range(len(stamps)), key=lambda i: stamps[i][0])
    waiting_local = sorted(range(len(stamps)), key=lambda i: stamps[i][1])
    found = []
    while waiting_exchange or waiting_local:
        if waiting_exchange and waiting_local and waiting_exchange[0] == waiting_local[0]:
            found.append((waiting_exchange.pop(0), BOTH))
            waiting_local.pop(0)
        elif not waiting_local or (waiting_exchange and stamps[waiting_exchange[0]] <= stamps[waiting_local[0]]):
            found.append((waiting_exchange.pop(0), AT_EXCHANGE))
        else:
            found.append((waiting_local.pop(0), AT_LOCAL))
    return found


stamps = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30)


@settings(deadline=None)  # the first call compiles
@given(stamps)
def test_splitting_equals_the_documented_walk_over_both_orders(pairs: list[Stamped]) -> None:
    rows = split_by_clock(rows_of(pairs))

    assert list(zip(rows.row.tolist(), rows.flags.tolist(), strict=True)) == naive_split(pairs)


@settings(deadline=None)  # the first call compiles
@given(stamps)
def test_after_it_each_clock_sees_its_own_order_and_every_row_once(pairs: list[Stamped]) -> None:
    rows = split_by_clock(rows_of(pairs))

    for clock, times in ((AT_EXCHANGE, rows.exchange_time_ns), (AT_LOCAL, rows.local_time_ns)):
        seen = rows.flags & clock != 0
        assert (np.diff(times[seen]) >= 0).all()
        assert sorted(rows.row[seen].tolist()) == list(range(len(pairs)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), max_size=60), st.integers(1, 9))
def test_in_pieces_it_is_as_on_the_whole(pairs: list[Stamped], size: int) -> None:
    stamped = sorted((at, at + late) for at, late in pairs)
    stamped.sort(key=lambda pair: pair[1] // 20)
    rows = rows_of(stamped)
    chunks = [rows.take(slice(i, i + size)) for i in range(0, len(rows), size)]
    done = Corrections()
    original, correct.DISORDER_NS = correct.DISORDER_NS, 100  # type: ignore[misc]
    try:
        found = concat(list(in_order_of_both_clocks(chunks, refuse, done)))
    finally:
        correct.DISORDER_NS = original  # type: ignore[misc]

    assert found.equals(split_by_clock(rows))
    assert done.rows_split == len(found) - len(rows)


def test_receive_times_are_shifted_by_the_largest_error_and_the_base_latency(tmp_path: Path) -> None:
    made = make_market(300)
    for fact in made.facts:
        fact.local_ns -= 1_000 * MS
    history = History.of([write_native_csv(tmp_path / "a.csv", made)], [MARKET])
    smallest = min(fact.local_ns - fact.exchange_ns for fact in made.facts)

    assert [one.check for one in history.check().findings if one.severity.value == "error"] == ["negative_latency"]
    history.corrected, history.base_latency_ns = True, 2 * MS
    rows = concat(list(history.stream()))
    assert (rows.local_time_ns - rows.exchange_time_ns).min() == 2 * MS
    done = history.corrections[MARKET.instrument_id]
    assert (done.shifted_ns, done.rows_shifted) == (2 * MS - smallest, len(made.facts))
    assert history.check().errors == 0


def test_rows_of_one_file_received_out_of_order_are_put_in_order_and_counted() -> None:
    done = Corrections()
    found = concat(list(in_receive_order([rows_of([(1, 10), (2, 30)]), rows_of([(3, 20), (4, 40)])], refuse, done)))

    assert found.local_time_ns.tolist() == [10, 20, 30, 40]
    assert done.rows_reordered == 2


def test_disorder_beyond_the_bound_is_refused_with_its_row() -> None:
    minute = 60_000_000_000
    stamped = [(i * minute, i * minute) for i in range(5)] + [(minute // 2, minute // 2)]
    chunks = [rows_of(stamped).take(slice(i, i + 1)) for i in range(len(stamped))]

    with pytest.raises(DataError, match="row 5, column exchange_time_ns: more than 60 s behind a row before it"):
        list(in_order_of_both_clocks(chunks, refuse, Corrections()))


@pytest.mark.real
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("folder", "names", "market", "rows", "shift_ns", "split"),
    [
        (
            "binance_usdm",
            ["BTCUSDT-ws-20230404T2358.us", "BTCUSDT-ws-20230405T0000.us"],
            Market("x", "BTCUSDT", Decimal("0.1"), Decimal("0.001")),
            *(427_570, 28_007_000, 12_935),
        ),
        pytest.param(
            "binance_spot",
            ["BTCUSDT-ws-20240808T2354", "BTCUSDT-ws-20240809T0000"],
            Market("x", "BTCUSDT", Decimal("0.01"), Decimal("0.00001")),
            *(466_348, 1_276_159_997, 3_139),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "binance_usdm",
            ["ETHUSDT-ws-20240718T2357", "ETHUSDT-ws-20240719T0000"],
            Market("x", "ETHUSDT", Decimal("0.01"), Decimal("0.001")),
            *(465_257, 1_523_792_756, 33_740),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "binance_coinm",
            ["BTCUSD_PERP-ws-20240808T2354", "BTCUSD_PERP-ws-20240809T0000"],
            Market("x", "BTCUSD_PERP", Decimal("0.1"), Decimal(1)),
            *(763_352, 1_269_491_001, 3_250),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_real_recordings_have_no_gap_no_crossed_book_and_clocks_that_can_be_corrected(
    folder: str, names: list[str], market: Market, rows: int, shift_ns: int, split: int
) -> None:
    paths = [real_data_file(f"history/{folder}/{name}.log.gz") for name in names]
    history = History.of(paths, [market])
    history.corrected = True
    report = history.check()

    assert report.errors == 0
    assert not {"crossed", "locked", "no_snapshot"} & {finding.check for finding in report.findings}
    assert not any("gap" in note or "proves" in note for note in report.notes)
    assert history.corrections["x"] == Corrections(shift_ns, rows, split, 0)
    assert report.rows == rows + split
