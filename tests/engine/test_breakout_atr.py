from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.builders import T0, Desk, S, fill_event, live_market, make_desk, price_path
from tests.support.builders import BTC, make_instrument
from tradebot.core.instruments import Product
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent
from tradebot.core.market import MarketRow
from tradebot.core.orders import OrderRole, Side

PARAMS = {"bar_ms": 1000, "ema_length": 5, "atr_length": 5, "multiple": 1.0, "cool_down_bars": 3}
QUIET = [10_000, 10_001, 9_999, 10_000, 10_001, 9_999, 10_000, 10_000]
UP = [10_050, 10_080]
DOWN = [9_700, 9_600]


def run(desk: Desk, prices: Sequence[int], start_s: int = 0) -> list[OrderIntent]:
    return desk.take(price_path(prices, T0 + start_s * S))


def fill(desk: Desk, intent: OrderIntent, qty: str, at_s: int) -> None:
    desk.core.handle_order_events([fill_event(intent, qty, "100", now_ns=T0 + at_s * S)], T0 + at_s * S)


def test_a_close_above_the_upper_band_enters_long_with_a_stop() -> None:
    desk = make_desk(params=PARAMS)
    desk.take(live_market())
    assert run(desk, QUIET) == []

    (intent,) = run(desk, UP, len(QUIET))

    assert (intent.side, intent.role) == (Side.BUY, OrderRole.ENTRY)
    assert intent.context.signal == "close_above_upper_keltner"
    assert intent.protection.stop_loss_fraction == Decimal("0.006")
    features = dict(intent.context.features)
    assert features["close"] == 100.5
    assert features["lower"] < features["middle"] < features["upper"] < features["close"]


def test_staying_above_the_band_is_not_a_second_crossing() -> None:
    desk = make_desk(params=PARAMS)
    desk.take(live_market())
    run(desk, QUIET)
    (intent,) = run(desk, UP, len(QUIET))
    desk.core.handle_answers([IntentAnswer(intent.intent_id, IntentStatus.REFUSED, "POS-01")])

    assert run(desk, [10_200, 10_400, 10_600], len(QUIET) + 2) == []


def test_a_close_below_the_lower_band_leaves_a_long() -> None:
    desk = make_desk(params=PARAMS)
    desk.take(live_market())
    run(desk, QUIET)
    (entry,) = run(desk, UP, len(QUIET))
    fill(desk, entry, "1", len(QUIET) + 2)

    exits = run(desk, DOWN, len(QUIET) + 2)

    assert [(i.side, i.role, i.qty) for i in exits] == [(Side.SELL, OrderRole.EXIT, None)]
    assert exits[0].protection.stop_loss_fraction is None


def test_an_exit_that_did_not_fill_is_proposed_again() -> None:
    desk = make_desk(params=PARAMS)
    desk.take(live_market())
    run(desk, QUIET)
    (entry,) = run(desk, UP, len(QUIET))
    fill(desk, entry, "1", len(QUIET) + 2)
    (first,) = run(desk, DOWN, len(QUIET) + 2)
    desk.core.handle_answers([IntentAnswer(first.intent_id, IntentStatus.REFUSED, "STA-02")])

    (second,) = run(desk, [9_300], len(QUIET) + 4)

    assert second.role is OrderRole.EXIT


def test_spot_is_never_sold_short_and_a_perpetual_is() -> None:
    spot = make_desk(params=PARAMS)
    perpetual_instrument = make_instrument()
    object.__setattr__(perpetual_instrument, "product", Product.LINEAR_PERPETUAL)
    perpetual = make_desk(params=PARAMS, instruments=[perpetual_instrument])
    for desk in (spot, perpetual):
        desk.take(live_market())
        run(desk, QUIET)
        run(desk, DOWN, len(QUIET))

    assert spot.intents == []
    assert [(i.side, i.role) for i in perpetual.intents] == [(Side.SELL, OrderRole.ENTRY)]


def test_after_a_stop_the_strategy_rests_for_its_cool_down() -> None:
    desk = make_desk(params=PARAMS | {"cool_down_bars": 30})
    desk.take(live_market())
    run(desk, QUIET)
    (entry,) = run(desk, UP, len(QUIET))
    fill(desk, entry, "1", 10)
    stop = fill_event(entry, "1", "99", exec_id="stop", now_ns=T0 + 11 * S)
    assert stop.execution is not None
    holding = desk.core.fold.holdings["s1", BTC]
    holding.position.apply_fill(Side.SELL, Decimal(1), Decimal(99))
    holding.last_exit_ns = T0 + 11 * S
    run(desk, QUIET, 11)
    assert run(desk, [10_100, 10_300], 19) == []
    run(desk, QUIET * 3, 21)

    assert len(run(desk, [10_100, 10_300], 45)) == 1


def random_market(seed: int, seconds: int) -> list[MarketRow]:
    chance = random.Random(seed)
    price, prices = 10_000, []
    for _ in range(seconds):
        price = max(100, price + chance.choice((-60, -8, -2, 0, 2, 8, 60)))
        prices.append(price)
    return [*live_market(), *price_path(prices)]


def trade_through(rows: Sequence[MarketRow]) -> Desk:
    """Run rows through a desk where every entry fills at once at its limit and every exit too."""
    desk = make_desk(params=PARAMS)
    for row in rows:
        for intent in desk.take(row):
            now_ns = desk.times[-1]
            assert intent.limit_price is not None
            qty = "1" if intent.role is OrderRole.ENTRY else str(desk.core.fold.holdings["s1", BTC].qty)
            desk.core.handle_order_events([fill_event(intent, qty, str(intent.limit_price), now_ns=now_ns)], now_ns)
    return desk


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 350))
def test_the_future_changes_no_earlier_decision(seed: int, cut: int) -> None:
    rows = random_market(seed, 120)
    whole = trade_through(rows)
    part = trade_through(rows[:cut])

    assert part.intents == whole.intents[: len(part.intents)]
    last_ns = rows[min(cut, len(rows)) - 1].receive_time_ns
    assert sum(t <= last_ns for t in part.times) == len(part.times)
    assert sum(t < last_ns for t in whole.times) <= len(part.times)


def test_a_random_market_is_entered_and_left_alternately() -> None:
    desk = trade_through(random_market(3, 2_000))

    roles = [intent.role for intent in desk.intents]
    assert len(roles) > 10
    assert roles == [OrderRole.ENTRY, OrderRole.EXIT] * (len(roles) // 2) + [OrderRole.ENTRY] * (len(roles) % 2)
