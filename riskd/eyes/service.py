"""EyesService: how the eyes are. What they see goes to riskd and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from riskd.eyes.shell import Eyes
from tradebot._version import __version__
from tradebot.rpc.common.v1 import status_pb2
from tradebot.rpc.eyes.v1 import eyes_service_pb2 as pb
from tradebot.rpc.eyes.v1 import eyes_service_pb2_grpc as pb_grpc
from tradebot.runtime.clock import Clock
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.stream_hub import HEARTBEAT_S

SERVICE_NAME: Final = "tradebot.rpc.eyes.v1.EyesService"
NS_PER_MS: Final = 1_000_000


class EyesServicer(pb_grpc.EyesServiceServicer):
    """See the proto for the meaning of every field."""

    def __init__(self, eyes: Eyes, clock: Clock, mode: str) -> None:
        self._eyes = eyes
        self._clock = clock
        self._mode = mode

    def binding(self) -> ServiceBinding:
        """Return what a server needs to serve this."""
        return ServiceBinding(SERVICE_NAME, pb_grpc.add_EyesServiceServicer_to_server, self)

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        while True:
            yield pb.WatchStatusResponse(status=self._status())
            await asyncio.sleep(HEARTBEAT_S)

    def _status(self) -> status_pb2.DaemonStatus:
        eyes, now_ns = self._eyes, self._clock.now_ns()
        problems = [f"{eye.name}: {eye.error}" for eye in eyes.venues if eye.error]
        problems += [f"{eye.name}: not seen yet" for eye in eyes.venues if not eye.looks and not eye.error]
        if eyes.refused:
            problems.append(f"no report taken: {eyes.refused}")
        items = {
            "looks": str(sum(eye.looks for eye in eyes.venues)),
            "failed_looks": str(sum(eye.failures for eye in eyes.venues)),
            "look_ms": f"{max((eye.last_look_ms for eye in eyes.venues), default=0.0):.0f}",
            "reports": str(eyes.sequence),
            "accepted_reports": str(eyes.accepted),
        }
        return status_pb2.DaemonStatus(
            daemon="eyes",
            incarnation=str(eyes.epoch),
            version=__version__,
            mode=self._mode,
            state=status_pb2.DAEMON_STATE_DEGRADED if problems else status_pb2.DAEMON_STATE_OK,
            summary="; ".join(problems),
            started_time_ns=eyes.epoch,
            time_ns=now_ns,
            items=[status_pb2.StatusItem(name=name, value=value) for name, value in items.items()],
        )
