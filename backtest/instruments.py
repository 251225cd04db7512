"""Trading rules for recordings, which carry none: the simulated venue's own table, or the venue's saved answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from simexchange.config import DEFAULT_SYMBOLS
from tradebot.core.errors import ConfigError, TradebotError
from tradebot.core.instruments import Instrument
from tradebot.sim.rules import MarketRules
from tradebot.venues.api import MarketDataVenue

MAX_PRICE_TICKS: Final = 10**9
"""Price bound of rules that come without one."""


def find_rules(
    venue_name: str, venue: MarketDataVenue, symbols: Sequence[str], exchange_info: Path | None = None
) -> list[MarketRules]:
    """Return the rules of venue symbols.

    Args:
        venue_name: Venue folder.
        venue: Its market data half.
        symbols: The venue's spelling.
        exchange_info: The venue's saved list of trading rules; None = the built-in ones.

    Raises:
        ConfigError: If a symbol has no rules.
    """
    if exchange_info is None:
        return [_built_in(venue_name, symbol) for symbol in symbols]
    try:
        instruments = venue.decode_instruments(exchange_info.read_bytes(), list(symbols))
    except (OSError, TradebotError) as exc:
        raise ConfigError(f"{exchange_info}: not the venue's list of trading rules ({exc})") from exc
    return [_with_bounds(instrument) for instrument in instruments]


def _built_in(venue_name: str, symbol: str) -> MarketRules:
    known = DEFAULT_SYMBOLS.get(symbol)
    if known is None:
        raise ConfigError(
            f"{symbol}: no built-in trading rules; give the venue's saved exchangeInfo answer with --exchange-info"
        )
    return known.setup(venue_name, symbol).rules


def _with_bounds(instrument: Instrument) -> MarketRules:
    return MarketRules(instrument, instrument.tick_size, instrument.tick_size * MAX_PRICE_TICKS)
