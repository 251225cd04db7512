"""How facts become rows. Column by column where a fact has many rows: 0.1 us per level, a fourth of row by row."""

from __future__ import annotations

from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, RowColumns, RowKind
from tradebot.venues.api import TradeEvent

Touch = tuple[int, int, int, int]
"""Best bid ticks and lots, best ask ticks and lots; 0, 0 for an empty side."""


class RowWriter:
    """Writes rows of one instrument to the end of `rows`."""

    __slots__ = ("_instrument", "rows")

    def __init__(self, instrument: int, rows: RowColumns) -> None:
        self._instrument = instrument
        self.rows = rows

    def trade(self, trade: TradeEvent, receive_time_ns: int) -> None:
        """One public trade."""
        self.rows.append(
            (
                RowKind.TRADE,
                self._instrument,
                trade.aggressor | LAST_FLAG,
                trade.price,
                trade.qty,
                trade.trade_id,
                trade.event_time_ns,
                receive_time_ns,
            )
        )

    def touch(self, touch: Touch, update_id: int, event_time_ns: int, receive_time_ns: int) -> None:
        """Best bid and offer: two rows."""
        bid, bid_qty, ask, ask_qty = touch
        instrument, append = self._instrument, self.rows.append
        append((RowKind.BBO, instrument, BUY_FLAG, bid, bid_qty, update_id, event_time_ns, receive_time_ns))
        append(
            (RowKind.BBO, instrument, SELL_FLAG | LAST_FLAG, ask, ask_qty, update_id, event_time_ns, receive_time_ns)
        )

    def state(self, state: BookState, update_id: int, event_time_ns: int, receive_time_ns: int) -> None:
        """The book's state."""
        self.rows.append(
            (RowKind.BOOK_STATE, self._instrument, LAST_FLAG, state, 0, update_id, event_time_ns, receive_time_ns)
        )

    def changes(
        self,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        update_id: int,
        event_time_ns: int,
        receive_time_ns: int,
    ) -> None:
        """Changed levels of one venue event."""
        self._levels(RowKind.BOOK_LEVEL, bids, asks, update_id, event_time_ns, receive_time_ns)

    def book(
        self,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        update_id: int,
        event_time_ns: int,
        receive_time_ns: int,
    ) -> None:
        """A whole book."""
        self.rows.append((RowKind.BOOK_CLEAR, self._instrument, 0, 0, 0, update_id, event_time_ns, receive_time_ns))
        self._levels(RowKind.SNAPSHOT_LEVEL, bids, asks, update_id, event_time_ns, receive_time_ns)
        self.rows.side_flags[-1] |= LAST_FLAG

    def _levels(
        self,
        kind: int,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        update_id: int,
        event_time_ns: int,
        receive_time_ns: int,
    ) -> None:
        levels = bids + asks
        count = len(levels)
        if not count:
            return
        rows = self.rows
        flags = [BUY_FLAG] * len(bids) + [SELL_FLAG] * len(asks)
        flags[-1] |= LAST_FLAG
        rows.kind += [kind] * count
        rows.instrument += [self._instrument] * count
        rows.side_flags += flags
        rows.price += [price for price, _ in levels]
        rows.qty += [qty for _, qty in levels]
        rows.id += [update_id] * count
        rows.event_time_ns += [event_time_ns] * count
        rows.receive_time_ns += [receive_time_ns] * count
