"""Hand-made public frames of the Binance Spot protocol, written from its documentation and from nothing of ours."""

from __future__ import annotations

import json
from typing import Any

E_MS = 1_723_161_255_208
"""A plausible event time, milliseconds."""


def trade(**changes: Any) -> dict[str, Any]:
    """One @trade payload."""
    return {
        "e": "trade", "E": E_MS, "s": "BTCUSDT", "t": 3735683259, "p": "61837.63000000", "q": "0.02000000",
        "T": E_MS - 1, "m": True, "M": True, **changes,
    }  # fmt: skip


def depth(**changes: Any) -> dict[str, Any]:
    """One @depth payload."""
    return {
        "e": "depthUpdate", "E": E_MS, "s": "BTCUSDT", "U": 101, "u": 104,
        "b": [["61837.63000000", "3.78826000"], ["61730.17000000", "0.00000000"]],
        "a": [["61837.64000000", "1.54698000"]], **changes,
    }  # fmt: skip


def book_ticker(**changes: Any) -> dict[str, Any]:
    """One @bookTicker payload: no type, no time."""
    return {
        "u": 50093239212, "s": "BTCUSDT", "b": "61837.63000000", "B": "3.78826000", "a": "61837.64000000",
        "A": "1.54698000", **changes,
    }  # fmt: skip


def kline(**changes: Any) -> dict[str, Any]:
    """One @kline_1m payload; changes go into its `k`."""
    body = {
        "t": 1_723_161_240_000, "T": 1_723_161_299_999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200,
        "o": "61800.00000000", "c": "61837.63000000", "h": "61900.10000000", "l": "61799.99000000",
        "v": "25.50000000", "n": 101, "x": False, "q": "1.0", "V": "1.0", "Q": "1.0", "B": "0", **changes,
    }  # fmt: skip
    return {"e": "kline", "E": E_MS, "s": "BTCUSDT", "k": body}


STREAMS = {"trade": "btcusdt@trade", "depthUpdate": "btcusdt@depth@100ms", "kline": "btcusdt@kline_1m"}


def bare(payload: dict[str, Any]) -> bytes:
    """The frame of a /ws/<stream> connection."""
    return json.dumps(payload, separators=(",", ":")).encode()


def combined(payload: dict[str, Any], stream: str = "") -> bytes:
    """The frame of a /stream connection."""
    name = stream or STREAMS.get(payload.get("e", ""), "btcusdt@bookTicker")
    return bare({"stream": name, "data": payload})


def exchange_info(*symbols: dict[str, Any]) -> bytes:
    """An exchangeInfo answer."""
    return bare({"timezone": "UTC", "serverTime": E_MS, "rateLimits": [], "symbols": list(symbols)})


def symbol(**changes: Any) -> dict[str, Any]:
    """One symbol with all the filters that matter."""
    return {
        "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT",
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "ocoAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000",
             "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "100.05381873",
             "stepSize": "0.00000000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True,
             "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
        ],
        **changes,
    }  # fmt: skip
