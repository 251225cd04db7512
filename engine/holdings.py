"""The engine's derived view of what each strategy holds, folded from execd's order events. riskd is the authority.

Fills are booked once per (instrument, exec_id); a fee in the base asset makes the position smaller.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tradebot.core.instruments import Instrument, Product
from tradebot.core.order_events import OrderEvent, OrderSnapshot, PositionView
from tradebot.core.orders import Execution, OrderRole, Side
from tradebot.core.positions import Position

MAX_KNOWN_ORDERS: Final = 16_384
"""Orders remembered for events that carry no facts; the oldest are forgotten first."""
MAX_KNOWN_EXECUTIONS: Final = 65_536
MAX_EARLY_FILLS: Final = 1_000
"""Fills kept for markets that are not known yet: seconds of a start."""
REDUCER: Final = "riskd"
"""Strategy id of riskd's own reducing orders."""
ZERO: Final = Decimal(0)


class Holding:
    """Position of one strategy in one market."""

    __slots__ = ("_instrument", "dust_notional", "dust_qty", "instrument_id", "last_exit_ns", "position")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.instrument_id = instrument.instrument_id
        self.position = Position()
        self.dust_qty = max(instrument.min_qty, instrument.lot_size)
        """Less than this cannot be sold."""
        self.dust_notional = instrument.min_notional
        """Nor can anything worth less than this."""
        self.last_exit_ns = 0
        """When the position was last reduced, by whatever order; 0 = never."""

    @property
    def qty(self) -> Decimal:
        """Signed base units or contracts, net of base-asset fees."""
        return self.position.qty

    @property
    def avg_price(self) -> Decimal:
        """Average entry price, 0 when flat."""
        return self.position.avg_price

    @property
    def is_flat(self) -> bool:
        """True when nothing is held, or only dust that the venue would not take."""
        qty = abs(self.position.qty)
        return qty < self.dust_qty or self._instrument.notional(qty, self.position.avg_price) < self.dust_notional


@dataclass(slots=True)
class OrderView:
    """One order as the engine follows it."""

    strategy_id: str
    instrument_id: str
    intent_id: str
    role: OrderRole
    side: Side


class OrderFold:
    """All holdings, and the orders that change them."""

    def __init__(self) -> None:
        self.holdings: dict[tuple[str, str], Holding] = {}
        """By (strategy id, instrument id), in the order of the configuration."""
        self._instruments: dict[str, Instrument] = {}
        self._orders: OrderedDict[str, OrderView] = OrderedDict()
        self._executions: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._told: dict[tuple[str, str], PositionView] = {}
        """execd's positions in markets that are not known yet: after a restart either link may be up first."""
        self._early: deque[tuple[tuple[str, str], Execution, int]] = deque(maxlen=MAX_EARLY_FILLS)
        """Fills there, and when they were heard of."""
        self.unknown_events = 0
        """Events of orders that we were never told about; a reconnect brings a fresh snapshot."""

    def add_holding(self, strategy_id: str, instrument: Instrument) -> Holding:
        """Follow a strategy in a market; known ones keep their position."""
        self._instruments[instrument.instrument_id] = instrument
        key = (strategy_id, instrument.instrument_id)
        holding = self.holdings.get(key)
        if holding is None:
            holding = self.holdings[key] = Holding(instrument)
            self._catch_up(key, holding)
        return holding

    def _catch_up(self, key: tuple[str, str], holding: Holding) -> None:
        """Give a new holding what was told of it before its market was known."""
        view = self._told.pop(key, None)
        if view is not None:
            holding.position.qty, holding.position.avg_price = view.qty, view.avg_price
        for at, execution, now_ns in self._early:
            if at == key:
                self._fill(holding, execution, execution.qty, execution.fee, now_ns)

    def rehydrate(self, orders: Iterable[OrderSnapshot], positions: Iterable[PositionView]) -> None:
        """Take execd's view as it stands; events that follow are later than it."""
        for holding in self.holdings.values():
            holding.position = Position()
        self._told.clear()
        self._early.clear()
        for view in positions:
            key = (view.strategy_id, view.instrument_id)
            known = self.holdings.get(key)
            if known is not None:
                known.position.qty, known.position.avg_price = view.qty, view.avg_price
            else:
                self._told[key] = view
        self._orders.clear()
        for order in orders:
            facts = order.facts
            self._remember(
                facts.terms.client_order_id,
                OrderView(facts.strategy_id, facts.terms.instrument_id, facts.intent_id, facts.role, facts.terms.side),
            )

    def apply(self, event: OrderEvent, now_ns: int) -> OrderView | None:
        """Book one event; return its order, or None when it is not one of ours to follow."""
        facts = event.facts
        if facts is not None:
            self._remember(
                event.client_order_id,
                OrderView(facts.strategy_id, facts.terms.instrument_id, facts.intent_id, facts.role, facts.terms.side),
            )
        order = self._orders.get(event.client_order_id)
        if order is None:
            self.unknown_events += 1
            return None
        if event.execution is not None:
            self._book(order, event.execution, now_ns)
        return order

    def _book(self, order: OrderView, execution: Execution, now_ns: int) -> None:
        key = (execution.instrument_id, execution.exec_id)
        if key in self._executions:
            return
        self._executions[key] = None
        if len(self._executions) > MAX_KNOWN_EXECUTIONS:
            self._executions.popitem(last=False)
        holding = self.holdings.get((order.strategy_id, order.instrument_id))
        if holding is not None:
            self._fill(holding, execution, execution.qty, execution.fee, now_ns)
        elif order.strategy_id == REDUCER:
            self._book_reduce(execution, now_ns)
        else:
            self._early.append(((order.strategy_id, order.instrument_id), execution, now_ns))

    def _book_reduce(self, execution: Execution, now_ns: int) -> None:
        """Share riskd's own reduce among the strategies that hold the instrument, in the order of the configuration."""
        left = execution.qty
        for (_, instrument_id), holding in self.holdings.items():
            if instrument_id != execution.instrument_id or holding.qty * execution.side.sign >= 0:
                continue
            share = min(left, abs(holding.qty))
            self._fill(holding, execution, share, execution.fee * share / execution.qty, now_ns)
            left -= share
            if left == 0:
                return

    def _fill(self, holding: Holding, execution: Execution, qty: Decimal, fee: Decimal, now_ns: int) -> None:
        position = holding.position
        if position.qty * execution.side.sign < 0:
            holding.last_exit_ns = now_ns
        position.apply_fill(execution.side, qty, execution.price)
        instrument = self._instruments[execution.instrument_id]
        if fee and execution.fee_asset == instrument.base and instrument.product is Product.SPOT:
            position.remove_base(fee)

    def _remember(self, client_order_id: str, view: OrderView) -> None:
        self._orders[client_order_id] = view
        if len(self._orders) > MAX_KNOWN_ORDERS:
            self._orders.popitem(last=False)
