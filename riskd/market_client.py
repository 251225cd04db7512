"""Best prices, trades and book states from marketdata, conflated: the gate wants the latest, not all."""

from __future__ import annotations

from typing import Final

import grpc
import structlog

from riskd.dependency_watch import MARKETDATA
from riskd.shell import LiveGate
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.rpc.marketdata.v1.market_data_service_pb2_grpc import MarketDataServiceStub
from tradebot.wire.instruments import instrument_from_wire

KINDS: Final = (
    rows_pb2.ROW_KIND_BBO,
    rows_pb2.ROW_KIND_TRADE,
    rows_pb2.ROW_KIND_BOOK_STATE,
    rows_pb2.ROW_KIND_MARK_PRICE,
    rows_pb2.ROW_KIND_INDEX_PRICE,
)
PACE_MS: Final = 5
"""Marks a few milliseconds old are as good; a message per tick is not."""

_log = structlog.get_logger(__name__)


class MarketClient:
    """One subscription after the other."""

    def __init__(self, live: LiveGate, channel: grpc.aio.Channel) -> None:
        self._live = live
        self._stub = MarketDataServiceStub(channel)

    async def session(self) -> None:
        """Subscribe and read until the stream ends."""
        call = self._stub.Subscribe(pb.SubscribeRequest(kinds=KINDS, min_interval_ms=PACE_MS), wait_for_ready=True)
        try:
            async for message in call:
                if message.instruments:
                    self._live.market_began(
                        [(raw.instrument_index, instrument_from_wire(raw)) for raw in message.instruments]
                    )
                    self._live.told_build(MARKETDATA, message.build_hash)
                    _log.info("market_data_up", incarnation=message.incarnation, instruments=len(message.instruments))
                if message.rows.kind:
                    self._live.market_rows(message.rows)
                else:
                    self._live.market_heard()
        finally:
            self._live.market_ended()
            call.cancel()
