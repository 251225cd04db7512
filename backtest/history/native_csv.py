"""Our own CSV: one row per fact, decimal text, stamps in nanoseconds or the unit of the first row; see docs/data.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from backtest.history.amounts import Refuse, TimeColumn, check_amounts, text_choice, text_ints, text_steps
from backtest.history.csv_table import TextBatch, header_of, text_batches
from backtest.history.rows import BBO, FINE_STEP, KIND_NAMES, OTHER, Market, Rows, make_rows, priced
from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, BOTH, BUYER, LEVEL, SNAPSHOT, Int64s

CSV_COLUMNS: Final = ("exchange_time_ns", "local_time_ns", "instrument", "kind", "side", "price", "qty", "id", "clocks")
KINDS: Final = {name: kind for kind, name in KIND_NAMES.items()}
SIDES: Final = {"buy": BUYER, "sell": 0, "bid": BUYER, "ask": 0, "": 0}
CLOCKS: Final = {"both": BOTH, "exchange": AT_EXCHANGE, "local": AT_LOCAL}


def read_csv(path: Path, markets: Sequence[Market]) -> Iterator[Rows]:
    """Yield the rows of one file; instruments go by instrument id or venue symbol."""
    names = {name.lower(): i for i, m in enumerate(markets) for name in (m.instrument_id, m.venue_symbol)}
    times = {name: TimeColumn() for name in CSV_COLUMNS[:2]}
    for batch in text_batches(path, header_of(path, CSV_COLUMNS), has_header=True):
        yield _rows(batch, names, markets, times)


def _rows(batch: TextBatch, names: dict[str, int], markets: Sequence[Market], times: dict[str, TimeColumn]) -> Rows:
    text, refuse_in = batch.columns, batch.refuse_in
    stamps = {n: t.to_ns(text_ints(text[n], refuse_in(n)), refuse_in(n)) for n, t in times.items()}
    instrument = text_choice(text["instrument"], names, refuse_in("instrument"))
    kind = text_choice(text["kind"], KINDS, refuse_in("kind"))
    price, qty = (_amounts(batch, name, instrument, kind, markets) for name in ("price", "qty"))
    base = kind & ~SNAPSHOT
    check_amounts(price, qty, priced(base), (base == LEVEL) | (base == BBO), refuse_in)
    side = text_choice(text["side"], SIDES, refuse_in("side"))
    clocks = text_choice(text["clocks"], CLOCKS, refuse_in("clocks"))
    return make_rows(
        len(batch),
        **stamps,
        flags=kind | side | clocks,
        price_ticks=price,
        qty_lots=qty,
        id=text_ints(text["id"], refuse_in("id")),
        instrument=instrument,
        row=np.arange(batch.first_row, batch.first_row + len(batch)),
    )


def _amounts(batch: TextBatch, name: str, instrument: Int64s, kind: Int64s, markets: Sequence[Market]) -> Int64s:
    """Return `price` or `qty` in the steps of each row's market; facts that are not traded have steps of their own."""
    column, refuse = batch.columns[name], batch.refuse_in(name)
    traded = (kind & OTHER == 0) | (kind == BBO)
    used = np.unique(instrument)
    if len(used) == 1 and traded.all():
        return text_steps(column, markets[int(used[0])].step(name), refuse)
    values = np.zeros(len(batch), np.int64)
    parts = [(traded & (instrument == index), markets[int(index)].step(name)) for index in used]
    parts.append((~traded, FINE_STEP if name == "price" else Decimal(1)))
    for mask, step in parts:
        places = np.flatnonzero(mask)
        if len(places):
            values[places] = text_steps(column.take(pa.array(places)), step, _at(places, refuse))
    return values


def _at(places: Int64s, refuse: Refuse) -> Refuse:
    """Refuse by the place in a selection of rows."""
    return lambda index, text: refuse(int(places[index]), text)
