"""The embedded database: one SQLite file in WAL mode, written by one thread, migrated when it is opened.

Reading it with any SQLite tool while the recorder runs is fine; nobody else writes.
"""

from __future__ import annotations

import importlib.resources
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, Literal

from recorder.tables import OP_COLUMNS, TABLES, Batch, Entry, Op, Row, StoredBar, StreamPosition
from tradebot.core.errors import TransientError
from tradebot.runtime.state_dir import StateError, prepare_state_dir

BUSY_TIMEOUT_S: Final = 5.0
"""Wait for a reader that holds the file, e.g. a checkpoint of somebody's shell."""
_MIGRATION: Final = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_POSITIONS_SQL: Final = (
    "INSERT INTO stream_positions (source, incarnation, sequence) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET incarnation = excluded.incarnation, sequence = excluded.sequence"
)
_COUNTS_SQL: Final = (
    "INSERT INTO row_counts (name, rows) VALUES (?, ?) ON CONFLICT DO UPDATE SET rows = rows + excluded.rows"
)
_COUNTED_BY_QUERY: Final = frozenset({"instruments", "orders", "positions", "bars_1m"})
"""Tables whose rows are replaced: few enough to count. The others only grow and are counted as they are written."""


class StoreError(TransientError):
    """The database cannot be written now; nothing of the batch was."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    sql: str


def migrations() -> list[Migration]:
    """Return all steps in order."""
    folder = importlib.resources.files("recorder.schema")
    names = sorted(item.name for item in folder.iterdir())
    found = [match for name in names if (match := _MIGRATION.match(name))]
    return [Migration(int(match[1]), folder.joinpath(match[0]).read_text(encoding="utf-8")) for match in found]


def _insert(op: Op, conflict: str) -> str:
    columns = OP_COLUMNS[op]
    return f"INSERT INTO {op.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {conflict}"


def _upsert(op: Op, kept_when_empty: frozenset[str] = frozenset()) -> str:
    """Replace every column: the row states what holds now. Some columns keep their value when the new one is empty."""
    assignments = ", ".join(
        f"{column} = CASE WHEN excluded.{column} = '' THEN {op.table}.{column} ELSE excluded.{column} END"
        if column in kept_when_empty
        else f"{column} = excluded.{column}"
        for column in OP_COLUMNS[op]
    )
    return _insert(op, f"ON CONFLICT DO UPDATE SET {assignments}")


_KEEP: Final = "ON CONFLICT DO NOTHING"
STATEMENTS: Final[dict[Op, str]] = {
    Op.INSTRUMENT: _upsert(Op.INSTRUMENT),
    Op.TRADE: _insert(Op.TRADE, _KEEP),
    Op.BOOK: _insert(Op.BOOK, _KEEP),
    Op.BAR: _upsert(Op.BAR),
    Op.FUNDING: _insert(Op.FUNDING, _KEEP),
    Op.OPEN_INTEREST: _insert(Op.OPEN_INTEREST, _KEEP),
    # A snapshot or a repeated event never takes an order back to an older state, and what is known is never blanked.
    Op.ORDER: _upsert(Op.ORDER, frozenset({"venue_order_id", "reason", "check_id"}))
    + " WHERE excluded.updated_ts >= orders.updated_ts",
    Op.ORDER_STATUS: (
        "UPDATE orders SET status = ?2, venue_order_id = CASE WHEN ?3 = '' THEN venue_order_id ELSE ?3 END, "
        "reason = CASE WHEN ?4 = '' THEN reason ELSE ?4 END, check_id = CASE WHEN ?5 = '' THEN check_id ELSE ?5 END, "
        "updated_ts = ?6 WHERE id = ?1 AND updated_ts <= ?6"
    ),
    Op.FILL: (
        f"INSERT INTO fills ({', '.join(OP_COLUMNS[Op.FILL])}) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
        "COALESCE(?13, (SELECT strategy FROM orders WHERE orders.id = ?2))) ON CONFLICT DO NOTHING"
    ),
    Op.POSITION: _upsert(Op.POSITION),
    Op.POSITIONS_FORGET: "UPDATE positions SET qty = '0', avg_price = '0', updated_ts = ? WHERE qty <> '0'",
    Op.PNL: _insert(Op.PNL, _KEEP),
    Op.RISK_EVENT: _insert(Op.RISK_EVENT, _KEEP),
    Op.EVENT: (
        f"INSERT INTO events ({', '.join(OP_COLUMNS[Op.EVENT])}) VALUES (?1, ?2, ?3, ?4, ?5, "
        "COALESCE(NULLIF(?6, ''), (SELECT symbol FROM orders WHERE orders.id = ?7), ''), ?7, ?8) ON CONFLICT DO NOTHING"
    ),
}


class SqliteStore:
    """Implements `writer.Writer`. Open it in the thread that uses it."""

    def __init__(self, path: Path, synchronous: Literal["normal", "full"] = "normal") -> None:
        """Open the file, make it when it is missing, and bring its schema up to date.

        Raises:
            StateError: If it is damaged, newer than this program, or cannot be written.
        """
        self.path = path
        prepare_state_dir(path.parent)
        try:
            # check_same_thread: the recorder hands all calls to one thread, and closes after that thread has ended.
            self._db = sqlite3.connect(path, BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            path.chmod(0o640)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
            self._db.execute("PRAGMA temp_store = MEMORY")
            self._migrate()
            self._counts: dict[str, int] = dict(self._db.execute("SELECT name, rows FROM row_counts"))
        except (sqlite3.Error, OSError) as exc:
            raise StateError(
                f"database {path} cannot be used ({exc}): if it is damaged move it away, a new one is made"
            ) from exc

    def positions(self) -> Sequence[StreamPosition]:
        rows = self._db.execute("SELECT source, incarnation, sequence FROM stream_positions ORDER BY source")
        return [StreamPosition(*row) for row in rows]

    def newest_bars(self) -> Sequence[StoredBar]:
        rows = self._db.execute(
            "SELECT symbol, ts, o, h, l, c, v, trade_count, complete, last_trade_id FROM bars_1m AS b "
            "WHERE ts = (SELECT max(ts) FROM bars_1m WHERE symbol = b.symbol) ORDER BY symbol"
        )
        return [
            StoredBar(symbol, ts, o, h, low, c, v, count, bool(complete), last_id)
            for symbol, ts, o, h, low, c, v, count, complete, last_id in rows
        ]

    def write(self, batch: Batch) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            added: dict[str, int] = {}
            for op, rows in _grouped(batch.entries):
                changed = self._db.executemany(STATEMENTS[op], rows).rowcount
                if op.table not in _COUNTED_BY_QUERY:
                    added[op.table] = added.get(op.table, 0) + changed
            self._db.executemany(_COUNTS_SQL, list(added.items()))
            self._db.executemany(_POSITIONS_SQL, [(p.source, p.incarnation, p.sequence) for p in batch.positions])
            self._db.execute("COMMIT")
            for table, rows_added in added.items():
                self._counts[table] = self._counts.get(table, 0) + rows_added
        except sqlite3.OperationalError as exc:
            self._roll_back()
            raise StoreError(f"database {self.path} cannot be written: {exc}") from exc
        except sqlite3.Error:
            self._roll_back()
            raise

    def row_counts(self) -> Mapping[str, int]:
        counts = {table: self._counts.get(table, 0) for table in TABLES}
        for table in _COUNTED_BY_QUERY:
            counts[table] = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return counts

    def close(self) -> None:
        self._db.close()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _migrate(self) -> None:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        steps = migrations()
        if version > steps[-1].number:
            raise StateError(
                f"database {self.path} has schema {version}, this program knows {steps[-1].number}: "
                "use the newer program or another state folder"
            )
        for step in steps:
            if step.number > version:
                self._db.executescript(f"BEGIN;\n{step.sql}\nPRAGMA user_version = {step.number};\nCOMMIT;")


def _grouped(entries: Sequence[Entry]) -> Iterator[tuple[Op, list[Row]]]:
    """Yield runs of the same operation; their order is kept."""
    for op, run in groupby(entries, key=lambda entry: entry.op):
        yield op, [entry.row for entry in run]
