"""The venue lives on exchange time, the strategy on receive time: what a slow line shows is gone when orders arrive."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backtest.config import BacktestOptions
from backtest.lookahead import check_lookahead
from backtest.report import BacktestResult
from backtest.run import run_backtest
from tests.support.history_files import MS, T0, Fact, MadeMarket, write_native_csv
from tests.support.timed_strategy import now_and_then

TIMER = now_and_then(700 * MS, 700 * MS)


def walk(feed_ms: int, seconds: int = 60, step: int = 600) -> MadeMarket:
    """A touch that moves every 200 ms at the venue and is received `feed_ms` later; the receive times stay the same."""
    rng = random.Random(4)
    made, bid = MadeMarket(), 600_000
    for number in range(seconds * 5):
        local_ns = T0 + number * 200 * MS
        bid += rng.randint(-step, step)
        for side, ticks in (("buy", bid), ("sell", bid + 1)):
            made.facts.append(Fact(local_ns - feed_ms * MS, local_ns, "bbo", side, ticks, 5_000, number + 1))
    return made


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(TIMER)
    return str(path)


def options_for(folder: Path, own: str, feed_ms: int) -> BacktestOptions:
    path = write_native_csv(folder / f"{feed_ms}.csv", walk(feed_ms))
    return BacktestOptions("now_and_then", path, symbols=("BTCUSDT",), strategy_path=(own,), in_process=True)


def run(folder: Path, own: str, feed_ms: int) -> BacktestResult:
    return run_backtest(options_for(folder, own, feed_ms))


def test_the_older_the_quotes_that_a_taker_sees_the_worse_he_fares(tmp_path: Path, own: str) -> None:
    results = {feed_ms: run(tmp_path, own, feed_ms) for feed_ms in (0, 50, 900)}

    assert results[0].fills >= results[50].fills > results[900].fills > 20
    assert results[0].intents == results[900].intents
    (warning,) = results[0].warnings
    assert "no exchange times, so the venue was played by receive times" in warning
    assert results[50].warnings == results[900].warnings == []
    assert [results[feed_ms].feed_latency_ms for feed_ms in (0, 50, 900)] == [None, 50, 900]
    assert "feed latency    900 ms on average" in results[900].lines()


def test_a_taker_trades_at_the_price_that_the_venue_has_when_he_arrives(tmp_path: Path, own: str) -> None:
    run_backtest(replace(options_for(tmp_path, own, 900), out=tmp_path / "out"))
    fills = pq.read_table(tmp_path / "out" / "fills.parquet").to_pylist()
    quotes = [fact for fact in walk(900).facts if fact.side == "buy"]

    assert len(fills) > 2
    for fill in fills:
        at_venue = [one for one in quotes if one.exchange_ns <= fill["matched_ns"]][-1]
        step = Decimal("0.1")
        touch = {"BUY": at_venue.ticks + 1, "SELL": at_venue.ticks}[fill["side"]]
        assert fill["price"] == touch * step
        assert fill["mid_at_arrival"] == (2 * at_venue.ticks + 1) * step / 2
        seen = [one for one in quotes if one.local_ns <= fill["decided_ns"]]
        if seen:
            assert fill["mid_at_decision"] == (2 * seen[-1].ticks + 1) * step / 2


def test_engine_process_and_engine_inside_see_the_same_two_clocks(tmp_path: Path, own: str) -> None:
    options = options_for(tmp_path, own, 300)
    logs = []
    for in_process in (True, False):
        log = tmp_path / f"{in_process}.jsonl"
        run_backtest(replace(options, in_process=in_process, events=log, max_seconds=20))
        logs.append(log.read_bytes())

    assert logs[0] == logs[1]
    assert b'"execution"' in logs[0]


def test_a_run_with_rows_under_way_at_the_cut_is_not_taken_for_one_that_looks_ahead(tmp_path: Path, own: str) -> None:
    report = check_lookahead(options_for(tmp_path, own, 900), cuts=8, seed=2)

    assert report.is_clean, report.lines()
    assert report.decisions > 20


def test_a_strategy_that_reads_what_is_still_on_its_way_to_it_looks_ahead(tmp_path: Path) -> None:
    path = tmp_path / "peeks.py"
    path.write_text(
        TIMER.replace("Strategy, enter", "Params, Strategy, enter")
        .replace("@strategy", 'class Where(Params):\n    path: str = ""\n\n@strategy')
        .replace("class NowAndThen(Strategy):", "class NowAndThen(Strategy):\n    params: Where\n")
        .replace(
            "        if not market.bid:",
            "        if 'parquet' in self.params.path:\n"
            "            import pyarrow.parquet as pq\n"
            "            last_ns = pq.read_table(self.params.path)['local_time_ns'][-1].as_py()\n"
            "        else:\n"
            "            last_ns = int(open(self.params.path).read().splitlines()[-1].split(',')[1])\n"
            "        if not market.bid or last_ns <= now_ns + 100_000_000:",
        )
    )
    options = options_for(tmp_path, str(path), 900)
    assert options.data is not None
    report = check_lookahead(replace(options, params={"path": str(options.data)}), cuts=6, seed=2)

    assert report.looks_ahead


def test_the_event_log_is_the_same_whatever_is_watched(tmp_path: Path, own: str) -> None:
    options = options_for(tmp_path, own, 120)
    plain, watched = tmp_path / "plain.jsonl", tmp_path / "watched.jsonl"
    run_backtest(replace(options, events=plain))
    run_backtest(replace(options, events=watched, out=tmp_path / "out"))

    assert plain.read_bytes() == watched.read_bytes()
    assert any(json.loads(line)["what"] == "order" for line in plain.read_text().splitlines())
