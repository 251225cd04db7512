"""Builders for simulator tests: one plain market where a tick is 1 USDT and a lot is 1 COIN."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tradebot.core.amounts import MONEY_ONE
from tradebot.core.instruments import Instrument, Product
from tradebot.core.orders import OrderType, Side
from tradebot.sim.engine import FeeRates, MatchingEngine
from tradebot.sim.market import DEFAULT_FILLS, FillModel
from tradebot.sim.orders import NewOrder, OrderReport, ReportKind, SimEvent
from tradebot.sim.rules import MarketRules

NOW_NS = 1_700_000_000_000_000_000


def make_rules(**changes: Any) -> MarketRules:
    """Return rules of a market with tick 1 and lot 1 and no limits that matter."""
    instrument = Instrument(
        instrument_id="sim:COIN-USDT",
        venue="sim",
        venue_symbol="COINUSDT",
        product=Product.SPOT,
        base="COIN",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(1),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        max_qty=Decimal(100_000),
        market_max_qty=Decimal(100_000),
        min_notional=Decimal(1),
    )
    values: dict[str, Any] = {"min_price": Decimal(1), "max_price": Decimal(100_000), "max_num_algo_orders": 200}
    return MarketRules(instrument, **(values | changes))


def make_engine(
    *,
    balances: Mapping[str, Mapping[str, int]] | None = None,
    bids: Mapping[int, int] | None = None,
    asks: Mapping[int, int] | None = None,
    last_price: int = 100,
    is_recorded: bool = False,
    fee_bps: str = "0",
    rules: MarketRules | None = None,
    fill_model: FillModel = DEFAULT_FILLS,
) -> MatchingEngine:
    """Return an engine with one market, whole-unit balances, and a background book of price -> lots."""
    funds = balances if balances is not None else {"me": {"USDT": 1_000_000, "COIN": 10_000}}
    engine = MatchingEngine(
        [rules or make_rules()],
        {name: {asset: amount * MONEY_ONE for asset, amount in one.items()} for name, one in funds.items()},
        FeeRates(Decimal(fee_bps), Decimal(fee_bps)),
        is_recorded=is_recorded,
        fill_model=fill_model,
    )
    market = engine.markets[0]
    market.last_price = last_price
    for side, levels in ((Side.BUY, bids or {}), (Side.SELL, asks or {})):
        for price, lots in levels.items():
            market.set_background(side, price, lots)
    market.changes.clear()
    return engine


_next_id = iter(range(1, 10**9))


def make_order(side: Side, lots: int, price: int = 0, **changes: Any) -> NewOrder:
    """Return a GTC limit order, or a market order when no price is given."""
    values: dict[str, Any] = {
        "account": "me",
        "client_order_id": f"order-{next(_next_id)}",
        "instrument": 0,
        "side": side,
        "order_type": OrderType.LIMIT if price else OrderType.MARKET,
        "lots": lots,
        "price": price,
    }
    return NewOrder(**(values | changes))


def fills(events: list[SimEvent]) -> list[tuple[str, int, int]]:
    """Return (client order id, price, lots) of every fill in order."""
    return [
        (event.terms.client_order_id, event.fill.price, event.fill.lots)
        for event in events
        if isinstance(event, OrderReport) and event.fill is not None
    ]


def kinds(events: list[SimEvent]) -> list[ReportKind]:
    """Return the kinds of the order reports in order."""
    return [event.kind for event in events if isinstance(event, OrderReport)]
