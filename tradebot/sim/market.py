"""One market of a simulated venue: the kernels' state, driven call by call. Nothing is decided here.

Two kinds of background:
* live: the book is ours to change. What a taker eats is gone, our orders are shown, our fills print.
* recorded: the book is history. What our takers ate is remembered per level until the recording touches that level
  again, so the same displayed quantity is never used twice (`FillModel.impact`); our orders are not shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradebot.core.columns import MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.core.market import BUY_FLAG, SELL_FLAG, RowKind
from tradebot.core.orders import OrderType, Side, TimeInForce
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels import meeting, venue
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.memory import Handle
from tradebot.sim.kernels.queues import FIFO
from tradebot.sim.kernels.requests import would_take
from tradebot.sim.kernels.simulator import ERRORS, Simulator
from tradebot.sim.kernels.stops import first_triggered, reaches
from tradebot.sim.kernels.terms import Market as Terms
from tradebot.sim.kernels.terms import Queue
from tradebot.sim.ladder_room import LadderRoom
from tradebot.sim.orders import NewOrder, SelfTradePrevention
from tradebot.sim.rules import MarketRules

Int64s = NDArray[np.int64]

MAX_MESSAGES: Final = 1 << 16
"""Reports of one call: a sweep through more prices than this is no book we know."""
FIRST_LISTED: Final = 4_096
"""Levels for which there is room at first when a side is listed."""
_NOTHING: Final = np.zeros(0, np.int64)
PRICED: Final = frozenset({RowKind.TRADE, RowKind.BBO, RowKind.BOOK_LEVEL, RowKind.SNAPSHOT_LEVEL})
"""Rows whose price needs a place in the ladder."""
_PREVENTION: Final = {
    SelfTradePrevention.NONE: 0,
    SelfTradePrevention.EXPIRE_TAKER: at.EXPIRE_TAKER,
    SelfTradePrevention.EXPIRE_MAKER: at.EXPIRE_MAKER,
    SelfTradePrevention.EXPIRE_BOTH: at.EXPIRE_BOTH,
}
_TIME_IN_FORCE: Final = {
    TimeInForce.GTC: at.GTC,
    TimeInForce.GTD: at.GTC,  # the engine's clock ends it
    TimeInForce.IOC: at.IOC,
    TimeInForce.FOK: at.FOK,
}


@dataclass(frozen=True, slots=True)
class FillModel:
    """What is assumed about our orders where the background is a recording, which does not know them."""

    queue: Queue = field(default_factory=Queue)
    """How our place in a level's queue is estimated."""
    partial_fills: bool = True
    """False: a taker is done in full at the best price, a maker in full with the first trade that reaches him."""
    impact: bool = True
    """What our takers took is gone until the recording touches the level again, and a trade fills us once. Needs
    partial fills."""

    def __post_init__(self) -> None:
        """Raise InvariantError for what does not go together."""
        if self.impact and not self.partial_fills:
            raise InvariantError("impact needs partial_fills: a full fill at the best price knows no liquidity")
        if self.queue.model == FIFO:
            raise InvariantError("the rows of a venue carry no order ids: no FIFO queue")


class LevelChange(NamedTuple):
    """A displayed level changed; absolute lots, 0 = gone."""

    side_flag: int
    price: int
    lots: int


DEFAULT_FILLS: Final = FillModel()


class Message(NamedTuple):
    """What the kernels report, in the order of their response ring (`kernels.layout`)."""

    time_ns: int
    slot: int
    kind: int
    order_id: int
    price: int
    lots: int
    leaves_lots: int
    maker: int


