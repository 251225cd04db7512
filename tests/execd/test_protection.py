"""Every filled entry gets its stop at the venue, sized to what is really held, and never looser."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from execd.settings import DeskSettings, ProtectionSettings
from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import ApprovalAnswer, LevelEntry, LevelTable, ReduceCommand, SessionDown, Verdict
from tradebot.core.instruments import Product
from tradebot.core.intents import IntentStatus
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel
from tradebot.core.orders import OrderRole, OrderStatus, OrderType, Side, TimeInForce
from tradebot.venues.api_orders import RequestKind
from tradebot.wire.approvals import sign_grant


def filled_entry(kit: DeskKit, qty: str = "0.01", price: str = "60000") -> None:
    """Buy and let the stop rest."""
    order = kit.order(qty=qty, limit_price=price, time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, qty, price)
    kit.advance(1)


def test_the_stop_is_sized_net_of_the_base_fee_and_priced_from_the_average_fill() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01", limit_price="60000", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "59990")
    kit.match(order, "0.006", "60000")

    (frame,) = kit.take_sends(RequestKind.PLACE)
    params = frame["params"]
    assert params["type"] == "STOP_LOSS_LIMIT"
    assert params["quantity"] == "0.00999"
    assert params["side"] == "SELL"
    assert params["stopPrice"] == "59696.02"  # average 59996 x 0.995
    assert params["price"] == "59516.93"  # 30 bps lower, floor to the tick


def test_the_stop_waits_for_its_derivation_to_be_durable() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.auto_durable = False
    kit.match(order, "0.01", "60000")
    assert not kit.take_sends(RequestKind.PLACE)

    kit.desk.on_durable(len(kit.records), kit.now_ns)
    kit.pump()

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_a_working_entry_is_protected_after_a_short_wait_for_more_fills() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "60000")
    assert not kit.take_sends(RequestKind.PLACE)

    kit.advance(100)

    (frame,) = kit.take_sends(RequestKind.PLACE)
    assert frame["params"]["quantity"] == "0.00399"


def test_a_further_fill_resizes_by_cancel_and_new_and_never_loosens() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.01", limit_price="60000", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "60000")
    kit.advance(100)
    (first,) = kit.place()
    kit.match(order, "0.006", "59000")
    assert kit.serve_cancels() == 1

    (second,) = kit.place()
    assert second["origQty"] == "0.00999"
    assert Decimal(second["stopPrice"]) == Decimal(first["stopPrice"])
    assert [o.state.status for o in kit.working_stops()] == [OrderStatus.NEW]


def test_dust_is_told_and_not_protected() -> None:
    kit = DeskKit()
    order = kit.order(qty="0.00005", limit_price="60000")
    kit.place()
    kit.match(order, "0.00005", "60000")

    assert not kit.take_sends(RequestKind.PLACE)
    assert any(event == "position_dust" for _, event, _ in kit.notices)


@pytest.mark.parametrize(("average", "stops"), [("50402.47", 1), ("50402.46", 0)])
def test_dust_is_what_the_venue_would_refuse_at_the_limit_of_the_stop(average: str, stops: int) -> None:
    """It takes 5 USDT: 0.0001 are that at a limit of 50,000, which belongs to a trigger of 50,150.46."""
    kit = DeskKit()
    kit.venue.fee_rate = Decimal(0)
    order = kit.order(qty="0.01", limit_price="60000", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.0001", average)
    kit.advance(200)

    placed = kit.place()
    assert len(placed) == stops
    assert all(Decimal(row["price"]) * Decimal(row["origQty"]) >= 5 for row in placed)


def test_the_emergency_exit_of_a_small_position_is_priced_so_that_the_venue_takes_it() -> None:
    kit = DeskKit()
    kit.venue.fee_rate = Decimal(0)
    order = kit.order(qty="0.01", limit_price="60000", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.0001", "50500")
    kit.advance(200)
    kit.place()
    kit.quote("50100.00", "50100.01")  # 29 bps beyond the stop; 1 % lower the order is worth 4.96 USDT
    kit.serve_cancels()

    (leaving,) = kit.place()
    assert (leaving["timeInForce"], Decimal(leaving["price"])) == ("IOC", Decimal(50_000))


def test_with_a_take_profit_both_legs_rest_as_one_list() -> None:
    kit = DeskKit()
    kit.approver.take_profit = Decimal("0.01")
    order = kit.order()
    kit.place()
    kit.match(order, "0.01", "60000")

    (frame,) = kit.take_sends(RequestKind.PLACE_OCO)
    assert frame["method"] == "orderList.place.oco"
    assert frame["params"]["aboveType"] == "TAKE_PROFIT_LIMIT"
    assert frame["params"]["abovePrice"] == "60600"
    assert frame["params"]["belowType"] == "STOP_LOSS_LIMIT"
    assert frame["params"]["belowStopPrice"] == "59700"


def test_a_filled_target_leaves_nothing_to_cancel_when_the_venue_takes_its_sibling_down() -> None:
    kit = DeskKit()
    kit.approver.take_profit = Decimal("0.01")
    order = kit.order()
    kit.place()
    kit.match(order, "0.01", "60000")
    stop, target = sorted(kit.place(), key=lambda row: row["type"] != "STOP_LOSS_LIMIT")
    kit.match(target["clientOrderId"], "0.00999", "60600")
    kit.end(stop["clientOrderId"], "EXPIRED")
    kit.advance(3_000)

    assert kit.desk.state.orders.positions.qty("s1", BTC) == 0
    assert not kit.take_sends(RequestKind.CANCEL)
    assert not kit.take_sends(RequestKind.PLACE)
    assert kit.desk.state.orders.working_count == 0


def test_a_filled_stop_closes_the_position_and_nothing_more_is_sent() -> None:
    kit = DeskKit()
    filled_entry(kit)
    (stop,) = kit.place()
    kit.match(stop["clientOrderId"], "0.00999", "59700")
    kit.advance(20_000)

    assert kit.desk.state.orders.positions.qty("s1", BTC) == 0
    assert not kit.take_sends(RequestKind.PLACE)
    assert not kit.take_sends(RequestKind.PLACE_OCO)


def test_a_stop_that_the_market_jumped_over_is_followed_by_an_emergency_exit() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.quote("59500", "59501")  # stop 59700, 20 bps below it is 59580.6
    assert kit.serve_cancels() == 1

    (frame,) = kit.take_sends(RequestKind.PLACE)
    assert frame["params"]["type"] == "LIMIT"
    assert frame["params"]["timeInForce"] == "IOC"
    assert frame["params"]["quantity"] == "0.00999"
    assert Decimal(frame["params"]["price"]) == Decimal(58905)  # 59500 less the grant's 100 bps


def test_a_stop_that_hangs_just_beyond_its_trigger_gets_two_seconds() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.quote("59699", "59700")
    kit.advance(1_900)
    assert not kit.take_sends(RequestKind.CANCEL)

    kit.advance(200)

    assert kit.serve_cancels() == 1
    assert kit.take_sends(RequestKind.PLACE)[0]["params"]["timeInForce"] == "IOC"


def test_a_price_that_comes_back_in_time_leaves_the_stop_alone() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.quote("59699", "59700")
    kit.advance(1_000)
    kit.quote("59800", "59801")
    kit.advance(5_000)

    assert not kit.take_sends(RequestKind.CANCEL)


def test_a_stop_that_would_trigger_at_once_becomes_an_emergency_exit() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.refuse(RequestKind.PLACE, -2010, "Stop price would trigger immediately.")
    kit.advance(50)

    (frame,) = kit.take_sends(RequestKind.PLACE)
    assert frame["params"]["timeInForce"] == "IOC"


def test_a_rejected_stop_is_tried_again_and_after_fifteen_seconds_the_position_is_closed() -> None:
    kit = DeskKit()
    filled_entry(kit)
    tries = 0
    for _ in range(140):
        frames = [send for send in kit.sends if send.kind is RequestKind.PLACE]
        if frames and b'"IOC"' in frames[0].data:
            break
        tries += len(frames)
        kit.refuse(RequestKind.PLACE, -1013, "Filter failure: PRICE_FILTER")
        kit.advance(125)

    (frame,) = kit.take_sends(RequestKind.PLACE)
    assert frame["params"]["timeInForce"] == "IOC"
    assert tries >= 10
    assert ("UNPROTECTED_POSITION", False) in kit.alarms


def test_protection_works_without_riskd() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.desk.session_lost(kit.now_ns)
    kit.pump()
    kit.match(order, "0.01", "60000")

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_at_killed_no_protection_is_sent_either() -> None:
    kit = DeskKit()
    order = kit.order()
    kit.place()
    kit.levels(LevelTable(9, (LevelEntry(SYSTEM_SCOPE, TradingLevel.KILLED, 9),)))
    kit.match(order, "0.01", "60000")
    kit.advance(3_000)

    assert not kit.take_sends(RequestKind.PLACE)


def test_a_grant_is_not_used_more_often_than_it_says() -> None:
    kit = DeskKit(
        DeskSettings("demo", {"binance": "main"}, protection=ProtectionSettings(retry_ms=10, blocked_retry_ms=50))
    )
    kit.approver.grant_orders = 2
    filled_entry(kit)
    sent = 0
    for _ in range(30):
        sent += len([s for s in kit.sends if s.kind is RequestKind.PLACE])
        kit.refuse(RequestKind.PLACE, -1013, "Filter failure")
        kit.advance(20)

    assert sent == 2
    assert kit.renewals


def test_many_resizes_leave_orders_of_the_grant_for_the_emergency_exit() -> None:
    kit = DeskKit(
        DeskSettings("demo", {"binance": "main"}, protection=ProtectionSettings(retry_ms=10, blocked_retry_ms=50))
    )
    kit.approver.grant_orders = 20
    filled_entry(kit)
    for _ in range(40):
        kit.refuse(RequestKind.PLACE, -1013, "Filter failure")
        kit.advance(20)
    kit.take_sends(RequestKind.PLACE)
    kit.advance(15_000)

    (request,) = kit.take_sends(RequestKind.PLACE)
    assert (request["params"]["type"], request["params"]["timeInForce"]) == ("LIMIT", "IOC")


def test_an_expired_grant_is_not_used() -> None:
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.now_ns += 25 * 3_600 * 1_000_000_000
    kit.match(order, "0.01", "60000")

    assert not kit.take_sends(RequestKind.PLACE)
    assert any("GRANT_EXPIRED" in text for _, _, text in kit.notices)


def test_an_exit_takes_the_stop_down_first_and_sells_only_what_is_free() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="59990", stop_loss_fraction=None
    )
    assert kit.asks[0].order is None  # the parent is asked before the stop is touched
    assert not kit.take_sends(RequestKind.CANCEL)
    kit.allow()
    assert not kit.asks  # no size is known before the stop has ended
    assert kit.serve_cancels() == 1
    kit.allow()

    (row,) = kit.place()
    assert (row["side"], row["origQty"]) == ("SELL", "0.00999")
    kit.match(row["clientOrderId"], "0.00999", "59995")
    kit.advance(10_000)
    assert kit.desk.state.orders.positions.qty("s1", BTC) == 0
    assert kit.answers[-1].status is IntentStatus.ACCEPTED
    assert not kit.take_sends(RequestKind.PLACE)


def test_what_an_exit_leaves_is_protected_again() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty="0.004", limit_price="59990", stop_loss_fraction=None
    )
    kit.allow()
    kit.serve_cancels()
    kit.allow()
    (row,) = kit.place()
    kit.match(row["clientOrderId"], "0.004", "59995")

    (stop,) = kit.place()
    assert stop["type"] == "STOP_LOSS_LIMIT"
    assert stop["origQty"] == "0.00599"


def test_a_refused_exit_leaves_the_stop_where_it_is() -> None:
    from tradebot.core.approvals import ApprovalAnswer, Verdict

    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="59990", stop_loss_fraction=None
    )
    ask = kit.asks.pop()
    kit.answer(ApprovalAnswer(ask.ask_id, Verdict.BLOCK, "d", check_id="STA-02", reason="LEVEL"))

    assert not kit.take_sends(RequestKind.CANCEL)
    assert len(kit.working_stops()) == 1


def test_an_exit_refused_after_the_stop_went_is_protected_again() -> None:
    from tradebot.core.approvals import ApprovalAnswer, Verdict

    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="59990", stop_loss_fraction=None
    )
    kit.allow()
    kit.serve_cancels()
    ask = kit.asks.pop()
    kit.answer(ApprovalAnswer(ask.ask_id, Verdict.BLOCK, "d", check_id="STA-02", reason="LEVEL"))

    (stop,) = kit.place()
    assert stop["type"] == "STOP_LOSS_LIMIT"
    assert kit.answers[-1].reason == "LEVEL"


def test_a_stop_that_fills_while_it_is_being_canceled_ends_the_exit() -> None:
    kit = DeskKit()
    filled_entry(kit)
    (stop,) = kit.place()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="59990", stop_loss_fraction=None
    )
    kit.allow()
    kit.match(stop["clientOrderId"], "0.00999", "59700")
    kit.serve_cancels()

    assert kit.answers[-1].reason == "NO_POSITION"
    assert not kit.take_sends(RequestKind.PLACE)


def test_a_stop_that_cannot_be_canceled_makes_the_exit_give_up() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="59990", stop_loss_fraction=None
    )
    kit.allow()
    kit.take_sends(RequestKind.CANCEL)  # lost
    kit.advance(5_100)

    assert kit.answers[-1].reason == "PROTECTION_CANCEL_UNKNOWN"
    assert not kit.take_sends(RequestKind.PLACE)


def test_an_exit_without_a_position_is_refused() -> None:
    kit = DeskKit()
    kit.submit(role=OrderRole.EXIT, side=Side.SELL, stop_loss_fraction=None)

    assert kit.answers[-1].reason == "NO_POSITION"


def test_a_resting_exit_of_a_protected_position_is_refused() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(
        intent_id="x",
        role=OrderRole.EXIT,
        side=Side.SELL,
        qty=None,
        limit_price="61000",
        time_in_force=TimeInForce.GTC,
        stop_loss_fraction=None,
    )

    assert kit.answers[-1].reason == "RESTING_EXIT_UNPROTECTED"


def test_an_operator_cannot_take_the_last_protection_away() -> None:
    kit = DeskKit()
    filled_entry(kit)
    (stop,) = kit.place()

    answer = kit.desk.on_cancel(stop["clientOrderId"], "fat finger", kit.now_ns)

    assert (answer.accepted, answer.reason) == (False, "LAST_PROTECTION")
    assert not kit.take_sends(RequestKind.CANCEL)


def test_a_reduce_command_closes_each_holders_share_once() -> None:

    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    command = ReduceCommand("r1", BTC, "", Side.SELL, Decimal("0.005"), 50, "POS-03")
    kit.desk.on_session(SessionDown(reduces=[command]), kit.now_ns)
    kit.desk.on_session(SessionDown(reduces=[command]), kit.now_ns)
    kit.pump()
    assert kit.serve_cancels() == 1
    (ask,) = kit.asks
    assert ask.parent is None
    assert ask.order is not None
    assert (ask.order.role, ask.order.reduce_id, ask.order.strategy_id) == (OrderRole.REDUCE, "r1", "s1")
    assert ask.order.order.qty == Decimal("0.005")
    kit.allow()
    (row,) = kit.place()
    kit.match(row["clientOrderId"], "0.005", "59990")

    (stop,) = kit.place()
    assert stop["origQty"] == "0.00499"


def test_the_exit_of_a_long_perpetual_is_not_capped_by_a_balance_that_it_does_not_need() -> None:
    kit = DeskKit(connect=False)
    kit.instruments[BTC] = replace(kit.instruments[BTC], product=Product.LINEAR_PERPETUAL)
    kit.desk = kit._new_desk()
    kit.connect()
    kit.approver.grants = False
    order = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.desk.state.venues["binance"].balances.pop("BTC", None)
    command = ReduceCommand("r1", BTC, "", Side.SELL, Decimal("0.01"), 50, "POS-03")
    kit.desk.on_session(SessionDown(reduces=[command]), kit.now_ns)
    kit.pump()

    (ask,) = kit.asks
    assert ask.order is not None
    assert (ask.order.role, ask.order.order.qty) == (OrderRole.REDUCE, Decimal("0.01"))


def test_a_position_whose_grant_was_lost_asks_riskd_for_a_new_one() -> None:
    kit = DeskKit()
    kit.approver.grants = False
    order = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.advance(6_000)

    assert kit.renewals == [f"entry:{order.id}"]
    assert ("UNPROTECTED_POSITION", False) in kit.alarms


def test_a_renewed_grant_protects_at_once_and_clears_the_alarm() -> None:

    kit = DeskKit()
    kit.approver.grants = False
    order = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.advance(6_000)
    terms = kit.approver.grant_terms(order.facts.terms, "s1", kit.now_ns)
    kit.desk.on_session(SessionDown(renewed_grants=[sign_grant(terms, "key-1", b"k" * 32)]), kit.now_ns)
    kit.pump()
    kit.advance(1_100)
    kit.place()
    kit.advance(10)

    assert len(kit.working_stops()) == 1
    assert ("UNPROTECTED_POSITION", True) in kit.alarms


@pytest.mark.parametrize("restarted", [False, True])
def test_a_grant_is_renewed_however_many_orders_have_ended_since_its_entry(
    monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    monkeypatch.setattr("execd.orders.MAX_TERMINAL_ORDERS", 3)
    kit = DeskKit()
    kit.venue.base = Decimal(1)
    entry = kit.order()
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.place()
    for number in range(5):
        other = kit.order(intent_id=f"o{number}", stop_loss_fraction=None, strategy_id="s2")
        kit.place()
        kit.end(other, "EXPIRED")
    assert kit.desk.state.orders.get(entry.id) is None
    terms = kit.approver.grant_terms(entry.facts.terms, "s1", kit.now_ns)
    fresh = replace(terms, expires_time_ns=terms.expires_time_ns + 1)
    kit.desk.on_session(SessionDown(renewed_grants=[sign_grant(fresh, "key-1", b"k" * 32)]), kit.now_ns)
    kit.pump()
    if restarted:
        kit.restart()

    (guarded,) = (g for g in kit.desk.protection.book.entries.values() if g.open_qty)
    assert guarded.terms == fresh


def test_an_entry_of_a_short_market_type_is_a_limit_order_with_a_price() -> None:
    kit = DeskKit()
    from tests.support.builders import make_intent

    intent = replace(make_intent(), order_type=OrderType.STOP_LIMIT)
    kit.submit(intent)

    assert kit.answers[-1].reason == "NOT_SUPPORTED"


def test_an_entry_that_could_not_be_protected_because_the_venue_takes_no_more_stops_is_refused() -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, protection=ProtectionSettings(max_stops_per_instrument=2)))
    for number in range(2):
        order = kit.order(intent_id=f"i{number}")
        kit.place()
        kit.match(order, "0.01", "60000")
        kit.place()
    kit.submit(intent_id="one too many")

    assert (kit.answers[-1].check_id, kit.answers[-1].reason) == ("PTR-06", "NO_STOP_SLOT")


def test_an_entry_that_fills_after_it_was_canceled_asks_for_its_grant_and_is_protected() -> None:
    """The venue said canceled, and sent a fill later; the entry had been forgotten with its grant."""
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.desk.on_cancel(order.id, "test", kit.now_ns)
    kit.pump()
    kit.serve_cancels()
    kit.advance(10)
    assert order.state.status is OrderStatus.CANCELED
    kit.match(order, "0.01", "60000")
    kit.advance(1_100)

    assert kit.renewals == [f"entry:{order.id}"]
    terms = kit.approver.grant_terms(order.facts.terms, "s1", kit.now_ns)
    kit.desk.on_session(SessionDown(renewed_grants=[sign_grant(terms, "key-1", b"k" * 32)]), kit.now_ns)
    kit.pump()
    kit.advance(1_100)
    kit.place()
    kit.advance(10)

    assert len(kit.working_stops()) == 1


def test_what_fills_late_of_an_entry_that_was_canceled_and_stopped_out_asks_for_its_grant() -> None:
    kit = DeskKit()
    kit.venue.fee_rate = Decimal(0)  # no dust keeps it in mind
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.004", "60000")
    kit.desk.on_cancel(order.id, "test", kit.now_ns)
    kit.pump()
    kit.serve_cancels()
    kit.place()
    (stop,) = kit.working_stops()
    kit.match(stop, "0.004", "59700")
    kit.advance(1_000)
    kit.match(order, "0.006", "60000")
    kit.advance(1_100)

    assert not kit.sends
    assert kit.renewals == [f"entry:{order.id}"]


def reduce_all(kit: DeskKit, reduce_id: str, qty: str = "0.00999") -> None:
    command = ReduceCommand(reduce_id, BTC, "s1", Side.SELL, Decimal(qty), 100, "KILL")
    kit.desk.on_session(SessionDown(reduces=[command]), kit.now_ns)
    kit.pump()
    kit.serve_cancels()


@pytest.mark.parametrize("first", ["asked", "sent", "working"])
def test_a_second_reduction_is_not_asked_while_the_first_may_close_the_position(first: str) -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    reduce_all(kit, "r1")
    if first != "asked":
        kit.allow()
    if first == "working":
        kit.place()
    reduce_all(kit, "r2")
    kit.advance(200)

    asked = [ask.order.reduce_id for ask in kit.asks if ask.order is not None]
    assert asked == (["r1"] if first == "asked" else [])


def test_what_the_first_reduction_left_the_second_closes() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    reduce_all(kit, "r1")
    kit.allow()
    kit.place()
    reduce_all(kit, "r2")
    (first,) = kit.by_role(OrderRole.REDUCE)
    kit.match(first, "0.004", "59999")
    kit.end(first, "EXPIRED")
    kit.advance(20)

    (ask,) = kit.asks
    assert ask.order is not None
    assert (ask.order.reduce_id, ask.order.order.qty) == ("r2", Decimal("0.00599"))


def test_a_reduction_that_riskd_refuses_does_not_hold_up_the_next() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    reduce_all(kit, "r1")
    reduce_all(kit, "r2")
    kit.answer(ApprovalAnswer(kit.asks.pop().ask_id, Verdict.BLOCK, "d1", check_id="STA-02", reason="X"))

    (ask,) = kit.asks
    assert ask.order is not None
    assert ask.order.reduce_id == "r2"


def test_riskds_reduction_takes_the_place_of_an_exit_that_rests() -> None:
    kit = DeskKit()
    kit.approver.grants = False
    entry = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(entry, "0.01", "60000")
    resting = kit.order(
        intent_id="x", role=OrderRole.EXIT, side=Side.SELL, qty=None, limit_price="61000",
        time_in_force=TimeInForce.GTC, stop_loss_fraction=None,
    )  # fmt: skip
    kit.place()
    reduce_all(kit, "r1")
    assert kit.status(resting) is OrderStatus.CANCELED

    kit.allow()
    kit.place()
    (closing,) = kit.by_role(OrderRole.REDUCE)
    assert closing.state.terms.qty == Decimal("0.00999")


def test_a_closing_order_whose_end_is_not_told_holds_a_reduction_up_for_a_while_only() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    reduce_all(kit, "r1")
    kit.allow()
    kit.take_sends(RequestKind.PLACE)  # lost
    reduce_all(kit, "r2")
    kit.advance(60_000)

    assert [ask.order.reduce_id for ask in kit.asks if ask.order is not None] == ["r2"]


def test_an_exit_that_ends_puts_no_stop_in_the_way_of_riskds_reduction() -> None:
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(role=OrderRole.EXIT, side=Side.SELL, qty=None, intent_id="x1")
    kit.allow()
    kit.serve_cancels()
    kit.allow()
    (exit_order,) = kit.by_role(OrderRole.EXIT)
    kit.place()
    kit.match(exit_order, "0.004", "59999")
    reduce = ReduceCommand("r1", BTC, "s1", Side.SELL, Decimal("0.00599"), 100, "KILL")
    kit.desk.on_session(SessionDown(reduces=[reduce]), kit.now_ns)
    kit.pump()
    kit.end(exit_order, "EXPIRED")
    kit.advance(20)
    assert not kit.sends, "a stop locks what is being sold"

    kit.allow()
    kit.place()
    (closing,) = kit.by_role(OrderRole.REDUCE)
    kit.match(closing, "0.003", "59999")
    kit.end(closing, "EXPIRED")
    kit.advance(20)
    kit.place()
    (stop,) = kit.working_stops()
    assert stop.state.terms.qty == Decimal("0.00299")


def test_after_a_restart_a_list_does_not_count_twice_in_what_the_venue_locks() -> None:
    """Else an unanswered stop that does rest seems not to be there, and a second one may sell the coins twice."""
    kit = DeskKit(connect=False)
    kit.venue.base = Decimal(1)  # coins of somebody else
    kit.approver.take_profit = Decimal("0.01")
    kit.connect()
    filled_entry(kit)
    kit.place()
    kit.restart()
    order = kit.order(intent_id="i2", limit_price="60000", time_in_force=TimeInForce.GTC)
    kit.place()
    kit.match(order, "0.01", "60000")
    kit.advance(1)
    for row in kit.place(answer=False, stream=False):
        row["orderListId"] = 8
    for _ in range(100):
        kit.advance(100)
        kit.take_sends(RequestKind.QUERY)  # lost

    assert not kit.take_sends(RequestKind.PLACE_OCO)


def test_the_all_clear_waits_for_the_last_entry_of_the_market() -> None:
    kit = DeskKit()
    kit.approver.grants = False
    entries = []
    for number in (1, 2):
        entries.append(kit.order(intent_id=f"i{number}", stop_loss_fraction=None))
        kit.place()
        kit.match(entries[-1], "0.01", "60000")
    kit.advance(6_000)
    for entry in entries:
        assert ("UNPROTECTED_POSITION", True) not in kit.alarms
        terms = kit.approver.grant_terms(entry.facts.terms, "s1", kit.now_ns)
        kit.desk.on_session(SessionDown(renewed_grants=[sign_grant(terms, "key-1", b"k" * 32)]), kit.now_ns)
        kit.pump()
        kit.advance(1_100)
        kit.place()
        kit.advance(10)

    assert kit.alarms.count(("UNPROTECTED_POSITION", True)) == 1


def test_an_alarm_that_a_crash_forgot_is_cleared_when_it_is_over() -> None:
    """riskd's hold outlives execd, and nobody may clear it by hand."""
    kit = DeskKit()
    kit.approver.grants = False
    entry = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.advance(6_000)
    kit.restart()
    assert ("UNPROTECTED_POSITION", True) not in kit.alarms

    terms = kit.approver.grant_terms(entry.facts.terms, "s1", kit.now_ns)
    kit.desk.on_session(SessionDown(renewed_grants=[sign_grant(terms, "key-1", b"k" * 32)]), kit.now_ns)
    kit.pump()
    kit.advance(1_100)
    kit.place()
    kit.advance(61_000)

    assert kit.alarms.count(("UNPROTECTED_POSITION", True)) == 1


