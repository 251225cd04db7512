"""Server half, recordings: frames as the venue once sent them, read back so that they can be served again.

A recorded line is a combined-stream frame; a line without a stream is a REST depth snapshot. Diffs, trades and best
bid/ask pass through byte for byte except for their times. This is a reader of its own: the client half's reader may
be wrong in the same place twice, which is what the comparison of the two is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from tradebot.core.errors import VenueProtocolError
from tradebot.venues.binance.server_format import SymbolText
from tradebot.venues.server_api import PublicTrade, RecordedFrame, Stream

_MICROSECONDS_FROM: Final = 10**14
_Levels = list[tuple[str, str]]


class _Envelope(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    lastUpdateId: int = 0  # noqa: N815  the venue's key
    bids: _Levels = []
    asks: _Levels = []


class _Diff(msgspec.Struct):
    E: int
    U: int
    u: int
    b: _Levels
    a: _Levels


class _Trade(msgspec.Struct):
    E: int
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Ticker(msgspec.Struct):
    u: int
    b: str
    B: str
    a: str
    A: str


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_DIFF: Final = msgspec.json.Decoder(_Diff)
_TRADE: Final = msgspec.json.Decoder(_Trade)
_TICKER: Final = msgspec.json.Decoder(_Ticker)


class BinanceRecordings:
    """See `RecordingCodec`."""

    def __init__(self, texts: Sequence[SymbolText]) -> None:
        self._index = {text.stream: i for i, text in enumerate(texts)}
        self._last = 0
        self._steps = [(text.rules.instrument.tick_size, text.rules.instrument.lot_size) for text in texts]

    def read(self, raw: bytes) -> RecordedFrame | None:
        """Return one frame."""
        try:
            envelope = _ENVELOPE.decode(raw)
            if not envelope.stream:
                return self._snapshot(envelope)
            symbol, _, kind = envelope.stream.partition("@")
            instrument = self._index.get(symbol)
            if instrument is None:
                return None
            self._last = instrument
            return self._frame(instrument, kind, bytes(envelope.data))
        except (msgspec.MsgspecError, ArithmeticError) as exc:
            raise VenueProtocolError(f"recorded frame cannot be read: {exc}") from exc

    def _snapshot(self, envelope: _Envelope) -> RecordedFrame:
        # A snapshot names no symbol: it belongs to the frames recorded around it.
        i, update_id = self._last, envelope.lastUpdateId
        bids, asks = self._levels(i, envelope.bids), self._levels(i, envelope.asks)
        return RecordedFrame(Stream("snapshot", i), "", 0, update_id, update_id, bids, asks, None)

    def _frame(self, instrument: int, kind: str, data: bytes) -> RecordedFrame | None:
        payload = data.decode()
        if kind.startswith("depth"):
            diff = _DIFF.decode(data)
            bids, asks = self._levels(instrument, diff.b), self._levels(instrument, diff.a)
            stream = Stream("depth", instrument, 100)
            return RecordedFrame(stream, payload, diff.E, diff.U, diff.u, bids, asks, None)
        tick, lot = self._steps[instrument]
        if kind == "trade":
            one = _TRADE.decode(data)
            time_ms = one.T // 1_000 if one.T > _MICROSECONDS_FROM else one.T
            trade = PublicTrade(one.t, int(Decimal(one.p) / tick), int(Decimal(one.q) / lot), one.m, time_ms)
            return RecordedFrame(Stream("trade", instrument), payload, one.E, one.t, one.t, (), (), trade)
        if kind == "bookTicker":
            touch = _TICKER.decode(data)
            bids, asks = self._levels(instrument, [(touch.b, touch.B)]), self._levels(instrument, [(touch.a, touch.A)])
            return RecordedFrame(Stream("book_ticker", instrument), payload, 0, touch.u, touch.u, bids, asks, None)
        return None

    def _levels(self, instrument: int, levels: _Levels) -> list[tuple[int, int]]:
        """Return levels in ticks and lots. Old orders may be finer than today's steps: a quantity is rounded down but
        never to nothing, a price between two ticks is left out.
        """
        tick, lot = self._steps[instrument]
        found: list[tuple[int, int]] = []
        for price, qty in levels:
            ticks, lots = Decimal(price) / tick, Decimal(qty) / lot
            if ticks == (whole := int(ticks)):
                found.append((whole, max(1, int(lots)) if lots else 0))
        return found

    @staticmethod
    def shift(frame: RecordedFrame, shift_ms: int) -> str:
        """Return the payload with `E` and `T` moved."""
        payload = frame.payload
        if frame.event_ms:
            payload = payload.replace(f'"E":{frame.event_ms}', f'"E":{frame.event_ms + shift_ms}', 1)
        if frame.trade is not None:
            time_ms = frame.trade.time_ms
            payload = payload.replace(f'"T":{time_ms}', f'"T":{time_ms + shift_ms}', 1)
        return payload
