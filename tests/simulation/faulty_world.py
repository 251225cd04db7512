"""execd's desk, riskd's gate and the simulated venue on one virtual time line, with a seeded adversary between them.

Requests get lost, answers get lost, doubled or late, connections break in the middle, riskd goes away, and either
daemon is killed and comes back from its journal. The journal is real content: a killed daemon is rebuilt from
nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from backtest.config import BacktestConfig
from backtest.instruments import find_rules
from backtest.recording import Recording, synthetic
from backtest.shortcut import Frame
from backtest.venue import ACCOUNT, CREDENTIALS, PEER, BacktestVenue
from backtest.venue_rows import VenueRows
from backtest.world import ENVIRONMENT, ID_KEY, KEY, KEY_ID, World
from execd.desk import Desk
from execd.records import Outbox, VenueSend
from execd.restore import Restorer
from execd.settings import DeskSettings
from riskd.gate import RiskGate, Signer
from riskd.limits import Limits, load_limits
from riskd.records import MemorySink
from tests.support.builders import make_intent
from tradebot.core.intents import OrderIntent
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce
from tradebot.core.row_block import RowBlock
from tradebot.venues import load_market_data
from tradebot.venues.api_orders import RequestKind

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000 * NS_PER_MS
RECONNECT_NS: Final = 300 * NS_PER_MS
FIRST_INTENT_NS: Final = 4 * NS_PER_S
"""Market data begins after two seconds; a second later riskd has its first sample of the mid, without which it refuses
(STA-07)."""
STRATEGIES: Final = ("breakout_atr", "manual:op")


@dataclass(frozen=True)
class Faults:
    """Chances per event, and times of the big ones (ns from the start)."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    double_event: float = 0.0
    lose_event: float = 0.0
    late: float = 0.0
    cut: float = 0.0
    """Connection breaks right after a request was written."""
    kill_execd: tuple[int, ...] = ()
    kill_riskd: tuple[int, ...] = ()


class JournaledDesk(Desk):
    """A desk whose records are kept, as the journal would."""

    def __init__(
        self,
        *args: object,
        journal: list[tuple[int, bytes]],
        on_connect: Callable[[int], None],
    ) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.journal = journal
        self.on_connect = on_connect

    def venue_connected(self, name: str, now_ns: int) -> None:
        self.on_connect(now_ns)
        super().venue_connected(name, now_ns)

    def take(self) -> Outbox:
        out = super().take()
        self.journal.extend(out.records)
        return out


