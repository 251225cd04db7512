"""The eyes' loop: look at every venue, report, wait, for ever. Decides nothing but when to look again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from riskd.eyes.venue_shell import VenueEye
from tradebot.core.errors import DisconnectedError
from tradebot.core.looks import LookAnswer, LookReport
from tradebot.runtime.clock import Clock

ASK_AGAIN_S: Final = 0.5
"""Between two attempts to learn from riskd where to begin."""

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who hears the reports."""

    async def submit(self, report: LookReport) -> LookAnswer:
        """Take one report."""
        ...


class Eyes:
    """All venues together."""

    def __init__(self, venues: Sequence[VenueEye], riskd: Listener, clock: Clock, interval_ms: int) -> None:
        self.venues = venues
        self._riskd = riskd
        self._clock = clock
        self._interval_ms = interval_ms
        self.epoch = clock.now_ns()
        """When this run began; reports of an earlier one are void."""
        self.sequence = 0
        self.accepted = 0
        self.differs = False
        """riskd saw something that another look has to confirm: an order, a position or a balance."""
        self.refused = ""
        """Why riskd did not take the last report; empty when it did."""
        self._lost = 0
        """Reports in a row that riskd did not hear: after one the next look comes soon, a second one is told."""
        self._marks: dict[str, int] = {}

    async def run(self) -> None:
        """Look until the process ends; nothing is looked at before riskd has said from when on."""
        while True:
            looked = bool(self._marks)
            answer = await self._report(looking=looked)
            await asyncio.sleep(self._wait_s(answer) if looked else 0 if self._marks else ASK_AGAIN_S)

    def _wait_s(self, answer: LookAnswer | None) -> float:
        if answer is None and self._lost == 1:
            return ASK_AGAIN_S
        again_ms = 0 if answer is None else answer.look_again_ms
        return min(self._interval_ms, again_ms or self._interval_ms) / 1_000

    async def _report(self, *, looking: bool) -> LookAnswer | None:
        """Look and report; without looking it only asks where to begin. None when riskd did not hear it."""
        looks = await asyncio.gather(*(eye.look(self._marks.get(eye.name, 0)) for eye in self.venues if looking))
        self.sequence += 1
        try:
            answer = await self._riskd.submit(LookReport(self.epoch, self.sequence, tuple(looks)))
        except DisconnectedError as exc:
            self._lost += 1
            if self._lost == 1:
                _log.warning("report_failed", error=str(exc))
            if self._lost > 1 or not looking:
                self.refused = str(exc)
            return None
        self._lost = 0
        self._marks = dict(answer.marks)
        self.differs = answer.look_again_ms > 0
        self.refused = answer.reason
        if answer.accepted:
            self.accepted += 1
        else:
            _log.error("report_refused", reason=answer.reason)
        return answer