class Market:
    """Book and resting orders of one instrument. Knows nothing of accounts, fees or order life cycles."""

    __slots__ = (
        "_address",
        "_ahead",
        "_block",
        "_free",
        "_handle",
        "_listed",
        "_ring",
        "_simulator",
        "_words",
        "changes",
        "cover",
        "index",
        "is_recorded",
        "next_trade_id",
        "rules",
    )

    def __init__(
        self,
        index: int,
        rules: MarketRules,
        *,
        is_recorded: bool,
        max_orders: int,
        fill_model: FillModel = DEFAULT_FILLS,
    ) -> None:
        """`max_orders` open orders, all accounts together, fit at most; `fill_model` is of recorded markets."""
        self.index = index
        self.rules = rules
        self.is_recorded = is_recorded
        self.next_trade_id = 1
        self.changes: list[LevelChange] = []
        """Displayed changes of a live market since somebody drained them."""
        slots = 1 << (max_orders - 1).bit_length()
        no_rows = MarketColumns(_NOTHING, _NOTHING, np.zeros(0, np.uint8), _NOTHING, _NOTHING)
        terms = Terms(
            Feed(no_rows, 0, 0, 0, one_order=True),
            Decimal(1),
            rules.instrument.lot_size,  # of queue models that count in base units
            queue=fill_model.queue,
            partial_fills=fill_model.partial_fills or not is_recorded,
            impact=fill_model.impact,
            max_orders=slots,
        )
        self._simulator = Simulator([terms])  # keeps the memory alive
        self._block = self._simulator.block()
        self._words = w = self._block.words
        self._ahead: NDArray[np.float64] = self._block.orders.view(np.float64)[:, at.F_AHEAD]
        self._address = int(w.ctypes.data)
        self._handle = Handle(self._address)
        self._free = list(range(slots - 1, -1, -1))
        w[at.MEETING] = 1
        if not is_recorded:
            w[at.IMPACT] = at.BOOK_IS_OURS
        self._ring = np.zeros((MAX_MESSAGES, at.MESSAGE_WORDS), np.int64)
        w[at.RESPONSES], w[at.RESPONSE_MASK] = self._ring.ctypes.data, MAX_MESSAGES - 1
        self.cover: Final = LadderRoom(self._block, rules.instrument.instrument_id).cover
        """Makes room for a price; False when there was."""
        self._listed = np.zeros((2, FIRST_LISTED), np.int64)

    # --- what is there ---------------------------------------------------------------------------------------------

    @property
    def address(self) -> int:
        """Where the kernels find this market."""
        return self._address

    @property
    def last_price(self) -> int:
        """Ticks of the last trade; 0 before the first."""
        index = int(self._words[at.LAST_TRADE])
        return index + int(self._words[at.BASE]) if index >= 0 else 0

    @last_price.setter
    def last_price(self, price: int) -> None:
        self.cover(price)
        self._words[at.LAST_TRADE] = price - int(self._words[at.BASE]) if price else -1

    @property
    def position(self) -> int:
        """Signed lots that our orders have traded: what reduce-only orders reduce."""
        return int(self._words[at.X_POSITION])

    @position.setter
    def position(self, lots: int) -> None:
        self._words[at.X_POSITION] = lots

    @property
    def waiting_count(self) -> int:
        """Orders that wait for a trigger."""
        return int(self._words[at.WAITING_COUNT])

    def best(self, side: Side) -> int | None:
        """Return the best price of a side with anything to trade, ours included."""
        return self._price(meeting.best_offer(self._words, side.sign))  # type: ignore[arg-type]

    def best_background(self, side: Side) -> int | None:
        """Return the best displayed price of the background."""
        return self._price(int(self._words[at.BEST_BID if side is Side.BUY else at.BEST_ASK]))

    @property
    def touch(self) -> tuple[int, int, int, int]:
        """Background's best bid ticks and lots, best ask ticks and lots; 0, 0 for an empty side."""
        bid, ask = self.best_background(Side.BUY) or 0, self.best_background(Side.SELL) or 0
        return bid, self.background_at(Side.BUY, bid), ask, self.background_at(Side.SELL, ask)

    def background_at(self, side: Side, price: int) -> int:
        """Return the background lots displayed at a price."""
        listed = self._words[at.BASE]
        if not price or not listed < price < listed + self._words[at.TOP]:
            return 0
        return venue.displayed(self._words, side.sign, price)  # type: ignore[arg-type]

    def displayed_at(self, side: Side, price: int) -> int:
        """Return what a live venue shows at a price: background plus ours."""
        base = int(self._words[at.BASE])
        if not base < price < base + int(self._words[at.TOP]):
            return 0
        return meeting.offered_at(self._words, side.sign, price - base)  # type: ignore[arg-type]

    def levels(self, side: Side, limit: int | None = None) -> dict[int, int]:
        """Return the background levels of one side as displayed: ticks -> lots, best first."""
        return dict(self._list(venue.list_levels, side, limit))

    def offers(self, side: Side, limit: int | None = None) -> list[tuple[int, int]]:
        """Return what can be taken, ours included: (ticks, lots), best first."""
        return self._list(venue.list_offers, side, limit)

    def has_orders(self, side: Side) -> bool:
        """True when an order of ours rests on a side."""
        w = self._words
        return bool(w[at.MY_BID] >= 0 if side is Side.BUY else w[at.MY_ASK] <= w[at.TOP])

    def reference_price(self, taker: Side) -> int:
        """Return the last price, or what a taker would meet while nothing has traded yet, or 0."""
        return self.last_price or self.best(taker.opposite) or 0

    def would_take(self, side: Side, price: int) -> bool:
        """True when a limit order would trade at once."""
        self.cover(price)
        return would_take(self._words, side.sign, price - int(self._words[at.BASE]))  # type: ignore[arg-type]

    def cost_of(self, taker: Side, lots: int) -> int:
        """Return the quote Money of taking up to `lots` from the book as it is."""
        found: int = meeting.cost_of(self._words, taker.sign, lots)  # type: ignore[arg-type]
        return found * self.rules.money_per_tick_lot

    def lots_for_quote(self, taker: Side, quote_money: int) -> int:
        """Return how many lots `quote_money` buys or brings on the book as it is, rounded down."""
        value = min(quote_money // self.rules.money_per_tick_lot, at.VALUE_BOUND)
        return meeting.lots_for(self._words, taker.sign, value)  # type: ignore[arg-type]

    def queue_ahead(self, slot: int) -> int:
        """Return the background lots that must trade at an order's price before it."""
        return round(float(self._ahead[slot]))

    # --- our orders ------------------------------------------------------------------------------------------------

    def place(self, order_id: int, new: NewOrder, lots: int, account: int, budget: int, now_ns: int) -> int:
        """Let an order arrive.

        Args:
            order_id: The venue's.
            new: What was asked for.
            lots: Quantity, also of an order by quote amount.
            account: Number of the account; its orders do not trade with each other unless they say so.
            budget: Tick-lots that it may spend as a taker, or NO_BUDGET.
            now_ns: Time of arrival.

        Returns:
            Its slot, which is its own until `free`.
        """
        if new.price:
            self.cover(new.price)
        slot = self._free.pop()
        venue.place(
            self._address,
            slot,
            order_id,
            new.side.sign,
            new.price,
            lots,
            _kind(new),
            new.stop_price,
            account,
            _PREVENTION[new.self_trade_prevention],
            budget,
            now_ns,
        )
        return slot

    def withdraw(self, slot: int) -> None:
        """Take an order out of the book or off the list of those that wait."""
        venue.withdraw(self._address, slot)

    def free(self, slot: int) -> None:
        """Say that a slot's order is no more."""
        self._free.append(slot)

    def is_triggered(self, new: NewOrder) -> bool:
        """True when the last price has reached an order's trigger: stops against us, take-profits in our favour."""
        last = self.last_price
        return last > 0 and reaches(new.side.sign, _kind(new), new.stop_price, last)

    def first_triggered(self) -> int | None:
        """Return the order id of the oldest order whose trigger the last price has reached."""
        last = int(self._words[at.LAST_TRADE])
        slot = first_triggered(self._words, last) if last >= 0 else -1  # type: ignore[arg-type]
        return int(self._orders(slot)[at.ID]) if slot >= 0 else None

    def fire(self, slot: int, budget: int, now_ns: int) -> None:
        """Send an order whose trigger was reached on to the book."""
        venue.fire(self._address, slot, budget, now_ns)

    def take_messages(self) -> list[Message]:
        """Return what the kernels reported since the last call."""
        w = self._words
        if error := int(w[at.ERROR]):
            raise InvariantError(f"{self.rules.instrument.instrument_id}: {ERRORS[error]}")
        count = int(w[at.RESPONSE_TAIL])
        if not count:
            return []
        w[at.RESPONSE_HEAD] = w[at.RESPONSE_TAIL] = 0
        return [Message(*line) for line in self._ring[:count].tolist()]

    # --- the background --------------------------------------------------------------------------------------------

    def take_from_book(self, taker: Side, lots: int, limit: int, now_ns: int) -> int:
        """Let the rest of the world take up to `lots` within `limit` ticks (0 = any price); return what is left."""
        if limit:
            self.cover(limit)
        return venue.take_from_book(self._handle, taker.sign, lots, limit, now_ns)

    def set_background(self, side: Side, price: int, lots: int) -> None:
        """Set the absolute background quantity of a level (0 deletes it)."""
        self.cover(price)
        venue.change_level(self._handle, side.sign, price - int(self._words[at.BASE]), lots)
        self.show(side, price)

    def apply_row(self, kind: int, side_flags: int, price: int, qty: int, row_id: int, now_ns: int) -> None:
        """Let one row of a recording happen."""
        if kind in PRICED:
            self.cover(price)
        venue.apply_row(self._address, int(kind), side_flags, price, qty, row_id, now_ns)

    def clear_background(self) -> None:
        """Forget the background (a snapshot follows); our orders keep their queue position until it is known."""
        venue.clear(self._handle)

    def show(self, side: Side, price: int) -> None:
        """Note that what a live market displays at a price has changed."""
        if not self.is_recorded:
            flag = BUY_FLAG if side is Side.BUY else SELL_FLAG
            self.changes.append(LevelChange(flag, price, self.displayed_at(side, price)))

    # --- inside ----------------------------------------------------------------------------------------------------

    def _orders(self, slot: int) -> Int64s:
        found: Int64s = self._block.orders[slot]
        return found

    def _price(self, index: int) -> int | None:
        w = self._words
        return index + int(w[at.BASE]) if 0 < index < w[at.TOP] else None

    def _list(self, lister: object, side: Side, limit: int | None) -> list[tuple[int, int]]:
        while True:
            prices, lots = self._listed[:, :limit]
            count = lister(self._words, side.sign, prices, lots)  # type: ignore[operator]
            if count < len(prices) or count == limit:
                return list(zip(prices[:count].tolist(), lots[:count].tolist(), strict=True))
            self._listed = np.zeros((2, 2 * self._listed.shape[1]), np.int64)


def _kind(new: NewOrder) -> int:
    """Return the kernels' code of an order's type and time in force."""
    kind = _TIME_IN_FORCE[new.time_in_force] if new.has_limit else at.MARKET
    if new.post_only:
        kind = at.POST_ONLY
    if new.reduce_only:
        kind |= at.REDUCE_ONLY
    if new.order_type in (OrderType.STOP, OrderType.STOP_LIMIT):
        kind |= at.STOP
    elif new.has_trigger:
        kind |= at.TAKE_PROFIT
    return kind
