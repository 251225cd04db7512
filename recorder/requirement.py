"""What cannot be recorded is not traded, where the configuration says `required`: while the database cannot be written
the recorder keeps a hold at riskd, and nothing is added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

import grpc
import structlog

from recorder.shell import Recorder
from tradebot.rpc.common.v1 import level_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.rpc.risk.v1 import risk_service_pb2_grpc as risk_grpc

LOOK_S: Final = 1.0
"""Between two looks at the database; two that find it failing raise the hold."""
CALL_TIMEOUT_S: Final = 5.0
NAME: Final = "recorder"
CAUSE: Final = "RECORDER"

_log = structlog.get_logger(__name__)


class Requirement:
    """The recorder's own hold."""

    def __init__(self, recorder: Recorder, riskd: grpc.aio.Channel) -> None:
        self._recorder = recorder
        self._riskd = risk_grpc.RiskServiceStub(riskd)
        self._hold_id = ""
        """Empty: none stands."""

    def told(self, holds: Iterable[level_pb2.Hold]) -> None:
        """riskd listed the holds in force: one may be of an earlier life, or cleared by hand."""
        self._hold_id = next((hold.hold_id for hold in holds if (hold.cause, hold.raised_by) == (CAUSE, NAME)), "")

    async def session(self) -> None:
        """Raise and clear it, for ever."""
        failing = False
        while True:
            before, failing = failing, bool(self._recorder.failure)
            if failing and before and not self._hold_id:
                await self._raise(self._recorder.failure)
            elif not failing and self._hold_id:
                await self._clear()
            await asyncio.sleep(LOOK_S)

    async def _raise(self, why: str) -> None:
        request = risk_pb.RaiseHoldRequest(
            level=level_pb2.TRADING_LEVEL_REDUCE_ONLY,
            scope=level_pb2.Scope(kind=level_pb2.SCOPE_KIND_SYSTEM),
            reason=why,
            operator=NAME,
            command_id=uuid4().hex,
        )
        answer = await self._riskd.RaiseHold(request, wait_for_ready=True, timeout=CALL_TIMEOUT_S)
        self._hold_id = answer.hold.hold_id
        _log.error("hold_raised", hold_id=self._hold_id, reason=why)

    async def _clear(self) -> None:
        request = risk_pb.ClearHoldRequest(
            hold_id=self._hold_id, reason="the database is written again", operator=NAME, command_id=uuid4().hex
        )
        await self._riskd.ClearHold(request, wait_for_ready=True, timeout=CALL_TIMEOUT_S)
        _log.warning("hold_cleared", hold_id=self._hold_id)
        self._hold_id = ""
