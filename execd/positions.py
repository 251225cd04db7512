"""Position views per (strategy, instrument), folded from executions and net of fees taken in the base asset."""

from __future__ import annotations

from decimal import Decimal

from tradebot.core.instruments import Instrument, Product
from tradebot.core.orders import Execution
from tradebot.core.positions import Position

ZERO = Decimal(0)
PositionKey = tuple[str, str]
"""(strategy_id, instrument_id)."""


def base_fee(execution: Execution, instrument: Instrument) -> Decimal:
    """Return the part of the fee that was taken in base units, 0 when it was taken in anything else.

    A fee in the base asset makes a spot position smaller; an inverse perpetual pays it from the margin wallet.
    """
    taken = instrument.product is Product.SPOT and execution.fee_asset == instrument.base
    return execution.fee if taken else ZERO


class PositionBook:
    """Views only; riskd is the authority."""

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        self._instruments = instruments
        self._positions: dict[PositionKey, Position] = {}

    def book(self, strategy_id: str, execution: Execution) -> None:
        """Book one execution of a strategy's order."""
        position = self._positions.setdefault((strategy_id, execution.instrument_id), Position())
        position.apply_fill(execution.side, execution.qty, execution.price)
        instrument = self._instruments.get(execution.instrument_id)
        if instrument is not None and (fee := base_fee(execution, instrument)):
            position.remove_base(fee)

    def qty(self, strategy_id: str, instrument_id: str) -> Decimal:
        """Return the signed quantity, 0 when there is none."""
        position = self._positions.get((strategy_id, instrument_id))
        return position.qty if position else ZERO

    def view(self, strategy_id: str, instrument_id: str) -> tuple[Decimal, Decimal]:
        """Return (signed quantity, average price)."""
        position = self._positions.get((strategy_id, instrument_id))
        return (position.qty, position.avg_price) if position else (ZERO, ZERO)

    def total(self, instrument_id: str) -> Decimal:
        """Return the signed quantity over all strategies."""
        return sum((p.qty for (_, i), p in self._positions.items() if i == instrument_id), ZERO)

    def of_base(self, base: str) -> Decimal:
        """Return the signed base units over all strategies and spot instruments with this base asset."""
        return sum(
            (
                p.qty
                for (_, i), p in self._positions.items()
                if (one := self._instruments.get(i)) is not None and one.base == base and one.product is Product.SPOT
            ),
            ZERO,
        )

    def holders(self, instrument_id: str) -> list[tuple[str, Decimal]]:
        """Return (strategy, signed quantity) of everybody who holds the instrument."""
        return [(s, p.qty) for (s, i), p in self._positions.items() if i == instrument_id and p.qty]

    def items(self) -> list[tuple[PositionKey, Position]]:
        """Return all views, flat ones included."""
        return list(self._positions.items())
