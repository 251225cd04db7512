"""Where a backtest's rows come from: recorded frames, market data files of any format, or the synthetic market.

Frames of the venue that is simulated go through the market data daemon's own codec and book sync, as live; everything
else through the readers of `backtest.history`. Both are streams of row blocks in order of receive time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from backtest.config import BacktestOptions
from backtest.history.rows import Market
from backtest.history.sources import Format, detect, markets_of, symbols_of
from backtest.history_feed import HistoryOptions, HistorySource
from backtest.instruments import built_in_symbol
from backtest.perpetuals import PerpetualConfig, perpetual_symbol
from backtest.recording import recorded, synthetic
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Instrument
from tradebot.core.row_block import RowBlock
from tradebot.venues.api import MarketDataVenue


class Feed(Protocol):
    """One reading of the rows."""

    @property
    def first_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    @property
    def frames(self) -> int: ...
    def blocks(self) -> Iterator[tuple[RowBlock, int]]: ...
    def warnings(self) -> list[str]: ...


class DataSource(Protocol):
    """Data that can be read any number of times."""

    @property
    def name(self) -> str: ...
    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def markets(self) -> tuple[Market, ...]: ...
    def open(self, venue: MarketDataVenue, instruments: Sequence[Instrument]) -> Feed: ...
    def span(self, instruments: Sequence[Instrument]) -> tuple[int, int]: ...
    def cut(self, instruments: Sequence[Instrument], at_ns: int, stem: Path) -> Path: ...


def find_source(
    options: BacktestOptions, venue_name: str, perpetuals: Mapping[str, PerpetualConfig] | None = None
) -> DataSource:
    """Return the data of a run. With perpetuals all files go through the readers: live codecs are those of spot.

    Raises:
        ConfigError: If a file is missing, of no known format, or about instruments that nobody knows.
    """
    if options.data is None and (options.markets or options.history != HistoryOptions()):
        raise ConfigError("--market, --correct and the latencies are of data files: give --data, or leave them away")
    if options.data is None:
        return synthetic(venue_name, options.symbols, options.seed, options.seconds)
    paths = (options.data, *options.then)
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"{path}: no such recording; `tradebot sample-data FILE` makes one")
    as_live = not perpetuals and not options.markets and not options.history.corrected
    if as_live and all(detect(path) is Format.FRAMES for path in paths):
        return recorded(*paths)
    markets = {market.venue_symbol: market for path in paths for market in markets_of(path)}
    markets |= {market.venue_symbol: market for market in options.markets}
    return HistorySource(
        paths, _symbols(options, venue_name, paths, perpetuals or {}), options.history, tuple(markets.values())
    )


def _symbols(
    options: BacktestOptions, venue_name: str, paths: Sequence[Path], perpetuals: Mapping[str, PerpetualConfig]
) -> tuple[str, ...]:
    if options.symbols:
        return options.symbols
    known = {
        name: market.venue_symbol for market in options.markets for name in (market.instrument_id, market.venue_symbol)
    }
    for name in (name for path in paths for name in symbols_of(path)):
        symbol = perpetual_symbol(perpetuals, venue_name, name)
        if symbol is not None:
            known[name] = symbol
    names = dict.fromkeys(name for path in paths for name in symbols_of(path))
    found = dict.fromkeys(known.get(name) or built_in_symbol(venue_name, name) or name for name in names)
    found |= dict.fromkeys(market.venue_symbol for market in options.markets)
    if not found:
        raise ConfigError(f"{paths[0]}: the format does not name its instrument: give --symbols SYMBOL")
    return tuple(found)
