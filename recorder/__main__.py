"""Read the configuration, build the recorder, run it."""

from __future__ import annotations

import asyncio
import sys
from uuid import uuid4

from recorder.client import Links
from recorder.config import RecorderConfig
from recorder.service import RecorderServicer
from recorder.shell import Recorder
from recorder.sqlite_store import SqliteStore
from tradebot.runtime.build import build_hash
from tradebot.runtime.grpc_client import open_channel, redial
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import ServiceShell, run_service
from tradebot.runtime.state_dir import StateLock


async def serve(shell: ServiceShell[RecorderConfig]) -> None:
    """Run until asked to stop, then write what is left."""
    common, section = shell.common, shell.section
    path = (section.database or common.state_dir / "db" / "tradebot.sqlite").resolve()
    with StateLock.acquire(path.parent):
        recorder = Recorder(section, SqliteStore(path, section.synchronous), shell.clock, shell.metrics)
        channels = [open_channel(common, daemon, shell.role) for daemon in ("marketdata", "execd", "riskd")]
        links = Links(recorder, shell.clock, *channels, build=build_hash())
        servicer = RecorderServicer(recorder, path, common.mode, uuid4().hex, shell.clock)
        server = RpcServer(shell.role, common, [servicer.binding()], on_crash=shell.crash)
        await server.start()
        sessions = {
            "tape": links.tape,
            "books": links.books,
            "orders": links.orders,
            "risk events": links.risk_events,
            "positions": links.positions,
            "pnl": links.pnl,
        }
        if section.required:
            sessions["requirement"] = links.requirement
        followers = [shell.tasks.start(name, redial(name, session)) for name, session in sessions.items()]
        writer = shell.tasks.start("writer", recorder.run())
        await server.set_serving(True)
        shell.ready()
        await shell.wait_stop()
        for task in (*followers, writer):
            task.cancel()
        await asyncio.gather(*followers, writer, return_exceptions=True)
        await server.stop(0.2)
        await recorder.close()
        for channel in channels:
            await channel.close()


if __name__ == "__main__":
    sys.exit(run_service(Role.RECORDER, RecorderConfig, serve))
