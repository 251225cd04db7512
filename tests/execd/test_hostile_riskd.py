"""A risk daemon that lies, over the real session: it alters, replays, delays, drops and forges, and holds the right
key.

No order reaches the exchange but the ones whose approval is exactly what execd asked for, fresh, and used for the
first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc

from tests.execd.desk_kit import KEY, Approver
from tests.execd.live_kit import QUICK, LiveKit, live_kit
from tests.execd.test_gateway import ALTERATIONS
from tradebot.core.approvals import (
    Approval,
    ApprovalAnswer,
    ApprovalAsk,
    ApprovalTerms,
    LeaseAnswer,
    LevelTable,
    SessionDown,
    Verdict,
    Welcome,
)
from tradebot.core.intents import IntentStatus
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.risk.v1.risk_service_pb2_grpc import RiskServiceServicer, add_RiskServiceServicer_to_server
from tradebot.wire.approvals import sign_approval
from tradebot.wire.risk import down_to_wire, up_from_wire

Lie = Callable[[ApprovalAsk, ApprovalAnswer, "HostileRisk"], list[ApprovalAnswer]]


def honest(ask: ApprovalAsk, answer: ApprovalAnswer, risk: HostileRisk) -> list[ApprovalAnswer]:
    return [answer]


class HostileRisk(RiskServiceServicer):
    """Serves the session; `lie` turns the honest answer into what is sent."""

    def __init__(self) -> None:
        self.approver = Approver(grants=False)
        self.lie: Lie = honest
        self.delay_s = 0.0
        self.session_id = ""
        self.given: list[ApprovalAnswer] = []
        self.never_used: list[str] = []
        self.abandoned = 0

    async def Session(self, request_iterator: AsyncIterator[pb.SessionRequest], context: Any) -> AsyncIterator[Any]:
        async for message in request_iterator:
            up, malformed = up_from_wire(message)
            assert not malformed
            self.never_used += [unused.reason for unused in up.never_used]
            self.abandoned += len(up.abandons)
            down = SessionDown()
            if up.hello is not None:
                self.session_id = up.hello.session_id
                down.welcome, down.levels = Welcome(up.hello.order_log_head, 1, "demo"), LevelTable(1)
            if up.ping is not None:
                down.lease = LeaseAnswer(up.ping.sequence, 1_000, 1)
            for ask in up.asks:
                answer = self.approver.answer(ask, self.session_id, ask.sent_time_ns)
                self.given.append(answer)
                down.answers += self.lie(ask, answer, self)
            if up.asks and self.delay_s:
                await asyncio.sleep(self.delay_s)
            if not down.is_empty():
                yield down_to_wire(down)

    def altered(self, ask: ApprovalAsk, alter: Callable[[ApprovalTerms], ApprovalTerms]) -> list[ApprovalAnswer]:
        """Return a validly signed approval of something else."""
        terms = alter(self.approver.terms(ask, self.session_id))
        return [ApprovalAnswer(ask.ask_id, Verdict.ALLOW, "d", sign_approval(terms, "key-1", KEY))]


@asynccontextmanager
async def lying(tmp_path: Path) -> AsyncIterator[tuple[LiveKit, HostileRisk]]:
    """Start the liar, the exchange and execd."""
    risk: HostileRisk = cast(Any, HostileRisk)()  # the calls that execd does not make stay unimplemented
    server = grpc.aio.server()
    add_RiskServiceServicer_to_server(risk, server)
    address = f"unix:{tmp_path}/risk.sock"
    server.add_insecure_port(address)
    await server.start()
    settings = replace(QUICK, ask_deadline_ms=300)
    try:
        async with (
            grpc.aio.insecure_channel(address) as channel,
            live_kit(tmp_path / "journal", settings, channel) as kit,
        ):
            yield kit, risk
    finally:
        await server.stop(None)


async def refused(kit: LiveKit) -> str:
    """Submit an entry and return why it was refused."""
    intent_id = kit.submit(kit.market_intent(qty="0.01", stop_loss_fraction=None))
    await kit.until(lambda: intent_id in kit.answers, "answered")
    assert kit.answers[intent_id].status is IntentStatus.REFUSED
    return kit.answers[intent_id].reason


async def orders_at_venue(kit: LiveKit) -> int:
    """Return how many orders the exchange ever took."""
    return len({row.venue_order_id for row in (await kit.venue_snapshot()).orders})


async def test_no_altered_approval_of_any_field_reaches_the_exchange(tmp_path: Path) -> None:
    async with lying(tmp_path) as (kit, risk):
        for name, alter, reason in ALTERATIONS:
            risk.lie = lambda ask, answer, self, alter=alter: self.altered(ask, alter)  # type: ignore[misc]

            assert await refused(kit) == reason, name
        assert await orders_at_venue(kit) == 0


async def test_a_forged_or_torn_mac_reaches_nothing(tmp_path: Path) -> None:
    async with lying(tmp_path) as (kit, risk):

        def forged(ask: ApprovalAsk, answer: ApprovalAnswer, self: HostileRisk) -> list[ApprovalAnswer]:
            return [
                replace(answer, approval=sign_approval(self.approver.terms(ask, self.session_id), "key-1", b"?" * 32))
            ]

        def torn(ask: ApprovalAsk, answer: ApprovalAnswer, self: HostileRisk) -> list[ApprovalAnswer]:
            assert answer.approval is not None
            return [replace(answer, approval=Approval(answer.approval.terms + b"\x00", answer.approval.mac, "key-1"))]

        def bare(ask: ApprovalAsk, answer: ApprovalAnswer, self: HostileRisk) -> list[ApprovalAnswer]:
            return [replace(answer, approval=None)]

        reasons = []
        for risk.lie in (forged, torn, bare):
            reasons.append(await refused(kit))

        assert reasons == ["APPROVAL_BAD_SIGNATURE", "APPROVAL_BAD_SIGNATURE", "APPROVAL_MISSING"]
        assert await orders_at_venue(kit) == 0


async def test_a_replayed_approval_moves_nothing_twice(tmp_path: Path) -> None:
    async with lying(tmp_path) as (kit, risk):
        first = kit.submit(kit.market_intent(qty="0.01", stop_loss_fraction=None))
        await kit.until(lambda: first in kit.answers, "answered")
        used = risk.given[0]
        assert await orders_at_venue(kit) == 1

        def again(ask: ApprovalAsk, answer: ApprovalAnswer, self: HostileRisk) -> list[ApprovalAnswer]:
            return [used, used, replace(used, ask_id=ask.ask_id)]

        risk.lie = again

        assert await refused(kit) == "APPROVAL_CONTEXT_MISMATCH"
        assert await orders_at_venue(kit) == 1


async def test_a_late_answer_is_void_and_reported_as_never_used(tmp_path: Path) -> None:
    async with lying(tmp_path) as (kit, risk):
        risk.delay_s = 0.6

        assert await refused(kit) == "RISK_TIMEOUT"
        risk.delay_s = 0.0
        await kit.until(lambda: "ABANDONED" in risk.never_used, "reported")
        assert risk.abandoned == 1
        assert await orders_at_venue(kit) == 0


async def test_no_answer_at_all_is_a_refusal(tmp_path: Path) -> None:
    async with lying(tmp_path) as (kit, risk):
        risk.lie = lambda ask, answer, self: []

        assert await refused(kit) == "RISK_TIMEOUT"
        assert await orders_at_venue(kit) == 0


async def test_answers_to_asks_that_were_never_made_reach_nothing(tmp_path: Path) -> None:
    async with lying(tmp_path) as (kit, risk):

        def invented(ask: ApprovalAsk, answer: ApprovalAnswer, self: HostileRisk) -> list[ApprovalAnswer]:
            return [*(replace(answer, ask_id=ask.ask_id + n) for n in (1, 2, 1_000_000)), answer]

        risk.lie = invented
        first = kit.submit(kit.market_intent(qty="0.01", stop_loss_fraction=None))
        await kit.until(lambda: first in kit.answers, "answered")

        # Its own answer counts, the invented ones move nothing and free nothing.
        assert kit.answers[first].status is IntentStatus.ACCEPTED
        assert await orders_at_venue(kit) == 1
        assert not risk.never_used
