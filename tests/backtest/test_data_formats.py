"""One backtest over each format that the readers know: the same market, the same decisions, the same fills."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from backtest.__main__ import main
from backtest.config import BacktestOptions
from backtest.history.engine_rows import EngineRows
from backtest.history.load import History
from backtest.history.rows import Rows, concat
from backtest.history_feed import HistoryOptions
from backtest.instruments import parse_market
from backtest.lookahead import check_lookahead
from backtest.run import run_backtest
from tests.support.history_files import (
    MARKET,
    MS,
    OTHER_MARKET,
    T0,
    Fact,
    MadeMarket,
    make_market,
    write_binance,
    write_database,
    write_frames,
    write_hftbacktest,
    write_native_csv,
    write_tardis,
)
from tradebot.core.market import BookState, MarketRow, RowKind

STEPS = parse_market("BTCUSDT:0.1:0.001:binance:BTC-USDT")
CROSSES = """
from decimal import Decimal
from tradebot.core.orders import Side
from engine.strategy import Params, Strategy, enter, leave, strategy

@strategy("every_second")
class EverySecond(Strategy):
    def on_trade(self, market):
        holding = self.holding(market)
        if holding.is_flat:
            return enter(Side.BUY, "flat")
        return leave(holding, "held")
"""


@pytest.fixture
def made() -> MadeMarket:
    return make_market(1_500, seed=7)


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(CROSSES)
    return str(path)


def options_for(files: Sequence[Path], own: str) -> BacktestOptions:
    return BacktestOptions(
        "every_second", files[0], tuple(files[1:]), markets=(STEPS,), symbols=("BTCUSDT",), strategy_path=(own,),
        in_process=True,
    )  # fmt: skip


def parquet(folder: Path, made: MadeMarket) -> list[Path]:
    source = write_native_csv(folder / "to-convert.csv", made)
    History.of([source], [made.market]).convert(folder / "a.parquet")
    return [folder / "a.parquet"]


WRITERS: dict[str, Callable[[Path, MadeMarket], Sequence[Path]]] = {
    "csv": lambda folder, made: [write_native_csv(folder / "a.csv", made)],
    "parquet": parquet,
    "hftbacktest": lambda folder, made: [write_hftbacktest(folder / "a.npz", made)],
    "tardis": write_tardis,
    "frames": lambda folder, made: [write_frames(folder / "a.log.gz", made, futures=True)],
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_book_in_any_format_gives_the_same_run(name: str, made: MadeMarket, own: str, tmp_path: Path) -> None:
    expected = run_backtest(options_for(WRITERS["csv"](tmp_path, made), own))
    found = run_backtest(options_for(WRITERS[name](tmp_path, made), own))

    assert expected.fills > 10
    assert expected.unknown_orders == 0
    assert replace(found, data="", frames=0, warnings=[]) == replace(expected, data="", frames=0, warnings=[])


def test_the_recorders_database_plays_its_trades_over_the_books_it_kept(
    made: MadeMarket, own: str, tmp_path: Path
) -> None:
    result = run_backtest(options_for([write_database(tmp_path / "a.db", made)], own))

    assert result.fills > 0
    assert result.instruments == ["binance:BTC-USDT"]


def test_public_trades_and_book_tickers_are_merged_into_one_market(made: MadeMarket, own: str, tmp_path: Path) -> None:
    trades = write_binance(tmp_path / "BTCUSDT-trades-2025-10-09.zip", made, header=True, unit_ns=MS)
    lines = ["update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"]
    for number in range(300):
        stamp = T0 // MS + number * 50
        lines.append(f"{number + 1},{59_990 + number % 5},1.5,{60_010 + number % 3},2.5,{stamp},{stamp}")
    tickers = tmp_path / "BTCUSDT-bookTicker-2025-10-09.csv"
    tickers.write_text("\n".join([*lines, ""]))
    options = replace(options_for([trades, tickers], own), history=HistoryOptions(base_latency_ns=0))
    result = run_backtest(options)

    assert result.fills > 0
    only_trades = run_backtest(options_for([trades], own))
    assert only_trades.fills == 0
    assert any("no book in the data" in text for text in only_trades.warnings)


def test_files_of_two_markets_are_played_in_order_of_receipt(tmp_path: Path, own: str) -> None:
    both = [make_market(600, seed=1), make_market(600, seed=2, market=OTHER_MARKET, mid=300_000)]
    files = [write_native_csv(tmp_path / f"{n}.csv", one) for n, one in enumerate(both)]
    joined = write_native_csv(tmp_path / "both.csv", _interleaved(both))
    log = tmp_path / "events.jsonl"
    options = BacktestOptions(
        "every_second", files[0], (files[1],), strategy_path=(own,), in_process=True, events=log,
        markets=(STEPS, parse_market("ETHUSDT:0.01:0.0001:binance:ETH-USDT")),
    )  # fmt: skip
    result = run_backtest(options)

    assert set(result.instruments) == {"binance:BTC-USDT", "binance:ETH-USDT"}
    wanted = {json.loads(line).get("instrument_id") for line in log.read_text().splitlines()}
    assert wanted >= set(result.instruments)
    again = run_backtest(replace(options, data=joined, then=(), events=None))
    assert again.fills == result.fills > 0
    assert again.equity == result.equity


def _interleaved(both: list[MadeMarket]) -> list[MadeMarket]:
    """The rows of all markets by receive time, as runs of one market each."""
    tagged = sorted(((f.local_ns, n, f) for n, one in enumerate(both) for f in one.facts), key=lambda item: item[:2])
    return [MadeMarket(both[n].market, [fact]) for _, n, fact in tagged]


def test_the_future_can_be_cut_off_any_format(made: MadeMarket, own: str, tmp_path: Path) -> None:
    report = check_lookahead(options_for(WRITERS["hftbacktest"](tmp_path, made), own), cuts=2)

    assert report.decisions > 10
    assert report.is_clean


BAD: dict[str, tuple[Callable[[MadeMarket], None], str]] = {
    "a negative quantity": (lambda made: _spoil(made, -1, lots=-5), "column qty"),
    "not a number": (lambda made: _spoil(made, -1, text="NaN"), "column price"),
    "a crossed book": (lambda made: _spoil(made, -1, kind="depth", side="buy", ticks=700_000, lots=1), "crossed"),
    "receive time that goes back": (lambda made: _spoil(made, -1, local=T0), "column local_time_ns"),
    "a price at ten times the scale": (lambda made: _spoil(made, -1, kind="trade", ticks=60_000_000), "mixed_scale"),
}


def _spoil(made: MadeMarket, place: int, *, local: int | None = None, text: str = "", **changed: object) -> None:
    fact = replace(made.facts[place], **changed)  # type: ignore[arg-type]
    if local is not None:
        fact = replace(fact, local_ns=local, exchange_ns=local - MS)
    made.facts[place] = fact
    if text:
        object.__setattr__(made, "price", lambda f: text if f is fact else MadeMarket.price(made, f))


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_row_at_the_very_end_ends_the_run_with_its_place_and_leaves_nothing(
    fault: str, made: MadeMarket, own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, where = BAD[fault]
    spoil(made)
    data, out, events = write_native_csv(tmp_path / "bad.csv", made), tmp_path / "out", tmp_path / "events.jsonl"
    run = ["--strategy", "every_second", "--strategy-path", own, "--data", str(data), "--in-process"]
    code = main([*run, "--market", "BTCUSDT:0.1:0.001", "--out", str(out), "--events", str(events)])

    error = capsys.readouterr().err
    assert code == 2
    assert f"{data}: row {len(made.facts) + 1}" in error
    assert where in error
    assert len(error.splitlines()) == 1
    assert not events.exists()
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "does not name its instrument: give --symbols"),
        (["--symbols", "NOPEUSDT"], "no built-in trading rules"),
        (["--market", "BTCUSDT:0.1"], "write SYMBOL:TICK:LOT"),
        (["--symbols", "BTCUSDT", "--feed-latency-ms", "-1"], "choose 0 to"),
    ],
)
def test_what_a_file_does_not_say_has_to_be_given(
    flags: list[str], message: str, made: MadeMarket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_hftbacktest(tmp_path / "a.npz", made)

    assert main(["--strategy", "breakout_atr", "--data", str(path), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_market_that_nobody_knows_is_described_on_the_command_line(own: str, tmp_path: Path) -> None:
    market = parse_market("SOLUSDT:0.1:0.001:binance:SOL-USDT")
    path = write_hftbacktest(tmp_path / "a.npz", make_market(800, seed=3, market=market))
    options = BacktestOptions("every_second", path, markets=(market,), strategy_path=(own,), in_process=True)

    result = run_backtest(options)
    assert result.instruments == ["binance:SOL-USDT"]
    assert result.fills > 0


# --- the rows themselves ----------------------------------------------------------------------------------------------


def rows_of(path: Path, made: MadeMarket) -> Rows:
    return concat(list(History.of([path], [made.market]).stream()))


def reference(made: MadeMarket) -> list[MarketRow]:
    """The stream of a book by itself, slowly: book rows, and the touch after each moment in which it changed."""
    out: list[MarketRow] = []
    books: dict[str, dict[int, int]] = {"buy": {}, "sell": {}}
    touch: tuple[int, int, int, int] = (0, 0, 0, 0)
    is_live = False
    moments: list[list[Fact]] = []
    for fact in made.facts:
        if not moments or moments[-1][0].local_ns != fact.local_ns:
            moments.append([])
        moments[-1].append(fact)
    for moment in moments:
        for fact in moment:
            if fact.kind == "clear":
                books[fact.side].clear()
            elif fact.kind != "trade":
                books[fact.side][fact.ticks] = fact.lots
                if not fact.lots:
                    del books[fact.side][fact.ticks]
            if fact.kind == "trade":
                out.append(MarketRow(1, 0, 0, fact.ticks, fact.lots, fact.id, 0, fact.local_ns))
            elif fact.kind != "clear":
                kind = RowKind.SNAPSHOT_LEVEL if fact.kind == "snapshot" else RowKind.BOOK_LEVEL
                out.append(MarketRow(kind, 0, 0, fact.ticks, fact.lots, fact.id, 0, fact.local_ns))
        bids, asks = books["buy"], books["sell"]
        now = (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
        if now != touch:
            local = moment[0].local_ns
            if not is_live:
                out.append(MarketRow(RowKind.BOOK_STATE, 0, 0, BookState.LIVE, 0, 0, 0, local))
                is_live = True
            touch = now
            out.append(MarketRow(RowKind.BBO, 0, 0, now[0], now[1], 0, 0, local))
            out.append(MarketRow(RowKind.BBO, 0, 0, now[2], now[3], 0, 0, local))
    return out


def bare(rows: Sequence[MarketRow]) -> list[tuple[int, ...]]:
    """What the reference says: kind, price, quantity, receive time."""
    return [(row.kind, row.price, row.qty, row.receive_time_ns) for row in rows if row.kind != RowKind.BOOK_CLEAR]


@pytest.mark.parametrize("pieces", [1, 7])
def test_the_stream_is_the_files_rows_and_each_new_touch(made: MadeMarket, tmp_path: Path, pieces: int) -> None:
    rows = rows_of(write_native_csv(tmp_path / "a.csv", made), made)
    converter = EngineRows(1)
    found: list[MarketRow] = []
    for part in np.array_split(np.arange(len(rows)), pieces):
        times = rows.local_time_ns
        low = int(np.searchsorted(times, times[part[0]])) if part[0] else 0
        high = int(np.searchsorted(times, times[part[-1] + 1])) if part[-1] + 1 < len(rows) else len(rows)
        found += converter.convert(rows.take(slice(low, high))).columns().rows()

    assert bare(found) == bare(reference(made))
    assert converter.is_live(0)


def test_one_side_that_is_cleared_is_taken_away_level_by_level(tmp_path: Path) -> None:
    made = make_market(42, seed=1)
    at = made.facts[-1].local_ns + MS
    made.facts.append(Fact(at, at, "clear", "buy", 0, 0, 2_000))
    made.facts.append(Fact(at + MS, at + MS, "depth", "buy", 599_000, 3, 2_001))
    found = EngineRows(1).convert(rows_of(write_native_csv(tmp_path / "a.csv", made), made)).columns().rows()

    gone = [row for row in found if row.receive_time_ns == at and row.kind == RowKind.BOOK_LEVEL]
    assert len(gone) == 20
    assert all(row.qty == 0 for row in gone)
    assert [(row.price, row.qty) for row in found[-2:]] == [(599_000, 3), (600_001, found[-1].qty)]
    assert MARKET.tick_size == Decimal("0.1")
