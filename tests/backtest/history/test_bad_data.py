"""Every bad thing is refused with the file, the row and the column, and nothing of the file is handed out as loaded."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from backtest.history.load import History
from backtest.history.native_csv import read_csv
from backtest.history.rows import DataError
from tests.support.history_files import (
    MARKET,
    make_market,
    write_binance,
    write_database,
    write_frames,
    write_native_csv,
    write_tardis,
)
from tradebot.core.errors import ConfigError

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


def edited(path: Path, old: str, new: str, count: int = 1) -> Path:
    """Replace text in a plain or gzip file."""
    packed = path.suffix == ".gz"
    text = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode()
    assert old in text
    data = text.replace(old, new, count).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


def frames(folder: Path, old: str, new: str) -> Path:
    return edited(write_frames(folder / "a.log", make_market(300), futures=False), old, new)


def futures_archive(folder: Path, old: str, new: str) -> Path:
    path = folder / "BTCUSDT-trades-2024-01-01.csv"
    return edited(write_binance(path, make_market(300), header=True, unit_ns=1_000_000), old, new)


def book_file(folder: Path, old: str, new: str) -> Path:
    return edited(write_tardis(folder, make_market(300))[0], old, new)


@pytest.mark.parametrize(
    ("write", "old", "new", "says"),
    [
        (book_file, ",BTCUSDT,", ",ETHUSDT,", "row 2, column symbol: 'ETHUSDT' is none of 'btcusdt'"),
        (book_file, ",true,", ",maybe,", "row 2, column is_snapshot: 'maybe' is none of"),
        (book_file, ",59999.", ",-59999.", "column price: the price is negative"),
        (book_file, ",1760000000000000,", ",1760000000000,", "column timestamp: 1760000000000 counts ms"),
        (book_file, "timestamp,local", "time,local", "row 1: not a known format"),
        (futures_archive, ",1760000", ",1760000000000", "column time: "),
        (futures_archive, ",True\n", ",1\n", "column is_buyer_maker: '1' is none of 'true'"),
        (futures_archive, "id,price,qty,quote_qty", "id,price", "row 1: 4 columns, expected id,price"),
        (frames, '"s":"BTCUSDT"', '"s":"ETHUSDT"', "row 1, column s: 'ETHUSDT' on the stream of BTCUSDT"),
        (frames, '"p":"6', '"p":"-6', "column p: '-6"),
        (frames, '"q":"0.', '"q":"nan', "column q: 'nan"),
        (frames, '"e":"trade","E":', '"e":"trade","E":"x', "column frame: not a frame of the venue's documentation"),
        (frames, "\n176000", "\n999176000", ": not a time"),
        (frames, "\n1760000000003000000 {", "\n1760000000003 {", "row 2, column receive time: 1760000000003 counts ms"),
        (frames, '"U":1001,', '"U":9001,', "column U, u: first id 9001 and last id 1002 are not in order"),
        (frames, '"bids": [["', '"bids": [["x', "row 2, column bids: 'x"),
    ],
)
def test_a_bad_value_in_a_foreign_format_names_row_and_column(
    tmp_path: Path, write: Callable[[Path, str, str], Path], old: str, new: str, says: str
) -> None:
    path = write(tmp_path, old, new)
    with pytest.raises(DataError) as caught:
        History.of([path], [MARKET]).load()

    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_file_about_another_instrument_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write_binance(tmp_path / "ETHUSDT-trades-2024-01-01.zip", make_market(300), header=True, unit_ns=1_000_000)

    with pytest.raises(DataError, match="the file is about ETHUSDT, asked for was BTCUSDT: wrong instrument"):
        History.of([path], [MARKET]).load()


@pytest.mark.parametrize("cut", [10, 400])
def test_a_truncated_archive_is_refused_whatever_was_readable(tmp_path: Path, cut: int) -> None:
    made = make_market(3_000)
    packed = [
        write_frames(tmp_path / "a.log.gz", made, futures=True),
        write_tardis(tmp_path, made)[0],
        write_binance(tmp_path / "BTCUSDT-trades-2024-01-01.zip", made, header=True, unit_ns=1_000_000),
    ]
    for path in packed:
        path.write_bytes(path.read_bytes()[:-cut])
        history = History.of([path], [MARKET])

        with pytest.raises(ConfigError, match="is it complete"):
            history.load()
        assert [finding.check for finding in history.check().findings if finding.check == "unreadable"]
        with pytest.raises(ConfigError):
            history.convert(tmp_path / "out.parquet")
        assert not [one.name for one in tmp_path.iterdir() if "out" in one.name]


def test_a_bad_amount_or_damage_in_the_database_names_table_and_row(tmp_path: Path) -> None:
    path = write_database(tmp_path / "tradebot.db", make_market(300))
    db = sqlite3.connect(path)
    db.execute("UPDATE trades SET px = '60000.05' WHERE id = (SELECT max(id) FROM trades)")
    db.commit()
    (count,) = db.execute("SELECT count(*) FROM trades").fetchone()
    db.close()
    with pytest.raises(DataError, match=rf"row {count}, column binance:BTC-USDT trades: row \d+: '60000.05' is not on"):
        History.of([path]).load()

    broken = tmp_path / "broken.db"
    broken.write_bytes(path.read_bytes()[:6_000])
    with pytest.raises(DataError, match=r"broken\.db"):
        History.of([broken]).load()
