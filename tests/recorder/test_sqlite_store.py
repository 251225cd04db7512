"""The embedded database: schema, keys, transactions, refusals."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from recorder.order_rows import event_entries
from recorder.sqlite_store import SqliteStore, StoreError, migrations
from recorder.tables import OP_COLUMNS, TABLES, Batch, Entry, Op, StreamPosition
from tests.support.builders import BTC, make_execution, make_terms
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.runtime.state_dir import StateError

PROMISED = {
    "trades": "ts symbol px qty side id",
    "orderbook_l2": "ts symbol bid_px bid_qty ask_px ask_qty",
    "bars_1m": "ts symbol o h l c v",
    "funding": "ts symbol rate interval",
    "oi": "ts symbol value",
    "orders": "id ts symbol side qty px type tif status venue",
    "fills": "id order_id ts qty px fee_usdt venue",
    "positions": "symbol qty avg_price realized_pnl fees_paid",
    "pnl_snapshots": "ts symbol realized unrealized",
    "risk_events": "ts type payload",
    "candles_1m": "pair t open high low close vol",
    "own_trades": "pair t side price qty fee client_id order_id",
}


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        return db.execute(sql).fetchall()


def trade(id_: int) -> Entry:
    return Entry(Op.TRADE, (id_, BTC, "61837.63", "0.001", "BUY", id_, id_))


def order_event(sequence: int, kind: OrderEventKind, status: OrderStatus, *, first: bool = False) -> OrderEvent:
    return OrderEvent(
        sequence=sequence,
        client_order_id="c1",
        kind=kind,
        status=status,
        receive_time_ns=sequence,
        facts=OrderFacts(make_terms(), "s1", "i1", 0, OrderRole.ENTRY, 1) if first else None,
        execution=make_execution() if kind is OrderEventKind.FILL_COMPLETE else None,
        venue_order_id="" if first else "v9",
    )


@pytest.mark.parametrize("table", sorted(PROMISED))
def test_every_table_and_view_of_the_data_model_has_its_columns(tmp_path: Path, table: str) -> None:
    SqliteStore(tmp_path / "t.sqlite").close()
    columns = {row[1] for row in query(tmp_path / "t.sqlite", f"PRAGMA table_info({table})")}

    assert set(PROMISED[table].split()) <= columns


def test_every_operation_writes_its_columns(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.sqlite")
    sample = {op: Entry(op, tuple(1 for _ in OP_COLUMNS[op])) for op in Op}
    text = {op: Entry(op, tuple("1" for _ in OP_COLUMNS[op])) for op in Op}
    for op in Op:  # STRICT tables refuse a value of the wrong type, unless it converts without loss
        store.write(Batch([text[op], sample[op]]))
    counts = store.row_counts()
    store.close()

    assert {table: counts[table] for table in TABLES} == dict.fromkeys(TABLES, 1)


def test_writing_the_same_rows_again_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.sqlite")
    events = [
        order_event(1, OrderEventKind.ASKED, OrderStatus.PENDING_NEW, first=True),
        order_event(2, OrderEventKind.ACCEPTED, OrderStatus.NEW),
        order_event(3, OrderEventKind.FILL_COMPLETE, OrderStatus.FILLED),
    ]
    entries = [trade(1), trade(2), *(entry for event in events for entry in event_entries(event, "log1"))]
    store.write(Batch(entries))
    before = store.row_counts()
    store.write(Batch(entries))
    after = store.row_counts()
    store.close()

    assert after == before
    assert (after["trades"], after["orders"], after["fills"], after["events"]) == (2, 1, 1, 3)
    assert query(tmp_path / "t.sqlite", "SELECT status, venue_order_id FROM orders") == [("FILLED", "v9")]
    assert query(tmp_path / "t.sqlite", "SELECT DISTINCT symbol, order_id FROM events") == [(BTC, "c1")]
    assert query(tmp_path / "t.sqlite", "SELECT strategy FROM fills") == [("s1",)]
    assert query(tmp_path / "t.sqlite", "SELECT client_id, order_id FROM own_trades") == [("c1", "v9")]


def test_a_failing_batch_leaves_neither_rows_nor_positions(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.sqlite")
    broken = Entry(Op.TRADE, (None, BTC, "1", "1", "BUY", 2, 2))
    with pytest.raises(sqlite3.IntegrityError):
        store.write(Batch([trade(1), broken], [StreamPosition("tape", "run1", 2)]))
    counts, positions = store.row_counts(), store.positions()
    store.close()

    assert counts["trades"] == 0
    assert positions == []


def test_a_database_locked_by_somebody_is_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recorder.sqlite_store.BUSY_TIMEOUT_S", 0.01)
    store = SqliteStore(tmp_path / "t.sqlite")
    other = sqlite3.connect(tmp_path / "t.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="cannot be written"):
        store.write(Batch([trade(1)]))
    other.execute("ROLLBACK")
    other.close()
    store.write(Batch([trade(1)]))
    counts = store.row_counts()
    store.close()

    assert counts["trades"] == 1


def test_rows_positions_and_counts_survive_reopening(tmp_path: Path) -> None:
    path = tmp_path / "db" / "t.sqlite"
    store = SqliteStore(path)
    store.write(Batch([trade(1)], [StreamPosition("tape", "run1", 1)]))
    store.close()
    store = SqliteStore(path)
    counts, positions = store.row_counts(), store.positions()
    store.close()

    assert counts["trades"] == 1
    assert positions == [StreamPosition("tape", "run1", 1)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_newest_bar_of_each_instrument_is_found_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.sqlite")
    bars = [Entry(Op.BAR, (ts, BTC, "1", "3", "1", "2", "0.5", 4, 1, 9)) for ts in (60, 120)]
    store.write(Batch(bars))
    (bar,) = store.newest_bars()
    store.close()

    assert (bar.ts, bar.c, bar.v, bar.trade_count, bar.complete, bar.last_trade_id) == (120, "2", "0.5", 4, True, 9)


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    path.write_bytes(b"this is no database, but long enough to be read as one" * 100)
    with pytest.raises(StateError, match="move it away"):
        SqliteStore(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9999")
    with pytest.raises(StateError, match="newer program"):
        SqliteStore(path)


def test_migrations_are_numbered_without_holes() -> None:
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))
