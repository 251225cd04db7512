"""What the matching engine does with one order at a time: life cycles, funds, triggers, lists, fees."""

from __future__ import annotations

import pytest

from tests.sim.kit import NOW_NS, fills, kinds, make_engine, make_order, make_rules
from tradebot.core.amounts import MONEY_ONE
from tradebot.core.errors import InvariantError
from tradebot.core.orders import Liquidity, OrderStatus, OrderType, Side, TimeInForce
from tradebot.sim.accounts import Account
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import (
    BalanceReport,
    EndReason,
    ListReport,
    ListStatus,
    NewOrder,
    OrderReport,
    RejectReason,
    ReportKind,
    SelfTradePrevention,
    TapeTrade,
)

BUY, SELL = Side.BUY, Side.SELL


def balance(engine: MatchingEngine, asset: str, account: str = "me") -> tuple[float, float]:
    """Return (free, locked) in whole units."""
    one = engine.accounts[account]
    return one.free(asset) / MONEY_ONE, one.locked(asset) / MONEY_ONE


def test_a_crossing_limit_order_reports_new_before_its_fills_and_rests_the_remainder() -> None:
    engine = make_engine(asks={101: 3, 102: 4})
    outcome = engine.place(make_order(BUY, 10, 102), NOW_NS)

    assert kinds(outcome.events) == [ReportKind.ACCEPTED, ReportKind.TRADE, ReportKind.TRADE]
    assert [(price, lots) for _, price, lots in fills(outcome.events)] == [(101, 3), (102, 4)]
    assert outcome.order is not None
    assert (outcome.order.status, outcome.order.leaves_lots) == (OrderStatus.PARTIALLY_FILLED, 3)
    assert engine.markets[0].displayed_at(BUY, 102) == 3


def test_what_a_taker_ate_is_gone() -> None:
    engine = make_engine(asks={101: 3})
    engine.place(make_order(BUY, 2, 101, time_in_force=TimeInForce.IOC), NOW_NS)
    second = engine.place(make_order(BUY, 2, 101, time_in_force=TimeInForce.IOC), NOW_NS)

    assert [lots for _, _, lots in fills(second.events)] == [1]
    assert second.order is not None
    assert (second.order.status, second.order.end_reason) == (OrderStatus.EXPIRED, EndReason.TIME_IN_FORCE)


def test_fill_or_kill_takes_all_or_nothing() -> None:
    engine = make_engine(asks={101: 3, 102: 3})
    short = engine.place(make_order(BUY, 7, 102, time_in_force=TimeInForce.FOK), NOW_NS)
    enough = engine.place(make_order(BUY, 6, 102, time_in_force=TimeInForce.FOK), NOW_NS)

    assert kinds(short.events) == [ReportKind.ACCEPTED, ReportKind.EXPIRED]
    assert sum(lots for _, _, lots in fills(enough.events)) == 6


def test_a_post_only_order_that_would_take_is_refused_and_changes_nothing() -> None:
    engine = make_engine(asks={101: 3})
    outcome = engine.place(make_order(BUY, 1, 101, post_only=True), NOW_NS)

    assert outcome.rejection is not None
    assert outcome.rejection.reason is RejectReason.WOULD_MATCH
    assert outcome.events == []
    assert engine.open_orders("me") == []


def test_a_market_order_on_an_empty_book_expires() -> None:
    engine = make_engine()
    outcome = engine.place(make_order(BUY, 1), NOW_NS)

    assert kinds(outcome.events) == [ReportKind.ACCEPTED, ReportKind.EXPIRED]


def test_a_market_order_by_quote_amount_buys_whole_lots_within_the_amount() -> None:
    engine = make_engine(asks={101: 3, 102: 10})
    outcome = engine.place(make_order(BUY, 0, quote_money=710 * MONEY_ONE), NOW_NS)

    assert [(price, lots) for _, price, lots in fills(outcome.events)] == [(101, 3), (102, 3)]


def test_the_queue_ahead_must_trade_before_us() -> None:
    engine = make_engine(bids={99: 5})
    mine = make_order(BUY, 4, 99)
    engine.place(mine, NOW_NS)
    engine.background_limit(0, BUY, 99, 7, NOW_NS)

    assert fills(engine.background_take(0, SELL, 5, NOW_NS)) == []
    assert fills(engine.background_take(0, SELL, 3, NOW_NS)) == [(mine.client_order_id, 99, 3)]
    assert fills(engine.background_take(0, SELL, 3, NOW_NS)) == [(mine.client_order_id, 99, 1)]


