"""From paths to streams of rows: which format a file is in, which instruments it has, which files are one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from backtest.history import parquet, recorder_db
from backtest.history.binance_csv import FILE_NAME, read_binance
from backtest.history.csv_table import first_line, open_bytes, text_batches
from backtest.history.hftbacktest import read_npz
from backtest.history.native_csv import CSV_COLUMNS, read_csv
from backtest.history.rows import DataError, Market, Notes, Rows
from backtest.history.tardis import HEADERS, read_tardis
from backtest.history.ws_log import STREAM_NAME, WsLog

MAX_FILES: Final = 10_000
"""Files opened together."""
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
_PARQUET_MAGIC: Final = b"PAR1"
_ZIP_MAGIC: Final = b"PK\x03\x04"


Reader = Callable[[Path, tuple[Market, ...]], Iterator[Rows]]


class Format(Enum):
    """Formats that are read. The value is what the command line calls it."""

    RECORDER = "recorder"
    PARQUET = "parquet"
    CSV = "csv"
    HFTBACKTEST = "hftbacktest"
    TARDIS = "tardis"
    BINANCE = "binance"
    FRAMES = "frames"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are read."""

    feed_latency_ns: int = 0
    """Assumed latency of files that carry no receive time (Binance public data)."""
    proven_only: bool = True
    """Of recorded frames, leave out book changes that no snapshot proves."""


def detect(path: Path) -> Format:
    """Return the format of a file, by content first and by name where the content does not tell.

    Raises:
        DataError: If it is none of ours.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(16)
    except OSError as exc:
        raise DataError(path, None, "", "no such file" if not path.exists() else f"cannot be read ({exc})") from exc
    if magic == _SQLITE_MAGIC:
        return Format.RECORDER
    if magic.startswith(_PARQUET_MAGIC):
        return Format.PARQUET
    if magic.startswith(_ZIP_MAGIC) and path.suffix == ".npz":
        return Format.HFTBACKTEST
    if FILE_NAME.match(path.name):
        return Format.BINANCE
    with open_bytes(path) as file:
        start = file.read(64)
    stamp, _, rest = start.partition(b" ")
    if stamp.isdigit() and rest.startswith(b"{"):
        return Format.FRAMES
    header = tuple(first_line(path))
    if header in HEADERS:
        return Format.TARDIS
    if set(header) == set(CSV_COLUMNS):
        return Format.CSV
    raise DataError(path, 1, "", f"not a known format; formats are {', '.join(one.value for one in Format)}")


def markets_of(path: Path) -> tuple[Market, ...]:
    """Return the instruments that a file itself describes; empty when its format does not."""
    match detect(path):
        case Format.RECORDER:
            return recorder_db.markets_in(path)
        case Format.PARQUET:
            return parquet.markets_in(path)
        case _:
            return ()


def symbols_of(path: Path) -> tuple[str, ...]:
    """Return what a file calls its instruments, in order of appearance; empty when it names none.

    Text files are looked through up to the end of their first piece; an instrument that only comes later is refused
    when it comes, so it is not overlooked.
    """
    match detect(path):
        case Format.RECORDER | Format.PARQUET:
            return tuple(market.venue_symbol for market in markets_of(path))
        case Format.BINANCE:
            named = FILE_NAME.match(path.name)
            return (named["symbol"],) if named is not None else ()
        case Format.FRAMES:
            return (_first_symbol(path),)
        case Format.HFTBACKTEST:
            return ()
        case kind:
            column = "symbol" if kind is Format.TARDIS else "instrument"
            batch = next(text_batches(path, first_line(path), has_header=True))
            return tuple(dict.fromkeys(batch.columns[column].to_pylist()))


def open_sources(
    paths: Sequence[Path], markets: Sequence[Market], notes: Notes, options: ReadOptions
) -> list[Iterator[Rows]]:
    """Return one stream per file; recorded frames of the same symbols that follow each other are one stream.

    Rows carry the place of their file in `paths` as `source`, and of their instrument in `markets`.
    """
    if len(paths) > MAX_FILES:
        raise DataError(paths[0], None, "", f"{len(paths)} files; at most {MAX_FILES} are opened together")
    formats = [detect(path) for path in paths]
    streams: list[Iterator[Rows]] = []
    frames: dict[str, list[int]] = {}
    for place, (path, kind) in enumerate(zip(paths, formats, strict=True)):
        if kind is Format.FRAMES:
            frames.setdefault(_first_symbol(path), []).append(place)
        else:
            streams.append(_with_source(_read(path, kind, markets, notes, options), place))
    for places in frames.values():
        log = WsLog([paths[place] for place in places], markets, notes, proven_only=options.proven_only)
        streams.append(_renumbered(log.chunks(), places))
    return streams


def _read(path: Path, kind: Format, markets: Sequence[Market], notes: Notes, options: ReadOptions) -> Iterator[Rows]:
    match kind:
        case Format.RECORDER:
            return _mapped(path, recorder_db.read_database, recorder_db.markets_in(path), markets)
        case Format.PARQUET:
            own = parquet.markets_in(path)
            return _mapped(path, parquet.read_parquet, own, markets) if own else parquet.read_parquet(path, markets)
        case Format.HFTBACKTEST:
            if len(markets) != 1:
                raise DataError(path, None, "", "the format names no instrument: open it with exactly one")
            return read_npz(path, markets[0])
        case Format.BINANCE:
            return read_binance(path, markets, options.feed_latency_ns)
        case Format.TARDIS:
            return read_tardis(path, markets, notes)
        case _:
            return read_csv(path, markets)


def _mapped(path: Path, read: Reader, own: tuple[Market, ...], markets: Sequence[Market]) -> Iterator[Rows]:
    """Read a file that describes its instruments, and number them as asked for."""
    by_id = {
        market.venue_symbol: i for i, market in enumerate(markets)
    }  # a file without ids has symbols in their place
    by_id |= {market.instrument_id: i for i, market in enumerate(markets)}
    for market in own:
        asked = markets[by_id[market.instrument_id]] if market.instrument_id in by_id else None
        if asked is None:
            raise DataError(path, None, "instrument", f"{market.instrument_id} was not asked for: wrong instrument")
        if (asked.tick_size, asked.lot_size) != (market.tick_size, market.lot_size):
            steps = f"{market.tick_size:f} and {market.lot_size:f}"
            text = f"{market.instrument_id} has steps {steps} here, not {asked.tick_size:f} and {asked.lot_size:f}"
            raise DataError(path, None, "instrument", f"{text}: mixed scales")
    table = np.array([by_id[market.instrument_id] for market in own], np.int16)
    for rows in read(path, own):
        yield rows.replace(instrument=table[rows.instrument])


def _with_source(chunks: Iterator[Rows], place: int) -> Iterator[Rows]:
    for rows in chunks:
        yield rows.replace(source=np.full(len(rows), place, np.int16))


def _renumbered(chunks: Iterator[Rows], places: Sequence[int]) -> Iterator[Rows]:
    table = np.array(places, np.int16)
    for rows in chunks:
        yield rows.replace(source=table[rows.source])


def _first_symbol(path: Path) -> str:
    with open_bytes(path) as file:
        match = STREAM_NAME.search(file.readline(1 << 16))
    return match[1].decode("utf-8", "replace").upper() if match else path.name
