"""Folds what the daemons say into what is shown. Pure: told messages and `now_ns`, asked for a `View`.

Latest wins: a burst of messages costs one repaint. Everything shown carries how good it is (`staleness.py`); a total
is as good as its worst input. When a stream closes, everything from it turns stale at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from console.alarms import AlarmBook
from console.conditions import conditions
from console.equity import EquityHistory
from console.model import (
    DAEMONS,
    STOP_DAEMONS,
    Beat,
    BookRow,
    Command,
    ExecdFacts,
    Kill,
    Ladder,
    LogEntry,
    Pnl,
    Position,
    Source,
    StopPing,
    Strategy,
    TradingRules,
    VenueLink,
)
from console.orders import OrderBook
from console.rates import Rate
from console.staleness import ACCOUNT, HEARTBEAT, MARKET, Feed, Freshness, grade
from console.stop_keys import StopLevel
from console.stop_state import StopCommand
from console.text import places
from console.view import (
    BookView,
    DaemonView,
    Identity,
    LadderView,
    LevelView,
    LinkView,
    MoneyView,
    OrdersView,
    PositionView,
    StopView,
    View,
)
from tradebot.core.levels import Hold, TradingLevel
from tradebot.core.order_events import OrderEvent, OrderSnapshot

MAX_LOG_LINES: Final = 500
MAX_LOG_CHARS: Final = 500
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
NOTICE_NS: Final = 10 * NS_PER_S
"""How long the answer to the operator's own action is shown."""
PING_VALID_NS: Final = 3 * NS_PER_S
"""A ping a second is expected; an answer older than this proves nothing."""
LATCHES: Final = {"HALT": TradingLevel.HALTED, "KILL": TradingLevel.KILLED}
BEATS: Final = {
    source.value: source for source in (Source.MARKETDATA, Source.ENGINE, Source.RISKD, Source.EXECD, Source.RECORDER)
}


@dataclass(slots=True)
class _Stamped:
    """A list that came with a heartbeat."""

    received_ns: int = 0
    books: tuple[BookRow, ...] = ()
    strategies: tuple[Strategy, ...] = ()


@dataclass(slots=True)
class _Stop:
    pings: dict[str, tuple[int, StopPing]] = field(default_factory=dict)
    command: StopCommand | None = None


