"""A slow, obvious venue over a recording: lists of levels and of our orders, everything searched from scratch.

Written from docs/simulator.md ("Matching"), not from the kernels. History does not change: what our takers ate of a
level is remembered beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tradebot.core.orders import OrderType, Side, TimeInForce
from tradebot.sim.orders import NewOrder, SelfTradePrevention

MAKER, TAKER = "maker", "taker"


@dataclass(eq=False)
class Level:
    """What the recording displays at one price."""

    side: Side
    price: int
    lots: int
    eaten: int = 0
    """Lots that our takers took since the recording last said something new about the level."""
    hidden: bool = False
    """A level of the other side has crossed it."""

    @property
    def left(self) -> int:
        """Lots that a taker finds."""
        return 0 if self.hidden else max(self.lots - self.eaten, 0)


@dataclass(eq=False)
class Mine:
    """An order of ours."""

    new: NewOrder
    lots: int
    """Open at the venue: a reduce-only order has no more than the position."""
    ahead: int = 0
    """Recorded lots that trade at its price before it does."""
    done: int = 0


class RecordedReference:
    """One market. What it says of itself is what the test compares."""

    def __init__(self, last_price: int) -> None:
        self.levels: list[Level] = []
        self.resting: list[Mine] = []
        """Oldest first."""
        self.waiting: list[Mine] = []
        self.last_price = last_price
        self.bbo_id = 0
        self.fills: list[tuple[str, int, str, int]] = []
        """Client order id, price, maker or taker, lots."""
        self.ended: dict[str, str] = {}
        """Client order id -> FILLED, CANCELED or EXPIRED."""
        self.position = 0

    # --- the recording ----------------------------------------------------------------------------------------------

    def level(self, side: Side, price: int) -> Level | None:
        return next((one for one in self.levels if one.side is side and one.price == price), None)

    def shown(self, side: Side) -> list[Level]:
        """Return a side as displayed, best first."""
        found = [one for one in self.levels if one.side is side and not one.hidden]
        return sorted(found, key=lambda one: -one.price * side.sign)

    def row_level(self, side: Side, price: int, lots: int, row_id: int, *, snapshot: bool = False) -> None:
        """A level of the book, which a newer best price may contradict."""
        best = next(iter(self.shown(side)), None)
        is_old = row_id < self.bbo_id and best is not None and (price - best.price) * side.sign >= 0
        if snapshot or not is_old:
            self.say(side, price, lots)
            self.meet_recording(side)

    def row_bbo(self, side: Side, price: int, lots: int, row_id: int) -> None:
        """The best price: those displayed before it are gone. The quantity that was known already is no news."""
        self.bbo_id = row_id
        known = self.level(side, price)
        if known is not None and known.lots == lots:
            self.show(known)
        elif known is not None or lots:
            self.say(side, price, lots)
        for better in [one for one in self.shown(side) if (one.price - price) * side.sign > 0]:
            self.say(side, better.price, 0)
        self.meet_recording(side)

    def row_clear(self) -> None:
        """A snapshot follows, or the book is not to be trusted: nothing is known but our places in the queues."""
        self.levels = []
        self.bbo_id = 0

    def row_trade(self, taker: Side, price: int, lots: int) -> None:
        """A public trade would have met our orders: those at a better price first, then the queue at its price."""
        side = taker.opposite
        reached = [one for one in self.resting if one.new.side is side and (one.new.price - price) * side.sign >= 0]
        for mine in sorted(reached, key=lambda one: -one.new.price * side.sign):  # the oldest first at one price
            part = min(lots, mine.lots)
            if mine.new.price == price:
                part = min(max(lots - mine.ahead, 0), mine.lots)
                mine.ahead = max(mine.ahead - lots, 0)
            lots -= self.fill(mine, mine.new.price, part, MAKER)
        self.trim()
        self.last_price = price
        self.fire()

    def say(self, side: Side, price: int, lots: int) -> None:
        """The recording says something new about a level: what was ahead of us there is at most what it shows now."""
        level = self.level(side, price)
        for mine in self.resting:
            if mine.new.side is side and mine.new.price == price:
                mine.ahead = min(mine.ahead, lots)
        if level is not None and not lots:
            self.levels.remove(level)
        elif level is not None:
            level.lots, level.eaten = lots, 0
            self.show(level)
        elif lots:
            level = Level(side, price, lots)
            self.show(level)
            self.levels.append(level)

    def show(self, level: Level) -> None:
        """A level that is the best of its side now: it crosses what the other side had up to it, and nothing hides
        what stands behind it any more.
        """
        sign = level.side.sign
        best = next((one for one in self.shown(level.side) if one is not level), None)
        if best is not None and (level.price - best.price) * sign <= 0:
            return
        level.hidden = False
        for one in self.levels:
            if one.side is level.side and (level.price - one.price) * sign > 0:
                one.hidden = False
            elif one.side is not level.side and (level.price - one.price) * sign >= 0:
                one.hidden = True

    def meet_recording(self, side: Side) -> None:
        """The best levels of `side` trade with our orders that they have reached, at our prices."""
        others = [one for one in self.resting if one.new.side is not side]
        for mine in sorted(others, key=lambda one: one.new.price * side.sign):  # the oldest first at one price
            for level in self.shown(side):
                if (level.price - mine.new.price) * side.sign >= 0:
                    part = self.fill(mine, mine.new.price, min(level.left, mine.lots), MAKER)
                    self.eat(level, part)
        self.trim()

    # --- our orders -------------------------------------------------------------------------------------------------

    def place(self, new: NewOrder) -> bool:
        """Return False when it is refused."""
        mine = Mine(new, new.lots)
        if new.reduce_only and not self.reducible(mine):
            return False
        if new.has_trigger:
            if self.is_hit(new):
                return False
            self.waiting.append(mine)
            return True
        if new.post_only and self.first_offer(new):
            return False
        self.enter(mine)
        self.fire()
        return True

    def cancel(self, client_order_id: str) -> bool:
        """Return False when nothing of that name is open."""
        for mine in [*self.resting, *self.waiting]:
            if mine.new.client_order_id == client_order_id:
                self.end(mine, "CANCELED")
                return True
        return False

    def offers(self, side: Side) -> list[tuple[int, int]]:
        """Return what can be taken, ours included: (price, lots), best first."""
        found: dict[int, int] = {}
        for price, lots in [(one.price, one.left) for one in self.shown(side)] + [
            (one.new.price, one.lots) for one in self.resting if one.new.side is side
        ]:
            found[price] = found.get(price, 0) + lots
        return sorted(((p, n) for p, n in found.items() if n), key=lambda one: -one[0] * side.sign)

    def first_offer(self, new: NewOrder) -> tuple[int, int] | None:
        """Return the best price that a taker can reach, and the lots there."""
        offers = self.offers(new.side.opposite)
        if not offers or (new.has_limit and (new.price - offers[0][0]) * new.side.sign < 0):
            return None
        return offers[0]

    def reducible(self, mine: Mine) -> int:
        """Return the lots that an order may still trade."""
        most = max(-self.position * mine.new.side.sign, 0)
        return min(mine.lots, most) if mine.new.reduce_only else mine.lots

    def trim(self) -> None:
        """After fills: what would reduce more than the position shrinks, or ends without one."""
        for mine in list(self.resting):
            mine.lots = self.reducible(mine)
            if not mine.lots:
                self.end(mine, "EXPIRED")

    def enter(self, mine: Mine) -> None:
        """Let an order on to the book as far as it may trade."""
        mine.lots = self.reducible(mine)
        if mine.lots:
            self.work(mine)
            self.trim()
        else:
            self.end(mine, "EXPIRED")

    def work(self, mine: Mine) -> None:
        """Let an order meet what is on offer, then rest or end."""
        new, sign = mine.new, mine.new.side.sign
        within = [
            lots
            for price, lots in self.offers(new.side.opposite)
            if not new.has_limit or (new.price - price) * sign >= 0
        ]
        if new.time_in_force is TimeInForce.FOK and sum(within) < mine.lots:
            self.ended[new.client_order_id] = "EXPIRED"
            return
        while mine.lots and new.client_order_id not in self.ended and (offer := self.first_offer(new)):
            self.match(mine, offer[0])
        if not mine.lots or new.client_order_id in self.ended:
            return
        if not new.has_limit or new.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.ended[new.client_order_id] = "EXPIRED"
            return
        # Everything that the level is said to have is ahead, but what we took of it; hidden lots may be there, too.
        level = self.level(new.side, new.price)
        mine.ahead = max(level.lots - level.eaten, 0) if level is not None else 0
        self.resting.append(mine)

    def match(self, mine: Mine, price: int) -> None:
        """Trade once at a price: with the recording as far as it is ahead of our oldest order there, else with that."""
        new = mine.new
        side = new.side.opposite
        level = self.level(side, price)
        left = level.left if level is not None else 0
        maker = next((one for one in self.resting if one.new.side is side and one.new.price == price), None)
        first = left if maker is None else min(left, maker.ahead)
        part = min(first, mine.lots)
        if level is not None and part:
            self.eat(level, part)
        elif maker is not None:
            mode = new.self_trade_prevention
            if maker.new.account == new.account and mode is not SelfTradePrevention.NONE:
                if mode is not SelfTradePrevention.EXPIRE_TAKER:
                    self.end(maker, "EXPIRED")
                if mode is not SelfTradePrevention.EXPIRE_MAKER:
                    self.ended[new.client_order_id] = "EXPIRED"
                return
            part = min(maker.lots, mine.lots)
            self.fill(maker, price, part, MAKER)
        self.fill(mine, price, part, TAKER)

    def eat(self, level: Level, lots: int) -> None:
        """Take from a level; what is taken was ahead of our orders there."""
        level.eaten += lots
        for mine in self.resting:
            if mine.new.side is level.side and mine.new.price == level.price:
                mine.ahead = max(mine.ahead - lots, 0)

    def fill(self, mine: Mine, price: int, lots: int, liquidity: str) -> int:
        """Trade as many lots of an order as it may; return them."""
        lots = min(lots, self.reducible(mine)) if liquidity == MAKER else lots
        if lots:
            mine.lots -= lots
            mine.done += lots
            self.position += lots * mine.new.side.sign
            self.fills.append((mine.new.client_order_id, price, liquidity, lots))
            if not mine.lots:
                self.end(mine, "FILLED" if mine.done == mine.new.lots else "EXPIRED")
        return lots

    def end(self, mine: Mine, status: str) -> None:
        self.ended[mine.new.client_order_id] = status
        self.resting = [one for one in self.resting if one is not mine]
        self.waiting = [one for one in self.waiting if one is not mine]

    def is_hit(self, new: NewOrder) -> bool:
        rising = (new.side is Side.BUY) == (new.order_type in (OrderType.STOP, OrderType.STOP_LIMIT))
        return self.last_price >= new.stop_price if rising else self.last_price <= new.stop_price

    def fire(self) -> None:
        """The oldest stop that the last public trade has reached goes first."""
        while hit := next((one for one in self.waiting if self.is_hit(one.new)), None):
            self.waiting.remove(hit)
            self.enter(hit)
