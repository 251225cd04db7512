"""The exchange's figures, read as Prometheus reads them."""

from __future__ import annotations

import asyncio
import json

import aiohttp
from websockets.asyncio.client import connect

from simexchange.config import SimexchangeConfig
from simexchange.metrics_shell import ExchangeMetrics
from simexchange.service import Exchange
from tests.simexchange.kit import KEY, SECRET, ws_params
from tests.support.scrape import scrape
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.config import MetricsConfig
from tradebot.runtime.metrics import Metrics

P = "tradebot_simexchange_"


async def test_requests_by_endpoint_and_status_fills_and_faults_are_served() -> None:
    config = SimexchangeConfig(rest_port=0, ws_port=0, history_s=60, response_delay_ms=(0.0, 0.0))
    async with Exchange(config, venue_name="binance", api_key=KEY, api_secret=SECRET) as exchange:
        with Metrics("simexchange") as metrics:
            metrics.serve(MetricsConfig(ports={"simexchange": 0}))
            shown = ExchangeMetrics(metrics, exchange)
            async with aiohttp.ClientSession() as http:
                for path in ("time", "time", "nowhere"):
                    async with http.get(f"{exchange.rest_url}/api/v3/{path}"):
                        pass
                async with http.post(f"{exchange.rest_url}/sim/faults", json={"kind": "drop", "action": "read"}):
                    pass
            async with connect(exchange.trade_ws_url) as requests:
                await requests.send(json.dumps({"id": 1, "method": "time"}))  # its answer is dropped
                for number, qty in ((2, "0.001"), (3, "0")):
                    params = ws_params(
                        SystemClock().now_ns() // 1_000_000, symbol="BTCUSDT", side="BUY", type="MARKET", quantity=qty
                    )
                    await requests.send(json.dumps({"id": number, "method": "order.place", "params": params}))
                    await requests.recv()
                shown.update()
                seen = await asyncio.to_thread(scrape, metrics.port)

    assert seen[f'{P}requests_total{{endpoint="time",status="200"}}'] == 2
    assert seen[f'{P}requests_total{{endpoint="time",status="none"}}'] == 1
    assert seen[f'{P}requests_total{{endpoint="unknown",status="404"}}'] == 1
    assert seen[f'{P}requests_total{{endpoint="place",status="200"}}'] == 1
    assert seen[f'{P}requests_total{{endpoint="place",status="400"}}'] == 1
    assert seen[f'{P}fills_total{{symbol="BTCUSDT"}}'] >= 1
    assert seen[f'{P}faults_total{{kind="drop"}}'] == 1
    assert seen[f"{P}fault_switches"] == 0
    assert seen[f'{P}connections{{kind="requests"}}'] == 1