class Store:
    """The latest-wins model behind every screen."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.selected_instrument = ""
        self._feeds = {source: Feed() for source in Source}
        self._beats: dict[str, Beat] = {}
        self._rates: dict[str, Rate] = {}
        self._execd: ExecdFacts | None = None
        self._market = _Stamped()
        self._engine = _Stamped()
        self._system_level: TradingLevel | None = None
        self._holds: dict[str, Hold] = {}
        self._kills: tuple[Kill, ...] = ()
        self._pnl: Pnl | None = None
        self._equity = EquityHistory()
        self._positions: dict[str, tuple[int, Position]] = {}
        self._orders = OrderBook()
        self._ladders: dict[str, Ladder] = {}
        self._stop = _Stop()
        self._price_places: dict[str, int] = {}
        self._rules: dict[str, TradingRules] = {}
        self._log: deque[LogEntry] = deque(maxlen=MAX_LOG_LINES)
        self._last_command: Command | None = None
        self._notice: tuple[int, str] = (0, "")
        self._alarms = AlarmBook()
        self._ui = (0.0, 0.0)

    # --- messages -----------------------------------------------------------------------------------------------------

    def closed(self, source: Source) -> None:
        """A stream is over."""
        self._feeds[source].closed()

    def heard(self, source: Source, now_ns: int, sent_ns: int = 0) -> None:
        """A message without news: the stream lives."""
        self._feeds[source].heard(now_ns, sent_ns)

    def beat(self, beat: Beat, now_ns: int) -> None:
        """A daemon's heartbeat."""
        source = BEATS.get(beat.daemon)
        if source is None:
            return
        self._feeds[source].heard(now_ns, beat.time_ns)
        known = self._beats.get(beat.daemon)
        if known is not None and known.incarnation != beat.incarnation:
            self.note(LogEntry(now_ns, "warning", beat.daemon, "restarted"))
        self._beats[beat.daemon] = beat
        if (messages := beat.item("messages")) is not None:
            self._rates.setdefault(beat.daemon, Rate()).sample(messages, beat.incarnation, beat.time_ns)
        for entry in beat.logs:
            self.note(entry)

    def instruments(self, rules: Iterable[TradingRules]) -> None:
        """What is traded, with the venue's rules."""
        self._rules = {item.instrument_id: item for item in rules}
        for item in self._rules.values():
            self._price_places[item.instrument_id] = places(item.tick_size.normalize())

    def books(self, rows: Iterable[BookRow], now_ns: int) -> None:
        """All books, with marketdata's heartbeat."""
        self._market.books = tuple(rows)
        self._market.received_ns = now_ns
        for row in self._market.books:
            self._learn_places(row.instrument_id, (row.bid, row.ask, row.last))
        known = [row.instrument_id for row in self._market.books]
        if self.selected_instrument not in known and known:
            self.selected_instrument = known[0]

    def strategies(self, rows: Iterable[Strategy], now_ns: int) -> None:
        """All strategies, with the engine's heartbeat."""
        self._engine.strategies = tuple(rows)
        self._engine.received_ns = now_ns

    def execd_facts(self, facts: ExecdFacts) -> None:
        """What execd adds to its heartbeat."""
        self._execd = facts

    def kills(self, kills: Iterable[Kill]) -> None:
        """The kills in force, newest first, with riskd's heartbeat."""
        self._kills = tuple(kills)

    def system_level(self, level: TradingLevel) -> None:
        """The level of the system scope as riskd has it."""
        self._system_level = level

    def all_holds(self, holds: Iterable[Hold]) -> None:
        """The complete set of holds."""
        self._holds = {hold.hold_id: hold for hold in holds}

    def hold_raised(self, hold: Hold) -> None:
        """One more hold."""
        self._holds[hold.hold_id] = hold

    def hold_cleared(self, hold_id: str) -> None:
        """One hold less."""
        self._holds.pop(hold_id, None)

    def pnl(self, pnl: Pnl, now_ns: int) -> None:
        """Money."""
        self._feeds[Source.PNL].heard(now_ns, pnl.time_ns)
        self._pnl = pnl
        if pnl.equity is not None and pnl.stale_inputs == 0:
            self._equity.add(float(pnl.equity), now_ns)

    def positions(self, rows: Iterable[Position], now_ns: int, *, snapshot: bool, sent_ns: int = 0) -> None:
        """All positions, or those that changed; flat ones go away."""
        self._feeds[Source.POSITIONS].heard(now_ns, sent_ns)
        if snapshot:
            self._positions.clear()
        for row in rows:
            if row.qty:
                self._positions[row.key] = (now_ns, row)
            else:
                self._positions.pop(row.key, None)

    def all_orders(self, snapshots: Iterable[OrderSnapshot], now_ns: int) -> None:
        """The orders as they stand: replaces what was known."""
        self._feeds[Source.ORDERS].heard(now_ns)
        self._orders.replace(snapshots)

    def order_event(self, event: OrderEvent, now_ns: int) -> None:
        """One step of one order."""
        self._feeds[Source.ORDERS].heard(now_ns)
        self._orders.apply(event)

    def ladder(self, ladder: Ladder, now_ns: int) -> None:
        """The book of one instrument."""
        self._feeds[Source.BOOK].heard(now_ns)
        self._ladders = {ladder.instrument_id: ladder}
        self._learn_places(ladder.instrument_id, (price for price, _ in (*ladder.bids, *ladder.asks)))

    def _learn_places(self, instrument_id: str, prices: Iterable[Decimal | None]) -> None:
        """Prices come without trailing zeros: the longest one seen tells the decimals of the tick."""
        most = max((places(price) for price in prices if price is not None), default=0)
        if most > self._price_places.get(instrument_id, 0):
            self._price_places[instrument_id] = most

    def ping(self, daemon: str, answer: StopPing, now_ns: int) -> None:
        """Answer (or silence) of a stop path."""
        self._stop.pings[daemon] = (now_ns, answer)

    def stop_given(self, command_id: str, level: StopLevel, now_ns: int) -> None:
        """The operator stops."""
        working = self._execd.working_orders if self._execd is not None else None
        self._stop.command = StopCommand(command_id, level, now_ns, working)

    def stop_answered(self, command_id: str, daemon: str, answer: StopPing, now_ns: int) -> None:
        """A daemon has, or has not, taken the stop. What it answers is as good as a ping."""
        self.ping(daemon, answer, now_ns)
        command = self._stop.command
        if command is not None and command.command_id == command_id:
            command.answered(daemon, answer)

    def command(self, command: Command) -> None:
        """An operator's command was handled, ours or somebody else's."""
        if self._last_command is None or command.time_ns >= self._last_command.time_ns:
            self._last_command = command

    def note(self, entry: LogEntry) -> None:
        """A line for the log."""
        text = entry.text if len(entry.text) <= MAX_LOG_CHARS else entry.text[:MAX_LOG_CHARS]
        self._log.append(LogEntry(entry.time_ns, entry.level, entry.daemon, text, entry.trace_id))

    def answer(self, text: str, now_ns: int) -> None:
        """What came of the operator's own action."""
        self._notice = (now_ns, text)

    def ui(self, lag_ms: float, fps: float) -> None:
        """How the console itself does."""
        self._ui = (lag_ms, fps)

    # --- view ---------------------------------------------------------------------------------------------------------

    def view(self, now_ns: int) -> View:
        """Return everything as it may be shown now."""
        money = self._money(now_ns)
        level, stop = self._level(now_ns), self._stop_view(now_ns)
        links, books = tuple(self._links(now_ns)), tuple(self._books(now_ns))
        positions, orders = tuple(self._position_views(now_ns)), self._orders_view(now_ns)
        daemons = tuple(self._daemon(name, now_ns) for name in DAEMONS)
        view = View(
            now_ns=now_ns,
            identity=self.identity,
            level=level,
            stop=stop,
            stop_command=self._stop.command,
            kills=self._kills,
            alarms=(),
            risk_session_up=None if self._execd is None else self._execd.risk_session_up,
            money=money,
            daemons=daemons,
            links=links,
            books=books,
            positions=positions,
            positions_freshness=self._feeds[Source.POSITIONS].freshness(now_ns, ACCOUNT),
            orders=orders,
            ladder=self._ladder_view(now_ns, orders),
            strategies=self._engine.strategies,
            strategies_freshness=self._feeds[Source.ENGINE].freshness(now_ns, HEARTBEAT),
            log=tuple(self._log),
            last_command=self._last_command,
            notice=self._notice[1] if now_ns - self._notice[0] < NOTICE_NS else "",
            price_places=self._price_places,
            ui_lag_ms=self._ui[0],
            fps=self._ui[1],
        )
        return replace(view, alarms=self._alarms.evaluate(conditions(view), now_ns))

    @property
    def working_orders_now(self) -> int | None:
        """Working orders by execd's heartbeat, None before the first."""
        return None if self._execd is None else self._execd.working_orders

    @property
    def stop_is_pending(self) -> bool:
        """True while a stop of ours is not acknowledged by everybody."""
        return self._stop.command is not None and not self._stop.command.complete

    def _level(self, now_ns: int) -> LevelView:
        events, beats = self._feeds[Source.RISK_EVENTS], self._feeds[Source.RISKD]
        freshness = min(events.freshness(now_ns, ACCOUNT), beats.freshness(now_ns, HEARTBEAT))
        level = self._system_level if freshness is not Freshness.DEAD else None
        if self._execd is not None and self._feeds[Source.EXECD].freshness(now_ns, HEARTBEAT) <= Freshness.LATE:
            level, freshness = _at_least(level, LATCHES.get(self._execd.latch), freshness)
        for asked_ns, answer in self._stop.pings.values():
            if answer.ok and now_ns - asked_ns <= PING_VALID_NS:
                level, freshness = _at_least(level, answer.level, freshness)
        holds = tuple(sorted(self._holds.values(), key=lambda hold: (-hold.level, hold.raised_ns, hold.hold_id)))
        return LevelView(level, freshness, holds, events.freshness(now_ns, ACCOUNT))

    def _stop_view(self, now_ns: int) -> StopView:
        known = [self._stop.pings.get(daemon) for daemon in STOP_DAEMONS]
        good = [item[1] for item in known if item is not None and item[1].ok and now_ns - item[0] <= PING_VALID_NS]
        silent = tuple(
            daemon
            for daemon, item in zip(STOP_DAEMONS, known, strict=True)
            if item is None or not item[1].ok or now_ns - item[0] > PING_VALID_NS
        )
        slowest = max((answer.ms for answer in good), default=0.0)
        return StopView(len(good), len(STOP_DAEMONS), slowest, all(item is not None for item in known), silent)

    def _daemon(self, name: str, now_ns: int) -> DaemonView:
        feed, beat = self._feeds[BEATS[name]], self._beats.get(name)
        freshness = feed.freshness(now_ns, HEARTBEAT) if feed.connected else Freshness.DEAD
        return DaemonView(name, beat, freshness, feed.age_ns(now_ns), self._figure(name, beat))

    def _figure(self, name: str, beat: Beat | None) -> str:
        if beat is None:
            return ""
        if name == "marketdata" and (rate := self._rates.get(name)) is not None and rate.per_s is not None:
            return f"{_short(rate.per_s)}/s"
        for item, words in FIGURES.get(name, ()):
            value = beat.item(item)
            if value and value.strip("0."):  # a zero says nothing here, and a latency of zero was never measured
                return words.format(value)
        return ""

    def _links(self, now_ns: int) -> Iterator[LinkView]:
        for name in DAEMONS:
            beat = self._beats.get(name)
            feed = self._feeds[BEATS[name]]
            if beat is None or feed.received_ns is None:
                continue
            for link in beat.links:
                age_ns = link.age_ms * NS_PER_MS + _beyond_period(now_ns - feed.received_ns)
                freshness = max(feed.freshness(now_ns, HEARTBEAT), _link_grade(link, age_ns))
                yield LinkView(link, name, freshness, age_ns)

    def _books(self, now_ns: int) -> Iterator[BookView]:
        feed = self._feeds[Source.MARKETDATA]
        for book in self._market.books:
            age_ns = book.age_ms * NS_PER_MS + _beyond_period(now_ns - self._market.received_ns)
            freshness = max(feed.freshness(now_ns, HEARTBEAT), grade(age_ns, MARKET))
            if book.state != "LIVE":
                freshness = max(freshness, Freshness.STALE)
            yield BookView(book, freshness, age_ns)

    def _position_views(self, now_ns: int) -> Iterator[PositionView]:
        stream = self._feeds[Source.POSITIONS].freshness(now_ns, ACCOUNT)
        for received_ns, row in sorted(self._positions.values(), key=lambda item: item[1].key):
            rules = self._rules.get(row.instrument_id)
            dust = rules is not None and rules.is_dust(row.qty, row.mark_price or row.avg_price)
            if row.mark_price is None:
                yield PositionView(row, stream, Freshness.DEAD, None, dust)
                continue
            age_ns = row.mark_age_ms * NS_PER_MS + _beyond_period(now_ns - received_ns)
            yield PositionView(row, stream, max(stream, grade(age_ns, MARKET)), age_ns, dust)

    def _money(self, now_ns: int) -> MoneyView:
        feed = self._feeds[Source.PNL]
        freshness = feed.freshness(now_ns, ACCOUNT)
        if self._pnl is not None and self._pnl.stale_inputs:
            freshness = max(freshness, Freshness.STALE)
        return MoneyView(self._pnl, freshness, feed.age_ns(now_ns), self._equity.values, self._equity.span_ns)

    def _orders_view(self, now_ns: int) -> OrdersView:
        feed = self._feeds[Source.ORDERS]
        rows = self._orders.rows()
        return OrdersView(
            rows,
            sum(row.is_working for row in rows),
            sum(row.is_unknown for row in rows),
            feed.freshness(now_ns, ACCOUNT),
            feed.age_ns(now_ns),
        )

    def _ladder_view(self, now_ns: int, orders: OrdersView) -> LadderView:
        name = self.selected_instrument
        ladder = self._ladders.get(name)
        last = next((book.last for book in self._market.books if book.instrument_id == name), None)
        own = frozenset(
            (row.is_buy, price)
            for row in orders.rows
            if row.is_working and row.instrument_id == name and (price := row.price) is not None
        )
        if ladder is None:
            return LadderView(name, None, Freshness.DEAD, None, last, own)
        feed = self._feeds[Source.BOOK]
        polled = feed.age_ns(now_ns) or 0
        age_ns = max(polled, now_ns - ladder.received_ns)
        freshness = max(feed.freshness(now_ns, MARKET), grade(age_ns, MARKET))
        if ladder.state != "LIVE":
            freshness = Freshness.DEAD
        return LadderView(name, ladder, freshness, age_ns, last, own)


