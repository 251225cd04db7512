"""One backtest from options to result."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from backtest.config import BacktestConfig, BacktestOptions
from backtest.engine_client import Engine, engine_process, strategies_text
from backtest.engine_inside import EngineInside
from backtest.harness import Harness, OutcomeLike
from backtest.instruments import find_rules
from backtest.latency import NS_PER_MS
from backtest.report import BacktestResult, EventLog
from backtest.results.files import ResultWriter
from backtest.results.recorder import RunRecorder
from backtest.sources import DataSource, Feed, find_source
from backtest.venue_rows import VenueClock, VenueRows
from backtest.world import World
from engine.catalog import load_catalog, make_settings
from engine.config import EngineConfig, StrategyConfig
from engine.runs import StrategySettings
from engine.strategy import Strategy
from riskd.limits import Limits, make_limits
from riskd.pnl import sums
from riskd.units import from_units
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent, Wish
from tradebot.runtime.config import load_config, read_yaml
from tradebot.sim.rules import MarketRules
from tradebot.venues import load_market_data

NS_PER_S: Final = 1_000_000_000
LEAD_NS: Final = 2_000 * NS_PER_MS
"""The world connects and reconciles so long before the first row."""
SETTLE_NS: Final = 2_000 * NS_PER_MS
"""Played after the last row, so that answers on their way arrive."""
MAX_WARNINGS: Final = 20


def run_backtest(options: BacktestOptions) -> BacktestResult:
    """Run one backtest. Same options and files: same result and same event log, byte for byte.

    Raises:
        ConfigError: One line that says what to do.
    """
    return asyncio.run(_run(options))


async def _run(options: BacktestOptions) -> BacktestResult:
    config, engine_config = _load(options.config)
    venue = load_market_data(config.venue)
    source = find_source(options, config.venue, config.perpetuals)
    rules = rules_of(options, source)
    instruments = [one.instrument for one in rules]
    plan = _plan(options, engine_config, [one.instrument_id for one in instruments])
    feed = source.open(venue, instruments)
    first_ns = feed.first_ns
    start_ns = (first_ns - LEAD_NS) // (1_000 * NS_PER_MS) * (1_000 * NS_PER_MS)
    limits = limits_for(config.limits, plan.settings.strategy_id)
    writer = ResultWriter(options.out) if options.out is not None else None
    watcher = RunRecorder(writer, instruments, round(options.equity_every_s * NS_PER_S)) if writer is not None else None
    log = EventLog(options.events)
    try:
        world = World(config, limits, rules, start_ns, watcher)
        rows = VenueRows(feed.blocks(), len(rules), world.add_venue_rows)

        def on_wish(at_ns: int, wish: Wish) -> None:
            log.wish(at_ns, wish)
            if watcher is not None and isinstance(wish, OrderIntent):
                watcher.intent(at_ns, wish)

        def on_outcome(outcome: OutcomeLike) -> None:
            _note(log, outcome)
            if watcher is not None and outcome.answer is not None:
                watcher.answer(outcome.answer.intent_id)

        async with _engine(plan, instruments, start_ns, engine_config.bar_grace_ms, options.in_process) as engine:
            harness = Harness(
                engine,
                world,
                start_ns=start_ns,
                grid_ns=config.event_grid_ns,
                link_ns=config.link_latency_ns,
                on_intent=on_wish,
                on_outcome=on_outcome,
                with_depth=plan.with_depth,
            )
            await harness.run(rows.received(_end_ns(options, first_ns)), SETTLE_NS)
        result = _result(options, source, feed, rows.clock, world, log, rules, first_ns)
        if watcher is not None:
            watcher.equity(world.now_ns, *world.money(), final=True)
            watcher.finish(result.as_json())
        return result
    except ConfigError:  # data that cannot be used: nothing of the run is worth anything
        log.discard()
        raise
    finally:
        log.close()
        if writer is not None:
            writer.abandon()


def data_of(options: BacktestOptions) -> DataSource:
    """Return the data of a run: its files, or the synthetic market."""
    config = _load(options.config)[0]
    return find_source(options, config.venue, config.perpetuals)


def rules_of(options: BacktestOptions, source: DataSource) -> list[MarketRules]:
    """Return the trading rules of a run's instruments, in the order of their indexes."""
    config, _ = _load(options.config)
    symbols, markets = options.symbols or source.symbols, source.markets
    venue = load_market_data(config.venue)
    return find_rules(config.venue, venue, symbols, options.exchange_info, markets, config.perpetuals)


def params_of(options: BacktestOptions) -> dict[str, Any]:
    """Return the strategy's parameters: the configured ones, and those of the run over them."""
    return _params(options, _configured(options, _load(options.config)[1]))


def _configured(options: BacktestOptions, config: EngineConfig) -> StrategyConfig | None:
    return next((item for item in config.strategies if options.strategy in (item.id, item.kind)), None)


def _params(options: BacktestOptions, configured: StrategyConfig | None) -> dict[str, Any]:
    return {**(configured.params if configured is not None else {}), **options.params}


