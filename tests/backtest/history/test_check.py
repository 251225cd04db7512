"""What the checks find in a market in which one thing at a time is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backtest.history.check import CHECKS
from backtest.history.load import History
from backtest.history.rows import DataError
from tests.support.history_files import MARKET, MS, Fact, MadeMarket, make_market, write_native_csv


def nth(made: MadeMarket, kind: str, n: int) -> int:
    return [i for i, fact in enumerate(made.facts) if fact.kind == kind][n]


def after(made: MadeMarket, index: int, kind: str, side: str, ticks: int, lots: int, id_: int = 0) -> int:
    """Insert a fact of the same moment; return its line in the file."""
    at = made.facts[index]
    made.facts.insert(index + 1, Fact(at.exchange_ns, at.local_ns, kind, side, ticks, lots, id_))
    return index + 3


def gap(made: MadeMarket) -> int:
    index = nth(made, "trade", 20)
    for fact in made.facts[index:]:
        fact.exchange_ns += 90_000 * MS
        fact.local_ns += 90_000 * MS
    return index + 2


def missing_trade(made: MadeMarket) -> int:
    index = nth(made, "trade", 20)
    del made.facts[index]
    return nth(made, "trade", 20) + 2


def repeated_trade(made: MadeMarket) -> int:
    index = nth(made, "trade", 20)
    fact = made.facts[index]
    return after(made, index, "trade", fact.side, fact.ticks, fact.lots, fact.id)


def repeated_level(made: MadeMarket) -> int:
    index = nth(made, "depth", 20)
    fact = made.facts[index]
    return after(made, index, "depth", fact.side, fact.ticks, fact.lots, fact.id)


def crossed(made: MadeMarket) -> int:
    return after(made, len(made.facts) - 1, "depth", "buy", 700_000, 5)


def locked(made: MadeMarket) -> int:
    after(made, len(made.facts) - 1, "clear", "buy", 0, 0)
    after(made, len(made.facts) - 1, "clear", "sell", 0, 0)
    after(made, len(made.facts) - 1, "depth", "sell", 600_000, 5)
    return after(made, len(made.facts) - 1, "depth", "buy", 600_000, 5)


def outside(made: MadeMarket) -> int:
    return after(made, nth(made, "depth", 30), "trade", "buy", 590_000, 5)


def another_scale(made: MadeMarket) -> int:
    return after(made, nth(made, "trade", 30), "trade", "buy", 6_000, 5)


def receive_order(made: MadeMarket) -> int:
    index = nth(made, "trade", 20)
    made.facts[index].local_ns = made.facts[index - 1].local_ns - 1
    made.facts[index].exchange_ns = made.facts[index - 1].exchange_ns
    return index + 2


def exchange_order(made: MadeMarket) -> int:
    index = nth(made, "trade", 20)
    made.facts[index].exchange_ns = made.facts[index - 1].exchange_ns - 1
    return index + 2


def negative_latency(made: MadeMarket) -> int:
    index = nth(made, "trade", 20)
    for fact in made.facts[index:]:
        fact.exchange_ns, fact.local_ns = fact.exchange_ns + 60 * MS, fact.local_ns + 60 * MS
    made.facts[index].local_ns = made.facts[index].exchange_ns - 7
    return index + 2


def no_snapshot(made: MadeMarket) -> int:
    made.facts = [fact for fact in made.facts if fact.kind in ("depth", "trade")]
    return nth(made, "depth", 0) + 2


@pytest.mark.parametrize(
    ("spoil", "check", "says"),
    [
        (gap, "time_gap", "nothing for 90."),
        (missing_trade, "sequence_gap", "1 trades are missing before"),
        (repeated_trade, "duplicate", "is not newer than the last"),
        (repeated_level, "duplicate", "the same as the row before it"),
        (crossed, "crossed", "at 70000"),
        (locked, "locked", "at 60000"),
        (outside, "trade_outside", "at 59000"),
        (another_scale, "mixed_scale", "at 600"),
        (receive_order, "receive_order", "1 ns earlier than a row before it"),
        (exchange_order, "exchange_order", "1 ns earlier than a row before it"),
        (negative_latency, "negative_latency", "received 7 ns before its exchange time"),
        (no_snapshot, "no_snapshot", "at "),
    ],
)
def test_each_check_finds_its_fault_at_its_row(
    tmp_path: Path, spoil: Callable[[MadeMarket], int], check: str, says: str
) -> None:
    made = make_market(600)
    row = spoil(made)
    path = write_native_csv(tmp_path / "a.csv", made)
    found = {finding.check: finding for finding in History.of([path], [MARKET]).check().findings}

    assert check in found
    assert found[check].examples[0].startswith(f"{path}: row {row}, column ") or "same as" in says
    assert f"row {row}" in found[check].examples[0]
    assert says in found[check].examples[0]


def test_a_file_given_twice_is_an_error_and_trades_out_of_order_are_none(tmp_path: Path) -> None:
    made = make_market(600)
    path = write_native_csv(tmp_path / "a.csv", made)
    twice = History.of([path, path], [MARKET]).check()
    repeated = next(finding for finding in twice.findings if finding.check == "repeated")

    trades = sum(fact.kind == "trade" for fact in made.facts)
    assert (repeated.count, twice.errors) == (trades, trades)
    assert f"{trades} of {2 * trades} trades" in repeated.examples[0]

    ids = sorted((fact.id for fact in made.facts if fact.kind == "trade"), reverse=True)
    for fact in made.facts:
        fact.id = ids.pop(0) if fact.kind == "trade" else fact.id
    falling = History.of([write_native_csv(tmp_path / "b.csv", made)], [MARKET]).check()
    assert [(finding.check, falling.errors) for finding in falling.findings] == [("duplicate", 0)]


def test_a_good_market_has_no_findings_and_is_counted(tmp_path: Path) -> None:
    made = make_market(600)
    report = History.of([write_native_csv(tmp_path / "a.csv", made)], [MARKET]).check()

    assert report.findings == []
    assert report.rows == len(made.facts) == sum(report.markets[0].rows.values())
    assert report.markets[0].rows["trade"] == sum(f.kind == "trade" for f in made.facts)
    assert 3 * MS <= report.markets[0].min_latency_ns <= report.markets[0].mean_latency_ns


def test_every_file_with_an_error_is_refused_whole(tmp_path: Path) -> None:
    made = make_market(600)
    crossed(made)
    path = write_native_csv(tmp_path / "a.csv", made)
    history = History.of([path], [MARKET])

    with pytest.raises(DataError, match=r"a\.csv: row \d+, column price: at 70000: crossed x 1"):
        history.load()
    with pytest.raises(DataError, match="crossed x 1"):
        history.convert(tmp_path / "out.parquet")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.csv"]


def test_rows_out_of_exchange_order_are_not_loaded_for_the_simulator_until_corrected(tmp_path: Path) -> None:
    made = make_market(600)
    exchange_order(made)
    history = History.of([write_native_csv(tmp_path / "a.csv", made)], [MARKET])

    with pytest.raises(DataError, match="exchange_order x 1: exchange time goes back"):
        history.load()
    history.corrected = True
    columns, report = history.load()
    assert len(columns[MARKET.instrument_id]) == len(made.facts) + history.corrections[MARKET.instrument_id].rows_split
    assert report.findings == []


def test_an_unreadable_row_is_a_finding_of_the_check(tmp_path: Path) -> None:
    made = make_market(600)
    path = write_native_csv(tmp_path / "a.csv", made)
    path.write_text(path.read_text().replace(",trade,", ",nonsense,", 1))
    report = History.of([path], [MARKET]).check()

    assert [finding.check for finding in report.findings if finding.check == "unreadable"] == ["unreadable"]
    assert "column kind: 'nonsense' is none of" in report.findings[0].examples[0]


def test_an_empty_history_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("exchange_time_ns,local_time_ns,instrument,kind,side,price,qty,id,clocks\n")

    report = History.of([path], [MARKET]).check()
    assert {finding.check for finding in report.findings} == {"unreadable"} <= set(CHECKS)
    assert "the file holds no rows" in report.findings[0].examples[0]
