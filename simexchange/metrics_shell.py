"""Prometheus figures of the exchange, brought up to date once a second."""

from __future__ import annotations

import asyncio
from typing import Final

from simexchange.service import Exchange
from tradebot.runtime.metrics import Metrics

INTERVAL_S: Final = 1.0


class ExchangeMetrics:
    """Counters and gauges."""

    def __init__(self, metrics: Metrics, exchange: Exchange) -> None:
        self._exchange = exchange
        self._requests = metrics.total(
            "requests_total",
            "Requests over REST and the request API; status none: a fault swallowed the answer",
            ("endpoint", "status"),
        )
        self._fills = metrics.total("fills_total", "Fills of accounts since start", ("symbol",))
        self._faults = metrics.total("faults_total", "Faults that struck since start", ("kind",))
        self._switches = metrics.gauge("fault_switches", "Fault switches that are on")
        self._open = metrics.gauge("orders_open", "Resting orders of accounts")
        self._connections = metrics.gauge("connections", "Open WebSocket connections", ("kind",))

    async def run(self) -> None:
        """Set them, for ever."""
        while True:
            self.update()
            await asyncio.sleep(INTERVAL_S)

    def update(self) -> None:
        """Set them once."""
        venue = self._exchange.venue
        for (endpoint, status), count in venue.answers.items():
            self._requests.set(count, endpoint, status)
        for symbol, count in venue.fills.items():
            self._fills.set(count, symbol)
        for kind, count in venue.faults.strikes.items():
            self._faults.set(count, kind)
        self._switches.set(len(venue.faults.rules))
        self._open.set(venue.engine.open_count)
        for kind, count in self._exchange.connections.items():
            self._connections.labels(kind).set(count)
