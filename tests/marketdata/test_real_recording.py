"""Eleven minutes of real BTCUSDT: diffs, trades, best bids and offers through codec, sync and rows."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketdata.book import BookRules
from marketdata.market import Market
from marketdata.row_log import RowFilter
from tests.marketdata.market_kit import RowReader
from tests.support.builders import BTC, make_instrument
from tests.support.realdata import real_data_file
from tradebot.core.market import BookState
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.venues import load_market_data
from tradebot.venues.api import BboEvent, BookDelta, BookSnapshot, MarketEvent, TradeEvent
from tradebot.wire.market import rows_from_wire

pytestmark = pytest.mark.real

FILES = ("BTCUSDT-ws-20240808T2354.log.gz", "BTCUSDT-ws-20240809T0000.log.gz")


def recording() -> list[Path]:
    """Return the two files, which are one continuous recording."""
    return [real_data_file(f"history/binance_spot/{name}") for name in FILES]


def events() -> Iterator[tuple[int, MarketEvent]]:
    """Yield (receive time, event); every line must be readable."""
    codec = load_market_data("binance").codec([(0, make_instrument(BTC))])
    for path in recording():
        with gzip.open(path) as lines:
            for line in lines:
                stamp, _, payload = line.rstrip().partition(b" ")
                is_snapshot = payload.startswith(b'{"lastUpdateId"')
                event = codec.decode_snapshot(0, payload) if is_snapshot else codec.decode(payload)
                assert event is not None
                yield int(stamp), event


def test_the_rebuilt_book_equals_the_recorded_best_bid_and_offer_at_every_equal_id() -> None:
    market = Market(kept_rows=131_072)
    market.add([make_instrument(BTC)], BookRules())
    book, reader = market.books[0], RowReader()
    subscription = market.publisher.subscribe(RowFilter(), 0, lossless=True)
    seen: Counter[str] = Counter()
    touches: dict[int, tuple[int, ...]] = {}
    equal = 0
    token = -1
    for number, (now, event) in enumerate(events()):
        if number == 0:
            book.link_up(now)
        seen[type(event).__name__] += 1
        if isinstance(event, BookSnapshot):
            book.handle_snapshot(token, event, now)
        else:
            market.handle(event, now)
        if token < 0 and book.wants_snapshot(now):
            token = book.snapshot_asked(now)
        if isinstance(event, BboEvent):
            touches[event.update_id] = event[2:6]
        if isinstance(event, BookDelta) and book.state is BookState.LIVE and event.last_id in touches:
            assert book.book.touch == touches[event.last_id]
            equal += 1
        market.commit()
        if number % 50 == 0:
            while message := subscription.next_message(now):
                reader.fold(rows_from_wire(pb.SubscribeResponse.FromString(message).rows))
    while message := subscription.next_message(0):
        reader.fold(rows_from_wire(pb.SubscribeResponse.FromString(message).rows))

    assert seen == {"BboEvent": 73174, "TradeEvent": 19904, "BookDelta": 6495, "BookSnapshot": 1}
    assert book.bbo_checks == 1072
    assert 1000 < equal <= 1072
    assert (book.state, book.gaps, book.trades_missed) == (BookState.LIVE, 0, 0)
    assert reader.book.bids == book.book.bids
    assert reader.book.asks == book.book.asks
    assert len(reader.trades) == 19904
    assert reader.rows == market.log.head_sequence + 1  # and the one state row it began with


def test_a_hole_in_the_recording_is_a_gap_at_that_very_diff() -> None:
    market = Market(kept_rows=131_072)
    market.add([make_instrument(BTC)], BookRules())
    book, deltas, token = market.books[0], 0, -1
    for number, (now, event) in enumerate(events()):
        if number == 0:
            book.link_up(now)
        if isinstance(event, BookDelta):
            deltas += 1
            if deltas == 1_000:
                continue
        if isinstance(event, BookSnapshot):
            book.handle_snapshot(token, event, now)
        elif not isinstance(event, TradeEvent):
            market.handle(event, now)
        if token < 0 and book.wants_snapshot(now):
            token = book.snapshot_asked(now)
        if deltas == 999:
            assert book.state is BookState.LIVE
        if deltas == 1_001:
            break

    assert book.state is BookState.GAP
    assert not book.book.bids
