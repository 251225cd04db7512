"""What the engine holds, whichever of its links is up first."""

from __future__ import annotations

from decimal import Decimal

from engine.holdings import OrderFold
from tests.support.builders import BTC, make_instrument
from tradebot.core.order_events import OrderEvent, OrderFacts, PositionView
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderRole,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
)


def sale(qty: str) -> OrderEvent:
    terms = OrderTerms("c1", BTC, Side.SELL, OrderType.LIMIT, Decimal(qty), Decimal(60_000))
    facts = OrderFacts(terms, "s1", "i1", 0, OrderRole.EXIT, 1)
    execution = Execution(
        "x1", "c1", BTC, Side.SELL, Decimal(qty), Decimal(60_000), Decimal(0), "USDT", Liquidity.TAKER, 2
    )
    return OrderEvent(1, "c1", OrderEventKind.FILL_COMPLETE, OrderStatus.FILLED, 3, facts, execution)


def test_a_position_told_before_its_market_is_known_is_held_with_the_fills_that_followed() -> None:
    fold = OrderFold()
    fold.rehydrate((), [PositionView("s1", BTC, Decimal("0.03"), Decimal(59_000))])
    fold.apply(sale("0.01"), 3)

    late = fold.add_holding("s1", make_instrument())
    other = fold.add_holding("s2", make_instrument())

    assert (late.qty, late.avg_price) == (Decimal("0.02"), Decimal(59_000))
    assert other.qty == 0


def test_a_later_snapshot_replaces_what_was_told_before() -> None:
    fold = OrderFold()
    fold.rehydrate((), [PositionView("s1", BTC, Decimal("0.03"), Decimal(59_000))])
    fold.apply(sale("0.01"), 3)
    fold.rehydrate((), ())

    assert fold.add_holding("s1", make_instrument()).qty == 0
