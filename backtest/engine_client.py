"""The engine under test: its own process, started with --drive, spoken to over gRPC on a Unix socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import grpc
import yaml

from tradebot.core.errors import ConfigError, InvariantError, TransientError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import CancelWish, IntentAnswer, Wish
from tradebot.core.order_events import OrderEvent
from tradebot.core.row_block import RowBlock
from tradebot.rpc.engine.v1 import engine_service_pb2 as pb
from tradebot.rpc.engine.v1.engine_service_pb2_grpc import EngineServiceStub
from tradebot.runtime.config import CommonConfig, Mode, TransportConfig
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.identity import Role
from tradebot.wire.instruments import instrument_to_wire
from tradebot.wire.intents import answer_to_wire, intent_from_wire
from tradebot.wire.market import rows_to_wire
from tradebot.wire.orders import event_to_wire

START_TIMEOUT_S: Final = 30.0
STEP_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 5.0
MAX_ERROR_CHARS: Final = 2_000


class Step(Protocol):
    """What the engine did with a step."""

    @property
    def processed_to_ns(self) -> int: ...
    @property
    def consumed_rows(self) -> int: ...
    @property
    def intents(self) -> Sequence[tuple[int, Wish]]: ...
    @property
    def next_timer_ns(self) -> int:
        """0 = none."""
        ...

    @property
    def decides_at_ns(self) -> int:
        """Nothing before this time can make the engine want something; 0 = not known."""
        ...


class Engine(Protocol):
    """Anything that can be driven: the process below, or the pure driver in tests."""

    async def step(
        self,
        rows: Sequence[tuple[RowBlock, Sequence[int]]],
        events: Sequence[OrderEvent],
        answers: Sequence[IntentAnswer],
        horizon_ns: int,
        lookahead_ns: int,
    ) -> Step:
        """Give rows with their sequences, events and answers; let it run up to the horizon."""
        ...


class _Answer:
    """One DriveResponse in core types."""

    def __init__(self, message: pb.DriveResponse) -> None:
        self.processed_to_ns = message.processed_to_ns
        self.consumed_rows = message.consumed_rows
        self.intents = [(item.at_ns, _wish(item)) for item in message.intents]
        self.next_timer_ns = message.next_timer_ns
        self.decides_at_ns = message.decides_at_ns


def _wish(item: pb.TimedIntent) -> Wish:
    if item.HasField("cancel"):
        return CancelWish(item.cancel.strategy_id, item.cancel.intent_id, item.cancel.client_order_id)
    return intent_from_wire(item.intent)


class EngineLink:
    """An open drive."""

    def __init__(
        self, call: grpc.aio.StreamStreamCall[pb.DriveRequest, pb.DriveResponse], start: pb.DriveStart
    ) -> None:
        self._call = call
        self._start: pb.DriveStart | None = start

    async def step(
        self,
        rows: Sequence[tuple[RowBlock, Sequence[int]]],
        events: Sequence[OrderEvent],
        answers: Sequence[IntentAnswer],
        horizon_ns: int,
        lookahead_ns: int,
    ) -> Step:
        """See `Engine`. Batches but the last go ahead in requests of their own that move nothing."""
        request = pb.DriveRequest(
            start=self._start,
            order_events=[event_to_wire(event) for event in events],
            intent_answers=[answer_to_wire(answer) for answer in answers],
            horizon_ns=horizon_ns,
            lookahead_ns=lookahead_ns,
        )
        self._start = None
        if len(rows) > 1:
            raise InvariantError("one batch of rows per step")
        for block, sequences in rows:
            first = sequences[0]
            offsets = [sequence - first for sequence in sequences]
            request.rows.CopyFrom(rows_to_wire(block.columns(), first, 0, offsets))
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._call.write(request)
                message = await self._call.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise _drive_error(await self._call.code(), await self._call.details()) from None
        if not isinstance(message, pb.DriveResponse):
            raise _drive_error(await self._call.code(), await self._call.details())
        return _Answer(message)


def _drive_error(code: grpc.StatusCode, details: str | None) -> Exception:
    text = details or code.name
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return ConfigError(text)
    if code is grpc.StatusCode.UNAVAILABLE:
        return TransientError(f"the engine went away: {text}")
    return InvariantError(f"engine: {text}")


@asynccontextmanager
async def engine_process(
    strategies_yaml: str,
    strategy_path: Sequence[str],
    instruments: Sequence[Instrument],
    start_time_ns: int,
    bar_grace_ms: int = 250,
) -> AsyncIterator[EngineLink]:
    """Start an engine, open a drive, and stop both at the end.

    Args:
        strategies_yaml: The `strategies` list of the configuration.
        strategy_path: Where own strategies are.
        instruments: Markets of the recording; their place is their column index.
        start_time_ns: Virtual time at which the run begins.
        bar_grace_ms: See the engine's configuration.

    Raises:
        ConfigError: If the engine does not start or refuses the strategies; the text is its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="tb-"))
    try:
        config_path = folder / "engine.yaml"
        section = {"strategy_path": [str(path) for path in strategy_path], "bar_grace_ms": bar_grace_ms}
        config_path.write_text(yaml.safe_dump({"mode": "backtest", "engine": section}), encoding="utf-8")
        process = await _start(config_path, folder)
        try:
            common = CommonConfig(mode=Mode.BACKTEST, transport=TransportConfig(run_dir=folder / "run"))
            async with open_channel(common, Role.ENGINE, Role.BACKTEST) as channel:
                await _wait_ready(process, channel)
                call = EngineServiceStub(channel).Drive()
                start = pb.DriveStart(
                    instruments=[instrument_to_wire(one, index) for index, one in enumerate(instruments)],
                    strategies_yaml=strategies_yaml,
                    start_time_ns=start_time_ns,
                )
                try:
                    yield EngineLink(call, start)
                finally:
                    call.cancel()
        finally:
            await _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _start(config_path: Path, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine",
        "--drive",
        "--config",
        str(config_path),
        "--state",
        str(folder),
        "--set",
        "log.level=error",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


async def _wait_ready(process: asyncio.subprocess.Process, channel: grpc.aio.Channel) -> None:
    ready = asyncio.ensure_future(channel.channel_ready())
    ended = asyncio.ensure_future(process.wait())
    try:
        done, _ = await asyncio.wait({ready, ended}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if ended in done and process.stderr is not None:
            text = (await process.stderr.read()).decode(errors="replace").strip()[-MAX_ERROR_CHARS:]
            raise ConfigError(text.splitlines()[-1] if text else f"the engine ended with code {process.returncode}")
        if not done:
            raise TransientError(f"the engine did not start within {START_TIMEOUT_S:.0f} s")
    finally:
        ready.cancel()
        ended.cancel()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def strategies_text(strategies: Sequence[dict[str, object]]) -> str:
    """Return the YAML of a `strategies` list."""
    return str(yaml.safe_dump(list(strategies), sort_keys=True))
