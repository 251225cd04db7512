"""A slow, obvious simulator: one list of everything that will happen, taken in order of time; books are dictionaries.

At equal times the strategy's rows come first, then its responses, then the exchange's rows, then arriving requests.
Written from docs/simulator.md, not from the kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels import queues

BUY: Final = 1
SELL: Final = -1
LOCAL_ROW, RESPONSE, EXCHANGE_ROW, REQUEST = range(4)
NOTHING: Final = at.NO_PRICE


@dataclass
class Book:
    """Displayed levels of both sides."""

    levels: dict[int, dict[int, int]] = field(default_factory=lambda: {BUY: {}, SELL: {}})
    best: dict[int, int | None] = field(default_factory=lambda: {BUY: None, SELL: None})

    def at(self, side: int, price: int) -> int:
        """Return lots displayed."""
        return self.levels[side].get(price, 0)

    def next_best(self, side: int, beyond: int) -> int | None:
        """Return the best level of `side` strictly worse than a price."""
        prices = [price for price, lots in self.levels[side].items() if lots and (beyond - price) * side > 0]
        return max(prices, key=lambda price: price * side) if prices else None

    def set(self, side: int, price: int, lots: int) -> int:
        """Set a level and return what it replaced. A level that crosses hides the other side's crossed levels."""
        before = self.at(side, price)
        self.levels[side][price] = lots
        best, other = self.best[side], self.best[-side]
        if lots:
            if best is None or (price - best) * side > 0:
                self.best[side] = price
                if other is not None and (price - other) * side >= 0:
                    self.best[-side] = self.next_best(-side, price)
        elif price == best:
            self.best[side] = self.next_best(side, price)
        return before

    def clear(self, side: int) -> None:
        """Drop a side."""
        self.levels[side] = {}
        self.best[side] = None


@dataclass
class Order:
    """One of ours, both views."""

    number: int
    side: int
    price: int
    qty: int
    kind: int
    status: int = at.PENDING_NEW
    leaves: int = 0
    request: int = at.REQUEST_NEW
    x_price: int = 0
    x_leaves: int = 0
    resting: bool = False
    ahead: float = 0.0
    traded: float = 0.0


@dataclass(frozen=True)
class Model:
    """How the venue is modelled."""

    entry_ns: int = 0
    response_ns: int = 0
    queue: int = queues.RISK_AVERSE
    exponent: float = 2.0
    lot_size: float = 1.0
    partial_fills: bool = False


def behind(model: Model, front: float, back: float) -> float:
    """Return the probability that a decrease happened behind us, NaN where it is 0 / 0."""
    n = model.exponent

    def log(x: float) -> float:
        return math.log(1.0 + x * model.lot_size)

    def ratio(a: float, b: float) -> float:
        return a / b if b else (math.nan if a == 0 else math.inf)

    match model.queue:
        case queues.POWER:
            return ratio(back**n, back**n + front**n)
        case queues.LOGARITHM:
            return ratio(log(back), log(back) + log(front))
        case queues.POWER_OF_SUM:
            return ratio(back**n, (back + front) ** n)
        case queues.LOGARITHM_OF_SUM:
            return ratio(log(back), log(back + front))
        case _:
            share = ratio(front, front + back)
            return float(1.0 - share**n)


