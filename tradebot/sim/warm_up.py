"""Loads (on a fresh checkout: compiles) the kernels that a venue needs: its first request takes no longer than any."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradebot.core.amounts import to_money
from tradebot.core.instruments import Instrument, Product
from tradebot.core.market import BUY_FLAG, SELL_FLAG, RowColumns, RowKind
from tradebot.core.orders import OrderType, Side
from tradebot.sim.engine import FeeRates, MatchingEngine
from tradebot.sim.orders import NewOrder
from tradebot.sim.rules import MarketRules

_ACCOUNT: Final = "warm up"
_ONE: Final = Decimal(1)
_MANY: Final = Decimal(10) ** 6
_RULES: Final = MarketRules(
    Instrument(
        instrument_id="sim:COIN-USDT",
        venue="sim",
        venue_symbol="COINUSDT",
        product=Product.SPOT,
        base="COIN",
        quote="USDT",
        settle="USDT",
        tick_size=_ONE,
        lot_size=_ONE,
        min_qty=_ONE,
        max_qty=_MANY,
        market_max_qty=_MANY,
        min_notional=_ONE,
    ),
    min_price=_ONE,
    max_price=_MANY,
)


def warm_up(*, is_recorded: bool) -> None:
    """Trade a little at a venue that is thrown away."""
    funds = to_money(_MANY)
    engine = MatchingEngine([_RULES], {_ACCOUNT: {"COIN": funds, "USDT": funds}}, FeeRates(), is_recorded=is_recorded)
    rows = RowColumns()
    rows.append((RowKind.BOOK_LEVEL, 0, BUY_FLAG, 99, 5, 1, 0, 0))
    rows.append((RowKind.BBO, 0, SELL_FLAG, 101, 5, 1, 0, 0))
    rows.append((RowKind.TRADE, 0, BUY_FLAG, 100, 1, 1, 0, 0))
    engine.on_rows(rows, 0, len(rows), 0)
    for number, (side, order_type, price, trigger) in enumerate(
        (
            (Side.BUY, OrderType.LIMIT, 99, 0),
            (Side.BUY, OrderType.LIMIT, 98, 0),
            (Side.SELL, OrderType.STOP_LIMIT, 95, 97),
            (Side.BUY, OrderType.MARKET, 0, 0),
        )
    ):
        engine.place(NewOrder(_ACCOUNT, str(number), 0, side, order_type, 1, price, trigger), number)
    engine.place(NewOrder(_ACCOUNT, "maker", 0, Side.BUY, OrderType.LIMIT, 1, 98, post_only=True), 5)
    engine.place(NewOrder(_ACCOUNT, "quote", 0, Side.BUY, OrderType.MARKET, 0, quote_money=to_money(Decimal(200))), 5)
    engine.background_limit(0, Side.SELL, 97, 9, 6)
    for order in engine.open_orders(_ACCOUNT):
        engine.cancel(_ACCOUNT, order.order_id, 7)
    for side in Side:
        engine.markets[0].offers(side, 5)
        engine.markets[0].levels(side, 5)


if __name__ == "__main__":
    for recorded in (False, True):
        warm_up(is_recorded=recorded)
