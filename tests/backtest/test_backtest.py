"""Whole backtests: the engine as a process over gRPC, riskd's and execd's cores, the simulated venue's own protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.__main__ import main
from backtest.config import BacktestOptions
from backtest.run import run_backtest
from tests.support.realdata import real_data_file

PARAMS = {"bar_ms": 1000, "ema_length": 4, "atr_length": 5, "multiple": 0.4, "cool_down_bars": 1}
PARAM_FLAGS = [flag for name, value in PARAMS.items() for flag in ("--param", f"{name}={value}")]


def events_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_breakout_atr_trades_the_synthetic_market_through_risk_and_execution(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    result = run_backtest(BacktestOptions("breakout_atr", seed=1, seconds=120, params=PARAMS, events=log))

    assert result.fills > 0
    assert result.answers_accepted == result.intents > 0
    assert result.orders_by_role["ENTRY"] == result.orders_by_role["PROTECTION"]
    assert result.unknown_orders == 0
    assert result.warnings == []
    booked = result.start_equity + result.realized_pnl + result.unrealized_pnl - result.fees
    assert abs(result.equity - booked) < Decimal("0.01")
    lines = events_of(log)
    assert sum(line["what"] == "intent" for line in lines) == result.intents
    assert sum(line.get("kind") in ("FILL", "FILL_COMPLETE") for line in lines) == result.fills
    times = [line["at_ns"] for line in lines if line["what"] == "order"]
    assert times == sorted(times, key=str)


def test_runs_over_grpc_and_in_process_are_byte_identical_whatever_the_hash_seed(tmp_path: Path) -> None:
    outputs = []
    for seed, flags in (("1", []), ("77", []), ("1", ["--in-process"]), ("77", ["--in-process"])):
        log = tmp_path / f"{seed}-{len(flags)}.jsonl"
        command = [sys.executable, "-m", "backtest", "--strategy", "breakout_atr", "--seconds", "90", "--json"]
        done = subprocess.run(
            [*command, *PARAM_FLAGS, "--events", str(log), *flags],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=180,
        )
        outputs.append((done.stdout, log.read_bytes()))

    assert [output == outputs[0] for output in outputs] == [True] * 4
    assert json.loads(outputs[0][0])["fills"] > 0


def test_the_documented_first_strategy_runs_with_the_documented_commands(project_root: Path, tmp_path: Path) -> None:
    text = (project_root / "docs" / "your-first-strategy.md").read_text(encoding="utf-8")
    folder = tmp_path / "my_strategies"
    folder.mkdir()
    (folder / "double_average.py").write_text(text.split("```python\n")[1].split("```")[0])
    script = text.split("```sh\n")[1].split("```")[0]
    assert script.count(".venv/bin/tradebot ") == 2
    done = subprocess.run(
        ["sh", "-euc", script.replace(".venv/bin/tradebot", f"{sys.executable} -m cli")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(project_root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert done.returncode == 0, done.stderr
    figures = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line)
    assert figures["strategy"].startswith("double_average on ")
    assert int(figures["fills"].split(",")[0]) > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--strategy", "nope"], "nope.kind: 'nope' is not one of"),
        (["--strategy", "breakout_atr", "--param", "multiple=wide"], "multiple: input should be a valid number"),
        (["--strategy", "breakout_atr", "--param", "multiple"], "write it as name=value"),
        (["--strategy", "breakout_atr", "--data", "/does/not/exist.gz"], "no such recording"),
        (["--strategy", "breakout_atr", "--symbols", "DOGEUSDT"], "the synthetic market has BTCUSDT"),
        (["--strategie", "breakout_atr"], "see --help"),
        (["--strategy", "breakout_atr", "--seconds", "0"], "--seconds 0: choose 1 or more"),
        (["--strategy", "breakout_atr", "--seconds", "-5"], "--seconds -5: choose 1 or more"),
        (["--strategy", "breakout_atr", "--max-seconds", "nan"], "--max-seconds nan: choose a number above 0"),
        (["--strategy", "breakout_atr", "--max-seconds", "-5"], "--max-seconds -5.0: choose a number above 0"),
        (["--strategy", "breakout_atr", "--correct"], "--correct"),
        (["--strategy", "breakout_atr", "--market", "BTCUSDT:0.1:0.001"], "give --data"),
        (["--strategy", "breakout_atr", "--feed-latency-ms", "3"], "give --data"),
        (["--strategy", "breakout_atr", "--config", "/does/not/exist.yaml"], "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2

    error = capsys.readouterr().err
    assert error.startswith("backtest: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_strategy_that_raises_ends_the_backtest_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text(
        "from engine.strategy import Strategy, strategy\n"
        '@strategy("bad")\nclass Bad(Strategy):\n    def on_trade(self, market): return 1 / 0\n'
    )

    assert main(["--strategy", "bad", "--strategy-path", str(tmp_path), "--seconds", "5"]) == 70
    assert "strategy bad: ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.real
def test_a_real_recording_is_traded_and_all_of_it_is_booked() -> None:
    path = real_data_file("history/binance_spot/BTCUSDT-ws-20240808T2354.log.gz")
    sequel = real_data_file("history/binance_spot/BTCUSDT-ws-20240809T0000.log.gz")
    result = run_backtest(BacktestOptions("breakout_atr", path, (sequel,), params={"bar_ms": 1000}))

    assert result.frames == 99_574
    assert 650 < result.market_seconds < 655
    assert result.fills >= 10
    (warning,) = result.warnings  # the recorder's clock was 1.3 s behind
    assert warning.startswith("binance:BTC-USDT: exchange times are later than receipt")
    assert result.unknown_orders == 0
    booked = result.start_equity + result.realized_pnl + result.unrealized_pnl - result.fees
    assert abs(result.equity - booked) < Decimal("0.05")
