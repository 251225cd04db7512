"""The order table: every order of ours, folded from the order event log and from nothing else.

A live step makes an event, folds it, journals it; a restart folds the journaled events with the same function.
Executions are deduplicated by (instrument, exec_id) over all orders, because the venue tells each fill more than once.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from execd.positions import PositionBook
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot
from tradebot.core.orders import Execution, OrderEventKind, OrderRole, OrderState, OrderStatus

MAX_TERMINAL_ORDERS: Final = 20_000
"""Terminal orders kept in memory; older ones are in the journal only."""
MAX_EXECUTIONS: Final = 100_000
"""Execution keys remembered; reconciliation looks back minutes, never this far."""
CAME_BACK: Final = "CAME_BACK"
"""Reason of an order that works at the venue although we held it over, and of its cancel."""
MAX_LOG_EVENTS: Final = 200_000
"""Order events kept for resuming readers; a reader that is further behind starts with a snapshot."""

_AT_HOME: Final = (OrderEventKind.ASKED, OrderEventKind.REFUSED)
"""Every other event says that the order may be at the venue: a crash can take SENT away and leave what came of it."""


@dataclass(slots=True)
class Order:
    """One order with everything that events do not say."""

    facts: OrderFacts
    state: OrderState
    detail: str = ""
    check_id: str = ""
    reason: str = ""
    sent_ns: int = 0
    """When it was written to the socket; 0 = not, or before the last start."""
    was_sent: bool = False
    """True once it may be at the venue."""
    cancel_wanted: str = ""
    """Reason of a cancel that is due, restored from the journal; sent again whenever the order still works."""
    cancels: int = 0
    """Cancels that were sent."""
    cancel_purpose: str = ""
    """Purpose that went with it, for protecting orders."""
    list_id: str = ""
    id: str = field(init=False)
    """Client order id; facts may change, this never does."""

    def __post_init__(self) -> None:
        self.id = self.facts.terms.client_order_id

    @property
    def working(self) -> bool:
        """True while something may still happen at the venue."""
        return not self.state.status.is_terminal

    def snapshot(self) -> OrderSnapshot:
        """Return the order as it stands."""
        state = self.state
        return OrderSnapshot(
            self.facts,
            state.status,
            state.venue_order_id,
            state.filled_qty,
            state.avg_price,
            self.reason,
            self.detail,
            self.check_id,
            state.updated_ns,
        )


class OrderLog:
    """The newest order events, for readers that resume."""

    def __init__(self) -> None:
        self._events: deque[OrderEvent] = deque(maxlen=MAX_LOG_EVENTS)
        self.head = 0
        """Sequence of the last event."""

    def append(self, event: OrderEvent) -> None:
        """Add the next event; its sequence must follow."""
        if event.sequence != self.head + 1:
            raise InvariantError(f"order event {event.sequence} does not follow {self.head}")
        self.head = event.sequence
        self._events.append(event)

    def after(self, sequence: int) -> list[OrderEvent] | None:
        """Return the events after a sequence, or None when that point is gone or in the future."""
        missing = self.head - sequence
        if missing < 0 or missing > len(self._events):
            return None
        return list(self._tail(missing))

    def _tail(self, count: int) -> Iterator[OrderEvent]:
        start = len(self._events) - count
        for index in range(start, len(self._events)):
            yield self._events[index]

    def of_order(self, client_order_id: str) -> list[OrderEvent]:
        """Return the kept events of one order."""
        return [event for event in self._events if event.client_order_id == client_order_id]


class OrderTable:
    """All orders. `fold` is the only way to change one."""

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        self.positions = PositionBook(instruments)
        self.log = OrderLog()
        self._orders: dict[str, Order] = {}
        self._working: dict[str, Order] = {}
        self._unknown: dict[str, None] = {}
        self._terminal: deque[str] = deque()
        self._by_venue_id: dict[tuple[str, str], str] = {}
        self._executions: OrderedDict[tuple[str, str], Execution] = OrderedDict()
        self.fill_count = 0
        self.sent_count = 0
        """Orders that ever left, as far as is known."""

    # ---- reading

    def get(self, client_order_id: str) -> Order | None:
        """Return an order, or None."""
        return self._orders.get(client_order_id)

    def by_venue_id(self, instrument_id: str, venue_order_id: str) -> Order | None:
        """Return the order that the venue calls so."""
        return self._orders.get(self._by_venue_id.get((instrument_id, venue_order_id), ""))

    def execution(self, instrument_id: str, exec_id: str) -> Execution | None:
        """Return a booked execution."""
        return self._executions.get((instrument_id, exec_id))

    def find_execution(self, exec_id: str) -> Execution | None:
        """Return a booked execution by its id alone, for people."""
        return next((e for (_, key), e in self._executions.items() if key == exec_id), None)

    def executions(self) -> Iterable[Execution]:
        """Return all remembered executions, oldest first."""
        return self._executions.values()

    def working(self) -> list[Order]:
        """Return the orders that are not terminal."""
        return list(self._working.values())

    def unknown_ids(self) -> tuple[str, ...]:
        """Return the orders whose outcome is not proven."""
        return tuple(self._unknown)

    @property
    def working_count(self) -> int:
        return len(self._working)

    @property
    def unknown_count(self) -> int:
        return len(self._unknown)

    def all_orders(self) -> Iterable[Order]:
        """Return every kept order, oldest first."""
        return self._orders.values()

    # ---- changing

    def next_sequence(self) -> int:
        """Return the sequence of the next event."""
        return self.log.head + 1

    def fold(self, event: OrderEvent) -> Order:
        """Apply one event, live or restored.

        Raises:
            InvariantError: If the transition table excludes it, or a fill exceeds its order.
        """
        order = self._orders.get(event.client_order_id)
        if order is None:
            if event.facts is None:
                raise InvariantError(
                    f"order event {event.sequence}: unknown order {event.client_order_id} without facts"
                )
            order = Order(event.facts, OrderState(event.facts.terms))
            self._orders[event.client_order_id] = order
        elif event.facts is not None:
            order.facts = event.facts
            order.state.terms = event.facts.terms
        was_terminal = order.state.status.is_terminal
        if event.execution is not None:
            self._book(order, event.execution, event.receive_time_ns)
        else:
            order.state.apply(event.kind, event.receive_time_ns, reason=event.reason)
        if order.state.status is not event.status:
            raise InvariantError(
                f"order event {event.sequence}: {event.client_order_id} folds to {order.state.status.name}, "
                f"the event says {event.status.name}"
            )
        if not order.was_sent and event.kind not in _AT_HOME:
            order.was_sent = True
            self.sent_count += 1
        if event.kind is OrderEventKind.CANCEL_SENT:
            order.cancel_wanted = event.reason
            order.cancels += 1
        elif event.kind is OrderEventKind.RECOVERED and was_terminal:
            # Whoever wanted it has gone on without it. Whether a stop is in the way, its entry tells.
            order.cancel_wanted = "" if order.facts.role is OrderRole.PROTECTION else CAME_BACK
        self._note_texts(order, event)
        self._index(order, event, was_terminal)
        self.log.append(event)
        return order

    def _book(self, order: Order, execution: Execution, now_ns: int) -> None:
        if not order.state.apply_fill(execution, now_ns):
            raise InvariantError(f"execution {execution.exec_id} of {order.id} is booked twice")
        self._executions[execution.instrument_id, execution.exec_id] = execution
        if len(self._executions) > MAX_EXECUTIONS:
            self._executions.popitem(last=False)
        self.positions.book(order.facts.strategy_id, execution)
        self.fill_count += 1

    def _note_texts(self, order: Order, event: OrderEvent) -> None:
        if event.reason:
            order.reason, order.detail = event.reason, event.detail
        if event.check_id:
            order.check_id = event.check_id
        if event.venue_order_id:
            order.state.venue_order_id = event.venue_order_id
            self._by_venue_id[order.facts.terms.instrument_id, event.venue_order_id] = order.id

    def _index(self, order: Order, event: OrderEvent, was_terminal: bool) -> None:
        status = order.state.status
        if status is OrderStatus.UNKNOWN:
            self._unknown[order.id] = None
        elif self._unknown:
            self._unknown.pop(order.id, None)
        if status.is_terminal:
            self._working.pop(order.id, None)
            if not was_terminal:
                self._terminal.append(order.id)
                self._forget_old()
        else:
            self._working[order.id] = order

    def _forget_old(self) -> None:
        while len(self._terminal) > MAX_TERMINAL_ORDERS:
            gone = self._orders.get(self._terminal.popleft())
            if gone is not None and not gone.working:
                del self._orders[gone.id]
                self._by_venue_id.pop((gone.facts.terms.instrument_id, gone.state.venue_order_id), None)


def fill_kind(order: Order, qty: Decimal) -> OrderEventKind:
    """Return whether a fill completes its order."""
    done = order.state.filled_qty + qty == order.state.terms.qty
    return OrderEventKind.FILL_COMPLETE if done else OrderEventKind.FILL


def is_entry(order: Order) -> bool:
    """Return whether the order may increase exposure."""
    return order.facts.role is OrderRole.ENTRY
