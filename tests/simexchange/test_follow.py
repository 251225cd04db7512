"""The paper venue: orders against a feed that somebody else makes; a gap ends what rests and is told."""

from __future__ import annotations

from decimal import Decimal

from simexchange.config import FollowConfig
from simexchange.kept import VenueFacts
from simexchange.rows_feed import FollowFeed
from simexchange.venue import AccountSetup, SimVenue
from tests.support.builders import BTC, make_instrument
from tradebot.core.amounts import to_money
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.core.orders import OrderStatus, OrderType, Side, TimeInForce
from tradebot.sim.engine import FeeRates
from tradebot.sim.orders import EndReason
from tradebot.sim.rng import SplitMix64
from tradebot.venues import load_venue_part
from tradebot.venues.server_api import Done, OrderRequest, ServerLimits

T0 = 1_700_000_000_000_000_000


class Paper:
    """A paper venue with one market, column 7 of its stream."""

    def __init__(self, past: VenueFacts | None = None) -> None:
        self.gaps: list[tuple[str, str, int]] = []
        account = AccountSetup("main", "key", "secret", {"USDT": to_money(Decimal(10_000))})
        self.venue = SimVenue(
            [FollowConfig().setup(make_instrument())],
            [account],
            FeeRates(),
            ServerLimits(),
            load_venue_part("binance", "server_protocol", "SERVER"),
            SplitMix64(1),
            is_recorded=True,
        )
        if past is not None:
            self.venue.restore(past)
        self.venue.start(lambda venue, _: FollowFeed(venue, lambda *gap: self.gaps.append(gap)), T0)
        feed = self.venue.feed
        assert isinstance(feed, FollowFeed)
        self.feed = feed
        self.now_ns = T0

    def rows(self, *rows: tuple[RowKind, int, int, int]) -> None:
        columns = RowColumns()
        for kind, flags, price, qty in rows:
            columns.append(MarketRow(kind, 7, flags | LAST_FLAG, price, qty, 0, self.now_ns, self.now_ns))
        self.now_ns += 1
        self.feed.take(columns, self.now_ns)

    def open(self) -> None:
        self.feed.stream_began({BTC: 7, "binance:XRP-USDT": 8}, self.now_ns)
        self.rows(
            (RowKind.BOOK_CLEAR, 0, 0, 0),
            (RowKind.SNAPSHOT_LEVEL, BUY_FLAG, 5_000_000, 100_000),
            (RowKind.SNAPSHOT_LEVEL, SELL_FLAG, 5_000_100, 100_000),
            (RowKind.BOOK_STATE, 0, BookState.LIVE, 0),
        )

    def buy(self, price: int, client_order_id: str = "one") -> Done:
        terms = (Side.BUY, OrderType.LIMIT, 1_000, price, 0, TimeInForce.GTC, False, 0, "EXPIRE_MAKER")
        request = OrderRequest("main", client_order_id, 0, *terms)
        return self.venue.place(request, self.now_ns)

    def status(self, client_order_id: str = "one") -> tuple[OrderStatus, EndReason]:
        order = self.venue.find_order("main", 0, None, client_order_id)
        assert order is not None
        return order.status, order.end_reason


def test_orders_are_refused_until_the_book_is_live() -> None:
    paper = Paper()

    assert paper.buy(5_000_000).reason
    paper.open()
    assert not paper.buy(5_000_000).reason


def test_the_real_trades_fill_what_rests_after_the_queue_ahead() -> None:
    paper = Paper()
    paper.open()
    paper.buy(5_000_000)
    paper.rows((RowKind.TRADE, SELL_FLAG, 5_000_000, 100_500))

    order = paper.venue.find_order("main", 0, None, "one")
    assert order is not None
    assert order.filled_lots == 500


def test_a_taker_meets_the_real_book() -> None:
    paper = Paper()
    paper.open()
    paper.buy(5_000_100)

    assert paper.status()[0] is OrderStatus.FILLED


def test_a_book_that_is_not_live_any_more_cancels_what_rests_and_says_so() -> None:
    paper = Paper()
    paper.open()
    paper.buy(4_999_000)
    paper.venue.take_account_events()
    paper.rows((RowKind.BOOK_STATE, 0, BookState.GAP, 0))

    assert paper.status() == (OrderStatus.CANCELED, EndReason.VENUE)
    assert paper.gaps == [(BTC, "the book is GAP", 1)]
    assert paper.venue.take_account_events()
    assert paper.buy(5_000_000, "two").reason


def test_a_broken_link_is_a_gap_and_the_next_snapshot_opens_the_market_again() -> None:
    paper = Paper()
    paper.open()
    paper.buy(4_999_000)
    paper.feed.stream_lost("the link to marketdata broke", paper.now_ns)

    assert paper.gaps == [(BTC, "the link to marketdata broke", 1)]
    assert paper.feed.touch(0).bid == 0
    paper.open()
    assert not paper.buy(4_999_000, "two").reason
    assert len(paper.gaps) == 1


def test_a_restart_of_the_venue_is_a_gap_for_what_rested() -> None:
    before = Paper()
    before.open()
    before.buy(4_999_000)
    after = Paper(before.venue.facts())
    assert after.status()[0] is OrderStatus.NEW
    after.open()

    assert after.status() == (OrderStatus.CANCELED, EndReason.VENUE)
    assert after.gaps == [(BTC, "the feed began anew", 1)]
    assert after.venue.balances("main") == Paper().venue.balances("main")


def test_rows_of_other_markets_change_nothing() -> None:
    paper = Paper()
    paper.open()
    columns = RowColumns()
    columns.extend([MarketRow(RowKind.BBO, 8, BUY_FLAG | LAST_FLAG, 1, 1, 0, T0, T0)])
    paper.feed.take(columns, paper.now_ns)

    assert paper.feed.touch(0).bid == 5_000_000
