"""The engine's core: market rows and order events in, order intents out. No clock, no I/O, no randomness.

Time comes as `now_ns` with every call; bars are cut on event time. The same object runs live, under `Engine.Drive` and
in tests, and the same inputs give the same intents, ids included. An entry is proposed only while its strategy is
switched on and warm, the book is LIVE, and execd's link is up; exits need only the link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.bars import NEVER_NS, Bar
from engine.fold import RowFold
from engine.holdings import OrderFold
from engine.markets import BarSeries, Market
from engine.runs import ANSWER_GRACE_NS, Slot, StrategyRun, StrategySettings, StrategyUnit
from engine.strategy import NS_PER_MS, Proposal, Proposals, Strategy, Withdrawal
from engine.working import WorkingOrder
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import (
    CancelWish,
    IntentAnswer,
    IntentStatus,
    OrderIntent,
    ProtectionPlan,
    SignalContext,
    Wish,
)
from tradebot.core.ladder import Ladders
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, RowColumns, RowKind
from tradebot.core.order_events import OrderEvent, OrderSnapshot, PositionView
from tradebot.core.orders import OrderEventKind, OrderRole, OrderType, Side
from tradebot.core.row_block import RowBlock

MAX_OPEN_INTENTS: Final = 16_384
"""Intents under way; beyond it proposals are dropped and counted."""
MAX_INSTRUMENTS: Final = 65_536
"""Largest instrument index in a stream."""

_NO_PROTECTION: Final = ProtectionPlan()
_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)
_BOOK_LEVEL: Final = int(RowKind.BOOK_LEVEL)
_SNAPSHOT_LEVEL: Final = int(RowKind.SNAPSHOT_LEVEL)
_BOOK_CLEAR: Final = int(RowKind.BOOK_CLEAR)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of the core."""

    bar_grace_ns: int = 250 * NS_PER_MS
    """A bar without any later event closes this long after its end."""
    isolate_faults: bool = True
    """True: a strategy that raises is taken out and the others go on. False: the error ends the run."""


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """Bars for which history is wanted."""

    instrument_id: str
    interval_ns: int
    bars: int
    """How many, 0 when no strategy needs any."""
    first_open_ns: int
    """Start of the first bar built from the stream, NEVER_NS before the first event: history should reach it."""
    seen_to_ns: int
    """End of the newest bar that strategies saw before a break in the stream; 0 at the start."""


