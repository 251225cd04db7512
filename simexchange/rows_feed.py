"""A market whose rows somebody else applies: the backtest its recording, the paper venue the real feed that it follows.

Our orders are not shown in such a market, and it cannot be pushed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simexchange.venue import SimVenue
from tradebot.core.market import BookState, RowColumns, RowKind
from tradebot.core.orders import Side
from tradebot.sim.orders import EndReason
from tradebot.venues.server_api import Depth, Touch

_BOOK_STATE: Final = int(RowKind.BOOK_STATE)

OnGap = Callable[[str, str, int], None]
"""Told (instrument id, reason, orders canceled)."""


class RowsFeed:
    """Answers about the background; time passes elsewhere."""

    is_finished = False

    def __init__(self, venue: SimVenue) -> None:
        self._venue = venue
        self.served = frozenset(range(len(venue.symbols)))

    def is_open(self, instrument: int) -> bool:
        """True while orders are taken."""
        return True

    def next_ns(self) -> int | None:
        return None

    def run_to(self, now_ns: int) -> None:
        """Nothing: rows come through their owner."""

    def after_own_action(self, instrument: int) -> None:
        """Our orders are not shown."""

    def depth(self, instrument: int, limit: int) -> Depth:
        market = self._venue.engine.markets[instrument]
        return Depth(0, list(market.levels(Side.BUY, limit).items()), list(market.levels(Side.SELL, limit).items()))

    def touch(self, instrument: int) -> Touch:
        bid, bid_lots, ask, ask_lots = self._venue.engine.markets[instrument].touch
        return Touch(0, bid, bid_lots, ask, ask_lots)

    def shock(self, instrument: int, change_bps: float) -> bool:
        return False


class FollowFeed(RowsFeed):
    """The real feed, as marketdata publishes it. A gap cancels what rests in that market and says so.

    Between two rows that we did not see anything may have traded at our prices: whether a resting order filled cannot
    be known any more, so it ends, by the venue, with the reason told. Orders are taken only while the book is LIVE.
    """

    def __init__(self, venue: SimVenue, on_gap: OnGap) -> None:
        super().__init__(venue)
        self._on_gap = on_gap
        self._live = [False] * len(venue.symbols)
        self._market_of: dict[int, int] = {}
        """Column index of the stream -> our market."""
        self.gaps = 0
        """Times a market was lost."""
        self.rows = 0
        """Rows followed."""

    def is_open(self, instrument: int) -> bool:
        return self._live[instrument]

    @property
    def all_open(self) -> bool:
        """True when every market has a live book."""
        return all(self._live)

    def stream_began(self, columns: dict[str, int], now_ns: int) -> None:
        """A subscription starts anew, with a snapshot.

        Args:
            columns: Instrument id -> column index in the stream.
            now_ns: Now.
        """
        self.stream_lost("the feed began anew", now_ns)
        ours = {rules.instrument.instrument_id: i for i, rules in enumerate(self._venue.symbols)}
        self._market_of = {index: ours[name] for name, index in columns.items() if name in ours}

    def stream_lost(self, reason: str, now_ns: int) -> None:
        """Nothing is known of any market any more."""
        for instrument in range(len(self._live)):
            self._lose(instrument, reason, now_ns)

    def take(self, rows: RowColumns, now_ns: int) -> None:
        """Apply rows of the stream at the time they got here."""
        self.rows += len(rows)
        start = 0
        for i, kind in enumerate(rows.kind):
            market = self._market_of.get(rows.instrument[i])
            rows.instrument[i] = -1 if market is None else market
            if kind == _BOOK_STATE or market is None:
                self._apply(rows, start, i, now_ns)
                start = i + 1
                if market is not None:
                    self._state(market, rows.price[i], now_ns)
        self._apply(rows, start, len(rows), now_ns)

    def _apply(self, rows: RowColumns, start: int, end: int, now_ns: int) -> None:
        """Apply rows of known markets without a change of state among them."""
        if start == end:
            return
        venue = self._venue
        events = venue.engine.on_rows(rows, start, end, now_ns)
        if events:
            venue.on_events(events, now_ns)

    def _state(self, instrument: int, state: int, now_ns: int) -> None:
        if state == BookState.LIVE:
            self._live[instrument] = True
        else:
            self._lose(instrument, f"the book is {BookState(state).name}", now_ns)

    def _lose(self, instrument: int, reason: str, now_ns: int) -> None:
        venue = self._venue
        accounts = venue.engine.accounts
        # Orders without a live book are those of an earlier process: while there was none, rows were missed, too.
        resting = [order for account in accounts for order in venue.engine.open_orders(account, instrument)]
        if self._live[instrument] or resting:
            self._live[instrument] = False
            self.gaps += 1
            canceled = 0
            for account in accounts:
                for order in venue.engine.open_orders(account, instrument):
                    outcome = venue.engine.cancel(account, order.order_id, now_ns, why=EndReason.VENUE)
                    canceled += outcome.rejection is None
                    venue.on_events(outcome.events, now_ns)
            self._on_gap(venue.symbols[instrument].instrument.instrument_id, reason, canceled)
        venue.engine.markets[instrument].clear_background()