def test_cancels_happen_behind_us_until_the_level_is_smaller_than_our_queue() -> None:
    engine = make_engine(bids={99: 5})
    mine = make_order(BUY, 1, 99)
    engine.place(mine, NOW_NS)
    engine.background_cancel(0, BUY, 99, 3)
    engine.background_limit(0, BUY, 99, 10, NOW_NS)

    assert fills(engine.background_take(0, SELL, 2, NOW_NS)) == []
    assert fills(engine.background_take(0, SELL, 1, NOW_NS)) == [(mine.client_order_id, 99, 1)]


def test_our_better_price_trades_before_the_background() -> None:
    engine = make_engine(bids={99: 5}, asks={103: 5})
    mine = make_order(BUY, 2, 101)
    engine.place(mine, NOW_NS)
    events = engine.background_take(0, SELL, 3, NOW_NS)

    assert fills(events) == [(mine.client_order_id, 101, 2)]
    assert [(e.price, e.lots) for e in events if isinstance(e, TapeTrade)] == [(101, 2), (99, 1)]


def test_locks_follow_the_order_and_price_improvement_is_given_back() -> None:
    engine = make_engine(balances={"me": {"USDT": 1_000}}, asks={100: 2})
    outcome = engine.place(make_order(BUY, 5, 110), NOW_NS)

    assert balance(engine, "USDT") == (1_000 - 2 * 100 - 3 * 110, 330)
    assert balance(engine, "COIN") == (2, 0)
    assert outcome.order is not None
    engine.cancel("me", outcome.order.order_id, NOW_NS)
    assert balance(engine, "USDT") == (800, 0)


@pytest.mark.parametrize(
    "new",
    [
        make_order(BUY, 11, 100),
        make_order(SELL, 3, 100),
        make_order(BUY, 11),
        make_order(SELL, 3),
        make_order(BUY, 0, quote_money=1_001 * MONEY_ONE),
        make_order(SELL, 3, 90, stop_price=95, order_type=OrderType.STOP_LIMIT),
        make_order(BUY, 10, stop_price=105, order_type=OrderType.STOP),
    ],
)
def test_an_order_beyond_the_funds_is_refused(new: NewOrder) -> None:
    engine = make_engine(balances={"me": {"USDT": 1_000, "COIN": 2}}, bids={99: 50}, asks={100: 50})
    outcome = engine.place(new, NOW_NS)

    assert outcome.rejection is not None
    assert outcome.rejection.reason is RejectReason.INSUFFICIENT_BALANCE
    assert balance(engine, "USDT") == (1_000, 0)


def test_the_fee_is_taken_from_what_is_received_and_cut_to_eight_decimals() -> None:
    engine = make_engine(asks={101: 9}, bids={99: 9}, fee_bps="7.5")
    bought = engine.place(make_order(BUY, 1), NOW_NS).events
    sold = engine.place(make_order(SELL, 1), NOW_NS).events

    buy_fill = next(e.fill for e in bought if isinstance(e, OrderReport) and e.fill)
    sell_fill = next(e.fill for e in sold if isinstance(e, OrderReport) and e.fill)
    assert (buy_fill.fee_asset, buy_fill.fee_money, buy_fill.liquidity) == ("COIN", 750_000_000, Liquidity.TAKER)
    assert (sell_fill.fee_asset, sell_fill.fee_money) == ("USDT", 74_250_000_000)
    assert balance(engine, "COIN") == (10_000 - 0.00075, 0)


def test_a_fee_below_one_hundred_millionth_is_no_fee() -> None:
    engine = make_engine(asks={1: 9}, last_price=1, fee_bps="0.00001")
    bought = engine.place(make_order(BUY, 1), NOW_NS).events

    assert [e.fill.fee_money for e in bought if isinstance(e, OrderReport) and e.fill] == [0]


def test_a_stop_waits_off_the_book_and_reports_again_when_it_fires() -> None:
    engine = make_engine(bids={99: 5, 95: 5}, asks={101: 5})
    stop = make_order(SELL, 2, 90, stop_price=96, order_type=OrderType.STOP_LIMIT)
    placed = engine.place(stop, NOW_NS)
    engine.background_take(0, SELL, 5, NOW_NS)
    events = engine.background_take(0, SELL, 1, NOW_NS + 5)

    assert placed.order is not None
    assert [(e.kind, e.working) for e in placed.events if isinstance(e, OrderReport)] == [(ReportKind.ACCEPTED, False)]
    assert kinds(events) == [ReportKind.TRIGGERED, ReportKind.TRADE]
    assert placed.order.working_ns == NOW_NS + 5
    assert fills(events) == [(stop.client_order_id, 95, 2)]


