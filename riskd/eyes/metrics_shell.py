"""Prometheus figures of the eyes, brought up to date once a second."""

from __future__ import annotations

import asyncio
from typing import Final

from riskd.eyes.shell import Eyes
from tradebot.runtime.clock import NS_PER_S, Clock
from tradebot.runtime.metrics import Metrics

INTERVAL_S: Final = 1.0


class EyesMetrics:
    """Counters and gauges."""

    def __init__(self, metrics: Metrics, eyes: Eyes, clock: Clock) -> None:
        self._eyes = eyes
        self._clock = clock
        self._looks = metrics.total("looks_total", "Complete looks at a venue since start", ("venue",))
        self._failed = metrics.total("failed_looks_total", "Looks that a read ended", ("venue",))
        self._took = metrics.gauge("look_seconds", "How long the last complete look took", ("venue",))
        self._age = metrics.gauge(
            "look_age_seconds", "Since the last complete look, since start before the first", ("venue",)
        )
        self._reports = metrics.total("reports_total", "Reports made to riskd since start")
        self._accepted = metrics.total("accepted_reports_total", "Reports that riskd took")
        self._drift = metrics.gauge("drift_suspected", "1 while riskd wants another look at something that differs")

    async def run(self) -> None:
        """Set them, for ever."""
        while True:
            self.update()
            await asyncio.sleep(INTERVAL_S)

    def update(self) -> None:
        """Set them once."""
        eyes, now_ns = self._eyes, self._clock.now_ns()
        for eye in eyes.venues:
            self._looks.set(eye.looks, eye.name)
            self._failed.set(eye.failures, eye.name)
            self._took.labels(eye.name).set(eye.last_look_ms / 1_000)
            self._age.labels(eye.name).set((now_ns - (eye.last_ns or eyes.epoch)) / NS_PER_S)
        self._reports.set(eyes.sequence)
        self._accepted.set(eyes.accepted)
        self._drift.set(eyes.differs)
