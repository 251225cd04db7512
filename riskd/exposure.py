"""What is committed and not yet a position: reserved parents, approved, working and UNKNOWN orders.

An order counts in full from its approval (or from its first sign of life at the venue, when we never approved it) until
a terminal event, a proof of absence or execd's never-used statement. Aggregates are kept up to date by every change, so
a check reads them in O(1); `recount` derives them again from scratch, for tests and for nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Final

from riskd.rules import InstrumentRule
from riskd.units import PPM, amount, from_units, plus_ppm, to_units_floor
from riskd.working import WorkingOrderBook
from tradebot.core.approvals import GrantTerms
from tradebot.core.errors import InvariantError
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderState, OrderStatus, OrderTerms, Side

MAX_ENDED_ORDERS: Final = 10_000
"""Terminal orders that are remembered for late fills; the oldest is forgotten first."""

CLOSING_ROLES: Final = frozenset({OrderRole.EXIT, OrderRole.REDUCE, OrderRole.EMERGENCY_EXIT})
"""Reducing orders that compete for the same position. Protection does not: it makes way for them."""
_NOT_SENT: Final = frozenset({OrderEventKind.ASKED, OrderEventKind.REFUSED})
_FILLS: Final = frozenset({OrderEventKind.FILL, OrderEventKind.FILL_COMPLETE})


class Cover(Enum):
    """What allowed an order that riskd learned of from execd's log alone."""

    NONE = "nothing"
    GRANT = "a protection grant"
    LOST = "a decision that a crash of riskd may have lost"
    BEFORE = "whoever decided before riskd's journal began"


@dataclass(slots=True)
class TrackedOrder:
    """One venue order, from approval to its end. Quantities and prices in units."""

    state: OrderState
    instrument_id: str
    venue: str
    strategy_id: str
    intent_id: str
    role: OrderRole
    side: Side
    qty: int
    price: int
    """Price at which it is reserved: limit, or trigger when there is no limit."""
    session_id: str = ""
    """Session of the approval; empty when we never approved it."""
    decision_id: str = ""
    ask_id: int = 0
    reduce_id: str = ""
    stop_ppm: int = PPM
    """Distance of an entry's stop, ppm of its price; without one all of it."""
    mid: int = 0
    """Middle of the book when an entry was approved; 0 = not known."""
    half_spread: int = 0
    approved_ns: int = 0
    """When it was approved; 0 once the venue has acknowledged it, or when we never did."""
    began_ns: int = 0
    """When it was approved; of one that never was, when execd's log first told of it."""
    approved: bool = False
    seen: bool = False
    """Whether execd's order log has mentioned it."""
    sent: bool = False
    """Whether that log says that it left, whatever else is claimed."""
    counted: bool = False
    filled: int = 0
    leaves: int = 0
    """Quantity in the aggregates now."""
    doubtful: bool = False
    """Whether it is counted as UNKNOWN."""
    approved_terms: OrderTerms | None = None
    """What riskd approved; None = never, execd's log told of it."""
    cover: Cover = Cover.NONE
    """What allowed it when riskd was not asked."""
    ended_grant: GrantTerms | None = None
    """The grant of an entry that is over, when nothing is left to protect: a late fill brings it back."""

    @property
    def is_over(self) -> bool:
        """True when nothing but a late fill can still happen."""
        return self.state.status.is_terminal


@dataclass(slots=True)
class Parent:
    """An approved intent. What its orders have not drawn is reserved until it closes."""

    intent_id: str
    strategy_id: str
    instrument_id: str
    venue: str
    side: Side
    role: OrderRole
    qty: int
    price: int
    approved_ns: int
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    stop_ppm: int = PPM
    """As in `TrackedOrder`."""
    children: list[str] = field(default_factory=list)
    closed: bool = False
    reserved: int = 0
    """Quantity in the aggregates now."""


@dataclass(slots=True)
class Committed:
    """Aggregate of one instrument, units of quantity."""

    buy: int = 0
    """Unfilled buys, reserved and working."""
    sell: int = 0
    entries: int = 0
    """Unfilled quantity of entries on both sides."""