def test_a_market_stop_through_thin_liquidity_fires_the_next_stop() -> None:
    engine = make_engine(bids={95: 1, 94: 1, 93: 5}, asks={101: 5})
    first = make_order(SELL, 2, stop_price=95, order_type=OrderType.STOP)
    second = make_order(SELL, 1, stop_price=94, order_type=OrderType.STOP)
    for stop in (second, first):
        engine.place(stop, NOW_NS)
    events = engine.background_take(0, SELL, 1, NOW_NS)

    assert [(name, price) for name, price, _ in fills(events)] == [
        (first.client_order_id, 94),
        (first.client_order_id, 93),
        (second.client_order_id, 93),
    ]


def test_a_triggered_market_buy_that_outgrows_the_funds_buys_what_they_pay_for() -> None:
    engine = make_engine(balances={"me": {"USDT": 1_000}}, asks={105: 1, 150: 50}, bids={90: 1})
    stop = engine.place(make_order(BUY, 9, stop_price=105, order_type=OrderType.STOP), NOW_NS)
    engine.background_take(0, BUY, 1, NOW_NS)

    assert stop.order is not None
    assert (stop.order.filled_lots, stop.order.status, stop.order.end_reason) == (
        6,
        OrderStatus.EXPIRED,
        EndReason.FUNDS,
    )
    assert balance(engine, "USDT") == (100, 0)


@pytest.mark.parametrize(
    ("kind", "side", "stop_price"),
    [
        (OrderType.STOP, SELL, 100),
        (OrderType.STOP, BUY, 99),
        (OrderType.TAKE_PROFIT, SELL, 100),
        (OrderType.TAKE_PROFIT, BUY, 101),
    ],
)
def test_a_trigger_that_is_hit_already_is_refused(kind: OrderType, side: Side, stop_price: int) -> None:
    engine = make_engine(bids={99: 5}, asks={101: 5})
    outcome = engine.place(make_order(side, 1, stop_price=stop_price, order_type=kind), NOW_NS)

    assert outcome.rejection is not None
    assert outcome.rejection.reason is RejectReason.STOP_WOULD_TRIGGER


@pytest.mark.parametrize(
    ("mode", "maker_ends", "taker_ends"),
    [
        (SelfTradePrevention.EXPIRE_MAKER, True, False),
        (SelfTradePrevention.EXPIRE_TAKER, False, True),
        (SelfTradePrevention.EXPIRE_BOTH, True, True),
    ],
)
def test_an_account_never_trades_with_itself(mode: SelfTradePrevention, maker_ends: bool, taker_ends: bool) -> None:
    engine = make_engine()
    maker = engine.place(make_order(BUY, 2, 99), NOW_NS).order
    taker = engine.place(make_order(SELL, 2, 99, self_trade_prevention=mode), NOW_NS).order

    assert maker is not None
    assert taker is not None
    assert (maker.end_reason is EndReason.SELF_TRADE, taker.end_reason is EndReason.SELF_TRADE) == (
        maker_ends,
        taker_ends,
    )
    assert maker.filled_lots == taker.filled_lots == 0


def test_a_client_order_id_is_free_again_when_its_order_is_done() -> None:
    engine = make_engine(asks={101: 5})
    first = make_order(BUY, 1, 90, client_order_id="same")
    engine.place(first, NOW_NS)
    twice = engine.place(make_order(BUY, 1, 91, client_order_id="same"), NOW_NS)
    order = engine.open_order("me", "same")
    assert order is not None
    engine.cancel("me", order.order_id, NOW_NS)

    assert twice.rejection is not None
    assert twice.rejection.reason is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    assert engine.place(make_order(BUY, 1, 91, client_order_id="same"), NOW_NS).rejection is None


def test_a_cancel_of_nothing_or_of_another_account_is_refused() -> None:
    engine = make_engine(balances={"me": {"USDT": 1_000}, "you": {}})
    order = engine.place(make_order(BUY, 1, 90), NOW_NS).order
    assert order is not None

    for account, order_id in (("me", 99), ("you", order.order_id)):
        outcome = engine.cancel(account, order_id, NOW_NS)
        assert outcome.rejection is not None
        assert outcome.rejection.reason is RejectReason.UNKNOWN_ORDER


def test_order_counts_are_limited_per_market_and_for_triggers() -> None:
    engine = make_engine(bids={99: 5}, asks={101: 5}, rules=make_rules(max_num_orders=3, max_num_algo_orders=1))

    def stop() -> NewOrder:
        return make_order(SELL, 1, stop_price=50, order_type=OrderType.STOP)

    assert engine.place(stop(), NOW_NS).rejection is None
    refused = engine.place(stop(), NOW_NS).rejection
    assert refused is not None
    assert refused.reason is RejectReason.MAX_NUM_ALGO_ORDERS
    for _ in range(2):
        assert engine.place(make_order(BUY, 1, 90), NOW_NS).rejection is None
    refused = engine.place(make_order(BUY, 1, 90), NOW_NS).rejection
    assert refused is not None
    assert refused.reason is RejectReason.MAX_NUM_ORDERS


