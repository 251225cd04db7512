"""Prometheus figures of riskd, set once a second from what the gate knows anyway."""

from __future__ import annotations

import asyncio
from typing import Final

from riskd.reports import pnl
from riskd.shell import LiveGate
from tradebot.runtime.metrics import Metrics

INTERVAL_S: Final = 1.0


class GateMetrics:
    """Gauges and counters."""

    def __init__(self, metrics: Metrics, live: LiveGate) -> None:
        self._live = live
        self._level = metrics.gauge("trading_level", "Level of the system scope, 0 RUNNING to 5 KILLED")
        self._holds = metrics.gauge("holds", "Holds in force")
        self._approvals = metrics.gauge("approvals", "Asks allowed since the state began")
        self._refusals = metrics.gauge("refusals", "Asks refused since the state began")
        self._check_us = metrics.gauge("check_us_p50", "Median time per ask: checks, signing and records")
        self._equity = metrics.gauge("equity", "Equity in account currency; NaN when an input is missing")
        self._day_pnl_pct = metrics.gauge("day_pnl_pct", "Day PnL in percent of the day's first equity")
        self._gross = metrics.gauge("gross_exposure", "Sum of position notionals in account currency")
        self._session = metrics.gauge("session_up", "1 while execd's session is up")

    async def run(self) -> None:
        """Set them, for ever."""
        live, gate = self._live, self._live.gate
        while True:
            report = pnl(gate, live.clock.now_ns())
            self._level.set(int(gate.state.holds.system_level()))
            self._holds.set(len(gate.state.holds.holds))
            self._approvals.set(gate.state.approvals)
            self._refusals.set(gate.state.refusals)
            self._check_us.set(live.decide_us_p50())
            self._equity.set(float("nan") if report.equity is None else float(report.equity))
            self._day_pnl_pct.set(report.day_pct)
            self._gross.set(float(report.gross))
            self._session.set(live.session_up)
            await asyncio.sleep(INTERVAL_S)
