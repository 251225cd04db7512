"""Prometheus figures of execd, brought up to date once a second: the order path itself counts nothing twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final

from prometheus_client import Histogram

from execd.latency import LatencyRing
from execd.shell import LiveDesk
from tradebot.runtime.clock import NS_PER_S
from tradebot.runtime.journal import Journal
from tradebot.runtime.metrics import Metrics

INTERVAL_S: Final = 1.0
MAX_REASONS: Final = 100
"""Label values per counter; reasons are our own words, so more of them are a bug."""
OTHER: Final = "OTHER"


class ExecdMetrics:
    """Counters, gauges and histograms."""

    def __init__(self, metrics: Metrics, live: LiveDesk, journal: Journal) -> None:
        self._live = live
        self._journal = journal
        self._sent = metrics.total("orders_sent_total", "Orders written to a venue since start")
        self._fills = metrics.total("fills_total", "Fills booked, those read back from the journal included")
        self._refused = metrics.total("intents_refused_total", "Intents that riskd or execd refused", ("reason",))
        self._rejected = metrics.total("orders_rejected_total", "Orders that a venue proved not to take", ("reason",))
        self._open = metrics.gauge("orders_open", "Orders that may still work, unproven ones included")
        self._unknown = metrics.gauge("orders_unknown", "Orders whose outcome is not proven")
        self._link = metrics.gauge("venue_link_up", "1 while the private stream is connected and logged in", ("venue",))
        self._link_age = metrics.gauge("venue_link_age_seconds", "Since the private stream's last frame", ("venue",))
        self._lease = metrics.gauge("risk_lease_valid", "1 while riskd's lease allows entries")
        self._pending = metrics.gauge("journal_pending_records", "Records that wait for the disk")
        self._disk = metrics.histogram("journal_write_seconds", "Time until a group of records is on disk")
        self._rings: list[tuple[LatencyRing, Histogram]] = [
            (live.tick_to_wire, metrics.histogram("tick_to_wire_seconds", "marketdata's row to the order's last byte")),
            (live.frame_to_wire, metrics.histogram("frame_to_wire_seconds", "The venue's frame to the order")),
            (live.risk_round_trip, metrics.histogram("risk_round_trip_seconds", "Ask to riskd's answer")),
            (live.ack_latency, metrics.histogram("order_ack_seconds", "Order to the venue's answer")),
        ]
        self._seen = [0 for _ in self._rings]
        self._written_ns = time.monotonic_ns()

    async def run(self) -> None:
        """Set them, for ever."""
        while True:
            self.update()
            await asyncio.sleep(INTERVAL_S)

    def update(self) -> None:
        """Set them once."""
        live, state = self._live, self._live.desk.state
        now_ns = live.clock.now_ns()
        self._sent.set(live.orders_sent)
        self._fills.set(state.orders.fill_count)
        for counts, totals in ((live.intents_refused, self._refused), (live.orders_rejected, self._rejected)):
            by_label: Counter[str] = Counter()
            for index, (reason, count) in enumerate(counts.items()):
                by_label[reason if reason and index < MAX_REASONS else OTHER] += count
            for label, count in by_label.items():
                totals.set(count, label)
        self._open.set(state.orders.working_count)
        self._unknown.set(state.orders.unknown_count)
        for name in state.venues:
            link, age_ms = live.link_state(name)
            self._link.labels(name).set(link == "live")
            self._link_age.labels(name).set(age_ms / 1_000)
        self._lease.set(state.link.lease_valid(now_ns))
        self._pending.set(self._journal.pending_records)
        self._observe()

    def _observe(self) -> None:
        for index, (ring, histogram) in enumerate(self._rings):
            for sample_ns in ring.since(self._seen[index]):
                histogram.observe(sample_ns / NS_PER_S)
            self._seen[index] = ring.count
        until_ns = time.monotonic_ns()
        for took_ns in self._journal.syncs_since(self._written_ns, until_ns):
            self._disk.observe(took_ns / NS_PER_S)
        self._written_ns = until_ns
