"""The look-ahead guard: honest strategies pass it, two kinds of peeking do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from backtest.__main__ import EXIT_CONFIG, EXIT_LOOKS_AHEAD, EXIT_OK, main
from backtest.config import BacktestOptions
from backtest.lookahead import check_lookahead
from backtest.recording import synthetic
from tests.backtest.test_backtest import PARAM_FLAGS, PARAMS
from tests.support.realdata import real_data_file

HEAD = """
import sys
from decimal import Decimal
from typing import Annotated
from engine.strategy import Params, Strategy, enter, leave, strategy
from tradebot.core.orders import Side

class PeekParams(Params):
    path: str = ""

def trade(self, market, rises):
    holding = self.holding(market)
    if holding.is_flat:
        return enter(Side.BUY, "rises") if rises else None
    return None if rises else leave(holding, "falls")
"""
SEES_THE_BATCH = (
    HEAD
    + """
@strategy("peek")
class Peek(Strategy):
    params: PeekParams

    def on_bar(self, market, bar):
        frame = sys._getframe()
        while frame is not None and not hasattr(frame.f_locals.get("rows"), "data"):
            frame = frame.f_back
        if frame is None:
            return None
        kinds, prices = frame.f_locals["rows"].data[[0, 3]].tolist()
        trades = [price for kind, price in zip(kinds, prices) if kind == 1]
        return trade(self, market, bool(trades) and trades[-1] > market.last_price)
"""
)
READS_THE_FILE = (
    HEAD
    + """
@strategy("peek")
class Peek(Strategy):
    params: PeekParams

    def start(self):
        with open(self.params.path, "rb") as file:
            trades = [line for line in file if b"@trade" in line]
        prices = [float(line.split(b'"p":"')[1].split(b'"')[0]) for line in trades]
        self.mean = sum(prices) / len(prices) if prices else 0.0

    def on_bar(self, market, bar):
        return trade(self, market, bar.close < self.mean)
"""
)


def write_recording(path: Path, seconds: int) -> Path:
    with path.open("wb") as file:
        file.writelines(b"%d %s\n" % line for line in synthetic("binance", (), 3, seconds).lines())
    return path


def test_no_decision_of_breakout_atr_changes_when_the_future_is_taken_away() -> None:
    report = check_lookahead(BacktestOptions("breakout_atr", seed=1, seconds=90, params=PARAMS), cuts=6, seed=5)

    assert report.is_clean, report.lines()
    assert report.decisions > 5
    assert len({cut.at_ns for cut in report.cuts}) == 6
    assert sum(cut.events for cut in report.cuts) > 50


@pytest.mark.parametrize("code", [SEES_THE_BATCH, READS_THE_FILE], ids=["sees the batch", "reads the file"])
def test_a_strategy_that_peeks_is_caught_with_the_decision_it_took_from_the_future(
    code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_recording(tmp_path / "market.log", 60)
    (tmp_path / "peek.py").write_text(code)
    flags = ["--strategy", "peek", "--strategy-path", str(tmp_path / "peek.py"), "--data", str(recording)]
    params = ["--param", "bar_ms=1000", "--param", f"path={recording}"]

    assert main([*flags, *params, "--check-lookahead", "--cuts", "6"]) == EXIT_LOOKS_AHEAD
    output = capsys.readouterr().out
    assert "LOOKS AHEAD" in output
    assert '"what":"intent"' in output


@pytest.mark.parametrize("spelling", ["absolute", "linked", "configured"])
def test_the_data_is_found_in_a_parameter_however_it_is_spelled_and_wherever_it_stands(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = write_recording(tmp_path / "market.log", 60)
    (tmp_path / "peek.py").write_text(READS_THE_FILE)
    (tmp_path / "link.log").symlink_to(recording)
    monkeypatch.chdir(tmp_path)
    params = {"bar_ms": 1000}
    flags = ["--strategy", "peek", "--strategy-path", str(tmp_path / "peek.py"), "--data", "market.log"]
    if spelling == "configured":
        strategies = [
            {
                "id": "peek",
                "kind": "peek",
                "instruments": ["binance:BTC-USDT"],
                "params": params | {"path": "./market.log"},
            }
        ]
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({"mode": "backtest", "engine": {"strategies": strategies}}))
        flags += ["--config", "run.yaml"]
    else:
        path = recording if spelling == "absolute" else "link.log"
        flags += ["--param", "bar_ms=1000", "--param", f"path={path}"]

    assert main([*flags, "--check-lookahead", "--cuts", "4"]) == EXIT_LOOKS_AHEAD


def test_a_strategy_that_decides_nothing_is_not_called_honest(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--strategy", "breakout_atr", "--seconds", "2", "--check-lookahead", "--cuts", "1"]

    assert main(flags) == EXIT_CONFIG
    assert "nothing was judged" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--out", "--events"])
def test_what_the_guard_would_not_write_is_refused(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--strategy", "breakout_atr", "--check-lookahead", flag, str(tmp_path / "x")]) == EXIT_CONFIG
    assert flag in capsys.readouterr().err


def test_the_command_says_that_an_honest_strategy_is_honest(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--strategy", "breakout_atr", "--seconds", "40", *PARAM_FLAGS]

    assert main([*flags, "--check-lookahead", "--cuts", "2"]) == EXIT_OK
    assert "no decision looks ahead (2 cuts," in capsys.readouterr().out


@pytest.mark.real
def test_no_decision_on_a_real_recording_changes_when_the_future_is_taken_away() -> None:
    path = real_data_file("history/binance_spot/BTCUSDT-ws-20240808T2354.log.gz")
    options = BacktestOptions("breakout_atr", path, params={"bar_ms": 1000}, max_seconds=120)
    report = check_lookahead(options, cuts=2)

    assert report.is_clean, report.lines()