class Commitments:
    """All of it."""

    def __init__(self) -> None:
        self.orders: dict[str, TrackedOrder] = {}
        """Live and UNKNOWN orders by client order id."""
        self.ended: dict[str, TrackedOrder] = {}
        """Terminal orders, oldest first."""
        self.forgotten_ns = 0
        """Terminal orders up to here may be forgotten."""
        self.parents: dict[str, Parent] = {}
        """Open parents, oldest first. What they reserve is bounded by the limits, how long by their time to live."""
        self.by_instrument: dict[str, Committed] = defaultdict(Committed)
        self.by_asset: dict[tuple[str, str], int] = defaultdict(int)
        """(venue, asset) -> units that all of this would need, fees included."""
        self.closing: dict[tuple[str, str, Side], int] = defaultdict(int)
        """(instrument, strategy, side) -> unfilled quantity of closing orders; strategy `` is the sum over all."""
        self.entry_value: dict[str, int] = defaultdict(int)
        """Quote asset -> value of unfilled entries, reserved and working."""
        self.entry_risk: dict[str, int] = defaultdict(int)
        """Quote asset -> what those would lose at their stops."""
        self.strategy_entries: dict[tuple[str, str], int] = defaultdict(int)
        """(strategy, quote asset) -> value of its unfilled entries."""
        self.working = WorkingOrderBook()
        self.fee_ppm = 0
        """Taker fee reserved with each buy."""
        self.moved: set[str] = set()
        """Instruments whose aggregates changed since `ExposureSums` last looked. No part of the fold."""

    # ---- changes

    def approve_parent(self, parent: Parent, rules: Mapping[str, InstrumentRule], *, reserve: bool) -> None:
        """Take an approved intent; reserve it as a whole unless its only order follows at once and draws everything."""
        self.parents[parent.intent_id] = parent
        if reserve:
            self._reserve(parent, rules)

    def approve_order(self, order: TrackedOrder, rules: Mapping[str, InstrumentRule]) -> None:
        """Count an approved venue order in full and draw its parent down."""
        earlier = self.orders.get(order.state.terms.client_order_id)
        if earlier is not None:  # its ASKED event came first; it was counted with nothing
            order.seen, order.sent, order.state.status = earlier.seen, earlier.sent, earlier.state.status
            self._count(earlier, 0, rules)
            self._doubt(earlier, is_unknown=False)
        order.approved = order.counted = True
        self.orders[order.state.terms.client_order_id] = order
        parent = self.parents.get(order.intent_id)
        if parent is not None and order.state.terms.client_order_id not in parent.children:
            parent.children.append(order.state.terms.client_order_id)
        self._refresh(order, rules)

    def apply(self, event: OrderEvent, rules: Mapping[str, InstrumentRule]) -> tuple[TrackedOrder, str] | None:
        """Fold one event; return the order and an anomaly (empty = none), or None when the order is unknown."""
        order = self._find(event, rules)
        if order is None:
            return None
        anomaly = self._advance(order, event)
        order.seen = True
        order.sent = order.sent or event.kind not in _NOT_SENT
        order.counted = order.counted or order.sent
        self._refresh(order, rules)
        return order, anomaly

    def end(self, client_order_id: str, now_ns: int, rules: Mapping[str, InstrumentRule]) -> TrackedOrder | None:
        """Release an approved order that was never used. Return it, or None when it is unknown or over."""
        order = self.orders.get(client_order_id)
        if order is None:
            return None
        order.state.status = OrderStatus.REJECTED
        order.state.updated_ns = now_ns
        self._refresh(order, rules)
        return order

    def close_parent(self, intent_id: str, rules: Mapping[str, InstrumentRule]) -> None:
        """Give back what an intent's orders did not draw."""
        parent = self.parents.pop(intent_id, None)
        if parent is not None:
            parent.closed = True
            self._reserve(parent, rules)

    # ---- questions

    def drawn(self, parent: Parent, without: str = "") -> int:
        """Return filled + working + UNKNOWN quantity of a parent's orders, one of them left out."""
        total = 0
        for client_order_id in parent.children:
            if client_order_id != without:
                order = self.orders.get(client_order_id) or self.ended.get(client_order_id)
                total += 0 if order is None else order.filled + order.leaves
        return total

    def is_known(self, client_order_id: str) -> bool:
        """Return whether an approval for this id was ever given, as far as we remember."""
        order = self.orders.get(client_order_id) or self.ended.get(client_order_id)
        return order is not None and order.approved

    def unseen(self, session_id: str) -> list[TrackedOrder]:
        """Return orders approved in other sessions that execd's order log never mentioned."""
        return [o for o in self.orders.values() if o.approved and not o.seen and o.session_id != session_id]

    def recount(self, rules: Mapping[str, InstrumentRule]) -> Commitments:
        """Return aggregates derived from scratch."""
        fresh = Commitments()
        fresh.fee_ppm = self.fee_ppm
        for order in self.orders.values():
            leaves = max(0, order.qty - order.filled) if order.counted and not order.is_over else 0
            fresh._add(
                rules[order.instrument_id],
                order.side,
                order.role,
                order.strategy_id,
                order.price,
                order.stop_ppm,
                leaves,
            )
            if leaves:
                fresh.working.add(order.instrument_id, order.venue, order.side, _rests_at(order))
            if order.doubtful:
                fresh.working.doubt(order.instrument_id, order.venue)
        for parent in self.parents.values():
            left = self._left(parent)
            fresh._add(
                rules[parent.instrument_id],
                parent.side,
                parent.role,
                parent.strategy_id,
                parent.price,
                parent.stop_ppm,
                left,
            )
        return fresh

    # ---- inside

    def _find(self, event: OrderEvent, rules: Mapping[str, InstrumentRule]) -> TrackedOrder | None:
        order = self.orders.get(event.client_order_id) or self.ended.get(event.client_order_id)
        facts = event.facts
        if order is None:
            if facts is None or facts.terms.instrument_id not in rules:
                return None
            order = _adopt(facts, rules[facts.terms.instrument_id].venue)
            order.began_ns = event.receive_time_ns
            self.orders[event.client_order_id] = order
        elif facts is not None:
            _correct(order, facts)
        return order

    def _advance(self, order: TrackedOrder, event: OrderEvent) -> str:
        state, is_fill = order.state, event.kind in _FILLS
        fill = event.execution if is_fill else None
        if is_fill and fill is None:  # nobody knows how much is a position now: all of it stays counted
            return f"order {event.client_order_id}: a fill came without its execution"
        try:
            if fill is None:
                state.apply(event.kind, event.receive_time_ns, reason=event.reason, venue_order_id=event.venue_order_id)
                return ""
            if not state.apply_fill(fill, event.receive_time_ns):
                return ""
        except InvariantError as exc:  # the venue or execd broke the rules: take what they say, and stop trading there
            state.status = event.status
            if event.execution is not None:
                state.exec_ids.add(event.execution.exec_id)
                state.filled_qty += event.execution.qty
            order.filled = to_units_floor(state.filled_qty)
            return str(exc)
        order.filled = to_units_floor(state.filled_qty)
        return ""

    def _refresh(self, order: TrackedOrder, rules: Mapping[str, InstrumentRule]) -> None:
        over, key = order.is_over, order.state.terms.client_order_id
        leaves = max(0, order.qty - order.filled) if order.counted and not over else 0
        is_unknown = order.counted and order.state.status is OrderStatus.UNKNOWN
        if leaves == order.leaves and is_unknown == order.doubtful and not over and key in self.orders:
            return  # most steps in the life of an order move nothing here
        self._count(order, leaves, rules)
        self._doubt(order, is_unknown=is_unknown)
        if over and key in self.orders:
            self.ended[key] = self.orders.pop(key)
            while len(self.ended) > MAX_ENDED_ORDERS:
                gone = self.ended.pop(next(iter(self.ended)))
                self.forgotten_ns = max(self.forgotten_ns, gone.state.updated_ns)
        elif not over and key in self.ended:
            self.orders[key] = self.ended.pop(key)
        parent = self.parents.get(order.intent_id)
        if parent is not None and key in parent.children:
            if over:  # a plain intent is one venue order: when that is over, so is the intent
                self.close_parent(parent.intent_id, rules)
            else:
                self._reserve(parent, rules)

    def _count(self, order: TrackedOrder, leaves: int, rules: Mapping[str, InstrumentRule]) -> None:
        rule = rules[order.instrument_id]
        if leaves != order.leaves:
            self._add(
                rule, order.side, order.role, order.strategy_id, order.price, order.stop_ppm, leaves, order.leaves
            )
            if not order.leaves:
                self.working.add(order.instrument_id, order.venue, order.side, _rests_at(order))
            order.leaves = leaves
            if not leaves:
                self.working.remove(order.instrument_id, order.venue, order.side, _rests_at(order))

    def _doubt(self, order: TrackedOrder, *, is_unknown: bool) -> None:
        if is_unknown and not order.doubtful:
            self.working.doubt(order.instrument_id, order.venue)
        elif order.doubtful and not is_unknown:
            self.working.settle(order.instrument_id, order.venue)
        order.doubtful = is_unknown

    def _reserve(self, parent: Parent, rules: Mapping[str, InstrumentRule]) -> None:
        left = self._left(parent)
        if left != parent.reserved:
            rule = rules[parent.instrument_id]
            self._add(
                rule, parent.side, parent.role, parent.strategy_id, parent.price, parent.stop_ppm, left, parent.reserved
            )
            parent.reserved = left

    def _left(self, parent: Parent) -> int:
        """Only entries reserve: an exit plan that never becomes an order must not stand in the next one's way."""
        if parent.closed or parent.role is not OrderRole.ENTRY:
            return 0
        return max(0, parent.qty - self.drawn(parent))

    def _add(
        self,
        rule: InstrumentRule,
        side: Side,
        role: OrderRole,
        strategy_id: str,
        price: int,
        stop_ppm: int,
        new: int,
        old: int = 0,
    ) -> None:
        change = new - old
        committed = self.by_instrument[rule.instrument_id]
        self.moved.add(rule.instrument_id)
        if side is Side.BUY:
            committed.buy += change
            if rule.is_spot:  # paid for in full; what perpetuals need is looked at as a whole (`margin_room`)
                cost = (self.buy_cost(price, new) if new else 0) - (self.buy_cost(price, old) if old else 0)
                self.by_asset[rule.venue, rule.quote] += cost
        else:
            committed.sell += change
            if rule.is_spot:
                self.by_asset[rule.venue, rule.base] += change
        if role is OrderRole.ENTRY:
            committed.entries += change
            after = rule.contract.quote_notional(new, price) if new else 0
            before = rule.contract.quote_notional(old, price) if old else 0
            self.entry_value[rule.quote] += after - before
            self.strategy_entries[strategy_id, rule.quote] += after - before
            self.entry_risk[rule.quote] += -(-after * stop_ppm // PPM) + (-before * stop_ppm // PPM)
        elif role in CLOSING_ROLES:
            self.closing[rule.instrument_id, strategy_id, side] += change
            self.closing[rule.instrument_id, "", side] += change

    def buy_cost(self, price: int, qty: int) -> int:
        """Return the quote asset that a buy needs, taker fee included."""
        return plus_ppm(amount(price, qty), self.fee_ppm)


def _rests_at(order: TrackedOrder) -> int:
    """Return its limit when that may meet other orders; 0 while it waits for a trigger."""
    return order.price if order.state.terms.stop_price is None else 0


def reserve_price(terms: OrderTerms) -> int:
    """Return the price in units at which an order is reserved; 0 for a raw market order, which is never approved."""
    price = terms.price if terms.price is not None else terms.stop_price
    return 0 if price is None else to_units_floor(price)


def _adopt(facts: OrderFacts, venue: str) -> TrackedOrder:
    terms = facts.terms
    return TrackedOrder(
        state=OrderState(terms),
        instrument_id=terms.instrument_id,
        venue=venue,
        strategy_id=facts.strategy_id,
        intent_id=facts.intent_id,
        role=facts.role,
        side=terms.side,
        qty=to_units_floor(terms.qty),
        price=reserve_price(terms),
        decision_id=facts.decision_id,
    )


def _correct(order: TrackedOrder, facts: OrderFacts) -> None:
    """execd repeats facts when the approved quantity was smaller than asked. Ours never grows by it once approved."""
    told = qty = to_units_floor(facts.terms.qty)
    if order.approved:
        qty = min(told, order.qty) or order.qty
    order.qty = qty
    order.state.terms = facts.terms if told == qty else _with_qty(facts.terms, qty)


def _with_qty(terms: OrderTerms, qty: int) -> OrderTerms:
    return OrderTerms(
        terms.client_order_id,
        terms.instrument_id,
        terms.side,
        terms.order_type,
        from_units(qty),
        terms.price,
        terms.stop_price,
        terms.time_in_force,
        terms.post_only,
        terms.reduce_only,
        terms.expire_time_ns,
    )
