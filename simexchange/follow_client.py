"""simexchange as a client of marketdata: the real feed, lossless, into the paper venue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
import structlog

from simexchange.rows_feed import FollowFeed
from tradebot.core.errors import TransientError
from tradebot.core.instruments import Instrument
from tradebot.core.market import RowKind
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1.market_data_service_pb2_grpc import MarketDataServiceStub
from tradebot.runtime.clock import Clock
from tradebot.wire.instruments import instrument_from_wire
from tradebot.wire.market import rows_from_wire

CALL_TIMEOUT_S: Final = 5.0
LOADING_RETRY_S: Final = 0.5
_KINDS: Final = (
    RowKind.TRADE,
    RowKind.BBO,
    RowKind.BOOK_STATE,
    RowKind.BOOK_LEVEL,
    RowKind.BOOK_CLEAR,
    RowKind.SNAPSHOT_LEVEL,
)

_log = structlog.get_logger(__name__)


async def followed_instruments(channel: grpc.aio.Channel) -> list[Instrument]:
    """Return everything that marketdata follows, waiting until it has loaded the venue's rules."""
    stub = MarketDataServiceStub(channel)
    while True:
        try:
            answer = await stub.ListInstruments(pb.ListInstrumentsRequest(), wait_for_ready=True)
            return [instrument_from_wire(item) for item in answer.instruments]
        except grpc.aio.AioRpcError as exc:
            _log.info("instruments_not_loaded", reason=exc.details())
            await asyncio.sleep(LOADING_RETRY_S)


class FollowLink:
    """One subscription after the other. Each of them starts with a snapshot; its end is a gap."""

    def __init__(
        self, channel: grpc.aio.Channel, feed: FollowFeed, clock: Clock, silence_s: float, on_rows: Callable[[], None]
    ) -> None:
        """`on_rows` is called after every message, to send what the market made of it."""
        self._stub = MarketDataServiceStub(channel)
        self._feed = feed
        self._clock = clock
        self._silence_s = silence_s
        self._on_rows = on_rows
        self._messages = 0

    async def session(self) -> None:
        """Subscribe and follow until the stream ends or falls silent."""
        feed, now_ns = self._feed, self._clock.now_ns
        request = pb.SubscribeRequest(kinds=[int(kind) for kind in _KINDS], lossless=True)  # type: ignore[misc]
        stream = self._stub.Subscribe(request, wait_for_ready=True)
        watchdog = asyncio.create_task(self._watch_silence(stream), name="simexchange feed watchdog")
        try:
            async for message in stream:
                self._messages += 1
                if message.incarnation:
                    feed.stream_began(
                        {item.instrument_id: item.instrument_index for item in message.instruments}, now_ns()
                    )
                if message.rows.kind:
                    feed.take(rows_from_wire(message.rows), now_ns())
                    self._on_rows()
            raise TransientError("marketdata ended the stream")
        finally:
            watchdog.cancel()
            stream.cancel()
            feed.stream_lost("the link to marketdata broke", now_ns())
            self._on_rows()

    async def _watch_silence(self, stream: grpc.aio.UnaryStreamCall[Any, Any]) -> None:
        """A hung marketdata keeps the connection open: its last book must not be matched against for ever."""
        seen = -1
        while seen != self._messages:
            seen = self._messages
            await asyncio.sleep(self._silence_s)
        _log.warning("feed_silent", seconds=self._silence_s)
        stream.cancel()
