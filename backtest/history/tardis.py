"""Tardis-style CSV: incremental_book_L2, trades, quotes or book_ticker; stamps in microseconds, usually gzip.

Source: https://docs.tardis.dev/downloadable-csv-files/data-types (read 2026-11-21): a snapshot row after a row that is
none discards the whole book, and updates before the first snapshot are to be skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backtest.history.amounts import TimeColumn
from backtest.history.csv_table import TextBatch, first_line, text_batches
from backtest.history.rows import BBO, DataError, Market, Notes, Rows, concat, make_rows
from tradebot.core.columns import BOTH, BUYER, CLEAR, LEVEL, SNAPSHOT, TRADE, Int64s

_HEAD: Final = ("exchange", "symbol", "timestamp", "local_timestamp")
BOOK_COLUMNS: Final = (*_HEAD, "is_snapshot", "side", "price", "amount")
TRADE_COLUMNS: Final = (*_HEAD, "id", "side", "price", "amount")
QUOTE_COLUMNS: Final = (*_HEAD, "ask_amount", "ask_price", "bid_price", "bid_amount")
HEADERS: Final = (BOOK_COLUMNS, TRADE_COLUMNS, QUOTE_COLUMNS)
_SIDES: Final = {"buy": BUYER, "bid": BUYER, "sell": 0, "ask": 0}


def read_tardis(path: Path, markets: Sequence[Market], notes: Notes) -> Iterator[Rows]:
    """Yield the rows of one file; its header says which data type it is."""
    header = tuple(first_line(path))
    if header not in HEADERS:
        expected = " or ".join(",".join(one[4:]) for one in HEADERS)
        raise DataError(path, 1, "", f"the header must be {','.join(_HEAD)} and then {expected}")
    names = {market.venue_symbol.lower(): i for i, market in enumerate(markets)}
    times = TimeColumn("us"), TimeColumn("us")
    book = _Book(notes)
    for batch in text_batches(path, header, has_header=True):
        index = batch.choice("symbol", names)
        if (index != index[0]).any():
            at = int(np.argmax(index != index[0]))
            batch.refuse_in("symbol")(at, "a second instrument in one file: split it first")
        columns = {
            "exchange_time_ns": batch.times("timestamp", times[0]),
            "local_time_ns": batch.times("local_timestamp", times[1]),
            "instrument": index,
            "row": batch.numbers,
        }
        market = markets[int(index[0])]
        if header == QUOTE_COLUMNS:
            yield _quotes(batch, market, columns)
        elif header == TRADE_COLUMNS:
            yield _trades(batch, market, columns)
        else:
            yield book.rows(batch, market, columns)


def _trades(batch: TextBatch, market: Market, columns: dict[str, Int64s]) -> Rows:
    price, qty = batch.amounts(market, "price", "amount", zero_ok=False)
    side = batch.choice("side", _SIDES)
    ids = batch.columns["id"]
    numbers = pc.all(pc.match_substring_regex(ids, "^[0-9]{1,18}$")).as_py()
    id_column = pc.cast(ids, pa.int64()).to_numpy(zero_copy_only=False) if numbers else 0
    flags = TRADE | BOTH | side
    return make_rows(len(batch), **columns, flags=flags, price_ticks=price, qty_lots=qty, id=id_column)


def _quotes(batch: TextBatch, market: Market, columns: dict[str, Int64s]) -> Rows:
    """Return one row for the bid and one for the ask of each quote."""
    bid = batch.amounts(market, "bid_price", "bid_amount", zero_ok=True)
    ask = batch.amounts(market, "ask_price", "ask_amount", zero_ok=True)
    price, qty = (np.stack(pair, axis=1).ravel() for pair in zip(bid, ask, strict=True))
    doubled = {name: np.repeat(column, 2) for name, column in columns.items()}
    flags = np.tile(np.array([BBO | BOTH | BUYER, BBO | BOTH], np.uint8), len(batch))
    return make_rows(2 * len(batch), **doubled, flags=flags, price_ticks=price, qty_lots=qty)


class _Book:
    """Rows of incremental_book_L2, with a clear of both sides before each snapshot."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._in_snapshot = False
        self._had_snapshot = False

    def rows(self, batch: TextBatch, market: Market, columns: dict[str, Int64s]) -> Rows:
        price, qty = batch.amounts(market, "price", "amount", zero_ok=True)
        choice = {"true": 1, "false": 0}
        snapshot = batch.choice("is_snapshot", choice) == 1
        side = batch.choice("side", _SIDES)
        flags = LEVEL | BOTH | side | np.where(snapshot, SNAPSHOT, 0)
        rows = make_rows(len(batch), **columns, flags=flags, price_ticks=price, qty_lots=qty)
        first = snapshot & ~np.concatenate([[self._in_snapshot], snapshot[:-1]])
        self._in_snapshot = bool(snapshot[-1])
        if not self._had_snapshot:
            start = int(np.argmax(first)) if first.any() else len(rows)
            self._notes.add("book updates before the first snapshot, left out", start)
            self._had_snapshot = bool(first.any())
            rows, first = rows.take(slice(start, None)), first[start:]
        return _with_clears(rows, np.flatnonzero(first))


def _with_clears(rows: Rows, starts: Int64s) -> Rows:
    """Write a clear of both sides before the rows at `starts`."""
    parts, last = [], 0
    nothing = np.zeros(2, np.int64)
    both_sides = np.array([CLEAR | BOTH | BUYER, CLEAR | BOTH], np.uint8)
    for start in starts.tolist():
        at_start = rows.take(np.array([start, start]))
        parts += [
            rows.take(slice(last, start)),
            at_start.replace(flags=both_sides, price_ticks=nothing, qty_lots=nothing),
        ]
        last = start
    return concat([*parts, rows.take(slice(last, None))])
