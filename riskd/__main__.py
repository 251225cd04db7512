"""Runs riskd: `python -m riskd --config FILE --state DIR`."""

from __future__ import annotations

import asyncio
import secrets
import sys

import structlog

from riskd.boot_shell import read_boot_time
from riskd.checkpoint_shell import CheckpointSigner, as_record
from riskd.config import RiskdConfig
from riskd.gate import RiskGate, Signer
from riskd.journal_shell import JournalProbe, mark_failed, read_mark, remove_mark
from riskd.limits import load_limits
from riskd.market_client import MarketClient
from riskd.metrics_shell import GateMetrics
from riskd.self_test_shell import test_limits
from riskd.service import RiskServicer
from riskd.shell import LateSink, LiveGate
from riskd.snapshot_shell import Following, SnapshotTaker, open_store
from riskd.state import RiskState
from riskd.stop_flag import StopFlag
from riskd.stop_service import StopServicer
from tradebot.core.approvals import StopLatch
from tradebot.core.errors import TradebotError
from tradebot.runtime.build import build_hash
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_format import JournalRecord
from tradebot.runtime.journal_reader import JournalReader
from tradebot.runtime.keys import APPROVAL_KEY_FILE, load_keyring
from tradebot.runtime.service_main import ServiceShell, run_service
from tradebot.runtime.stop_service import StopServer

PREFIX_BYTES = 4

_log = structlog.get_logger(__name__)


async def serve(shell: ServiceShell[RiskdConfig]) -> None:
    """Build, run until told to stop, take down in order."""
    common, section, clock = shell.common, shell.section, shell.clock
    limits = load_limits(section.limits_path(shell.config.path, common.mode))
    key = load_keyring(common.keys_dir / APPROVAL_KEY_FILE, common.mode).current
    flag, sink = StopFlag(), LateSink()
    directory = common.journal_dir(shell.role)
    signer = CheckpointSigner(common, clock)
    snapshots = open_store(common, limits)

    def make_gate(state: RiskState | None) -> RiskGate:
        return RiskGate(
            limits,
            environment=common.mode,
            signer=Signer(key.key_id, key.secret),
            sink=sink,
            venues=common.venues,
            stop_flag=flag,
            build=build_hash(),
            state=state,
        )

    snapshot = snapshots.newest()
    gate = make_gate(snapshot.state if snapshot else None)
    following = Following(snapshot, gate.restore_one)

    def restore(record: JournalRecord) -> None:
        signer.restored(record)
        following.record(record)

    def journal_failed(error: TradebotError) -> None:
        mark_failed(common.state_dir, str(error))
        shell.journal_failed(error)

    journal = Journal.open(
        directory,
        clock=clock,
        segment_bytes=section.journal.segment_bytes,
        on_record=restore,
        loop=asyncio.get_running_loop(),
        on_failure=journal_failed,
    )
    try:
        if not following.confirmed:  # the journal is not the one that the snapshot was made of: it alone counts
            gate, snapshot = make_gate(None), None
            gate.restore((record.record_type, record.payload) for record in JournalReader(directory))
        elif snapshot is not None:
            _log.info("snapshot_used", seq=snapshot.seq, journal_seq=journal.durable_seq)
        sink.open(journal)
        prefix = secrets.token_hex(PREFIX_BYTES)
        gate.start(prefix, clock.now_ns(), read_boot_time())
        failed = read_mark(common.state_dir)
        if failed:
            gate.journal_failed_before(failed, clock.now_ns())
            journal.flush()
            remove_mark(common.state_dir)
        for problem in signer.finish_restore().problems:
            gate.journal_doubted(problem, clock.now_ns())
        live = LiveGate(gate, clock, journal, incarnation=prefix)
        loop = asyncio.get_running_loop()
        servicer = RiskServicer(live, directory)

        def tell_loop(latch: StopLatch, role: str) -> None:
            loop.call_soon_threadsafe(live.stopped, latch, role)

        stops = StopServicer(flag, journal, journal.flush, tell_loop, clock)
        server = RpcServer(shell.role, common, [servicer.binding()], on_crash=shell.crash)
        stop_server = StopServer(shell.role, common, stops.binding())
        await server.start()
        stop_server.start()
        market = MarketClient(live, open_channel(common, Role.MARKETDATA, shell.role))
        shell.tasks.start("clock", live.run_clock())
        shell.tasks.start("journal's disk", JournalProbe(live, journal, directory).run())
        shell.tasks.start("metrics", GateMetrics(shell.metrics, live).run())
        shell.tasks.start("market data", redial("marketdata", market.session))
        shell.tasks.start("limits self-test", test_limits(live))
        shell.tasks.start(
            "journal checkpoints", signer.run(journal, lambda signed: gate.journal_signed(as_record(signed)))
        )
        taker = SnapshotTaker(shell.args, snapshots, snapshot.seq if snapshot else 0)
        shell.tasks.start("snapshots", taker.run(journal))
        await server.set_serving(True)
        shell.ready()
        await shell.wait_stop()
        servicer.stopping = True
        live.close()
        await server.stop()
        stop_server.stop()
        journal.flush()
        signer.sign_last(journal)
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(run_service(Role.RISKD, RiskdConfig, serve))
