"""`python -m simexchange --config FILE --state DIR [--replay FILE ...]`."""

from __future__ import annotations

import sys

from simexchange.config import SimexchangeConfig
from simexchange.service import Exchange
from tradebot.core.errors import ConfigError
from tradebot.runtime.config import CommonConfig, Mode
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
    stop_at_end = section.when_finished == "stop"
    exchange = Exchange(
        section,
        venue_name=name,
        api_key=shell.secrets.get(venue.api_key_name).get_secret_value(),
        api_secret=shell.secrets.get(venue.api_secret_name).get_secret_value(),
        account=venue.account,
        clock=shell.clock,
        on_finished=(lambda: shell.request_stop("the recording has ended")) if stop_at_end else None,
        on_crash=shell.crash,
    )
    await exchange.start()
    shell.ready()
    await shell.wait_stop()
    await exchange.stop()


if __name__ == "__main__":
    sys.exit(run_service(Role.SIMEXCHANGE, SimexchangeConfig, serve))
