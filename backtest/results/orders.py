"""What the recorder knows of each order while more may be said of it, and the row that stays of it afterwards.

An order is forgotten once MAX_ENDED others have ended after it and every lot that the venue matched was told: an
acknowledgement or a fill that comes late still finds it. So the memory of a run does not grow with its orders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Protocol

from backtest.results.schemas import amount
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import OrderRole, OrderStatus

MAX_OPEN: Final = 100_000
"""Orders that are open at once."""
MAX_ENDED: Final = 4_096
"""Orders that ended last and are kept for what is said of them late."""
DECIDED_ROLES: Final = (OrderRole.ENTRY, OrderRole.EXIT)
"""Protection and emergency exits come from a grant, not from a decision."""


class VenueOrder(Protocol):
    """What is read of an order inside the simulator."""

    @property
    def filled_lots(self) -> int: ...
    @property
    def queue_ahead(self) -> int: ...
    @property
    def working(self) -> bool: ...
    @property
    def status(self) -> OrderStatus: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which an order traded at the venue."""

    at_ns: int
    filled_qty: Decimal
    """Of the order, up to and with this moment."""
    queue_ahead: Decimal


@dataclass(slots=True)
class Decision:
    """What a strategy wanted, until its order has come or was refused."""

    at_ns: int
    instrument_id: str
    mid: Decimal | None = None


@dataclass(slots=True)
class KnownOrder:
    """One order as far as it is known."""

    facts: OrderFacts
    decision: Decision | None
    status: OrderStatus = OrderStatus.PENDING_NEW
    reason: str = ""
    check_id: str = ""
    sent_ns: int | None = None
    arrived_ns: int | None = None
    acknowledged_ns: int | None = None
    ended_ns: int | None = None
    mid_at_arrival: Decimal | None = None
    queue_at_arrival: Decimal | None = None
    filled_qty: Decimal = Decimal(0)
    filled_notional: Decimal = Decimal(0)
    at_venue: VenueOrder | None = None
    seen_lots: int = 0
    moments: deque[Moment] = field(default_factory=deque)
    """In which it traded at the venue and whose fills execd has not all heard of."""

    def moment_of_last_fill(self) -> Moment | None:
        """Return when the venue matched what execd heard last."""
        while self.moments and self.moments[0].filled_qty < self.filled_qty:
            self.moments.popleft()
        return self.moments[0] if self.moments else None

    def row(self) -> dict[str, Any]:
        """Return its row of the orders table."""
        facts, terms, decision = self.facts, self.facts.terms, self.decision
        return {
            "client_order_id": terms.client_order_id,
            "intent_id": facts.intent_id,
            "strategy_id": facts.strategy_id,
            "instrument_id": terms.instrument_id,
            "role": facts.role.name,
            "side": terms.side.name,
            "order_type": terms.order_type.name,
            "time_in_force": terms.time_in_force.name,
            "post_only": terms.post_only,
            "reduce_only": terms.reduce_only,
            "qty": amount(terms.qty),
            "price": amount(terms.price),
            "stop_price": amount(terms.stop_price),
            "status": self.status.name,
            "reason": self.reason,
            "check_id": self.check_id,
            "decided_ns": decision.at_ns if decision is not None else None,
            "sent_ns": self.sent_ns,
            "arrived_ns": self.arrived_ns,
            "acknowledged_ns": self.acknowledged_ns,
            "ended_ns": self.ended_ns,
            "filled_qty": amount(self.filled_qty),
            "avg_price": amount(self.filled_notional / self.filled_qty) if self.filled_qty else None,
            "queue_ahead_at_arrival": amount(self.queue_at_arrival),
            "mid_at_decision": amount(decision.mid) if decision is not None else None,
            "mid_at_arrival": amount(self.mid_at_arrival),
        }


class KnownOrders:
    """Every order of which more may be said, by client order id, first asked first; and undecided intents."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._orders: dict[str, KnownOrder] = {}
        self._ended: dict[str, None] = {}
        """Ids, the order that ended first first."""
        self._decisions: dict[str, Decision] = {}
        """By intent, until execd answers."""

    def get(self, client_order_id: str) -> KnownOrder | None:
        """Return an order, None when it is not known (any more)."""
        return self._orders.get(client_order_id)

    def decided(self, intent_id: str, decision: Decision) -> None:
        """Remember a decision for the order that it leads to."""
        self._decisions.setdefault(intent_id, decision)

    def answered(self, intent_id: str) -> None:
        """Forget an intent: its order, if there is one, has come."""
        self._decisions.pop(intent_id, None)

    def of(self, event: OrderEvent) -> KnownOrder:
        """Return the order that an event is about, made from the event if it is the first.

        Raises:
            ConfigError: If more orders are open than there is room for.
            InvariantError: If its row is written already.
        """
        order = self._orders.get(event.client_order_id)
        if order is None:
            facts = event.facts
            if facts is None:
                raise InvariantError(
                    f"{event.kind.name} of order {event.client_order_id}, which ended {MAX_ENDED} ends ago"
                )
            if len(self._orders) - len(self._ended) >= MAX_OPEN:
                raise ConfigError(f"more than {MAX_OPEN} orders are open at once: run without result tables (--out)")
            decision = self._decisions.get(facts.intent_id) if facts.role in DECIDED_ROLES else None
            order = self._orders[event.client_order_id] = KnownOrder(facts, decision)
        return order

    def note_end(self, client_order_id: str) -> KnownOrder | None:
        """Take note of an order's status after an event; return an order that is done with, and known no longer."""
        if not self._orders[client_order_id].status.is_terminal:  # perhaps again
            self._ended.pop(client_order_id, None)
            return None
        self._ended.setdefault(client_order_id)
        if len(self._ended) <= MAX_ENDED:
            return None
        oldest = next(iter(self._ended))
        del self._ended[oldest]
        if not self._all_told(self._orders[oldest]):
            self._ended[oldest] = None
            return None
        return self._orders.pop(oldest)

    def left(self) -> Iterator[KnownOrder]:
        """Return the orders whose rows are not written, first asked first."""
        return iter(self._orders.values())

    def _all_told(self, order: KnownOrder) -> bool:
        """Return whether execd has heard of every lot that the venue matched."""
        at_venue, terms = order.at_venue, order.facts.terms
        return at_venue is None or order.filled_qty >= self._instruments[terms.instrument_id].qty(at_venue.filled_lots)