class ReferenceSimulator:
    """One market."""

    def __init__(self, rows: MarketColumns, model: Model) -> None:
        self.model = model
        self.rows = [
            (int(rows.exchange_time_ns[i]), int(rows.local_time_ns[i]), int(rows.flags[i]), int(rows.price_ticks[i]),
             int(rows.qty_lots[i]))
            for i in range(len(rows))
        ]  # fmt: skip
        self.exchange_rows = [row for row in self.rows if row[2] & columns.AT_EXCHANGE]
        self.local_rows = [row for row in self.rows if row[2] & columns.AT_LOCAL]
        self.requests: list[tuple[int, Order, int, int, int]] = []
        self.responses: list[tuple[int, Order, dict[str, Any]]] = []
        self.exchange, self.local = Book(), Book()
        self.orders: list[Order] = []
        self.position = 0
        self.value = 0
        self.fills: list[tuple[int, int, int, int, int, int]] = []
        self.now = min(min(row[0], row[1]) for row in self.rows[:1]) if self.rows else 0

    # --- the strategy's side ------------------------------------------------------------------------------------------

    def submit(self, side: int, price: int, qty: int, kind: int) -> Order:
        """Send an order."""
        order = Order(len(self.orders), side, price, qty, kind, leaves=qty)
        self.orders.append(order)
        self.send(order, at.REQUEST_NEW, price, qty)
        return order

    def send(self, order: Order, kind: int, price: int, qty: int) -> None:
        """Put a request on its way, never before one sent earlier."""
        arrival = self.now + self.model.entry_ns
        if self.requests:
            arrival = max(arrival, self.requests[-1][0])
        order.request = kind
        self.requests.append((arrival, order, kind, price, qty))

    def changeable(self, order: Order) -> bool:
        """Whether the strategy may cancel or modify."""
        return order.status in (at.NEW, at.PARTIALLY_FILLED) and order.request == at.NO_REQUEST

    def cancel(self, order: Order) -> bool:
        """Ask for a cancellation."""
        if not self.changeable(order):
            return False
        self.send(order, at.REQUEST_CANCEL, 0, 0)
        return True

    def modify(self, order: Order, price: int, qty: int) -> bool:
        """Ask for a new price and open quantity."""
        if not self.changeable(order):
            return False
        self.send(order, at.REQUEST_MODIFY, price, qty)
        return True

    def elapse(self, duration: int) -> bool:
        """Let everything up to now + duration happen."""
        until = self.now + duration
        while (event := self.next_event()) is not None and event[0] <= until:
            self.happen(event[1])
        self.now = until
        return self.next_event() is not None

    def wait(self, timeout: int, responses: bool) -> None:
        """Let everything happen up to the end of the instant of the next local row (or response)."""
        until = self.now + timeout
        while (event := self.next_event()) is not None and event[0] <= until:
            if event[1] == LOCAL_ROW or (responses and event[1] == RESPONSE):
                until = event[0]
            self.happen(event[1])
        self.now = until

    def next_event(self) -> tuple[int, int] | None:
        """Return time and kind of what happens next."""
        heads: list[tuple[int, int]] = []
        if self.local_rows:
            heads.append((self.local_rows[0][1], LOCAL_ROW))
        if self.responses:
            heads.append((self.responses[0][0], RESPONSE))
        if self.exchange_rows:
            heads.append((self.exchange_rows[0][0], EXCHANGE_ROW))
        if self.requests:
            heads.append((self.requests[0][0], REQUEST))
        return min(heads, default=None)

    def happen(self, kind: int) -> None:
        """Let the next event of a kind happen."""
        if kind == LOCAL_ROW:
            _, _, flags, price, lots = self.local_rows.pop(0)
            side = BUY if flags & columns.BUYER else SELL
            if flags & columns.KIND_MASK == columns.LEVEL:
                self.local.set(side, price, lots)
            elif flags & columns.KIND_MASK == columns.CLEAR:
                self.local.clear(side)
        elif kind == RESPONSE:
            self.on_response(*self.responses.pop(0)[1:])
        elif kind == EXCHANGE_ROW:
            self.on_exchange_row(self.exchange_rows.pop(0))
        else:
            self.on_request(*self.requests.pop(0))

    def on_response(self, order: Order, message: dict[str, Any]) -> None:
        """Let the strategy learn."""
        kind = message["kind"]
        if message["qty"]:
            self.position += order.side * message["qty"]
            self.value += order.side * message["qty"] * message["price"]
        if kind in (at.CANCEL_REFUSED, at.MODIFY_REFUSED):
            order.request = at.NO_REQUEST
            return
        order.status = kind
        order.leaves = message["leaves"]
        if kind == at.NEW:
            order.price = message["price"]
        if kind != at.PARTIALLY_FILLED or order.request == at.REQUEST_NEW:
            order.request = at.NO_REQUEST

    # --- the exchange side ------------------------------------------------------------------------------------------

    def respond(self, time: int, order: Order, kind: int, price: int = 0, qty: int = 0) -> None:
        """Send a response, never before one sent earlier."""
        arrival = time + self.model.response_ns
        if self.responses:
            arrival = max(arrival, self.responses[-1][0])
        message = {"kind": kind, "price": price, "qty": qty, "leaves": order.x_leaves}
        self.responses.append((arrival, order, message))

    def fill(self, time: int, order: Order, price: int, qty: int, maker: int) -> None:
        """Trade some of an order."""
        order.x_leaves -= qty
        self.fills.append((time, order.number, price, qty, maker, order.x_leaves))
        if not order.x_leaves:
            order.resting = False
        self.respond(time, order, at.PARTIALLY_FILLED if order.x_leaves else at.FILLED, price, qty)

    def resting(self, side: int) -> list[Order]:
        """Return our resting orders of a side."""
        return [order for order in self.orders if order.resting and order.side == side]

    def on_exchange_row(self, row: tuple[int, int, int, int, int]) -> None:
        """Apply one row."""
        time, _, flags, price, lots = row
        side = BUY if flags & columns.BUYER else SELL
        kind = flags & columns.KIND_MASK
        if kind == columns.LEVEL:
            before = self.exchange.set(side, price, lots)
            for order in self.resting(side):
                if order.x_price == price:
                    self.requeue(order, before, lots)
            best = self.exchange.best[side]
            for order in self.resting(-side):
                if best is not None and (best - order.x_price) * side >= 0:
                    self.fill(time, order, order.x_price, order.x_leaves, 1)
        elif kind == columns.CLEAR:
            self.exchange.clear(side)
        else:
            for order in self.resting(-side):
                if (price - order.x_price) * side > 0:
                    self.fill(time, order, order.x_price, order.x_leaves, 1)
                elif price == order.x_price:
                    order.ahead -= lots
                    order.traded += lots
                    reached = math.floor(0.5 - order.ahead) if order.ahead < 0 else 0
                    if reached > 0:
                        order.ahead = 0.0
                        qty = min(reached, order.x_leaves) if self.model.partial_fills else order.x_leaves
                        self.fill(time, order, order.x_price, qty, 1)

    def requeue(self, order: Order, before: int, after: int) -> None:
        """Move an order's queue position after its level changed."""
        if self.model.queue == queues.RISK_AVERSE:
            order.ahead = min(order.ahead, float(after))
            return
        change = before - after - order.traded
        order.traded = 0.0
        if change < 0:
            order.ahead = min(order.ahead, float(after))
            return
        back = before - order.ahead
        share = behind(self.model, order.ahead, back)
        if math.isinf(share):
            share = 1.0
        moved = order.ahead - (1.0 - share) * change + min(back - share * change, 0.0)
        order.ahead = float(after) if math.isnan(moved) else min(moved, float(after))

    def on_request(self, time: int, order: Order, kind: int, price: int, qty: int) -> None:
        """Let a request arrive."""
        if kind == at.REQUEST_NEW:
            order.x_price, order.x_leaves = price, qty
            self.enter(time, order)
        elif not order.resting:
            self.respond(time, order, at.CANCEL_REFUSED if kind == at.REQUEST_CANCEL else at.MODIFY_REFUSED)
        elif kind == at.REQUEST_CANCEL:
            order.resting = False
            self.respond(time, order, at.CANCELED)
        elif order.x_price == price and qty <= order.x_leaves:
            order.x_leaves = qty
            self.respond(time, order, at.NEW, price)
        else:
            order.resting = False
            order.x_price, order.x_leaves = price, qty
            self.enter(time, order)

    def enter(self, time: int, order: Order) -> None:
        """Let an order meet the book."""
        best = self.exchange.best[-order.side]
        crosses = best is not None and (order.x_price - best) * order.side >= 0
        if order.kind == at.MARKET:
            crosses = best is not None
        if crosses and order.kind != at.POST_ONLY:
            assert best is not None
            self.take(time, order, best)
        elif crosses or order.kind in (at.IOC, at.FOK, at.MARKET):
            self.respond(time, order, at.EXPIRED)
        else:
            order.resting = True
            order.ahead = float(self.exchange.at(order.side, order.x_price))
            order.traded = 0.0
            self.respond(time, order, at.NEW, order.x_price)

    def take(self, time: int, order: Order, best: int) -> None:
        """Trade with what is displayed."""
        if not self.model.partial_fills:
            self.fill(time, order, best, order.x_leaves, 0)
            return
        levels = sorted(self.exchange.levels[-order.side].items(), key=lambda level: level[0] * order.side)
        reachable = [
            (price, lots)
            for price, lots in levels
            if lots
            and (price - best) * order.side >= 0
            and (order.kind == at.MARKET or (order.x_price - price) * order.side >= 0)
        ]
        if order.kind == at.FOK and sum(lots for _, lots in reachable) < order.x_leaves:
            self.respond(time, order, at.EXPIRED)
            return
        if order.kind == at.GTC:
            reachable = [level for level in reachable if level[0] != order.x_price]
        for price, lots in reachable:
            if order.x_leaves:
                self.fill(time, order, price, min(lots, order.x_leaves), 0)
        if order.x_leaves and order.kind == at.GTC:
            self.fill(time, order, order.x_price, order.x_leaves, 0)
        elif order.x_leaves:
            self.respond(time, order, at.EXPIRED)
