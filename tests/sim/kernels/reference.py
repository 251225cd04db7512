"""A slow, obvious simulator: one list of everything that will happen, taken in order of time; books are dictionaries.

At equal times the strategy's rows come first, then its responses, then the exchange's rows, then the venue's marks and
fundings, then expiries, then arriving requests.
Written from docs/simulator.md, not from the kernels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np

from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels import queues
from tradebot.sim.kernels.perpetual import LIQUIDATION_ID, MARK
from tradebot.sim.rng import SplitMix64

BUY: Final = 1
SELL: Final = -1
LOCAL_ROW, RESPONSE, EXCHANGE_ROW, VENUE_EVENT, EXPIRY, REQUEST = range(6)
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
    trigger: int = 0
    display: int = 0
    shown: int = 0
    waiting: bool = False
    arrival: int = 0
    expires: int = 0
    is_answered: bool = False
    """A response came since this was last reset."""

    @property
    def rule(self) -> int:
        """Time in force, or MARKET."""
        return self.kind & at.TIME_IN_FORCE


@dataclass(frozen=True)
class Terms:
    """A perpetual; money in tick-lots (lots per tick for an inverse one)."""

    events: tuple[tuple[int, int, int], ...] = ()
    """Time, MARK or FUNDING, mark in half ticks or rate in quarters."""
    inverse: bool = False
    collateral: int = 0
    leverage: int = 0
    maintenance: Fraction = Fraction(1, 8)
    liquidation_fee: Fraction = Fraction(1, 16)
    maker_fee: Fraction = Fraction(-1, 64)
    taker_fee: Fraction = Fraction(1, 32)


@dataclass(frozen=True)
class Model:
    """How the venue is modelled."""

    entry_ns: int = 0
    response_ns: int = 0
    queue: int = queues.RISK_AVERSE
    exponent: float = 2.0
    lot_size: float = 1.0
    partial_fills: bool = False
    impact: bool = False
    self_trade: int = 0
    min_qty: int = 0
    min_value: int = 0
    quantiles: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Sampled latencies: entry and response."""
    seed: int = 0
    recorded: tuple[tuple[int, int, int], ...] = ()
    """Recorded latencies: sent, reached (0 = refused), answered."""
    terms: Terms = Terms()
    tiers: tuple[tuple[int, Fraction, Fraction], ...] = ()
    """Volume of 30 days, maker rate, taker rate; none: the rates of `terms`."""
    prior: int = 0
    day_ns: int = 40

    @property
    def smallest_entry_ns(self) -> int:
        """The least entry latency."""
        if self.quantiles:
            return self.quantiles[0][0]
        if self.recorded:
            return min(reached - sent for sent, reached, _ in self.recorded if reached)
        return self.entry_ns


def behind(model: Model, front: float, back: float) -> float:
    """Return the probability that a decrease happened behind us, as IEEE has it: 0 / 0 and ln(-1) are NaN."""
    n = model.exponent
    with np.errstate(all="ignore"):
        f, b = np.float64(front), np.float64(back)
        log_f, log_b = np.log(1.0 + f * model.lot_size), np.log(1.0 + b * model.lot_size)
        match model.queue:
            case queues.POWER:
                share = np.power(b, n) / (np.power(b, n) + np.power(f, n))
            case queues.LOGARITHM:
                share = log_b / (log_b + log_f)
            case queues.POWER_OF_SUM:
                share = np.power(b, n) / np.power(b + f, n)
            case queues.LOGARITHM_OF_SUM:
                share = log_b / np.log(1.0 + (b + f) * model.lot_size)
            case _:
                share = 1.0 - np.power(f / (f + b), n)
    return float(share)


