"""Order, fill, position, PnL and risk event rows."""

from __future__ import annotations

import json

from recorder.order_rows import event_entries, fee_in_quote
from recorder.risk_rows import PnlRecord, PositionRecord, Positions
from recorder.tables import OP_COLUMNS, Entry, Op
from tests.support.builders import BTC, make_execution, make_terms
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus

SECOND = 1_000_000_000


def row_of(entry: Entry) -> dict[str, object]:
    return dict(zip(OP_COLUMNS[entry.op], entry.row, strict=True))


def make_event(kind: OrderEventKind, status: OrderStatus, *, facts: bool = False, fill: bool = False) -> OrderEvent:
    return OrderEvent(
        sequence=4,
        client_order_id="c1",
        kind=kind,
        status=status,
        receive_time_ns=20,
        facts=OrderFacts(make_terms(), "s1", "i1", 0, OrderRole.ENTRY, 10) if facts else None,
        execution=make_execution(fee="0.001", fee_asset="BTC") if fill else None,
        event_time_ns=15,
    )


def test_the_first_event_makes_the_order_row_with_the_columns_of_the_data_model() -> None:
    order, event = event_entries(make_event(OrderEventKind.ASKED, OrderStatus.PENDING_NEW, facts=True), "log1")
    row = row_of(order)

    assert (row["id"], row["symbol"], row["side"], row["qty"], row["px"]) == ("c1", BTC, "BUY", "1", "60000")
    assert (row["type"], row["tif"], row["status"], row["venue"]) == ("LIMIT", "GTC", "PENDING_NEW", "binance")
    assert row_of(event)["type"] == "ASKED"


def test_a_later_event_changes_only_the_status() -> None:
    status, _ = event_entries(make_event(OrderEventKind.ACCEPTED, OrderStatus.NEW), "log1")

    assert status.op is Op.ORDER_STATUS
    assert row_of(status)["status"] == "NEW"


def test_a_fill_event_makes_a_fill_row_with_the_fee_in_the_quote_asset() -> None:
    _, fill, event = event_entries(make_event(OrderEventKind.FILL_COMPLETE, OrderStatus.FILLED, fill=True), "log1")
    row = row_of(fill)

    assert (row["id"], row["order_id"], row["qty"], row["px"]) == ("t1", "c1", "1", "60000")
    assert (row["fee"], row["fee_asset"], row["fee_usdt"]) == ("0.001", "BTC", "60")
    assert json.loads(str(row_of(event)["payload"]))["exec_id"] == "t1"


def test_a_fee_in_a_third_asset_is_unknown_in_the_quote_asset_not_zero() -> None:
    assert fee_in_quote(make_execution(fee="0.01", fee_asset="BNB")) is None
    assert fee_in_quote(make_execution(fee="0.5", fee_asset="USDT")) == "0.5"
    assert fee_in_quote(make_execution(instrument_id="okx:BTC-USDT-SWAP", fee="0.5", fee_asset="USDT")) == "0.5"


def make_position(strategy: str = "s1", unrealized_pnl: str = "7") -> PositionRecord:
    return PositionRecord(BTC, strategy, "1", "60000", "5", unrealized_pnl, "1", 1, 2)


def test_a_pnl_snapshot_sums_strategies_per_symbol() -> None:
    positions = Positions(1_000)
    positions.apply([make_position("s1"), make_position("s2", unrealized_pnl="-3")], snapshot=True, time_ns=1)
    account, symbol = positions.pnl(PnlRecord(5 * SECOND, "10", "4", "2", "10012"))

    assert row_of(account) == {
        "ts": 5 * SECOND, "symbol": "*", "realized": "10", "unrealized": "4", "fees": "2", "equity": "10012",
    }  # fmt: skip
    assert (row_of(symbol)["realized"], row_of(symbol)["unrealized"], row_of(symbol)["fees"]) == ("10", "4", "2")


def test_a_missing_mark_makes_the_open_result_unknown_not_zero() -> None:
    positions = Positions(1_000)
    positions.apply([make_position(unrealized_pnl="")], snapshot=True, time_ns=1)
    _, symbol = positions.pnl(PnlRecord(5 * SECOND, "0", "", "0", "10000"))

    assert row_of(symbol)["unrealized"] is None


def test_pnl_is_sampled_at_the_interval() -> None:
    positions = Positions(1_000)
    times = (1.0, 1.1, 1.8, 1.95, 2.9)
    counts = [len(positions.pnl(PnlRecord(int(time_s * SECOND), "0", "0", "0", "1"))) for time_s in times]

    assert counts == [1, 0, 0, 1, 1]


def test_a_position_snapshot_first_forgets_what_was_there() -> None:
    forget, kept = Positions(1_000).apply([make_position()], snapshot=True, time_ns=9)

    assert (forget.op, kept.op) == (Op.POSITIONS_FORGET, Op.POSITION)
