"""The running exchange: venue core, its two ports, and the loop that keeps the market's time.

`Exchange` runs in a daemon and, on free ports, inside a test.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from simexchange.account_file import AccountFile
from simexchange.config import SimexchangeConfig
from simexchange.faults import NOW_KINDS, make_rule
from simexchange.feeds import Feed, RecordedLine, ReplayFeed
from simexchange.http_server import HttpServer
from simexchange.kept import head_of
from simexchange.rows_feed import FollowFeed
from simexchange.venue import AccountSetup, SimVenue, SymbolSetup, synthetic_feed
from simexchange.ws_server import WsServer
from tradebot.core.errors import ConfigError
from tradebot.runtime.clock import Clock, SystemClock
from tradebot.sim.engine import FeeRates
from tradebot.sim.rng import SplitMix64
from tradebot.sim.warm_up import warm_up
from tradebot.venues import load_venue_part

TICK_S: Final = 0.010
"""Longest sleep of the market loop."""
MIN_SLEEP_S: Final = 0.001
MICROSECOND_STAMPS_BELOW: Final = 10**17
"""A receive time below this is in microseconds."""
ACCOUNT: Final = "main"
MARK_S: Final = 1.0
"""Prices and trade ids of the markets are kept so often while no account changes."""
UNSEEN_TRADE_IDS: Final = 10_000
"""Ids left out after a restart, for the public trades since the last mark."""

_log = structlog.get_logger(__name__)


class Exchange:
    """One simulated venue on loopback."""

    def __init__(
        self,
        config: SimexchangeConfig,
        *,
        venue_name: str,
        api_key: str,
        api_secret: str,
        account: str = ACCOUNT,
        read_keys: Mapping[str, str] | None = None,
        followed: Sequence[SymbolSetup] | None = None,
        order_latency_ms: float = 0.0,
        state: Path | None = None,
        clock: Clock | None = None,
        on_finished: Callable[[], None] | None = None,
        on_crash: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        """Build it; nothing runs before `start`.

        Args:
            config: Section of the environment file.
            venue_name: Venue folder whose protocol is spoken.
            api_key: The account's one key.
            api_secret: Its secret.
            account: Name of the account.
            read_keys: API key -> secret of those that may only read it.
            followed: Markets of a feed that is followed; None = the configured ones, with a market of our own.
            order_latency_ms: From the arrival of a request that changes an order to its effect; see `FollowConfig`.
            state: Folder in which the account outlives the process; None = nothing is kept.
            clock: Process clock.
            on_finished: Called once when a recording has ended.
            on_crash: Called when the market loop fails; without it the error ends up in `stop`.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._account = account
        self._on_finished = on_finished
        self._on_crash = on_crash
        self._rng = SplitMix64(config.seed)
        self._is_recorded = bool(config.replay) or followed is not None
        self.venue = SimVenue(
            [one.setup(venue_name, symbol) for symbol, one in config.symbols.items()] if followed is None else followed,
            [AccountSetup(account, api_key, api_secret, config.money_balances(), read_keys or {})],
            FeeRates(config.maker_bps, config.taker_bps),
            config.limits.limits(),
            load_venue_part(venue_name, "server_protocol", "SERVER"),
            self._rng,
            is_recorded=self._is_recorded,
        )
        self._follows = followed is not None
        self._order_latency_ms = order_latency_ms
        self._state = state
        self._kept: AccountFile | None = None
        self._mark_ns = 0
        self._ws: WsServer | None = None
        self._http: HttpServer | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._said_finished = False
        self.rest_port = 0
        self.ws_port = 0

    @property
    def rest_url(self) -> str:
        """Base of the REST API."""
        return f"http://{self._config.host}:{self.rest_port}"

    @property
    def market_ws_url(self) -> str:
        """Base of the market streams, without a path."""
        return f"ws://{self._config.host}:{self.ws_port}"

    @property
    def trade_ws_url(self) -> str:
        """Address of the request API."""
        return f"{self.market_ws_url}/ws-api/v3"

    async def start(self) -> None:
        """Open the market and listen."""
        config = self._config
        warm_up(is_recorded=self._is_recorded)
        if self._state is not None:
            self._go_on(self._state)
        self.venue.start(self._make_feed, self._clock.now_ns())
        self._ws = WsServer(
            self.venue,
            self._clock,
            self.run_market,
            delay_ms=config.response_delay_ms,
            order_latency_ms=self._order_latency_ms,
            ping_interval_s=config.ping_interval_s,
            max_connection_s=config.max_connection_s,
        )
        self._http = HttpServer(
            self.venue,
            self._clock,
            self.run_market,
            delay_ms=config.response_delay_ms,
            order_latency_ms=self._order_latency_ms,
            admin=config.admin,
            account=self._account,
            cut=self._cut,
            describe=self._describe,
        )
        for i, values in enumerate(config.faults):
            rule = make_rule(values, f"simexchange.faults.{i}")
            if rule.kind in NOW_KINDS:
                raise ConfigError(
                    f"simexchange.faults.{i}.kind: {rule.kind} is for run time only: POST it to /sim/faults"
                )
            self.venue.faults.add(rule)
        self.ws_port = await self._ws.start(config.host, config.ws_port)
        self.rest_port = await self._http.start(config.host, config.rest_port)
        self._loop_task = asyncio.create_task(self._keep_time(), name="simexchange market")
        self._loop_task.add_done_callback(self._loop_ended)

    async def stop(self) -> None:
        """Close ports and stop the market."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        for server in (self._http, self._ws):
            if server is not None:
                await server.stop()
        if self._kept is not None:
            self._kept.close()

    def _go_on(self, state: Path) -> None:
        """Take up what an earlier process left, if anything, and keep what happens from now on."""
        venue = self.venue
        kept = self._kept = AccountFile(state, head_of(venue.engine.accounts, venue.symbols), venue.facts)
        past = kept.read()
        if past is not None:
            venue.restore(past)
            for market in venue.engine.markets:
                market.next_trade_id += UNSEEN_TRADE_IDS
            _log.info("account_restored", file=str(kept.path), open_orders=venue.engine.open_count)
        kept.rewrite()
        venue.on_change = kept.add

    def _mark(self) -> None:
        """Keep where the markets stand, now and then."""
        now_ns = self._clock.now_ns()
        if self._kept is not None and now_ns >= self._mark_ns:
            self._mark_ns = now_ns + round(MARK_S * 1e9)
            self._kept.add(self.venue.standing())

    async def __aenter__(self) -> Exchange:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # --- the market ------------------------------------------------------------------------------------------------

    def run_market(self) -> None:
        """Bring the market up to now and send what it made."""
        venue, ws = self.venue, self._ws
        venue.run_to(self._clock.now_ns())
        if ws is None:
            return
        if venue.frames:
            ws.send_frames(venue.take_frames())
        if venue.account_events:
            ws.send_account_events(venue.take_account_events())

    async def _keep_time(self) -> None:
        while True:
            self.run_market()
            self._mark()
            feed = self.venue.feed
            if feed.is_finished and not self._said_finished:
                self._said_finished = True
                _log.info("replay_finished", then=self._config.when_finished)
                if self._on_finished is not None:
                    self._on_finished()
            next_ns = feed.next_ns()
            wait_s = TICK_S if next_ns is None else (next_ns - self._clock.now_ns()) / 1e9
            await asyncio.sleep(min(TICK_S, max(MIN_SLEEP_S, wait_s)))

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._on_crash is not None:
            self._on_crash("market loop", error)

    def _make_feed(self, venue: SimVenue, start_ns: int) -> Feed:
        config = self._config
        if self._follows:
            return FollowFeed(venue, _say_gap)
        if not config.replay:
            return synthetic_feed(venue, start_ns, config.history_s)
        return ReplayFeed(
            venue.engine,
            recorded_lines(config.replay),
            venue.server.recordings,
            venue.publishers,
            venue.on_events,
            start_ns,
            config.speed,
            venue.loses_diff,
        )

    # --- admin -----------------------------------------------------------------------------------------------------

    @property
    def connections(self) -> dict[str, int]:
        """Open WebSocket connections by kind."""
        return self._ws.connections if self._ws else {}

    def _cut(self, kind: str) -> None:
        self.venue.faults.strikes[kind] += 1
        if self._ws is not None:
            if kind == "disconnect_streams":
                self._ws.cut_streams()
            else:
                self._ws.cut_requests()

    def _describe(self) -> dict[str, Any]:
        ws = self._ws
        return {
            "replay_finished": self.venue.feed.is_finished,
            "feed_gaps": feed.gaps if isinstance(feed := self.venue.feed, FollowFeed) else 0,
            "order_latency_ms": self._order_latency_ms,
            "connections": self.connections,
            "requests": ws.requests if ws else 0,
            "now_ns": self._clock.now_ns(),
        }


def _say_gap(instrument_id: str, reason: str, canceled: int) -> None:
    _log.warning("feed_gap", instrument_id=instrument_id, reason=reason, orders_canceled=canceled)


def recorded_lines(paths: Sequence[Path]) -> Iterator[RecordedLine]:
    """Yield the lines of recordings, read as one stream.

    Raises:
        ConfigError: If a file cannot be read or a line is no `<receive time> <frame>`.
    """
    for path in paths:
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    stamp, _, raw = line.partition(b" ")
                    if not stamp.isdigit() or not raw:
                        raise ConfigError(f"{path}: line {number} is not '<receive time> <frame>'")
                    receive_ns = int(stamp)
                    yield receive_ns * 1_000 if receive_ns < MICROSECOND_STAMPS_BELOW else receive_ns, raw
        except (OSError, EOFError) as exc:
            raise ConfigError(f"{path}: recording cannot be read ({exc}): check simexchange.replay") from exc
