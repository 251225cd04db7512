"""Our own CSV: one row per fact, decimal text, stamps in nanoseconds or the unit of the first row; see docs/data.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from backtest.history.amounts import Refuse, TimeColumn, check_amounts, text_ints, text_steps
from backtest.history.csv_table import TextBatch, header_of, text_batches
from backtest.history.rows import (
    BBO,
    COLUMNS,
    FINE_STEP,
    KIND_BITS,
    KIND_NAMES,
    OTHER,
    DataError,
    Market,
    Rows,
    make_rows,
    priced,
)
from tradebot.core.amounts import format_decimal
from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, BOTH, BUYER, LEVEL, SNAPSHOT, Int64s

CSV_COLUMNS: Final = ("exchange_time_ns", "local_time_ns", "instrument", "kind", "side", "price", "qty", "id", "clocks")
KINDS: Final = {name: kind for kind, name in KIND_NAMES.items()}
SIDES: Final = {"buy": BUYER, "sell": 0, "bid": BUYER, "ask": 0, "": 0}
CLOCKS: Final = {"both": BOTH, "exchange": AT_EXCHANGE, "local": AT_LOCAL}


def read_csv(path: Path, markets: Sequence[Market]) -> Iterator[Rows]:
    """Yield the rows of one file; instruments go by instrument id or venue symbol."""
    reader = TextReader(markets)
    for batch in text_batches(path, header_of(path, CSV_COLUMNS), has_header=True):
        yield reader.rows(batch)


class TextReader:
    """Rows of one file from its text columns."""

    def __init__(self, markets: Sequence[Market]) -> None:
        self._markets = markets
        self._names = {name.lower(): i for i, m in enumerate(markets) for name in (m.instrument_id, m.venue_symbol)}
        self._times = {name: TimeColumn() for name in CSV_COLUMNS[:2]}

    def rows(self, batch: TextBatch) -> Rows:
        """Return the rows of one batch, all of them or none."""
        stamps = {name: batch.times(name, column) for name, column in self._times.items()}
        instrument, kind = batch.choice("instrument", self._names), batch.choice("kind", KINDS)
        price, qty = (_amounts(batch, name, instrument, kind, self._markets) for name in ("price", "qty"))
        base = kind & ~SNAPSHOT
        check_amounts(price, qty, priced(base), (base == LEVEL) | (base == BBO), batch.refuse_in)
        return make_rows(
            len(batch),
            **stamps,
            flags=kind | batch.choice("side", SIDES) | batch.choice("clocks", CLOCKS),
            price_ticks=price,
            qty_lots=qty,
            id=batch.ints("id"),
            instrument=instrument,
            row=batch.numbers,
        )


def write_csv(path: Path, chunks: Iterable[Rows], markets: Sequence[Market]) -> int:
    """Write rows; return their number. Kinds that only the other formats know are refused."""
    count = 0
    clocks = {bits: name for name, bits in CLOCKS.items()}
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(CSV_COLUMNS) + "\n")
        for rows in chunks:
            for at_ns, local_ns, flags, ticks, lots, id_, index in zip(
                *(getattr(rows, name).tolist() for name in COLUMNS[:7]), strict=True
            ):
                kind = KIND_NAMES.get(flags & (KIND_BITS | SNAPSHOT))
                if kind is None:
                    raise DataError(path, count + 2, "kind", "rows of single orders have no CSV form")
                market = markets[index]
                fact = flags & OTHER and kind != "bbo"
                price = ticks * (FINE_STEP if fact else market.tick_size)
                qty = Decimal(lots) if fact else lots * market.lot_size
                side = "buy" if flags & BUYER else "sell"
                amounts = f"{format_decimal(price)},{format_decimal(qty)}"
                name = clocks[flags & BOTH]
                file.write(f"{at_ns},{local_ns},{market.instrument_id},{kind},{side},{amounts},{id_},{name}\n")
                count += 1
    return count


def _amounts(batch: TextBatch, name: str, instrument: Int64s, kind: Int64s, markets: Sequence[Market]) -> Int64s:
    """Return `price` or `qty` in the steps of each row's market; facts that are not traded have steps of their own."""
    column, refuse = batch.columns[name], batch.refuse_in(name)
    traded = (kind & OTHER == 0) | (kind == BBO)
    used = np.unique(instrument)
    if len(used) == 1 and traded.all():
        return text_steps(column, markets[int(used[0])].step(name), refuse)
    values = np.zeros(len(batch), np.int64)
    parts = [(traded & (instrument == index), markets[int(index)].step(name)) for index in used]
    if name == "price":
        parts.append((~traded, FINE_STEP))
    else:  # a time, which has more digits than any amount
        places = np.flatnonzero(~traded)
        values[places] = text_ints(column.take(pa.array(places)), _at(places, refuse))
    for mask, step in parts:
        places = np.flatnonzero(mask)
        if len(places):
            values[places] = text_steps(column.take(pa.array(places)), step, _at(places, refuse))
    return values


def _at(places: Int64s, refuse: Refuse) -> Refuse:
    """Refuse by the place in a selection of rows."""
    return lambda index, text: refuse(int(places[index]), text)
