"""The stop path: own channels opened in advance, one command id to riskd and execd in parallel, retried until
acknowledged.

A dead daemon never delays the other one. What is sent twice has the same id and changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc

from console.model import STOP_DAEMONS, StopPing
from console.stop_keys import StopLevel
from console.store import Store
from tradebot.core.levels import TradingLevel
from tradebot.rpc.stop.v1 import stop_service_pb2 as stop_pb
from tradebot.rpc.stop.v1 import stop_service_pb2_grpc as stop_grpc
from tradebot.runtime.clock import Clock
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.identity import Role

STOP_DEADLINE_S: Final = 0.25
RETRY_EVERY_S: Final = 0.5
MAX_ATTEMPTS: Final = 7_200
"""An hour. A daemon that does not come back within it needs hands at its machine, as the alarm says."""
PING_EVERY_S: Final = 1.0
PING_DEADLINE_S: Final = 0.75
LATCHED: Final = {
    stop_pb.STOP_LEVEL_UNSPECIFIED: TradingLevel.RUNNING,
    stop_pb.STOP_LEVEL_HALT: TradingLevel.HALTED,
    stop_pb.STOP_LEVEL_KILL: TradingLevel.KILLED,
}
NOT_ALLOWED: Final = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
"""Answers that a retry does not change."""


class StopClient:
    """Two connections that do nothing but stop."""

    def __init__(self, common: CommonConfig, role: Role, operator: str, store: Store, clock: Clock) -> None:
        self._operator = operator
        self._store = store
        self._clock = clock
        self._channels = {name: open_channel(common, f"{name}.stop", role) for name in STOP_DAEMONS}
        self._stubs: dict[str, Any] = {
            name: stop_grpc.StopServiceStub(channel) for name, channel in self._channels.items()
        }
        self._under_way: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up retries and connections."""
        for task in self._under_way:
            task.cancel()
        for channel in self._channels.values():
            await channel.close()

    async def stop(self, command_id: str, level: StopLevel) -> None:
        """Send to all at once and return when all have acknowledged. A harder stop replaces the retries of a softer
        one.
        """
        self._store.stop_given(command_id, level, self._clock.now_ns())
        request = stop_pb.StopRequest(
            command_id=command_id, level=stop_pb.StopLevel.Value(f"STOP_LEVEL_{level.value}"), operator=self._operator
        )
        replaced, self._under_way = self._under_way, set()
        tasks = {asyncio.create_task(self._until_acked(name, request), name=f"stop {name}") for name in STOP_DAEMONS}
        self._under_way = tasks
        for task in replaced:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _until_acked(self, daemon: str, request: stop_pb.StopRequest) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(MAX_ATTEMPTS):
            asked = loop.time()
            answer, final = await self._ask(
                self._stubs[daemon].Stop(request, timeout=STOP_DEADLINE_S, metadata=self._metadata), began
            )
            self._store.stop_answered(request.command_id, daemon, answer, self._clock.now_ns())
            if final:
                return
            await asyncio.sleep(max(0.0, asked + RETRY_EVERY_S - loop.time()))

    async def keep_pinging(self) -> None:
        """Prove once a second that each path works, for ever. Also keeps the connections open."""
        async with asyncio.TaskGroup() as group:
            for name in STOP_DAEMONS:
                group.create_task(self._ping_for_ever(name), name=f"ping {name}")

    async def _ping_for_ever(self, daemon: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            call = self._stubs[daemon].Ping(stop_pb.PingRequest(), timeout=PING_DEADLINE_S, metadata=self._metadata)
            answer, _ = await self._ask(call, asked)
            self._store.ping(daemon, answer, self._clock.now_ns())
            await asyncio.sleep(max(0.05, asked + PING_EVERY_S - loop.time()))

    async def _ask(self, call: Any, began: float) -> tuple[StopPing, bool]:
        """Return the answer and whether asking again is pointless."""
        try:
            answer = await call
        except grpc.aio.AioRpcError as exc:
            return StopPing(False, error=exc.code().name), exc.code() in NOT_ALLOWED
        ms = (asyncio.get_running_loop().time() - began) * 1e3
        return StopPing(True, ms, LATCHED.get(answer.level, TradingLevel.KILLED)), True

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("tradebot-operator", self._operator),)
