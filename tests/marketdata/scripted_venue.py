"""A venue that does what a test says and nothing else: static REST answers, a socket that is as rude as wished."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import picows
from aiohttp import web

from tests.venues import binance_frames as frames
from tradebot.runtime.config import VenueConfig


class ScriptedVenue:
    """`async with ScriptedVenue(["BTCUSDT"]) as venue:`"""

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        self.answers_pings = True
        self.subscription_error = ""
        self.connections: list[picows.WSTransport] = []
        self.paths: list[str] = []
        self.received: list[dict[str, Any]] = []
        self.received_at: list[float] = []
        self.rest_paths: list[str] = []
        self.rest_status = 200
        self.changed = asyncio.Event()

    @property
    def config(self) -> VenueConfig:
        """What points a daemon here."""
        return VenueConfig(
            rest_url=f"http://127.0.0.1:{self._rest_port}",
            market_ws_url=f"ws://127.0.0.1:{self._ws_port}",
            trade_ws_url="",
            symbols=tuple(self.symbols),
        )

    async def __aenter__(self) -> ScriptedVenue:
        application = web.Application()
        application.router.add_get("/api/v3/{name}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._rest_port = self._runner.addresses[0][1]
        self._server = await picows.ws_create_server(
            lambda request: _Peer(self, request.path.decode()), "127.0.0.1", 0, enable_auto_pong=False
        )
        self._ws_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for transport in self.connections:
            transport.disconnect(False)
        await self._runner.cleanup()

    def send(self, payload: dict[str, Any], stream: str = "") -> None:
        """Send a combined frame on the newest connection."""
        self.connections[-1].send(picows.WSMsgType.TEXT, frames.combined(payload, stream))

    async def until(self, condition: Any, what: str) -> None:
        """Wait until something is true of this venue."""
        try:
            async with asyncio.timeout(10):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"never: {what}") from None

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.rest_paths.append(name)
        self.changed.set()
        if self.rest_status != 200:
            return web.json_response({"code": -1003, "msg": "slow down"}, status=self.rest_status)
        if name == "exchangeInfo":
            listed = [frames.symbol(symbol=symbol, baseAsset=symbol.removesuffix("USDT")) for symbol in self.symbols]
            return web.Response(body=frames.exchange_info(*listed))
        return web.json_response({"lastUpdateId": 10, "bids": [["100.00", "1"]], "asks": [["101.00", "1"]]})


class _Peer(picows.WSListener):
    def __init__(self, venue: ScriptedVenue, path: str) -> None:
        self._venue = venue
        self._path = path

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._venue.connections.append(transport)
        self._venue.paths.append(self._path)
        self._venue.changed.set()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        venue = self._venue
        if frame.msg_type is picows.WSMsgType.PING:
            if venue.answers_pings:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type is picows.WSMsgType.TEXT:
            request = json.loads(frame.get_payload_as_bytes())
            venue.received.append(request)
            venue.received_at.append(asyncio.get_running_loop().time())
            answer: dict[str, Any] = {"result": None, "id": request["id"]}
            if venue.subscription_error:
                answer = {"error": {"code": 2, "msg": venue.subscription_error}, "id": request["id"]}
            transport.send(picows.WSMsgType.TEXT, json.dumps(answer).encode())
        venue.changed.set()
