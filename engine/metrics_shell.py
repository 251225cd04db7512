"""Prometheus figures of the engine, set once a second from what it counts anyway."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.shell import LiveEngine
from tradebot.runtime.metrics import Metrics

INTERVAL_S: Final = 1.0


class EngineMetrics:
    """Gauges over the counters of the live engine; per strategy where it says so."""

    def __init__(self, metrics: Metrics, engine: LiveEngine) -> None:
        self._engine = engine
        self._rows = metrics.gauge("rows", "Market data rows taken since start")
        self._conflated = metrics.gauge("conflated_rows", "Rows left out for us on the current stream")
        self._lost = metrics.gauge("intents_lost", "Intents that could not be handed to execd")
        self._market_up = metrics.gauge("market_up", "1 while the market data stream is up")
        self._execution_up = metrics.gauge("execution_up", "1 while execd's stream is up")
        self._books_live = metrics.gauge("books_live", "Traded instruments whose book is LIVE")
        self._signals = metrics.gauge("signals", "Signals since start", ("strategy",))
        self._intents = metrics.gauge("intents", "Intents since start", ("strategy",))
        self._refusals = metrics.gauge("refusals", "Intents refused since start", ("strategy",))
        self._enabled = metrics.gauge("strategy_enabled", "1 while the strategy may enter", ("strategy",))
        self._faulted = metrics.gauge("strategy_faulted", "1 after the strategy raised an error", ("strategy",))

    async def run(self) -> None:
        """Set them, for ever."""
        while True:
            self.update()
            await asyncio.sleep(INTERVAL_S)

    def update(self) -> None:
        """Set them once."""
        engine = self._engine
        core = engine.core
        engine.report_faults()
        self._rows.set(engine.rows)
        self._conflated.set(engine.conflated_rows)
        self._lost.set(engine.lost_intents)
        self._market_up.set(engine.market_up)
        self._execution_up.set(core.execution_up)
        self._books_live.set(sum(market.live for market in core.markets.values()))
        for name, run in core.runs.items():
            self._signals.labels(name).set(run.signals)
            self._intents.labels(name).set(run.intents)
            self._refusals.labels(name).set(run.refusals)
            self._enabled.labels(name).set(run.enabled)
            self._faulted.labels(name).set(bool(run.fault))
