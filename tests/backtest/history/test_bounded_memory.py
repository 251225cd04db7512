"""Memory does not grow with the length of the data: what a month needs is what an hour needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backtest.history.parquet import write_parquet
from backtest.history.rows import CHUNK_ROWS, Rows, make_rows
from tests.support.history_files import MARKET, MS, T0
from tradebot.core.columns import BOTH, BUYER, LEVEL, SNAPSHOT, TRADE

READ = """
import sys
from pathlib import Path
from backtest.history.check import Checker
from backtest.history.load import History
history = History.of([Path(path) for path in sys.argv[2:]])
history.corrected = sys.argv[1] == "correct"
checker = Checker(history.paths, history.markets)
rows = sum(len(rows) for rows in history.stream(checker))
status = Path("/proc/self/status").read_text()
print(rows, checker.report.errors, int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
"""VmHWM, because ru_maxrss of a child begins with what its parent had."""


def long_market(chunks: int) -> Iterator[Rows]:
    """Chunks of a market with 800 rows a second that never crosses: 12 levels a side, and trades at the touch."""
    number = np.arange(CHUNK_ROWS)
    for chunk in range(chunks):
        at = T0 + (chunk * CHUNK_ROWS + number // 8 * 8) * 1_250_000
        flags = np.where(number % 2, LEVEL | BOTH | BUYER, LEVEL | BOTH) | (SNAPSHOT if chunk == 0 else 0)
        away = 1 + number * 7 % 12
        price = 600_000 + np.where(number % 2, -away, away)
        trade = number % 8 == 7
        flags, price = np.where(trade, TRADE | BOTH | BUYER, flags), np.where(trade, 600_001, price)
        yield make_rows(
            CHUNK_ROWS,
            exchange_time_ns=at,
            local_time_ns=at + 3 * MS,
            flags=flags,
            price_ticks=price,
            qty_lots=1 + number % 50,
        )


def peak_mib(mode: str, *paths: Path) -> tuple[int, int, int]:
    """Return (rows, errors, peak resident MiB) of reading files in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", READ, mode, *map(str, paths)], capture_output=True, text=True, check=True, timeout=280
    )
    rows, errors, peak = map(int, done.stdout.split())
    return rows, errors, peak


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mode", "chunks"),
    [
        ("plain", 48),
        pytest.param("correct", 48, marks=pytest.mark.slow),
        pytest.param("plain", 480, marks=pytest.mark.slow),
    ],
)
def test_reading_more_does_not_need_more_memory(tmp_path: Path, mode: str, chunks: int) -> None:
    short, long = tmp_path / "short.parquet", tmp_path / "long.parquet"
    write_parquet(short, long_market(8), [MARKET])
    write_parquet(long, long_market(chunks), [MARKET])
    peak_mib(mode, short)  # compiles, which takes more memory than reading; later processes load the result
    few, many = peak_mib(mode, short), peak_mib(mode, long)

    assert (few[0], many[0]) == (8 * CHUNK_ROWS, chunks * CHUNK_ROWS)
    assert few[1] == many[1] == 0
    assert many[2] < few[2] + 60
    assert many[2] < 700, f"{few[2]} and {many[2]} MiB"
