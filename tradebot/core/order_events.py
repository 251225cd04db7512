"""Order events: the lossless log that execd writes and everybody else folds.

`OrderEvent.sequence` is contiguous over restarts of execd; facts come with an order's first event and when they change.
"""

from __future__ import annotations

from decimal import Decimal

from tradebot.core.orders import Execution, OrderEventKind, OrderRole, OrderStatus, OrderTerms
from tradebot.core.values import value


@value(frozen=True, slots=True)
class OrderFacts:
    """What does not change over an order's life (but for a smaller approved quantity and the decision id)."""

    terms: OrderTerms
    strategy_id: str
    intent_id: str
    child_index: int
    role: OrderRole
    created_time_ns: int
    protects_client_order_id: str = ""
    trace_id: str = ""
    decision_id: str = ""

    def decided(self, terms: OrderTerms, decision_id: str) -> OrderFacts:
        """Return the facts as riskd approved them: perhaps a smaller quantity, and the decision that allowed it."""
        return OrderFacts(
            terms,
            self.strategy_id,
            self.intent_id,
            self.child_index,
            self.role,
            self.created_time_ns,
            self.protects_client_order_id,
            self.trace_id,
            decision_id,
        )


@value(frozen=True, slots=True)
class OrderEvent:
    """One step in the life of one order."""

    sequence: int
    client_order_id: str
    kind: OrderEventKind
    status: OrderStatus
    """Status after this event."""
    receive_time_ns: int
    facts: OrderFacts | None = None
    execution: Execution | None = None
    venue_order_id: str = ""
    reason: str = ""
    detail: str = ""
    check_id: str = ""
    event_time_ns: int = 0

    def heard_at(self, time_ns: int) -> OrderEvent:
        """Return the event as somebody hears it who is further away."""
        return OrderEvent(
            self.sequence,
            self.client_order_id,
            self.kind,
            self.status,
            time_ns,
            self.facts,
            self.execution,
            self.venue_order_id,
            self.reason,
            self.detail,
            self.check_id,
            self.event_time_ns,
        )


@value(frozen=True, slots=True)
class OrderSnapshot:
    """An order as it stands."""

    facts: OrderFacts
    status: OrderStatus
    venue_order_id: str
    filled_qty: Decimal
    avg_price: Decimal
    reason: str
    detail: str
    check_id: str
    updated_time_ns: int


@value(frozen=True, slots=True)
class PositionView:
    """execd's and the engine's derived view of a position; riskd is the authority."""

    strategy_id: str
    instrument_id: str
    qty: Decimal
    avg_price: Decimal
    stop_price: Decimal | None = None