def on_line(x: int, points: list[tuple[int, int]]) -> int:
    """Return y at x on the line through the two points around x; constant outside."""
    if x < points[0][0]:
        return points[0][1]
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        if x1 <= x < x2:
            return int((y2 - y1) / (x2 - x1) * (x - x1)) + y1
    return points[-1][1]


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
        self.random = SplitMix64(model.seed)
        self.eaten: dict[tuple[int, int], int] = {}
        self.last_trade: int | None = None
        self.x_position = 0
        self.events = list(model.terms.events)
        self.mark = Fraction(0)
        self.result = Fraction(model.terms.collateral)
        """Collateral and everything realized: what fills cost and brought, fees, funding."""
        self.funding = Fraction(0)
        self.liquidations = 0
        self.fee = self.invested = self.liquidation_fees = Fraction(0)
        """What the strategy knows it paid, and what its position cost."""
        self.volumes: list[tuple[int, Fraction]] = []
        """Day and volume of every fill."""
        self.arrivals = itertools.count()
        self.waiting: list[Order] = []
        self.now = min(min(row[0], row[1]) for row in self.rows[:1]) if self.rows else 0

    # --- the strategy's side ------------------------------------------------------------------------------------------

    def submit(self, side: int, price: int, qty: int, kind: int, trigger: int, display: int, lives: int) -> Order:
        """Send an order."""
        order = Order(len(self.orders), side, price, qty, kind, leaves=qty, trigger=trigger, display=display)
        order.expires = self.now + lives if lives else 0
        self.orders.append(order)
        self.send(order, at.REQUEST_NEW, price, qty)
        return order

    def send(self, order: Order, kind: int, price: int, qty: int) -> None:
        """Put a request on its way, never before one sent earlier."""
        order.request = kind
        latency = self.entry_latency()
        if latency < 0:
            refusal = {at.REQUEST_NEW: at.REJECTED, at.REQUEST_CANCEL: at.CANCEL_REFUSED}.get(kind, at.MODIFY_REFUSED)
            self.deliver(self.now - latency, order, refusal)
            return
        arrival = self.now + latency
        if self.requests:
            arrival = max(arrival, self.requests[-1][0])
        self.requests.append((arrival, order, kind, price, qty))

    def draw(self, quantiles: tuple[int, ...]) -> int:
        """Draw a sampled latency."""
        place = self.random.uniform() * (len(quantiles) - 1)
        low, high = quantiles[int(place)], quantiles[int(place) + 1]
        return low + int((place - int(place)) * (high - low))

    def entry_latency(self) -> int:
        """Return the latency of a request sent now; negative where the venue refuses."""
        if self.model.quantiles:
            return self.draw(self.model.quantiles[0])
        if not self.model.recorded:
            return self.model.entry_ns
        for before, after in itertools.pairwise(self.model.recorded):
            if before[0] <= self.now < after[0] and not (before[1] and after[1]):
                return -on_line(self.now, [(sent, answered - sent) for sent, _, answered in (before, after)])
        return on_line(self.now, [(sent, reached - sent) for sent, reached, _ in self.model.recorded])

    def response_latency(self, time: int) -> int:
        """Return the latency of a response made at a time."""
        if self.model.quantiles:
            return self.draw(self.model.quantiles[1])
        if not self.model.recorded:
            return self.model.response_ns
        return on_line(time, [(reached, answered - reached) for _, reached, answered in self.model.recorded if reached])

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
        return self.has_more

    @property
    def has_more(self) -> bool:
        """Whether anything is left. A mark that is still to come does not keep a run alive."""
        return bool(self.local_rows or self.responses or self.exchange_rows or self.requests)

    def next_event(self) -> tuple[int, int] | None:
        """Return time and kind of what happens next."""
        heads: list[tuple[int, int]] = []
        if self.local_rows:
            heads.append((self.local_rows[0][1], LOCAL_ROW))
        if self.responses:
            heads.append((self.responses[0][0], RESPONSE))
        if self.exchange_rows:
            heads.append((self.exchange_rows[0][0], EXCHANGE_ROW))
        if self.events:
            heads.append((self.events[0][0], VENUE_EVENT))
        expiries = [order.expires for order in self.orders if order.expires and (order.resting or order.waiting)]
        if expiries:
            heads.append((min(expiries), EXPIRY))
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
        elif kind == VENUE_EVENT:
            self.on_venue_event(*self.events.pop(0))
        elif kind == EXPIRY:
            self.expire()
        elif kind == EXCHANGE_ROW:
            self.on_exchange_row(self.exchange_rows.pop(0))
        else:
            self.on_request(*self.requests.pop(0))

    def on_response(self, order: Order, message: dict[str, Any]) -> None:
        """Let the strategy learn."""
        kind = message["kind"]
        order.is_answered = True
        if message["qty"]:
            self.position += order.side * message["qty"]
            self.value += order.side * message["qty"] * message["price"]
            self.fee += message["fee"]
            self.invested += order.side * self.worth(message["qty"], Fraction(message["price"]))
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
        """Send a response."""
        self.deliver(time + self.response_latency(time), order, kind, price, qty)

    def deliver(self, arrival: int, order: Order, kind: int, price: int = 0, qty: int = 0) -> None:
        """Let a response arrive, never before one sent earlier."""
        if self.responses:
            arrival = max(arrival, self.responses[-1][0])
        message = {"kind": kind, "price": price, "qty": qty, "leaves": order.x_leaves}
        self.responses.append((arrival, order, message))

    def fill(self, time: int, order: Order, price: int, qty: int, maker: int) -> None:
        """Trade some of an order."""
        order.x_leaves -= qty
        self.x_position += order.side * qty
        terms = self.model.terms
        worth = self.worth(qty, Fraction(price))
        self.result -= (-worth if terms.inverse else worth) * order.side
        fee = worth * self.rate(time, maker)
        self.result -= fee
        lots = Fraction(self.model.lot_size)
        self.volumes.append((time // self.model.day_ns, qty * lots if terms.inverse else qty * price * lots))
        self.fills.append((time, order.number, price, qty, maker, order.x_leaves))
        if not order.x_leaves:
            order.resting = False
        self.respond(time, order, at.PARTIALLY_FILLED if order.x_leaves else at.FILLED, price, qty)
        self.responses[-1][2]["fee"] = fee

    def rate(self, time: int, maker: int) -> Fraction:
        """Return what a fill costs: the tier that 30 days' volume reached when the day began."""
        if not self.model.tiers:
            return self.model.terms.maker_fee if maker else self.model.terms.taker_fee
        today = time // self.model.day_ns
        first = self.volumes[0][0] if self.volumes else today
        traded = Fraction(0)
        for day in range(today - 30, today):
            own = sum((volume for at_day, volume in self.volumes if at_day == day), Fraction(0))
            traded += own if day >= first else Fraction(self.model.prior, 30)
        _, made, taken = max((tier for tier in self.model.tiers if tier[0] <= traded), key=lambda tier: tier[0])
        return made if maker else taken

    def equity(self) -> Fraction | None:
        """Return the result at the last mid, tick-lots (lots per tick for an inverse contract); None without one."""
        bid, ask = self.local.best[1], self.local.best[-1]
        if bid is None or ask is None:
            return None
        held = self.worth(self.position, Fraction(bid + ask, 2))
        held = -held if self.model.terms.inverse else held
        spent = -self.invested if self.model.terms.inverse else self.invested
        return held - spent - self.fee - self.liquidation_fees - self.funding

    def worth(self, qty: int, price: Fraction) -> Fraction:
        """Return a quantity's value."""
        return qty / price if self.model.terms.inverse else qty * price

    def balance(self, mark: Fraction) -> Fraction:
        """Return the margin balance."""
        held = self.worth(self.x_position, mark)
        return self.result + (-held if self.model.terms.inverse else held)

    def on_venue_event(self, time: int, kind: int, value: int) -> None:
        """Mark or charge, then look at the margin."""
        terms = self.model.terms
        if kind == MARK:
            self.mark = Fraction(value, 2)
        elif self.mark:
            paid = Fraction(value, 4) * self.worth(self.x_position, self.mark)
            self.funding += paid
            self.result -= paid
        if not terms.leverage or not self.mark or not self.x_position:
            return
        if self.balance(self.mark) <= terms.maintenance * self.worth(abs(self.x_position), self.mark):
            self.liquidate(time)

    def liquidate(self, time: int) -> None:
        """Cancel everything, close at the mark, rounded against us."""
        resting = sorted((order for order in self.orders if order.resting), key=lambda order: order.arrival)
        for order in [*resting, *self.waiting]:
            order.resting = order.waiting = False
            self.respond(time, order, at.CANCELED)
        self.waiting = []
        held = self.x_position
        price = math.floor(self.mark) if held > 0 else math.ceil(self.mark)
        self.liquidations += 1
        self.liquidation_fees += self.model.terms.liquidation_fee * self.worth(abs(held), Fraction(price))
        self.result -= self.model.terms.liquidation_fee * self.worth(abs(held), Fraction(price))
        closing = Order(LIQUIDATION_ID, -1 if held > 0 else 1, price, abs(held), at.MARKET, x_leaves=abs(held))
        self.fill(time, closing, price, abs(held), 0)

    def lacks_margin(self, order: Order, price: int | None, qty: int) -> bool:
        """Whether an order of these terms would make the position too large, in place of what it is now."""
        if order.rule == at.MARKET:
            price = self.exchange.best[-order.side]
        if not self.model.terms.leverage or price is None or order.kind & at.REDUCE_ONLY:
            return False
        working = qty + sum(other.x_leaves for other in self.resting(order.side) if other is not order)
        exposure = abs(self.x_position + order.side * working)
        if exposure <= abs(self.x_position):
            return False
        allowed = self.balance(self.mark or Fraction(price)) * self.model.terms.leverage
        return self.worth(exposure, Fraction(price)) > allowed

    def resting(self, side: int) -> list[Order]:
        """Return our resting orders of a side, oldest first."""
        found = [order for order in self.orders if order.resting and order.side == side]
        return sorted(found, key=lambda order: order.arrival)

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
            self.eaten[side, price] = 0
            best = self.exchange.best[side]
            for order in self.in_line(-side):
                if best is not None and (best - order.x_price) * side >= 0:
                    self.touched(time, order)
            self.trim(time)
        elif kind == columns.CLEAR:
            self.exchange.clear(side)
        else:
            self.on_trade(time, side, price, lots)

    def in_line(self, side: int) -> list[Order]:
        """Return our resting orders in the order in which they are served: with impact the best price comes first."""
        if not self.model.impact:
            return self.resting(side)
        return sorted(self.resting(side), key=lambda order: (-order.x_price * side, order.arrival))

    def touched(self, time: int, order: Order) -> None:
        """The other side's best price has reached a resting order."""
        if not self.model.impact:
            self.make(time, order, order.x_leaves)
            return
        for price, lots in self.offers(order.side, order.x_price):
            if order.resting and lots:
                done = self.make(time, order, min(lots, order.x_leaves))
                self.eaten[-order.side, price] = self.eaten.get((-order.side, price), 0) + done

    def make(self, time: int, order: Order, most: int) -> int:
        """Fill a resting order, a reduce-only one no more than the position; return the lots."""
        done = min(most, self.reducible(order))
        if done > 0:
            self.fill(time, order, order.x_price, done, 1)
        return done

    def on_trade(self, time: int, buyer: int, price: int, lots: int) -> None:
        """A public trade meets our orders, then our triggers."""
        left = lots
        for order in self.in_line(-buyer):
            if (price - order.x_price) * buyer > 0:
                done = self.make(time, order, min(left, order.x_leaves) if self.model.impact else order.x_leaves)
                left -= done
            elif price == order.x_price:
                # With impact, what filled our older orders did not come out of the queue.
                order.ahead -= left if self.model.impact else lots
                order.traded += lots
                reached = math.floor(0.5 - order.ahead) if order.ahead < 0 else 0
                if reached <= 0:
                    continue
                order.ahead = 0.0
                most = reached if self.model.partial_fills else order.x_leaves
                done = self.make(time, order, min(most, order.shown, left if self.model.impact else most))
                left -= done
                order.shown -= done
                if done and order.resting and not order.shown:
                    order.shown = min(order.display or order.x_leaves, order.x_leaves)
                    order.ahead = self.standing(order)
                    order.traded = 0.0
        self.trim(time)
        self.last_trade = price
        self.fire(time)

    def fire(self, time: int) -> None:
        """Activate the stops that the last trade reaches, as far as the margin carries them."""
        for order in list(self.waiting):
            if not order.waiting or not self.triggered(order):
                continue
            order.waiting = False
            self.waiting.remove(order)
            if self.lacks_margin(order, order.x_price, order.x_leaves):
                self.respond(time, order, at.REJECTED)
            else:
                self.enter(time, order)

    def triggered(self, order: Order) -> bool:
        """Whether the last trade activates a stop."""
        direction = order.side if order.kind & at.STOP else -order.side
        return self.last_trade is not None and (self.last_trade - order.trigger) * direction >= 0

    def reducible(self, order: Order) -> int:
        """Return what an order may trade."""
        if order.kind & at.REDUCE_ONLY:
            return min(order.x_leaves, max(0, -self.x_position * order.side))
        return order.x_leaves

    def trim(self, time: int) -> None:
        """Reduce-only orders never exceed the position."""
        for order in sorted((order for order in self.orders if order.resting), key=lambda order: order.arrival):
            most = self.reducible(order)
            order.shown = min(order.shown, most)
            order.x_leaves = most or order.x_leaves
            if not most:
                order.resting = False
                self.respond(time, order, at.CANCELED)

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

    def expire(self) -> None:
        """End the orders whose time has come: those that rest by age, then those that wait."""
        here = [order for order in self.orders if order.expires and (order.resting or order.waiting)]
        time = min(order.expires for order in here)
        over = [order for order in here if order.expires <= time]
        resting = sorted((order for order in over if order.resting), key=lambda order: order.arrival)
        for order in resting + [order for order in self.waiting if order in over]:
            if order.waiting:
                self.waiting.remove(order)
            order.resting = order.waiting = False
            self.respond(time, order, at.EXPIRED)

    def on_request(self, time: int, order: Order, kind: int, price: int, qty: int) -> None:
        """Let a request arrive."""
        if kind == at.REQUEST_NEW:
            order.x_price, order.x_leaves = price, qty
            self.accept(time, order)
        elif not order.resting and not order.waiting:
            self.respond(time, order, at.CANCEL_REFUSED if kind == at.REQUEST_CANCEL else at.MODIFY_REFUSED)
        elif kind == at.REQUEST_CANCEL:
            if order.waiting:
                self.waiting.remove(order)
            order.resting = order.waiting = False
            self.respond(time, order, at.CANCELED)
        else:
            self.change(time, order, price, qty)

    def change(self, time: int, order: Order, price: int, qty: int) -> None:
        """Give an order new terms, or leave it as it is."""
        takes_more = price != order.x_price or qty > order.x_leaves
        if self.too_small(order, price, qty) or (takes_more and self.lacks_margin(order, price, qty)):
            self.respond(time, order, at.MODIFY_REFUSED)
            return
        order.x_price, order.x_leaves = price, qty
        if order.waiting:
            self.respond(time, order, at.NEW, price)
        elif takes_more:
            order.resting = False
            self.enter(time, order)
        else:
            order.shown = min(order.shown, qty)
            self.respond(time, order, at.NEW, price)

    def too_small(self, order: Order, price: int | None, qty: int) -> bool:
        """Whether terms are below the venue's least quantity or value."""
        if order.rule == at.MARKET:
            price = self.exchange.best[-order.side]
        return qty < self.model.min_qty or (price is not None and qty * price < self.model.min_value)

    def accept(self, time: int, order: Order) -> None:
        """Check the rules, let a stop wait."""
        if 0 < order.expires <= time:
            self.respond(time, order, at.EXPIRED)
            return
        terms = (order.x_price, order.x_leaves)
        if self.too_small(order, *terms) or self.lacks_margin(order, *terms):
            self.respond(time, order, at.REJECTED)
        elif order.kind & at.TRIGGERED and not self.triggered(order):
            order.waiting = True
            self.waiting.append(order)
            self.respond(time, order, at.NEW, order.x_price)
        else:
            self.enter(time, order)

    def enter(self, time: int, order: Order) -> None:
        """Let an order meet the book."""
        most = self.reducible(order)
        if not most:
            self.respond(time, order, at.REJECTED)
            return
        order.x_leaves = most
        best = self.exchange.best[-order.side]
        if self.model.self_trade and self.meets_itself(time, order, best):
            return
        crosses = best is not None and (order.x_price - best) * order.side >= 0
        if order.rule == at.MARKET:
            crosses = best is not None
        if crosses and order.rule != at.POST_ONLY:
            assert best is not None
            self.take(time, order, best)
            self.trim(time)
        elif crosses or order.rule in (at.IOC, at.FOK, at.MARKET):
            self.respond(time, order, at.EXPIRED)
        else:
            self.rest(time, order)

    def rest(self, time: int, order: Order) -> None:
        """Stand at the end of the queue."""
        order.resting = True
        order.arrival = next(self.arrivals)
        order.shown = min(order.display or order.x_leaves, order.x_leaves)
        order.ahead = self.standing(order)
        order.traded = 0.0
        self.respond(time, order, at.NEW, order.x_price)

    def standing(self, order: Order) -> float:
        """Return the lots at an order's price that our takers did not eat."""
        displayed = self.exchange.at(order.side, order.x_price)
        eaten = self.eaten.get((order.side, order.x_price), 0) if self.model.impact else 0
        return float(max(displayed - eaten, 0))

    def meets_itself(self, time: int, order: Order, best: int | None) -> bool:
        """Self-trade prevention; True when the incoming order ends."""
        limit = best if order.rule == at.MARKET else order.x_price
        met = [
            other
            for other in self.resting(-order.side)
            if limit is not None and (limit - other.x_price) * order.side >= 0
        ]
        for other in met if self.model.self_trade & at.EXPIRE_MAKER else ():
            other.resting = False
            self.respond(time, other, at.CANCELED)
        if met and self.model.self_trade & at.EXPIRE_TAKER:
            self.respond(time, order, at.EXPIRED)
            return True
        return False

    def offers(self, side: int, limit: int | None) -> list[tuple[int, int]]:
        """Return levels an order of `side` can take, best first, less what our takers ate."""
        best = self.exchange.best[-side]
        levels = sorted(self.exchange.levels[-side].items(), key=lambda level: level[0] * side)
        return [
            (price, max(lots - (self.eaten.get((-side, price), 0) if self.model.impact else 0), 0))
            for price, lots in levels
            if best is not None and (price - best) * side >= 0 and (limit is None or (limit - price) * side >= 0)
        ]

    def take(self, time: int, order: Order, best: int) -> None:
        """Trade with what is displayed."""
        if not self.model.partial_fills:
            self.fill(time, order, best, order.x_leaves, 0)
            return
        reachable = self.offers(order.side, None if order.rule == at.MARKET else order.x_price)
        if order.rule == at.FOK and sum(lots for _, lots in reachable) < order.x_leaves:
            self.respond(time, order, at.EXPIRED)
            return
        done_at_limit = order.rule == at.GTC and not self.model.impact
        for price, lots in reachable:
            if order.x_leaves and lots and not (done_at_limit and price == order.x_price):
                done = min(lots, order.x_leaves)
                self.fill(time, order, price, done, 0)
                self.eaten[-order.side, price] = self.eaten.get((-order.side, price), 0) + done
        if not order.x_leaves:
            return
        if done_at_limit:
            self.fill(time, order, order.x_price, order.x_leaves, 0)
        elif order.rule == at.GTC:
            self.rest(time, order)
        else:
            self.respond(time, order, at.EXPIRED)


class ReferenceClock:
    """One strategy's time over several markets."""

    def __init__(self, markets: Sequence[ReferenceSimulator]) -> None:
        self.markets = markets
        self.orders: list[tuple[ReferenceSimulator, Order]] = []
        self.set(min(market.now for market in markets))

    def set(self, now: int) -> None:
        """It is the same time everywhere."""
        self.now = now
        for market in self.markets:
            market.now = now

    def submit(self, market: int, **terms: int) -> None:
        """Send an order to one of them."""
        self.orders.append((self.markets[market], self.markets[market].submit(**terms)))

    def elapse(self, duration: int) -> bool:
        """Let everything up to now + duration happen; False when nothing is left anywhere."""
        self.now += duration
        left = [market.elapse(duration) for market in self.markets]
        return any(left)

    def wait_response(self, order: Order, timeout: int) -> bool:
        """Let everything happen up to the end of the instant of an order's next response; False when none came."""
        deadline = self.now + timeout
        while self.now < deadline:
            order.is_answered = False
            self.wait(deadline - self.now, responses=True, rows=False)
            if order.is_answered:
                return True
            if not any(market.has_more for market in self.markets):
                return False
        return False

    def wait(self, timeout: int, responses: bool, rows: bool = True) -> None:
        """Let everything happen up to the end of the instant of the next local row (or response) of any market."""
        until = self.now + timeout
        while True:
            heads = [(*event, place) for place, market in enumerate(self.markets) if (event := market.next_event())]
            time, kind, place = min(heads, default=(until + 1, LOCAL_ROW, 0))
            if time > until:
                break
            if (rows and kind == LOCAL_ROW) or (responses and kind == RESPONSE):
                until = time
            self.markets[place].happen(kind)
        self.set(until)
