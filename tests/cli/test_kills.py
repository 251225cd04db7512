"""What the command says of kills and drills, and the drill's own orders."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cli import drill
from cli.kill_client import kills_view
from cli.kill_views import DrillView, KillMarkView, KillsView, KillView, kill_lines, kills_lines, step_line
from tests.support.builders import BTC, make_instrument
from tradebot.core.levels import SYSTEM_SCOPE
from tradebot.core.orders import OrderRole, OrderType, TimeInForce
from tradebot.rpc.risk.v1 import kill_pb2
from tradebot.wire.levels import scope_to_wire

MS = 1_000_000
KILL = KillView(
    "H7", "system", "DONE", "REPORT", False, False, "ana", "all out", 5 * MS, 1_505 * MS, 4, "",
    [KillMarkView("LATCH", 0, 1, "H7 is journaled"), KillMarkView("CONFIRM", 400, None, "")],
    ["0.1 binance:BTC-USDT of s1 stays"],
)  # fmt: skip
NAMES = "still working: c1: cancel it " + "there " * 40
STUCK = replace(KILL, state="STUCK", step="CANCEL", ended_time_ns=0, stuck=NAMES)


def test_a_report_says_what_how_long_why_and_what_is_left() -> None:
    text = "\n".join(kill_lines(KILL))

    assert "kill H7 of system (protection stays): DONE after 1500 ms" in text
    assert "by ana at 1970-01-01" in text
    assert "all out" in text
    assert "+400 ms" in text
    assert "..." in text
    assert "left   0.1 binance:BTC-USDT of s1 stays" in text


def test_a_stuck_kill_says_so_in_full_and_within_the_width() -> None:
    lines = kill_lines(STUCK)

    assert any(line.startswith("STUCK") for line in lines)
    assert " ".join(" ".join(lines).split()).count("there") == 40
    assert max(map(len, lines)) <= 100
    assert step_line(STUCK).startswith("H7 CANCEL STUCK: still working: c1")


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (None, "kill switch: never drilled (tradebot drill kill)"),
        (
            DrillView("H3", "bob", "demo", 5_000 * MS, 3_100, ""),
            "kill switch: drilled 1m00s ago in demo by bob, 3100 ms",
        ),
    ],
)
def test_the_list_ends_with_the_last_test_of_the_switch(last: DrillView | None, words: str) -> None:
    assert kills_lines(KillsView([KILL], last), 65_000 * MS)[-1] == words


def test_the_message_becomes_the_view() -> None:
    mark = kill_pb2.KillMark(step=kill_pb2.KILL_STEP_FENCE, began_time_ns=7 * MS, ended_time_ns=9 * MS, evidence="e")
    report = kill_pb2.KillReport(
        kill_id="H7", scope=scope_to_wire(SYSTEM_SCOPE), state=kill_pb2.KILL_STATE_STUCK, marks=[mark],
        step=kill_pb2.KILL_STEP_CANCEL, began_time_ns=5 * MS, drill=True, left=["x"],
    )  # fmt: skip
    (kill,) = kills_view(kill_pb2.ListKillsResponse(kills=[report])).kills

    assert (kill.scope, kill.state, kill.step, kill.is_over, kill.took_ms) == ("system", "STUCK", "CANCEL", False, None)
    assert kill.steps == [KillMarkView("FENCE", 2, 2, "e")]


@pytest.mark.parametrize(
    ("min_notional", "min_qty", "price", "qty"),
    [("5", "0.00001", "60000", "0.00013"), ("5", "0.01", "60000", "0.01002"), ("0", "0.00001", "60000", "0.00002")],
)
def test_a_drill_buys_the_least_that_can_be_protected_too(
    min_notional: str, min_qty: str, price: str, qty: str
) -> None:
    instrument = make_instrument(BTC, min_qty=min_qty, min_notional=min_notional)

    assert drill.size(instrument, Decimal(price), Decimal("0.001")) == Decimal(qty)


def test_a_drills_orders_are_entries_of_its_own_strategy_with_a_stop() -> None:
    instrument = make_instrument(BTC)
    market, resting = (drill.intent(instrument, Decimal("0.001"), limit) for limit in (None, Decimal(59_000)))

    assert {market.strategy_id, resting.strategy_id} == {"manual:drill"}
    assert {market.role, resting.role} == {OrderRole.ENTRY}
    assert (market.order_type, market.time_in_force) == (OrderType.MARKET, TimeInForce.IOC)
    assert (resting.order_type, resting.time_in_force, resting.post_only) == (OrderType.LIMIT, TimeInForce.GTC, True)
    assert market.protection.stop_loss_fraction
    assert market.intent_id != resting.intent_id
