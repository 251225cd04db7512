"""Everything but the engine, in one process and on one virtual time line: execd's desk, riskd's gate, the venue.

Rows happen at the venue at their exchange time and reach riskd and execd, like the engine, at their receive time. What
is on its way waits on one heap; at equal times what was sent first arrives first. Disk is instant: a record is durable
when it is written. riskd and execd talk without delay, as two processes on one machine nearly do; the link from the
engine and the way to the venue take their configured time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from backtest.config import BacktestConfig
from backtest.results.recorder import RunRecorder
from backtest.row_queue import FAR_NS, RowQueue
from backtest.shortcut import Frame
from backtest.shown import Shown, first_touch
from backtest.venue import ACCOUNT
from backtest.venues import RECV_WINDOW_MS, open_venue
from execd.desk import Desk, ReadResult
from execd.records import Outbox, ReadJob, ReadKind, VenueSend
from execd.settings import DeskSettings, ProtectionSettings
from riskd.gate import RiskGate, Signer
from riskd.limits import Limits
from riskd.records import JournalSink
from riskd.units import amount_floor, from_units
from tradebot.core.accounts import LedgerEntry, LedgerKind
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import CancelWish, IntentAnswer, OrderIntent, Wish
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, BookState, RowColumns, RowKind
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderRole
from tradebot.core.positions import Position
from tradebot.core.row_block import RowBlock
from tradebot.sim.rules import MarketRules
from tradebot.venues.api_orders import VenueOrder, VenueSnapshot

ENVIRONMENT: Final = "backtest"
BUILD: Final = "backtest"
"""execd and riskd are one process here, so one build; limits that enforce AUT-05 need it told."""
KEY_ID: Final = "backtest"
KEY: Final = b"backtest approvals: nobody else reads them"
ID_KEY: Final = b"backtest client order ids"
MAX_ROUNDS: Final = 1_000
"""Exchanges between desk and gate at one instant; more is a loop."""
RECONNECT_NS: Final = 1_000_000_000
AT_VENUE: Final = object()
"""Returned by what happened at the venue alone."""

_STOPS: Final = (OrderRole.PROTECTION, OrderRole.EMERGENCY_EXIT)
_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)


class Outcome(NamedTuple):
    """Something that the engine has to hear of."""

    at_ns: int
    answer: IntentAnswer | None = None
    event: OrderEvent | None = None


class World:
    """See the module."""

    def __init__(
        self,
        config: BacktestConfig,
        limits: Limits,
        rules: Sequence[MarketRules],
        now_ns: int,
        watcher: RunRecorder | None = None,
        journal: JournalSink | None = None,
    ) -> None:
        """Build it and connect everything at `now_ns`; a few order latencies later it is ready to trade.

        Args:
            config: Numbers.
            limits: riskd's limits.
            rules: Markets; their place is their column index.
            now_ns: Virtual time.
            watcher: Takes the result tables.
            journal: Takes riskd's records, when it will be restored from them.
        """
        self._watcher = watcher
        self._latency, self._link_latency_ns = config.latency.open(), config.link_latency_ns
        self.instruments: list[Instrument] = [one.instrument for one in rules]
        by_id = self._by_id = {one.instrument_id: one for one in self.instruments}
        self.venue, self._codec = open_venue(config, rules, now_ns)
        settings = DeskSettings(
            ENVIRONMENT,
            {config.venue: ACCOUNT},
            recv_window_ms=RECV_WINDOW_MS,
            ping_ms=limits.file.lease_valid_ms * 9 // 10,  # answered at once: a lease never runs out in between
            max_lease_ms=limits.file.lease_valid_ms,
            journaled=False,
            protection=_protection(config),
        )
        self.desk = Desk(settings, by_id, {config.venue: self._codec}, {KEY_ID: KEY}, ID_KEY, build_hash=BUILD)
        self.gate = RiskGate(
            limits,
            environment=ENVIRONMENT,
            signer=Signer(KEY_ID, KEY),
            sink=journal,
            venues=[config.venue],
            build=BUILD,
        )
        self.outcomes: list[Outcome] = []
        """What the engine has to hear, in order, until it is taken."""
        self.notices: list[tuple[int, str, str, str]] = []
        """(time, level, event, text) that execd would log."""
        self.orders_sent = 0
        self.rows_applied = 0
        self.fills = 0
        self.turnover = Decimal(0)
        """Sum of price x quantity over fills, quote asset."""
        self.start_balances = dict(config.balances)
        self.start_equity: Decimal | None = None
        """In account currency, as soon as everything in the account has a price."""
        self._quotes = [self.desk.state.quotes.quote(one.instrument_id) for one in self.instruments]
        self._heap: list[tuple[int, int, Callable[[int], object]]] = []
        self._sent = 0
        self._durable = 0
        self._open_intents = 0
        self._timers_stale = True
        self._next_timer_ns = FAR_NS
        self._desk_timer_ns: int | None = None
        self._now_ns = now_ns
        self._happening = RowQueue()
        """By the time at which they happen there."""
        self._received = RowQueue()
        self._shown = Shown(len(rules))
        self._stopped = np.zeros(len(rules), np.bool_)
        """By market: execd has had a stop there, so it has to see every best bid and offer."""
        self._any_stopped = False
        self._index = {one.instrument_id: index for index, one in enumerate(self.instruments)}
        self._start(now_ns)

    def _start(self, now_ns: int) -> None:
        self.gate.start(ENVIRONMENT, now_ns)
        self.gate.bind_market(list(enumerate(self.instruments)))
        self.desk.start(ENVIRONMENT, 1, 1, now_ns)
        self.desk.session_connected("backtest-1", now_ns)
        self._pump(now_ns)
        self.desk.venue_connected(self.venue.name, now_ns)
        self._pump(now_ns)

    # --- what the harness asks ------------------------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """True when nothing but the engine can cause anything that the engine would hear of: nothing is held, rests,
        or is on its way.
        """
        state = self.desk.state
        return not (
            self._open_intents
            or self.outcomes
            or state.orders.working_count
            or self.venue.has_orders
            or any(self._is_held(*key, position) for key, position in state.orders.positions.items())
        )

    def _is_held(self, _strategy_id: str, instrument_id: str, position: Position) -> bool:
        """False for flat and for dust, which the venue would not let anybody close."""
        instrument = self._by_id[instrument_id]
        qty = abs(position.qty)
        return qty >= instrument.min_qty and instrument.notional(qty, position.avg_price) >= instrument.min_notional

    def next_event_ns(self) -> int | None:
        """Return when something other than a received row happens next."""
        heap_ns = self._heap[0][0] if self._heap else FAR_NS
        row_ns = self._happening.next_ns if self.venue.acts_on_rows else FAR_NS
        next_ns = min(self._timer_ns(), heap_ns, self.venue.next_due_ns, row_ns)
        return None if next_ns == FAR_NS else next_ns

    def take_outcomes(self) -> list[Outcome]:
        """Return what the engine has to hear, in order, and forget it."""
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def add_rows(self, rows: RowBlock) -> None:
        """Take rows that riskd and execd will receive, in order of receive time."""
        self._received.add(rows)

    def add_venue_rows(self, rows: RowBlock) -> None:
        """Take rows that will happen at the venue, in order of `RECEIVE_TIME`, which says when (`venue_rows`)."""
        self._happening.add(rows)

    def submit(self, at_ns: int, wish: Wish) -> None:
        """The engine decided on an intent or a cancel at `at_ns`."""
        arrival_ns = at_ns + self._link_latency_ns
        if isinstance(wish, CancelWish):
            self._later(arrival_ns, lambda now_ns: self._cancel(wish, now_ns))
            return
        self._open_intents += 1
        self._later(arrival_ns, lambda now_ns: self._intent(wish, now_ns))

    def advance(self, to_ns: int) -> None:
        """Let everything happen up to and including `to_ns`."""
        while True:
            heap_ns = self._heap[0][0] if self._heap else FAR_NS
            timer_ns, due_ns = self._timer_ns(), self.venue.next_due_ns
            limit_ns = min(to_ns, heap_ns, timer_ns, due_ns)
            # At one instant: rows happen at the venue, then what it does by its own clock, as in the kernels; then
            # arrivals, then rows that riskd and execd receive, then timers.
            if self._apply_rows(limit_ns, limit_ns if heap_ns > limit_ns else limit_ns - 1):
                continue
            if due_ns <= limit_ns:
                self._now_ns = max(self._now_ns, due_ns)
                self._send_back(self.venue.run_due(self._now_ns), self._now_ns)
            elif heap_ns <= limit_ns:
                self._now_ns = max(self._now_ns, heap_ns)
                self._arrivals(heap_ns)
            elif timer_ns <= limit_ns:
                self._now_ns = max(self._now_ns, timer_ns)
                self._timers(self._now_ns)
            elif limit_ns >= to_ns:
                break
        self._now_ns = max(self._now_ns, to_ns)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _later(self, at_ns: int, action: Callable[[int], object]) -> None:
        self._sent += 1
        heapq.heappush(self._heap, (at_ns, self._sent, action))

    def _arrivals(self, at_ns: int) -> None:
        """Let everything arrive that is due, then carry on what it caused: frames of one answer, or a cancel and the
        order that follows it, are one turn of execd, as live.
        """
        heap, is_told = self._heap, False
        while heap and heap[0][0] <= at_ns:
            is_told |= heapq.heappop(heap)[2](self._now_ns) is not AT_VENUE
        if is_told:
            self._pump(self._now_ns)

    def _timer_ns(self) -> int:
        """Return when desk or gate wants to be called, FAR_NS for never; asked of them again only after they were told
        something.
        """
        if self._timers_stale:
            self._desk_timer_ns = self.desk.next_timer_ns(self._now_ns)
            desk_ns, gate_ns = self._desk_timer_ns, self.gate.next_timer_ns()
            self._next_timer_ns = min(FAR_NS if desk_ns is None else desk_ns, FAR_NS if gate_ns is None else gate_ns)
            self._timers_stale = False
        return self._next_timer_ns

    def _timers(self, now_ns: int) -> None:
        desk_ns, gate_ns = self._desk_timer_ns, self.gate.next_timer_ns()
        if gate_ns is not None and gate_ns <= now_ns:
            down = self.gate.handle_timer(now_ns)
            if self.start_equity is None:
                self.start_equity = self.money()[0]
            if not down.is_empty():
                self.desk.on_session(down, now_ns)
                desk_ns = self.desk.next_timer_ns(now_ns)
        if desk_ns is not None and desk_ns <= now_ns:
            self.desk.handle_timer(now_ns)
        self._pump(now_ns)

    def _intent(self, intent: OrderIntent, now_ns: int) -> None:
        self.desk.on_intent(intent, now_ns)

    def _cancel(self, wish: CancelWish, now_ns: int) -> None:
        self.desk.on_cancel(wish.client_order_id, "STRATEGY", now_ns)

    # --- rows -----------------------------------------------------------------------------------------------------

    def _apply_rows(self, happened_ns: int, received_ns: int) -> bool:
        """Let rows happen at the venue and be received by riskd and execd, up to and including two times.

        Neither side goes past a row at which the other may act: what that causes may come before its next one.

        Returns:
            False when all are done; True when somebody acted or may have, so that arrivals and timers come first.
        """
        look_ns = self._next_look_ns()
        acted_ns = self._match(min(happened_ns, look_ns))
        looked = self._receive(min(received_ns, look_ns, acted_ns))
        return looked or acted_ns != FAR_NS or look_ns < happened_ns

    def _match(self, to_ns: int) -> int:
        """Let rows happen at the venue, up to the first one at which it acts; return its time, FAR_NS for none."""
        queue = self._happening
        while queue.next_ns <= to_ns:
            rows = queue.rows
            stop = self.venue.take_rows(rows, queue.position, to_ns)
            if stop == len(rows) or rows.time_ns(stop) > to_ns:
                queue.go_to(stop)
                continue
            now_ns = rows.time_ns(stop)
            end = rows.first_after(now_ns, stop)
            due_ns = self.venue.next_due_ns
            frames = self.venue.apply_rows(rows.columns(stop, end), now_ns)
            queue.go_to(end)
            if frames:
                if self._watcher is not None:
                    self._watcher.matched(now_ns)
                self._send_back(frames, now_ns)
            if frames or self.venue.next_due_ns != due_ns:
                return now_ns
        return FAR_NS

    def _next_look_ns(self) -> int:
        """Return up to where execd does not act on what it receives: the next best bid and offer of a market with a
        stop, or the end of the rows at hand.
        """
        if not self._any_stopped or self._received.next_ns == FAR_NS:
            return FAR_NS
        rows = self._received.rows
        return rows.time_ns(min(first_touch(rows, self._received.position, self._stopped), len(rows) - 1))

    def _receive(self, to_ns: int) -> bool:
        """Show riskd and execd what they received up to a time, or to the first row at which execd acted: then True."""
        queue = self._received
        while queue.next_ns <= to_ns:
            rows, position = queue.rows, queue.position
            # Result tables want the middle before and the equity at each moment: then no moment is folded away.
            stop = position
            if self._watcher is None:
                end = rows.first_after(to_ns, position)
                stop = min(end, first_touch(rows, position, self._stopped)) if self._any_stopped else end
                if stop < end:
                    stop = rows.first_after(rows.time_ns(stop) - 1, position)
                self._show(rows, position, stop)
                if stop == end:
                    queue.go_to(stop)
                    continue
            now_ns = rows.time_ns(stop)
            end = rows.first_after(now_ns, stop)
            queue.go_to(end)
            if self._moment(rows.columns(stop, end), now_ns):
                return True
        return False

    def _show(self, rows: RowBlock, start: int, stop: int) -> None:
        """Tell riskd and execd of rows at which nobody acts."""
        if start == stop:
            return
        self.rows_applied += stop - start
        self._now_ns = max(self._now_ns, rows.time_ns(stop - 1))
        part = self._shown.of(rows, start, stop)
        self.gate.handle_market(part, self._now_ns)
        self._quote(part)

    def _moment(self, rows: RowColumns, now_ns: int) -> bool:
        """Tell riskd and execd of the rows of one moment; True when execd acted."""
        self._now_ns = max(self._now_ns, now_ns)
        self.rows_applied += len(rows)
        watcher = self._watcher
        if watcher is not None:
            if watcher.wants_mids:
                watcher.before(now_ns, self._mids())
            if watcher.equity_due(now_ns):
                watcher.equity(now_ns, *self.money())
        self.gate.handle_market(rows, now_ns)
        return self._quote(rows)

    def _quote(self, rows: RowColumns) -> bool:
        """Write execd's quotes; True when a stop that execd watches was looked at."""
        looked = False
        for kind, index, flags, price, now_ns in zip(
            rows.kind, rows.instrument, rows.side_flags, rows.price, rows.receive_time_ns, strict=True
        ):
            if kind == _BBO:
                quote = self._quotes[index]
                if flags & SIDE_MASK == BUY_FLAG:
                    quote.bid_ticks = price
                else:
                    quote.ask_ticks = price
                quote.receive_time_ns = now_ns
                if flags & LAST_FLAG and self._stopped[index]:
                    self.desk.quote_moved(self.instruments[index].instrument_id, now_ns)
                    self._pump(now_ns)
                    looked = True
            elif kind == _BOOK_STATE:
                self._quotes[index].live = price == BookState.LIVE
        return looked

    # --- venue ----------------------------------------------------------------------------------------------------

    def _send(self, send: VenueSend, now_ns: int) -> None:
        self.orders_sent += bool(send.client_order_id)
        arrival = self._latency.arrival(now_ns)
        if arrival.is_refused:
            self._later(arrival.at_ns, lambda at_ns: self._frames(self.venue.refuse(send.data, at_ns), at_ns))
        else:
            self._later(arrival.at_ns, lambda at_ns: self._at_venue(send, at_ns))

    def _at_venue(self, send: VenueSend, now_ns: int) -> object:
        """A request arrives: execd and riskd know nothing of it yet."""
        self._send_back(self._arrive(send, now_ns), now_ns)
        return AT_VENUE

    def _arrive(self, send: VenueSend, now_ns: int) -> list[Frame]:
        watcher = self._watcher
        if watcher is None or not send.is_order:
            frames = self.venue.request(send.data, now_ns)
        else:
            watcher.before(now_ns, self._mids())
            watcher.arrives(now_ns, send.client_order_id, self._mids_at_venue())
            frames = self.venue.request(send.data, now_ns)
            for client_order_id, index, order in self.venue.open_orders():
                watcher.taken(client_order_id, self.instruments[index].instrument_id, order, send.client_order_id)
        if watcher is not None:
            watcher.matched(now_ns)
        return frames

    def _send_back(self, frames: list[Frame], now_ns: int) -> None:
        self._later(self._latency.answered_ns(now_ns), lambda at_ns: self._frames(frames, at_ns))

    def _frames(self, frames: list[Frame], now_ns: int) -> None:
        for data in frames:
            event = self._codec.decode(data) if isinstance(data, bytes) else data
            if event is not None:
                self.desk.on_venue_event(self.venue.name, event, now_ns)

    def _read(self, job: ReadJob, now_ns: int) -> None:
        def at_venue(at_ns: int) -> None:
            result = self._read_result(job, now_ns, at_ns)
            self._later(self._latency.answered_ns(at_ns), lambda back_ns: self.desk.on_read(job, result, back_ns))

        self._later(self._latency.arrival(now_ns).at_ns, at_venue)

    def _read_result(self, job: ReadJob, started_ns: int, at_ns: int) -> ReadResult:
        codec, read = self._codec, self.venue.read
        if job.kind is ReadKind.ACCOUNT:
            return codec.decode_account(read(codec.account_read(), at_ns))
        if job.kind is ReadKind.ORDER_TRADES:
            body = read(codec.trades_read(job.instrument_id, venue_order_id=job.venue_order_id), at_ns)
            return list(codec.decode_trades(job.instrument_id, body))
        orders: list[VenueOrder] = []
        open_keys: set[tuple[str, str]] = set()
        trades = []
        for one in self.instruments:
            name = one.instrument_id
            working = codec.decode_orders(read(codec.open_orders_read(name), at_ns))
            open_keys |= {(order.venue_symbol, order.venue_order_id) for order in working}
            orders += working
            orders += codec.decode_orders(read(codec.order_history_read(name, job.since_ms), at_ns))
            found = codec.decode_trades(name, read(codec.trades_read(name, job.since_ms), at_ns))
            trades += [(name, trade) for trade in found]
        account = codec.decode_account(read(codec.account_read(), at_ns))
        return VenueSnapshot(started_ns, account, orders, frozenset(open_keys), trades)

    # --- joining the cores ----------------------------------------------------------------------------------------

    def _pump(self, now_ns: int) -> None:
        """Carry what desk and gate have for each other and for the world until neither has anything left."""
        self._timers_stale = True
        for _ in range(MAX_ROUNDS):
            wrote = self.desk.has_output and self._carry_out(self.desk.take(), now_ns)
            up = self.desk.take_up()
            if up is not None:
                down = self.gate.handle(up, now_ns)
                if self._watcher is not None:
                    self._watcher.booked(now_ns, self.gate.state.portfolio.positions)
                    self._watch_funding(up.ledger)
                if not down.is_empty():
                    self.desk.on_session(down, now_ns)
            elif not wrote:
                return
        raise InvariantError(f"execd and riskd exchange more than {MAX_ROUNDS} messages at {now_ns}: a loop")

    def _watch_funding(self, entries: Sequence[LedgerEntry]) -> None:
        """Give the table what each strategy's share of a funding was, with the venue's rate and mark."""
        watcher = self._watcher
        for entry in entries:
            terms = self.venue.funding_terms(entry.entry_id)
            if watcher is not None and terms is not None:
                watcher.funding(entry, *terms, self.gate.state.portfolio.positions)

    def _carry_out(self, out: Outbox, now_ns: int) -> bool:
        """Do what the desk wants; return whether it wrote records, which are durable now."""
        for answer in out.answers:
            self._open_intents -= 1
            self.outcomes.append(Outcome(now_ns, answer))
        for event, _ in out.events:
            self.outcomes.append(Outcome(now_ns, None, event))
            if self._watcher is not None:
                self._watcher.order_event(now_ns, event)
            if event.facts is not None and event.facts.role in _STOPS:
                self._stopped[self._index[event.facts.terms.instrument_id]] = self._any_stopped = True
            if event.execution is not None:
                self.fills += 1
                instrument = self._by_id[event.execution.instrument_id]
                self.turnover += instrument.notional(event.execution.qty, event.execution.price)
        if out.notices:
            self.notices += [(now_ns, level, event, text) for level, event, text in out.notices]
        for send in out.sends:
            self._send(send, now_ns)
        for job in out.reads:
            self._read(job, now_ns)
        for name, reason in out.reconnects:
            self.notices.append((now_ns, "warning", "reconnect", f"{name}: {reason}"))
            self.desk.venue_lost(name, now_ns)
            self._later(now_ns + RECONNECT_NS, lambda at_ns, n=name: self.desk.venue_connected(n, at_ns))  # type: ignore[misc]
        if out.records:
            self._durable += len(out.records)
            self.desk.on_durable(self._durable, now_ns)
        return bool(out.records)

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self._now_ns

    def money(self) -> tuple[Decimal | None, Decimal | None]:
        """Return (equity, unrealized PnL) at riskd's marks; None while a mark is missing."""
        portfolio, equity = self.gate.state.portfolio, self.gate.equity(self._now_ns)
        unrealized: Decimal | None = Decimal(0)
        for (instrument_id, _), held in portfolio.positions.items():
            if held.units and unrealized is not None:
                result = portfolio.unrealized(held, self.gate.state.rules[instrument_id], self.gate.board)
                unrealized = None if result is None else unrealized + from_units(result)
        return (from_units(equity.value) if equity.complete else None), unrealized

    def other_income(self) -> Decimal:
        """Return charges and adjustments of the venue's ledger, account currency, received > 0."""
        board, total = self.gate.board, 0
        for (asset, kind), units in self.gate.state.portfolio.income.items():
            if kind not in (LedgerKind.CHARGE, LedgerKind.ADJUSTMENT):
                continue
            total += amount_floor(board.rate(asset, units > 0) or 0, units)
        return from_units(total)

    def _mids(self) -> dict[str, Decimal | None]:
        """Return the middle of each touch that was received; None for a side that is empty."""
        quotes = zip(self.instruments, self._quotes, strict=True)
        return {one.instrument_id: _mid(one, quote.bid_ticks, quote.ask_ticks) for one, quote in quotes}

    def _mids_at_venue(self) -> dict[str, Decimal | None]:
        """Return the middle of each touch as it is at the venue."""
        return {one.instrument_id: _mid(one, *self.venue.touch(i)) for i, one in enumerate(self.instruments)}

    def open_positions(self) -> list[tuple[str, str, Decimal]]:
        """Return execd's view as (strategy, instrument, signed quantity), dust left out."""
        return [
            (strategy_id, instrument_id, position.qty)
            for (strategy_id, instrument_id), position in self.desk.state.orders.positions.items()
            if self._is_held(strategy_id, instrument_id, position)
        ]


def _mid(instrument: Instrument, bid_ticks: int, ask_ticks: int) -> Decimal | None:
    return instrument.price(bid_ticks + ask_ticks) / 2 if bid_ticks and ask_ticks else None


def _protection(config: BacktestConfig) -> ProtectionSettings:
    if config.unprotected_s is None:
        return ProtectionSettings()
    deadline_ms = round(config.unprotected_s * 1_000)
    return ProtectionSettings(retry_deadline_ms=deadline_ms, emergency_deadline_ms=deadline_ms)
