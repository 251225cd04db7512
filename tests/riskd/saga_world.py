"""execd and a venue as a kill meets them: slow, forgetful, answering twice and out of order, but never lying about what
the venue holds.

`Venue` is the truth. `Hands` is execd: what it learned of the truth goes into an order log that riskd reads in order,
late; its reports may be repeated, reordered and lost with the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum

from riskd.records import HoldRaised, MemorySink, RecordType, decode_record
from tests.riskd.kit import BTC, ETH, SECOND, Desk
from tradebot.core.approvals import ReduceCommand, SessionDown
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, OpenOrder, VenueHolding, VenueRead
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderRole,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)

PRICES = {BTC: Decimal(60_000), ETH: Decimal(3_000)}
TRADED = {"s1": (BTC, ETH), "s2": (BTC,)}


class Fate(Enum):
    """What becomes of a cancel, or of a closing order."""

    DONE = "done"
    FILLED = "it filled first"
    LOST = "nothing is heard of it"
    GHOST = "execd believes it gone, and it works on"


class Place(Enum):
    """Where an order is, in truth."""

    ON_ITS_WAY = "sent, and the venue may still take it"
    OPEN = "open"
    OVER = "over"


@dataclass
class Held:
    """One order in truth."""

    key: str
    instrument_id: str
    strategy_id: str
    role: OrderRole
    side: Side
    qty: Decimal
    place: Place


@dataclass
class Venue:
    """The truth."""

    orders: dict[str, Held] = field(default_factory=dict)
    holdings: dict[str, Decimal] = field(default_factory=lambda: {BTC: Decimal(0), ETH: Decimal(0)})

    def open_orders(self) -> list[Held]:
        return [order for order in self.orders.values() if order.place is Place.OPEN]


class World:
    """riskd's gate, execd's hands and the venue, joined by hand."""

    def __init__(self, fate: Callable[[], Fate], reads_fail: Callable[[], bool]) -> None:
        self.desk = Desk()
        self.venue = Venue()
        self.fate, self.reads_fail = fate, reads_fail
        self.log: list[OrderEvent] = []
        """execd's order log, all of it."""
        self.told = 0
        """How much of it riskd has been told."""
        self.reports: list[MassCancelReport] = []
        self.commands: list[MassCancel] = []
        self.reduces: list[ReduceCommand] = []
        self.epoch = 0
        self.connected = True
        self.lives = 1
        self.answered = 0
        """Records that an operator's answer has made sure of."""
        self.take(self.desk.gate.take_down())

    # ---- riskd

    def take(self, down: SessionDown) -> None:
        """Keep what riskd wants; the level table is obeyed at once."""
        if not self.connected:
            return
        if down.levels is not None:
            self.epoch = down.levels.epoch
        self.commands += down.mass_cancels
        self.reduces += down.reduces

    def wait(self, seconds: float) -> None:
        self.take(self.desk.wait(seconds))

    def deliver_events(self, count: int) -> None:
        """Tell riskd the next events of the log."""
        if not self.connected:
            return
        events = self.log[self.told : self.told + count]
        self.told += len(events)
        if events:
            self.take(self.desk.say(order_events=events))

    def deliver_report(self, index: int, *, again: bool = False) -> None:
        """Tell riskd one of the reports that are on their way, any of them, once or twice."""
        if not self.connected or not self.reports:
            return
        report = self.reports[index % len(self.reports)]
        if not again:
            self.reports.remove(report)
        self.take(self.desk.say(mass_cancels=[report]))

    def lose_session(self) -> None:
        if self.connected:
            self.connected = False
            self.commands, self.reports, self.reduces, self.epoch = [], [], [], 0
            self.desk.gate.session_lost(self.desk.now_ns)

    def dial(self) -> None:
        if not self.connected:
            self.connected = True
            down = self.desk.hello(head=len(self.log))
            assert down.welcome is not None
            self.told = down.welcome.order_log_resume_after
            self.take(down)
            self.desk.quote(BTC, "59999.99", "60000.01")
            self.desk.quote(ETH, "2999.99", "3000.01")
            self.take(self.desk.venue())

    def crash_riskd(self, *, unwritten_steps: int) -> None:
        """kill -9; the last records of kills, if they are the last records, may not have reached the disk.

        What an operator was answered has: riskd answers when its records are durable.
        """
        self.lose_session()
        records = list(self.desk.sink.records)
        for _ in range(unwritten_steps):
            if len(records) > self.answered and records[-1][0] == RecordType.KILL_SAGA:
                records.pop()
        self.lives += 1
        sink = MemorySink()
        sink.records = records
        gate = self.desk.new_gate(sink)
        gate.restore(list(records))
        self.desk.sink, self.desk.gate = sink, gate
        gate.start(f"life{self.lives}", self.desk.now_ns)

    def operator_is_answered(self) -> None:
        """Everything written down so far is durable."""
        self.answered = len(self.desk.sink.records)

    def crash_execd(self) -> None:
        """What was on its way is unproven; the log is kept."""
        self.lose_session()
        for order in self.venue.orders.values():
            if order.place is Place.ON_ITS_WAY and self.status(order.key) is OrderStatus.PENDING_NEW:
                self.event(order.key, OrderEventKind.OUTCOME_UNKNOWN)

    def hold_ids(self) -> list[str]:
        found = [decode_record(*row) for row in self.desk.sink.records if row[0] == RecordType.HOLD_RAISED]
        return [record.hold.hold_id for record in found if isinstance(record, HoldRaised)]

    # ---- orders

    def status(self, key: str) -> OrderStatus:
        return self.desk.statuses.get(key, OrderStatus.PENDING_NEW)

    def event(self, key: str, kind: OrderEventKind, **parts: object) -> None:
        self.log.append(self.desk.make_event(key, kind, **parts))

    def catch_up(self) -> None:
        self.deliver_events(len(self.log))

    def enter(self, strategy_id: str, instrument_id: str, *, arrives: bool) -> bool:
        """Ask for an entry and send it when it is allowed."""
        self.catch_up()
        price = PRICES[instrument_id]
        answer = self.desk.plain(
            strategy_id=strategy_id, instrument_id=instrument_id, limit_price=price, time_in_force=TimeInForce.GTC,
            qty=Decimal(60) / price,
        )  # fmt: skip
        if answer.approval is None:
            return False
        key = f"c{self.desk.orders}"
        self.venue.orders[key] = Held(
            key, instrument_id, strategy_id, OrderRole.ENTRY, Side.BUY, Decimal(60) / price, Place.ON_ITS_WAY
        )
        self.event(key, OrderEventKind.SENT)
        if arrives:
            self.arrive(key)
        return True

    def arrive(self, key: str) -> None:
        order = self.venue.orders[key]
        if order.place is Place.ON_ITS_WAY:
            order.place = Place.OPEN
            if self.status(key) is OrderStatus.PENDING_NEW:
                self.event(key, OrderEventKind.ACCEPTED)

    def doubt(self, key: str) -> None:
        if self.status(key) in (OrderStatus.PENDING_NEW, OrderStatus.NEW):
            self.event(key, OrderEventKind.OUTCOME_UNKNOWN)

    def prove(self, key: str) -> None:
        """Ask the venue after an order: what is on its way is there or never will be."""
        order = self.venue.orders[key]
        if order.place is Place.ON_ITS_WAY:
            order.place = Place.OVER
            known = self.status(key) is OrderStatus.UNKNOWN
            self.event(key, OrderEventKind.PROVEN_ABSENT if known else OrderEventKind.REJECTED)
        elif self.status(key) is OrderStatus.UNKNOWN:
            self.event(key, OrderEventKind.RECOVERED if order.place is Place.OPEN else OrderEventKind.CANCELED)

    def fill(self, order: Held) -> None:
        order.place = Place.OVER
        self.venue.holdings[order.instrument_id] += order.side.sign * order.qty
        self.desk.executions += 1
        execution = Execution(
            f"t{self.desk.executions}", order.key, order.instrument_id, order.side, order.qty,
            PRICES[order.instrument_id], Decimal(0), "USDT", Liquidity.TAKER, self.desk.now_ns,
        )  # fmt: skip
        self.event(order.key, OrderEventKind.FILL_COMPLETE, execution=execution)

    def protect(self, entry: Held) -> None:
        """Rest a stop for a filled entry, as execd does under its grant."""
        self.desk.orders += 1
        key = f"p{self.desk.orders}"
        price = PRICES[entry.instrument_id] * Decimal("0.99")
        terms = OrderTerms(
            key, entry.instrument_id, Side.SELL, OrderType.STOP_LIMIT, entry.qty, price, price, TimeInForce.GTC
        )
        facts = OrderFacts(
            terms, entry.strategy_id, "", 0, OrderRole.PROTECTION, self.desk.now_ns,
            protects_client_order_id=entry.key,
        )  # fmt: skip
        held = Held(key, entry.instrument_id, entry.strategy_id, OrderRole.PROTECTION, Side.SELL, entry.qty, Place.OPEN)
        self.venue.orders[key] = held
        self.event(key, OrderEventKind.ASKED, facts=facts)
        self.event(key, OrderEventKind.SENT)
        self.event(key, OrderEventKind.ACCEPTED)

    # ---- execd's work

    def obey(self, index: int) -> None:
        """Do one of riskd's mass cancels: any order, any number of times."""
        if not self.connected or not self.commands:
            return
        command = self.commands.pop(index % len(self.commands))
        canceled = 0
        for order in self.venue.open_orders():
            if command.scope.covers("binance", order.instrument_id, order.strategy_id):
                flat = not self.held(order.strategy_id, order.instrument_id)
                if (order.role is not OrderRole.PROTECTION or flat) and not self.status(order.key).is_terminal:
                    canceled += 1
                    self.cancel(order)
        report = MassCancelReport(command.kill_id, command.attempt, self.epoch, len(self.log), canceled)
        self.reports.append(report)
        if command.read_venues:
            self.reports.append(replace(report, order_log_head=len(self.log), reads=(self.read(command),)))

    def cancel(self, order: Held, fate: Fate | None = None) -> None:
        """Cancel; an order may fill first, or nothing may be heard."""
        match fate or self.fate():
            case Fate.DONE:
                order.place = Place.OVER
                self.event(order.key, OrderEventKind.CANCELED)
            case Fate.FILLED if order.role is OrderRole.ENTRY:
                self.fill(order)
            case Fate.GHOST:
                self.event(order.key, OrderEventKind.CANCELED)
            case _:
                if self.status(order.key) is OrderStatus.NEW:
                    self.event(order.key, OrderEventKind.CANCEL_SENT)

    def read(self, command: MassCancel) -> VenueRead:
        now_ns = self.desk.now_ns
        if self.reads_fail():
            return VenueRead("binance", now_ns, "the venue did not answer the read")
        orders = [
            OpenOrder(f"v{o.key}", o.key, o.instrument_id, o.strategy_id, o.role)
            for o in self.venue.open_orders()
            if command.scope.covers("binance", o.instrument_id, o.strategy_id)
        ]
        holdings = [
            VenueHolding(i, amount, self.booked(i), Decimal("0.00001")) for i, amount in self.venue.holdings.items()
        ]
        return VenueRead("binance", now_ns, "", len(orders), tuple(orders), tuple(holdings))

    def reduce(self, fate: Fate) -> None:
        """Work riskd's oldest reduce command as execd does: protection down, ask, send, IOC."""
        if not self.connected or not self.reduces:
            return
        command = self.reduces.pop(0)
        at = (command.strategy_id, command.instrument_id)
        for order in self.venue.open_orders():
            if order.role is OrderRole.PROTECTION and (order.strategy_id, order.instrument_id) == at:
                self.cancel(order, Fate.DONE)
        self.catch_up()
        qty = min(command.qty, abs(self.held(*at)))
        if not qty:
            return
        base = self.desk.order(
            self.desk.intent(
                role=OrderRole.EXIT, side=command.side, qty=qty, limit_price=None,
                instrument_id=command.instrument_id, strategy_id=command.strategy_id,
            )
        )  # fmt: skip
        intent_id = f"reduce:{command.reduce_id}"
        asked = replace(base, role=OrderRole.REDUCE, reduce_id=command.reduce_id, intent_id=intent_id)
        if self.desk.ask(None, asked).approval is None:
            return
        key = f"c{self.desk.orders}"
        held = Held(key, command.instrument_id, command.strategy_id, OrderRole.REDUCE, command.side, qty, Place.OPEN)
        self.venue.orders[key] = held
        self.event(key, OrderEventKind.SENT)
        if fate is Fate.FILLED:
            self.fill(held)
        else:
            held.place = Place.OVER
            self.event(key, OrderEventKind.EXPIRED)

    # ---- sums

    def held(self, strategy_id: str, instrument_id: str) -> Decimal:
        """Return what a strategy holds by the log: execd's own view."""
        total = Decimal(0)
        for event in self.log:
            trade = event.execution
            if trade is None or trade.instrument_id != instrument_id:
                continue
            if self.venue.orders[event.client_order_id].strategy_id == strategy_id:
                total += trade.side.sign * trade.qty
        return total

    def booked(self, instrument_id: str) -> Decimal:
        return sum((self.held(strategy_id, instrument_id) for strategy_id in TRADED), Decimal(0))

    def heal(self) -> None:
        """From here on everything works, the operator cancels ghosts at the venue by hand, and time passes a little."""
        self.dial()
        for ghost in self.venue.open_orders():
            if self.status(ghost.key).is_terminal:
                ghost.place = Place.OVER
        for order in list(self.venue.orders.values()):
            self.prove(order.key)
            if order.place is Place.OPEN and self.status(order.key) is OrderStatus.PENDING_CANCEL:
                self.cancel(order, Fate.DONE)
        self.catch_up()
        while self.commands:
            self.obey(0)
        while self.reduces:
            self.reduce(Fate.FILLED)
        self.catch_up()
        while self.reports:
            self.deliver_report(0)
        self.wait(0.5)


__all__ = ["SECOND", "Fate", "Held", "Place", "Venue", "World"]
