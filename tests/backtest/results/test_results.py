from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from backtest.config import BacktestOptions
from backtest.results.files import ResultWriter, open_results
from backtest.results.orders import MAX_ENDED, Decision, KnownOrder
from backtest.results.recorder import RunRecorder
from backtest.results.schemas import TABLES, amount, schema
from backtest.run import run_backtest
from tests.support.builders import BTC, make_execution, make_instrument, make_intent, make_terms
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import Execution, Liquidity, OrderEventKind, OrderRole, OrderStatus

PARAMS = {"bar_ms": 1000, "ema_length": 4, "atr_length": 5, "multiple": 0.4, "cool_down_bars": 1}
MS = 1_000_000
REJECTED = OrderStatus.REJECTED


def options(out: Path, **more: object) -> BacktestOptions:
    return BacktestOptions("breakout_atr", seed=1, seconds=40, params=PARAMS, out=out, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "out"
    run_backtest(options(folder))
    return folder


def test_the_tables_agree_with_the_summary_and_with_each_other(run_folder: Path) -> None:
    results = open_results(run_folder)
    result = results.summary["result"]
    fills, orders = results.rows("fills"), results.rows("orders")

    assert len(fills) == result["fills"] > 0
    assert sum(order["sent_ns"] is not None for order in orders) == result["orders"]
    assert sum(f["qty"] * f["price"] for f in fills) == Decimal(result["turnover"])
    assert results.rows("equity")[-1]["equity"] == amount(Decimal(result["equity"]))
    assert results.rows("equity")[-1]["realized_pnl"] == amount(Decimal(result["realized_pnl"]))
    last = {(p["strategy_id"], p["instrument_id"]): p for p in results.rows("positions")}
    assert sum(p["fees_paid"] for p in last.values()) == amount(Decimal(result["fees"]))
    filled = {order["client_order_id"]: order["filled_qty"] for order in orders if order["filled_qty"]}
    assert filled == {
        name: sum(f["qty"] for f in fills if f["client_order_id"] == name)
        for name in {f["client_order_id"] for f in fills}
    }
    fees = results.rows("fees")
    assert sum(row["fills"] for row in fees) == len(fills)
    for row in fees:
        mine = [f for f in fills if f["fee_asset"] == row["fee_asset"] and f["liquidity"] == row["liquidity"]]
        assert row["fee"] == sum(f["fee"] for f in mine)


def test_every_fill_of_a_strategy_order_has_its_latencies_mids_and_slippage(run_folder: Path) -> None:
    for fill in open_results(run_folder).rows("fills"):
        if fill["role"] in ("ENTRY", "EXIT"):
            assert fill["decided_ns"] < fill["sent_ns"] < fill["arrived_ns"] <= fill["matched_ns"] < fill["heard_ns"]
            assert fill["heard_ns"] - fill["matched_ns"] == 5 * MS
            assert fill["arrived_ns"] - fill["sent_ns"] == 5 * MS
            sign = 1 if fill["side"] == "BUY" else -1
            cost = (fill["price"] - fill["mid_at_arrival"]) * sign / fill["mid_at_arrival"] * 10_000
            assert fill["slippage_arrival_bps"] == pytest.approx(float(cost))
            assert fill["mid_at_decision"] is not None


def test_equity_is_sampled_at_the_chosen_resolution(run_folder: Path, tmp_path: Path) -> None:
    coarse = tmp_path / "coarse"
    run_backtest(options(coarse, equity_every_s=10.0))
    fine_rows, coarse_rows = (open_results(folder).rows("equity") for folder in (run_folder, coarse))

    assert all(row["at_ns"] % 1_000_000_000 == 0 for row in fine_rows[:-1])
    assert all(row["at_ns"] % 10_000_000_000 == 0 for row in coarse_rows[:-1])
    assert 38 <= len(fine_rows) <= 45
    assert 4 <= len(coarse_rows) <= 6
    at = {row["at_ns"]: row["equity"] for row in fine_rows}
    assert all(at[row["at_ns"]] == row["equity"] for row in coarse_rows[:-1])


def test_writing_results_changes_no_event_and_two_runs_are_the_same_bytes(run_folder: Path, tmp_path: Path) -> None:
    with_out, without = tmp_path / "with.jsonl", tmp_path / "without.jsonl"
    run_backtest(options(tmp_path / "again", events=with_out))
    run_backtest(BacktestOptions("breakout_atr", seed=1, seconds=40, params=PARAMS, events=without))

    assert with_out.read_bytes() == without.read_bytes()
    names = sorted(path.name for path in run_folder.iterdir())
    assert names == sorted([*(f"{table}.parquet" for table in TABLES), "summary.json"])
    assert all((run_folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_the_command_writes_the_tables(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "backtest", "--seconds", "20", "--out", str(tmp_path / "r"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert open_results(tmp_path / "r").summary["result"] == json.loads(done.stdout)


@dataclass
class AtVenue:
    filled_lots: int = 0
    queue_ahead: int = 0
    working: bool = True
    status: OrderStatus = OrderStatus.NEW


def event(kind: OrderEventKind, status: OrderStatus, execution: Execution | None = None) -> OrderEvent:
    facts = OrderFacts(make_terms(qty="2", price="60000"), "s1", "i1", 0, OrderRole.ENTRY, 1)
    return OrderEvent(1, "c1", kind, status, 0, facts, execution)


def test_a_maker_fill_says_how_much_was_ahead_of_it_at_arrival_and_then(tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path)
    instrument = make_instrument(lot="0.5")
    recorder = RunRecorder(writer, [instrument], 1_000_000_000)
    mids = {BTC: Decimal("60000.5")}
    recorder.order_event(10, event(OrderEventKind.ASKED, OrderStatus.PENDING_NEW))
    recorder.order_event(20, event(OrderEventKind.SENT, OrderStatus.PENDING_NEW))
    recorder.arrives(30, "c1", mids)
    order = AtVenue(queue_ahead=7)
    recorder.taken("c1", BTC, order, "c1")
    for number, (filled, ahead) in enumerate(((1, 0), (4, 0))):
        order.filled_lots, order.queue_ahead = filled, ahead
        recorder.matched(40 + number)
        qty = "0.5" if number == 0 else "1.5"
        fill = make_execution(f"t{number}", qty=qty, price="60000", liquidity=Liquidity.MAKER)
        status = OrderStatus.FILLED if number else OrderStatus.PARTIALLY_FILLED
        recorder.order_event(50 + number, event(OrderEventKind.FILL, status, fill))
    recorder.finish({})
    results = open_results(tmp_path)

    facts = [(f["queue_ahead_at_arrival"], f["queue_ahead_at_fill"], f["liquidity"]) for f in results.rows("fills")]
    assert facts == [(Decimal("3.5"), Decimal(0), "MAKER")] * 2
    assert [f["matched_ns"] for f in results.rows("fills")] == [40, 41]  # the venue's own time ends at milliseconds
    assert results.rows("fills")[0]["slippage_arrival_bps"] == pytest.approx(-0.5 / 60000.5 * 10_000)
    assert results.summary["execution"]["maker_fills"] == 2
    (row,) = results.rows("orders")
    assert (row["status"], row["filled_qty"], row["avg_price"]) == ("FILLED", 2, 60_000)
    assert (row["sent_ns"], row["arrived_ns"], row["ended_ns"]) == (20, 30, 51)


def kept_orders() -> int:
    """Return how many orders and decisions live in this process, whoever holds them."""
    return sum(isinstance(one, (KnownOrder, Decision)) for one in gc.get_objects())


def test_what_a_recorder_keeps_does_not_grow_with_the_orders_that_ended(tmp_path: Path) -> None:
    recorder = RunRecorder(ResultWriter(tmp_path), [make_instrument(lot="0.5")], 1_000_000_000)
    before, most, ends = kept_orders(), 0, 2 * MAX_ENDED
    for number in range(ends):
        refused, intent = make_intent(f"r{number}"), make_intent(f"i{number}")
        recorder.intent(number, refused)  # at execd's door: no order comes of it
        recorder.intent(number, intent)
        recorder.before(number + 1, {BTC: Decimal(60_000)})
        facts = OrderFacts(make_terms(f"c{number}"), "s1", intent.intent_id, 0, OrderRole.ENTRY, 1)
        for kind, status in ((OrderEventKind.ASKED, OrderStatus.PENDING_NEW), (OrderEventKind.REFUSED, REJECTED)):
            recorder.order_event(number, OrderEvent(1, f"c{number}", kind, status, 0, facts))
        recorder.answer(refused.intent_id)
        recorder.answer(intent.intent_id)
        if number % 500 == 0:
            most = max(most, kept_orders() - before)
    with pytest.raises(InvariantError, match="c0, which ended 4096 ends ago"):
        recorder.order_event(ends, OrderEvent(1, "c0", OrderEventKind.REJECTED, REJECTED, 0))
    recorder.finish({})

    assert most <= 2 * (MAX_ENDED + 1)  # an order has its decision
    rows = open_results(tmp_path).rows("orders")
    assert [(row["client_order_id"], row["decided_ns"]) for row in rows] == [(f"c{n}", n) for n in range(ends)]


def test_orders_written_as_they_end_are_those_written_at_the_end(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backtest.results.orders.MAX_ENDED", 1)
    run_backtest(options(tmp_path))

    names = {"orders.parquet"} ^ {path.name for path in run_folder.iterdir()}
    assert all((run_folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)
    early, late = (open_results(folder).rows("orders") for folder in (tmp_path, run_folder))
    assert len(early) > 3
    assert sorted(early, key=str) == sorted(late, key=str)


def test_an_order_is_kept_until_the_last_fill_of_the_venue_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backtest.results.orders.MAX_ENDED", 0)
    recorder = RunRecorder(ResultWriter(tmp_path), [make_instrument(lot="0.5")], 1_000_000_000)
    recorder.order_event(10, event(OrderEventKind.ASKED, OrderStatus.PENDING_NEW))
    recorder.arrives(30, "c1", {BTC: Decimal("60000.5")})
    order = AtVenue(queue_ahead=7)
    recorder.taken("c1", BTC, order, "c1")
    order.filled_lots, order.status = 1, OrderStatus.CANCELED
    recorder.matched(40)
    recorder.order_event(50, event(OrderEventKind.CANCELED, OrderStatus.CANCELED))
    late = make_execution("t1", qty="0.5", price="60000", liquidity=Liquidity.MAKER)
    recorder.order_event(60, event(OrderEventKind.FILL, OrderStatus.CANCELED, late))
    recorder.finish({})

    (row,) = open_results(tmp_path).rows("orders")
    assert (row["status"], row["filled_qty"], row["ended_ns"]) == ("CANCELED", Decimal("0.5"), 50)
    assert open_results(tmp_path).rows("fills")[0]["matched_ns"] == 40


def test_a_run_that_fails_leaves_no_result(tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path)
    writer.add("funding", {"at_ns": 1, "asset": "USDT"})
    writer.abandon()

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="no result here"):
        open_results(tmp_path)


def test_a_result_that_is_incomplete_or_of_another_format_is_refused(tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path)
    writer.add("funding", {"at_ns": 1})
    writer.finish({})
    assert open_results(tmp_path).rows("funding")[0]["at_ns"] == 1

    (tmp_path / "funding.parquet").unlink()
    with pytest.raises(ConfigError, match=r"funding\.parquet: None rows, the summary says 1"):
        open_results(tmp_path)
    (tmp_path / "summary.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="format 99, this program reads 1"):
        open_results(tmp_path)


def test_a_folder_with_other_things_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds thesis\.txt, which is no result table"):
        ResultWriter(tmp_path)


def test_columns_can_be_written_at_once_and_a_wrong_column_is_our_bug(tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path)
    many = pa.table(
        {
            name: pa.array([None] * 3, field.type)
            for name, field in zip(schema("equity").names, schema("equity"), strict=True)
        }
    )
    writer.add_columns("equity", many)
    with pytest.raises(InvariantError, match="no such column"):
        writer.add("equity", {"nonsense": 1})
    writer.finish({})

    assert open_results(tmp_path).summary["rows"]["equity"] == 3


def test_every_column_is_explained() -> None:
    for columns in TABLES.values():
        assert all(meaning.endswith(".") and len(meaning) >= 5 for _, _, meaning in columns)
        assert len({name for name, _, _ in columns}) == len(columns)
