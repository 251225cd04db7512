from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

from backtest import recording as module
from backtest.instruments import find_rules
from backtest.recording import Recording, Source, find_symbols, read_lines, recorded, synthetic
from tests.support.realdata import real_data_file
from tradebot.core.errors import ConfigError
from tradebot.core.market import BookState, RowColumns, RowKind
from tradebot.venues import load_market_data

VENUE = "binance"


def make_recording(source: Source) -> Recording:
    venue = load_market_data(VENUE)
    return Recording(source, venue, [one.instrument for one in find_rules(VENUE, venue, source.symbols)])


def joined(batches: list[tuple[RowColumns, int]]) -> list[tuple[int, ...]]:
    return [tuple(row) for rows, _ in batches for row in rows.rows()]


def test_the_synthetic_market_becomes_rows_with_a_live_book() -> None:
    recording = make_recording(synthetic(VENUE, ["BTCUSDT", "ETHUSDT"], seed=3, seconds=5))
    rows = joined(list(recording.batches()))

    kinds = {row[0] for row in rows}
    assert {RowKind.TRADE, RowKind.BBO, RowKind.BOOK_LEVEL, RowKind.SNAPSHOT_LEVEL, RowKind.BOOK_STATE} <= kinds
    assert [book.state for book in recording.books] == [BookState.LIVE, BookState.LIVE]
    assert {row[1] for row in rows} == {0, 1}
    times = [row[7] for row in rows]
    assert times == sorted(times)


def test_how_rows_are_cut_into_batches_changes_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    source = synthetic(VENUE, ["BTCUSDT"], seed=3, seconds=4)
    whole = list(make_recording(source).batches())
    monkeypatch.setattr(module, "BATCH_ROWS", 50)
    small = list(make_recording(source).batches())

    assert len(small) > 5
    assert joined(small) == joined(whole)
    for (rows, complete_to_ns), (following, _) in pairwise(small):
        assert rows.receive_time_ns[-1] <= complete_to_ns < following.receive_time_ns[0]


def test_a_plain_and_a_compressed_file_read_the_same(tmp_path: Path) -> None:
    lines = [b"%d %b\n" % line for line in synthetic(VENUE, [], seed=1, seconds=2).lines()]
    plain, packed = tmp_path / "a.log", tmp_path / "a.log.gz"
    plain.write_bytes(b"".join(lines))
    packed.write_bytes(gzip.compress(b"".join(lines)))

    assert list(read_lines(plain)) == list(read_lines(packed))
    assert recorded(packed).symbols == ("BTCUSDT",)


def test_a_file_that_is_no_recording_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b'5 {"stream":"btcusdt@trade"}\nhello\n')
    with pytest.raises(ConfigError, match=r"x\.log:2: expected `<receive time ns> <frame>`, found b'hello'"):
        list(read_lines(path))

    path.write_bytes(b"1 {}\n")
    with pytest.raises(ConfigError, match="no market stream"):
        find_symbols(path)

    cut = tmp_path / "cut.log.gz"
    cut.write_bytes(gzip.compress(b"1 {}\n" * 1000)[:-12])
    with pytest.raises(ConfigError, match="is it complete"):
        list(read_lines(cut))

    with pytest.raises(ConfigError, match="no such recording"):
        recorded(tmp_path / "absent.log")


def test_files_that_continue_each_other_are_one_recording(tmp_path: Path) -> None:
    lines = [b"%d %b\n" % line for line in synthetic(VENUE, [], seed=1, seconds=4).lines()]
    half = len(lines) // 2
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_bytes(b"".join(lines[:half]))
    second.write_bytes(b"".join(lines[half:]))
    whole, parts = make_recording(synthetic(VENUE, [], 1, 4)), make_recording(recorded(first, second))

    assert joined(list(parts.batches())) == joined(list(whole.batches()))
    assert parts.never_live == set()


def test_a_recording_without_a_snapshot_has_no_live_book(tmp_path: Path) -> None:
    path = tmp_path / "tail.log"
    lines = [line for line in synthetic(VENUE, [], seed=1, seconds=2).lines() if b"lastUpdateId" not in line[1]]
    path.write_bytes(b"".join(b"%d %b\n" % line for line in lines))
    recording = make_recording(recorded(path))
    for _ in recording.batches():
        pass

    assert recording.never_live == {"binance:BTC-USDT"}


def test_a_symbol_without_rules_says_where_to_get_them() -> None:
    with pytest.raises(ConfigError, match=r"DOGEUSDT: no built-in trading rules.*--exchange-info"):
        find_rules(VENUE, load_market_data(VENUE), ["DOGEUSDT"])


@pytest.mark.real
def test_the_rebuilt_book_equals_the_recorded_best_prices_at_every_equal_update_id() -> None:
    path = real_data_file("history/binance_spot/BTCUSDT-ws-20240808T2354.log.gz")
    recording = make_recording(recorded(path))
    rows = sum(len(batch) for batch, _ in recording.batches())

    book = recording.books[0]
    assert (recording.frames, recording.bad_frames) == (41_249, 0)
    assert rows == 191_893
    assert (book.state, book.gaps) == (BookState.LIVE, 0)
    assert book.bbo_checks == 564


def test_files_of_different_symbols_are_merged_by_receive_time(tmp_path: Path) -> None:
    both = list(synthetic(VENUE, ["BTCUSDT", "ETHUSDT"], seed=1, seconds=4).lines())
    symbol, files = b"", {b"btcusdt": tmp_path / "btc.log", b"ethusdt": tmp_path / "eth.log"}
    parts: dict[bytes, list[bytes]] = {name: [] for name in files}
    for stamp, raw in both:
        match = module._STREAM.search(raw, 0, 80)
        symbol = match[1] if match is not None else symbol
        parts[symbol].append(b"%d %b\n" % (stamp, raw))
    for name, path in files.items():
        path.write_bytes(b"".join(parts[name]))
    source = recorded(*files.values())
    merged = make_recording(source)
    rows = joined(list(merged.batches()))
    whole = joined(list(make_recording(synthetic(VENUE, ["BTCUSDT", "ETHUSDT"], 1, 4)).batches()))

    assert source.symbols == ("BTCUSDT", "ETHUSDT")
    assert merged.never_live == set()
    assert sorted(rows) == sorted(whole)
    times = [row[7] for row in rows]
    assert times == sorted(times)
