"""`tradebot paper-run`: real market data, orders against simexchange, for some minutes or until the console is left.

State is fresh unless a folder was asked for; the paper account is part of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.config import config_for_mode
from cli.demo import run_session
from tradebot.core.errors import ConfigError

VENUE: Final = "binance"
QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "EUR", "BTC", "ETH", "BNB")
"""Quote assets by which a symbol without a dash is split, in this order."""
MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class PaperOptions:
    """What was asked for."""

    strategy: str = ""
    """Registered kind; also the strategy id, by which the limits file knows it. Empty: those of the configuration."""
    symbols: tuple[str, ...] = ()
    """BTC-USDT or BTCUSDT; empty = those of the configuration."""
    params: tuple[str, ...] = ()
    """name=value of the strategy."""
    strategy_path: Path | None = None
    minutes: float | None = None
    headless: bool = False
    state: Path | None = None
    config: Path | None = None
    overrides: tuple[str, ...] = ()


def run_paper(options: PaperOptions) -> int:
    """Run paper trading and return the exit code.

    Raises:
        ConfigError: One line that says what to do.
    """
    duration_s = None if options.minutes is None else max(1, round(options.minutes * MINUTE_S))
    config = options.config or config_for_mode("paper")
    overrides = [*paper_overrides(options), *options.overrides]
    return run_session(config, options.state, overrides, options.headless, duration_s)


def paper_overrides(options: PaperOptions) -> list[str]:
    """Return the settings that name strategy and markets."""
    overrides: list[str] = []
    pairs = [split_symbol(symbol) for symbol in options.symbols]
    if pairs:
        overrides.append(f"venues.{VENUE}.symbols={json.dumps([base + quote for base, quote in pairs])}")
    if options.strategy:
        if not pairs:
            raise ConfigError("--symbols: name the markets of the strategy, e.g. BTC-USDT")
        entry = {
            "id": options.strategy,
            "kind": options.strategy,
            "instruments": [f"{VENUE}:{base}-{quote}" for base, quote in pairs],
            "params": dict(_param(text) for text in options.params),
        }
        overrides.append(f"engine.strategies={json.dumps([entry])}")
    elif options.params:
        raise ConfigError("--param: needs --strategy, the strategy it belongs to")
    if options.strategy_path is not None:
        overrides.append(f"engine.strategy_path={json.dumps([str(options.strategy_path.resolve())])}")
    return overrides


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote of BTC-USDT or BTCUSDT.

    Raises:
        ConfigError: If the quote asset cannot be told.
    """
    base, dash, quote = symbol.upper().partition("-")
    if dash and base and quote:
        return base, quote
    for known in QUOTES:
        if base.endswith(known) and len(base) > len(known):
            return base.removesuffix(known), known
    raise ConfigError(f"--symbols {symbol}: cannot tell its quote asset; write it as BASE-QUOTE")


def _param(text: str) -> tuple[str, str | int | float | bool]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigError(f"--param {text!r}: write it as name=value")
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    return name, parsed if isinstance(parsed, str | int | float | bool) else value
