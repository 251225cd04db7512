from __future__ import annotations

from pathlib import Path

import numpy as np

from backtest.history.native_csv import read_csv
from backtest.history.rows import Rows, concat, market_columns
from tests.support.history_files import MARKET, OTHER_MARKET, make_market, write_native_csv
from tradebot.core.columns import BUYER, CLEAR, LEVEL, SNAPSHOT, TRADE

GOOD = "1760000000001000000,1760000000004000000,BTCUSDT,{kind},{side},{price},{qty},7,both"
HEADER = "exchange_time_ns,local_time_ns,instrument,kind,side,price,qty,id,clocks"


def read(path: Path) -> Rows:
    return concat(list(read_csv(path, [MARKET, OTHER_MARKET])))


def test_every_fact_becomes_one_row_in_ticks_and_lots(tmp_path: Path) -> None:
    made = make_market(300)
    rows = read(write_native_csv(tmp_path / "a.csv", made))

    kinds = {"depth": LEVEL, "snapshot": LEVEL | SNAPSHOT, "clear": CLEAR, "trade": TRADE}
    expected = [kinds[f.kind] | (BUYER if f.side == "buy" else 0) | 0x30 for f in made.facts]
    assert rows.flags.tolist() == expected
    assert rows.price_ticks.tolist() == [f.ticks for f in made.facts]
    assert rows.qty_lots.tolist() == [f.lots for f in made.facts]
    assert rows.exchange_time_ns.tolist() == [f.exchange_ns for f in made.facts]
    assert rows.local_time_ns.tolist() == [f.local_ns for f in made.facts]
    assert rows.row.tolist() == list(range(2, len(made.facts) + 2))


def test_two_instruments_in_one_file_have_their_own_steps(tmp_path: Path) -> None:
    both = [make_market(60), make_market(60, market=OTHER_MARKET, mid=300_000)]
    rows = read(write_native_csv(tmp_path / "a.csv", both))

    for index, made in enumerate(both):
        columns = market_columns(rows, index)
        assert columns.price_ticks.tolist() == [f.ticks for f in made.facts]
        assert columns.qty_lots.tolist() == [f.lots for f in made.facts]
    assert np.bincount(rows.instrument).tolist() == [len(made.facts) for made in both]
