"""RecorderService: how many rows, and the heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from recorder.shell import Recorder, TableFigures
from tradebot._version import __version__
from tradebot.rpc.common.v1 import status_pb2
from tradebot.rpc.recorder.v1 import recorder_service_pb2 as pb
from tradebot.rpc.recorder.v1 import recorder_service_pb2_grpc as pb_grpc
from tradebot.runtime.clock import Clock
from tradebot.runtime.grpc_server import ServiceBinding

HEARTBEAT_S: Final = 1.0
MAX_QUEUED_OK: Final = 20_000
"""More rows waiting than this is worth a look."""


class RecorderServicer(pb_grpc.RecorderServiceServicer):
    """Statistics of one recorder."""

    def __init__(self, recorder: Recorder, database: Path, mode: str, incarnation: str, clock: Clock) -> None:
        self._recorder = recorder
        self._database = database
        self._mode = mode
        self._incarnation = incarnation
        self._clock = clock
        self._started_ns = clock.now_ns()

    def binding(self) -> ServiceBinding:
        """Return what the server registers."""
        return ServiceBinding(
            "tradebot.rpc.recorder.v1.RecorderService", pb_grpc.add_RecorderServiceServicer_to_server, self
        )

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Any) -> pb.GetStatisticsResponse:
        if request.flush:
            await self._recorder.flush()
        return pb.GetStatisticsResponse(
            tables=[_table(item) for item in self._recorder.figures()], database=f"sqlite:{self._database}"
        )

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        while True:
            yield self._status()
            await asyncio.sleep(HEARTBEAT_S)

    def _status(self) -> pb.WatchStatusResponse:
        recorder = self._recorder
        figures = recorder.figures()
        dropped = sum(item.dropped for item in figures)
        state, summary = status_pb2.DAEMON_STATE_OK, ""
        if recorder.failure:
            state, summary = status_pb2.DAEMON_STATE_DEGRADED, recorder.failure
        elif recorder.waiting > MAX_QUEUED_OK:
            state, summary = status_pb2.DAEMON_STATE_DEGRADED, f"{recorder.waiting} rows wait for the database"
        items = {
            "queue_rows": str(recorder.waiting),
            "rows_written": str(sum(item.rows for item in figures)),
            "dropped_rows": str(dropped),
            "batches": str(recorder.batches),
            "last_batch_ms": f"{recorder.last_batch_ms:.1f}",
        }
        status = status_pb2.DaemonStatus(
            daemon="recorder",
            incarnation=self._incarnation,
            version=__version__,
            mode=self._mode,
            state=state,
            summary=summary,
            started_time_ns=self._started_ns,
            time_ns=self._clock.now_ns(),
            items=[status_pb2.StatusItem(name=name, value=value) for name, value in items.items()],
        )
        return pb.WatchStatusResponse(status=status, tables=[_table(item) for item in figures])


def _table(item: TableFigures) -> pb.TableStatistics:
    return pb.TableStatistics(table=item.table, rows=item.rows, queued=item.queued, dropped=item.dropped)
