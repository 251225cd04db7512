"""Any rows, written and read in every format of ours, come back as they were."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.history.load import History
from backtest.history.native_csv import read_csv, write_csv
from backtest.history.parquet import read_parquet, write_parquet
from backtest.history.rows import (
    BBO,
    COLUMNS,
    FUNDING_RATE,
    MARK_PRICE,
    DataError,
    Market,
    Rows,
    concat,
    make_rows,
    market_columns,
)
from tests.support.history_files import MARKET, OTHER_MARKET, T0, make_market, write_native_csv
from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, BOTH, BUYER, CLEAR, LEVEL, SNAPSHOT, TRADE

MARKETS = (MARKET, OTHER_MARKET)
KINDS = (LEVEL, LEVEL | SNAPSHOT, CLEAR, TRADE, BBO, MARK_PRICE, FUNDING_RATE)


@st.composite
def any_rows(draw: st.DrawFn) -> Rows:
    count = draw(st.integers(1, 30))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=count, max_size=count))
    columns: dict[str, list[int]] = {name: [] for name in COLUMNS}
    for number, kind in enumerate(kinds, 1):
        empty = kind == CLEAR
        columns["flags"].append(kind | draw(st.sampled_from((0, BUYER))) | draw(st.sampled_from((1, 2, 3))) << 4)
        columns["price_ticks"].append(0 if empty else draw(st.integers(1, 2**40)))
        least = 1 if kind == TRADE else 0
        columns["qty_lots"].append(0 if empty else draw(st.integers(least, 2**40)))
        columns["id"].append(draw(st.integers(0, 2**62)))
        columns["instrument"].append(draw(st.integers(0, 1)))
        columns["source"].append(0)
        columns["row"].append(number)
        for name in ("exchange_time_ns", "local_time_ns"):
            columns[name].append(T0 + draw(st.integers(0, 2**50)))
    return make_rows(count, **columns)


@settings(max_examples=60, deadline=None)
@given(any_rows())
def test_parquet_and_csv_give_back_every_column(rows: Rows) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed, text = Path(folder, "a.parquet"), Path(folder, "a.csv")
        assert write_parquet(packed, [rows], MARKETS) == write_csv(text, [rows], MARKETS) == len(rows)

        assert concat(list(read_parquet(packed, MARKETS))).equals(rows)
        assert concat(list(read_csv(text, MARKETS))).equals(rows.replace(row=rows.row + 1))


def test_the_clock_bits_are_those_of_the_layout() -> None:
    assert (AT_EXCHANGE, AT_LOCAL, BOTH) == (1 << 4, 2 << 4, 3 << 4)


def test_parquet_with_the_columns_of_our_csv_in_other_types_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv, parquet

    made = make_market(300)
    text = write_native_csv(tmp_path / "a.csv", made)
    table = csv.read_csv(text)
    assert table.schema.field("price").type == pa.float64()
    parquet.write_table(table, tmp_path / "a.parquet")
    found = concat(list(read_parquet(tmp_path / "a.parquet", [MARKET])))

    expected = concat(list(read_csv(text, [MARKET])))
    assert found.replace(row=found.row + 1).equals(expected)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("qty_lots", -5, "row 9, column qty_lots: the quantity is negative"),
        ("price_ticks", 0, "row 9, column price_ticks: the price is zero"),
        ("flags", 0, "row 9, column flags: 0 is not a value of this column"),
        ("instrument", 7, "row 9, column instrument: 7 is not a value of this column"),
        ("local_time_ns", 12, "row 9, column local_time_ns: 12 is not a value of this column"),
    ],
)
def test_a_bad_value_in_parquet_names_row_and_column(tmp_path: Path, column: str, value: int, says: str) -> None:
    rows = make_rows(
        20, exchange_time_ns=T0, local_time_ns=T0, flags=TRADE | BOTH, price_ticks=5, qty_lots=5, row=np.arange(20)
    )
    getattr(rows, column)[8] = value
    write_parquet(tmp_path / "a.parquet", [rows], [MARKET])

    with pytest.raises(DataError, match=says):
        list(read_parquet(tmp_path / "a.parquet", [MARKET]))


def test_a_parquet_file_that_is_cut_off_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    write_parquet(path, [make_rows(5, flags=TRADE | BOTH)], [MARKET])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        History.of([path], [MARKET]).load()

    parquet.write_table(pa.table({"exchange_time_ns": [1]}), path)
    with pytest.raises(DataError, match="column local_time_ns: is missing"):
        History.of([path], [MARKET]).load()


def test_steps_of_another_scale_than_the_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, [make_rows(5, flags=TRADE | BOTH)], [MARKET])
    other = Market(MARKET.instrument_id, MARKET.venue_symbol, OTHER_MARKET.tick_size, MARKET.lot_size)

    with pytest.raises(DataError, match=r"has steps 0.1 and 0.001 here, not 0.01 and 0.001: mixed scales"):
        History.of([path], [other]).load()


def test_what_the_simulator_gets_has_neither_quotes_nor_facts() -> None:
    flags = np.array([LEVEL | BOTH, BBO | BOTH, MARK_PRICE | BOTH, TRADE | BOTH, FUNDING_RATE | BOTH], np.uint8)
    columns = market_columns(make_rows(5, flags=flags), 0)

    assert columns.flags.tolist() == [LEVEL | BOTH, TRADE | BOTH]
