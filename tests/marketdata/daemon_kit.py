"""A marketdata daemon inside the test process, served over its real Unix sockets."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from marketdata.config import MarketdataConfig
from marketdata.shell import App, SourceMaker
from tests.marketdata.market_kit import RowReader
from tradebot.core.market import BookState
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1.market_data_service_pb2_grpc import MarketDataServiceStub
from tradebot.runtime.config import CommonConfig, LoadedConfig, Mode, VenueConfig
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import ServiceShell
from tradebot.wire.market import rows_from_wire

WAIT_S = 10.0


@dataclass
class RunningDaemon:
    """The daemon and a way to call it."""

    app: App
    shell: ServiceShell[MarketdataConfig]
    stub: Any
    """Async stub of the role `trader`."""


@asynccontextmanager
async def running_daemon(
    folder: Path,
    venues: dict[str, VenueConfig] | None = None,
    section: MarketdataConfig | None = None,
    feed: SourceMaker | None = None,
) -> AsyncIterator[RunningDaemon]:
    """Start a daemon, stop it at the end, and fail when any of its tasks failed."""
    common = CommonConfig(mode=Mode.DEMO, state_dir=folder, venues=venues or {})
    shell = ServiceShell(
        Role.MARKETDATA, LoadedConfig(folder / "test.yaml", common, section or MarketdataConfig()), argparse.Namespace()
    )
    crashes: list[tuple[str, BaseException]] = []
    shell.crash = lambda where, error: crashes.append((where, error))  # type: ignore[method-assign]
    shell.tasks._on_failure = shell.crash
    app = App(shell, feed)
    channel: grpc.aio.Channel | None = None
    try:
        await asyncio.wait_for(app.start(), WAIT_S)
        channel = open_channel(common, "marketdata", Role.TRADER)
        yield RunningDaemon(app, shell, MarketDataServiceStub(channel))
    finally:
        if channel is not None:
            await channel.close()
        await app.stop()
        await shell.tasks.cancel_all()
    assert crashes == []


class Subscription:
    """One subscription whose rows are folded in the background."""

    def __init__(self, stub: Any, request: pb.SubscribeRequest | None = None) -> None:
        self.reader = RowReader()
        self.messages: list[pb.SubscribeResponse] = []
        self.last_sequence = 0
        self.incarnation = ""
        self.error: grpc.aio.AioRpcError | None = None
        self._changed = asyncio.Event()
        self._call = stub.Subscribe(request or pb.SubscribeRequest())
        self._task = asyncio.ensure_future(self._read())

    async def until(self, condition: Callable[[RowReader], bool], what: str) -> None:
        """Wait until the folded rows fulfil a condition."""
        async with asyncio.timeout(WAIT_S):
            while not condition(self.reader):
                if self._task.done():
                    raise AssertionError(f"stream ended before {what}: {self.error}")
                self._changed.clear()
                await self._changed.wait()

    async def until_state(self, state: BookState) -> None:
        """Wait for a state of the book."""
        await self.until(lambda reader: reader.state is state, state.name)

    async def close(self) -> None:
        """Leave."""
        self._call.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for message in self._call:
                self.messages.append(message)
                self.incarnation = message.incarnation or self.incarnation
                self.reader.fold(rows_from_wire(message.rows))
                if message.rows.kind and not message.snapshot:
                    self.last_sequence = message.rows.first_sequence + len(message.rows.kind) - 1
                self._changed.set()
        except grpc.aio.AioRpcError as exc:
            self.error = exc
        finally:
            self._changed.set()
