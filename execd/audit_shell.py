"""Runs audits: reads the venue, riskd's positions and the journal, and has them compared. Decides nothing.

One at a time, and each waits until the last one's cost is paid back: whoever polls gets fewer answers, the venue is
not asked more often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from execd.audit import AuditReport, JournalFacts, audit_span, compare, differs_from_riskd, read_facts
from execd.audit_pace import SHARE, AuditPace
from execd.risk_client import RiskClient
from execd.shell import LiveDesk
from tradebot.core.errors import RejectedError, TransientError
from tradebot.runtime.clock import NS_PER_MS
from tradebot.runtime.venue_reader import VenueReader

MAX_WAIT_S: Final = 30.0
"""Who would have to wait longer is sent away."""
MAX_WAITING: Final = 8
RISKD_ATTEMPTS: Final = 5
RISKD_AGAIN_S: Final = 0.05
"""A fill is told to riskd some milliseconds after it was booked here."""


class Auditor:
    """See the module."""

    def __init__(
        self,
        live: LiveDesk,
        risk: RiskClient,
        rests: Mapping[str, VenueReader],
        read_records: Callable[[], Iterator[tuple[int, bytes]]],
        share: float = SHARE,
    ) -> None:
        self._live = live
        self._risk = risk
        self._rests = rests
        self._paces = {name: AuditPace(rest.weight_per_s * share) for name, rest in rests.items()}
        self._read_records = read_records
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def audit(self, venue: str) -> AuditReport:
        """Compare one venue with journal and riskd.

        Raises:
            RejectedError: Too many audits are asked for.
            TransientError: The venue cannot be read.
            VenueProtocolError: It answered something undocumented.
        """
        loop, pace = asyncio.get_running_loop(), self._paces[venue]
        wait_s = pace.wait_s(loop.time())
        if wait_s > MAX_WAIT_S or self._waiting >= MAX_WAITING:
            again_s = max(1.0, wait_s)
            text = f"{venue} is audited as often as its request budget allows: again in {again_s:.0f} s"
            raise RejectedError("AUDITED_TOO_OFTEN", text)
        self._waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(pace.wait_s(loop.time()))
                return await self._audit(venue, pace)
        finally:
            self._waiting -= 1

    async def _audit(self, venue: str, pace: AuditPace) -> AuditReport:
        desk, rest = self._live.desk, self._rests[venue]
        span = audit_span(desk, venue)
        traded = [i.instrument_id for i in desk.state.instruments.values() if i.venue == venue]
        began_s, weight = asyncio.get_running_loop().time(), rest.weight_used
        try:
            snapshot = await rest.snapshot(desk.state.codecs[venue], traded, span.since_ns // NS_PER_MS)
        finally:
            pace.spent(rest.weight_used - weight, began_s)
        facts = await asyncio.to_thread(self._journal_facts)
        held = await self._riskd_positions(venue)
        return compare(desk, venue, snapshot, facts, span, held)

    def _journal_facts(self) -> JournalFacts:
        return read_facts(self._read_records(), self._live.desk.state.gateway.keys)

    async def _riskd_positions(self, venue: str) -> Mapping[str, Decimal] | None:
        """Return riskd's positions by instrument; asked again while they differ from ours. None: it does not answer."""
        held: Mapping[str, Decimal] | None = None
        for _ in range(RISKD_ATTEMPTS):
            try:
                held = await self._risk.positions()
            except TransientError:
                return None
            if not differs_from_riskd(self._live.desk, venue, held):
                break
            await asyncio.sleep(RISKD_AGAIN_S)
        return held