class EngineCore:
    """All strategies of one engine."""

    def __init__(
        self,
        settings: Sequence[StrategySettings],
        catalog: Mapping[str, type[Strategy]],
        incarnation: str,
        options: EngineOptions | None = None,
    ) -> None:
        """Prepare the strategies; they start when their instruments are known.

        Args:
            settings: Strategies of the configuration, ids unique.
            catalog: Strategy classes by kind.
            incarnation: Id of this run; intent ids derive from it.
            options: Settings of the core.

        Raises:
            ConfigError: If a kind is not registered or an id is used twice.
        """
        self.incarnation = incarnation
        self.options = options or EngineOptions()
        self.runs: dict[str, StrategyRun] = {}
        for item in settings:
            if item.strategy_id in self.runs:
                raise ConfigError(f"engine.strategies: id {item.strategy_id!r} is used twice: choose another one")
            if item.kind not in catalog:
                known = ", ".join(sorted(catalog))
                raise ConfigError(f"engine.strategies.{item.strategy_id}: kind {item.kind!r} is not one of: {known}")
            self.runs[item.strategy_id] = StrategyRun(item, catalog[item.kind], incarnation)
        self.fold = OrderFold()
        self.markets: dict[str, Market] = {}
        self.execution_up = True
        """False while intents cannot reach execd: nothing is proposed."""
        self._by_index: list[Market | None] = []
        self._ladders = Ladders(0)
        self._row_fold = RowFold([], self._ladders)
        self._open_intents: dict[str, Slot] = {}
        self._market_incarnation = ""
        self._sequence = 0
        self._event_time_ns = 0
        self._sent_time_ns = 0
        self._receive_time_ns = 0
        self._out: list[Wish] = []
        self._next_timer_ns: int | None = None
        self._timer_stale = True
        self._timer_units: list[StrategyUnit] = []

    # --- wiring -------------------------------------------------------------------------------------------------------

    @property
    def instrument_ids(self) -> tuple[str, ...]:
        """Every instrument that a strategy trades, sorted."""
        return tuple(sorted({name for run in self.runs.values() for name in run.settings.instrument_ids}))

    @property
    def needs_depth(self) -> bool:
        """True when a strategy reads book levels."""
        return any(run.strategy_class.needs_depth for run in self.runs.values())

    def market_started(self, incarnation: str, instruments: Iterable[tuple[int, Instrument]]) -> None:
        """A market data stream begins: learn its indexes. Strategies and their features go on where they were.

        What was known of prices and unfinished bars is forgotten; feed history for `history_wanted` next.
        """
        self._market_incarnation = incarnation
        self._by_index = []
        wanted = set(self.instrument_ids)
        for index, instrument in instruments:
            if index >= MAX_INSTRUMENTS:
                raise InvariantError(f"instrument index {index} of {instrument.instrument_id} is too large")
            if instrument.instrument_id not in wanted:
                continue
            market = self.markets.get(instrument.instrument_id)
            if market is None:
                market = self.markets[instrument.instrument_id] = Market(
                    instrument, self._ladders if self.needs_depth else None
                )
            else:
                market.instrument = instrument
                market.lose()
            self._by_index.extend([None] * (index + 1 - len(self._by_index)))
            self._by_index[index] = market
        for run in self.runs.values():
            self._make_units(run)
        self._row_fold = RowFold(self._by_index, self._ladders)
        self._timer_stale = True

    def market_lost(self) -> None:
        """The market data stream broke."""
        for market in self.markets.values():
            market.lose()
        self._timer_stale = self._row_fold.stale = True

    def start_bars(self, time_ns: int) -> None:
        """Begin all bars at a known time instead of the first event (a drive knows where its data begins)."""
        for market in self.markets.values():
            for series in market.series.values():
                series.builder.start(time_ns)
            market.find_next_close()
        self._timer_stale = self._row_fold.stale = True

    def history_wanted(self) -> list[SeriesRequest]:
        """Return the bar series that still wait for history."""
        return [
            SeriesRequest(
                market.instrument_id,
                series.interval_ns,
                max((unit.bars_needed for unit in series.units), default=0),
                series.builder.first_open_ns,
                series.last_close_ns,
            )
            for market in self.markets.values()
            for series in market.series.values()
            if not series.fed
        ]

    def feed_history(self, instrument_id: str, interval_ns: int, bars: Sequence[Bar], now_ns: int) -> None:
        """Give history bars (closed, oldest first, possibly none) and let the bars built meanwhile follow.

        Nothing is proposed on any of them: they are over.
        """
        market = self.markets[instrument_id]
        series = market.series[interval_ns]
        if series.builder.last_price is None and bars:
            series.builder.last_price = round(bars[-1].close / market.price_scale(1))
        for bar in series.accept_history(bars):
            self._deliver(series, market, bar, now_ns, tradable=False)
        self._timer_stale = True

    def _make_units(self, run: StrategyRun) -> None:
        known = [self.markets[name] for name in run.settings.instrument_ids if name in self.markets]
        existing = {name for unit in run.units for name in unit.slots}
        if run.strategy_class.shared:
            groups = [known] if len(known) == len(run.settings.instrument_ids) and not existing else []
        else:
            groups = [[market] for market in known if market.instrument_id not in existing]
        for group in groups:
            slots = [
                Slot(run, market, self.fold.add_holding(run.settings.strategy_id, market.instrument))
                for market in group
            ]
            holdings = {slot.market.instrument_id: slot.holding for slot in slots}
            orders = {slot.market.instrument_id: slot.orders for slot in slots}
            unit = StrategyUnit(run, run.strategy_class(run.settings.params, group, holdings, orders), slots)
            run.units.append(unit)
            self._subscribe(unit)

    def _subscribe(self, unit: StrategyUnit) -> None:
        cls = unit.run.strategy_class
        for slot in unit.slots.values():
            market = slot.market
            if cls.on_bar is not Strategy.on_bar:
                market.add_series(unit.run.settings.params.bar_ns).units.append(unit)
            if cls.on_bbo is not Strategy.on_bbo:
                market.bbo_units.append(unit)
            if cls.on_trade is not Strategy.on_trade:
                market.trade_units.append(unit)
        if unit.uses_timer:
            self._timer_units.append(unit)

    # --- market data --------------------------------------------------------------------------------------------------

    def fold_rows(self, block: RowBlock, start: int, to_ns: int) -> int:
        """Take rows from `start` on that were received up to `to_ns` and that nobody has to see one by one.

        Returns:
            The first row not taken: it is beyond `to_ns`, or it has to go through `handle_rows`.
        """
        return self._row_fold.take(block, start, to_ns)

    def handle_rows(
        self,
        rows: RowColumns,
        sequences: Sequence[int],
        sent_time_ns: int,
        now_ns: int,
        start: int = 0,
        stop: int | None = None,
    ) -> list[Wish]:
        """Take rows `start` to `stop` of a batch and return what is wanted now.

        Args:
            rows: Columns in stream order.
            sequences: Stream sequence of each row.
            sent_time_ns: When marketdata wrote the batch.
            now_ns: When it got here.
            start: First row to take.
            stop: One after the last row to take; None = all.
        """
        out: list[Wish] = []
        self._out = out
        self._sent_time_ns = sent_time_ns
        self._row_fold.stale = True
        by_index = self._by_index
        count = len(by_index)
        kinds, instruments, flags, prices, qtys = rows.kind, rows.instrument, rows.side_flags, rows.price, rows.qty
        event_times, receive_times = rows.event_time_ns, rows.receive_time_ns
        for i in range(start, len(kinds) if stop is None else stop):
            index = instruments[i]
            market = by_index[index] if index < count else None
            if market is None:
                continue
            kind = kinds[i]
            event_time = event_times[i]
            if event_time >= market.next_close_ns and (kind == _TRADE or event_time != receive_times[i]):
                # A row whose two times are equal carries no venue time (best bid and ask on some venues): it may be
                # ahead of trades of the same moment that are still on their way, so it cuts no bar.
                self._saw(sequences[i], event_time, receive_times[i])
                self._close_bars(market, event_time, now_ns)
            if kind == _BBO:
                side_flags = flags[i]
                if side_flags & SIDE_MASK == BUY_FLAG:
                    market.bid, market.bid_qty = prices[i], qtys[i]
                else:
                    market.ask, market.ask_qty = prices[i], qtys[i]
                if side_flags & LAST_FLAG and market.bbo_units and market.live:
                    self._saw(sequences[i], event_time, receive_times[i])
                    for unit in market.bbo_units:
                        self._consult(unit, unit.strategy.on_bbo, market, now_ns, market)
            elif kind == _TRADE:
                market.last_price, market.last_qty = prices[i], qtys[i]
                market.last_side = flags[i] & SIDE_MASK
                if market.series:
                    if market.next_close_ns == NEVER_NS:
                        self._start_series(market, event_time)
                    for series in market.series.values():
                        series.builder.add_trade(event_time, prices[i], qtys[i])
                if market.trade_units:
                    self._saw(sequences[i], event_time, receive_times[i])
                    for unit in market.trade_units:
                        self._consult(unit, unit.strategy.on_trade, market, now_ns, market)
            elif kind == _BOOK_STATE:
                market.set_book_state(prices[i])
                if market.live:
                    self._start_series(market, event_time)
                self._timer_stale = True
            elif market.book is not None:
                if kind in (_BOOK_LEVEL, _SNAPSHOT_LEVEL):
                    market.book.set_level(flags[i] & SIDE_MASK, prices[i], qtys[i])
                elif kind == _BOOK_CLEAR:
                    market.book.clear()
        return out

    def _saw(self, sequence: int, event_time_ns: int, receive_time_ns: int) -> None:
        self._sequence = sequence
        self._event_time_ns = event_time_ns
        self._receive_time_ns = receive_time_ns

    def _start_series(self, market: Market, event_time_ns: int) -> None:
        for series in market.series.values():
            if not series.builder.started:
                series.builder.start(event_time_ns)
        market.find_next_close()
        self._timer_stale = self._row_fold.stale = True

    def _close_bars(self, market: Market, time_ns: int, now_ns: int) -> None:
        self._timer_stale = self._row_fold.stale = True
        for series in market.series.values():
            bars = series.builder.advance(time_ns)
            if not bars:
                continue
            if not series.fed:
                series.hold(bars)
                continue
            newest = bars[-1]
            for bar in bars:
                series.last_close_ns = bar.close_time_ns
                self._deliver(series, market, bar, now_ns, tradable=bar is newest)
        market.find_next_close()

    def _deliver(self, series: BarSeries, market: Market, bar: Bar, now_ns: int, *, tradable: bool) -> None:
        for unit in series.units:
            unit.run.bars += 1
            unit.count_bar(market.instrument_id)
            self._consult(unit, unit.strategy.on_bar, market, now_ns, market, bar, tradable=tradable)

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_timer_ns(self) -> int | None:
        """Return when `handle_timer` wants to be called; None for never. Cheap: computed only after a change."""
        if self._timer_stale:
            grace = self.options.bar_grace_ns
            times = [m.next_close_ns + grace for m in self.markets.values() if m.live and m.next_close_ns != NEVER_NS]
            for unit in self._timer_units:
                wanted = unit.strategy.next_timer_ns()
                if wanted is not None and not unit.run.fault:
                    times.append(wanted)
            self._next_timer_ns = min(times, default=None)
            self._timer_stale = False
        return self._next_timer_ns

    def decides_at_ns(self) -> int:
        """Return the time before which nothing can make any strategy want something; 0 = a row or an event may."""
        if not all(unit.only_timer for run in self.runs.values() for unit in run.units):
            return 0
        return self.next_timer_ns() or 0

    def handle_timer(self, now_ns: int) -> list[Wish]:
        """Close bars whose end plus grace has come and call strategies whose time has come.

        Bars close by time only while the book is LIVE: a feed that is broken tells nothing about trades.
        """
        out: list[Wish] = []
        self._out = out
        self._sent_time_ns = self._receive_time_ns = 0  # no row caused this: there is no latency to measure
        grace = self.options.bar_grace_ns
        for market in self.markets.values():
            if market.live and market.next_close_ns + grace <= now_ns:
                self._close_bars(market, now_ns - grace, now_ns)
        for unit in self._timer_units:
            wanted = unit.strategy.next_timer_ns()
            if wanted is not None and wanted <= now_ns and not unit.run.fault:
                first = next(iter(unit.slots.values())).market
                self._consult(unit, unit.strategy.on_timer, first, now_ns, now_ns)
                again = unit.strategy.next_timer_ns()
                if again is not None and again <= now_ns:
                    self._fault(unit.run, InvariantError("next_timer_ns() did not move past the time on_timer got"))
        self._timer_stale = True
        return out

    # --- orders -------------------------------------------------------------------------------------------------------

    def execution_started(self, orders: Sequence[OrderSnapshot], positions: Sequence[PositionView]) -> None:
        """execd's link is up: take its view of orders and positions; intents it does not know were lost."""
        self.fold.rehydrate(orders, positions)
        for intent_id, slot in self._open_intents.items():
            slot.done(intent_id)
        self._open_intents.clear()
        for order in orders:
            if not order.status.is_terminal and order.facts.role in (OrderRole.ENTRY, OrderRole.EXIT):
                self._adopt(order)
        self.execution_up = True

    def execution_lost(self) -> None:
        """execd's link broke: nothing is proposed until it is back."""
        self.execution_up = False

    def _adopt(self, order: OrderSnapshot) -> None:
        """Wait for the end of an order that execd still works, of this life or an earlier one, before the next."""
        facts = order.facts
        run = self.runs.get(facts.strategy_id)
        for unit in run.units if run is not None else ():
            slot = unit.slots.get(facts.terms.instrument_id)
            if slot is not None:
                terms = facts.terms
                ticks = int(terms.price / slot.market.instrument.tick_size) if terms.price else 0
                adopted = WorkingOrder(facts.intent_id, terms.side, facts.role, ticks)
                adopted.client_order_id = terms.client_order_id
                slot.open(adopted, NEVER_NS)
                self._open_intents[facts.intent_id] = slot

    def handle_answers(self, answers: Iterable[IntentAnswer]) -> None:
        """Take execd's answers."""
        for answer in answers:
            slot = self._open_intents.get(answer.intent_id)
            if slot is None:
                continue
            if answer.status is IntentStatus.REFUSED:
                slot.run.refusals += 1
                slot.done(answer.intent_id)
                del self._open_intents[answer.intent_id]
            else:
                slot.accepted(answer.intent_id, answer.client_order_id)

    def handle_order_events(self, events: Iterable[OrderEvent], now_ns: int) -> list[Wish]:
        """Take order events in order and return what strategies want after fills."""
        out: list[Wish] = []
        self._out = out
        self._sent_time_ns = self._receive_time_ns = 0
        for event in events:
            order = self.fold.apply(event, now_ns)
            if order is None:
                continue
            if event.status.is_terminal and order.role in (OrderRole.ENTRY, OrderRole.EXIT):
                slot = self._open_intents.pop(order.intent_id, None)
                if slot is not None:
                    slot.done(order.intent_id)
            elif event.kind is OrderEventKind.CANCEL_REJECTED and order.intent_id in self._open_intents:
                self._open_intents[order.intent_id].orders[order.intent_id].cancel_wanted = False
            run = self.runs.get(order.strategy_id)
            if event.execution is None or run is None:
                continue
            for unit in run.units:
                filled = unit.slots.get(order.instrument_id)
                if filled is not None:
                    self._consult(unit, unit.strategy.on_fill, filled.market, now_ns, filled.market, event)
        return out

    # --- operators ----------------------------------------------------------------------------------------------------

    def set_enabled(self, strategy_id: str, enabled: bool, changed_by: str) -> StrategyRun | None:
        """Switch one strategy; None when there is no such one. A faulted strategy stays off until a restart."""
        run = self.runs.get(strategy_id)
        if run is not None:
            run.enabled = enabled and not run.fault
            run.changed_by = changed_by
        return run

    # --- proposals ----------------------------------------------------------------------------------------------------

    def _consult(
        self,
        unit: StrategyUnit,
        callback: Callable[..., Proposals],
        market: Market,
        now_ns: int,
        *arguments: object,
        tradable: bool = True,
    ) -> None:
        if unit.run.fault:
            return
        try:
            proposals = callback(*arguments)
        except Exception as error:  # noqa: BLE001  foreign code: it must not take the other strategies with it
            self._fault(unit.run, error)
            return
        if unit.uses_timer:
            self._timer_stale = True
        if proposals is None:
            return
        for wanted in (proposals,) if isinstance(proposals, Proposal | Withdrawal) else proposals:
            if isinstance(wanted, Proposal):
                self._propose(unit, market, wanted, now_ns, tradable)
            else:
                self._withdraw(unit.run, wanted.order)

    def _withdraw(self, run: StrategyRun, order: WorkingOrder) -> None:
        if order.cancel_wanted or not order.client_order_id or not self.execution_up:
            run.dropped += 1
            return
        order.cancel_wanted = True
        self._out.append(CancelWish(run.settings.strategy_id, order.intent_id, order.client_order_id))

    def _fault(self, run: StrategyRun, error: Exception) -> None:
        if not self.options.isolate_faults:
            raise InvariantError(f"strategy {run.settings.strategy_id}: {type(error).__name__}: {error}") from error
        run.fault = f"{type(error).__name__}: {error}"
        run.enabled = False

    def _propose(self, unit: StrategyUnit, market: Market, proposal: Proposal, now_ns: int, tradable: bool) -> None:
        run = unit.run
        market = proposal.market or market
        slot = unit.slots[market.instrument_id]
        role = proposal.role
        is_entry = role is OrderRole.ENTRY
        run.signals += 1
        run.last_signal = proposal.signal
        run.last_signal_time_ns = now_ns
        if (
            not tradable
            or not unit.warm
            or not self.execution_up
            or (is_entry and not (run.enabled and market.live and market.bid and market.ask))
            or (not (is_entry and run.strategy_class.overlapping) and slot.is_busy(role, now_ns))
            or len(self._open_intents) >= MAX_OPEN_INTENTS
        ):
            run.dropped += 1
            return
        params = run.settings.params
        ticks = proposal.limit_ticks or _bounded_ticks(market, proposal.side, params.entry_bound_bps)
        intent_id = run.next_intent_id()
        run.intents += 1
        if not run.strategy_class.overlapping:
            silent = slot.entry_id if is_entry else slot.exit_id  # one that was never answered
            self._open_intents.pop(silent, None)
            slot.done(silent)
        slot.open(
            WorkingOrder(intent_id, proposal.side, role, ticks),
            now_ns + params.time_to_live_ms * NS_PER_MS + ANSWER_GRACE_NS,
        )
        self._open_intents[intent_id] = slot
        instrument = market.instrument
        self._out.append(
            OrderIntent(
                intent_id=intent_id,
                strategy_id=run.settings.strategy_id,
                incarnation=self.incarnation,
                intent_sequence=run.intent_sequence,
                instrument_id=instrument.instrument_id,
                side=proposal.side,
                role=role,
                order_type=OrderType.LIMIT if ticks else OrderType.MARKET,
                time_in_force=proposal.time_in_force,
                created_time_ns=now_ns,
                qty=proposal.qty,
                strength=proposal.strength,
                limit_price=instrument.tick_size * ticks if ticks else None,
                post_only=proposal.post_only,
                expire_time_ns=proposal.expire_time_ns,
                expected_edge=proposal.expected_edge if is_entry else None,
                protection=run.protection if is_entry else _NO_PROTECTION,
                context=SignalContext(
                    proposal.signal,
                    proposal.strength,
                    self._market_incarnation,
                    self._sequence,
                    self._event_time_ns,
                    self._sent_time_ns,
                    self._receive_time_ns,
                    proposal.features,
                ),
                time_to_live_ms=params.time_to_live_ms,
                trace_id=intent_id,
            )
        )


def _bounded_ticks(market: Market, side: Side, bound_bps: int) -> int:
    """Return a limit that trades at once within `bound_bps` of the best opposite price; 0 when there is no price."""
    if side is Side.BUY:
        return market.ask + market.ask * bound_bps // 10_000 if market.ask else 0
    return market.bid - market.bid * bound_bps // 10_000 if market.bid else 0
