"""`python -m simexchange --config FILE --state DIR [--follow]`."""

from __future__ import annotations

import argparse
import sys

from simexchange.config import FollowConfig, SimexchangeConfig
from simexchange.follow_client import FollowLink, followed_instruments
from simexchange.metrics_shell import ExchangeMetrics
from simexchange.rows_feed import FollowFeed
from simexchange.service import Exchange
from tradebot.core.errors import ConfigError
from tradebot.runtime.config import CommonConfig, Mode
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import ServiceShell, run_service


def venue_name(common: CommonConfig, section: SimexchangeConfig) -> str:
    """Return the venue to play; ConfigError when it is not clear."""
    if section.venue:
        if section.venue not in common.venues:
            raise ConfigError(f"simexchange.venue: {section.venue} is not under venues: add it there")
        return section.venue
    if len(common.venues) != 1:
        raise ConfigError("simexchange.venue: required, because venues does not name exactly one")
    return next(iter(common.venues))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="paper: match orders against marketdata's real feed")


async def serve(shell: ServiceShell[SimexchangeConfig]) -> None:
    """Run the exchange until told to stop."""
    common, section = shell.common, shell.section
    if common.mode in (Mode.TESTNET, Mode.REAL):
        raise ConfigError(f"mode: simexchange never runs in {common.mode}: start it in demo, paper or backtest")
    name = venue_name(common, section)
    venue = common.venues[name]
    for key in ("api_key_name", "api_secret_name"):
        if not getattr(venue, key):
            raise ConfigError(f"venues.{name}.{key}: required, simexchange knows its account by it")
    read_keys = {}
    if venue.read_key_name:
        read_key, read_secret = shell.secrets.get(venue.read_key_name), shell.secrets.get(venue.read_secret_name)
        read_keys[read_key.get_secret_value()] = read_secret.get_secret_value()
    stop_at_end = section.when_finished == "stop"
    follow = section.follow or (FollowConfig() if shell.args.follow else None)
    channel = open_channel(common, Role.MARKETDATA, shell.role) if follow else None
    followed = None
    if follow is not None and channel is not None:
        found = await followed_instruments(channel)
        followed = [follow.setup(one) for one in found if one.venue == name]
    exchange = Exchange(
        section,
        venue_name=name,
        api_key=shell.secrets.get(venue.api_key_name).get_secret_value(),
        api_secret=shell.secrets.get(venue.api_secret_name).get_secret_value(),
        account=venue.account,
        read_keys=read_keys,
        followed=followed,
        order_latency_ms=follow.order_latency_ms if follow is not None else 0.0,
        state=common.state_dir / "simexchange",
        clock=shell.clock,
        on_finished=(lambda: shell.request_stop("the recording has ended")) if stop_at_end else None,
        on_crash=shell.crash,
    )
    await exchange.start()
    shell.tasks.start("metrics", ExchangeMetrics(shell.metrics, exchange).run())
    if follow is not None and channel is not None and isinstance(feed := exchange.venue.feed, FollowFeed):
        link = FollowLink(channel, feed, shell.clock, follow.silence_s, exchange.run_market)
        shell.tasks.start("market data", redial("marketdata", link.session))
    shell.ready()
    await shell.wait_stop()
    await exchange.stop()


if __name__ == "__main__":
    sys.exit(run_service(Role.SIMEXCHANGE, SimexchangeConfig, serve, add_arguments=_add_arguments))
