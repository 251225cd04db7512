"""One instrument as held for one strategy: quantity, closed result, fees, funding and the running round trip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from riskd.round_trips import TripLog
from riskd.units import from_units
from tradebot.core.pnl import SPOT, Contract, Inventory
from tradebot.core.positions import Position


@dataclass(slots=True)
class StrategyPosition:
    """One position: an instrument as held for one strategy. Amounts in units of its settlement asset."""

    contract: Contract = SPOT
    """How it pays."""
    inventory: Inventory = field(default_factory=Inventory)
    maker_fee_units: int = 0
    """Cost > 0, rebate < 0."""
    taker_fee_units: int = 0
    funding: int = 0
    """Received > 0, paid < 0."""
    opened_ns: int = 0
    updated_ns: int = 0
    trip_start: int = 0
    """`net` when the running round trip began."""
    trip_entered: int = 0
    """What the entries of the running round trip moved, absolute."""

    @property
    def price(self) -> int:
        """Average entry price in units, 0 when flat."""
        return self.contract.average_price(self.inventory.qty, self.inventory.entry_flow)

    @property
    def units(self) -> int:
        """Signed quantity in units."""
        return self.inventory.qty

    @property
    def net(self) -> int:
        """Closed result after fees and funding."""
        return self.inventory.realized - self.maker_fee_units - self.taker_fee_units + self.funding

    @property
    def maker_fees(self) -> Decimal:
        """Fees of maker fills, settlement asset."""
        return from_units(self.maker_fee_units)

    @property
    def taker_fees(self) -> Decimal:
        """Fees of taker fills, settlement asset."""
        return from_units(self.taker_fee_units)

    @property
    def position(self) -> Position:
        """The position as decimals, for reports."""
        held = self.inventory
        fees = self.maker_fees + self.taker_fees
        return Position(from_units(held.qty), from_units(self.price), from_units(held.realized), fees)

    def follow_trip(self, logs: Iterable[TripLog], dust: int, before: int, moved: int) -> bool:
        """Keep count of the round trip. What is too small to be sold counts as flat; a flip ends one and begins one.

        Returns whether one ended without a profit.

        Args:
            logs: Take the finished one.
            dust: Largest quantity that counts as flat.
            before: Signed quantity before the fill that was just booked.
            moved: What that fill moved, absolute.
        """
        after = self.inventory.qty
        if abs(before) > dust and (abs(after) <= dust or before * after < 0):
            net = self.net - self.trip_start
            for log in logs:
                log.add(net, self.trip_entered)
            self.trip_start = self.net
            self.trip_entered = abs(self.inventory.entry_flow) if abs(after) > dust else 0
            return net <= 0
        if abs(after) > abs(before):
            self.trip_entered += moved
        return False
