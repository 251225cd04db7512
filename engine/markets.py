"""What the engine knows about each market: best prices, last trade, state of the book, bars being built.

A market's prices count only while its book is LIVE; `bid` and `ask` are 0 when they are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.bars import NEVER_NS, Bar, BarBuilder, Scale
from tradebot.core.instruments import Instrument, Product
from tradebot.core.ladder import LadderBook, Ladders
from tradebot.core.market import BookState

if TYPE_CHECKING:
    from engine.runs import StrategyUnit

MAX_HELD_BARS: Final = 1_000
"""Closed bars kept while history is on its way; when more wait, the oldest is dropped and history has to cover it."""


class BarSeries:
    """Bars of one market and interval, and the strategies that get them.

    Until history was fed, closed bars are held: strategies see history first, then the held bars that follow it, each
    exactly once and in order of time.
    """

    __slots__ = ("builder", "dropped_bars", "fed", "held", "interval_ns", "last_close_ns", "units")

    def __init__(self, interval_ns: int, price: Scale, qty: Scale) -> None:
        self.interval_ns = interval_ns
        self.builder = BarBuilder(interval_ns, price, qty)
        self.units: list[StrategyUnit] = []
        self.fed = False
        """True once history was fed; from then on closed bars go straight to the strategies."""
        self.held: list[Bar] = []
        self.last_close_ns = 0
        """End of the newest bar that strategies have seen."""
        self.dropped_bars = 0

    def hold(self, bars: Sequence[Bar]) -> None:
        """Keep closed bars until history arrives."""
        self.held.extend(bars)
        excess = len(self.held) - MAX_HELD_BARS
        if excess > 0:
            del self.held[:excess]
            self.dropped_bars += excess

    def accept_history(self, bars: Sequence[Bar]) -> list[Bar]:
        """Return history and held bars that strategies have not seen, oldest first, and let later bars through."""
        self.fed = True
        unseen: list[Bar] = []
        for bar in (*bars, *self.held):
            if bar.open_time_ns >= self.last_close_ns:
                unseen.append(bar)
                self.last_close_ns = bar.close_time_ns
        self.held.clear()
        return unseen

    def reset(self) -> None:
        """Forget the bar being built: rows were missed, so history has to fill in."""
        self.builder.first_open_ns = self.builder.close_time_ns = NEVER_NS
        self.held.clear()
        self.fed = False


class Market:
    """One instrument as strategies see it. Prices are integer ticks, quantities integer lots; read only for them."""

    __slots__ = (
        "ask",
        "ask_qty",
        "bbo_units",
        "bid",
        "bid_qty",
        "book",
        "book_state",
        "instrument",
        "instrument_id",
        "ladder",
        "last_price",
        "last_qty",
        "last_side",
        "live",
        "next_close_ns",
        "price_scale",
        "qty_scale",
        "series",
        "trade_units",
    )

    def __init__(self, instrument: Instrument, ladders: Ladders | None = None) -> None:
        """`ladders` hold the books of all markets; None when no strategy asked for depth."""
        self.instrument = instrument
        self.instrument_id = instrument.instrument_id
        self.price_scale = Scale.of(instrument.tick_size)
        self.qty_scale = Scale.of(instrument.lot_size * instrument.contract_multiplier)
        self.bid = 0
        """Best bid in ticks, 0 when not known."""
        self.bid_qty = 0
        self.ask = 0
        """Best ask in ticks, 0 when not known."""
        self.ask_qty = 0
        self.last_price = 0
        """Ticks of the last trade, 0 before the first."""
        self.last_qty = 0
        self.last_side = 0
        """Side of its aggressor: BUY_FLAG or SELL_FLAG."""
        self.live = False
        """True while the book is LIVE. Entries are considered only then."""
        self.book_state = BookState.SYNCING
        self.ladder = 0 if ladders is None else ladders.add()
        self.book = None if ladders is None else LadderBook(ladders, self.ladder)
        """L2 book; None unless a strategy asked for depth."""
        self.series: dict[int, BarSeries] = {}
        """By interval in nanoseconds."""
        self.next_close_ns = NEVER_NS
        """Earliest end of a bar being built."""
        self.bbo_units: list[StrategyUnit] = []
        self.trade_units: list[StrategyUnit] = []

    @property
    def can_short(self) -> bool:
        """False for spot: nothing to sell that is not held."""
        return self.instrument.product is not Product.SPOT

    @property
    def bid_price(self) -> float:
        """Best bid in quote asset, for statistics."""
        return self.price_scale(self.bid)

    @property
    def ask_price(self) -> float:
        """Best ask in quote asset, for statistics."""
        return self.price_scale(self.ask)

    @property
    def mid_price(self) -> float:
        """Middle of bid and ask in quote asset, for statistics."""
        return self.price_scale(self.bid + self.ask) / 2.0

    def add_series(self, interval_ns: int) -> BarSeries:
        """Return the bars of an interval, building them from now on."""
        series = self.series.get(interval_ns)
        if series is None:
            series = self.series[interval_ns] = BarSeries(interval_ns, self.price_scale, self.qty_scale)
        return series

    def find_next_close(self) -> None:
        """Set `next_close_ns` from the bars being built."""
        self.next_close_ns = min((s.builder.close_time_ns for s in self.series.values()), default=NEVER_NS)

    def set_book_state(self, state: int) -> None:
        """Follow a BOOK_STATE row. Prices of a book that is not LIVE are forgotten."""
        self.book_state = BookState(state)
        self.live = state == BookState.LIVE
        if not self.live:
            self.bid = self.bid_qty = self.ask = self.ask_qty = 0
            if self.book is not None:
                self.book.clear()

    def lose(self) -> None:
        """The stream broke: nothing is known until it is back, and the bars being built are incomplete."""
        self.set_book_state(BookState.SYNCING)
        for series in self.series.values():
            series.reset()
        self.next_close_ns = NEVER_NS
