"""The recorder's SQLite database: trades, book snapshots and funding, read without disturbing the recorder.

The recorder keeps the best levels at intervals, not every diff, so the book here moves in steps: each snapshot clears
both sides and writes its levels. Funding rows carry no receive time; they are taken as received when they happened.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from backtest.history.rows import CHUNK_ROWS, FINE_STEP, FUNDING_RATE, DataError, Market, Rows, make_rows
from tradebot.core.columns import BOTH, BUYER, CLEAR, LEVEL, SNAPSHOT, TRADE
from tradebot.venues.steps import StepReader

FETCH_ROWS: Final = 4_096
"""Rows taken from a cursor at once."""
_INSTRUMENTS: Final = "SELECT symbol, venue_symbol, tick_size, lot_size FROM instruments ORDER BY symbol"
_TRADES: Final = "SELECT id, receive_ts, ts, side, px, qty FROM trades WHERE symbol = ? ORDER BY id"
_BOOKS: Final = (
    "SELECT update_id, receive_ts, ts, bid_px, bid_qty, ask_px, ask_qty FROM orderbook_l2 WHERE symbol = ? "
    "ORDER BY receive_ts"
)
_FUNDING: Final = "SELECT next_ts, ts, rate FROM funding WHERE symbol = ? ORDER BY ts"
_SIDES: Final = {"BUY": BUYER, "SELL": 0}
Item = tuple[int, int, list[tuple[int, ...]]]
"""(local time, order at equal times, rows)."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for reading only."""
    if not path.is_file():
        raise DataError(path, None, "", "no such file")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        db.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as exc:
        raise DataError(path, None, "", f"not a readable database ({exc})") from exc
    return db


def markets_in(path: Path) -> tuple[Market, ...]:
    """Return the instruments of a database."""
    try:
        rows = connect(path).execute(_INSTRUMENTS)
        return tuple(Market(name, symbol, Decimal(tick), Decimal(lot)) for name, symbol, tick, lot in rows)
    except (sqlite3.Error, ArithmeticError) as exc:
        raise DataError(path, None, "instruments", f"not the recorder's table ({exc})") from exc


def read_database(path: Path, markets: tuple[Market, ...]) -> Iterator[Rows]:
    """Yield the rows of all markets in order of receive time; `row` counts them, as a database has no lines."""
    db = connect(path)
    streams = [
        stream
        for index, market in enumerate(markets)
        for stream in (
            _items(path, db, _BOOKS, market, index, "orderbook_l2", _book),
            _items(path, db, _TRADES, market, index, "trades", _trade),
            _items(path, db, _FUNDING, market, index, "funding", _funding),
        )
    ]
    out: list[tuple[int, ...]] = []
    first = 1
    try:
        for _, _, rows in heapq.merge(*streams, key=lambda item: item[:2]):
            out += rows
            if len(out) >= CHUNK_ROWS:
                yield _pack(out, first)
                first += len(out)
                out = []
    except sqlite3.Error as exc:
        raise DataError(path, None, "", f"damaged after {first + len(out) - 1} rows ({exc})") from exc
    if out:
        yield _pack(out, first)


def _items(
    path: Path, db: sqlite3.Connection, sql: str, market: Market, index: int, table: str, convert: Any
) -> Iterator[Item]:
    ticks, lots, fine = StepReader(market.tick_size), StepReader(market.lot_size), StepReader(FINE_STEP)
    cursor = db.execute(sql, (market.instrument_id,))
    cursor.arraysize = FETCH_ROWS
    newest_ns, number = 0, 0
    while batch := cursor.fetchmany():
        for values in batch:
            number += 1
            try:
                at_ns, local_ns, rows = convert(values, ticks, lots, fine)
            except (ValueError, KeyError, TypeError) as exc:
                where = f"{market.instrument_id} {table}"
                raise DataError(path, number, where, f"row {values[0]}: {exc}") from exc
            newest_ns = max(newest_ns, local_ns)  # trades are read by id: their receive time may step back a little
            yield newest_ns, 3 * index, [(at_ns, newest_ns, *row, index) for row in rows]


def _trade(values: Any, ticks: StepReader, lots: StepReader, _: StepReader) -> tuple[int, int, list[tuple[int, ...]]]:
    id_, local_ns, at_ns, side, price, qty = values
    if not lots[qty] or not ticks[price]:
        raise ValueError("a trade has a price and a quantity above zero")
    return at_ns, local_ns, [(TRADE | BOTH | _SIDES[side], ticks[price], lots[qty], id_)]


def _book(values: Any, ticks: StepReader, lots: StepReader, _: StepReader) -> tuple[int, int, list[tuple[int, ...]]]:
    update_id, local_ns, at_ns, *columns = values
    bid_px, bid_qty, ask_px, ask_qty = (json.loads(text) for text in columns)
    rows: list[tuple[int, ...]] = [(CLEAR | BOTH | BUYER, 0, 0, update_id), (CLEAR | BOTH, 0, 0, update_id)]
    for side, prices, quantities in ((BUYER, bid_px, bid_qty), (0, ask_px, ask_qty)):
        flags = LEVEL | SNAPSHOT | BOTH | side
        rows += [(flags, ticks[p], lots[q], update_id) for p, q in zip(prices, quantities, strict=True)]
    return at_ns, local_ns, rows


def _funding(values: Any, _: StepReader, __: StepReader, fine: StepReader) -> tuple[int, int, list[tuple[int, ...]]]:
    due_ns, at_ns, rate = values
    sign = -1 if rate.startswith("-") else 1
    return at_ns, at_ns, [(FUNDING_RATE | BOTH, sign * fine[rate.removeprefix("-")], due_ns, 0)]


def _pack(out: list[tuple[int, ...]], first: int) -> Rows:
    at_ns, local_ns, flags, ticks, lots, ids, instrument = zip(*out, strict=True)
    return make_rows(
        len(out), exchange_time_ns=at_ns, local_time_ns=local_ns, flags=flags, price_ticks=ticks, qty_lots=lots,
        id=ids, instrument=instrument, row=range(first, first + len(out)),
    )  # fmt: skip
