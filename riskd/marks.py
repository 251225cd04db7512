"""Best bid and offer per instrument as riskd last saw them. Volatile: never journaled, gone after a restart.

Rows come as the columns of the market data stream. A view that is not LIVE, too old, one-sided or crossed is no input
for a check; the last good prices are kept apart, for reducing orders and for marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from riskd.price_trail import PriceTrail
from riskd.references import Reference, reference_of
from riskd.units import UNIT, to_units
from riskd.valuation import Path
from riskd.volatility import STEP_NS, Volatility
from riskd.volume_trail import VolumeTrail
from tradebot.core.instruments import Instrument, Product
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SIDE_MASK, BookState, RowKind

_TRADE: Final = int(RowKind.TRADE)
_BBO: Final = int(RowKind.BBO)
_STATE: Final = int(RowKind.BOOK_STATE)
_MARK: Final = int(RowKind.MARK_PRICE)
_INDEX: Final = int(RowKind.INDEX_PRICE)
_LIVE: Final = int(BookState.LIVE)
FINE_UNITS: Final = UNIT // 10**8
"""Units of one step of a mark or index price, which no tick binds."""
_NOWHERE: Final[Path] = ()
HALF_LIFE_MIN: Final = 60
"""Of measured volatility where sizing asks for none."""


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
    def qty(self) -> Sequence[int]: ...
    @property
    def receive_time_ns(self) -> Sequence[int]: ...


class MarketView:
    """One instrument. Prices in units, 0 = none."""

    __slots__ = (
        "ask",
        "ask_qty",
        "bid",
        "bid_qty",
        "good_ask",
        "good_bid",
        "good_ns",
        "index_ns",
        "index_price",
        "instrument_id",
        "last_price",
        "lot",
        "mark_ns",
        "mark_price",
        "state",
        "tick",
        "traded",
        "updated_ns",
    )

    def __init__(self, instrument_id: str, tick: int, lot: int) -> None:
        self.instrument_id = instrument_id
        self.tick = tick
        self.lot = lot
        self.bid = 0
        self.ask = 0
        self.bid_qty = 0
        """At the best bid, units; meaningful with it alone."""
        self.ask_qty = 0
        self.last_price = 0
        """Last public trade."""
        self.mark_price = 0
        """The venue's mark price; derivatives only."""
        self.mark_ns = 0
        """When it was received."""
        self.index_price = 0
        """What the venue's derivative follows."""
        self.index_ns = 0
        self.traded = 0
        """Units of all public trades seen."""
        self.state: int = 0
        """BookState value, 0 = never told."""
        self.updated_ns = 0
        """Receive time of the last row of the book or its trades."""
        self.good_bid = 0
        self.good_ask = 0
        self.good_ns = 0
        """When bid and ask were last both there and uncrossed on a LIVE book; 0 = never."""

    @property
    def is_good(self) -> bool:
        """True when both sides are there, uncrossed, on a LIVE book."""
        return self.state == _LIVE and 0 < self.bid < self.ask

    def keep_good(self, now_ns: int) -> bool:
        """Remember the prices if they are good; return whether the ask is another than before."""
        if self.state != _LIVE or not 0 < self.bid < self.ask:
            return False
        before = self.good_ask
        self.good_bid, self.good_ask, self.good_ns = self.bid, self.ask, now_ns
        return self.good_ask != before