def place_oco(engine: MatchingEngine, side: Side = SELL) -> tuple[NewOrder, NewOrder]:
    """Place target 110 / stop 90 for a sale of 4, or the mirror image for a purchase."""
    target, stop = (110, 90) if side is SELL else (90, 110)
    limit_leg = make_order(side, 4, target, post_only=True)
    stop_leg = make_order(side, 4, stop - side.opposite.sign, stop_price=stop, order_type=OrderType.STOP_LIMIT)
    outcome = engine.place_oco(limit_leg, stop_leg, "list", NOW_NS)
    assert outcome.rejection is None
    return limit_leg, stop_leg


def test_an_oco_locks_once_and_reports_its_start() -> None:
    engine = make_engine(bids={99: 5}, asks={101: 5})
    outcome = engine.place_oco(
        make_order(SELL, 4, 110, post_only=True),
        make_order(SELL, 4, 89, stop_price=90, order_type=OrderType.STOP_LIMIT),
        "list",
        NOW_NS,
    )

    assert balance(engine, "COIN") == (9_996, 4)
    assert isinstance(outcome.events[0], ListReport)
    assert [type(e) for e in outcome.events[1:]] == [OrderReport, OrderReport, BalanceReport]


def test_a_partly_filled_target_ends_the_stop_and_keeps_only_its_own_lock() -> None:
    engine = make_engine(bids={99: 5}, asks={101: 5})
    limit_leg, stop_leg = place_oco(engine)
    events = engine.background_take(0, BUY, 6, NOW_NS)

    assert fills(events) == [(limit_leg.client_order_id, 110, 1)]
    assert engine.open_order("me", stop_leg.client_order_id) is None
    assert balance(engine, "COIN") == (9_996, 3)
    assert not any(isinstance(e, ListReport) for e in events)
    done = engine.background_take(0, BUY, 3, NOW_NS)
    assert [e.status for e in done if isinstance(e, ListReport)] == [ListStatus.ALL_DONE]
    assert balance(engine, "COIN") == (9_996, 0)


def test_a_triggered_stop_ends_the_target_first() -> None:
    engine = make_engine(bids={99: 1, 90: 1, 89: 9}, asks={101: 5})
    limit_leg, stop_leg = place_oco(engine)
    events = engine.background_take(0, SELL, 2, NOW_NS)

    assert [(e.kind, e.terms.client_order_id) for e in events if isinstance(e, OrderReport)] == [
        (ReportKind.EXPIRED, limit_leg.client_order_id),
        (ReportKind.TRIGGERED, stop_leg.client_order_id),
        (ReportKind.TRADE, stop_leg.client_order_id),
    ]
    assert isinstance(events[-2], ListReport)
    assert balance(engine, "COIN") == (9_996, 0)


def test_canceling_one_leg_cancels_both() -> None:
    engine = make_engine(bids={99: 5}, asks={101: 5})
    limit_leg, _ = place_oco(engine, BUY)
    order = engine.open_order("me", limit_leg.client_order_id)
    assert order is not None
    outcome = engine.cancel("me", order.order_id, NOW_NS)

    assert kinds(outcome.events) == [ReportKind.CANCELED, ReportKind.CANCELED]
    assert engine.open_orders("me") == []
    assert balance(engine, "USDT") == (1_000_000, 0)


@pytest.mark.parametrize(("target", "stop"), [(95, 90), (110, 105), (90, 110)])
def test_oco_prices_must_enclose_the_last_price_on_the_right_sides(target: int, stop: int) -> None:
    engine = make_engine(bids={99: 5}, asks={101: 5})
    outcome = engine.place_oco(
        make_order(SELL, 1, target, post_only=True),
        make_order(SELL, 1, 80, stop_price=stop, order_type=OrderType.STOP_LIMIT),
        "list",
        NOW_NS,
    )

    assert outcome.rejection is not None
    assert outcome.rejection.reason is RejectReason.LIST_PRICES


def test_an_account_never_goes_below_zero() -> None:
    account = Account("me", {"USDT": 5})

    with pytest.raises(InvariantError):
        account.credit("USDT", -6)
    with pytest.raises(InvariantError):
        account.move_to_locked("USDT", 6)
    with pytest.raises(InvariantError):
        account.pay_locked("USDT", 1)
    assert (account.free("USDT"), account.locked("USDT")) == (5, 0)
