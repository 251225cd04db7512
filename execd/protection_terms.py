"""Deriving protecting orders from a grant: prices and quantities, nothing else. Pure functions.

For a long position (protecting side SELL): the stop sits at average fill x (1 - fraction), rounded towards the
market, its limit a little below, the target at average x (1 + fraction). Shorts mirror it. Everything is clamped
into the grant.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tradebot.core.approvals import GrantTerms
from tradebot.core.instruments import Instrument
from tradebot.core.orders import OrderTerms, OrderType, Side, TimeInForce

BPS = Decimal(10_000)
TARGET_TYPES = (OrderType.TAKE_PROFIT_LIMIT, OrderType.LIMIT)
"""What a grant may allow for the target, in the order of preference."""


@dataclass(frozen=True, slots=True)
class ProtectionPrices:
    """Derived prices on tick. `target` None: no target."""

    stop: Decimal
    stop_limit: Decimal
    target: Decimal | None


def protectable_qty(open_qty: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Return the quantity that an order can carry: whole lots, 0 when that is below the venue's minimum (dust)."""
    qty = instrument.qty(instrument.qty_lots_floor(open_qty))
    if qty < instrument.min_qty or instrument.notional(qty, price) < instrument.min_notional:
        return Decimal(0)
    return min(qty, instrument.max_qty)


def derive_prices(
    grant: GrantTerms, avg_price: Decimal, tightest_stop: Decimal | None, limit_offset_bps: int, instrument: Instrument
) -> ProtectionPrices | None:
    """Return the prices for one entry, or None when the grant names no stop distance.

    Args:
        grant: Opened grant.
        avg_price: Average fill price of the entry.
        tightest_stop: Tightest stop sent so far; a new one is never looser.
        limit_offset_bps: Distance of the stop's limit beyond its trigger.
        instrument: For ticks.
    """
    if grant.stop_loss_fraction is None:
        return None
    away = -1 if grant.side is Side.SELL else 1
    raw_stop = avg_price * (1 + away * grant.stop_loss_fraction)
    stop = instrument.price(_towards_market(raw_stop, grant.side, instrument))
    if tightest_stop is not None and grant.tighten_only:
        stop = max(stop, tightest_stop) if grant.side is Side.SELL else min(stop, tightest_stop)
    stop = _clamp(stop, grant)
    limit = stop * (1 + away * limit_offset_bps / BPS)
    ticks = instrument.price_ticks_floor(limit) if grant.side is Side.SELL else instrument.price_ticks_ceil(limit)
    target = None
    if grant.take_profit_fraction is not None:
        raw_target = avg_price * (1 - away * grant.take_profit_fraction)
        target_ticks = _away_from_entry(raw_target, grant.side, instrument)
        target = _clamp(instrument.price(target_ticks), grant)
    return ProtectionPrices(
        _on_tick(stop, instrument, grant.side), _clamp(instrument.price(max(1, ticks)), grant), target
    )


def stop_terms(grant: GrantTerms, prices: ProtectionPrices, qty: Decimal, client_order_id: str) -> OrderTerms:
    """Return the stop-limit order."""
    return OrderTerms(
        client_order_id,
        grant.instrument_id,
        grant.side,
        OrderType.STOP_LIMIT,
        qty,
        prices.stop_limit,
        prices.stop,
        TimeInForce.GTC,
        False,
        True,
    )


def target_terms(
    grant: GrantTerms, prices: ProtectionPrices, qty: Decimal, client_order_id: str, instrument: Instrument
) -> OrderTerms | None:
    """Return the take-profit leg, or None when plan, grant or venue have none."""
    if prices.target is None or not instrument.oco_allowed:
        return None
    allowed = next((t for t in TARGET_TYPES if t in grant.order_types), None)
    if allowed is None:
        return None
    trigger = prices.target if allowed is OrderType.TAKE_PROFIT_LIMIT else None
    # A resting limit at the target is post-only: as a list leg it must not take on arrival.
    return OrderTerms(
        client_order_id,
        grant.instrument_id,
        grant.side,
        allowed,
        qty,
        prices.target,
        trigger,
        TimeInForce.GTC,
        allowed is OrderType.LIMIT,
        True,
    )


def _towards_market(price: Decimal, side: Side, instrument: Instrument) -> int:
    return instrument.price_ticks_ceil(price) if side is Side.SELL else max(1, instrument.price_ticks_floor(price))


def _away_from_entry(price: Decimal, side: Side, instrument: Instrument) -> int:
    return instrument.price_ticks_ceil(price) if side is Side.SELL else max(1, instrument.price_ticks_floor(price))


def _clamp(price: Decimal, grant: GrantTerms) -> Decimal:
    return min(max(price, grant.min_price), grant.max_price)


def _on_tick(price: Decimal, instrument: Instrument, side: Side) -> Decimal:
    return instrument.price(_towards_market(price, side, instrument))
