"""Result tables as files: one Parquet file per table and `summary.json`. Same run, same bytes.

The summary is written last: a folder without it is no result, so a run that failed leaves nothing that looks like one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from backtest.results.schemas import FORMAT, TABLES, schema
from tradebot.core.errors import ConfigError, InvariantError

SUMMARY: Final = "summary.json"
GROUP_ROWS: Final = 65_536
"""Rows kept before they are written."""
_FORMAT_KEY: Final = "tradebot.results"


class ResultWriter:
    """Writes the tables of one run, row by row, in bounded memory."""

    def __init__(self, folder: Path) -> None:
        """Begin; an older result in the folder is replaced.

        Raises:
            ConfigError: If the folder cannot be written, or holds something else.
        """
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            strange = sorted({one.name for one in folder.iterdir()} - {SUMMARY, *map(_file_name, TABLES), *_partials()})
            if strange:
                raise ConfigError(f"{folder}: holds {strange[0]}, which is no result table: choose another folder")
            (folder / SUMMARY).unlink(missing_ok=True)
            self._tables = {name: _Table(folder / f".{_file_name(name)}.partial", name) for name in TABLES}
        except OSError as exc:
            raise ConfigError(f"{folder}: cannot be written ({exc.strerror}): choose another folder") from exc

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Write one row; a column that is left out is null."""
        self._tables[table].add(row)

    def add_columns(self, table: str, columns: Any) -> None:
        """Write many rows at once from an Arrow table of the table's schema."""
        self._tables[table].add_columns(columns)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Complete the result: all tables, then the summary."""
        rows = {name: table.close() for name, table in self._tables.items()}
        for name, table in self._tables.items():
            table.path.replace(self._folder / _file_name(name))
        tree = {"format": FORMAT, "rows": rows, **summary}
        partial = self._folder / f".{SUMMARY}.partial"
        partial.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(self._folder / SUMMARY)

    def abandon(self) -> None:
        """Leave nothing of a run that failed; nothing happens after `finish`."""
        for table in self._tables.values():
            table.close()
            table.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Results:
    """One result folder, read."""

    folder: Path
    summary: dict[str, Any]

    def table(self, name: str) -> Any:
        """Return one table as an Arrow table."""
        return _read(self.folder / _file_name(name), name)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return one table as plain rows; for tests and small reports."""
        found: list[dict[str, Any]] = self.table(name).to_pylist()
        return found


def open_results(folder: Path) -> Results:
    """Return the result in a folder.

    Raises:
        ConfigError: If there is none, it is damaged, or it was written by another version of the format.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{folder}: no result here ({SUMMARY} is missing): did the run end?") from exc
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc})") from exc
    found = summary.get("format") if isinstance(summary, dict) else None
    if found != FORMAT:
        raise ConfigError(f"{path}: format {found}, this program reads {FORMAT}: run the backtest again")
    for name in TABLES:
        rows = (
            parquet.read_metadata(folder / _file_name(name)).num_rows if (folder / _file_name(name)).is_file() else None
        )
        if rows != summary["rows"][name]:
            raise ConfigError(f"{folder / _file_name(name)}: {rows} rows, the summary says {summary['rows'][name]}")
    return Results(folder, summary)


def _read(path: Path, name: str) -> Any:
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc})") from exc
    if table.schema.remove_metadata() != schema(name):
        raise ConfigError(f"{path}: the columns are not those of {name}")
    return table


class _Table:
    """One table on its way to its file."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._names = {column: None for column, _, _ in TABLES[name]}
        self._schema = schema(name)
        self._rows: list[tuple[Any, ...]] = []
        self._count = 0
        self._writer: Any = parquet.ParquetWriter(path, self._schema, compression="zstd", store_schema=False)
        self._writer.add_key_value_metadata({_FORMAT_KEY: str(FORMAT)})

    def add(self, row: Mapping[str, Any]) -> None:
        if not row.keys() <= self._names.keys():
            raise InvariantError(f"{self.path.name}: no such column: {sorted(row.keys() - self._names.keys())}")
        self._rows.append(tuple(row.get(name) for name in self._names))
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def add_columns(self, columns: Any) -> None:
        self._flush()
        self._writer.write_table(columns.cast(self._schema), row_group_size=GROUP_ROWS)
        self._count += len(columns)

    def close(self) -> int:
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._writer = None
        return self._count

    def _flush(self) -> None:
        if self._rows:
            columns: Sequence[Any] = list(zip(*self._rows, strict=True))
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pa.table(arrays, schema=self._schema))
            self._count += len(self._rows)
            self._rows = []


def _file_name(table: str) -> str:
    return f"{table}.parquet"


def _partials() -> list[str]:
    return [f".{name}.partial" for name in (SUMMARY, *map(_file_name, TABLES))]
