"""A slow, obvious matcher: every resting quantity is one entry in one list, and everything is searched from scratch."""

from __future__ import annotations

from dataclasses import dataclass

from tradebot.core.orders import OrderType, Side, TimeInForce
from tradebot.sim.orders import NewOrder, SelfTradePrevention


@dataclass(eq=False)
class Entry:
    """Something resting on the book."""

    side: Side
    price: int
    lots: int
    owner: str
    """Client order id, "" for the background."""
    account: str = ""


class ReferenceMarket:
    """Price-time priority over a plain list; background cancels leave from the back of their level."""

    def __init__(self, last_price: int) -> None:
        self.book: list[Entry] = []
        self.waiting: list[NewOrder] = []
        self.last_price = last_price
        self.fills: list[tuple[str, int, int]] = []
        self.tape: list[tuple[int, Side, int]] = []
        self.ended: dict[str, str] = {}
        """Client order id -> FILLED, CANCELED or EXPIRED."""
        self.left: dict[str, int] = {}

    def best_entry(self, taker: Side, limit: int) -> Entry | None:
        """Return the oldest entry at the best price a taker can reach."""
        found = [
            entry
            for entry in self.book
            if entry.side is taker.opposite
            and (not limit or (entry.price <= limit if taker is Side.BUY else entry.price >= limit))
        ]
        if not found:
            return None
        best = (min if taker is Side.BUY else max)(entry.price for entry in found)
        return next(entry for entry in found if entry.price == best)

    def trade(self, entry: Entry, taker: Side, lots: int, taker_id: str) -> None:
        entry.lots -= lots
        self.last_price = entry.price
        self.tape.append((entry.price, taker, lots))
        for owner in (entry.owner, taker_id):
            if owner:
                self.fills.append((owner, entry.price, lots))
                self.left[owner] -= lots
                if not self.left[owner]:
                    self.ended[owner] = "FILLED"
        if not entry.lots:
            self.book.remove(entry)

    def background_take(self, taker: Side, lots: int, limit: int = 0) -> int:
        while lots and (entry := self.best_entry(taker, limit)):
            part = min(lots, entry.lots)
            self.trade(entry, taker, part, "")
            lots -= part
        self.fire()
        return lots

    def background_limit(self, side: Side, price: int, lots: int) -> None:
        while lots and (entry := self.best_entry(side, price)):
            part = min(lots, entry.lots)
            self.trade(entry, side, part, "")
            lots -= part
        if lots:
            self.book.append(Entry(side, price, lots, ""))
        self.fire()

    def background_cancel(self, side: Side, price: int, lots: int) -> None:
        for entry in [e for e in self.book if not e.owner and e.side is side and e.price == price][::-1]:
            part = min(lots, entry.lots)
            entry.lots -= part
            lots -= part
            if not entry.lots:
                self.book.remove(entry)

    def place(self, new: NewOrder) -> bool:
        """Return False when it is refused."""
        if new.has_trigger:
            if self.is_hit(new):
                return False
        elif new.post_only and self.best_entry(new.side, new.price):
            return False
        self.left[new.client_order_id] = new.lots
        if new.has_trigger:
            self.waiting.append(new)
        else:
            self.work(new)
            self.fire()
        return True

    def work(self, new: NewOrder) -> None:
        mine = new.client_order_id
        limit = new.price if new.has_limit else 0
        reachable = sum(
            e.lots
            for e in self.book
            if e.side is new.side.opposite
            and (not limit or (e.price <= limit if new.side is Side.BUY else e.price >= limit))
        )
        if new.time_in_force is TimeInForce.FOK and reachable < new.lots:
            self.ended[mine] = "EXPIRED"
            return
        while mine not in self.ended and (entry := self.best_entry(new.side, limit)):
            mode = new.self_trade_prevention
            if entry.account == new.account and mode is not SelfTradePrevention.NONE:
                if mode is not SelfTradePrevention.EXPIRE_TAKER:
                    self.book.remove(entry)
                    self.ended[entry.owner] = "EXPIRED"
                if mode is not SelfTradePrevention.EXPIRE_MAKER:
                    self.ended[mine] = "EXPIRED"
                continue
            self.trade(entry, new.side, min(self.left[mine], entry.lots), mine)
        if mine in self.ended:
            return
        if limit and new.time_in_force in (TimeInForce.GTC, TimeInForce.GTD):
            self.book.append(Entry(new.side, new.price, self.left[mine], mine, new.account))
        else:
            self.ended[mine] = "EXPIRED"

    def cancel(self, client_order_id: str) -> bool:
        """Return False when nothing of that name is open."""
        if client_order_id in self.ended or client_order_id not in self.left:
            return False
        self.book = [entry for entry in self.book if entry.owner != client_order_id]
        self.waiting = [new for new in self.waiting if new.client_order_id != client_order_id]
        self.ended[client_order_id] = "CANCELED"
        return True

    def is_hit(self, new: NewOrder) -> bool:
        is_stop = new.order_type in (OrderType.STOP, OrderType.STOP_LIMIT)
        if (new.side is Side.BUY) == is_stop:
            return self.last_price >= new.stop_price
        return self.last_price <= new.stop_price

    def fire(self) -> None:
        while hit := next((new for new in self.waiting if self.is_hit(new)), None):
            self.waiting.remove(hit)
            self.work(hit)

    def levels(self, side: Side) -> dict[int, int]:
        """Return displayed lots per price."""
        found: dict[int, int] = {}
        for entry in self.book:
            if entry.side is side:
                found[entry.price] = found.get(entry.price, 0) + entry.lots
        return found
