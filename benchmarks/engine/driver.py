"""`python -m benchmarks.engine.driver [DATA MODE QUEUE]`: our side of the engine benchmarks.

A whole backtest: the harness, the engine (in process or behind gRPC), riskd's and execd's cores with every built check
on, the venue's own protocol and the matching engine. Modes: touch, pairs, requote, and grpc (requote over gRPC).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from backtest.config import BacktestConfig
from backtest.engine_client import Engine, engine_process, strategies_text
from backtest.engine_inside import EngineInside
from backtest.harness import Harness
from backtest.latency import ConstantPath, LatencyConfig
from backtest.report import EventLog
from backtest.run import limits_for
from backtest.venue_rows import VenueRows
from backtest.world import World
from benchmarks.engine import rows
from engine.catalog import load_catalog, make_settings
from tradebot.core.instruments import Instrument, Product
from tradebot.core.row_block import RowBlock
from tradebot.sim.rules import MarketRules

LIMITS: Final = Path(__file__).resolve().parents[2] / "config" / "limits" / "bench.yaml"
STRATEGIES: Final = Path(__file__).with_name("strategies.py")
INSTRUMENT_ID: Final = "binance:BTC-USDT"
KINDS: Final = {"touch": "bench_touch", "pairs": "bench_pairs", "requote": "bench_requote", "grpc": "bench_requote"}
LEAD_NS: Final = 2_000_000_000
CONFIG: Final = BacktestConfig(
    limits=LIMITS,
    latency=LatencyConfig(entry=ConstantPath(ms=10.0), response=ConstantPath(ms=10.0)),
    event_grid_ms=1.0,
    unprotected_s=1e9,
    balances={"USDT": Decimal(10_000_000), "BTC": Decimal(1_000)},
    maker_fee_bps=Decimal(0),
    taker_fee_bps=Decimal(0),
)


def market_rules() -> MarketRules:
    """The data's instrument: tick 0.1, lot 0.001."""
    instrument = Instrument(
        instrument_id=INSTRUMENT_ID,
        venue="binance",
        venue_symbol="BTCUSDT",
        product=Product.SPOT,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(1_000),
        market_max_qty=Decimal(1_000),
        min_notional=Decimal(5),
        order_types=frozenset({"LIMIT", "STOP_LIMIT"}),
    )
    return MarketRules(instrument, Decimal("0.1"), Decimal(1_000_000))


@cache
def load(folder: str) -> RowBlock:
    """Read one data folder once."""
    return rows.load(Path(folder))


async def simulate(data: RowBlock, mode: str) -> dict[str, Any]:
    """Run once; the clock covers the run, not the reading of the data nor the start of a process."""
    rules = market_rules()
    start_ns = (int(data.receive_time_ns[0]) - LEAD_NS) // 10**9 * 10**9
    kind = KINDS[mode]
    catalog = load_catalog([str(STRATEGIES)])
    params = {"stop_loss_fraction": None, "time_to_live_ms": 60_000}
    settings = make_settings(catalog, "bench", kind, (INSTRUMENT_ID,), params)
    world = World(CONFIG, limits_for(LIMITS, "bench"), [rules], start_ns)
    log = EventLog(None)
    async with AsyncExitStack() as stack:
        engine: Engine
        if mode == "grpc":
            entry: dict[str, object] = {"id": "bench", "kind": kind, "instruments": [INSTRUMENT_ID], "params": params}
            engine = await stack.enter_async_context(
                engine_process(strategies_text([entry]), [str(STRATEGIES)], [rules.instrument], start_ns)
            )
        else:
            engine = EngineInside(catalog, [settings], [rules.instrument], start_ns)
        harness = Harness(
            engine,
            world,
            start_ns=start_ns,
            grid_ns=CONFIG.event_grid_ns,
            link_ns=CONFIG.link_latency_ns,
            on_intent=log.wish,
            on_outcome=lambda one: log.answer(one.at_ns, one.answer) if one.answer is not None else None,
            with_depth=True,
        )
        begin = time.perf_counter()
        await harness.run(VenueRows(rows.batches(data), 1, world.add_venue_rows).received(), LEAD_NS)
        wall_s = time.perf_counter() - begin
    return {
        "wall_s": wall_s,
        "rows": world.rows_applied,
        "steps": harness.steps,
        "submits": log.intents,
        "cancels": log.cancels,
        "refused": log.refused,
        "refusals": log.refusals,
        "fills": world.fills,
        "venue_requests": world.orders_sent,
        "warnings": [text for _, level, _, text in world.notices if level != "info"][:3],
    }


def run(job: dict[str, str]) -> dict[str, Any]:
    """Simulate once."""
    return asyncio.run(simulate(load(job["data"]), job["mode"]))


if __name__ == "__main__":
    from benchmarks.sim.worker import serve

    serve(run)