class FaultyWorld(World):
    """See the module."""

    def __init__(self, seed: int, faults: Faults, seconds: int) -> None:
        self.faults = faults
        self.chance = random.Random(seed)
        self.calm = False
        self.execd_journal: list[tuple[int, bytes]] = []
        self.kills = 0
        self._connection = 0
        self._intents = 0
        config = BacktestConfig(venue_bytes=True)
        self._limits: Limits = load_limits(config.limits)
        market = load_market_data(config.venue)
        source = synthetic(config.venue, ("BTCUSDT",), seed, seconds)
        rules = find_rules(config.venue, market, ("BTCUSDT",))
        self._recording = Recording(source, market, [one.instrument for one in rules])
        first_ns = next(source.lines())[0]
        self.start_ns = first_ns - 2 * NS_PER_S
        self.journal = MemorySink()
        super().__init__(config, self._limits, rules, self.start_ns, journal=self.journal)

    @property
    def _spot(self) -> BacktestVenue:
        assert isinstance(self.venue, BacktestVenue)
        return self.venue

    # ---- two daemons that can die

    def _start(self, now_ns: int) -> None:
        self.desk = self._new_desk(now_ns)
        self.gate.start(ENVIRONMENT, now_ns)
        self.gate.bind_market(list(enumerate(self.instruments)))
        self._dial_risk(now_ns)
        self.desk.venue_connected(self.venue.name, now_ns)
        self._pump(now_ns)

    def _new_desk(self, now_ns: int) -> JournaledDesk:
        settings = DeskSettings(
            ENVIRONMENT,
            {self.venue.name: ACCOUNT},
            request_timeout_ms=1_500,
            market_bound_bps=100,
            recv_window_ms=2_000,
        )
        desk = JournaledDesk(
            settings,
            self._by_id,
            {self.venue.name: self._codec},
            {KEY_ID: KEY},
            ID_KEY,
            journal=self.execd_journal,
            on_connect=self._new_connection,
        )
        restorer = Restorer(desk)
        for record_type, payload in self.execd_journal:
            restorer.apply(record_type, payload)
        restorer.finish()
        self._quotes = [desk.state.quotes.quote(one.instrument_id) for one in self.instruments]
        self._durable = len(self.execd_journal)
        desk.start(restorer.log_incarnation or "log", restorer.starts + 1, len(self.execd_journal) + 1, now_ns)
        return desk

    def _dial_risk(self, now_ns: int) -> None:
        self._sent += 1
        self.desk.session_connected(f"session-{self._sent}", now_ns)
        self._pump(now_ns)

    def kill_execd(self, now_ns: int) -> None:
        """execd dies and is back at once; everything on its way to it is gone."""
        self.kills += 1
        self._connection += 1
        self.gate.session_lost(now_ns)
        self.desk.state.out = Outbox()
        old_quotes = self._quotes
        self.desk = self._new_desk(now_ns)
        for new, old in zip(self._quotes, old_quotes, strict=True):
            new.bid_ticks, new.ask_ticks, new.live = old.bid_ticks, old.ask_ticks, old.live
            new.receive_time_ns = old.receive_time_ns
        self._dial_risk(now_ns)
        self._reconnect(now_ns)

    def kill_riskd(self, now_ns: int) -> None:
        """riskd dies; two seconds later it is back from its journal."""
        self.kills += 1
        self.desk.session_lost(now_ns)
        self.gate = RiskGate(
            self._limits,
            environment=ENVIRONMENT,
            signer=Signer(KEY_ID, KEY),
            sink=self.journal,
            venues=[self.venue.name],
        )
        self.gate.restore(self.journal.records)
        self.gate.start(f"life-{self.kills}", now_ns)
        self.gate.bind_market(list(enumerate(self.instruments)))
        self._later(now_ns + 2 * NS_PER_S, self._dial_risk)

    # ---- the way to the venue and back

    def _draw(self, chance: float) -> bool:
        return not self.calm and self.chance.random() < chance

    def _send(self, send: VenueSend, now_ns: int) -> None:
        connection = self._connection
        self.orders_sent += send.is_order
        lossy = send.kind not in (RequestKind.LOGIN, RequestKind.TIME)
        if lossy and self._draw(self.faults.lose_request):
            return
        arrival_ns = now_ns + self._delay()

        def arrive(at_ns: int) -> None:
            frames = self.venue.request(send.data, at_ns)
            if lossy and self._draw(self.faults.lose_answer):
                frames = frames[1:]
            self._deliver(frames, at_ns, connection)

        self._later(arrival_ns, arrive)
        if lossy and self._draw(self.faults.cut):
            self._later(arrival_ns + NS_PER_MS, lambda at_ns: self._cut(connection, at_ns))

    def _send_back(self, frames: list[Frame], now_ns: int) -> None:
        self._deliver(frames, now_ns, self._connection)

    def _deliver(self, frames: list[Frame], now_ns: int, connection: int) -> None:
        for frame in frames:
            assert isinstance(frame, bytes)
            if b'"event"' in frame and self._draw(self.faults.lose_event):
                continue
            copies = 2 if self._draw(self.faults.double_event) else 1
            for _ in range(copies):
                at_ns = now_ns + self._delay()
                self._later(at_ns, lambda t, data=frame: self._arrived(data, connection, t))  # type: ignore[misc]

    def _arrived(self, data: bytes, connection: int, now_ns: int) -> None:
        if connection == self._connection:
            self._frames([data], now_ns)

    def _delay(self) -> int:
        late = self.chance.randint(200, 2_500) if self._draw(self.faults.late) else 0
        return (self.chance.randint(1, 8) + late) * NS_PER_MS

    def _cut(self, connection: int, now_ns: int) -> None:
        if connection != self._connection:
            return
        self._connection += 1
        self.desk.venue_lost(self.venue.name, now_ns)
        self._later(now_ns + RECONNECT_NS, self._reconnect)

    def _new_connection(self, now_ns: int) -> None:
        self._connection += 1
        self._spot._session = self._spot._server.session(PEER, now_ns)

    def _reconnect(self, now_ns: int) -> None:
        if not self.desk.state.venues[self.venue.name].connected:
            self.desk.venue_connected(self.venue.name, now_ns)
            self._pump(now_ns)

    # ---- a day

    def play(self, trade_s: int, calm_s: int) -> None:
        """Trade with faults for a while, then let everything settle without faults and without new intents."""
        for at_ns in self.faults.kill_execd:
            self._later(self.start_ns + at_ns, self.kill_execd)
        for at_ns in self.faults.kill_riskd:
            self._later(self.start_ns + at_ns, self.kill_riskd)
        trade_to = self.start_ns + trade_s * NS_PER_S
        for at_ns in self._intent_times(trade_to):
            self._later(at_ns, self._want_something)
        self._later(trade_to, self._calm_down)
        batches = ((RowBlock.of(rows), complete_to_ns) for rows, complete_to_ns in self._recording.batches())
        for rows, complete_to_ns in VenueRows(batches, len(self.instruments), self.add_venue_rows).received():
            self.add_rows(rows)
            self.advance(complete_to_ns)
        self.advance(self.start_ns + (trade_s + calm_s) * NS_PER_S)

    def _calm_down(self, now_ns: int) -> None:
        self.calm = True

    def _intent_times(self, to_ns: int) -> Iterator[int]:
        at_ns = self.start_ns + FIRST_INTENT_NS
        while at_ns < to_ns:
            yield at_ns
            at_ns += self.chance.randint(200, 1_500) * NS_PER_MS

    def _want_something(self, now_ns: int) -> None:
        self.outcomes.clear()
        self._open_intents += 1
        self._intents += 1
        self.desk.on_intent(self._random_intent(now_ns), now_ns)

    def _random_intent(self, now_ns: int) -> OrderIntent:
        strategy_id = self.chance.choice(STRATEGIES)
        instrument = self.instruments[0]
        held = self.desk.state.orders.positions.qty(strategy_id, instrument.instrument_id)
        closing = held * 60_000 > 20 and self.chance.random() < 0.5
        kind = self.chance.choice((OrderType.MARKET, OrderType.LIMIT))
        quote = self._quotes[0]
        side = Side.SELL if closing else Side.BUY
        ticks = quote.bid_ticks if side is Side.SELL else quote.ask_ticks
        offset = self.chance.choice((-300, 0, 0, 200)) * (-side.sign)
        intent = make_intent(
            f"i{self._intents}",
            strategy_id=strategy_id,
            intent_sequence=self._intents,
            instrument_id=instrument.instrument_id,
            side=side,
            role=OrderRole.EXIT if closing else OrderRole.ENTRY,
            qty=None if self.chance.random() < 0.7 else "0.002",
            limit_price=None if kind is OrderType.MARKET else str(instrument.price(ticks + offset)),
            time_in_force=TimeInForce.IOC if closing else self.chance.choice((TimeInForce.GTC, TimeInForce.IOC)),
            created_time_ns=now_ns,
            stop_loss_fraction=None if closing else self.chance.choice(("0.001", "0.003", "0.01")),
        )
        from dataclasses import replace

        return replace(intent, order_type=kind)

    # ---- what must be true

    def venue_client_ids(self) -> list[str]:
        """Return the client ids of every order that the venue ever took."""
        return [order.terms.client_order_id for order in self._spot.sim.engine.all_orders(ACCOUNT, 0)]

    def venue_base(self) -> Decimal:
        """Return the venue's balance of the base asset."""
        base = self.instruments[0].base
        from execd.records import ReadJob, ReadKind

        job = ReadJob(0, ReadKind.ACCOUNT, self.venue.name)
        account = self._read_result(job, self.now_ns, self.now_ns)
        totals = {b.asset: b.total for b in account.balances}  # type: ignore[union-attr]
        return totals.get(base, Decimal(0))


__all__ = ["CREDENTIALS", "Faults", "FaultyWorld"]
