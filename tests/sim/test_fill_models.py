"""What is assumed about our orders in a recording: queue models, partial fills, impact."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.sim.kit import NOW_NS, fills, make_engine, make_order
from tests.sim.test_recorded_market import level, play, trade
from tradebot.core.errors import InvariantError
from tradebot.core.orders import OrderStatus, Side, TimeInForce
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.kernels import queues
from tradebot.sim.kernels.terms import Queue
from tradebot.sim.market import FillModel
from tradebot.sim.orders import EndReason, OrderReport, SimEvent

BUY, SELL = Side.BUY, Side.SELL
WHOLE = FillModel(partial_fills=False, impact=False)
NO_IMPACT = FillModel(impact=False)
MODELS = [FillModel(), NO_IMPACT, WHOLE, FillModel(Queue(queues.POWER, 3.0)), FillModel(Queue(queues.LOGARITHM))]


def engine_of(fill_model: FillModel) -> MatchingEngine:
    return make_engine(bids={99: 10, 98: 10}, asks={101: 10, 102: 10}, is_recorded=True, fill_model=fill_model)


def traded(events: list[SimEvent]) -> list[tuple[int, int]]:
    return [(price, lots) for _, price, lots in fills(events)]


def trade_ids(events: list[SimEvent]) -> list[int]:
    return [event.fill.trade_id for event in events if isinstance(event, OrderReport) and event.fill is not None]


@pytest.mark.parametrize(
    ("queue", "ahead"),
    [
        (Queue(), 10),
        (Queue(queues.POWER, 1.0), 5),  # 15 of 30 leave; 20 / 30 of them behind us
        (Queue(queues.POWER, 3.0), 8.33),
        (Queue(queues.POWER_OF_SUM, 1.0), 5),
        (Queue(queues.POWER_COMPLEMENT, 1.0), 5),
        (Queue(queues.LOGARITHM), 3.39),
    ],
)
def test_a_queue_model_says_how_much_of_a_cancel_was_ahead_of_us(queue: Queue, ahead: float) -> None:
    engine = engine_of(FillModel(queue))
    mine = make_order(BUY, 4, 99)
    engine.place(mine, NOW_NS)
    play(engine, level(BUY, 99, 30), level(BUY, 99, 15))
    whole = int(ahead)

    assert traded(play(engine, trade(SELL, 99, whole))) == []
    assert sum(lots for _, lots in traded(play(engine, trade(SELL, 99, 3)))) == round(whole + 3 - ahead)


def test_without_impact_the_same_quantity_is_there_for_everybody_of_ours() -> None:
    engine = engine_of(NO_IMPACT)
    orders = [make_order(BUY, 15, 102, time_in_force=TimeInForce.IOC) for _ in range(2)]
    outcomes = [engine.place(order, NOW_NS).events for order in orders]

    assert [traded(events) for events in outcomes] == [[(101, 10), (102, 5)]] * 2
    assert len(set(trade_ids([*outcomes[0], *outcomes[1]]))) == 4


def test_without_impact_a_limit_order_is_done_at_its_limit_because_history_shows_the_other_side_there() -> None:
    engine = engine_of(NO_IMPACT)
    outcome = engine.place(make_order(BUY, 25, 101), NOW_NS)

    assert outcome.order is not None
    assert outcome.order.status is OrderStatus.FILLED
    assert sum(lots for _, lots in traded(outcome.events)) == 25
    assert {price for price, _ in traded(outcome.events)} == {101}
    assert len(set(trade_ids(outcome.events))) == len(trade_ids(outcome.events))


def test_without_impact_a_fill_or_kill_larger_than_what_is_displayed_dies() -> None:
    engine = engine_of(NO_IMPACT)

    assert traded(engine.place(make_order(BUY, 21, 102, time_in_force=TimeInForce.FOK), NOW_NS).events) == []
    assert traded(engine.place(make_order(BUY, 20, 102, time_in_force=TimeInForce.FOK), NOW_NS).events) == [
        (101, 10),
        (102, 10),
    ]


def test_without_impact_one_trade_fills_each_of_our_orders() -> None:
    engine = engine_of(NO_IMPACT)
    for _ in range(2):
        engine.place(make_order(BUY, 3, 100), NOW_NS)

    assert traded(play(engine, trade(SELL, 99, 3))) == [(100, 3), (100, 3)]


def test_without_partial_fills_a_taker_is_done_in_full_at_the_best_price() -> None:
    engine = engine_of(WHOLE)

    for order in (make_order(BUY, 500, 105), make_order(BUY, 500), make_order(SELL, 300, 99)):
        outcome = engine.place(order, NOW_NS)
        assert traded(outcome.events) == [(101 if order.side is BUY else 99, order.lots)]


def test_without_partial_fills_a_maker_is_done_in_full_with_the_first_trade_that_reaches_him() -> None:
    engine = engine_of(WHOLE)
    mine = make_order(BUY, 50, 99)
    engine.place(mine, NOW_NS)

    assert traded(play(engine, trade(SELL, 99, 10))) == []
    assert traded(play(engine, trade(SELL, 99, 1))) == [(99, 50)]


def test_without_partial_fills_a_market_order_that_cannot_be_paid_in_full_expires() -> None:
    engine = make_engine(balances={"me": {"USDT": 1_250}}, asks={101: 10, 200: 50}, is_recorded=True, fill_model=WHOLE)
    outcome = engine.place(make_order(BUY, 11), NOW_NS)

    assert traded(outcome.events) == [(101, 11)]
    poor = make_engine(balances={"me": {"USDT": 1_060}}, asks={101: 10}, is_recorded=True, fill_model=WHOLE)
    refused = poor.place(make_order(BUY, 11), NOW_NS)
    assert traded(refused.events) == []
    assert refused.order is not None
    assert (refused.order.status, refused.order.end_reason) == (OrderStatus.EXPIRED, EndReason.FUNDS)
    poor.assert_consistent()


@pytest.mark.parametrize("changes", [{"partial_fills": False}, {"queue": Queue(queues.FIFO)}])
def test_what_does_not_go_together_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvariantError):
        FillModel(**changes)  # type: ignore[arg-type]


def test_the_model_is_of_recordings_only() -> None:
    engine = make_engine(asks={101: 10, 102: 10}, is_recorded=False, fill_model=WHOLE)

    assert traded(engine.place(make_order(BUY, 15), NOW_NS).events) == [(101, 10), (102, 5)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.sampled_from([BUY, SELL]), st.integers(1, 40), st.integers(96, 104)),
        st.tuples(st.just("market"), st.sampled_from([BUY, SELL]), st.integers(1, 400), st.just(0)),
        st.tuples(st.just("trade"), st.sampled_from([BUY, SELL]), st.integers(1, 40), st.integers(97, 103)),
        st.tuples(st.just("bid"), st.just(BUY), st.integers(0, 30), st.integers(96, 99)),
        st.tuples(st.just("ask"), st.just(SELL), st.integers(0, 30), st.integers(101, 104)),
    ),
    max_size=30,
)


@given(st.sampled_from(MODELS), steps)
@example(WHOLE, [("place", Side.BUY, 1, 100), ("place", Side.SELL, 1, 100)])  # ours inside the spread
@settings(max_examples=150, deadline=None)
def test_whatever_happens_money_and_orders_agree_under_every_model(
    model: FillModel, actions: list[tuple[str, Side, int, int]]
) -> None:
    engine = make_engine(
        balances={"me": {"USDT": 20_000, "COIN": 200}}, bids={99: 10}, asks={101: 10}, is_recorded=True,
        fill_model=model,
    )  # fmt: skip
    seen: list[SimEvent] = []
    for kind, side, lots, price in actions:
        match kind:
            case "place" | "market":
                outcome = engine.place(make_order(side, lots, price), NOW_NS)
                seen += outcome.events
                if outcome.order is not None and price:
                    better = [at for at, _ in traded(outcome.events) if (at - price) * side.sign > 0]
                    assert better == []
            case "trade":
                seen += play(engine, trade(side, price, lots))
            case _:
                seen += play(engine, level(side, price, lots))
        engine.assert_consistent()
    reports = [event for event in seen if isinstance(event, OrderReport) and event.fill is not None]
    ids = [(event.fill.trade_id, event.order_id) for event in reports if event.fill is not None]
    assert len(ids) == len(set(ids))
    assert all(event.filled_lots <= event.lots for event in reports)
    assert all(balance.free >= 0 for balance in engine.accounts["me"].balances())
