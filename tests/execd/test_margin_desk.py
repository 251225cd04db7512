"""Ledger lines and margin figures go to riskd; a position that the venue closed is booked for whoever held it."""

from __future__ import annotations

from decimal import Decimal

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.accounts import LedgerEntry, LedgerKind, MarginState, PositionMargin
from tradebot.core.approvals import SessionUp
from tradebot.core.orders import Execution, Liquidity, OrderEventKind, OrderRole, OrderStatus, Side
from tradebot.venues.api_orders import LedgerUpdate, LiquidationUpdate, MarginUpdate

FUNDING = LedgerEntry("binance", "main", "f1", LedgerKind.FUNDING, "USDT", Decimal("-0.5"), 5, BTC)
MARGINS = MarginUpdate(
    (MarginState("binance", "main", "USDT", Decimal(100), Decimal(20), Decimal(5), 7),),
    (PositionMargin(BTC, Decimal(5), None, Decimal(5), False, 7),),
)


def up_of(kit: DeskKit) -> SessionUp:
    up = kit.desk.take_up()
    assert up is not None
    return up


def liquidation(qty: str, fee: str = "3") -> LiquidationUpdate:
    return LiquidationUpdate(
        Execution("77", "", BTC, Side.SELL, Decimal(qty), Decimal(50_000), Decimal(fee), "USDT", Liquidity.TAKER, 9)
    )


def held(kit: DeskKit, *strategies: str) -> None:
    for strategy_id in strategies:
        order = kit.order(strategy_id=strategy_id, intent_id=f"of-{strategy_id}")
        kit.place()
        kit.match(order, str(order.state.terms.qty), "60000")
        kit.pump()


def test_ledger_lines_and_margin_figures_reach_riskd() -> None:
    kit = DeskKit()
    kit.desk.on_venue_event("binance", LedgerUpdate(FUNDING), kit.now_ns)
    kit.desk.on_venue_event("binance", MARGINS, kit.now_ns)

    up = up_of(kit)
    assert up.ledger == [FUNDING]
    assert (tuple(up.margins), tuple(up.position_margins)) == (MARGINS.accounts, MARGINS.positions)


def test_a_new_session_begins_with_the_newest_margin_figures() -> None:
    kit = DeskKit()
    kit.desk.on_venue_event("binance", MARGINS, kit.now_ns)
    kit.pump()
    told: list[PositionMargin] = []
    take_up = kit.desk.take_up

    def listening() -> SessionUp | None:
        up = take_up()
        told.extend([] if up is None else up.position_margins)
        return up

    kit.desk.take_up = listening  # type: ignore[method-assign]
    kit.connect_risk(0)

    assert told == list(MARGINS.positions)


def test_a_liquidation_closes_what_each_strategy_held_once() -> None:
    kit = DeskKit()
    held(kit, "s1", "s2")
    shares = dict(kit.desk.state.orders.positions.holders(BTC))
    total = sum(shares.values(), Decimal(0))

    for _ in range(2):
        kit.desk.on_venue_event("binance", liquidation(str(total)), kit.now_ns)
        kit.pump()

    booked = kit.by_role(OrderRole.LIQUIDATION)
    assert {order.facts.strategy_id: order.state.filled_qty for order in booked} == shares
    assert {order.state.status for order in booked} == {OrderStatus.FILLED}
    assert kit.desk.state.orders.positions.total(BTC) == 0
    events = [event for event in kit.up_events if event.facts and event.facts.role is OrderRole.LIQUIDATION]
    assert {event.kind for event in events} == {OrderEventKind.FILL_COMPLETE}
    assert sum(event.execution.fee for event in events if event.execution) == 3
    assert kit.alarms.count(("LIQUIDATED", False)) == 1


def test_a_liquidation_of_more_than_we_knew_of_is_booked_to_nobody() -> None:
    kit = DeskKit()
    held(kit, "s1")
    mine = kit.desk.state.orders.positions.total(BTC)

    kit.desk.on_venue_event("binance", liquidation(str(mine + 1)), kit.now_ns)
    kit.pump()

    booked = {order.facts.strategy_id: order.state.filled_qty for order in kit.by_role(OrderRole.LIQUIDATION)}
    assert booked == {"s1": mine, "unattributed": Decimal(1)}


def test_a_restart_remembers_the_liquidation() -> None:
    kit = DeskKit()
    held(kit, "s1")
    kit.desk.on_venue_event("binance", liquidation(str(kit.desk.state.orders.positions.total(BTC))), kit.now_ns)
    kit.pump()

    desk = kit.restored()

    assert desk.state.orders.positions.total(BTC) == 0
