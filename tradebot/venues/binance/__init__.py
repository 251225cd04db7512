"""Binance Spot. Facts and their sources: NOTES.md. The two halves of the protocol share nothing but core types."""

from __future__ import annotations

from typing import Final

from tradebot.core.instruments import Product
from tradebot.venues.api import BookSeed, Feed, VenueSpec
from tradebot.venues.binance.limits import MAX_DEPTH, STREAM_LIMITS, WEIGHT_LIMIT

BAR_INTERVALS_MS: Final[dict[int, str]] = {
    1_000: "1s",
    60_000: "1m",
    180_000: "3m",
    300_000: "5m",
    900_000: "15m",
    1_800_000: "30m",
    3_600_000: "1h",
    7_200_000: "2h",
    14_400_000: "4h",
    21_600_000: "6h",
    28_800_000: "8h",
    43_200_000: "12h",
    86_400_000: "1d",
    259_200_000: "3d",
    604_800_000: "1w",
}
"""1M is left out: a month is no fixed length."""

SPEC: Final = VenueSpec(
    name="binance",
    products=frozenset({Product.SPOT}),
    feeds=frozenset({Feed.TRADES, Feed.BOOK, Feed.BBO, Feed.BARS}),
    book_seed=BookSeed.REST,
    max_book_depth=MAX_DEPTH,
    stream_limits=STREAM_LIMITS,
    weight_limit=WEIGHT_LIMIT,
    bar_intervals_ms=BAR_INTERVALS_MS,
    max_bars=1000,
    endpoints={
        "rest": "https://api.binance.com",
        "market_ws": "wss://stream.binance.com:9443",
        "trade_ws": "wss://ws-api.binance.com:443/ws-api/v3",
        "testnet_rest": "https://testnet.binance.vision",
        "testnet_market_ws": "wss://stream.testnet.binance.vision",
        "testnet_trade_ws": "wss://ws-api.testnet.binance.vision/ws-api/v3",
        "demo_rest": "https://demo-api.binance.com",
        "demo_market_ws": "wss://demo-stream.binance.com",
        "demo_trade_ws": "wss://demo-ws-api.binance.com/ws-api/v3",
    },
)
