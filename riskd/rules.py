"""What the gate must know about one instrument, as ints: the venue's rules joined with our limits, made at load."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from riskd.base_limits import ANY
from riskd.limits import Limits, for_key
from riskd.order_limits import BookAge, MaxSpread, OrderQty, PriceCollar
from riskd.units import PPM, PPM_PER_BPS, to_units
from tradebot.core.instruments import Instrument, InstrumentStatus, PriceBand, Product
from tradebot.core.pnl import SPOT, Contract, contract_of

MAX_RULES = 10_000
"""Instruments known at once; a venue lists a few thousand."""


@dataclass(frozen=True, slots=True)
class BandRule:
    """SPC-07. Prices in units, multiples of the market's price in ppm; None = the venue has no such rule."""

    min_price: int | None
    max_price: int | None
    buy: tuple[int | None, int | None]
    """Lowest, highest."""
    sell: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class InstrumentRule:
    """One instrument. Units are 1e-12; None = no limit is configured, which refuses."""

    instrument: Instrument
    instrument_id: str
    venue: str
    base: str
    quote: str
    is_spot: bool
    trading: bool
    order_types: frozenset[str]
    tick: int
    lot: int
    min_qty: int
    max_qty: int
    min_notional: int
    max_notional: int | None
    max_order_qty: int | None
    """SIZ-01."""
    max_book_age_ns: int | None
    """MKT-01."""
    collar_ppm: int | None
    """PRC-01."""
    max_spread_ppm: int | None
    """MKT-04."""
    dust_qty: int
    """Largest quantity that the venue would not take as an order: such a position counts as flat."""
    settle: str = ""
    """Asset in which PnL is paid; the quote asset for spot."""
    contract: Contract = SPOT
    """How price and quantity become money."""
    band: BandRule | None = None
    """SPC-07; None = not known, which refuses."""


def make_rule(instrument: Instrument, limits: Limits) -> InstrumentRule:
    """Join venue rules and limits.

    Raises:
        ArithmeticError: If a step has more than 12 decimals.
    """
    key = instrument.instrument_id
    order_qty, age = limits.enforced("SIZ-01", OrderQty), limits.enforced("MKT-01", BookAge)
    collar = limits.enforced("PRC-01", PriceCollar)
    spread = limits.enforced("MKT-04", MaxSpread)
    spread_bps = None if spread is None else for_key(spread.max_spread_bps, key)
    cap = None if order_qty is None else for_key(order_qty.max_qty, key)
    age_ms = None if age is None else for_key(age.max_age_ms, key)
    collar_bps = None if collar is None else for_key(collar.collar_bps, key)
    lot, min_qty = to_units(instrument.lot_size), to_units(instrument.min_qty)
    return InstrumentRule(
        instrument=instrument,
        instrument_id=key,
        venue=instrument.venue,
        base=instrument.base,
        quote=instrument.quote,
        is_spot=instrument.product is Product.SPOT,
        trading=instrument.status is InstrumentStatus.TRADING,
        order_types=instrument.order_types,
        tick=to_units(instrument.tick_size),
        lot=lot,
        min_qty=min_qty,
        max_qty=to_units(instrument.max_qty),
        min_notional=to_units(instrument.min_notional),
        max_notional=None if instrument.max_notional is None else to_units(instrument.max_notional),
        max_order_qty=None if cap is None else to_units(cap),
        max_book_age_ns=None if age_ms is None else age_ms * 1_000_000,
        collar_ppm=None if collar_bps is None else collar_bps * PPM_PER_BPS,
        max_spread_ppm=None if spread_bps is None else spread_bps * PPM_PER_BPS,
        dust_qty=max(lot, min_qty) - 1,
        settle=instrument.settle,
        contract=contract_of(instrument),
        band=None if instrument.price_band is None else _band(instrument.price_band),
    )


def _band(band: PriceBand) -> BandRule:
    return BandRule(
        None if band.min_price is None else to_units(band.min_price),
        None if band.max_price is None else to_units(band.max_price),
        (_least(band.buy_down), _most(band.buy_up)),
        (_least(band.sell_down), _most(band.sell_up)),
    )


def _least(multiple: Decimal | None) -> int | None:
    return None if multiple is None else ceil(multiple * PPM)


def _most(multiple: Decimal | None) -> int | None:
    return None if multiple is None else int(multiple * PPM)


def may_trade(limits: Limits, strategy_id: str, instrument_id: str) -> tuple[bool, bool]:
    """Return (strategy is registered, instrument is on its allow list)."""
    found = limits.file.strategies.get(permission_key(strategy_id))
    permission = limits.file.strategies.get(ANY) if found is None else found
    if permission is None:
        return False, False
    return True, ANY in permission.instruments or instrument_id in permission.instruments


def permission_key(strategy_id: str) -> str:
    """Return the key under which the limits file registers a strategy; all operators share one."""
    return "manual:*" if is_operator(strategy_id) else strategy_id


def is_operator(strategy_id: str) -> bool:
    """Return whether orders of this strategy are an operator's own."""
    return strategy_id.startswith("manual:")
