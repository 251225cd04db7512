"""Profit and loss of one position as scaled integers: one formula for spot, linear and inverse contracts.

Every execution moves a *flow* of the asset in which the product pays: a linear buy costs `price x qty`, an inverse buy
is worth `qty / price` of its coin. A position is a quantity and the flow of having entered it; closing a part realizes
its share of the entry flow plus the flow of the exit. Nothing is averaged, so nothing drifts: realized + entry flow
equals the sum of all flows to the last unit, and every rounding is against us by less than one unit (1e-12).

The average price follows from the two: weighted for linear products, harmonic for inverse ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradebot.core.amounts import MONEY_ONE
from tradebot.core.instruments import Instrument, Product

UNIT: Final = MONEY_ONE
_UNIT_SQUARED: Final = MONEY_ONE * MONEY_ONE


@dataclass(frozen=True, slots=True)
class Contract:
    """How quantity and price of one product become money of its settlement asset. Made once per instrument."""

    multiplier: int = UNIT
    """Units of base per contract (linear) or of quote per contract (inverse); one for spot."""
    inverse: bool = False
    """True when PnL is paid in the base asset and a contract is worth a fixed amount of quote."""

    def flow(self, qty: int, price: int) -> int:
        """Return what an execution moves in settlement asset, rounded down.

        Args:
            qty: Signed units of what was bought (> 0) or sold (< 0).
            price: Quote per base in units, > 0.
        """
        if self.inverse:
            return qty * self.multiplier // price
        if self.multiplier == UNIT:
            return -qty * price // UNIT
        return -qty * price * self.multiplier // _UNIT_SQUARED

    def notional(self, qty: int, price: int) -> int:
        """Return the value of |qty| at a price in settlement asset, rounded up: exposure is never understated."""
        size = abs(qty)
        return -self.flow(-size, price) if self.inverse else -self.flow(size, price)

    def quote_notional(self, qty: int, price: int) -> int:
        """Return the value of |qty| in quote asset, rounded up; of an inverse contract it is fixed."""
        if self.multiplier == UNIT and not self.inverse:  # spot, many times per risk decision
            return -(-abs(qty) * price // UNIT)
        return -(-abs(qty) * self.multiplier // UNIT) if self.inverse else self.notional(qty, price)

    def qty_for(self, quote: int, price: int) -> int:
        """Return the quantity that a quote amount buys at a price, rounded down; an amount below 0 buys nothing."""
        if quote <= 0:
            return 0
        if self.inverse:
            return quote * UNIT // self.multiplier
        return quote * UNIT // price if self.multiplier == UNIT else quote * _UNIT_SQUARED // (price * self.multiplier)

    def average_price(self, qty: int, entry_flow: int) -> int:
        """Return the entry price in units that gives this flow, rounded to the nearest; 0 when flat."""
        size, moved = abs(qty), abs(entry_flow)
        if not size or not moved:
            return 0
        if self.inverse:
            return (2 * size * self.multiplier + moved) // (2 * moved)
        per = size * self.multiplier
        return (2 * moved * _UNIT_SQUARED + per) // (2 * per)


SPOT: Final = Contract()
"""Spot, and linear contracts of one base unit."""


def contract_of(instrument: Instrument) -> Contract:
    """Return how an instrument pays.

    Raises:
        ArithmeticError: If its multiplier has more than 12 decimals.
    """
    scaled = instrument.contract_multiplier * UNIT
    multiplier = int(scaled)
    if multiplier != scaled or multiplier <= 0:
        raise ArithmeticError(f"{instrument.instrument_id}: multiplier {instrument.contract_multiplier}")
    inverse = instrument.product is Product.INVERSE_PERPETUAL
    return SPOT if multiplier == UNIT and not inverse else Contract(multiplier, inverse)


@dataclass(slots=True)
class Inventory:
    """A position by the average-cost method. All amounts in units; flows in settlement asset."""

    qty: int = 0
    """Signed: > 0 long, < 0 short. Base units or contracts."""
    entry_flow: int = 0
    """What entering moved: < 0 for a linear long (it was paid), > 0 for an inverse long."""
    realized: int = 0
    """Closed result before fees and funding."""

    def apply(self, qty: int, flow: int) -> int:
        """Book one execution and return what it realized. A flip closes first, then opens at the same price.

        Args:
            qty: Signed units bought (> 0) or sold (< 0), not 0.
            flow: What it moved: `Contract.flow(qty, price)`.
        """
        held = self.qty
        if not held or (held > 0) == (qty > 0):
            self.qty = held + qty
            self.entry_flow += flow
            return 0
        if abs(qty) < abs(held):
            entered = self.entry_flow * -qty // held  # the closed part's share, rounded against us
            self.entry_flow -= entered
            realized = entered + flow
        else:
            closing = flow * -held // qty
            realized = self.entry_flow + closing
            self.entry_flow = flow - closing
        self.qty = held + qty
        self.realized += realized
        return realized

    def unrealized(self, contract: Contract, price: int) -> int:
        """Return the open result if all of it were closed at a price, rounded down."""
        return self.entry_flow + contract.flow(-self.qty, price) if self.qty else 0
