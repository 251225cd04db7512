"""The StopService: runs in its own threads and sockets; sets the latch first, tells the loop afterwards.

The gateway reads the latch before each send, so the stop works while the loop is busy with anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import grpc

from execd.latch import LatchBoard
from tradebot.core.approvals import StopLatch
from tradebot.core.levels import TradingLevel
from tradebot.rpc.stop.v1 import stop_service_pb2 as pb
from tradebot.rpc.stop.v1.stop_service_pb2_grpc import StopServiceServicer, add_StopServiceServicer_to_server
from tradebot.runtime.clock import Clock
from tradebot.runtime.grpc_server import ServiceBinding

SERVICE: Final = "tradebot.rpc.stop.v1.StopService"
MAX_TEXT: Final = 256
_LEVELS: Final = {pb.STOP_LEVEL_HALT: TradingLevel.HALTED, pb.STOP_LEVEL_KILL: TradingLevel.KILLED}
_LEVELS_BACK: Final = {TradingLevel.HALTED: pb.STOP_LEVEL_HALT, TradingLevel.KILLED: pb.STOP_LEVEL_KILL}


class StopServicer(StopServiceServicer):
    """Stop and Ping. Plain functions: they run in worker threads."""

    def __init__(self, latches: LatchBoard, clock: Clock, tell_loop: Callable[[StopLatch], None]) -> None:
        self._latches = latches
        self._clock = clock
        self._tell_loop = tell_loop

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopResponse:  # noqa: N802
        started_ns = time.monotonic_ns()
        level = _LEVELS.get(request.level)
        if level is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "level: STOP_LEVEL_HALT or STOP_LEVEL_KILL")
            raise AssertionError  # abort never returns
        if not 0 < len(request.command_id) <= MAX_TEXT:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"command_id: 1 to {MAX_TEXT} characters, chosen by the caller"
            )
        latch = StopLatch(
            request.command_id, level, request.operator[:MAX_TEXT], request.reason[:MAX_TEXT], self._clock.now_ns()
        )
        if self._latches.set(latch):
            self._tell_loop(latch)
        in_force = max(self._latches.latches, key=lambda held: held.level, default=latch)
        return pb.StopResponse(
            daemon="execd",
            level=_LEVELS_BACK.get(in_force.level, request.level),
            latch_id=in_force.latch_id,
            handled_us=(time.monotonic_ns() - started_ns) // 1_000,
        )

    def Ping(self, request: pb.PingRequest, context: grpc.ServicerContext) -> pb.PingResponse:  # noqa: N802
        return pb.PingResponse(daemon="execd", level=_LEVELS_BACK.get(self._latches.level, pb.STOP_LEVEL_UNSPECIFIED))


def stop_binding(servicer: StopServicer) -> ServiceBinding:
    """Return the service for the server."""
    return ServiceBinding(SERVICE, add_StopServiceServicer_to_server, servicer)
