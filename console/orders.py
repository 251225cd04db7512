"""Orders as the console folds them from execd's log: status, fills and the last reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot
from tradebot.core.orders import TERMINAL_STATUSES, OrderStatus, Side

MAX_DONE_ORDERS: Final = 300
"""Done orders kept; working and UNKNOWN ones are never dropped."""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order as it stands."""

    facts: OrderFacts
    status: OrderStatus
    filled_qty: Decimal
    notional: Decimal
    """Sum of price x qty over fills."""
    reason: str
    detail: str
    check_id: str
    updated_ns: int

    @property
    def key(self) -> str:
        """Our order id."""
        return self.facts.terms.client_order_id

    @property
    def short_id(self) -> str:
        """The end of the id: what people say to each other."""
        return self.key[-4:]

    @property
    def instrument_id(self) -> str:
        return self.facts.terms.instrument_id

    @property
    def is_buy(self) -> bool:
        return self.facts.terms.side is Side.BUY

    @property
    def price(self) -> Decimal | None:
        """Limit price, or the trigger of types without one."""
        return self.facts.terms.price if self.facts.terms.price is not None else self.facts.terms.stop_price

    @property
    def avg_price(self) -> Decimal | None:
        return self.notional / self.filled_qty if self.filled_qty else None

    @property
    def is_unknown(self) -> bool:
        return self.status is OrderStatus.UNKNOWN

    @property
    def is_working(self) -> bool:
        return self.status not in TERMINAL_STATUSES

    @property
    def why(self) -> str:
        """Check, reason and detail in one line; empty when there is nothing to explain."""
        return " ".join(part for part in (self.check_id, self.reason, self.detail) if part)


class OrderBook:
    """Folds snapshots and events; rows come out sorted."""

    def __init__(self) -> None:
        self._rows: dict[str, OrderRow] = {}
        self._sorted: tuple[OrderRow, ...] | None = None

    def replace(self, snapshots: Iterable[OrderSnapshot]) -> None:
        """Forget everything and take these."""
        self._rows = {item.facts.terms.client_order_id: _row(item) for item in snapshots}
        self._sorted = None
        self._drop_old()

    def apply(self, event: OrderEvent) -> None:
        """Take one event. One of an order that nobody introduced (dropped long ago) is ignored."""
        row = self._rows.get(event.client_order_id)
        facts = event.facts or (row.facts if row is not None else None)
        if facts is None:
            return
        if row is None:
            row = OrderRow(facts, event.status, Decimal(0), Decimal(0), "", "", "", event.receive_time_ns)
        filled, notional = row.filled_qty, row.notional
        if event.execution is not None:
            filled += event.execution.qty
            notional += event.execution.qty * event.execution.price
        said = event.reason or event.detail or event.check_id
        self._rows[event.client_order_id] = replace(
            row,
            facts=facts,
            status=event.status,
            filled_qty=filled,
            notional=notional,
            reason=event.reason if said else row.reason,
            detail=event.detail if said else row.detail,
            check_id=event.check_id if said else row.check_id,
            updated_ns=event.receive_time_ns,
        )
        self._sorted = None
        self._drop_old()

    def rows(self) -> tuple[OrderRow, ...]:
        """Return UNKNOWN orders first, then the latest activity first."""
        if self._sorted is None:
            self._sorted = tuple(
                sorted(self._rows.values(), key=lambda row: (not row.is_unknown, -row.updated_ns, row.key))
            )
        return self._sorted

    def _drop_old(self) -> None:
        if len(self._rows) <= MAX_DONE_ORDERS:
            return
        done = sorted((row for row in self._rows.values() if not row.is_working), key=lambda row: row.updated_ns)
        for row in done[: max(0, len(done) - MAX_DONE_ORDERS)]:
            del self._rows[row.key]


def _row(item: OrderSnapshot) -> OrderRow:
    notional = item.avg_price * item.filled_qty
    return OrderRow(
        item.facts,
        item.status,
        item.filled_qty,
        notional,
        item.reason,
        item.detail,
        item.check_id,
        item.updated_time_ns,
    )
