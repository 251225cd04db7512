"""Server half, market data: stream frames and REST bodies of the public market.

Frames are written by hand: they are the venue's own compact JSON, in the venue's key order, and cost a microsecond.
Shapes: `captures`-based tests compare keys and types with recorded frames. Source: market data streams and endpoints
documentation (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tradebot.venues.binance.server_format import SymbolText
from tradebot.venues.server_api import CandleView, Depth, PublicTrade, Touch

INTERVALS_MS: Final[dict[str, int]] = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
"""Kline intervals served. Longer ones are not aligned to the epoch and not simulated."""


def combined(stream: str, payload: str) -> str:
    """Return a payload in the combined-stream envelope."""
    return f'{{"stream":"{stream}","data":{payload}}}'


def depth_update(
    text: SymbolText,
    event_ms: int,
    first_id: int,
    final_id: int,
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
) -> str:
    """Return a diff: absolute lots per level, 0 = gone."""
    price, qty = text.price, text.qty
    b = ",".join(f'["{price(p)}","{qty(q)}"]' for p, q in bids)
    a = ",".join(f'["{price(p)}","{qty(q)}"]' for p, q in asks)
    return f'{{"e":"depthUpdate","E":{event_ms},"s":"{text.symbol}","U":{first_id},"u":{final_id},"b":[{b}],"a":[{a}]}}'


def trade(text: SymbolText, event_ms: int, one: PublicTrade) -> str:
    """Return one trade. The buyer and seller order ids are gone since 2024."""
    maker = "true" if one.buyer_is_maker else "false"
    return (
        f'{{"e":"trade","E":{event_ms},"s":"{text.symbol}","t":{one.trade_id},"p":"{text.price(one.price)}",'
        f'"q":"{text.qty(one.lots)}","T":{one.time_ms},"m":{maker},"M":true}}'
    )


def agg_trade(text: SymbolText, event_ms: int, one: PublicTrade) -> str:
    """Return one trade as an aggregate of itself: takers here print once per price."""
    maker = "true" if one.buyer_is_maker else "false"
    return (
        f'{{"e":"aggTrade","E":{event_ms},"s":"{text.symbol}","a":{one.trade_id},"p":"{text.price(one.price)}",'
        f'"q":"{text.qty(one.lots)}","f":{one.trade_id},"l":{one.trade_id},"T":{one.time_ms},"m":{maker},"M":true}}'
    )


def book_ticker(text: SymbolText, touch: Touch) -> str:
    """Return the best bid and ask: no event type and no time."""
    return (
        f'{{"u":{touch.update_id},"s":"{text.symbol}","b":"{text.price(touch.bid)}","B":"{text.qty(touch.bid_lots)}",'
        f'"a":"{text.price(touch.ask)}","A":"{text.qty(touch.ask_lots)}"}}'
    )


def partial_depth(text: SymbolText, depth: Depth) -> str:
    """Return the top of the book: no symbol and no time."""
    price, qty = text.price, text.qty
    b = ",".join(f'["{price(p)}","{qty(q)}"]' for p, q in depth.bids)
    a = ",".join(f'["{price(p)}","{qty(q)}"]' for p, q in depth.asks)
    return f'{{"lastUpdateId":{depth.last_update_id},"bids":[{b}],"asks":[{a}]}}'


def kline(text: SymbolText, event_ms: int, interval: str, bar: CandleView, *, is_closed: bool) -> str:
    """Return one bar, forming or closed."""
    closed = "true" if is_closed else "false"
    return (
        f'{{"e":"kline","E":{event_ms},"s":"{text.symbol}","k":{{"t":{bar.open_time_ms},'
        f'"T":{bar.open_time_ms + bar.interval_ms - 1},"s":"{text.symbol}","i":"{interval}","f":{bar.first_trade_id},'
        f'"L":{bar.last_trade_id},"o":"{text.price(bar.open)}","c":"{text.price(bar.close)}",'
        f'"h":"{text.price(bar.high)}","l":"{text.price(bar.low)}","v":"{text.qty(bar.lots)}","n":{bar.trades},'
        f'"x":{closed},"q":"{text.quote_of(bar.tick_lots)}","V":"{text.qty(bar.taker_buy_lots)}",'
        f'"Q":"{text.quote_of(bar.taker_buy_tick_lots)}","B":"0"}}}}'
    )


# --- REST bodies -----------------------------------------------------------------------------------------------------


def depth_body(text: SymbolText, depth: Depth) -> dict[str, Any]:
    """Return a depth snapshot."""
    return {
        "lastUpdateId": depth.last_update_id,
        "bids": text.levels(depth.bids),
        "asks": text.levels(depth.asks),
    }


def kline_row(text: SymbolText, bar: CandleView) -> list[Any]:
    """Return one row of the klines answer."""
    return [
        bar.open_time_ms,
        text.price(bar.open),
        text.price(bar.high),
        text.price(bar.low),
        text.price(bar.close),
        text.qty(bar.lots),
        bar.open_time_ms + bar.interval_ms - 1,
        text.quote_of(bar.tick_lots),
        bar.trades,
        text.qty(bar.taker_buy_lots),
        text.quote_of(bar.taker_buy_tick_lots),
        "0",
    ]


def trade_row(text: SymbolText, one: PublicTrade) -> dict[str, Any]:
    """Return one row of the trades answer."""
    return {
        "id": one.trade_id,
        "price": text.price(one.price),
        "qty": text.qty(one.lots),
        "quoteQty": text.quote_of(one.price * one.lots),
        "time": one.time_ms,
        "isBuyerMaker": one.buyer_is_maker,
        "isBestMatch": True,
    }


def agg_trade_row(text: SymbolText, one: PublicTrade) -> dict[str, Any]:
    """Return one row of the aggTrades answer."""
    return {
        "a": one.trade_id,
        "p": text.price(one.price),
        "q": text.qty(one.lots),
        "f": one.trade_id,
        "l": one.trade_id,
        "T": one.time_ms,
        "m": one.buyer_is_maker,
        "M": True,
    }


def price_row(text: SymbolText, last_price: int) -> dict[str, Any]:
    """Return one row of ticker/price."""
    return {"symbol": text.symbol, "price": text.price(last_price)}


def book_ticker_row(text: SymbolText, touch: Touch) -> dict[str, Any]:
    """Return one row of ticker/bookTicker."""
    return {
        "symbol": text.symbol,
        "bidPrice": text.price(touch.bid),
        "bidQty": text.qty(touch.bid_lots),
        "askPrice": text.price(touch.ask),
        "askQty": text.qty(touch.ask_lots),
    }


def ticker_24h_row(text: SymbolText, bars: Sequence[CandleView], touch: Touch, last_lots: int) -> dict[str, Any]:
    """Return one row of ticker/24hr from the minute bars of the last day (oldest first, at least one)."""
    first, last = bars[0], bars[-1]
    lots = sum(bar.lots for bar in bars)
    tick_lots = sum(bar.tick_lots for bar in bars)
    change = last.close - first.open
    ids = [bar.first_trade_id for bar in bars if bar.trades]
    sign = "-" if change < 0 else ""
    return {
        "symbol": text.symbol,
        "priceChange": sign + text.price(abs(change)),
        "priceChangePercent": f"{100 * change / first.open:.3f}",
        "weightedAvgPrice": text.price(tick_lots // lots if lots else last.close),
        "prevClosePrice": text.price(first.open),
        "lastPrice": text.price(last.close),
        "lastQty": text.qty(last_lots),
        **{key: value for key, value in book_ticker_row(text, touch).items() if key != "symbol"},
        "openPrice": text.price(first.open),
        "highPrice": text.price(max(bar.high for bar in bars)),
        "lowPrice": text.price(min(bar.low for bar in bars)),
        "volume": text.qty(lots),
        "quoteVolume": text.quote_of(tick_lots),
        "openTime": first.open_time_ms,
        "closeTime": last.open_time_ms + last.interval_ms - 1,
        "firstId": ids[0] if ids else -1,
        "lastId": max((bar.last_trade_id for bar in bars), default=-1),
        "count": sum(bar.trades for bar in bars),
    }
