"""Venue folders are found by name."""

from __future__ import annotations

import pytest

from tradebot.core.errors import ConfigError
from tradebot.venues import load_market_data, load_venue_part, venue_names


def test_every_venue_folder_fulfils_the_market_data_contract() -> None:
    for name in venue_names():
        venue = load_market_data(name)

        assert venue.spec.name == name
        assert venue.spec.stream_limits.ping_after_s < venue.spec.stream_limits.dead_after_s
        assert all(interval == 1000 or interval % 60_000 == 0 for interval in venue.spec.bar_intervals_ms)


def test_an_unknown_venue_is_a_config_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"venues\.acme: unknown venue; known are .*binance"):
        load_market_data("acme")


def test_a_missing_half_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="has no telepathy"):
        load_venue_part("binance", "telepathy", "X")
