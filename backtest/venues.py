"""Which simulated venue a backtest trades at, and the dialect execd speaks to it.

Spot: the venue folder's own protocol, with or without its bytes. With a perpetual among the instruments everything is
said directly, because no folder has that protocol yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from backtest.config import BacktestConfig
from backtest.direct import DirectCodec, DirectVenue
from backtest.shortcut import ShortcutCodec
from backtest.venue import CREDENTIALS, BacktestVenue
from tradebot.core.errors import ConfigError
from tradebot.sim.rules import MarketRules
from tradebot.venues import load_venue_part
from tradebot.venues.api_orders import OrderCodec

RECV_WINDOW_MS: Final = 5_000


def open_venue(
    config: BacktestConfig, rules: Sequence[MarketRules], now_ns: int
) -> tuple[BacktestVenue | DirectVenue, OrderCodec]:
    """Return the venue and execd's codec.

    Raises:
        ConfigError: If the protocol's bytes are asked for and there are none.
    """
    if any(one.is_perpetual for one in rules):
        if config.venue_bytes:
            raise ConfigError("backtest.venue_bytes: no venue folder speaks of perpetuals yet; set it to false")
        venue = DirectVenue(config.venue, rules, config.balances, config.fees, config.fill_model)
        return venue, DirectCodec(config.venue, CREDENTIALS.api_key, RECV_WINDOW_MS)
    part = load_venue_part(config.venue, "execution", "EXECUTION")
    codec: OrderCodec = part.codec(CREDENTIALS, [one.instrument for one in rules], RECV_WINDOW_MS)
    if not config.venue_bytes:
        codec = ShortcutCodec(codec, CREDENTIALS.api_key, RECV_WINDOW_MS)
    spot = BacktestVenue(
        config.venue,
        rules,
        config.balances,
        config.fees,
        now_ns,
        in_bytes=config.venue_bytes,
        fill_model=config.fill_model,
    )
    return spot, codec
