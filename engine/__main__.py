"""Runs the engine: `python -m engine --config FILE`, or `--drive` to be driven by a backtest."""

from __future__ import annotations

import argparse
import sys
import uuid
from contextlib import ExitStack

from engine.catalog import load_catalog
from engine.client import ExecutionLink, MarketLink
from engine.config import EngineConfig
from engine.metrics_shell import EngineMetrics
from engine.runner import EngineCore, EngineOptions
from engine.service import DriveServicer, EngineServicer, binding, settings_of
from engine.session import RecordingCore
from engine.session_shell import SUFFIX, SessionWriter
from engine.shell import LiveEngine
from engine.switch_shell import SwitchFile
from tradebot.runtime.build import build_hash
from tradebot.runtime.clock import NS_PER_MS
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import ServiceShell, run_service
from tradebot.runtime.state_dir import StateLock


def main() -> int:
    """Run until told to stop; returns the exit code."""
    return run_service(Role.ENGINE, EngineConfig, _serve, add_arguments=_add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drive", action="store_true", help="serve Engine.Drive for a backtest; no live feeds")


async def _serve(shell: ServiceShell[EngineConfig]) -> None:
    if shell.args.drive:
        await _serve_drive(shell)
    else:
        await _serve_live(shell)


async def _serve_live(shell: ServiceShell[EngineConfig]) -> None:
    section, common = shell.section, shell.common
    catalog = load_catalog(section.strategy_path)
    settings = settings_of(catalog, section.strategies)
    options = EngineOptions(bar_grace_ns=section.bar_grace_ms * NS_PER_MS)
    with StateLock.acquire(common.state_dir / "engine") as lock, ExitStack() as closing:
        core = EngineCore(settings, catalog, incarnation := uuid.uuid4().hex, options)
        if section.record:
            session = SessionWriter(lock.directory / f"{shell.clock.now_ns()}{SUFFIX}")
            closing.callback(session.close)
            core = RecordingCore(settings, catalog, incarnation, options, section.strategy_path, session)
        switches = SwitchFile(lock.directory)
        for strategy_id, entry in switches.entries.items():
            core.set_enabled(strategy_id, False, entry.changed_by)
        engine = LiveEngine(core, shell.clock)
        servicer = EngineServicer(engine, switches, shell.clock, common.mode)
        server = RpcServer(shell.role, common, [binding(servicer)], on_crash=shell.crash)
        await server.start()
        if core.runs:  # without strategies there is nothing to want and nothing to watch
            _start_links(shell, engine)
        shell.tasks.start("metrics", EngineMetrics(shell.metrics, engine).run())
        await server.set_serving(True)
        shell.ready()
        await shell.wait_stop()
        engine.stop()
        await server.stop()


def _start_links(shell: ServiceShell[EngineConfig], engine: LiveEngine) -> None:
    market_channel = open_channel(shell.common, Role.MARKETDATA, shell.role)
    market = MarketLink(engine, market_channel, lossless=shell.section.lossless)
    execution = ExecutionLink(engine, open_channel(shell.common, Role.EXECD, shell.role), build_hash())
    shell.tasks.start("market data", redial("marketdata", market.session))
    shell.tasks.start("execution", redial("execd", execution.session))


async def _serve_drive(shell: ServiceShell[EngineConfig]) -> None:
    section = shell.section
    catalog = load_catalog(section.strategy_path)
    options = EngineOptions(bar_grace_ns=section.bar_grace_ms * NS_PER_MS, isolate_faults=False)
    servicer = DriveServicer(catalog, settings_of(catalog, section.strategies), options)
    server = RpcServer(shell.role, shell.common, [binding(servicer)], on_crash=shell.crash)
    await server.start()
    await server.set_serving(True)
    shell.ready()
    await shell.wait_stop()
    await server.stop()


if __name__ == "__main__":
    sys.exit(main())
