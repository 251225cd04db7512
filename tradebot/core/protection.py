"""Prices of the stop that protects a position, and what is too small for one. One rule for execd, which places stops,
and for riskd, which watches them: what the one calls dust the other must not miss.

A stop triggers at the average entry price x (1 -+ fraction), rounded towards the market, and trades down to a limit a
little beyond. The venue counts an order's value at its limit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradebot.core.instruments import Instrument
from tradebot.core.orders import Side

STOP_LIMIT_OFFSET: Final = Decimal("0.003")
"""Distance of a stop's limit beyond its trigger, a share of the trigger."""


def favorable_ticks(price: Decimal, side: Side, instrument: Instrument) -> int:
    """Return a protecting price in ticks, rounded in our favor: a sell up, a buy down."""
    return instrument.price_ticks_ceil(price) if side is Side.SELL else max(1, instrument.price_ticks_floor(price))


def stop_trigger(avg_price: Decimal, side: Side, fraction: Decimal, instrument: Instrument) -> Decimal:
    """Return the trigger of an entry's stop.

    Args:
        avg_price: Average fill price of the entry.
        side: The stop's: SELL protects a long position.
        fraction: Distance of the stop, a share of the price.
        instrument: For ticks.
    """
    away = 1 - fraction if side is Side.SELL else 1 + fraction
    return instrument.price(favorable_ticks(avg_price * away, side, instrument))


def stop_limit(trigger: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """Return the limit of a stop with this trigger, on tick."""
    if side is Side.SELL:
        return instrument.price(max(1, instrument.price_ticks_floor(trigger * (1 - STOP_LIMIT_OFFSET))))
    return instrument.price(instrument.price_ticks_ceil(trigger * (1 + STOP_LIMIT_OFFSET)))


def protectable_qty(
    open_qty: Decimal, avg_price: Decimal, side: Side, fraction: Decimal | None, instrument: Instrument
) -> Decimal:
    """Return the quantity that a stop can carry: whole lots; 0 when the venue takes no such stop (dust).

    Args:
        open_qty: Base units or contracts to protect, >= 0.
        avg_price: Average fill price of the entry.
        side: The stop's.
        fraction: Distance of the stop; None = there is none, and the value is that of the position itself.
        instrument: The venue's rules.
    """
    qty = instrument.qty(instrument.qty_lots_floor(open_qty))
    least = avg_price
    if fraction is not None:
        trigger = stop_trigger(avg_price, side, fraction, instrument)
        least = min(trigger, stop_limit(trigger, side, instrument))
    if qty < instrument.min_qty or instrument.notional(qty, least) < instrument.min_notional:
        return Decimal(0)
    return min(qty, instrument.max_qty)
