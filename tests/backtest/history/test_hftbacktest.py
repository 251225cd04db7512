from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.history import hftbacktest
from backtest.history.hftbacktest import EVENT, _Clears, read_npz
from backtest.history.load import History
from backtest.history.rows import DataError, Market, Rows, concat, make_rows
from tests.support.history_files import MARKET, T0, make_market, write_hftbacktest
from tradebot.core.columns import BOTH, BUYER, CLEAR, LEVEL
from tradebot.sim.kernels.feed import Feed

Step = tuple[str, bool, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["level", "level", "level", "clear"]), st.booleans(), st.integers(0, 9), st.integers(0, 2)
    ),
    max_size=40,
)


def book_after(rows: Rows) -> dict[tuple[bool, int], int]:
    """The plain meaning of rows without partial clears."""
    book: dict[tuple[bool, int], int] = {}
    for flags, ticks, lots in zip(rows.flags.tolist(), rows.price_ticks.tolist(), rows.qty_lots.tolist(), strict=True):
        buyer = bool(flags & BUYER)
        if flags & 7 == CLEAR:
            assert (ticks, lots) == (0, 0)
            book = {key: value for key, value in book.items() if key[0] is not buyer}
        elif lots:
            book[buyer, ticks] = lots
        else:
            book.pop((buyer, ticks), None)
    return book


@settings(deadline=None)  # the first call compiles
@given(steps, st.integers(1, 7))
def test_a_clear_through_a_price_becomes_the_levels_that_it_removes(found: list[Step], size: int) -> None:
    naive: dict[tuple[bool, int], int] = {}
    for kind, buyer, ticks, lots in found:
        if kind == "clear":
            gone = [k for k in naive if k[0] is buyer and (not ticks or (k[1] >= ticks if buyer else k[1] <= ticks))]
            for key in gone:
                del naive[key]
        else:
            naive[buyer, ticks + 1] = lots
    naive = {key: lots for key, lots in naive.items() if lots}

    flags = [(BUYER if b else 0) | BOTH | (CLEAR if kind == "clear" else LEVEL) for kind, b, _, _ in found]
    price = [ticks if kind == "clear" else ticks + 1 for kind, _, ticks, _ in found]
    qty = [0 if kind == "clear" else lots for kind, _, _, lots in found]
    rows = make_rows(len(found), flags=flags, price_ticks=price, qty_lots=qty, row=np.arange(len(found)))
    clears = _Clears(Path("x"))
    pieces = [clears.expanded(rows.take(slice(i, i + size))) for i in range(0, len(found), size)]

    assert book_after(concat(pieces)) == naive


def spoiled(path: Path, row: int, column: str, value: Any) -> Path:
    events = np.load(path)["data"]
    events[column][row - 1] = value
    np.savez(path, data=events)
    return path


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("px", np.nan, "column px: nan is not a number"),
        ("px", -60000.1, "column px: the price is negative"),
        ("px", 60000.05, "column px: 60000.05 is not on a step of 0.1"),
        ("px", 1e300, "column px: 1e+300 is too large"),
        ("qty", np.inf, "column qty: inf is not a number"),
        ("qty", -1.0, "column qty: the quantity is negative"),
        ("qty", 0.0004, "column qty: 0.0004 is not on a step of 0.001"),
        ("exch_ts", 1_760_000_000_123, "column exch_ts: 1760000000123 counts ms, the rows before it ns"),
        ("local_ts", 0, "column local_ts: 0 is not a time"),
        ("ev", 99 | 1 << 31 | 1 << 29, "column ev: event kind 99 is not a documented one"),
        ("ev", 1 | 1 << 29, "column ev: the event is on neither clock"),
        ("ev", 1 | 1 << 31, "column ev: the event has no side"),
    ],
)
def test_a_bad_event_names_its_row_and_field(tmp_path: Path, column: str, value: Any, says: str) -> None:
    path = spoiled(write_hftbacktest(tmp_path / "a.npz", make_market(200)), 77, column, value)

    with pytest.raises(DataError) as caught:
        list(read_npz(path, MARKET))
    assert str(caught.value).startswith(f"{path}: row 77, {says}")


def test_a_truncated_or_foreign_archive_is_refused(tmp_path: Path) -> None:
    path = write_hftbacktest(tmp_path / "a.npz", make_market(5_000), compressed=True)
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(DataError, match="is it complete"):
        list(read_npz(path, MARKET))

    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match="holds no array 'data'"):
        list(read_npz(path, MARKET))

    np.savez(path, data=np.zeros(3))
    with pytest.raises(DataError, match="expected events of fields"):
        list(read_npz(path, MARKET))


def test_a_file_with_fewer_rows_than_its_header_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_hftbacktest(tmp_path / "a.npz", make_market(200))
    monkeypatch.setattr(hftbacktest, "_row_count", lambda _path, file: file.read(128) and 10_000)

    with pytest.raises(DataError, match="the array ends before its last row"):
        list(read_npz(path, MARKET))


def test_events_are_the_published_64_bytes() -> None:
    assert EVENT.itemsize == 64
    assert EVENT.names == ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")


def test_a_file_of_single_orders_becomes_a_feed_with_exact_queues(tmp_path: Path) -> None:
    events = np.zeros(5, EVENT)
    both = 1 << 31 | 1 << 30
    facts = [
        (10, 29, 100.0, 3.0, 7),
        (10, 28, 101.0, 2.0, 8),
        (13, 29, 100.0, 1.0, 7),
        (12, 29, 99.5, 2.0, 7),
        (11, 28, 0.0, 0.0, 8),
    ]
    for number, (kind, side, price, qty, id_) in enumerate(facts):
        events[number] = (kind | 1 << side | both, T0 + number, T0 + number, price, qty, id_, 0, 0.0)
    path = tmp_path / "orders.npz"
    np.savez(path, data=events)
    market = Market("x", "X", Decimal("0.5"), Decimal(1))
    columns, report = History.of([path], [market]).load()
    feed = Feed.of_orders(columns["x"])

    assert report.errors == 0
    assert feed.queue is not None
    assert feed.columns.price_ticks.tolist() == [200, 202, 200, 200, 200, 199, 202]
    assert feed.columns.qty_lots.tolist() == [3, 2, 1, 2, 0, 2, 0]
    assert feed.queue.order_ids.tolist() == [7, 8, 7, 7, 7, 7, 8]
