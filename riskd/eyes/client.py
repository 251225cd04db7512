"""Reports to riskd: one unary call per report, answered with what to read next."""

from __future__ import annotations

from typing import Any

import grpc

from tradebot.core.errors import DisconnectedError
from tradebot.core.looks import LookAnswer, LookReport
from tradebot.rpc.risk.v1.risk_service_pb2_grpc import RiskServiceStub
from tradebot.wire.looks import answer_from_wire, report_to_wire


class RiskLink:
    """The eyes' only way to tell anything."""

    def __init__(self, channel: Any, timeout_s: float) -> None:
        self._stub: Any = RiskServiceStub(channel)
        self._timeout_s = timeout_s

    async def submit(self, report: LookReport) -> LookAnswer:
        """Send one report.

        Raises:
            DisconnectedError: riskd does not answer, or refuses to.
        """
        try:
            return answer_from_wire(await self._stub.SubmitLook(report_to_wire(report), timeout=self._timeout_s))
        except grpc.aio.AioRpcError as exc:
            raise DisconnectedError(f"riskd: {exc.code().name}: {exc.details()}") from exc
