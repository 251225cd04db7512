"""Venues, found by folder name. Nothing outside these folders names an exchange; configuration does.

`load_market_data("<name>")` imports `tradebot.venues.<name>.marketdata` and nothing else of the folder, so a daemon
loads only the half it needs. Other halves are found the same way with `load_venue_part`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from tradebot.core.errors import ConfigError
from tradebot.venues.api import MarketDataVenue


def venue_names() -> list[str]:
    """Return the names of all venue folders, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def load_venue_part(name: str, part: str, attribute: str) -> Any:
    """Return `attribute` of module `part` of a venue folder, e.g. ("acme", "execution", "EXECUTION").

    Raises:
        ConfigError: If there is no such folder, or it has no such part.
    """
    if name not in venue_names():
        raise ConfigError(f"venues.{name}: unknown venue; known are {', '.join(venue_names())}")
    module_name = f"{__name__}.{name}.{part}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name != module_name:
            raise
        raise ConfigError(f"venues.{name}: this venue has no {part}") from exc
    return getattr(module, attribute)


def load_market_data(name: str) -> MarketDataVenue:
    """Return the market data half of a venue.

    Raises:
        ConfigError: If there is no such venue.
    """
    venue: MarketDataVenue = load_venue_part(name, "marketdata", "MARKET_DATA")
    return venue
