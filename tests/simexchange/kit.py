"""A simulated venue without sockets, and a client that signs requests for it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from simexchange.config import SimexchangeConfig
from simexchange.kept import VenueFacts
from simexchange.venue import AccountSetup, SimVenue, synthetic_feed
from tradebot.sim.engine import FeeRates
from tradebot.sim.rng import SplitMix64
from tradebot.venues import load_venue_part
from tradebot.venues.server_api import HttpAnswer, HttpRequest

VENUE = "binance"
KEY, SECRET = "test-key", "test-secret"
READ_KEY, READ_SECRET = "look-key", "look-secret"
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def signature(text: str, secret: str = SECRET) -> str:
    """Return the hex HMAC of the test account."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def ws_params(now_ms: int, api: tuple[str, str] = (KEY, SECRET), **params: Any) -> dict[str, Any]:
    """Return signed WebSocket API parameters."""
    signed = {**params, "apiKey": api[0], "timestamp": now_ms}
    text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
    return {**signed, "signature": signature(text, api[1])}


class PureExchange:
    """The synthetic venue on a clock that moves when told to."""

    def __init__(self, past: VenueFacts | None = None, now_ns: int = START_NS, **config: Any) -> None:
        """Open the market; `past` is what an earlier process left."""
        self.config = SimexchangeConfig(**({"seed": 11, "history_s": 60} | config))
        self.venue = SimVenue(
            [one.setup(VENUE, name) for name, one in self.config.symbols.items()],
            [AccountSetup("main", KEY, SECRET, self.config.money_balances(), {READ_KEY: READ_SECRET})],
            FeeRates(self.config.maker_bps, self.config.taker_bps),
            self.config.limits.limits(),
            load_venue_part(VENUE, "server_protocol", "SERVER"),
            SplitMix64(self.config.seed),
            is_recorded=False,
        )
        self.now_ns = now_ns
        if past is not None:
            self.venue.restore(past)
        self.api = (KEY, SECRET)
        """Who signs."""
        self.venue.start(lambda venue, at_ns: synthetic_feed(venue, at_ns, self.config.history_s), self.now_ns)
        self.session = self.venue.server.session("127.0.0.1", self.now_ns)

    def advance(self, seconds: float) -> None:
        """Let the market run."""
        self.now_ns += round(seconds * 1e9)
        self.venue.run_to(self.now_ns)

    @property
    def now_ms(self) -> int:
        return self.now_ns // MS

    def ask(self, symbol: int = 0) -> str:
        """Return the best ask as text."""
        return str(self.venue.symbols[symbol].instrument.price(self.venue.touch(symbol).ask))

    def price(self, factor: float, symbol: int = 0) -> str:
        """Return the best ask times a factor, on a tick."""
        return str(self.venue.symbols[symbol].instrument.price(round(self.venue.touch(symbol).ask * factor)))

    def ws(self, method: str, *, signed: bool = True, **params: Any) -> Any:
        """Ask over the request API; returns the decoded answer."""
        sent = ws_params(self.now_ms, self.api, **params) if signed else params
        raw = json.dumps({"id": "r1", "method": method, "params": sent})
        server = self.venue.server
        return json.loads(server.perform(self.session, server.prepare(raw), self.now_ns))

    def place(self, **params: Any) -> Any:
        """Place an order on BTCUSDT; returns the whole answer."""
        return self.ws("order.place", **({"symbol": "BTCUSDT"} | params))

    def limit(self, side: str, price: str, quantity: str = "0.001", **params: Any) -> Any:
        """Place a GTC limit order; returns the whole answer."""
        return self.place(side=side, type="LIMIT", timeInForce="GTC", price=price, quantity=quantity, **params)

    def rest(self, method: str, path: str, *, signed: bool = True, **params: Any) -> HttpAnswer:
        """Ask over REST."""
        headers: dict[str, str] = {}
        if signed:
            params = {**params, "timestamp": self.now_ms}
            headers["x-mbx-apikey"] = self.api[0]
        text = urlencode(params)
        if signed:
            text += f"&signature={signature(text, self.api[1])}"
        query, body = ("", text) if method == "POST" else (text, "")
        request = HttpRequest(method, path, query, body, headers, "127.0.0.1")
        return self.venue.server.rest(request, self.now_ns)

    def get(self, path: str, *, signed: bool = False, **params: Any) -> Any:
        """GET and decode."""
        answer = self.rest("GET", path, signed=signed, **params)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def events(self) -> list[dict[str, Any]]:
        """Take the account events so far, decoded."""
        return [json.loads(event) for _, event in self.venue.take_account_events()]
