"""Best prices from marketdata: for bounding market intents and for the software line behind the resting stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
import structlog

from execd.quotes import Quote
from execd.shell import LiveDesk
from tradebot.core.market import BUY_FLAG, SIDE_MASK, BookState, RowKind
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.rpc.marketdata.v1.market_data_service_pb2_grpc import MarketDataServiceStub

_BBO: Final = int(RowKind.BBO)
_BOOK_STATE: Final = int(RowKind.BOOK_STATE)
_LIVE: Final = int(BookState.LIVE)

_log = structlog.get_logger(__name__)


class MarketClient:
    """One conflated subscription after the other."""

    def __init__(self, live: LiveDesk, channel: grpc.aio.Channel) -> None:
        self._live = live
        self._stub = MarketDataServiceStub(channel)
        self.up = False

    async def session(self) -> None:
        """Subscribe and read until the stream ends; then no quote is live."""
        board = self._live.desk.state.quotes
        traded = list(self._live.desk.state.instruments)
        request = pb.SubscribeRequest(instrument_ids=traded, kinds=[RowKind.BBO, RowKind.BOOK_STATE])  # type: ignore[list-item]
        stream = self._stub.Subscribe(request, wait_for_ready=True)
        quotes: dict[int, tuple[str, Quote]] = {}
        try:
            async for message in stream:
                if message.instruments:
                    quotes = {
                        i.instrument_index: (i.instrument_id, board.quote(i.instrument_id))
                        for i in message.instruments
                        if i.instrument_id in self._live.desk.state.instruments
                    }
                    self.up = True
                    _log.info("market_up", incarnation=message.incarnation, instruments=len(quotes))
                if message.rows.kind:
                    moved = apply_rows(message.rows, quotes)
                    if moved:
                        self._live.quotes_moved(moved)
        finally:
            self.up = False
            for _, quote in quotes.values():
                quote.live = False
            stream.cancel()


def apply_rows(rows: rows_pb2.Rows, quotes: Mapping[int, tuple[str, Quote]]) -> list[str]:
    """Write best prices and book states into the quotes; return the instruments whose best prices changed."""
    moved: dict[str, None] = {}
    times = rows.receive_time_ns
    for index, (kind, instrument, side_flags, price) in enumerate(
        zip(rows.kind, rows.instrument, rows.side_flags, rows.price, strict=True)
    ):
        known = quotes.get(instrument)
        if known is None:
            continue
        instrument_id, quote = known
        if kind == _BBO:
            if side_flags & SIDE_MASK == BUY_FLAG:
                changed, quote.bid_ticks = quote.bid_ticks != price, price
            else:
                changed, quote.ask_ticks = quote.ask_ticks != price, price
            quote.receive_time_ns = times[index]
            if changed:
                moved[instrument_id] = None
        elif kind == _BOOK_STATE:
            quote.live = price == _LIVE
    return list(moved)
