"""Server half: answers that need no key: rules, books, trades, bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tradebot.venues.binance import server_market as market
from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_desk import MAX_ROWS, Call, ServerDesk
from tradebot.venues.binance.server_errors import VenueError, missing
from tradebot.venues.binance.server_info import exchange_info
from tradebot.venues.server_api import PublicTrade

_DAY_MINUTES: Final = 1_440


class PublicAnswers:
    """One method per endpoint, named as its handler in `server_routes`."""

    def __init__(self, desk: ServerDesk) -> None:
        self._desk = desk

    def ping(self, call: Call) -> Any:
        return {}

    def time(self, call: Call) -> Any:
        return {"serverTime": call.now_ms}

    def exchange_info(self, call: Call) -> Any:
        instruments, _ = self._desk.instruments(call)
        return exchange_info([self._desk.backend.symbols[i] for i in instruments], self._desk.published, call.now_ms)

    def depth(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        return market.depth_body(self._desk.texts[i], self._desk.backend.depth(i, p.limit(call.params, 100, 5_000)))

    def trades(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        rows = self._desk.backend.public_trades(i)
        limit, from_id = p.limit(call.params, 500, MAX_ROWS), p.integer(call.params, "fromId")
        picked = rows[-limit:] if from_id is None else [one for one in rows if one.trade_id >= from_id][:limit]
        return [market.trade_row(self._desk.texts[i], one) for one in picked]

    def agg_trades(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        rows: Sequence[PublicTrade] = self._desk.backend.public_trades(i)
        limit, from_id = p.limit(call.params, 500, MAX_ROWS), p.integer(call.params, "fromId")
        start, end = p.integer(call.params, "startTime"), p.integer(call.params, "endTime")
        if from_id is not None:
            picked = [one for one in rows if one.trade_id >= from_id][:limit]
        elif start is None and end is None:
            picked = list(rows[-limit:])
        else:
            last = call.now_ms if end is None else end
            picked = [one for one in rows if (start or 0) <= one.time_ms <= last][:limit]
        return [market.agg_trade_row(self._desk.texts[i], one) for one in picked]

    def klines(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        interval = call.params.get("interval", "")
        if not interval:
            raise missing("interval")
        if interval not in market.INTERVALS_MS:
            raise VenueError(-1120, "Invalid interval.")
        bars = self._desk.backend.candles(
            i,
            market.INTERVALS_MS[interval],
            p.integer(call.params, "startTime") or 0,
            p.integer(call.params, "endTime"),
            p.limit(call.params, 500, MAX_ROWS),
            call.now_ns,
        )
        return [market.kline_row(self._desk.texts[i], bar) for bar in bars]

    def avg_price(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        bars = self._desk.backend.candles(i, 60_000, 0, None, 5, call.now_ns)
        lots, tick_lots = sum(bar.lots for bar in bars), sum(bar.tick_lots for bar in bars)
        price = tick_lots // lots if lots else bars[-1].close if bars else 0
        return {"mins": 5, "price": self._desk.texts[i].price(price), "closeTime": call.now_ms}

    def ticker_24h(self, call: Call) -> Any:
        instruments, is_single = self._desk.instruments(call)
        rows = []
        for i in instruments:
            bars = self._desk.backend.candles(i, 60_000, 0, None, _DAY_MINUTES, call.now_ns)
            last = self._desk.backend.public_trades(i)[-1:]
            if bars:
                lots = last[0].lots if last else 0
                rows.append(market.ticker_24h_row(self._desk.texts[i], bars, self._desk.backend.touch(i), lots))
        return rows[0] if is_single and rows else rows

    def ticker_price(self, call: Call) -> Any:
        instruments, is_single = self._desk.instruments(call)
        rows = []
        for i in instruments:
            last = self._desk.backend.candles(i, 60_000, 0, None, 1, call.now_ns)
            rows.append(market.price_row(self._desk.texts[i], last[-1].close if last else 0))
        return rows[0] if is_single else rows

    def book_ticker(self, call: Call) -> Any:
        instruments, is_single = self._desk.instruments(call)
        rows = [market.book_ticker_row(self._desk.texts[i], self._desk.backend.touch(i)) for i in instruments]
        return rows[0] if is_single else rows

    def system_status(self, call: Call) -> Any:
        return {"status": 0, "msg": "normal"}
