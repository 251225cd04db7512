"""An independent, slow and obvious PnL calculator in exact fractions. For tests only; shares no line with the product.

It keeps every opening fill as a lot with its own price. A close takes the same share out of each lot and compares each
lot's price with the exit, in coin for inverse contracts. Nothing is averaged until somebody asks.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

ZERO = Fraction(0)


@dataclass
class SlowPosition:
    """One instrument as held for one strategy."""

    kind: str = "spot"
    """spot, linear or inverse."""
    size: Fraction = Fraction(1)
    """Contract size."""
    lots: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    """(quantity > 0, price); all on one side."""
    side: int = 0
    realized: Fraction = ZERO
    fees: Fraction = ZERO
    funding: Fraction = ZERO
    money: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """What came into each wallet: `base`, `quote`, `settle`, `third`."""

    @property
    def held(self) -> Fraction:
        return self.side * sum((q for q, _ in self.lots), ZERO)

    def gain(self, quantity: Fraction, entry: Fraction, exit_price: Fraction) -> Fraction:
        """What a long of this quantity earns from entry to exit."""
        if self.kind == "inverse":
            return quantity * self.size * (1 / entry - 1 / exit_price)
        return quantity * self.size * (exit_price - entry)

    def trade(self, side: int, quantity: Fraction, price: Fraction) -> Fraction:
        gained = ZERO
        if self.side == -side:
            there = abs(self.held)
            share = min(Fraction(1), quantity / there)
            gained = sum((self.side * self.gain(q * share, p, price) for q, p in self.lots), ZERO)
            self.realized += gained
            self.lots = [(q * (1 - share), p) for q, p in self.lots] if share < 1 else []
            quantity -= there * share
            if not self.lots:
                self.side = 0
        if quantity > 0:
            self.lots.append((quantity, price))
            self.side = side
        return gained

    def fill(
        self, side: int, quantity: Fraction, price: Fraction, fee: Fraction, fee_in: str, third_rate: Fraction = ZERO
    ) -> None:
        """One execution; `fee_in` is base, quote, settle or third (at `third_rate` per unit)."""
        gained = self.trade(side, quantity, price)
        if self.kind == "spot":
            self.money["base"] += side * quantity
            self.money["quote"] -= side * quantity * price
        else:
            self.money["settle"] += gained
        self.money[fee_in] -= fee
        if fee_in == "base" and self.kind == "spot":
            self.fees += fee * price
            if fee:
                self.trade(-1 if fee > 0 else 1, abs(fee), price)
        else:
            self.fees += fee * third_rate if fee_in == "third" else fee

    def pay_funding(self, received: Fraction) -> None:
        self.funding += received
        self.money["settle"] += received

    def open_result(self, mark: Fraction) -> Fraction:
        return sum((self.side * self.gain(q, p, mark) for q, p in self.lots), ZERO)

    def average(self) -> Fraction:
        total = sum((q for q, _ in self.lots), ZERO)
        if not total:
            return ZERO
        if self.kind == "inverse":
            return total / sum((q / p for q, p in self.lots), ZERO)
        return sum((q * p for q, p in self.lots), ZERO) / total
