"""Instruments: what is traded at one venue, with the venue's own trading rules.

`instrument_id` is `<venue>:<BASE>-<QUOTE>[-SWAP]`, e.g. `okx:BTC-USDT-SWAP`; `venue_symbol` is the
venue's own spelling.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property

from tradebot.core.amounts import MONEY_ONE, steps_ceil, steps_exact, steps_floor


class Product(Enum):
    """Kind of contract; decides how notional, margin and PnL are computed."""

    SPOT = "spot"
    LINEAR_PERPETUAL = "linear_perpetual"
    INVERSE_PERPETUAL = "inverse_perpetual"


class InstrumentStatus(Enum):
    """Whether the venue takes orders now."""

    TRADING = "trading"
    CANCEL_ONLY = "cancel_only"
    HALTED = "halted"


@dataclass(frozen=True)
class Instrument:
    """One tradable market at one venue. Prices are quote per base; quantities are base units or contracts."""

    instrument_id: str
    """Our name, unique over all venues."""
    venue: str
    """Venue folder name, e.g. the first part of instrument_id."""
    venue_symbol: str
    """The venue's spelling."""
    product: Product
    base: str
    """Base asset code."""
    quote: str
    """Quote asset code."""
    settle: str
    """Asset in which PnL is paid; the quote asset for spot."""
    tick_size: Decimal
    """Price step, quote per base, > 0."""
    lot_size: Decimal
    """Quantity step, base units or contracts, > 0."""
    min_qty: Decimal
    max_qty: Decimal
    market_max_qty: Decimal
    """Largest quantity of a market order."""
    min_notional: Decimal
    """Smallest accepted notional, quote asset."""
    max_notional: Decimal | None = None
    """Largest accepted notional; None = no such rule."""
    contract_multiplier: Decimal = Decimal(1)
    """Base units per contract of a linear perpetual, quote units of an inverse one, 1 for spot."""
    status: InstrumentStatus = InstrumentStatus.TRADING
    order_types: frozenset[str] = frozenset()
    """Names of `OrderType` members that the venue takes here, and GTD where it ends orders by its own clock."""
    oco_allowed: bool = False

    @cached_property
    def money_per_tick_lot(self) -> Decimal:
        """Value of one tick x one lot in quote asset, as Money (may be fractional for extreme steps)."""
        return self.tick_size * self.lot_size * self.contract_multiplier * MONEY_ONE

    def notional(self, qty: Decimal, price: Decimal) -> Decimal:
        """Return what a quantity is worth at a price, quote asset; of an inverse contract that is fixed."""
        if self.product is Product.INVERSE_PERPETUAL:
            return qty * self.contract_multiplier
        return qty * price * self.contract_multiplier

    @cached_property
    def _money_unit(self) -> int | None:
        unit = self.money_per_tick_lot
        return int(unit) if unit == unit.to_integral_value() else None

    def price_ticks(self, price: Decimal) -> int | None:
        """Return price in ticks, or None when it is not on a tick."""
        return steps_exact(price, self.tick_size)

    def price_ticks_floor(self, price: Decimal) -> int:
        """Return price in ticks, rounded down."""
        return steps_floor(price, self.tick_size)

    def price_ticks_ceil(self, price: Decimal) -> int:
        """Return price in ticks, rounded up."""
        return steps_ceil(price, self.tick_size)

    def price(self, ticks: int) -> Decimal:
        """Return the price of a number of ticks."""
        return self.tick_size * ticks

    def qty_lots(self, qty: Decimal) -> int | None:
        """Return quantity in lots, or None when it is not on a step."""
        return steps_exact(qty, self.lot_size)

    def qty_lots_floor(self, qty: Decimal) -> int:
        """Return quantity in lots, rounded down."""
        return steps_floor(qty, self.lot_size)

    def qty(self, lots: int) -> Decimal:
        """Return the quantity of a number of lots."""
        return self.lot_size * lots

    def notional_money(self, ticks: int, lots: int) -> int:
        """Return price x qty x multiplier as Money in the quote asset; rounds up when a tick-lot is no whole Money."""
        unit = self._money_unit
        if unit is not None:
            return ticks * lots * unit
        exact = self.money_per_tick_lot * ticks * lots
        whole = int(exact)
        return whole if whole == exact else whole + (1 if exact > 0 else -1)
