"""execd's figures, read as Prometheus reads them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from execd.latency import SAMPLES, LatencyRing
from execd.metrics_shell import MAX_REASONS, OTHER, ExecdMetrics
from execd.orders import Order
from tests.execd.live_kit import LiveKit, live_kit
from tests.support.scrape import scrape
from tradebot.core.orders import OrderRole
from tradebot.runtime.config import MetricsConfig
from tradebot.runtime.metrics import Metrics

P = "tradebot_execd_"


async def figures(kit: LiveKit, metrics: Metrics, shown: ExecdMetrics) -> dict[str, float]:
    kit.journal.flush()
    shown.update()
    return await asyncio.to_thread(scrape, metrics.port)


async def test_orders_fills_refusals_and_times_are_served(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        with Metrics("execd") as metrics:
            metrics.serve(MetricsConfig(ports={"execd": 0}))
            shown = ExecdMetrics(metrics, kit.live, kit.journal)
            kit.submit(kit.market_intent(qty="0.01"))
            await kit.until(lambda: bool(kit.resting_stops()), "stop rests")
            kit.submit(kit.market_intent(qty="0.0000001"))  # no multiple of the lot
            await kit.fault(kind="reject", action="place", count=1)
            kit.submit(kit.market_intent(qty="0.01"))
            await kit.until(lambda: any(not o.working and not o.state.filled_qty for o in entries(kit)), "rejected")
            seen = await figures(kit, metrics, shown)
            again = await figures(kit, metrics, shown)

    assert seen[f"{P}orders_sent_total"] == 3
    assert seen[f"{P}fills_total"] == kit.desk.state.orders.fill_count >= 1
    assert seen[f'{P}intents_refused_total{{reason="INTENT_MALFORMED"}}'] == 1
    assert sum(count for name, count in seen.items() if name.startswith(f"{P}orders_rejected_total")) == 1
    assert (seen[f"{P}orders_open"], seen[f"{P}orders_unknown"]) == (1, 0)
    assert seen[f'{P}venue_link_up{{venue="binance"}}'] == 1
    assert seen[f"{P}risk_lease_valid"] == 1
    assert seen[f"{P}journal_write_seconds_count"] >= 3
    assert seen[f"{P}risk_round_trip_seconds_count"] == 2
    assert seen[f"{P}order_ack_seconds_count"] >= 2
    assert again[f"{P}orders_sent_total"] == 3
    assert again[f"{P}risk_round_trip_seconds_count"] == 2  # nothing is counted twice


def entries(kit: LiveKit) -> list[Order]:
    return kit.orders(OrderRole.ENTRY)


async def test_a_venue_that_is_gone_shows(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        with Metrics("execd") as metrics:
            metrics.serve(MetricsConfig(ports={"execd": 0}))
            shown = ExecdMetrics(metrics, kit.live, kit.journal)
            kit.session.drop("a test")
            await kit.until(lambda: not kit.session.connected, "the link to be lost")
            seen = await figures(kit, metrics, shown)

    assert seen[f'{P}venue_link_up{{venue="binance"}}'] == 0


async def test_more_reasons_than_there_may_be_are_counted_together(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        with Metrics("execd") as metrics:
            metrics.serve(MetricsConfig(ports={"execd": 0}))
            shown = ExecdMetrics(metrics, kit.live, kit.journal)
            for number in range(MAX_REASONS + 5):
                kit.live.intents_refused[f"R{number}"] += 1
            seen = await figures(kit, metrics, shown)

    assert seen[f'{P}intents_refused_total{{reason="{OTHER}"}}'] == 5


def test_a_ring_returns_what_came_since_and_what_it_still_has() -> None:
    ring = LatencyRing()
    for sample in range(SAMPLES + 10):
        ring.add(sample)

    assert ring.since(ring.count - 3) == [SAMPLES + 7, SAMPLES + 8, SAMPLES + 9]
    assert ring.since(ring.count) == []
    assert ring.since(0) == list(range(10, SAMPLES + 10))