def test_an_alarm_that_a_dying_session_swallowed_is_told_to_the_next_one() -> None:
    kit = DeskKit()
    kit.approver.grants = False
    kit.answer_pings = False
    entry = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.advance(6_000)
    assert kit.alarms == [("UNPROTECTED_POSITION", False)]
    kit.desk.session_lost(kit.now_ns)
    kit.answer_pings = True
    kit.connect_risk()
    assert kit.alarms == [("UNPROTECTED_POSITION", False)] * 2

    kit.advance(1_000)  # this time riskd lives long enough to answer
    kit.desk.session_lost(kit.now_ns)
    kit.connect_risk()
    assert len(kit.alarms) == 2


def test_a_position_whose_exit_hangs_is_told_to_riskd_and_gets_its_stop_back_when_the_exit_is_over() -> None:
    """Its stop was taken down for the exit, whose fate is unknown: nothing may be placed, but it must not be silent."""
    kit = DeskKit()
    filled_entry(kit)
    kit.place()
    kit.submit(role=OrderRole.EXIT, side=Side.SELL, qty=None, intent_id="x1")
    kit.allow()
    kit.serve_cancels()
    kit.allow()
    kit.take_sends(RequestKind.PLACE)  # never reaches the venue
    kit.advance(4_000)
    assert kit.alarms == []
    kit.advance(2_000)
    assert kit.alarms == [("UNPROTECTED_POSITION", False)]
    for _ in range(160):
        kit.advance(500)
        kit.serve_queries()
        kit.place()

    assert not kit.by_role(OrderRole.EMERGENCY_EXIT)
    assert len(kit.working_stops()) == 1
    assert ("UNPROTECTED_POSITION", True) in kit.alarms
