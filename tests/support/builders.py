"""Builders with defaults: what a test sets is what it is about."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tradebot.core.instruments import Instrument, PriceBand, Product
from tradebot.core.intents import OrderIntent, ProtectionPlan, SignalContext
from tradebot.core.orders import Execution, Liquidity, OrderRole, OrderTerms, OrderType, Side, TimeInForce

BTC = "binance:BTC-USDT"


def make_instrument(
    instrument_id: str = BTC,
    *,
    tick: str = "0.01",
    lot: str = "0.00001",
    min_qty: str = "0.00001",
    max_qty: str = "9000",
    min_notional: str = "5",
) -> Instrument:
    """Return a spot market with the real BTCUSDT rules unless told otherwise."""
    venue, pair = instrument_id.split(":")
    base, quote = pair.split("-")[:2]
    return Instrument(
        instrument_id=instrument_id,
        venue=venue,
        venue_symbol=base + quote,
        product=Product.SPOT,
        base=base,
        quote=quote,
        settle=quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(min_qty),
        max_qty=Decimal(max_qty),
        market_max_qty=Decimal(max_qty),
        min_notional=Decimal(min_notional),
        max_notional=Decimal(9_000_000),
        order_types=frozenset({"LIMIT", "MARKET", "STOP_LIMIT", "TAKE_PROFIT_LIMIT"}),
        oco_allowed=True,
        price_band=PriceBand(
            Decimal("0.01"), Decimal(1_000_000), Decimal(5), Decimal("0.2"), Decimal(5), Decimal("0.2")
        ),
    )


def make_perpetual(
    instrument_id: str = "binance:BTC-USDT-SWAP",
    *,
    inverse: bool = False,
    multiplier: str = "1",
    lot: str = "0.001",
    tick: str = "0.1",
) -> Instrument:
    """Return a perpetual: linear, or inverse (one contract is `multiplier` quote units, paid in base)."""
    spot = make_instrument(instrument_id, tick=tick, lot=lot, min_qty=lot, max_qty="1000000")
    return replace(
        spot,
        product=Product.INVERSE_PERPETUAL if inverse else Product.LINEAR_PERPETUAL,
        settle=spot.base if inverse else spot.quote,
        contract_multiplier=Decimal(multiplier),
    )


def make_terms(
    client_order_id: str = "c1",
    *,
    instrument_id: str = BTC,
    side: Side = Side.BUY,
    order_type: OrderType = OrderType.LIMIT,
    qty: str = "1",
    price: str | None = "60000",
    stop_price: str | None = None,
    time_in_force: TimeInForce = TimeInForce.GTC,
    post_only: bool = False,
    reduce_only: bool = False,
) -> OrderTerms:
    """Return the terms of a limit buy."""
    return OrderTerms(
        client_order_id=client_order_id,
        instrument_id=instrument_id,
        side=side,
        order_type=order_type,
        qty=Decimal(qty),
        price=None if price is None else Decimal(price),
        stop_price=None if stop_price is None else Decimal(stop_price),
        time_in_force=time_in_force,
        post_only=post_only,
        reduce_only=reduce_only,
    )


def make_execution(
    exec_id: str = "t1",
    *,
    client_order_id: str = "c1",
    instrument_id: str = BTC,
    side: Side = Side.BUY,
    qty: str = "1",
    price: str = "60000",
    fee: str = "0",
    fee_asset: str = "USDT",
    liquidity: Liquidity = Liquidity.TAKER,
    event_time_ns: int = 1,
) -> Execution:
    """Return one taker fill."""
    return Execution(
        exec_id=exec_id,
        client_order_id=client_order_id,
        instrument_id=instrument_id,
        side=side,
        qty=Decimal(qty),
        price=Decimal(price),
        fee=Decimal(fee),
        fee_asset=fee_asset,
        liquidity=liquidity,
        event_time_ns=event_time_ns,
    )


def make_intent(
    intent_id: str = "i1",
    *,
    strategy_id: str = "s1",
    intent_sequence: int = 1,
    instrument_id: str = BTC,
    side: Side = Side.BUY,
    role: OrderRole = OrderRole.ENTRY,
    qty: str | None = "0.01",
    limit_price: str | None = "60000",
    time_in_force: TimeInForce = TimeInForce.IOC,
    created_time_ns: int = 1,
    stop_loss_fraction: str | None = "0.005",
) -> OrderIntent:
    """Return an entry intent of a strategy."""
    return OrderIntent(
        intent_id=intent_id,
        strategy_id=strategy_id,
        incarnation="run1",
        intent_sequence=intent_sequence,
        instrument_id=instrument_id,
        side=side,
        role=role,
        order_type=OrderType.LIMIT,
        time_in_force=time_in_force,
        created_time_ns=created_time_ns,
        qty=None if qty is None else Decimal(qty),
        limit_price=None if limit_price is None else Decimal(limit_price),
        protection=ProtectionPlan(None if stop_loss_fraction is None else Decimal(stop_loss_fraction)),
        context=SignalContext(signal="test", market_sequence=7, features=(("atr", 1.5),)),
        trace_id="trace",
    )
