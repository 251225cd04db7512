"""marketdata against simexchange, both in this process, over real sockets on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import aiohttp
import grpc
import pytest

from marketdata.config import MarketdataConfig
from simexchange.config import SimexchangeConfig
from simexchange.faults import make_rule
from simexchange.service import Exchange
from tests.marketdata.daemon_kit import RunningDaemon, Subscription, running_daemon
from tradebot.core.market import BookState, RowKind
from tradebot.core.orders import Side
from tradebot.rpc.common.v1 import status_pb2
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.runtime.build import build_hash
from tradebot.runtime.config import VenueConfig

BTC = "binance:BTC-USDT"
ETH = "binance:ETH-USDT"


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """A seeded exchange on free ports."""
    config = SimexchangeConfig(rest_port=0, ws_port=0, seed=7, response_delay_ms=(0, 0))
    async with Exchange(config, venue_name="binance", api_key="k", api_secret="s") as running:
        yield running


def venue_of(exchange: Exchange, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> dict[str, VenueConfig]:
    """Return the configuration that points at it."""
    return {
        "binance": VenueConfig(
            rest_url=exchange.rest_url,
            market_ws_url=exchange.market_ws_url,
            trade_ws_url=exchange.trade_ws_url,
            symbols=symbols,
        )
    }


@pytest.fixture
async def daemon(exchange: Exchange, short_tmp_path: Path) -> AsyncIterator[RunningDaemon]:
    """A daemon that follows both markets."""
    async with running_daemon(short_tmp_path, venue_of(exchange)) as running:
        yield running


def book_only(instrument_id: str = BTC) -> pb.SubscribeRequest:
    """Ask for one market."""
    return pb.SubscribeRequest(instrument_ids=[instrument_id])


async def test_a_subscriber_sees_the_book_of_the_exchange(daemon: RunningDaemon, exchange: Exchange) -> None:
    stream = Subscription(daemon.stub, book_only())
    await stream.until_state(BookState.LIVE)
    await stream.until(lambda reader: len(reader.trades) >= 3 and reader.touch_id > 0, "three trades")
    book = daemon.app.market.books[0]
    await stream.until(lambda reader: reader.update_id >= book.update_id, "the newest book")

    assert stream.messages[0].incarnation == daemon.app.incarnation
    assert stream.messages[0].build_hash == build_hash()
    assert [item.venue_symbol for item in stream.messages[0].instruments] == ["BTCUSDT"]
    assert stream.reader.book.bids == book.book.bids
    assert stream.reader.book.asks == book.book.asks
    assert len(book.book.bids) > 10
    await stream.close()


@pytest.mark.parametrize("library", ["picows", "websockets"])
async def test_a_lost_diff_is_a_gap_and_the_book_comes_back_true(
    exchange: Exchange, short_tmp_path: Path, library: Literal["picows", "websockets"]
) -> None:
    section = MarketdataConfig(ws_client=library)
    async with running_daemon(short_tmp_path, venue_of(exchange, ("BTCUSDT",)), section) as daemon:
        stream = Subscription(daemon.stub)
        await stream.until_state(BookState.LIVE)
        exchange.venue.faults.add(make_rule({"kind": "gap", "count": 4}))  # some strike the other market
        await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")
        await stream.until_state(BookState.LIVE)
        await agree(daemon, exchange, stream)

        live_again = stream.reader.states[stream.reader.states.index(BookState.GAP) :]
        assert live_again[:3] == [BookState.GAP, BookState.SYNCING, BookState.LIVE]
        assert daemon.app.market.books[0].gaps >= 1
        await stream.close()


async def test_a_cut_connection_is_a_gap_and_is_made_again(daemon: RunningDaemon, exchange: Exchange) -> None:
    stream = Subscription(daemon.stub, book_only())
    await stream.until_state(BookState.LIVE)
    await post(exchange, "/sim/faults", {"kind": "disconnect_streams"})
    await stream.until(lambda reader: BookState.GAP in reader.states, "the gap")
    await stream.until_state(BookState.LIVE)

    assert daemon.app.sources[0].links(daemon.shell.clock.now_ns())[0].state == "live"
    await agree(daemon, exchange, stream)
    await stream.close()


async def test_a_refused_snapshot_is_asked_for_again(exchange: Exchange, short_tmp_path: Path) -> None:
    exchange.venue.faults.add(make_rule({"kind": "rate_limited", "action": "read", "skip": 1, "retry_after_s": 1}))
    exchange.venue.faults.add(make_rule({"kind": "internal", "action": "read", "skip": 1}))
    async with running_daemon(short_tmp_path, venue_of(exchange, ("BTCUSDT",))) as daemon:
        stream = Subscription(daemon.stub)
        await stream.until_state(BookState.LIVE)
        feed: Any = daemon.app.sources[0]

        assert feed.rest.failures >= 1
        await stream.close()


async def test_many_random_gaps_never_serve_a_wrong_book(exchange: Exchange, short_tmp_path: Path) -> None:
    async with running_daemon(short_tmp_path, venue_of(exchange, ("BTCUSDT",))) as daemon:
        stream = Subscription(daemon.stub)
        await stream.until_state(BookState.LIVE)
        exchange.venue.faults.add(make_rule({"kind": "gap", "probability": 0.2}))
        await stream.until(lambda reader: reader.states.count(BookState.GAP) >= 3, "three gaps")
        exchange.venue.faults.clear()
        await stream.until_state(BookState.LIVE)
        await agree(daemon, exchange, stream)

        assert daemon.app.market.books[0].bbo_checks > 0
        await stream.close()


async def test_a_lossless_subscription_resumes_without_losing_or_repeating_a_row(daemon: RunningDaemon) -> None:
    request = pb.SubscribeRequest(lossless=True)
    whole, first = Subscription(daemon.stub, request), Subscription(daemon.stub, request)
    await first.until(lambda reader: reader.rows > 50, "some rows")
    await first.close()
    resumed = Subscription(
        daemon.stub,
        pb.SubscribeRequest(lossless=True, incarnation=first.incarnation, resume_after_sequence=first.last_sequence),
    )
    await resumed.until(lambda reader: reader.rows > 200, "more rows")
    await whole.until(lambda _: whole.last_sequence >= resumed.last_sequence, "the same place")

    assert not any(message.snapshot for message in resumed.messages)
    assert next(m.rows.first_sequence for m in resumed.messages if m.rows.kind) == first.last_sequence + 1
    sequences = [m.rows.first_sequence + i for m in resumed.messages for i in range(len(m.rows.kind))]
    assert sequences == list(range(first.last_sequence + 1, first.last_sequence + 1 + len(sequences)))
    await resumed.close()
    await whole.close()


async def test_a_filtered_subscription_gets_only_what_it_asked_for(daemon: RunningDaemon) -> None:
    kinds = [rows_pb2.ROW_KIND_BBO, rows_pb2.ROW_KIND_TRADE, rows_pb2.ROW_KIND_BOOK_STATE]
    stream = Subscription(daemon.stub, pb.SubscribeRequest(instrument_ids=[ETH], kinds=kinds))
    await stream.until(lambda reader: reader.rows > 40, "some rows")
    seen = {(kind, index) for m in stream.messages for kind, index in zip(m.rows.kind, m.rows.instrument, strict=True)}

    assert {kind for kind, _ in seen} <= {RowKind.BBO, RowKind.TRADE, RowKind.BOOK_STATE}
    assert {index for _, index in seen} == {1}
    await stream.close()


async def test_an_idle_stream_has_a_heartbeat_with_the_head(daemon: RunningDaemon) -> None:
    stream = Subscription(daemon.stub, pb.SubscribeRequest(kinds=[rows_pb2.ROW_KIND_FUNDING_RATE]))
    await stream.until(lambda _: len(stream.messages) >= 2, "a heartbeat")

    assert not stream.messages[1].rows.kind
    assert stream.messages[1].head_sequence > 0
    await stream.close()


async def test_people_see_instruments_book_bars_and_status(daemon: RunningDaemon) -> None:
    stream = Subscription(daemon.stub, book_only())
    await stream.until_state(BookState.LIVE)
    listed = await daemon.stub.ListInstruments(pb.ListInstrumentsRequest())
    book = await daemon.stub.GetBook(pb.GetBookRequest(instrument_id=BTC, depth=3))
    bars = await daemon.stub.ListBars(pb.ListBarsRequest(instrument_id=BTC, interval_ms=1000, limit=84))
    status = await anext(aiter(daemon.stub.WatchStatus(pb.WatchStatusRequest())))
    now_ns = daemon.shell.clock.now_ns()

    assert [(item.instrument_id, item.instrument_index) for item in listed.instruments] == [(BTC, 0), (ETH, 1)]
    assert len(book.bids) == len(book.asks) == 3
    assert float(book.bids[0].price) > float(book.bids[1].price)
    assert len(bars.bars) == 84
    assert all(bar.close_time_ns <= now_ns for bar in bars.bars)
    assert [bar.open_time_ns for bar in bars.bars] == sorted(bar.open_time_ns for bar in bars.bars)
    assert status.status.state in (status_pb2.DAEMON_STATE_OK, status_pb2.DAEMON_STATE_DEGRADED)
    assert {item.name for item in status.status.items} >= {"messages", "messages_per_s", "rows", "gaps"}
    assert [link.channel for link in status.status.venue_links] == ["public"]
    assert [item.instrument_id for item in status.books] == [BTC, ETH]
    await stream.close()


async def test_prometheus_sees_link_rate_and_books(daemon: RunningDaemon) -> None:
    stream = Subscription(daemon.stub, book_only())
    await stream.until_state(BookState.LIVE)
    value = daemon.shell.metrics.registry.get_sample_value
    async with asyncio.timeout(5):
        while value("tradebot_marketdata_book_state", {"instrument": BTC, "state": "LIVE"}) != 1:  # noqa: ASYNC110  no event
            await asyncio.sleep(0.05)

    assert (value("tradebot_marketdata_ws_uptime_seconds", {"venue": "binance"}) or 0) > 0
    assert (value("tradebot_marketdata_frames_received") or 0) > 0
    assert value("tradebot_marketdata_book_gaps", {"instrument": BTC}) == 0
    assert value("tradebot_marketdata_book_staleness_seconds", {"instrument": BTC}) is not None
    await stream.close()


@pytest.mark.parametrize(
    ("request_", "method", "code", "named"),
    [
        (book_only("binance:DOGE-USDT"), "Subscribe", grpc.StatusCode.NOT_FOUND, "DOGE-USDT"),
        (
            pb.SubscribeRequest(kinds=[rows_pb2.ROW_KIND_UNSPECIFIED]),
            "Subscribe",
            grpc.StatusCode.INVALID_ARGUMENT,
            "kinds",
        ),
        (pb.GetBookRequest(), "GetBook", grpc.StatusCode.NOT_FOUND, "not followed"),
        (
            pb.ListBarsRequest(instrument_id=BTC, interval_ms=7, limit=1),
            "ListBars",
            grpc.StatusCode.INVALID_ARGUMENT,
            "interval_ms 7",
        ),
        (
            pb.ListBarsRequest(instrument_id=BTC, interval_ms=1000, limit=0),
            "ListBars",
            grpc.StatusCode.INVALID_ARGUMENT,
            "limit 0",
        ),
    ],
)
async def test_a_bad_request_names_what_is_wrong(
    daemon: RunningDaemon, request_: Any, method: str, code: grpc.StatusCode, named: str
) -> None:
    call = getattr(daemon.stub, method)(request_)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (anext(aiter(call)) if method == "Subscribe" else call)

    assert caught.value.code() is code
    assert named in (caught.value.details() or "")


async def agree(daemon: RunningDaemon, exchange: Exchange, stream: Subscription) -> None:
    """The subscriber's book equals the exchange's own at the same update id."""
    for _ in range(200):
        answer = await fetch(exchange, "/api/v3/depth?symbol=BTCUSDT&limit=5000")
        await asyncio.sleep(0.02)
        if stream.reader.state is BookState.LIVE and stream.reader.update_id == answer["lastUpdateId"]:
            instrument = daemon.app.market.instruments[0]
            theirs = {instrument.price_ticks(Decimal(p)): instrument.qty_lots(Decimal(q)) for p, q in answer["bids"]}
            ours = dict(stream.reader.book.top(Side.BUY, len(theirs)))

            assert ours == theirs
            return
    raise AssertionError("the ids never met")


async def fetch(exchange: Exchange, path: str) -> Any:
    """GET from the exchange."""
    async with aiohttp.ClientSession() as session, session.get(exchange.rest_url + path) as response:
        return await response.json()


async def post(exchange: Exchange, path: str, body: dict[str, Any]) -> None:
    """POST to the exchange."""
    async with aiohttp.ClientSession() as session, session.post(exchange.rest_url + path, json=body) as response:
        assert response.status == 200
