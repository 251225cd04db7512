"""Best bid and offer per instrument as riskd last saw them. Volatile: never journaled, gone after a restart.

Rows come as the columns of the market data stream. A view that is not LIVE, too old, one-sided or crossed is no input
for a check; the last good prices are kept apart, for reducing orders and for marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from riskd.units import UNIT, to_units
from tradebot.core.instruments import Instrument
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, BookState, RowKind

_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_STATE: Final = int(RowKind.BOOK_STATE)


class Columns(Protocol):
    """Rows as columns of equal length: `RowColumns` or the wire message itself."""

    @property
    def kind(self) -> Sequence[int]: ...
    @property
    def instrument(self) -> Sequence[int]: ...
    @property
    def side_flags(self) -> Sequence[int]: ...
    @property
    def price(self) -> Sequence[int]: ...
    @property
    def receive_time_ns(self) -> Sequence[int]: ...


class MarketView:
    """One instrument. Prices in units, 0 = none."""

    __slots__ = ("ask", "bid", "good_ask", "good_bid", "good_ns", "last_price", "state", "tick", "updated_ns")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.bid = 0
        self.ask = 0
        self.last_price = 0
        """Last public trade."""
        self.state: int = 0
        """BookState value, 0 = never told."""
        self.updated_ns = 0
        """Receive time of the last row of any kind."""
        self.good_bid = 0
        self.good_ask = 0
        self.good_ns = 0
        """When bid and ask were last both there and uncrossed on a LIVE book; 0 = never."""

    @property
    def is_good(self) -> bool:
        """True when both sides are there, uncrossed, on a LIVE book."""
        return self.state == BookState.LIVE and 0 < self.bid < self.ask

    def keep_good(self, now_ns: int) -> None:
        """Remember the prices if they are good."""
        if self.state == BookState.LIVE and 0 < self.bid < self.ask:
            self.good_bid, self.good_ask, self.good_ns = self.bid, self.ask, now_ns


class MarketBoard:
    """All views, by instrument id and by the stream's column index."""

    def __init__(self, currency: str) -> None:
        self.views: dict[str, MarketView] = {}
        self._by_index: dict[int, MarketView] = {}
        self._currency = currency
        self._price_of: dict[str, str] = {}
        """Asset -> instrument whose bid and ask value it."""

    def set_asset_prices(self, price_of: dict[str, str]) -> None:
        """Say which instrument values which asset in account currency."""
        self._price_of = price_of

    def bind(self, instruments: Iterable[tuple[int, Instrument]]) -> None:
        """A stream began: (column index, instrument) of everything in it. Views stay, indexes are new."""
        self._by_index = {}
        for index, instrument in instruments:
            view = self.views.get(instrument.instrument_id)
            if view is None:
                view = self.views[instrument.instrument_id] = MarketView(to_units(instrument.tick_size))
            self._by_index[index] = view

    def lost(self) -> None:
        """The stream ended: no book is known to be true any more."""
        for view in self.views.values():
            view.state = 0

    def apply(self, rows: Columns) -> None:
        """Fold a batch. Rows of unknown instruments or kinds are ignored."""
        views = self._by_index
        for kind, index, flags, price, receive_ns in zip(
            rows.kind, rows.instrument, rows.side_flags, rows.price, rows.receive_time_ns, strict=True
        ):
            view = views.get(index)
            if view is None:
                continue
            view.updated_ns = receive_ns
            if kind == _BBO:
                if flags & SIDE_MASK == BUY_FLAG:
                    view.bid = price * view.tick
                else:
                    view.ask = price * view.tick
                if flags & LAST_FLAG:  # between the two sides of one event the pair is half old
                    view.keep_good(receive_ns)
            elif kind == _TRADE:
                view.last_price = price * view.tick
            elif kind == _STATE:
                view.state = price
                if price != BookState.LIVE:
                    view.bid = view.ask = 0
                else:
                    view.keep_good(receive_ns)

    def rate(self, asset: str, long: bool = True) -> int | None:
        """Return account currency per unit of an asset: bid when long, ask when short; None = no mark."""
        if asset == self._currency:
            return UNIT
        view = self.views.get(self._price_of.get(asset, ""))
        if view is None or not view.good_ns:
            return None
        return view.good_bid if long else view.good_ask

    def has_market(self, asset: str) -> bool:
        """Return whether some instrument values this asset, be it with or without a mark yet."""
        return asset in self._price_of

    def age_ns(self, asset: str, now_ns: int) -> int:
        """Return how old the mark of an asset is; 0 for the account currency."""
        view = self.views.get(self._price_of.get(asset, ""))
        return 0 if view is None else now_ns - view.good_ns
