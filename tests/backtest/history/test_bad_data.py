"""Every bad thing is refused with the file, the row and the column, and nothing of the file is handed out as loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.history.native_csv import read_csv
from backtest.history.rows import DataError
from tests.support.history_files import MARKET, make_market, write_native_csv

COLUMNS = "exchange_time_ns,local_time_ns,instrument,kind,side,price,qty,id,clocks".split(",")


def spoil(path: Path, row: int, column: str, value: str) -> None:
    """Replace one value; `row` counts lines from 1, as messages do."""
    lines = path.read_text().splitlines()
    cells = lines[row - 1].split(",")
    cells[COLUMNS.index(column)] = value
    lines[row - 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("price", "nan", "'nan' is not a number"),
        ("price", "", "'' is not a number"),
        ("price", "-60000.1", "the price is negative"),
        ("price", "60000.15", "'60000.15' is not on a step of 0.1"),
        ("price", "60000.1000000001", "is not on a step of 0.1"),
        ("price", "1e40", "is too large"),
        ("price", "99999999999999999", "is too large"),
        ("qty", "NaN", "'NaN' is not a number"),
        ("qty", "inf", "'inf' is not a number"),
        ("qty", "-0.5", "the quantity is negative"),
        ("qty", "0.0005", "is not on a step of 0.001"),
        ("instrument", "ETHUSDT", "'ETHUSDT' is none of 'binance:btc-usdt', 'btcusdt'"),
        ("kind", "delta", "'delta' is none of 'depth'"),
        ("side", "both", "'both' is none of 'buy'"),
        ("exchange_time_ns", "1760000000123", "1760000000123 counts ms, the rows before it ns: mixed time scales"),
        ("local_time_ns", "5", "5 is not a time"),
        ("local_time_ns", "1.76e18", "'1.76e18' is not a whole number"),
        ("id", "x", "'x' is not a whole number"),
    ],
)
def test_a_bad_value_names_file_row_and_column(tmp_path: Path, column: str, value: str, says: str) -> None:
    path = write_native_csv(tmp_path / "bad.csv", make_market(200))
    spoil(path, 57, column, value)

    with pytest.raises(DataError) as caught:
        list(read_csv(path, [MARKET]))
    assert str(caught.value).startswith(f"{path}: row 57, column {column}: ")
    assert says in str(caught.value)


def test_a_trade_without_quantity_is_refused_and_a_level_without_is_a_deletion(tmp_path: Path) -> None:
    made = make_market(200)
    path = write_native_csv(tmp_path / "bad.csv", made)
    row = next(i for i, fact in enumerate(made.facts) if fact.kind == "trade") + 2
    spoil(path, row, "qty", "0")

    with pytest.raises(DataError, match=f"row {row}, column qty: the quantity is zero"):
        list(read_csv(path, [MARKET]))


def test_a_line_that_is_cut_off_names_its_row(tmp_path: Path) -> None:
    path = write_native_csv(tmp_path / "bad.csv", make_market(200))
    path.write_bytes(path.read_bytes()[:-30])
    last = len(path.read_text().splitlines())

    with pytest.raises(DataError, match=rf"row {last}: \d columns, expected 9: is the file cut off"):
        list(read_csv(path, [MARKET]))