FIGURES: Final = {
    "marketdata": (("messages", "msgs {}"),),
    "engine": (("intents", "{} intents"), ("signals", "{} signals")),
    "riskd": (("check_us_p50", "chk {}us"), ("decisions", "{} decided"), ("approvals", "{} appr")),
    "execd": (("ack_latency_us_p50", "ack {}us"), ("risk_round_trip_us_p50", "risk {}us"), ("orders_sent", "{} sent")),
    "recorder": (("queue_rows", "queue {}"), ("rows_written", "{} rows")),
}
"""Figures shown beside a daemon: the first one that it reports."""


def _at_least(
    level: TradingLevel | None, other: TradingLevel | None, freshness: Freshness
) -> tuple[TradingLevel | None, Freshness]:
    """Return the higher level; a stop seen at its own path is fresh knowledge, whatever riskd last said."""
    if other is None or other < TradingLevel.HALTED or (level is not None and level >= other):
        return level, freshness
    return other, Freshness.FRESH


def _beyond_period(elapsed_ns: int) -> int:
    """Return what a value has aged since the heartbeat that told its age: nothing until the next one is due."""
    return max(0, elapsed_ns - NS_PER_S)


def _link_grade(link: VenueLink, age_ns: int) -> Freshness:
    if link.state == "live":
        # A quiet private stream is not a stale one: its owner says so when it is.
        return Freshness.FRESH if link.channel == "private" else grade(age_ns, MARKET)
    return Freshness.DEAD if link.state == "down" else Freshness.STALE


def _short(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"
