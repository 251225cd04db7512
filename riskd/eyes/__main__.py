"""Runs the eyes: `python -m riskd.eyes --config FILE --state DIR`."""

from __future__ import annotations

import sys

from riskd.eyes.client import RiskLink
from riskd.eyes.config import EyesConfig
from riskd.eyes.metrics_shell import EyesMetrics
from riskd.eyes.service import EyesServicer
from riskd.eyes.shell import Eyes
from riskd.eyes.venue_shell import VenueEye
from tradebot.core.errors import ConfigError
from tradebot.runtime.config import Mode
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import ServiceShell, run_service
from tradebot.venues import load_venue_part
from tradebot.venues.api_orders import VenueCredentials


async def serve(shell: ServiceShell[EyesConfig]) -> None:
    """Build, run until told to stop, take down in order."""
    common, section = shell.common, shell.section
    venues: list[VenueEye] = []
    channel = open_channel(common, Role.RISKD, shell.role)
    try:
        for name, config in common.venues.items():
            if not config.read_key_name:
                continue
            credentials = VenueCredentials(
                shell.secrets.get(config.read_key_name).get_secret_value(),
                shell.secrets.get(config.read_secret_name).get_secret_value(),
            )
            venue = load_venue_part(name, "execution", "EXECUTION")
            tells_rights = common.mode is not Mode.TESTNET
            venues.append(VenueEye(venue, config, credentials, shell.clock, checks_rights=tells_rights))
        if not venues:
            raise ConfigError(f"{shell.config.path}: venues: no read_key_name: the eyes have nothing to look with")
        eyes = Eyes(venues, RiskLink(channel, section.report_timeout_ms / 1_000), shell.clock, section.interval_ms)
        servicer = EyesServicer(eyes, shell.clock, str(common.mode))
        server = RpcServer(shell.role, common, [servicer.binding()], on_crash=shell.crash)
        await server.start()
        shell.tasks.start("eyes", eyes.run())
        shell.tasks.start("metrics", EyesMetrics(shell.metrics, eyes, shell.clock).run())
        await server.set_serving(True)
        shell.ready()
        await shell.wait_stop()
        await server.stop()
    finally:
        for eye in venues:
            await eye.close()
        await channel.close()


if __name__ == "__main__":
    sys.exit(run_service(Role.EYES, EyesConfig, serve))
