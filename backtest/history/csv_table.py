"""CSV files, plain, gzip or zip, as batches of text columns with row numbers. Nothing is converted here."""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from backtest.history.amounts import Refuse, TimeColumn, check_amounts, text_choice, text_ints, text_steps
from backtest.history.rows import DataError, Market
from tradebot.core.columns import Int64s

BLOCK_BYTES: Final = 4 << 20
"""Text that is parsed at once."""
MAX_LINE_BYTES: Final = 1 << 16
"""A longer first line is no CSV header."""
READ_ERRORS: Final = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
_WRONG_COUNT: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacked when it is gzip or a zip with one member.

    Raises:
        DataError: If it is not there, or when reading ends before the file does.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                if len(names) != 1:
                    raise DataError(path, None, "", f"the archive holds {len(names)} files, expected one")
                with archive.open(names[0]) as member:
                    yield member
        elif path.suffix == ".gz":
            with gzip.open(path, "rb") as packed:
                yield packed  # type: ignore[misc]  # GzipFile is an IO[bytes] in all but name
        else:
            with path.open("rb") as plain:
                yield plain
    except FileNotFoundError as exc:
        raise DataError(path, None, "", "no such file") from exc
    except READ_ERRORS as exc:
        raise DataError(path, None, "", f"cannot be read to its end ({exc}): is it complete?") from exc


def first_line(path: Path) -> list[str]:
    """Return the cells of the first line; empty for an empty file."""
    with open_bytes(path) as file:
        line = file.readline(MAX_LINE_BYTES)
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise DataError(path, 1, "", "the first line is not text") from exc
    return next(csv.reader([text]), [])


def header_of(path: Path, columns: Sequence[str]) -> list[str]:
    """Return the names in the first line, which are `columns` in any order."""
    found = first_line(path)
    missing = [name for name in columns if name not in found]
    unknown = [name for name in found if name not in columns]
    if missing or unknown or len(found) != len(columns):
        wrong = f"{missing[0]!r} is missing" if missing else f"{(unknown or found)[0]!r} is not known or there twice"
        raise DataError(path, 1, "", f"the header must name {','.join(columns)}: {wrong}")
    return found


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some rows as text."""

    path: Path
    first_row: int
    """Line of the first of them in the file, from 1."""
    columns: dict[str, Any]
    """Arrow string arrays."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def refuse_in(self, column: str) -> Refuse:
        """Return how to refuse a value of a column."""

        def refuse(index: int, text: str) -> NoReturn:
            raise DataError(self.path, self.first_row + index, column, text)

        return refuse

    @property
    def numbers(self) -> Int64s:
        """Row number of each row."""
        return np.arange(self.first_row, self.first_row + len(self))

    def ints(self, name: str) -> Int64s:
        """Return a column of whole numbers."""
        return text_ints(self.columns[name], self.refuse_in(name))

    def choice(self, name: str, names: dict[str, int]) -> Int64s:
        """Return what each text of a column stands for."""
        return text_choice(self.columns[name], names, self.refuse_in(name))

    def times(self, name: str, column: TimeColumn) -> Int64s:
        """Return a column of stamps as UTC nanoseconds."""
        return column.to_ns(self.ints(name), self.refuse_in(name))

    def amounts(self, market: Market, price: str, qty: str, *, zero_ok: bool) -> tuple[Int64s, Int64s]:
        """Return ticks and lots of two columns; with `zero_ok` a quantity of 0 or an empty cell: nothing is there."""
        found = []
        for name, step in ((price, market.tick_size), (qty, market.lot_size)):
            column = self.columns[name]
            if zero_ok:
                column = pc.if_else(pc.equal(column, ""), "0", column)
            found.append(text_steps(column, step, self.refuse_in(name)))
        ticks, lots = found
        here = np.ones(len(self), np.bool_)
        check_amounts(ticks, lots, here, here & zero_ok, lambda kind: self.refuse_in(price if kind == "price" else qty))
        return ticks, lots


def text_batches(path: Path, columns: Sequence[str], *, has_header: bool) -> Iterator[TextBatch]:
    """Yield a file's rows.

    Args:
        path: The file.
        columns: Names of all its columns in order.
        has_header: The first line names the columns, and is skipped.
    """
    read = arrow_csv.ReadOptions(
        use_threads=False, block_size=BLOCK_BYTES, column_names=list(columns), skip_rows=int(has_header)
    )
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
    )
    row = 1 + int(has_header)
    with open_bytes(path) as file:
        _require_line(path, file, row)
        try:
            reader = arrow_csv.open_csv(
                pa.PythonFile(file, "r"), read, arrow_csv.ParseOptions(ignore_empty_lines=False), convert
            )
            for batch in reader:
                if batch.num_rows:
                    yield TextBatch(path, row, dict(zip(columns, batch.columns, strict=True)))
                    row += batch.num_rows
        except pa.ArrowInvalid as exc:
            raise _parse_error(path, row, exc) from exc


def _require_line(path: Path, file: IO[bytes], count: int) -> None:
    """Refuse a file with fewer lines; Arrow's own words for it help nobody."""
    for _ in range(count):
        if not file.readline(MAX_LINE_BYTES):
            raise DataError(path, None, "", "the file holds no rows")
    file.seek(0)


def _parse_error(path: Path, row: int, exc: Exception) -> DataError:
    found = _WRONG_COUNT.search(str(exc))
    if found is None:
        return DataError(path, None, "", f"not readable as CSV after row {row}: {str(exc)[:120]}")
    at, expected, got = found.groups()
    return DataError(path, int(at), "", f"{got} columns, expected {expected}: is the file cut off or damaged?")
