"""Builders for books: a market whose true book is known after every update id, and a reader that folds rows."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from tradebot.core.books import Book
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, SIDE_MASK, BookState, MarketRow, RowColumns, RowKind
from tradebot.venues.api import BboEvent, BookDelta, BookSnapshot, TradeEvent

S: Final = 1_000_000_000
MS: Final = 1_000_000
T0: Final = 1_700_000_000 * S

Levels = dict[int, int]


def delta(
    first_id: int,
    last_id: int | None = None,
    bids: list[tuple[int, int]] | None = None,
    asks: list[tuple[int, int]] | None = None,
    *,
    instrument: int = 0,
    event_time_ns: int = T0,
) -> BookDelta:
    """Return a diff; by default one id and no level."""
    return BookDelta(instrument, first_id, last_id or first_id, event_time_ns, bids or [], asks or [])


def snapshot(
    last_id: int,
    bids: list[tuple[int, int]] | None = None,
    asks: list[tuple[int, int]] | None = None,
    instrument: int = 0,
) -> BookSnapshot:
    """Return a snapshot with one level per side unless told otherwise."""
    return BookSnapshot(
        instrument, last_id, 0, [(100, 5)] if bids is None else bids, [(101, 7)] if asks is None else asks
    )


def bbo(update_id: int, bid: int = 100, bid_qty: int = 5, ask: int = 101, ask_qty: int = 7) -> BboEvent:
    """Return a best bid and offer that fits `snapshot()`."""
    return BboEvent(0, update_id, bid, bid_qty, ask, ask_qty, 0)


def trade(trade_id: int, price: int = 100, qty: int = 1, instrument: int = 0, event_time_ns: int = T0) -> TradeEvent:
    """Return a public trade."""
    return TradeEvent(instrument, BUY_FLAG, price, qty, trade_id, event_time_ns)


@dataclass
class TrueMarket:
    """A seeded market: one level changes with each update id; bids stay below 50, asks above."""

    rng: random.Random
    first_id: int = 1_000
    bids: list[Levels] = field(default_factory=lambda: [{49: 3}])
    asks: list[Levels] = field(default_factory=lambda: [{50: 4}])
    changes: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def last_id(self) -> int:
        """Id of the newest change."""
        return self.first_id + len(self.changes)

    def step(self, count: int = 1) -> None:
        """Make changes."""
        for _ in range(count):
            is_bid = self.rng.random() < 0.5
            price = self.rng.randint(40, 49) if is_bid else self.rng.randint(50, 59)
            qty = self.rng.choice((0, 0, 1, 2, 3))
            bids, asks = dict(self.bids[-1]), dict(self.asks[-1])
            _set(bids if is_bid else asks, price, qty)
            self.bids.append(bids)
            self.asks.append(asks)
            self.changes.append((BUY_FLAG if is_bid else SELL_FLAG, price, qty))

    def at(self, update_id: int) -> tuple[Levels, Levels]:
        """Return the true book after an id."""
        return self.bids[update_id - self.first_id], self.asks[update_id - self.first_id]

    def touch(self, update_id: int) -> tuple[int, int, int, int]:
        """Return the true best bid and offer after an id."""
        bids, asks = self.at(update_id)
        bid, ask = max(bids, default=0), min(asks, default=0)
        return bid, bids.get(bid, 0), ask, asks.get(ask, 0)

    def delta(self, first_id: int, last_id: int) -> BookDelta:
        """Return the diff of a range of ids: last quantity per level."""
        bids: Levels = {}
        asks: Levels = {}
        for side, price, qty in self.changes[first_id - self.first_id - 1 : last_id - self.first_id]:
            (bids if side == BUY_FLAG else asks)[price] = qty
        return delta(first_id, last_id, list(bids.items()), list(asks.items()), event_time_ns=T0 + last_id)

    def bbo(self, update_id: int) -> BboEvent:
        """Return the venue's message about an id."""
        return BboEvent(0, update_id, *self.touch(update_id), 0)

    def snapshot(self, update_id: int) -> BookSnapshot:
        """Return the full book after an id."""
        bids, asks = self.at(update_id)
        return BookSnapshot(0, update_id, 0, list(bids.items()), list(asks.items()))


class RowReader:
    """What a subscriber knows from rows alone."""

    def __init__(self) -> None:
        self.book = Book()
        self.state = BookState.SYNCING
        self.update_id = 0
        self.touch = [0, 0, 0, 0]
        self.touch_id = 0
        self.trades: list[MarketRow] = []
        self.states: list[BookState] = []
        self.rows = 0

    def fold(self, rows: RowColumns) -> None:
        """Take in rows."""
        for row in rows.rows():
            self.rows += 1
            self._fold(row)

    def _fold(self, row: MarketRow) -> None:
        side = row.side_flags & SIDE_MASK
        match row.kind:
            case RowKind.BOOK_CLEAR:
                self.book.clear()
            case RowKind.BOOK_LEVEL | RowKind.SNAPSHOT_LEVEL:
                self.book.set_level(side, row.price, row.qty)
            case RowKind.BOOK_STATE:
                self.state = BookState(row.price)
                self.states.append(self.state)
            case RowKind.BBO:
                at = 0 if side == BUY_FLAG else 2
                self.touch[at : at + 2] = [row.price, row.qty]
                self.touch_id = row.id
            case RowKind.TRADE:
                self.trades.append(row)
        if row.side_flags & LAST_FLAG and row.kind in (
            RowKind.BOOK_LEVEL,
            RowKind.SNAPSHOT_LEVEL,
            RowKind.BOOK_CLEAR,
        ):
            self.update_id = row.id


def _set(levels: Levels, price: int, qty: int) -> None:
    if qty:
        levels[price] = qty
    else:
        levels.pop(price, None)
