"""execd's real shell against simexchange in the same process, with a risk daemon that allows everything.

What is real: journal on disk, WebSocket connection, REST reads, codecs, gateway, the exchange's matching. What is
not: riskd (its place takes `Approver`) and marketdata (quotes are taken from the exchange's own book).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from execd.approvals_shell import KeptApprovals
from execd.audit import AuditReport, audit_span, compare, read_facts
from execd.desk import Desk
from execd.latch import LatchBoard
from execd.restore import Restorer
from execd.risk_client import RiskClient
from execd.settings import DeskSettings, ProtectionSettings, UnknownSettings
from execd.shell import EventRow, LiveDesk
from execd.venue_session import VenueSession
from simexchange.config import LimitsConfig, SimexchangeConfig
from simexchange.service import Exchange
from tests.execd.desk_kit import ID_KEY, KEYS, Approver
from tests.support.builders import BTC, make_intent
from tradebot.core.approvals import ApprovalAsk, LeaseAnswer, LevelTable, SessionDown, SessionUp, Welcome
from tradebot.core.intents import IntentAnswer, OrderIntent
from tradebot.core.orders import OrderRole, OrderStatus, OrderType
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.config import VenueConfig
from tradebot.runtime.grpc_client import redial
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_reader import read_journal
from tradebot.runtime.venue_reader import VenueReader
from tradebot.venues.api_orders import VenueCredentials, VenueSnapshot
from tradebot.venues.binance.execution import EXECUTION

CREDENTIALS = VenueCredentials("test-key", "test-secret")
QUICK = DeskSettings(
    "demo",
    {"binance": "main"},
    request_timeout_ms=300,
    exit_timeout_ms=2_000,
    market_bound_bps=200,
    quote_max_age_ms=60_000,
    unknown=UnknownSettings(
        query_at_ms=(50, 100, 200), repeat_ms=100, margin_ms=100, proof_answers=3, proof_spread_ms=200
    ),
    protection=ProtectionSettings(settle_ms=20, retry_ms=100),
    recv_window_ms=500,
    ask_deadline_ms=2_000,
)
WAIT_S = 10.0


class LiveKit:
    """See the module."""

    def __init__(
        self, exchange: Exchange, state: Path, settings: DeskSettings, risk_channel: grpc.aio.Channel | None = None
    ) -> None:
        self._risk_channel = risk_channel
        self.exchange = exchange
        self.approver = Approver()
        self.answers: dict[str, IntentAnswer] = {}
        self.alarms: list[str] = []
        self._state = state
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._intents = 0

    async def start(self) -> None:
        """Start execd from its journal."""
        clock = SystemClock()
        config = VenueConfig(
            rest_url=self.exchange.rest_url,
            market_ws_url=self.exchange.market_ws_url,
            trade_ws_url=self.exchange.trade_ws_url,
            symbols=("BTCUSDT",),
        )
        self.rest = VenueReader(EXECUTION, config, CREDENTIALS, clock)
        instruments = {i.instrument_id: i for i in await self.rest.instruments()}
        codec = EXECUTION.codec(CREDENTIALS, list(instruments.values()), self._settings.recv_window_ms)
        self.desk = Desk(self._settings, instruments, {"binance": codec}, KEYS, ID_KEY, LatchBoard())
        restorer = Restorer(self.desk)
        self.journal = Journal.open(
            self._state,
            clock=clock,
            segment_bytes=1 << 20,
            on_record=lambda record: restorer.apply(record.record_type, record.payload),
            loop=asyncio.get_running_loop(),
        )
        restorer.finish()
        incarnation = restorer.log_incarnation or "log-1"
        self.kept = KeptApprovals(self.journal, self._state)
        self.live = LiveDesk(self.desk, self.journal, clock, incarnation, self.kept)
        lost = restorer.lost_approvals(self.kept.last_life)
        self.desk.start(incarnation, restorer.starts + 1, self.journal.appended_seq + 1, clock.now_ns(), lost)
        self.session = VenueSession(
            "binance",
            config.trade_ws_url,
            lambda: self.live.venue_up("binance"),
            lambda data: self.live.venue_frame("binance", data),
            lambda: self.live.venue_down("binance"),
        )
        self.live.attach(self.session, self.rest)
        self.live.start()
        self.clock = clock
        self.session_id = f"session-{time.monotonic_ns()}"
        self._tasks = [asyncio.create_task(self._dial()), asyncio.create_task(self._quotes())]
        if self._risk_channel is None:
            self.live.risk_connected(self.session_id, _Yes(self))
        else:
            client = RiskClient(self.live, self._risk_channel)
            self._tasks.append(asyncio.create_task(redial("riskd", client.session)))
            await self.until(lambda: self.desk.asks.ready, "session with riskd")
        await self.until(lambda: self.desk.state.venues["binance"].reconciled_ns > 0, "reconciled")

    async def stop(self) -> None:
        """Stop as a crash would: nothing is canceled at the venue."""
        self.live.stop()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.rest.close()
        self.journal.close()
        self.kept.close()

    async def _dial(self) -> None:
        await self.session.keep_connected(lambda: self.live.quiet_s("binance"))

    async def _quotes(self) -> None:
        """Play marketdata: the exchange's best prices, every few milliseconds."""
        instrument = self.desk.state.instruments[BTC]
        async with aiohttp.ClientSession() as http:
            while True:
                url = f"{self.exchange.rest_url}/api/v3/ticker/bookTicker?symbol=BTCUSDT"
                async with http.get(url) as response:
                    body = await response.json()
                quote = self.desk.state.quotes.quote(BTC)
                quote.bid_ticks = instrument.price_ticks_floor(Decimal(body["bidPrice"]))
                quote.ask_ticks = instrument.price_ticks_floor(Decimal(body["askPrice"]))
                quote.live, quote.receive_time_ns = True, self.clock.now_ns()
                self.live.quotes_moved([BTC])
                await asyncio.sleep(0.03)

    # ---- driving it

    def market_intent(self, role: OrderRole = OrderRole.ENTRY, **changes: Any) -> OrderIntent:
        """Return a MARKET intent."""
        self._intents += 1
        intent = make_intent(
            f"i{self._intents}-{self.session_id}",
            role=role,
            limit_price=None,
            created_time_ns=self.clock.now_ns(),
            **changes,
        )
        return replace(intent, order_type=OrderType.MARKET)

    def submit(self, intent: OrderIntent) -> str:
        """Send an intent; its answer lands in `answers`."""

        def sink(answer: IntentAnswer) -> None:
            self.answers[answer.intent_id] = answer

        self.live.submit([(intent, b"")], sink)
        return intent.intent_id

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is true."""
        end = asyncio.get_running_loop().time() + WAIT_S
        while not condition():
            if asyncio.get_running_loop().time() > end:
                orders = [
                    (o.facts.role.name, o.state.status.name, o.reason, o.detail)
                    for o in self.desk.state.orders.all_orders()
                ]
                raise AssertionError(f"{what}: not within {WAIT_S} s; orders {orders}; {list(self.live.warnings)}")
            await asyncio.sleep(0.01)

    def orders(self, role: OrderRole) -> list[Any]:
        """Return the orders of one role."""
        return [o for o in self.desk.state.orders.all_orders() if o.facts.role is role]

    def resting_stops(self) -> list[Any]:
        """Return the stops that rest at the venue."""
        return [
            o
            for o in self.orders(OrderRole.PROTECTION)
            if o.state.status is OrderStatus.NEW and o.facts.terms.order_type is OrderType.STOP_LIMIT
        ]

    async def fault(self, **rule: Any) -> None:
        """Add a fault at the exchange."""
        await self._post("/sim/faults", rule)

    async def shock(self, bps: int) -> None:
        """Move the market."""
        await self._post("/sim/price_shock", {"symbol": "BTCUSDT", "bps": bps})

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        async with aiohttp.ClientSession() as http, http.post(self.exchange.rest_url + path, json=body) as response:
            assert response.status == 200, await response.text()

    async def venue_snapshot(self) -> VenueSnapshot:
        """Return what the exchange holds."""
        return await self.rest.snapshot(self.desk.state.codecs["binance"], [BTC], 0)

    async def audited(
        self, snapshot: VenueSnapshot | None = None, held: Mapping[str, Decimal] | None = None
    ) -> AuditReport:
        """Return what an audit finds now; unless told otherwise riskd holds what execd does."""
        snapshot = snapshot or await self.venue_snapshot()
        self.journal.flush()
        facts = read_facts(((r.record_type, r.payload) for r in read_journal(self._state)), KEYS)
        if held is None:
            held = {i: self.desk.state.orders.positions.total(i) for i in self.desk.state.instruments}
        return compare(self.desk, "binance", snapshot, facts, audit_span(self.desk, "binance"), held)

    async def working_at_venue(self) -> list[str]:
        """Return the client ids of the orders that work at the exchange."""
        snapshot = await self.venue_snapshot()
        working = {
            r.client_order_id for r in snapshot.orders if (r.venue_symbol, r.venue_order_id) in snapshot.open_keys
        }
        return sorted(working)


class _Yes:
    """riskd's end of the session: welcome, leases, and yes to every ask."""

    def __init__(self, kit: LiveKit) -> None:
        self._kit = kit

    def ask(self, ask: ApprovalAsk, raw_intent: bytes) -> None:
        self.rest(SessionUp(asks=[ask]))

    def events(self, rows: Sequence[EventRow], urgent: bool) -> None:
        pass

    def rest(self, up: SessionUp) -> None:
        kit = self._kit
        down = SessionDown()
        if up.hello is not None:
            down.welcome = Welcome(up.hello.order_log_head, 1, "demo")
            down.levels = LevelTable(1)
        if up.ping is not None:
            down.lease = LeaseAnswer(up.ping.sequence, 1_000, 1)
        kit.alarms += [alarm.cause for venue in up.venues for alarm in venue.alarms]
        down.answers = [kit.approver.answer(ask, kit.session_id, kit.clock.now_ns()) for ask in up.asks]
        if not down.is_empty():
            asyncio.get_running_loop().call_soon(kit.live.risk_message, down)


@asynccontextmanager
async def live_kit(
    state: Path, settings: DeskSettings = QUICK, risk_channel: grpc.aio.Channel | None = None
) -> AsyncIterator[LiveKit]:
    """Start exchange and execd; with a channel, execd dials a risk daemon there instead of the kit's own."""
    limits = LimitsConfig(weight_per_minute=1_000_000)  # the kit polls quotes, which a real subscriber never does
    config = SimexchangeConfig(rest_port=0, ws_port=0, seed=7, response_delay_ms=(0, 0), limits=limits)
    async with Exchange(config, venue_name="binance", api_key="test-key", api_secret="test-secret") as exchange:
        kit = LiveKit(exchange, state, settings, risk_channel)
        await kit.start()
        try:
            yield kit
        finally:
            await kit.stop()