def _load(path: Path | None) -> tuple[BacktestConfig, EngineConfig]:
    if path is None:
        return BacktestConfig(), EngineConfig()
    return load_config(path, "backtest", BacktestConfig).section, load_config(path, "engine", EngineConfig).section


@dataclass(frozen=True, slots=True)
class _Plan:
    """The strategy under test, for an engine in this process and for one of its own."""

    catalog: Mapping[str, type[Strategy]]
    settings: StrategySettings
    entry: dict[str, Any]
    """The same as `settings`, as an entry of the configuration."""
    paths: list[str]
    """Where own strategies are."""

    @property
    def with_depth(self) -> bool:
        return self.catalog[self.settings.kind].needs_depth


def _plan(options: BacktestOptions, config: EngineConfig, instrument_ids: Sequence[str]) -> _Plan:
    paths = [str(Path(path).resolve()) if Path(path).exists() else path for path in
             (*config.strategy_path, *options.strategy_path)]  # fmt: skip
    catalog = load_catalog(paths)
    configured = _configured(options, config)
    kind = configured.kind if configured is not None else options.strategy
    strategy_id = configured.id if configured is not None else options.strategy
    params = _params(options, configured)
    # Checked here even when another process will run it: our own one-line errors come before any start.
    settings = make_settings(catalog, strategy_id, kind, tuple(instrument_ids), params)
    entry = {"id": strategy_id, "kind": kind, "instruments": list(instrument_ids), "params": params}
    return _Plan(catalog, settings, entry, paths)


@asynccontextmanager
async def _engine(
    plan: _Plan, instruments: Sequence[Instrument], start_ns: int, bar_grace_ms: int, in_process: bool
) -> AsyncIterator[Engine]:
    if in_process:
        yield EngineInside(plan.catalog, [plan.settings], instruments, start_ns, bar_grace_ms)
        return
    async with engine_process(strategies_text([plan.entry]), plan.paths, instruments, start_ns, bar_grace_ms) as engine:
        yield engine


def limits_for(path: Path, strategy_id: str) -> Limits:
    """Return the limits, with the strategy under test allowed everywhere when the file does not know it yet."""
    tree = read_yaml(path)
    known = tree.get("strategies")
    if isinstance(known, dict):
        known.setdefault(strategy_id, {"instruments": ["*"]})
    return make_limits(tree, path, hashlib.sha256(path.read_bytes()).hexdigest())


def _end_ns(options: BacktestOptions, first_ns: int) -> int | None:
    ends = [] if options.max_seconds is None else [first_ns + round(options.max_seconds * 1e9)]
    if options.end_ns is not None:
        ends.append(options.end_ns)
    return min(ends, default=None)


def _note(log: EventLog, outcome: OutcomeLike) -> None:
    if outcome.answer is not None:
        log.answer(outcome.at_ns, outcome.answer)
    if outcome.event is not None:
        log.order_event(outcome.at_ns, outcome.event)


def _result(
    options: BacktestOptions,
    source: DataSource,
    feed: Feed,
    clock: VenueClock,
    world: World,
    log: EventLog,
    rules: Sequence[MarketRules],
    first_ns: int,
) -> BacktestResult:
    """Collect the figures: money as riskd's core books it, counts from the event log."""
    gate, now_ns = world.gate, world.now_ns
    portfolio = gate.state.portfolio
    pnl = sums(portfolio, gate.state.rules, gate.board).total
    open_positions: dict[str, Decimal] = {}
    for _, instrument_id, qty in world.open_positions():
        open_positions[instrument_id] = open_positions.get(instrument_id, Decimal(0)) + qty
    start_equity = world.start_equity
    if start_equity is None:  # no mark for something that the account began with
        start_equity = sum((amount for _, amount in sorted(world.start_balances.items())), Decimal(0))
    names = [one.instrument.instrument_id for one in rules]
    warnings = feed.warnings() + clock.warnings(names) + world.venue.warnings()
    warnings += [f"{at_ns}: {event}: {text}" for at_ns, level, event, text in world.notices if level != "info"]
    return BacktestResult(
        strategy=options.strategy,
        data=source.name,
        instruments=names,
        market_seconds=round((feed.last_ns - first_ns) / 1e9, 3),
        frames=feed.frames,
        rows=world.rows_applied,
        feed_latency_ms=None if clock.mean_travel_ns is None else round(clock.mean_travel_ns / NS_PER_MS, 3),
        intents=log.intents,
        answers_accepted=log.accepted,
        answers_refused=log.refused,
        refusals_by_check=dict(sorted(log.refusals.items())),
        orders=log.orders,
        orders_by_role=dict(sorted(log.roles.items())),
        fills=world.fills,
        unknown_orders=len(log.unknown),
        turnover=world.turnover,
        fees=from_units(pnl.fees),
        realized_pnl=from_units(pnl.realized),
        unrealized_pnl=from_units(pnl.unrealized),
        funding=from_units(pnl.funding),
        other_income=world.other_income(),
        liquidations=log.liquidations,
        start_equity=start_equity,
        equity=from_units(gate.equity(now_ns).value),
        open_positions=open_positions,
        warnings=warnings[:MAX_WARNINGS],
    )
