"""Runs execd: `python -m execd --config FILE --state DIR`."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator
from functools import partial

import structlog

from execd.approvals_shell import KeptApprovals
from execd.config import ExecdConfig
from execd.desk import Desk
from execd.id_key_shell import load_id_key
from execd.latch import LatchBoard
from execd.market_client import MarketClient
from execd.metrics_shell import ExecdMetrics
from execd.restore import Restorer
from execd.rights_shell import RightsReader, StatusReader, rights_at_start
from execd.risk_client import RiskClient
from execd.rules_shell import RulesReader
from execd.service import ExecutionServicer, execution_binding
from execd.shell import LiveDesk
from execd.stop_service import StopServicer, stop_binding
from execd.venue_session import VenueSession
from tradebot.core.approvals import StopLatch
from tradebot.core.errors import ConfigError, TransientError
from tradebot.core.instruments import Instrument, rules_hash
from tradebot.runtime.build import build_hash
from tradebot.runtime.config import Mode
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_reader import read_journal
from tradebot.runtime.keys import APPROVAL_KEY_FILE, load_keyring
from tradebot.runtime.service_main import ServiceShell, run_service
from tradebot.runtime.stop_service import StopServer
from tradebot.runtime.venue_reader import VenueReader
from tradebot.venues import load_venue_part
from tradebot.venues.api_orders import KeyRights, OrderCodec, OrderVenue, VenueCredentials

VENUE_RETRY_S = 1.0
SHUTDOWN_CANCELS_S = 0.5
"""Time for the cancels of entries to leave before the connections close."""

_log = structlog.get_logger(__name__)


def main() -> int:
    """Run until told to stop; returns the exit code."""
    return run_service(Role.EXECD, ExecdConfig, _serve)


async def _serve(shell: ServiceShell[ExecdConfig]) -> None:
    common, section = shell.common, shell.section
    if not common.venues:
        raise ConfigError(f"{shell.config.path}: venues: execd needs at least one venue")
    keyring = load_keyring(common.keys_dir / APPROVAL_KEY_FILE, common.mode)
    keys = {key.key_id: key.secret for key in keyring.keys}
    id_key = load_id_key(common.keys_dir)
    journal_dir = common.journal_dir(shell.role)
    journal = Journal.open(
        journal_dir,
        clock=shell.clock,
        segment_bytes=section.journal.segment_bytes,
        loop=asyncio.get_running_loop(),
        on_failure=shell.journal_failed,
    )
    rests: dict[str, VenueReader] = {}
    kept: KeptApprovals | None = None
    try:
        kept = KeptApprovals(journal, journal_dir)
        venues: dict[str, OrderVenue] = {}
        credentials: dict[str, VenueCredentials] = {}
        for name, config in common.venues.items():
            venues[name] = load_venue_part(name, "execution", "EXECUTION")
            credentials[name] = VenueCredentials(
                shell.secrets.get(config.api_key_name).get_secret_value(),
                shell.secrets.get(config.api_secret_name).get_secret_value(),
            )
            rests[name] = VenueReader(venues[name], config, credentials[name], shell.clock)
        await _trade(shell, journal, kept, venues, credentials, rests, keys, id_key)
    finally:
        for rest in rests.values():
            await rest.close()
        journal.close()
        if kept is not None:
            kept.close()


async def _trade(
    shell: ServiceShell[ExecdConfig],
    journal: Journal,
    kept: KeptApprovals,
    venues: dict[str, OrderVenue],
    credentials: dict[str, VenueCredentials],
    rests: dict[str, VenueReader],
    keys: dict[str, bytes],
    id_key: bytes,
) -> None:
    common, section = shell.common, shell.section
    instruments: dict[str, Instrument] = {}
    read_rules: dict[str, list[Instrument]] = {}
    rights: dict[str, KeyRights | None] = {}
    tells_rights = common.mode is not Mode.TESTNET
    codecs: dict[str, OrderCodec] = {}
    for name, venue in venues.items():
        listed = await _load_instruments(shell, rests[name])
        if listed is None:
            return
        instruments |= {instrument.instrument_id: instrument for instrument in listed}
        read_rules[name] = listed
        if tells_rights:
            rights[name] = await rights_at_start(name, rests[name])
        codecs[name] = venue.codec(credentials[name], listed, section.recv_window_ms)
    latches = LatchBoard()
    desk = Desk(section.desk_settings(common), instruments, codecs, keys, id_key, latches, build_hash())

    def journal_records() -> Iterator[tuple[int, bytes]]:
        for record in read_journal(common.journal_dir(shell.role)):
            yield record.record_type, record.payload

    restorer = Restorer(desk)
    for record_type, payload in journal_records():  # read anew: a day's records do not fit into memory
        restorer.apply(record_type, payload)
    restorer.finish()
    log_incarnation = restorer.log_incarnation or uuid.uuid4().hex
    live = LiveDesk(desk, journal, shell.clock, log_incarnation, kept)
    lost = restorer.lost_approvals(kept.last_life)
    desk.start(log_incarnation, restorer.starts + 1, journal.appended_seq + 1, shell.clock.now_ns(), lost)
    for name, listed in read_rules.items():
        desk.rules_read(name, rules_hash(listed), shell.clock.now_ns())
    for name, known in rights.items():
        desk.rights_read(name, known, shell.clock.now_ns())
    working = desk.state.orders.working_count
    _log.info(
        "restored",
        records=restorer.records,
        starts=restorer.starts,
        orders_working=working,
        lost_approvals=len(lost),
    )

    risk = RiskClient(live, open_channel(common, Role.RISKD, shell.role))
    market = MarketClient(live, open_channel(common, Role.MARKETDATA, shell.role))
    servicer = ExecutionServicer(live, risk, rests, str(common.mode), uuid.uuid4().hex, journal_records)
    server = RpcServer(
        shell.role,
        common,
        [execution_binding(servicer)],
        on_crash=shell.crash,
    )
    loop = asyncio.get_running_loop()

    def tell_loop(latch: StopLatch) -> None:
        loop.call_soon_threadsafe(live.latch, latch)

    stop_servicer = StopServicer(latches, shell.clock, tell_loop)
    stop_server = StopServer(shell.role, common, stop_binding(stop_servicer))
    stop_server.start()
    await server.start()
    live.start()
    for name, config in common.venues.items():
        session = _venue_session(live, name, config.trade_ws_url)
        live.attach(session, rests[name])
        shell.tasks.start(f"venue {name}", session.keep_connected(partial(live.quiet_s, name)))
    shell.tasks.start("metrics", ExecdMetrics(shell.metrics, live, journal).run())
    shell.tasks.start("trading rules", RulesReader(live, rests).run())
    if tells_rights:
        shell.tasks.start("key rights", RightsReader(live, rests).run())
        shell.tasks.start("venue status", StatusReader(live, rests).run())
    shell.tasks.start("risk session", redial("riskd", risk.session))
    shell.tasks.start("market data", redial("marketdata", market.session))
    await server.set_serving(True)
    shell.ready()
    await shell.wait_stop()
    servicer.stopping = True
    live.shut_down()
    await asyncio.sleep(SHUTDOWN_CANCELS_S)
    live.stop()
    await server.stop()
    stop_server.stop()


def _venue_session(live: LiveDesk, name: str, url: str) -> VenueSession:
    return VenueSession(
        name,
        url,
        lambda: live.venue_up(name),
        lambda data: live.venue_frame(name, data),
        lambda: live.venue_down(name),
    )


async def _load_instruments(shell: ServiceShell[ExecdConfig], rest: VenueReader) -> list[Instrument] | None:
    """Ask until the venue answers: without its trading rules nothing can be built. None: told to stop meanwhile."""
    stopped = asyncio.ensure_future(shell.wait_stop())
    try:
        while not stopped.done():
            try:
                return await rest.instruments()
            except TransientError as exc:
                _log.warning("venue_not_ready", error=str(exc))
            await asyncio.wait([stopped], timeout=VENUE_RETRY_S)
        return None
    finally:
        stopped.cancel()


if __name__ == "__main__":
    sys.exit(main())
