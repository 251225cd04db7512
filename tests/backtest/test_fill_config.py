"""Settings `backtest.queue`, `partial_fills` and `impact`: they reach the venue, and mistakes say what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from backtest.__main__ import main
from backtest.config import BacktestConfig, BacktestOptions
from backtest.run import run_backtest
from tests.backtest.test_latency import configured
from tests.support.history_files import MS, T0, Fact, MadeMarket, write_native_csv
from tradebot.sim.kernels import queues
from tradebot.sim.kernels.terms import Queue

JOINS = """
from engine.strategy import Proposal, Strategy, strategy
from tradebot.core.orders import OrderRole, Side, TimeInForce

@strategy("joins")
class Joins(Strategy):
    overlapping = True

    def start(self):
        self.at_ns = 1

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = now_ns + 500_000_000
        market = self.markets[0]
        if not market.bid or self.orders(market):
            return None
        return Proposal(Side.BUY, OrderRole.ENTRY, "join", limit_ticks=market.bid, time_in_force=TimeInForce.GTC,
                        market=market)
"""


def restless_level(seconds: int = 20) -> MadeMarket:
    """A bid whose size comes and goes behind and before us, and trades of one lot that it never runs out of."""
    made = MadeMarket()
    for side, ticks in (("buy", 600_000), ("sell", 600_001)):
        made.facts.append(Fact(T0, T0 + MS, "snapshot", side, ticks, 100, 1))
    for number in range(1, seconds * 10):
        at_ns = T0 + number * 100 * MS
        made.facts.append(Fact(at_ns, at_ns + MS, "depth", "buy", 600_000, 100 if number % 2 else 200, number + 1))
        if number % 4 == 0:
            made.facts.append(Fact(at_ns, at_ns + MS, "trade", "sell", 600_000, 1, number))
    return made


@pytest.fixture
def options(tmp_path: Path) -> BacktestOptions:
    (tmp_path / "own.py").write_text(JOINS)
    data = write_native_csv(tmp_path / "level.csv", restless_level())
    own, params = (str(tmp_path / "own.py"),), {"stop_loss_fraction": None}
    return BacktestOptions("joins", data, symbols=("BTCUSDT",), strategy_path=own, params=params, in_process=True)


def fills_of(options: BacktestOptions, folder: Path, root: Path, **section: Any) -> list[dict[str, Any]]:
    folder.mkdir()
    limits = str(root / "config" / "limits" / "bench.yaml")
    run = configured(options, folder, limits=limits, unprotected_s=1e6, balances={"USDT": 1_000_000}, **section)
    run_backtest(replace(run, out=folder / "out"))
    return pq.read_table(folder / "out" / "fills.parquet").to_pylist()  # type: ignore[no-any-return]


def test_who_believes_that_cancels_come_from_the_front_fills_more_often(
    options: BacktestOptions, tmp_path: Path, project_root: Path
) -> None:
    averse = fills_of(options, tmp_path / "a", project_root)
    hopeful = fills_of(options, tmp_path / "b", project_root, queue={"model": "power_prob", "exponent": 1})

    assert averse == []
    assert len(hopeful) > 10
    assert {fill["liquidity"] for fill in hopeful} == {"MAKER"}


def test_without_partial_fills_every_order_fills_at_once(
    options: BacktestOptions, tmp_path: Path, project_root: Path
) -> None:
    queue = {"model": "power_prob", "exponent": 1}
    parts = fills_of(options, tmp_path / "a", project_root, queue=queue)
    whole = fills_of(options, tmp_path / "b", project_root, queue=queue, partial_fills=False, impact=False)

    assert len(parts) > len({fill["client_order_id"] for fill in parts})
    assert len(whole) == len({fill["client_order_id"] for fill in whole}) > 3


def test_a_queue_may_be_named_by_its_model_alone() -> None:
    config = BacktestConfig.model_validate({"queue": "log_prob"})

    assert config.fill_model.queue == Queue(queues.LOGARITHM)
    assert BacktestConfig().fill_model.queue == Queue(queues.RISK_AVERSE)
    exact = BacktestConfig.model_validate({"queue": {"model": "power_prob_3", "exponent": 3}})
    assert exact.fill_model.queue == Queue(queues.POWER_COMPLEMENT, 3.0)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"queue": "fifo"}, "fifo needs the ids of single orders"),
        ({"queue": "lucky"}, "backtest.queue.model"),
        ({"queue": {"model": "log_prob", "exponent": 2}}, "exponent: log_prob has none"),
        ({"queue": {"model": "power_prob", "exponent": 0}}, "backtest.queue.exponent"),
        ({"partial_fills": False}, "impact: needs partial_fills"),
    ],
)
def test_a_mistake_names_the_field_and_what_to_do(
    section: dict[str, Any],
    message: str,
    options: BacktestOptions,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = configured(options, tmp_path, **section).config

    assert main(["--strategy", "joins", "--strategy-path", options.strategy_path[0], "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
