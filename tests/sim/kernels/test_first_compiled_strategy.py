"""The worked example in the docs runs as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.history.load import History
from backtest.results.files import open_results
from tests.support.history_files import make_market, write_hftbacktest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/your-first-compiled-strategy.md"


def run_program(folder: Path, number: int) -> list[list[str]]:
    """Run one of the page's programs beside its strategy; return its output as words."""
    strategy, *programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "first_maker.py").write_text(strategy)
    (folder / "research.py").write_text(programs[number])
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    done = subprocess.run(
        (sys.executable, str(folder / "research.py")), capture_output=True, text=True, env=environment, check=True,
        cwd=folder,
    )  # fmt: skip
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_documented_strategy_runs_as_written(tmp_path: Path) -> None:
    lines = run_program(tmp_path, 0)

    assert [line[0] for line in lines] == ["2", "5", "10"]
    fills = [int(line[2]) for line in lines]
    assert fills[0] > fills[1] > fills[2] > 0  # a wider quote trades less


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_documented_ways_to_recorded_data_run_as_written(tmp_path: Path) -> None:
    made = make_market(2_000, seed=3)
    path = write_hftbacktest(tmp_path / "btc.npz", made)
    History.of([path], [made.market]).convert(tmp_path / "btc.columns")
    from_memory, from_disk = run_program(tmp_path, 1)

    assert int(from_memory[0]) > 0
    assert from_disk == from_memory


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_documented_result_runs_as_written_and_is_read_back(tmp_path: Path) -> None:
    *_, slippage, queue, equity = run_program(tmp_path, 2)

    assert slippage[0] == "slippage"
    assert float(slippage[1]) < 0  # a maker is paid for waiting
    assert (queue[0], equity[0]) == ("queue", "equity")
    assert Decimal(queue[1]) > 0
    assert Decimal(equity[1]) == Decimal(equity[2])
    assert open_results(tmp_path / "results").table("fills").num_rows > 100
