"""The StopService: own threads, own sockets. Sets the flag that the gate reads before each approval, writes its record,
and only then tells the loop, which may be busy or hang.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import grpc
import structlog

from riskd.records import JournalSink, RecordType, StopLatched, encode_record
from riskd.stop_flag import StopFlag
from tradebot.core.approvals import StopLatch
from tradebot.core.errors import TradebotError
from tradebot.core.levels import TradingLevel
from tradebot.rpc.stop.v1 import stop_service_pb2 as pb
from tradebot.rpc.stop.v1.stop_service_pb2_grpc import StopServiceServicer, add_StopServiceServicer_to_server
from tradebot.runtime.clock import Clock
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import caller_role

SERVICE_NAME: Final = "tradebot.rpc.stop.v1.StopService"
MAX_TEXT: Final = 256
MAX_COMMANDS: Final = 10_000
"""Command ids remembered, so that a repeated stop changes nothing."""
DURABLE_WITHIN_S: Final = 0.04
"""The answer does not wait longer for the disk: the flag holds meanwhile."""

LEVELS: Final = {pb.STOP_LEVEL_HALT: TradingLevel.HALTED, pb.STOP_LEVEL_KILL: TradingLevel.KILLED}
LEVELS_BACK: Final = {TradingLevel.HALTED: pb.STOP_LEVEL_HALT, TradingLevel.KILLED: pb.STOP_LEVEL_KILL}

_log = structlog.get_logger(__name__)


class StopServicer(StopServiceServicer):
    """Stop and Ping; plain functions in worker threads."""

    def __init__(
        self,
        flag: StopFlag,
        sink: JournalSink,
        flush: Callable[[float], None],
        tell_loop: Callable[[StopLatch, str], None],
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            flag: Read by the gate.
            sink: Journal; appending is thread-safe.
            flush: Waits until it is durable, at most so many seconds.
            tell_loop: Hands the stop over to the loop's thread.
            clock: Stamps the latch.
        """
        self._flag = flag
        self._sink = sink
        self._flush = flush
        self._tell_loop = tell_loop
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, None] = {}

    def binding(self) -> ServiceBinding:
        """Return what a server needs to serve this."""
        return ServiceBinding(SERVICE_NAME, add_StopServiceServicer_to_server, self)

    def Stop(  # noqa: N802
        self, request: pb.StopRequest, context: grpc.ServicerContext
    ) -> pb.StopResponse:
        started_ns = time.monotonic_ns()
        level = LEVELS.get(request.level)
        if level is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "level: STOP_LEVEL_HALT or STOP_LEVEL_KILL")
            raise AssertionError  # abort never returns
        if not 0 < len(request.command_id) <= MAX_TEXT:
            text = f"command_id: 1 to {MAX_TEXT} characters, chosen by the caller"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
            raise AssertionError
        latch = StopLatch(
            request.command_id, level, request.operator[:MAX_TEXT], request.reason[:MAX_TEXT], self._clock.now_ns()
        )
        if self._is_new(latch.latch_id):
            self._flag.latch(level, latch.latch_id)
            self._write(latch, caller_role())
        in_force, latch_id = self._flag.level, self._flag.latch_id
        return pb.StopResponse(
            daemon="riskd",
            level=LEVELS_BACK.get(in_force, request.level),
            latch_id=latch_id or latch.latch_id,
            handled_us=(time.monotonic_ns() - started_ns) // 1_000,
        )

    def Ping(  # noqa: N802
        self, request: pb.PingRequest, context: grpc.ServicerContext
    ) -> pb.PingResponse:
        return pb.PingResponse(daemon="riskd", level=LEVELS_BACK.get(self._flag.level, pb.STOP_LEVEL_UNSPECIFIED))

    def _is_new(self, command_id: str) -> bool:
        with self._lock:
            new = command_id not in self._seen
            self._seen[command_id] = None
            if len(self._seen) > MAX_COMMANDS:
                del self._seen[next(iter(self._seen))]
            return new

    def _write(self, latch: StopLatch, role: str) -> None:
        try:
            self._sink.append(RecordType.STOP_LATCHED, encode_record(StopLatched(latch, role)))
            self._flush(DURABLE_WITHIN_S)
        except TradebotError as exc:  # the flag holds, and a journal that fails stops the daemon anyway
            _log.error("stop_not_durable_yet", latch_id=latch.latch_id, error=str(exc))
        self._tell_loop(latch, role)
