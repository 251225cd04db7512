"""Binance public data: trades, aggTrades and bookTicker files of spot, USD-M and COIN-M, zip or CSV.

Source: https://github.com/binance/binance-public-data (read 2026-11-21). Futures files have a header since 2022, spot
files have none; stamps are milliseconds, in spot files since 2025-01-01 microseconds. The files carry no receive time:
`local_time_ns` is the exchange time plus an assumed feed latency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from backtest.history.amounts import TimeColumn
from backtest.history.csv_table import TextBatch, first_line, text_batches
from backtest.history.rows import BBO, DataError, Market, Rows, make_rows
from tradebot.core.columns import BOTH, BUYER, TRADE

COLUMNS: Final = {
    "trades": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    "aggTrades": (
        "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker",
        "is_best_match",
    ),
    "bookTicker": (
        "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time",
        "event_time",
    ),
}  # fmt: skip
"""Data type -> columns by our names; files of futures trades lack the last one."""
FILE_NAME: Final = re.compile(r"^(?P<symbol>[A-Z0-9_]+)-(?P<type>trades|aggTrades|bookTicker)-\d{4}-\d{2}")
_BOOLS: Final = {"true": 0, "false": BUYER}
"""is_buyer_maker -> side of the aggressor: when the buyer made, the seller took."""


def read_binance(path: Path, markets: Sequence[Market], feed_latency_ns: int) -> Iterator[Rows]:
    """Yield the rows of one file; its name says instrument and data type, as at the venue."""
    named = FILE_NAME.match(path.name)
    if named is None:
        raise DataError(path, None, "", "the name must be the venue's own, such as BTCUSDT-trades-2025-01-31.zip")
    found = [(i, market) for i, market in enumerate(markets) if market.venue_symbol == named["symbol"]]
    if not found:
        names = ", ".join(market.venue_symbol for market in markets)
        raise DataError(path, None, "", f"the file is about {named['symbol']}, asked for was {names}: wrong instrument")
    index, market = found[0]
    head = first_line(path)
    columns = COLUMNS[named["type"]][: len(head)]
    if len(head) < len(COLUMNS[named["type"]]) - 1 or len(columns) != len(head):
        raise DataError(path, 1, "", f"{len(head)} columns, expected {','.join(COLUMNS[named['type']])}")
    has_header = not head[0].isdecimal()
    times = TimeColumn()
    for batch in text_batches(path, columns, has_header=has_header):
        rows = _quotes(batch, market, times) if named["type"] == "bookTicker" else _trades(batch, market, times)
        yield rows.replace(
            local_time_ns=rows.exchange_time_ns + feed_latency_ns,
            instrument=np.full(len(rows), index, np.int16),
        )


def _trades(batch: TextBatch, market: Market, times: TimeColumn) -> Rows:
    names = list(batch.columns)
    time, maker = names[5 if names[0] == "agg_trade_id" else 4], "is_buyer_maker"
    price, qty = batch.amounts(market, names[1], names[2], zero_ok=False)
    side = batch.choice(maker, _BOOLS)
    return make_rows(
        len(batch),
        exchange_time_ns=batch.times(time, times),
        flags=TRADE | BOTH | side,
        price_ticks=price,
        qty_lots=qty,
        id=batch.ints(names[0]),
        row=batch.numbers,
    )


def _quotes(batch: TextBatch, market: Market, times: TimeColumn) -> Rows:
    bid = batch.amounts(market, "best_bid_price", "best_bid_qty", zero_ok=True)
    ask = batch.amounts(market, "best_ask_price", "best_ask_qty", zero_ok=True)
    price, qty = (np.stack(pair, axis=1).ravel() for pair in zip(bid, ask, strict=True))
    stamp = batch.times("transaction_time", times)
    return make_rows(
        2 * len(batch),
        exchange_time_ns=np.repeat(stamp, 2),
        flags=np.tile(np.array([BBO | BOTH | BUYER, BBO | BOTH], np.uint8), len(batch)),
        price_ticks=price,
        qty_lots=qty,
        id=np.repeat(batch.ints("update_id"), 2),
        row=np.repeat(batch.numbers, 2),
    )
