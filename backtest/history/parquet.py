"""Parquet: our own integer columns (`tradebot data convert` writes them), or the columns of our CSV in any type.

A file of ours carries its instruments and their steps, so reading it needs nothing else, and the same rows give the
same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from backtest.history.amounts import FIRST_NS, LAST_NS, Refuse, check_amounts
from backtest.history.csv_table import TextBatch
from backtest.history.native_csv import CSV_COLUMNS, TextReader
from backtest.history.rows import (
    BBO,
    CHUNK_ROWS,
    DTYPES,
    KIND_NAMES,
    DataError,
    Market,
    Rows,
    concat,
    make_rows,
    priced,
)
from tradebot.core.columns import KIND_MASK, LEVEL, SNAPSHOT

FORMAT: Final = "1"
ROW_GROUP_ROWS: Final = 524_288
FILE_COLUMNS: Final = ("exchange_time_ns", "local_time_ns", "flags", "price_ticks", "qty_lots", "id", "instrument")
SCHEMA: Final = pa.schema([(name, pa.from_numpy_dtype(np.dtype(DTYPES[name]))) for name in FILE_COLUMNS])
_FORMAT_KEY, _MARKETS_KEY = b"tradebot.history", b"tradebot.markets"
_DELTA: Final = [name for name in FILE_COLUMNS if DTYPES[name] is np.int64]
_KINDS: Final = np.array(sorted(KIND_NAMES), np.uint8)


def markets_in(path: Path) -> tuple[Market, ...]:
    """Return the instruments that a file of ours describes; empty for any other Parquet file."""
    metadata = _open(path).schema_arrow.metadata or {}
    if _FORMAT_KEY not in metadata:
        return ()
    if metadata[_FORMAT_KEY].decode() != FORMAT:
        raise DataError(
            path, None, "", f"written in format {metadata[_FORMAT_KEY].decode()}, this program reads {FORMAT}"
        )
    try:
        return tuple(
            Market(m["instrument_id"], m["venue_symbol"], Decimal(m["tick_size"]), Decimal(m["lot_size"]))
            for m in json.loads(metadata[_MARKETS_KEY])
        )
    except (KeyError, ValueError, ArithmeticError) as exc:
        raise DataError(path, None, "", f"its description of the instruments is damaged ({exc})") from exc


def read_parquet(path: Path, markets: Sequence[Market]) -> Iterator[Rows]:
    """Yield the rows of one file."""
    file = _open(path)
    own = set(file.schema_arrow.names) == set(FILE_COLUMNS)
    if own and file.schema_arrow.remove_metadata() != SCHEMA:
        wrong = [f.name for f in SCHEMA if file.schema_arrow.field(f.name).type != f.type]
        raise DataError(path, None, wrong[0] if wrong else "", "is not of the documented type")
    if not own and not set(CSV_COLUMNS) <= set(file.schema_arrow.names):
        missing = next(name for name in CSV_COLUMNS if name not in file.schema_arrow.names)
        raise DataError(path, None, missing, f"is missing; needed are {', '.join(CSV_COLUMNS)}")
    text = TextReader(markets)
    first = 1
    columns = FILE_COLUMNS if own else CSV_COLUMNS
    try:
        for batch in file.iter_batches(CHUNK_ROWS, columns=list(columns), use_threads=False):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if column.null_count:
                    raise DataError(path, first + int(np.argmax(column.is_null())), name, "the value is missing")
            yield _own_rows(path, first, batch, markets) if own else text.rows(_as_text(path, first, batch))
            first += batch.num_rows
    except (pa.ArrowException, OSError) as exc:
        raise DataError(path, None, "", f"damaged after row {first - 1} ({str(exc)[:120]})") from exc


def _own_rows(path: Path, first: int, batch: Any, markets: Sequence[Market]) -> Rows:
    columns = {name: batch.column(name).to_numpy() for name in FILE_COLUMNS}

    def refuse_in(column: str) -> Refuse:
        def refuse(index: int, text: str) -> NoReturn:
            names = {"price": "price_ticks", "qty": "qty_lots"}
            raise DataError(path, first + index, names.get(column, column), text)

        return refuse

    rows = make_rows(batch.num_rows, **columns, row=np.arange(first, first + batch.num_rows))
    kinds = rows.kinds
    wrong: dict[str, Any] = {
        "instrument": (rows.instrument < 0) | (rows.instrument >= len(markets)),
        "flags": ~np.isin(kinds | (rows.flags & np.uint8(SNAPSHOT)), _KINDS) & ~np.isin(kinds, np.arange(4, 8)),
        **{
            name: (getattr(rows, name) < FIRST_NS) | (getattr(rows, name) >= LAST_NS)
            for name in ("exchange_time_ns", "local_time_ns")
        },
    }
    for name, mask in wrong.items():
        if mask.any():
            index = int(np.argmax(mask))
            refuse_in(name)(index, f"{getattr(rows, name)[index]} is not a value of this column")
    check_amounts(
        rows.price_ticks, rows.qty_lots, priced(kinds), (kinds & KIND_MASK == LEVEL) | (kinds == BBO), refuse_in
    )
    return rows


def _as_text(path: Path, first: int, batch: Any) -> TextBatch:
    return TextBatch(path, first, {name: pc.cast(batch.column(name), pa.string()) for name in CSV_COLUMNS})


def write_parquet(path: Path, chunks: Iterable[Rows], markets: Sequence[Market]) -> int:
    """Write a file; return its number of rows."""
    described = [
        {
            "instrument_id": m.instrument_id,
            "venue_symbol": m.venue_symbol,
            "tick_size": f"{m.tick_size:f}",
            "lot_size": f"{m.lot_size:f}",
        }
        for m in markets
    ]
    count, waiting, waiting_rows = 0, [], 0
    with parquet.ParquetWriter(
        path, SCHEMA, compression="zstd", use_dictionary=["flags", "instrument"], store_schema=False,
        column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
    ) as writer:  # fmt: skip
        writer.add_key_value_metadata({_FORMAT_KEY: FORMAT, _MARKETS_KEY: json.dumps(described)})
        for rows in chunks:
            waiting.append(rows)
            waiting_rows += len(rows)
            while waiting_rows >= ROW_GROUP_ROWS:
                whole = concat(waiting)
                writer.write_table(_table(whole.take(slice(0, ROW_GROUP_ROWS))))
                waiting = [whole.take(slice(ROW_GROUP_ROWS, None))]
                waiting_rows -= ROW_GROUP_ROWS
            count += len(rows)
        if waiting_rows:
            writer.write_table(_table(concat(waiting)))
    return count


def _table(rows: Rows) -> Any:
    return pa.table([pa.array(getattr(rows, name)) for name in FILE_COLUMNS], schema=SCHEMA)


def _open(path: Path) -> Any:
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError as exc:
        raise DataError(path, None, "", "no such file") from exc
    except (pa.ArrowException, OSError) as exc:
        raise DataError(path, None, "", f"not a readable Parquet file ({str(exc)[:120]}): is it complete?") from exc
