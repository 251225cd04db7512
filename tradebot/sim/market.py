"""One market: the background book, our resting orders among it, and who is next to trade.

Two kinds of background:
* live: the book is ours to change. What a taker eats is gone, and our orders are shown in the book.
* recorded: the book is history. What our takers ate is remembered per level until the recording touches that level
  again, so the same displayed quantity is never used twice; our orders are not shown.

Queue position is risk-averse: everything displayed at arrival is ahead of us, trades at our price eat it from the
front, cancels are assumed to happen behind us until the level is smaller than what was ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tradebot.core.books import Book
from tradebot.core.ladder import LadderBook
from tradebot.core.market import BUY_FLAG, SELL_FLAG
from tradebot.core.orders import Side
from tradebot.sim.orders import SimOrder
from tradebot.sim.rules import MarketRules


class Piece(NamedTuple):
    """The next thing a taker would trade with."""

    price: int
    lots: int
    maker: SimOrder | None
    """None: background quantity."""


class LevelChange(NamedTuple):
    """A displayed level changed; absolute lots, 0 = gone."""

    side_flag: int
    price: int
    lots: int


class Market:
    """Book and resting orders of one instrument. Knows nothing of accounts, fees or order life cycles."""

    __slots__ = (
        "_own",
        "_taken",
        "bbo_id",
        "book",
        "changes",
        "index",
        "is_recorded",
        "last_price",
        "next_trade_id",
        "rules",
    )

    def __init__(
        self, index: int, rules: MarketRules, *, recorded: LadderBook | None = None, first_trade_id: int = 1
    ) -> None:
        """`recorded` is the book of a recorded background; None = a live one, in a book of its own."""
        self.index = index
        self.rules = rules
        self.is_recorded = recorded is not None
        self.book = Book() if recorded is None else recorded
        self.last_price = 0
        """Ticks of the last trade; 0 before the first."""
        self.next_trade_id = first_trade_id
        self.changes: list[LevelChange] = []
        """Displayed changes of a live market since somebody drained them."""
        self.bbo_id = 0
        """Update id of the newest BBO row of a recording; book rows older than it are not believed at the touch."""
        self._own: dict[Side, dict[int, list[SimOrder]]] = {Side.BUY: {}, Side.SELL: {}}
        self._taken: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}

    # --- what is there ---------------------------------------------------------------------------------------------

    def levels(self, side: Side) -> Mapping[int, int]:
        """Return the background levels of one side: ticks -> lots."""
        return self.book.bids if side is Side.BUY else self.book.asks

    def own_orders(self, side: Side) -> dict[int, list[SimOrder]]:
        """Return our resting orders of one side: ticks -> orders in time priority."""
        return self._own[side]

    def watched(self, side: Side) -> set[int]:
        """Return the prices at which a recorded level means something to us: we rest there, or took from it."""
        return {*self._own[side], *self._taken[side]}

    def background_at(self, side: Side, price: int) -> int:
        """Return the background lots at a price that are still to be had."""
        lots = self.levels(side).get(price, 0)
        if self.is_recorded and lots:
            lots = max(0, lots - self._taken[side].get(price, 0))
        return lots

    def displayed_at(self, side: Side, price: int) -> int:
        """Return what the venue shows at a price: background plus ours."""
        return self.levels(side).get(price, 0) + sum(order.leaves_lots for order in self._own[side].get(price, ()))

    def best(self, side: Side) -> int | None:
        """Return the best price of a side with anything to trade, ours included."""
        background = self._best_background(side)
        own = self._own[side]
        if not own:
            return background
        best_own = max(own) if side is Side.BUY else min(own)
        if background is None:
            return best_own
        return max(background, best_own) if side is Side.BUY else min(background, best_own)

    def _best_background(self, side: Side) -> int | None:
        price = self.book.best_bid if side is Side.BUY else self.book.best_ask
        if price is None or not self._taken[side] or self.background_at(side, price):
            return price
        available = [p for p in self.levels(side) if self.background_at(side, p)]
        if not available:
            return None
        return max(available) if side is Side.BUY else min(available)

    def reference_price(self, taker: Side) -> int:
        """Return the last price, or what a taker would meet while nothing has traded yet, or 0."""
        return self.last_price or self.best(taker.opposite) or 0

    def next_piece(self, taker: Side, limit: int) -> Piece | None:
        """Return what a taker meets first at or within `limit` ticks (0 = any price), None when there is nothing."""
        maker_side = taker.opposite
        price = self.best(maker_side)
        if price is None or (limit and (price > limit if taker is Side.BUY else price < limit)):
            return None
        resting = self._own[maker_side].get(price)
        background = self.background_at(maker_side, price)
        if resting:
            first = resting[0]
            ahead = min(first.queue_ahead, background)
            return Piece(price, ahead, None) if ahead else Piece(price, first.leaves_lots, first)
        return Piece(price, background, None)

    def available_lots(self, taker: Side, limit: int, wanted: int) -> int:
        """Return how much of `wanted` could trade at once within `limit`; for fill-or-kill."""
        found = 0
        for _, lots in self._levels_within(taker, limit):
            found += lots
            if found >= wanted:
                return wanted
        return found

    def cost_of(self, taker: Side, lots: int) -> int:
        """Return the quote Money of taking up to `lots` from the book as it is."""
        money = 0
        for price, available in self._levels_within(taker, 0):
            part = min(lots, available)
            money += part * price
            lots -= part
            if not lots:
                break
        return money * self.rules.money_per_tick_lot

    def lots_for_quote(self, taker: Side, quote_money: int) -> int:
        """Return how many lots `quote_money` buys or brings on the book as it is, rounded down."""
        lots = 0
        unit = self.rules.money_per_tick_lot
        for price, available in self._levels_within(taker, 0):
            part = min(available, quote_money // (price * unit))
            lots += part
            quote_money -= part * price * unit
            if part < available:
                break
        return lots

    def _levels_within(self, taker: Side, limit: int) -> list[tuple[int, int]]:
        side = taker.opposite
        prices = set(self.levels(side)) | set(self._own[side])
        if limit:
            prices = {p for p in prices if (p <= limit if taker is Side.BUY else p >= limit)}
        return [
            (p, self.background_at(side, p) + sum(order.leaves_lots for order in self._own[side].get(p, ())))
            for p in sorted(prices, reverse=side is Side.BUY)
        ]

    # --- our orders ------------------------------------------------------------------------------------------------

    def rest(self, order: SimOrder) -> None:
        """Put an order at the end of the queue at its price."""
        side, price = order.terms.side, order.terms.price
        order.queue_ahead = self.background_at(side, price)
        self._own[side].setdefault(price, []).append(order)
        self._show(side, price)

    def remove(self, order: SimOrder) -> None:
        """Take an order off the book (filled, canceled or expired)."""
        side, price = order.terms.side, order.terms.price
        resting = self._own[side][price]
        resting.remove(order)
        if not resting:
            del self._own[side][price]
        self._show(side, price)

    def shown_changed(self, order: SimOrder) -> None:
        """Note that an order on the book has a new remaining quantity."""
        self._show(order.terms.side, order.terms.price)

    # --- the background --------------------------------------------------------------------------------------------

    def take_background(self, side: Side, price: int, lots: int) -> None:
        """Eat background quantity at a level of `side`: gone from a live book, remembered against a recorded one."""
        if self.is_recorded:
            taken = self._taken[side]
            taken[price] = taken.get(price, 0) + lots
        else:
            self._put(side, price, self.levels(side)[price] - lots)
        self.advance_queue(side, price, lots)

    def advance_queue(self, side: Side, price: int, lots: int) -> None:
        """Background lots ahead of us at this price traded."""
        for order in self._own[side].get(price, ()):
            order.queue_ahead = max(0, order.queue_ahead - lots)

    def set_background(self, side: Side, price: int, lots: int) -> None:
        """Set the absolute background quantity of a level (0 deletes it)."""
        if self.is_recorded:
            self._taken[side].pop(price, None)
        self._put(side, price, lots)
        for order in self._own[side].get(price, ()):
            order.queue_ahead = min(order.queue_ahead, lots)

    def set_touch(self, side: Side, price: int, lots: int, update_id: int) -> None:
        """Apply one side of a recorded best bid or offer: better levels are gone, this one has `lots`."""
        self.bbo_id = update_id
        levels = self.levels(side)
        while (best := self.book.best_bid if side is Side.BUY else self.book.best_ask) is not None and (
            best > price if side is Side.BUY else best < price
        ):
            self.set_background(side, best, 0)
        if levels.get(price, 0) != lots:
            self.set_background(side, price, lots)

    def set_recorded_level(self, side: Side, price: int, lots: int, update_id: int) -> None:
        """Apply one level of a recorded book event, unless a newer BBO already says more about this price."""
        if update_id < self.bbo_id:
            best = self.book.best_bid if side is Side.BUY else self.book.best_ask
            if best is not None and (price >= best if side is Side.BUY else price <= best):
                return
        self.set_background(side, price, lots)

    def clear_background(self) -> None:
        """Forget the background (a snapshot follows); our orders keep their queue position until it is known."""
        self.book.clear()
        self._taken[Side.BUY].clear()
        self._taken[Side.SELL].clear()
        self.bbo_id = 0

    def _put(self, side: Side, price: int, lots: int) -> None:
        self.book.set_level(BUY_FLAG if side is Side.BUY else SELL_FLAG, price, lots)
        self._show(side, price)

    def _show(self, side: Side, price: int) -> None:
        if not self.is_recorded:
            flag = BUY_FLAG if side is Side.BUY else SELL_FLAG
            self.changes.append(LevelChange(flag, price, self.displayed_at(side, price)))
