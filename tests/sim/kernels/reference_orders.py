"""The slow, obvious simulator over single orders: each level is a list, ours among the others; nobody is counted."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim.kernels.reference import BUY, LOCAL_ROW, SELL, Book, Model, Order, ReferenceSimulator
from tradebot.core import columns
from tradebot.core.columns import MarketColumns


@dataclass(eq=False)
class Resting:
    """An order of the feed."""

    id: int
    side: int
    price: int
    qty: int
    is_gone: bool = False
    """Its side was cleared; the snapshot that follows may tell it again."""


class Lines:
    """Queues of single orders, and the levels they make."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.queues: dict[tuple[int, int], list[Resting | Order]] = {}
        self.known: dict[int, Resting] = {}

    def queue(self, side: int, price: int) -> list[Resting | Order]:
        """Return one level's queue, first in line first."""
        return self.queues.setdefault((side, price), [])

    def show(self, side: int, price: int) -> None:
        """Set the level to what its orders have left."""
        orders = [one for one in self.queue(side, price) if isinstance(one, Resting) and not one.is_gone]
        self.book.set(side, price, sum(one.qty for one in orders))

    def add(self, id_: int, side: int, price: int, qty: int) -> None:
        """A new order, or one that a snapshot tells again."""
        known = self.known.get(id_)
        if known is not None and known.is_gone and (known.side, known.price) == (side, price) and qty <= known.qty:
            known.is_gone, known.qty = False, qty
        else:
            self.known[id_] = Resting(id_, side, price, qty)
            self.queue(side, price).append(self.known[id_])
        self.show(side, price)

    def take(self, id_: int, qty: int) -> None:
        """Lots of an order leave."""
        order = self.known[id_]
        order.qty -= qty
        if not order.qty:
            self.queue(order.side, order.price).remove(order)
            del self.known[id_]
        self.show(order.side, order.price)

    def modify(self, id_: int, price: int, qty: int) -> None:
        """Smaller at the same price keeps the place."""
        order = self.known[id_]
        if order.price == price and qty <= order.qty:
            order.qty = qty
            self.show(order.side, price)
            return
        self.queue(order.side, order.price).remove(order)
        if order.price != price:
            self.show(order.side, order.price)
        order.price, order.qty = price, qty
        self.queue(order.side, price).append(order)
        self.show(order.side, price)

    def clear(self, side: int) -> None:
        """Everything of a side is gone until it is told again."""
        for order in self.known.values():
            order.is_gone |= order.side == side
        self.book.clear(side)


class OrderReference(ReferenceSimulator):
    """One market whose feed names orders."""

    def __init__(self, rows: MarketColumns, model: Model, *, fills_remove: bool) -> None:
        super().__init__(rows, model)
        assert rows.order_id is not None
        ids = rows.order_id.tolist()
        self.told = [(*row, ids[number]) for number, row in enumerate(self.rows)]
        self.heard = list(self.told)
        self.fills_remove = fills_remove
        self.lines, self.local_lines = Lines(self.exchange), Lines(self.local)

    def happen(self, kind: int) -> None:
        """Let the strategy receive rows of single orders."""
        if kind != LOCAL_ROW:
            super().happen(kind)
            return
        self.local_rows.pop(0)
        self.apply(self.local_lines, self.heard.pop(0))

    def apply(self, lines: Lines, row: tuple[int, ...]) -> None:
        """Change the queues."""
        _, _, flags, price, qty, id_ = row
        side = BUY if flags & columns.BUYER else SELL
        match flags & columns.KIND_MASK:
            case columns.ORDER_ADD:
                lines.add(id_, side, price, qty)
            case columns.ORDER_CANCEL:
                lines.take(id_, lines.known[id_].qty)
            case columns.ORDER_MODIFY:
                lines.modify(id_, price, qty)
            case columns.ORDER_FILL if self.fills_remove:
                lines.take(id_, qty)
            case columns.CLEAR:
                lines.clear(side)
            case _:
                pass

    def on_exchange_row(self, row: tuple[int, int, int, int, int]) -> None:
        """Let our orders trade first where they stand first, then change the queues."""
        told = self.told.pop(0)
        time, _, flags, price, qty, id_ = told
        kind = flags & columns.KIND_MASK
        side = BUY if flags & columns.BUYER else SELL
        if kind == columns.ORDER_FILL:
            maker = self.lines.known[id_]
            self.matched(time, maker, qty)
            self.printed(time, maker.price)
        elif kind == columns.TRADE:
            self.printed(time, price)
        if kind == columns.ORDER_MODIFY and price != self.lines.known[id_].price:
            old = self.lines.known[id_]
            self.lines.take(id_, old.qty)
            self.crossed(time, side)
            self.lines.add(id_, side, price, qty)
        else:
            self.apply(self.lines, told)
        if kind != columns.TRADE and kind != columns.CLEAR:
            self.crossed(time, side)

    def crossed(self, time: int, side: int) -> None:
        """The other side's best price reaches our orders."""
        best = self.exchange.best[side]
        for order in self.resting(-side):
            if best is not None and (best - order.x_price) * side >= 0:
                self.make(time, order, order.x_leaves)
        self.trim(time)

    def matched(self, time: int, maker: Resting, qty: int) -> None:
        """An order of the feed traded; ours at better prices or before it in line would have been first."""
        line = self.lines.queue(maker.side, maker.price)
        before = line[: line.index(maker)]
        for order in self.resting(maker.side):
            if (order.x_price - maker.price) * maker.side > 0:
                self.make(time, order, order.x_leaves)
            elif order in before:
                done = self.make(time, order, min(qty if self.model.partial_fills else order.x_leaves, order.shown))
                order.shown -= done
                if done and order.resting and not order.shown:
                    order.shown = min(order.display or order.x_leaves, order.x_leaves)
                    self.stand(order)
        self.trim(time)

    def printed(self, time: int, price: int) -> None:
        """Triggers."""
        self.last_trade = price
        self.fire(time)

    def rest(self, time: int, order: Order) -> None:
        """Stand at the end of the line."""
        super().rest(time, order)
        self.stand(order)

    def stand(self, order: Order) -> None:
        """Take the last place."""
        for line in self.lines.queues.values():
            if order in line:
                line.remove(order)
        self.lines.queue(order.side, order.x_price).append(order)

    def ahead_of(self, order: Order) -> int:
        """Return the lots before an order of ours."""
        line = self.lines.queue(order.side, order.x_price)
        before = line[: line.index(order)]
        return sum(one.qty for one in before if isinstance(one, Resting) and not one.is_gone)
