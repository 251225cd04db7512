"""Venue rows and received rows are played in long stretches; the same comes out in short ones, whoever acts between."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.config import BacktestConfig, BacktestOptions
from backtest.engine_inside import EngineInside
from backtest.harness import Harness, OutcomeLike
from backtest.report import EventLog
from backtest.run import data_of, limits_for, rules_of
from backtest.venue_rows import VenueRows
from backtest.world import World
from engine.catalog import load_catalog, make_settings
from tests.backtest.test_feed_latency import walk
from tests.support.history_files import MS, T0, Fact, write_native_csv
from tradebot.venues import load_market_data

RESTLESS = """
from dataclasses import replace
from decimal import Decimal
from engine.strategy import Proposal, Strategy, enter, leave, strategy, withdraw
from tradebot.core.orders import OrderRole, Side, TimeInForce

@strategy("restless")
class Restless(Strategy):
    overlapping = True

    def start(self):
        self.at_ns, self.count = 1, 0

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = (now_ns // 170_000_000 + 1) * 170_000_000
        market, self.count = self.markets[0], self.count + 1
        if not market.bid:
            return None
        holding = self.holding(market)
        if not holding.is_flat and self.count % 5 == 0:
            return replace(leave(holding, "held"), market=market)
        working = [order for order in self.orders(market).values() if order.client_order_id]
        if self.count % 3 == 0:
            return [withdraw(order) for order in working if not order.cancel_wanted]
        return Proposal(Side.BUY, OrderRole.ENTRY, "restless", limit_ticks=market.bid - self.count % 4 * 100 + 50,
                        time_in_force=TimeInForce.GTC, market=market)
"""


class InSmallSteps(World):
    """The same world, never going further than a few milliseconds at once."""

    def advance(self, to_ns: int) -> None:
        for at_ns in range(max(self.now_ns, T0) + 3 * MS, to_ns, 3 * MS):
            super().advance(at_ns)
        super().advance(to_ns)


async def played(world_type: type[World], options: BacktestOptions, log_path: Path, root: Path) -> bytes:
    latency = {way: {"model": "sampled", "quantiles_ms": [1, 3, 70], "seed": 5} for way in ("entry", "response")}
    limits = root / "config" / "limits" / "bench.yaml"
    config = BacktestConfig.model_validate(
        {"latency": latency, "event_grid_ms": 500, "balances": {"USDT": 1_000_000}, "limits": limits}
    )
    source = data_of(options)
    rules = rules_of(options, source)
    instruments = [one.instrument for one in rules]
    feed = source.open(load_market_data("binance"), instruments)
    start_ns = T0 - 2_000 * MS
    catalog = load_catalog(list(options.strategy_path))
    names = tuple(one.instrument_id for one in instruments)
    settings = make_settings(catalog, "bench", "restless", names, {"stop_loss_fraction": "0.0002"})
    world = world_type(config, limits_for(limits, "bench"), rules, start_ns)
    log = EventLog(log_path)

    def heard(one: OutcomeLike) -> None:
        if one.answer is not None:
            log.answer(one.at_ns, one.answer)
        if one.event is not None:
            log.order_event(one.at_ns, one.event)

    harness = Harness(
        EngineInside(catalog, [settings], instruments, start_ns),
        world,
        start_ns=start_ns,
        grid_ns=config.event_grid_ns,
        link_ns=config.link_latency_ns,
        on_intent=log.wish,
        on_outcome=heard,
    )
    await harness.run(VenueRows(feed.blocks(), len(rules), world.add_venue_rows).received(), 1_000 * MS)
    log.close()
    assert world.fills >= 8
    assert {"PROTECTION", "ENTRY"} <= set(log.roles)
    return log_path.read_bytes()


@pytest.mark.parametrize("feed_ms", [0, 25, 400])
async def test_however_far_the_world_goes_at_once_the_same_things_happen(
    feed_ms: int, tmp_path: Path, project_root: Path
) -> None:
    made = walk(feed_ms, seconds=40, step=3_000)
    for number in range(0, 40_000, 130):  # trades between the quotes, so that what rests is met
        quote = [one for one in made.facts[: 10 * number // 1_000 + 2] if one.side == "buy"][-1]
        local_ns = T0 + number * MS
        made.facts.append(Fact(local_ns - feed_ms * MS, local_ns, "trade", "sell", quote.ticks - 150, 50, number + 1))
    made.facts.sort(key=lambda fact: fact.local_ns)
    (tmp_path / "own.py").write_text(RESTLESS)
    data = write_native_csv(tmp_path / "walk.csv", made)
    options = BacktestOptions("restless", data, symbols=("BTCUSDT",), strategy_path=(str(tmp_path / "own.py"),))
    long = await played(World, options, tmp_path / "long.jsonl", project_root)
    short = await played(InSmallSteps, options, tmp_path / "short.jsonl", project_root)

    assert long == short
