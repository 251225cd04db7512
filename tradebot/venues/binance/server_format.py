"""Numbers as the venue writes them: eight decimals, no exponent; times in milliseconds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from tradebot.core.errors import InvariantError
from tradebot.venues.server_api import RulesView

NS_PER_MS: Final = 1_000_000
_ONE: Final = 100_000_000
_MONEY_PER_UNIT: Final = 10_000
"""Money has 12 decimals, the venue shows 8."""
ZERO: Final = "0.00000000"

encode: Final = msgspec.json.Encoder().encode
"""JSON bytes of plain values."""


def fixed8(units: int) -> str:
    """Return a count of 1e-8 units as text."""
    if units < 0:
        return "-" + fixed8(-units)
    return f"{units // _ONE}.{units % _ONE:08d}"


def money8(money: int) -> str:
    """Return Money as text, cut to eight decimals."""
    return fixed8(money // _MONEY_PER_UNIT)


def decimal8(value: Decimal) -> str:
    """Return a decimal with eight decimals."""
    return f"{value:.8f}"


def ms(time_ns: int) -> int:
    """Return milliseconds."""
    return time_ns // NS_PER_MS


class SymbolText:
    """Formats ticks and lots of one symbol."""

    __slots__ = ("_lot", "_money", "_tick", "base", "quote", "rules", "stream", "symbol")

    def __init__(self, rules: RulesView) -> None:
        instrument = rules.instrument
        self.rules = rules
        self.symbol = instrument.venue_symbol
        self.stream = instrument.venue_symbol.lower()
        self.base = instrument.base
        self.quote = instrument.quote
        tick, lot = instrument.tick_size * _ONE, instrument.lot_size * _ONE
        if tick != int(tick) or lot != int(lot):
            raise InvariantError(f"{self.symbol}: tick {instrument.tick_size} or lot {instrument.lot_size} below 1e-8")
        self._tick = int(tick)
        self._lot = int(lot)
        self._money = rules.money_per_tick_lot

    def price(self, ticks: int) -> str:
        """Return a price."""
        units = ticks * self._tick
        return f"{units // _ONE}.{units % _ONE:08d}"

    def qty(self, lots: int) -> str:
        """Return a quantity."""
        units = lots * self._lot
        return f"{units // _ONE}.{units % _ONE:08d}"

    def quote_of(self, tick_lots: int) -> str:
        """Return the quote value of a sum of price x quantity in tick-lots."""
        return money8(tick_lots * self._money)

    def levels(self, levels: Any) -> list[list[str]]:
        """Return (ticks, lots) pairs as the venue's pairs of strings."""
        return [[self.price(price), self.qty(lots)] for price, lots in levels]
