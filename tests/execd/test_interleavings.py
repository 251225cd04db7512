"""Whatever order answers, events, duplicates, reads and time-outs come in, quantities are conserved and booked once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.orders import OrderRole, OrderStatus, TimeInForce
from tradebot.venues.api_orders import RequestKind

QTY, LOT, LOTS = Decimal("0.01"), Decimal("0.00001"), 1_000


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """The life of one entry at the venue: fills, maybe a cancel, and how each message travels."""
    parts = draw(st.lists(st.integers(1, 5), min_size=0, max_size=4))
    total = sum(parts)
    fills = [LOT * (LOTS * part // max(total, 10)) for part in parts]
    if total >= 10 and fills:
        fills[-1] += QTY - sum(fills, Decimal(0))
    steps: list[tuple[str, Any]] = [("answer", None), ("new", None)]
    steps += [("trade", index) for index in range(len(fills))]
    steps += [("trade", draw(st.integers(0, len(fills) - 1))) for _ in range(draw(st.integers(0, 2))) if fills]
    if draw(st.booleans()):
        steps.append(("cancel", None))
    for _ in range(draw(st.integers(0, 3))):
        steps.append((draw(st.sampled_from(["time", "query", "read", "reconnect"])), draw(st.integers(1, 4_000))))
    kept = [step for step in steps if not (step[0] in ("answer", "new") and draw(st.booleans()))]
    return [("fills", fills), *draw(st.permutations(kept))]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives())
def test_quantities_are_conserved_in_any_order_of_messages(life: list[tuple[str, Any]]) -> None:
    kit = DeskKit()
    order = kit.order(qty=str(QTY), time_in_force=TimeInForce.GTC)
    (request,) = kit.take_sends(RequestKind.PLACE)
    row = kit._take(order.facts.terms, False)
    fills: list[Decimal] = life[0][1]
    trades = [kit.match(order, str(qty), "60000", stream=False) for qty in fills if qty]
    final = dict(row)

    def told() -> None:
        kit.serve_queries()
        kit.serve_reads()
        kit.serve_cancels()
        kit.place()

    for step, argument in life[1:]:
        match step:
            case "answer":
                result = {**kit._row(final), "status": "NEW", "executedQty": "0"}
                kit.frame({"id": request["id"], "status": 200, "result": result})
            case "new":
                kit.report({**final, "status": "NEW", "executedQty": "0"}, "NEW")
            case "trade" if argument < len(trades):
                trade = trades[argument]
                done = sum((Decimal(t["qty"]) for t in trades[: argument + 1]), Decimal(0))
                status = "FILLED" if done == QTY else "PARTIALLY_FILLED"
                kit.tell_trade({**final, "executedQty": str(done), "status": status}, trade)
            case "cancel" if row["status"] in ("NEW", "PARTIALLY_FILLED"):
                row["status"] = "CANCELED"
                kit.report(row, "CANCELED")
            case "time":
                kit.advance(argument)
            case "query":
                told()
            case "read":
                kit.desk.reconciler.want(kit.desk.state.venues["binance"], kit.now_ns)
                kit.pump()
                told()
            case "reconnect":
                kit.desk.venue_lost("binance", kit.now_ns)
                kit.pump()
                kit.connect_venue()
    for _ in range(30):
        kit.advance(2_500)
        told()

    booked = sum((Decimal(t["qty"]) for t in trades), Decimal(0))
    assert order.state.filled_qty == booked
    assert len(order.state.exec_ids) == len(trades)
    assert kit.desk.state.orders.positions.qty("s1", BTC) == kit.venue.base
    assert order.state.leaves_qty == (0 if not order.working else QTY - booked)
    expected = {"NEW": "NEW", "PARTIALLY_FILLED": None, "FILLED": "FILLED", "CANCELED": "CANCELED"}[row["status"]]
    if expected:
        assert order.state.status is OrderStatus[expected]
    assert kit.desk.state.orders.unknown_count == 0
    stops = sum((o.state.leaves_qty for o in kit.working_stops()), Decimal(0))
    assert stops <= kit.venue.base
    if kit.venue.base * 59_000 > 6:
        assert stops >= kit.venue.base - Decimal("0.00001")
    assert not kit.by_role(OrderRole.EMERGENCY_EXIT)
    # The journal folds to the same state.
    fresh = kit.restored()
    assert {o.id: o.snapshot() for o in fresh.state.orders.all_orders()} == {
        o.id: o.snapshot() for o in kit.desk.state.orders.all_orders()
    }
    sequences = [e.sequence for e in fresh.state.orders.log.after(0) or []]
    assert sequences == list(range(1, len(sequences) + 1))
