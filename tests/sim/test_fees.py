"""Fee tiers: what 30 days of trading make of the next day's fees, in the kernels and in the engine's venue."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.config import BacktestConfig, BacktestOptions
from backtest.instruments import parse_market
from backtest.run import run_backtest
from tests.sim.kernels.kit import Happening, make_columns
from tests.support.history_files import T0, make_market, write_native_csv
from tradebot.core import columns
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.runtime.config import load_config
from tradebot.sim.fees import DAY_NS, FeeAccount, FeeSchedule, FeeTier
from tradebot.sim.kernels import api
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import Market

TABLE = FeeSchedule.of_bps(
    [(Decimal(0), Decimal(10), Decimal(10)), (Decimal(1_000), Decimal(2), Decimal(5)),
     (Decimal(9_000), Decimal(-1), Decimal(3))]
)  # fmt: skip


def test_a_day_of_trading_lowers_the_rates_of_the_next_and_thirty_days_without_raise_them_again() -> None:
    account = FeeAccount(TABLE)
    found = [account.tier(0).taker]
    account.traded(Decimal(1_000), 5)
    found += [account.tier(DAY_NS - 1).taker, account.tier(DAY_NS).taker]
    found += [account.tier(30 * DAY_NS).taker, account.tier(31 * DAY_NS).taker]

    assert [rate * 10_000 for rate in found] == [10, 10, 5, 5, 10]


def test_what_was_traded_before_the_run_counts_and_fades_day_by_day() -> None:
    account = FeeAccount(FeeSchedule(TABLE.tiers, prior_volume=Decimal(1_200)))
    rates = [account.tier(day * DAY_NS).taker * 10_000 for day in range(8)]

    assert rates == [5, 5, 5, 5, 5, 5, 10, 10]  # a thirtieth, 40, leaves each day


def kernel_fees(fees: FeeSchedule, markets: int = 1) -> list[Simulator]:
    days = range(markets + 2)
    rows = [
        Happening(day * DAY_NS, day * DAY_NS, columns.LEVEL, buyer, price, 50)
        for day in days
        for buyer, price in ((True, 99), (False, 101))
    ]
    feed = Feed.of(make_columns(rows))
    market = Market(feed, Decimal(1), Decimal(1), fees=fees, partial_fills=True)
    return [Simulator([market] * markets)]


def test_the_kernels_charge_each_day_by_the_volume_before_it() -> None:
    (sim,) = kernel_fees(TABLE)
    market = api.market(sim.handle, 0)
    for _ in range(3):
        api.elapse(sim.handle, 1)
        api.submit_buy(market, 0, 10, at.MARKET)  # 10 x 101 = 1,010
        api.elapse(sim.handle, DAY_NS - 1)
    sim.run(lambda _handle: None)

    assert sim.account().fee == Decimal(1_010) * (Decimal(10) + 5 + 5) / 10_000


def test_markets_of_one_schedule_climb_together() -> None:
    (sim,) = kernel_fees(TABLE, markets=2)
    for number in (0, 1):
        api.elapse(sim.handle, DAY_NS if number else 1)
        api.submit_buy(api.market(sim.handle, number), 0, 10, at.MARKET)
    api.elapse(sim.handle, DAY_NS)
    sim.run(lambda _handle: None)

    assert [sim.account(number).fee * 10_000 / 1_010 for number in (0, 1)] == [10, 5]


@pytest.mark.parametrize("volumes", [(), (1,), (0, 5, 5), (0, 9, 3)])
def test_a_table_that_does_not_rise_from_zero_is_refused(volumes: tuple[int, ...]) -> None:
    with pytest.raises(InvariantError, match="rise from 0"):
        FeeSchedule(tuple(FeeTier(Decimal(one), Decimal(0), Decimal(0)) for one in volumes))


def backtest_fees(folder: Path, tiers: str) -> list[Decimal]:
    """Trade through midnight; return each fill's fee as basis points of what was received."""
    folder.mkdir(exist_ok=True)
    config, data, log = folder / "backtest.yaml", folder / "a.csv", folder / "events.jsonl"
    config.write_text(f"mode: backtest\nbacktest:\n  maker_fee_bps: 10\n{tiers}")
    (folder / "own.py").write_text(STRATEGY)
    midnight = (T0 // DAY_NS + 1) * DAY_NS
    made = make_market(1_500, seed=7)
    middle = made.facts[len(made.facts) // 2].local_ns
    for fact in made.facts:  # the same market, half of it before midnight
        fact.local_ns, fact.exchange_ns = fact.local_ns + midnight - middle, fact.exchange_ns + midnight - middle
    run_backtest(
        BacktestOptions(
            "each_trade", write_native_csv(data, made), config=config, strategy_path=(str(folder / "own.py"),),
            in_process=True, events=log, markets=(parse_market("BTCUSDT:0.1:0.001:binance:BTC-USDT"),),
        )
    )  # fmt: skip
    rates = []
    for line in log.read_text().splitlines():
        fill = json.loads(line).get("execution")
        if fill is not None and fill["side"] == "SELL":  # the fee of a sale is in the quote asset
            received = Decimal(fill["qty"]) * Decimal(fill["price"])
            rates.append(round(Decimal(fill["fee"]) / received * 10_000, 2))
    return rates


STRATEGY = """
from engine.strategy import Strategy, enter, leave, strategy
from tradebot.core.orders import Side

@strategy("each_trade")
class EachTrade(Strategy):
    def on_trade(self, market):
        holding = self.holding(market)
        return enter(Side.BUY, "flat") if holding.is_flat else leave(holding, "held")
"""
TIERS = """  fee_tiers:
    - {volume: 0, maker_bps: 10, taker_bps: 10}
    - {volume: 100, maker_bps: -1, taker_bps: 4}
"""


def test_a_backtest_pays_the_tier_that_the_days_before_reached(tmp_path: Path) -> None:
    flat, tiered = backtest_fees(tmp_path / "flat", ""), backtest_fees(tmp_path / "tiered", TIERS)

    assert set(flat) == {Decimal(10)}
    assert set(tiered) == {Decimal(10), Decimal(4)}
    assert tiered == sorted(tiered, reverse=True)


def test_a_fee_table_in_the_configuration_that_cannot_be_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("mode: backtest\nbacktest:\n  fee_tiers:\n    - {volume: 5, maker_bps: 1, taker_bps: 1}\n")

    with pytest.raises(ConfigError, match="rise from 0"):
        load_config(path, "backtest", BacktestConfig)
