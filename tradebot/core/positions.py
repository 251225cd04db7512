"""Positions: signed quantity, average price, realized PnL and fees, folded from executions.

Average-price method: closing realizes (fill - average) x quantity x sign; a flip closes first, then opens at
the fill price.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tradebot.core.orders import Side

ZERO = Decimal(0)


@dataclass(slots=True)
class Position:
    """One position in one instrument (linear products and spot). Amounts in base units and quote asset."""

    qty: Decimal = ZERO
    """Signed base units: > 0 long, < 0 short."""
    avg_price: Decimal = ZERO
    """Average entry price, 0 when flat."""
    realized_pnl: Decimal = ZERO
    """Closed result before fees, quote asset."""
    fees_paid: Decimal = ZERO
    """Cost > 0, rebate < 0, quote asset."""

    def apply_fill(self, side: Side, qty: Decimal, price: Decimal, fee: Decimal = ZERO) -> Decimal:
        """Book one execution and return the PnL it realized (before fees).

        Args:
            side: Side of our order.
            qty: Base units, > 0.
            price: Quote per base.
            fee: In quote asset, cost > 0.
        """
        signed = qty if side is Side.BUY else -qty
        self.fees_paid += fee
        realized = ZERO
        if self.qty and (self.qty > 0) != (signed > 0):
            closed = min(abs(self.qty), qty)
            realized = (price - self.avg_price) * closed * (1 if self.qty > 0 else -1)
            self.realized_pnl += realized
            remainder = self.qty + signed
            if remainder == 0:
                self.avg_price = ZERO
            elif (remainder > 0) != (self.qty > 0):
                self.avg_price = price
            self.qty = remainder
            return realized
        total = self.qty + signed
        self.avg_price = (self.avg_price * abs(self.qty) + price * qty) / abs(total)
        self.qty = total
        return realized

    def remove_base(self, qty: Decimal) -> None:
        """Take base units away at the average price without realizing PnL: a fee charged in the base asset.

        The fee itself is booked in `fees_paid` at the fill's price by the caller, so cost is counted once.
        """
        self.qty -= qty
        if self.qty == 0:
            self.avg_price = ZERO

    def unrealized_pnl(self, mark_price: Decimal) -> Decimal:
        """Return the open result at a mark price, quote asset."""
        return (mark_price - self.avg_price) * self.qty
