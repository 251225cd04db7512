"""Trading rules for recordings, which carry none: the simulated venue's own table, or the venue's saved answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from backtest.history.rows import Market
from backtest.perpetuals import PerpetualConfig
from simexchange.config import DEFAULT_SYMBOLS, SymbolConfig
from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import ConfigError, RejectedError, TradebotError
from tradebot.core.instruments import Instrument
from tradebot.sim.rules import MarketRules
from tradebot.venues.api import MarketDataVenue

MAX_PRICE_TICKS: Final = 10**9
"""Price bound of rules that come without one."""


def find_rules(
    venue_name: str,
    venue: MarketDataVenue,
    symbols: Sequence[str],
    exchange_info: Path | None = None,
    markets: Sequence[Market] = (),
    perpetuals: Mapping[str, PerpetualConfig] | None = None,
) -> list[MarketRules]:
    """Return the rules of venue symbols.

    Args:
        venue_name: Venue folder.
        venue: Its market data half.
        symbols: The venue's spelling.
        exchange_info: The venue's saved list of trading rules; None = the built-in ones.
        markets: Steps that go before those of the built-in rules: what a data file says of itself, or the caller.
        perpetuals: By venue symbol; they have all their rules from here.

    Raises:
        ConfigError: If a symbol has no rules.
    """
    if perpetuals:
        spot = [symbol for symbol in symbols if symbol not in perpetuals]
        found = {
            one.instrument.venue_symbol: one for one in find_rules(venue_name, venue, spot, exchange_info, markets)
        }
        found |= {name: perpetuals[name].rules(venue_name, name) for name in symbols if name in perpetuals}
        return [found[symbol] for symbol in symbols]
    if exchange_info is None:
        known = {market.venue_symbol: market for market in markets}
        return [_built_in(venue_name, symbol, known.get(symbol)) for symbol in symbols]
    if not symbols:
        return []
    try:
        instruments = venue.decode_instruments(exchange_info.read_bytes(), list(symbols))
    except (OSError, TradebotError) as exc:
        raise ConfigError(f"{exchange_info}: not the venue's list of trading rules ({exc})") from exc
    return [_with_bounds(instrument) for instrument in instruments]


def built_in_symbol(venue_name: str, name: str) -> str | None:
    """Return the venue symbol of an instrument id or symbol with built-in rules; None when there are none."""
    for symbol, one in DEFAULT_SYMBOLS.items():
        if name.upper() in (symbol, one.setup(venue_name, symbol).rules.instrument.instrument_id.upper()):
            return symbol
    return None


def parse_market(text: str) -> Market:
    """Read `SYMBOL:TICK:LOT[:INSTRUMENT_ID]`.

    Raises:
        ConfigError: Saying how it is written.
    """
    symbol, *rest = text.split(":", 3)
    if len(rest) < 2:
        raise ConfigError(f"--market {text}: write SYMBOL:TICK:LOT, e.g. BTCUSDT:0.1:0.001")
    tick, lot = _step(rest[0], text), _step(rest[1], text)
    return Market(rest[2] if len(rest) == 3 else symbol, symbol, tick, lot)


def _step(number: str, text: str) -> Decimal:
    try:
        step = parse_decimal(number, f"--market {text}")
    except RejectedError as exc:
        raise ConfigError(str(exc)) from exc
    if step <= 0:
        raise ConfigError(f"--market {text}: tick and lot are above zero")
    return step


def _built_in(venue_name: str, symbol: str, market: Market | None) -> MarketRules:
    known = DEFAULT_SYMBOLS.get(symbol) or (_from_id(market) if market is not None else None)
    if known is None:
        raise ConfigError(
            f"{symbol}: no built-in trading rules; give the venue's saved exchangeInfo answer with --exchange-info, "
            f"or --market {symbol}:TICK:LOT:{venue_name}:BASE-QUOTE"
        )
    rules = known.setup(venue_name, symbol).rules
    if market is None:
        return rules
    least = max(rules.instrument.min_qty, market.lot_size)
    instrument = replace(rules.instrument, tick_size=market.tick_size, lot_size=market.lot_size, min_qty=least)
    return replace(rules, instrument=instrument, min_price=market.tick_size)


def _from_id(market: Market) -> SymbolConfig | None:
    """Return plain rules of a market whose id, `venue:BASE-QUOTE`, names its assets."""
    _, _, pair = market.instrument_id.partition(":")
    base, dash, quote = pair.partition("-")
    if not (base and dash and quote):
        return None
    shape = next(iter(DEFAULT_SYMBOLS.values())).market  # of the synthetic market; nobody looks at it here
    return SymbolConfig(base=base, quote=quote, tick_size=market.tick_size, lot_size=market.lot_size, market=shape)


def _with_bounds(instrument: Instrument) -> MarketRules:
    return MarketRules(instrument, instrument.tick_size, instrument.tick_size * MAX_PRICE_TICKS)
