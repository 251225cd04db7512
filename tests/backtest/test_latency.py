"""Section `backtest.latency`: entry and response apart, constant, drawn or recorded; mistakes are one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from backtest.__main__ import main
from backtest.config import BacktestOptions
from backtest.report import BacktestResult
from backtest.run import run_backtest
from tests.backtest.test_feed_latency import TIMER, walk
from tests.support.history_files import MS, T0, write_native_csv


@pytest.fixture
def options(tmp_path: Path) -> BacktestOptions:
    (tmp_path / "own.py").write_text(TIMER)
    data = write_native_csv(tmp_path / "walk.csv", walk(20, seconds=30))
    own = (str(tmp_path / "own.py"),)
    return BacktestOptions("now_and_then", data, symbols=("BTCUSDT",), strategy_path=own, in_process=True)


def configured(options: BacktestOptions, folder: Path, **section: Any) -> BacktestOptions:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"mode": "backtest", "backtest": section}))
    return replace(options, config=path)


def orders_of(options: BacktestOptions, folder: Path, latency: object) -> tuple[BacktestResult, list[dict[str, Any]]]:
    """Return the result and the strategy's entries and exits that reached the venue."""
    result = run_backtest(configured(replace(options, out=folder / "out"), folder, latency=latency))
    rows = pq.read_table(folder / "out" / "orders.parquet").to_pylist()
    return result, [row for row in rows if row["role"] in ("ENTRY", "EXIT") and row["arrived_ns"]]


def write_latencies(path: Path, *rows: tuple[int, int, int]) -> Path:
    lines = [",".join(str(T0 + ms * MS if ms else 0) for ms in row) for row in rows]
    path.write_text("\n".join(["sent_ns,reached_ns,answered_ns", *lines, ""]))
    return path


def test_entry_and_response_are_set_apart(options: BacktestOptions, tmp_path: Path) -> None:
    _, orders = orders_of(options, tmp_path, {"entry": {"ms": 30}, "response": {"ms": 1}})

    assert len(orders) > 20
    assert {row["arrived_ns"] - row["sent_ns"] for row in orders} == {30 * MS}
    assert {row["ended_ns"] - row["arrived_ns"] for row in orders} == {1 * MS}


def test_drawn_latencies_repeat_with_their_seed(options: BacktestOptions, tmp_path: Path) -> None:
    ways = []
    for seed in (7, 7, 8):
        sampled = {"model": "sampled", "quantiles_ms": [1, 2, 3, 5, 40], "seed": seed}
        _, orders = orders_of(options, tmp_path, {"entry": sampled})
        ways.append([row["arrived_ns"] - row["sent_ns"] for row in orders])
        for path in (tmp_path / "out").iterdir():
            path.unlink()
        (tmp_path / "out").rmdir()

    assert ways[0] == ways[1] != ways[2]
    assert len(set(ways[0])) > 10
    assert min(ways[0]) >= 1 * MS
    assert max(ways[0]) <= 40 * MS


def test_engine_process_and_engine_inside_draw_the_same_latencies(options: BacktestOptions, tmp_path: Path) -> None:
    latency = {
        "entry": {"model": "sampled", "quantiles_ms": [1, 2, 40], "seed": 3},
        "response": {"model": "sampled", "quantiles_ms": [1, 9, 60], "seed": 4},
    }
    run, logs = configured(options, tmp_path, latency=latency), []
    for in_process in (True, False):
        log = tmp_path / f"{in_process}.jsonl"
        run_backtest(replace(run, in_process=in_process, events=log, max_seconds=15))
        logs.append(log.read_bytes())

    assert logs[0] == logs[1]
    assert b'"execution"' in logs[0]


def test_recorded_latencies_are_those_of_the_moment(options: BacktestOptions, tmp_path: Path) -> None:
    path = write_latencies(tmp_path / "l.csv", (1_000, 1_010, 1_012), (29_000, 29_290, 29_292))
    _, orders = orders_of(options, tmp_path, {"entry": {"model": "recorded", "file": str(path)}})

    for row in orders:
        share = min(max(0.0, (row["sent_ns"] - T0) / MS - 1_000) / 28_000, 1.0)
        expected = 10 + share * 280 if row["sent_ns"] < T0 + 29_000 * MS else 290
        assert (row["arrived_ns"] - row["sent_ns"]) / MS == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("in_bytes", [False, True])
def test_a_venue_in_trouble_refuses_orders_without_looking(
    options: BacktestOptions, tmp_path: Path, in_bytes: bool
) -> None:
    path = write_latencies(tmp_path / "l.csv", (-900, -890, -888), (-800, 0, -600), (60_000, 60_010, 60_012))
    latency = {"entry": {"model": "recorded", "file": str(path)}}
    run = configured(replace(options, out=tmp_path / "out"), tmp_path, latency=latency, venue_bytes=in_bytes)
    result = run_backtest(run)
    orders = [row for row in pq.read_table(tmp_path / "out" / "orders.parquet").to_pylist() if row["sent_ns"]]

    assert result.fills == result.unknown_orders == 0
    assert len(orders) > 10
    assert {(row["status"], row["reason"]) for row in orders} == {("REJECTED", "VENUE_OVERLOADED")}
    assert {row["arrived_ns"] for row in orders} == {None}
    assert all(row["ended_ns"] > row["sent_ns"] for row in orders)


def test_the_slower_the_way_to_the_venue_the_fewer_quotes_are_still_there(
    options: BacktestOptions, tmp_path: Path
) -> None:
    fills = []
    for ms in (1, 800):
        run = configured(options, tmp_path, latency={"entry": {"ms": ms}})
        fills.append(run_backtest(run).fills)

    assert fills[0] > fills[1] > 0


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        ({"entry": {"ms": 0}}, "backtest.latency.entry.constant.ms"),
        ({"entry": 5}, "backtest.latency.entry"),
        ({"entry": {"model": "guessed"}}, "backtest.latency.entry"),
        ({"response": {"model": "sampled", "quantiles_ms": [3, 2]}}, "from the smallest to the largest"),
        ({"response": {"model": "recorded", "file": "none.csv"}}, "none.csv cannot be read"),
        ({"response": {"model": "recorded", "file": "head.csv"}}, "head.csv: no column answered_ns"),
        ({"response": {"model": "recorded", "file": "text.csv"}}, "text.csv: line 3, column reached_ns: 'soon'"),
        ({"response": {"model": "recorded", "file": "back.csv"}}, "back.csv: recorded latency row 1"),
    ],
)
def test_a_mistake_names_the_field_or_the_row(
    latency: object,
    message: str,
    options: BacktestOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "sent_ns,reached_ns,answered_ns\n"
    (tmp_path / "head.csv").write_text("sent_ns,reached_ns\n1,2\n")
    (tmp_path / "text.csv").write_text(head + "1,2,3\n4,soon,6\n")
    (tmp_path / "back.csv").write_text(head + "1,2,3\n1,2,3\n")
    config = configured(options, tmp_path, latency=latency).config
    flags = ["--strategy", "now_and_then", "--strategy-path", options.strategy_path[0], "--data", str(options.data)]

    assert main([*flags, "--symbols", "BTCUSDT", "--config", str(config), "--in-process"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
