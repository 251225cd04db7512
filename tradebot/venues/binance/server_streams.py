"""Server half, public streams: names, paths and control frames (SUBSCRIBE and its kin).

Source: WebSocket streams documentation (read 2026-11-21). Unknown stream names are accepted and stay silent, as the
venue does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from tradebot.venues.binance import server_market as market
from tradebot.venues.binance.server_format import SymbolText, encode
from tradebot.venues.server_api import (
    CandleView,
    Depth,
    PublicTrade,
    Stream,
    StreamAnswer,
    StreamConnect,
    Touch,
)

MAX_STREAMS: Final = 1_024
"""Streams per connection."""
TRADE_API_PATH: Final = "/ws-api/v3"
_KINDS: Final = {"trade": "trade", "aggTrade": "agg_trade", "bookTicker": "book_ticker"}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_DEPTH: Final = re.compile(r"depth(5|10|20)?(?:@(100|1000)ms)?")
_INTERVAL_NAMES: Final = {length: name for name, length in market.INTERVALS_MS.items()}


class _Control(msgspec.Struct):
    method: str = ""
    params: list[Any] = []
    id: int | str | None = None


_CONTROL: Final = msgspec.json.Decoder(_Control)


class BinanceStreams:
    """See `StreamCodec`."""

    def __init__(self, texts: Sequence[SymbolText]) -> None:
        self._texts = texts
        self._index = {text.stream: i for i, text in enumerate(texts)}

    # --- names -----------------------------------------------------------------------------------------------------

    def parse(self, name: str) -> Stream | None:
        """Return the stream of a name."""
        symbol, at, kind = name.partition("@")
        instrument = self._index.get(symbol)
        if instrument is None or not at:
            return None
        if kind in _KINDS:
            return Stream(_KINDS[kind], instrument)
        if kind.startswith("kline_") and kind[6:] in market.INTERVALS_MS:
            return Stream("kline", instrument, market.INTERVALS_MS[kind[6:]])
        found = _DEPTH.fullmatch(kind)
        if found is None:
            return None
        pace_ms = int(found[2] or 1_000)
        if found[1]:
            return Stream("partial_depth", instrument, pace_ms, int(found[1]))
        return Stream("depth", instrument, pace_ms)

    def name(self, stream: Stream) -> str:
        """Return the canonical name of a stream."""
        symbol = self._texts[stream.instrument].stream
        match stream.kind:
            case "kline":
                return f"{symbol}@kline_{_INTERVAL_NAMES[stream.interval_ms]}"
            case "depth" | "partial_depth":
                pace = "@100ms" if stream.interval_ms == 100 else ""
                return f"{symbol}@depth{stream.levels or ''}{pace}"
            case _:
                return f"{symbol}@{_NAMES[stream.kind]}"

    def combined(self, stream: Stream, payload: str) -> str:
        """Return a payload in the combined envelope."""
        return market.combined(self.name(stream), payload)

    def connect(self, target: str) -> StreamConnect | None:
        """Return what a path asks for. A suffix after `/ws` or `/stream` that names no stream is ignored."""
        parts = urlsplit(target)
        path = parts.path.rstrip("/")
        if path == TRADE_API_PATH:
            return StreamConnect(False, {}, is_trade_api=True)
        if path == "/stream" or path.startswith("/stream/"):
            names = parse_qs(parts.query).get("streams", [""])[0]
            return StreamConnect(True, self._named(names.split("/")))
        if path == "/ws" or path.startswith("/ws/"):
            return StreamConnect(False, self._named(path[3:].strip("/").split("/")))
        return None

    def _named(self, names: Iterable[str]) -> dict[str, Stream]:
        found: dict[str, Stream] = {}
        for name in list(names)[:MAX_STREAMS]:
            stream = self.parse(name)
            if stream is not None:
                found[name] = stream
        return found

    # --- control frames --------------------------------------------------------------------------------------------

    def control(self, raw: str | bytes, streams: dict[str, Stream]) -> StreamAnswer:
        """Handle one control frame."""
        try:
            frame = _CONTROL.decode(raw)
        except msgspec.MsgspecError as exc:
            return _error(3, f"Invalid JSON: {exc}", None)
        match frame.method:
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                if not frame.params or not all(isinstance(name, str) for name in frame.params):
                    return _error(2, "Invalid request: params must be an array of stream names", frame.id)
                return self._subscribe(frame, streams)
            case "LIST_SUBSCRIPTIONS":
                return _answer(list(streams), frame.id)
            case "SET_PROPERTY" if len(frame.params) == 2 and frame.params[0] == "combined":
                if not isinstance(frame.params[1], bool):
                    return _error(1, "Invalid value type: expected Boolean", frame.id)
                return StreamAnswer(_answer(None, frame.id).reply, frame.params[1])
            case _:
                return _error(0, f"Unknown method or property: {frame.method or 'none'}", frame.id)

    def _subscribe(self, frame: _Control, streams: dict[str, Stream]) -> StreamAnswer:
        if frame.method == "UNSUBSCRIBE":
            for name in frame.params:
                streams.pop(name, None)
            return _answer(None, frame.id)
        found = self._named(frame.params)
        if len(streams.keys() | found.keys()) > MAX_STREAMS:
            return _error(2, f"Invalid request: more than {MAX_STREAMS} streams", frame.id)
        streams |= found
        return _answer(None, frame.id)

    # --- payloads --------------------------------------------------------------------------------------------------

    def depth(
        self,
        stream: Stream,
        event_ms: int,
        first_id: int,
        final_id: int,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
    ) -> str:
        """Return a diff."""
        return market.depth_update(self._texts[stream.instrument], event_ms, first_id, final_id, bids, asks)

    def trade(self, stream: Stream, event_ms: int, one: PublicTrade) -> str:
        """Return a trade or aggregate trade."""
        render = market.agg_trade if stream.kind == "agg_trade" else market.trade
        return render(self._texts[stream.instrument], event_ms, one)

    def book_ticker(self, stream: Stream, touch: Touch) -> str:
        """Return the best bid and ask."""
        return market.book_ticker(self._texts[stream.instrument], touch)

    def partial_depth(self, stream: Stream, depth: Depth) -> str:
        """Return the top of the book."""
        return market.partial_depth(self._texts[stream.instrument], depth)

    def kline(self, stream: Stream, event_ms: int, bar: CandleView, *, is_closed: bool) -> str:
        """Return one bar."""
        interval = _INTERVAL_NAMES[stream.interval_ms]
        return market.kline(self._texts[stream.instrument], event_ms, interval, bar, is_closed=is_closed)


def _answer(result: Any, request_id: int | str | None) -> StreamAnswer:
    return StreamAnswer(encode({"result": result, "id": request_id}))


def _error(code: int, text: str, request_id: int | str | None) -> StreamAnswer:
    return StreamAnswer(encode({"error": {"code": code, "msg": text}, "id": request_id}))
