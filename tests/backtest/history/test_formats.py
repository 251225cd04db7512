"""The same generated market read from every format gives the same facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from backtest.history import parquet
from backtest.history.column_folder import open_columns
from backtest.history.hftbacktest import read_npz
from backtest.history.load import History
from backtest.history.rows import BBO, FUNDING_RATE, OTHER, DataError, Rows, concat
from backtest.history.sources import Format, ReadOptions, detect
from tests.support.history_files import (
    MARKET,
    MS,
    OTHER_MARKET,
    T0,
    MadeMarket,
    make_market,
    write_binance,
    write_database,
    write_frames,
    write_hftbacktest,
    write_native_csv,
    write_tardis,
)
from tradebot.core.columns import BUYER, CLEAR, COLUMNS, LEVEL, SNAPSHOT, TRADE

KINDS = {"depth": LEVEL, "snapshot": LEVEL | SNAPSHOT, "clear": CLEAR, "trade": TRADE}
Fact = tuple[int, int, int, int, int]


def facts(rows: Rows) -> list[Fact]:
    """(exchange time, local time, kind and side, ticks, lots) of each row."""
    flags = rows.flags & 0xCF
    columns = (rows.exchange_time_ns, rows.local_time_ns, flags, rows.price_ticks, rows.qty_lots)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def made_facts(made: MadeMarket, kinds: Iterable[str] = KINDS) -> list[Fact]:
    return [
        (f.exchange_ns, f.local_ns, KINDS[f.kind] | (BUYER if f.side == "buy" else 0), f.ticks, f.lots)
        for f in made.facts
        if f.kind in kinds
    ]


def whole(paths: list[Path], options: ReadOptions | None = None) -> Rows:
    return concat(list(History.of(paths, [MARKET], options).stream()))


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (lambda folder, made: [write_native_csv(folder / "a.csv", made)], Format.CSV),
        (lambda folder, made: [write_hftbacktest(folder / "a.npz", made)], Format.HFTBACKTEST),
        (lambda folder, made: [write_hftbacktest(folder / "a.npz", made, compressed=True)], Format.HFTBACKTEST),
        (lambda folder, made: [write_frames(folder / "a.log", made, futures=False)], Format.FRAMES),
        (lambda folder, made: [write_frames(folder / "a.log.gz", made, futures=True)], Format.FRAMES),
    ],
)
def test_a_format_with_book_and_trades_reads_back_whole(
    tmp_path: Path, write: Callable[[Path, MadeMarket], list[Path]], kind: Format
) -> None:
    made = make_market(2_000)
    paths = write(tmp_path, made)

    assert detect(paths[0]) is kind
    assert facts(whole(paths)) == made_facts(made)


def test_tardis_files_of_book_and_trades_merge_to_one_market(tmp_path: Path) -> None:
    made = make_market(2_000)
    paths = list(write_tardis(tmp_path, made))
    rows = whole(paths)

    assert [detect(path) for path in paths] == [Format.TARDIS, Format.TARDIS]
    expected = [(a // 1000 * 1000, b // 1000 * 1000, *rest) for a, b, *rest in made_facts(made)]
    assert sorted(facts(rows)) == sorted(expected)
    assert (np.diff(rows.local_time_ns) >= 0).all()


def test_tardis_updates_before_the_first_snapshot_are_left_out_and_counted(tmp_path: Path) -> None:
    head = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
    row = "b,BTCUSDT,1760000000000000,1760000000003000,{},{},{},{}"
    rows = [
        row.format("false", "bid", "59999.0", "1"),
        row.format("true", "bid", "60000.0", "1"),
        row.format("false", "ask", "60000.2", "0"),
    ]
    path = tmp_path / "x.csv"
    path.write_text("\n".join([head, *rows, *rows, ""]))
    report = History.of([path], [MARKET]).check()
    kinds = whole([path]).kinds.tolist()

    assert kinds == [CLEAR, CLEAR, LEVEL, LEVEL, LEVEL, CLEAR, CLEAR, LEVEL, LEVEL]
    assert report.notes == {"book updates before the first snapshot, left out": 1}


def test_tardis_quotes_are_two_rows_each(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    head = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
    path.write_text(f"{head}\nb,BTCUSDT,1760000000000000,1760000000003000,2,60000.2,60000.1,1.5\n")

    assert facts(whole([path])) == [
        (T0, T0 + 3 * MS, BBO | BUYER, 600_001, 1_500),
        (T0, T0 + 3 * MS, BBO, 600_002, 2_000),
    ]


@pytest.mark.parametrize(
    ("name", "header", "unit_ns"),
    [
        ("BTCUSDT-trades-2025-10-09.zip", False, 1_000),
        ("BTCUSDT-trades-2024-10-09.csv", False, MS),
        ("BTCUSDT-trades-2025-10.zip", True, MS),
    ],
)
def test_binance_trades_have_an_assumed_latency(tmp_path: Path, name: str, header: bool, unit_ns: int) -> None:
    made = make_market(1_000)
    path = write_binance(tmp_path / name, made, header=header, unit_ns=unit_ns)
    rows = whole([path], ReadOptions(feed_latency_ns=7 * MS))

    expected = [(at, at + 7 * MS, *rest) for at, _, *rest in made_facts(made, ["trade"])]
    assert facts(rows) == expected


def test_binance_aggregate_trades_and_book_tickers(tmp_path: Path) -> None:
    trades = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv"
    trades.write_text(
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
        "5,60000.1,0.5,9,9,1760000000000,true\n"
    )
    quotes = tmp_path / "BTCUSDT-bookTicker-2024-01-01.csv"
    quotes.write_text(
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
        "7,60000.0,1,60000.1,2,1760000000000,1760000000001\n"
    )

    assert facts(whole([trades])) == [(T0, T0, TRADE, 600_001, 500)]
    assert [fact[2:] for fact in facts(whole([quotes]))] == [(BBO | BUYER, 600_000, 1_000), (BBO, 600_001, 2_000)]


def test_the_recorders_database_gives_trades_book_and_funding_by_receive_time(tmp_path: Path) -> None:
    made = make_market(500)
    path = write_database(tmp_path / "tradebot.db", made)
    rows = concat(list(History.of([path]).stream()))

    assert facts(rows.take(rows.kinds == TRADE)) == made_facts(made, ["trade"])
    assert facts(rows.take((rows.kinds == CLEAR) | (rows.kinds == LEVEL))) == made_facts(made, ["clear", "snapshot"])
    funding = rows.take(rows.kinds == FUNDING_RATE)
    assert (funding.price_ticks.tolist(), funding.qty_lots.tolist()) == ([-10_000], [T0 + 28_800_000 * MS])
    assert (np.diff(rows.local_time_ns) >= 0).all()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npz"])
def test_converting_there_and_reading_back_changes_nothing_and_is_the_same_bytes_twice(
    tmp_path: Path, suffix: str
) -> None:
    made = make_market(3_000)
    history = History.of([write_frames(tmp_path / "a.log", made, futures=True)], [MARKET])
    outs = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    counts = [history.convert(out)[0] for out in outs]

    assert facts(whole([outs[0]])) == made_facts(made)
    assert counts == [len(made.facts)] * 2
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.log", "one" + suffix, "two" + suffix])


def test_a_parquet_file_of_ours_describes_its_instruments(tmp_path: Path) -> None:
    both = [make_market(300), make_market(300, market=OTHER_MARKET, mid=300_000)]
    source = write_native_csv(tmp_path / "a.csv", make_interleaved(both))
    out = tmp_path / "a.parquet"
    History.of([source], [MARKET, OTHER_MARKET]).convert(out)

    assert parquet.markets_in(out) == (MARKET, OTHER_MARKET)
    columns, report = History.of([out]).load()
    assert {name: len(rows) for name, rows in columns.items()} == {
        made.market.instrument_id: len(made.facts) for made in both
    }
    assert report.errors == 0
    with pytest.raises(DataError, match="binance:ETH-USDT was not asked for: wrong instrument"):
        list(History.of([out], [MARKET]).stream())


def test_a_folder_of_columns_is_mapped_and_equals_what_load_gives(tmp_path: Path) -> None:
    made = make_market(3_000)
    history = History.of([write_frames(tmp_path / "a.log", made, futures=True)], [MARKET])
    out = tmp_path / "btc.columns"
    count, _ = history.convert(out)
    market, mapped = open_columns(out)
    loaded = history.load()[0][MARKET.instrument_id]

    assert (market, count) == (MARKET, len(made.facts))
    for name in COLUMNS:
        assert isinstance(getattr(mapped, name), np.memmap)
        assert (getattr(mapped, name) == getattr(loaded, name)).all()
    with pytest.raises(DataError, match="is there already"):
        history.convert(out)
    (out / "flags.npy").write_bytes((out / "flags.npy").read_bytes()[:-5])
    with pytest.raises(DataError, match="not a whole folder of columns"):
        open_columns(out)


def make_interleaved(both: list[MadeMarket]) -> list[MadeMarket]:
    """One-fact markets in order of receive time: what the CSV writer turns into one merged file."""
    single = [MadeMarket(made.market, [fact]) for made in both for fact in made.facts]
    return sorted(single, key=lambda one: one.facts[0].local_ns)


def test_hftbacktest_rows_of_one_clock_stay_on_that_clock(tmp_path: Path) -> None:
    path = write_hftbacktest(tmp_path / "a.npz", make_market(100))
    events = np.load(path)["data"]
    events["ev"][60] ^= np.uint64(1 << 31)
    np.savez(path, data=events)
    (rows,) = read_npz(path, MARKET)

    assert rows.flags[60] & 0x30 == 0x20
    assert rows.flags[61] & 0x30 == 0x30


def test_frames_after_a_gap_wait_for_the_next_snapshot_and_are_counted(tmp_path: Path) -> None:
    made = make_market(1_000)
    path = write_frames(tmp_path / "a.log", made, futures=True)
    lines = path.read_text().splitlines()
    depth = [i for i, line in enumerate(lines) if "depthUpdate" in line]
    del lines[depth[100]]
    path.write_text("\n".join([*lines, ""]))
    history = History.of([path], [MARKET])
    report = history.check()
    rows = concat(list(history.stream()))

    assert report.notes["BTCUSDT: gaps in the update ids"] == 1
    assert report.notes["BTCUSDT: book diffs that no snapshot proves"] == len(depth) - 101
    assert (rows.kinds == TRADE).sum() == sum(f.kind == "trade" for f in made.facts)
    unproven = concat(list(History.of([path], [MARKET], ReadOptions(proven_only=False)).stream()))
    assert (unproven.flags & OTHER == 0).sum() > len(rows)