class MarketBoard:
    """All views, by instrument id and by the stream's column index."""

    def __init__(self, currency: str, *, mid_equity: bool = False, half_life_min: int = 0) -> None:
        """Build an empty board.

        Args:
            currency: Account currency.
            mid_equity: Whether equity is counted at mid instead of at conservative marks.
            half_life_min: Half-life of measured volatility; 0 = HALF_LIFE_MIN.
        """
        self.mid_equity = mid_equity
        self._half_life_min = half_life_min or HALF_LIFE_MIN
        self.views: dict[str, MarketView] = {}
        self._by_index: dict[int, MarketView] = {}
        self._currency = currency
        self.paths: dict[str, Path] = {}
        """Asset -> markets that value it."""
        self._volatility: dict[str, Volatility] = {}
        self.trails: dict[str, PriceTrail] = {}
        """Where the mids of good books were lately."""
        self.volumes: dict[str, VolumeTrail] = {}
        """What was traded lately."""
        self.references: dict[str, Reference] = {}
        """What others say the price is, where enough of them do."""
        self._twins: dict[tuple[str, str, Product], dict[str, MarketView]] = {}
        """(base, quote, product) -> venue -> the same market there."""
        self._sampled_ns = -STEP_NS
        self.moved: set[str] = set()
        """Instruments whose good ask changed since `ExposureSums` last looked."""

    def set_asset_paths(self, paths: dict[str, Path]) -> None:
        """Say which markets value which asset in account currency."""
        self.paths = paths

    def bind(self, instruments: Iterable[tuple[int, Instrument]]) -> None:
        """A stream began: (column index, instrument) of everything in it. Views stay, indexes and steps are new."""
        self._by_index, self._twins = {}, {}
        for index, instrument in instruments:
            tick, lot = to_units(instrument.tick_size), to_units(instrument.lot_size)
            view = self.views.get(instrument.instrument_id)
            if view is None:
                view = self.views[instrument.instrument_id] = MarketView(instrument.instrument_id, tick, lot)
            view.tick, view.lot = tick, lot
            self._by_index[index] = view
            pair = (instrument.base, instrument.quote, instrument.product)
            self._twins.setdefault(pair, {})[instrument.venue] = view

    def lost(self) -> None:
        """The stream ended: no book is known to be true any more."""
        for view in self.views.values():
            view.state = 0

    def apply(self, rows: Columns) -> None:
        """Fold a batch. Rows of unknown instruments or kinds are ignored."""
        views = self._by_index
        for kind, index, flags, price, qty, receive_ns in zip(
            rows.kind, rows.instrument, rows.side_flags, rows.price, rows.qty, rows.receive_time_ns, strict=True
        ):
            view = views.get(index)
            if view is None:
                continue
            if kind != _MARK and kind != _INDEX:  # other streams of the venue, which outlive that of the book
                view.updated_ns = receive_ns
            if kind == _BBO:
                if flags & SIDE_MASK == BUY_FLAG:
                    view.bid, view.bid_qty = price * view.tick, qty * view.lot
                else:
                    view.ask, view.ask_qty = price * view.tick, qty * view.lot
                # Between the two sides of one event the pair is half old.
                if flags & LAST_FLAG and view.keep_good(receive_ns):
                    self.moved.add(view.instrument_id)
            elif kind == _TRADE:
                view.last_price = price * view.tick
                view.traded += qty * view.lot
            elif kind == _MARK:
                view.mark_price, view.mark_ns = price * FINE_UNITS, receive_ns
            elif kind == _INDEX:
                view.index_price, view.index_ns = price * FINE_UNITS, receive_ns
            elif kind == _STATE:
                view.state = price
                if price != _LIVE:
                    view.bid = view.ask = 0
                elif view.keep_good(receive_ns):
                    self.moved.add(view.instrument_id)

    def rate(self, asset: str, long: bool = True, *, mid: bool = False) -> int | None:
        """Return account currency per unit of an asset, None = no mark.

        Args:
            asset: Asset code.
            long: True for what we own (bid, rounded down), False for what we owe (ask, rounded up).
            mid: Halfway between bid and ask instead.
        """
        if asset == self._currency:
            return UNIT
        path = self.paths.get(asset)
        if path is None:
            return None
        rate = UNIT
        for leg in path:
            view = self.views.get(leg.instrument_id)
            if view is None or not view.good_ns:
                return None
            bid, ask = view.good_bid, view.good_ask
            if mid:
                bid = ask = (bid + ask) // 2
            if not leg.inverted:
                price = bid if long else ask
                rate = price if rate == UNIT else rate * price // UNIT if long else -(-rate * price // UNIT)
            else:
                rate = rate * UNIT // ask if long else -(-rate * UNIT // bid)
        return rate

    def mark(self, instrument_id: str, long: bool, *, mid: bool = False) -> int | None:
        """Return the price at which a position could be closed: bid for a long one, ask for a short one, or the venue's
        mark price where that is worse; None = never seen.
        """
        view = self.views.get(instrument_id)
        if view is None or not view.good_ns:
            return None
        if mid:
            return (view.good_bid + view.good_ask) // 2
        if long:
            return min(view.good_bid, view.mark_price) if view.mark_price else view.good_bid
        return max(view.good_ask, view.mark_price)

    def sample(self, now_ns: int) -> None:
        """Take the mids of good books and what was traded: into their trails once a second, for volatility once a
        minute; and what others say the prices are.
        """
        self._refer(now_ns)
        a_minute = now_ns - self._sampled_ns >= STEP_NS
        if a_minute:
            self._sampled_ns = now_ns
        for instrument_id, view in self.views.items():
            if not view.is_good:
                continue
            mid = (view.bid + view.ask) // 2
            trail = self.trails.get(instrument_id)
            if trail is None:
                trail = self.trails[instrument_id] = PriceTrail()
            trail.add(mid, now_ns)
            volume = self.volumes.get(instrument_id)
            if volume is None:
                volume = self.volumes[instrument_id] = VolumeTrail()
            volume.add(view.traded, now_ns)
            if a_minute:
                self._volatility.setdefault(instrument_id, Volatility()).sample(mid, now_ns, self._half_life_min)

    def _refer(self, now_ns: int) -> None:
        """Take the references anew; an instrument with too few sources has none."""
        self.references.clear()
        for twins in self._twins.values():
            for venue, view in twins.items():
                if len(twins) == 1 and not (view.mark_price and view.index_price):
                    continue  # one source at most: nearly every spot market
                told = [(view.mark_price, view.mark_ns), (view.index_price, view.index_ns)]
                told += [
                    ((other.bid + other.ask) // 2, other.updated_ns)
                    for elsewhere, other in twins.items()
                    if elsewhere != venue and other.is_good
                ]
                reference = reference_of(told, now_ns)
                if reference is not None:
                    self.references[view.instrument_id] = reference

    def watched(self, min_samples: int) -> int:
        """Return how many markets have a good book and at least so many samples of its mid."""
        seen = {instrument_id: trail.samples for instrument_id, trail in self.trails.items()}
        return sum(view.is_good and seen.get(key, 0) >= min_samples for key, view in self.views.items())

    def minute_ppm(self, instrument_id: str, min_samples: int) -> int:
        """Return the volatility of a minute in ppm; 0 = not measured long enough."""
        measured = self._volatility.get(instrument_id)
        return 0 if measured is None or measured.samples < min_samples else measured.minute_ppm()

    def volatility_ppm(self, instrument_id: str, min_samples: int) -> int:
        """Return the daily volatility in ppm; 0 = not measured long enough."""
        measured = self._volatility.get(instrument_id)
        return 0 if measured is None or measured.samples < min_samples else measured.daily_ppm()

    def has_market(self, asset: str) -> bool:
        """Return whether some market values this asset, be it with or without a mark yet."""
        return asset in self.paths

    def age_ns(self, asset: str, now_ns: int) -> int:
        """Return how old the oldest mark behind an asset's rate is; 0 for the account currency."""
        views = (self.views.get(leg.instrument_id) for leg in self.paths.get(asset, _NOWHERE))
        return max((now_ns - view.good_ns for view in views if view is not None), default=0)
