"""Deriving protecting orders from a grant: prices and quantities, nothing else. Pure functions.

For a long position (protecting side SELL): the stop sits at average fill x (1 - fraction), rounded towards the
market, its limit a little below, the target at average x (1 + fraction). Shorts mirror it. Everything is clamped
into the grant.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tradebot.core.approvals import GrantTerms
from tradebot.core.instruments import Instrument, Product
from tradebot.core.orders import OrderTerms, OrderType, Side, TimeInForce
from tradebot.core.protection import favorable_ticks, stop_limit, stop_trigger

TARGET_TYPES = (OrderType.TAKE_PROFIT_LIMIT, OrderType.LIMIT)
"""What a grant may allow for the target, in the order of preference."""


@dataclass(frozen=True, slots=True)
class ProtectionPrices:
    """Derived prices on tick. `target` None: no target."""

    stop: Decimal
    stop_limit: Decimal
    target: Decimal | None


def derive_prices(
    grant: GrantTerms, avg_price: Decimal, tightest_stop: Decimal | None, instrument: Instrument
) -> ProtectionPrices | None:
    """Return the prices for one entry, or None when the grant names no stop distance.

    Args:
        grant: Opened grant.
        avg_price: Average fill price of the entry.
        tightest_stop: Tightest stop sent so far; a new one is never looser.
        instrument: For ticks.
    """
    if grant.stop_loss_fraction is None:
        return None
    stop = stop_trigger(avg_price, grant.side, grant.stop_loss_fraction, instrument)
    if tightest_stop is not None and grant.tighten_only:
        stop = max(stop, tightest_stop) if grant.side is Side.SELL else min(stop, tightest_stop)
    stop = _clamp(stop, grant)
    limit = _clamp(stop_limit(stop, grant.side, instrument), grant)
    target = None
    if grant.take_profit_fraction is not None:
        raw_target = avg_price * (1 - grant.side.sign * grant.take_profit_fraction)
        target_ticks = favorable_ticks(raw_target, grant.side, instrument)
        target = _clamp(instrument.price(target_ticks), grant)
    return ProtectionPrices(instrument.price(favorable_ticks(stop, grant.side, instrument)), limit, target)


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


def least_limit(qty: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """Return the lowest limit with which the venue takes this quantity: it counts an order's value at its limit. What
    sells a small position at once must not be refused for the depth to which it may sell.
    """
    if side is Side.BUY or instrument.product is Product.INVERSE_PERPETUAL:
        return Decimal(0)
    least = instrument.min_notional / (qty * instrument.contract_multiplier)
    return instrument.price(instrument.price_ticks_ceil(least))


def _clamp(price: Decimal, grant: GrantTerms) -> Decimal:
    return min(max(price, grant.min_price), grant.max_price)
