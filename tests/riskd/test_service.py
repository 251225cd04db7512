"""riskd over gRPC: session, operators, watchers, stops, restart."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from riskd.limits import parse_limits
from riskd.records import MemorySink
from tests.riskd.kit import BTC, ROOT, START_NS, Desk
from tests.riskd.live_kit import Live, Session, running
from tests.support.builders import make_execution
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, LeasePing, SessionHello, SessionUp, Verdict
from tradebot.core.instruments import Instrument
from tradebot.core.orders import OrderEventKind
from tradebot.rpc.common.v1 import level_pb2
from tradebot.rpc.risk.v1 import kill_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.stop.v1 import stop_service_pb2 as stop_pb
from tradebot.rpc.stop.v1.stop_service_pb2_grpc import StopServiceStub
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.grpc_client import open_channel, open_sync_channel
from tradebot.runtime.identity import Role
from tradebot.runtime.journal_reader import read_journal

SYSTEM = level_pb2.Scope(kind=level_pb2.SCOPE_KIND_SYSTEM)
HALTED = level_pb2.TRADING_LEVEL_HALTED


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_NS)


def ready_up(desk: Desk, session_id: str = "s1", head: int = 0) -> SessionUp:
    """Return what execd says when all is well: hello, balances, a reconciled venue."""
    hello = SessionHello(session_id, "log1", head, "build", desk.instruments)
    return SessionUp(hello=hello, accounts=[desk.make_account()], venues=[desk.make_venue()])


async def connect(
    riskd: Live, *, usdt: str = "10000", instruments: tuple[Instrument, ...] = ()
) -> tuple[Desk, Session]:
    """Say what execd says when all is well, with these instruments besides Bitcoin and Ether."""
    desk, session = riskd.puppet(), riskd.session()
    desk.usdt, desk.instruments = usdt, (*desk.instruments, *instruments)
    down = await session.ask(ready_up(desk))
    assert down.welcome is not None
    desk.gate.bind_market(list(enumerate(desk.instruments)))
    desk.quote(BTC, "59999.99", "60000.01")
    desk.quote("binance:ETH-USDT", "2999.99", "3000.01")
    return desk, session


def one_ask(desk: Desk, ask_id: int, qty: str = "0.01") -> SessionUp:
    intent = desk.intent(qty=qty)
    return SessionUp(asks=[ApprovalAsk(ask_id, desk.now_ns, intent, desk.order(intent))])


async def raise_hold(riskd: Live, role: Role = Role.TRADER, **changes: Any) -> pb.RaiseHoldResponse:
    fields: dict[str, Any] = {"level": HALTED, "scope": SYSTEM, "operator": "ana", "command_id": "c1"} | changes
    answer: pb.RaiseHoldResponse = await riskd.stub(role).RaiseHold(pb.RaiseHoldRequest(**fields))
    return answer


async def test_a_session_answers_asks_pings_and_follows_the_order_log(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        allowed = await session.ask(one_ask(desk, 1))
        refused = await session.ask(one_ask(desk, 2, "50"))
        await session.say(SessionUp(order_events=[desk.make_event("c1", OrderEventKind.ASKED)]))
        lease = await session.ask(SessionUp(ping=LeasePing(1, desk.now_ns)))

        assert allowed.answers[0].approval is not None
        assert refused.answers[0].verdict is Verdict.BLOCK
        assert lease.lease is not None
        assert lease.order_log_applied == 1


async def test_an_ask_that_is_too_large_is_refused_and_the_session_goes_on(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        big = desk.intent(trace_id="x" * 70_000)
        refused = await session.ask(SessionUp(asks=[ApprovalAsk(1, desk.now_ns, big, desk.order(big))]))
        allowed = await session.ask(one_ask(desk, 2))

        assert (refused.answers[0].check_id, refused.answers[0].reason) == ("AUT-01", "MALFORMED_REQUEST")
        assert allowed.answers[0].approval is not None


async def test_a_second_session_replaces_the_first(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        _, first = await connect(riskd)
        desk, second = await connect(riskd)

        assert await first.end() is grpc.StatusCode.OK
        assert (await second.ask(one_ask(desk, 1))).answers[0].approval is not None
        assert riskd.live.session_up


async def test_the_end_of_the_session_raises_reduce_only_until_the_next(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        _, session = await connect(riskd)
        up = riskd.gate.state.holds.system_level().name
        session.close()
        while riskd.live.session_up:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        down = riskd.gate.state.holds.system_level().name
        await connect(riskd)

        assert (up, down) == ("RUNNING", "REDUCE_ONLY")
        assert riskd.gate.state.holds.system_level().name == "RUNNING"


async def test_a_gap_in_the_order_log_ends_the_session_with_a_reason(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        desk.sequence = 7
        await session.say(SessionUp(order_events=[desk.make_event("c1", OrderEventKind.ASKED)]))

        assert await session.end() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_hold_is_durable_when_its_raise_is_answered_and_there_after_a_kill(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with running(tmp_path, clock) as riskd:
        _, session = await connect(riskd)
        answer = await raise_hold(riskd, reason="drill")
        durable = riskd.journal.durable_seq == riskd.journal.appended_seq
        pushed = await session.hear()
        holds = riskd.gate.state.holds.listed()

        assert durable
        assert pushed.levels is not None
        assert pushed.levels.epoch == answer.epoch
    async with running(tmp_path, clock) as riskd:
        assert riskd.gate.state.holds.listed()[0] == holds[0]
        listed = await riskd.stub(Role.VIEWER).ListHolds(pb.ListHoldsRequest())
        assert listed.system_level == HALTED


async def test_holds_are_shown_once_a_crash_cannot_take_them_back(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, clock) as riskd:
        await connect(riskd)
        on_disk = asyncio.Event()
        monkeypatch.setattr(riskd.live, "settle", on_disk.wait)
        listing = asyncio.ensure_future(riskd.stub(Role.VIEWER).ListHolds(pb.ListHoldsRequest()))
        early, _ = await asyncio.wait({listing}, timeout=0.2)
        on_disk.set()

        assert not early
        assert (await listing).system_level
        monkeypatch.setattr(riskd.live, "settle", asyncio.Event().wait)
        monkeypatch.setattr("riskd.service.SHOWN_WAIT_S", 0.01)
        assert (await riskd.stub(Role.VIEWER).ListHolds(pb.ListHoldsRequest())).system_level  # the disk never answers


async def test_a_stop_of_a_venue_that_does_not_exist_is_refused_by_name(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        await connect(riskd)
        with pytest.raises(grpc.aio.AioRpcError, match="there is no venue 'binanec'; known: binance"):
            await raise_hold(
                riskd, scope=level_pb2.Scope(kind=level_pb2.SCOPE_KIND_VENUE, name="binanec"), command_id="c9"
            )


async def test_clear_and_resume_answer_with_what_remains(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        await connect(riskd)
        await raise_hold(riskd)
        killed = await raise_hold(riskd, level=level_pb2.TRADING_LEVEL_KILLED, command_id="c2")
        trader = riskd.stub(Role.TRADER)
        resumed = await trader.Resume(pb.ResumeRequest(reason="drill is over", operator="ana", command_id="c3"))
        refused = await trader.ClearHold(
            pb.ClearHoldRequest(hold_id=killed.hold.hold_id, reason="drill is over", operator="ana", command_id="c4")
        )

        assert [hold.level for hold in resumed.cleared] == [HALTED]
        assert [hold.hold_id for hold in resumed.remaining] == [killed.hold.hold_id]
        assert (refused.cleared, refused.reason) == (False, "SECOND_KEY_NEEDED")


async def test_who_asks_for_a_drill_learns_the_fee_that_its_orders_must_leave_room_for(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with running(tmp_path, clock) as riskd:
        await connect(riskd)
        request = kill_pb2.StartDrillRequest(operator="ana", command_id="c1", prepare=True)
        answer = await riskd.stub(Role.TRADER).StartDrill(request)

        assert (answer.reason, answer.taker_fee_fraction) == ("", "0.001")


async def test_input_that_says_nothing_is_an_error_that_names_the_field(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        trader = riskd.stub(Role.TRADER)
        for request in (
            pb.RaiseHoldRequest(scope=SYSTEM, operator="ana", command_id="c"),
            pb.RaiseHoldRequest(level=HALTED, operator="ana", command_id="c"),
            pb.RaiseHoldRequest(level=HALTED, scope=SYSTEM, command_id="c"),
            pb.RaiseHoldRequest(level=HALTED, scope=SYSTEM, operator="ana"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await trader.RaiseHold(request)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await trader.Resume(pb.ResumeRequest(reason="ok", operator="ana", command_id="c"))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_viewer_may_look_and_not_touch(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        await riskd.stub(Role.VIEWER).ListHolds(pb.ListHoldsRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raise_hold(riskd, Role.VIEWER)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_watchers_get_a_snapshot_then_changes_then_heartbeats(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        viewer = riskd.stub(Role.VIEWER)
        positions, pnl = viewer.WatchPositions(pb.WatchPositionsRequest()), viewer.WatchPnl(pb.WatchPnlRequest())
        events = viewer.WatchRiskEvents(pb.WatchRiskEventsRequest())
        first, first_pnl, first_event = await positions.read(), await pnl.read(), await events.read()
        await session.ask(one_ask(desk, 1))
        up = desk.make_event("c1", OrderEventKind.FILL_COMPLETE)
        desk.gate.bind_market(list(enumerate(desk.instruments)))
        await session.say(SessionUp(order_events=[filled(desk, up)]))
        changed, changed_pnl, approved = await positions.read(), await pnl.read(), await events.read()
        heartbeat = await positions.read()

        assert first.snapshot
        assert not first.positions
        assert (first_pnl.equity, first_pnl.currency) == ("10000", "USDT")
        assert list(first_event.levels.entries)
        assert [(p.instrument_id, p.qty, p.avg_price) for p in changed.positions] == [(BTC, "0.01", "60000")]
        assert changed.sequence == first.sequence + 1 == heartbeat.sequence
        assert changed_pnl.gross_exposure == "599.9999"
        assert approved.events[0].kind == pb.RISK_EVENT_KIND_APPROVED
        assert approved.events[0].decision.approved_qty == "0.01"
        assert [p.qty for p in heartbeat.positions] == ["0.01"]


def filled(desk: Desk, event: Any) -> Any:
    return replace(event, execution=make_execution(qty="0.01"))


async def test_a_refusal_and_a_hold_stream_with_their_reasons_and_can_be_resumed(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        stream = riskd.stub(Role.RECORDER).WatchRiskEvents(pb.WatchRiskEventsRequest(build_hash="build"))
        first = await stream.read()
        await session.ask(one_ask(desk, 1, "50"))
        await raise_hold(riskd, reason="drill")
        seen: list[pb.RiskEvent] = []
        while len(seen) < 3:
            seen += (await stream.read()).events
        again = riskd.stub(Role.RECORDER).WatchRiskEvents(
            pb.WatchRiskEventsRequest(
                incarnation=first.incarnation, resume_after_sequence=seen[0].sequence, build_hash="build"
            )
        )
        await again.read()
        resumed = await again.read()

        refusal = seen[0].decision
        assert (seen[0].kind, refusal.check_id) == (pb.RISK_EVENT_KIND_REFUSED, "SIZ-02")
        assert len(refusal.checks) == 91
        assert [e.kind for e in seen[1:]] == [pb.RISK_EVENT_KIND_HOLD_RAISED, pb.RISK_EVENT_KIND_COMMAND]
        assert [e.sequence for e in resumed.events] == [e.sequence for e in seen[1:]]


async def test_decisions_are_found_in_memory_and_in_the_journal(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        answer = (await session.ask(one_ask(desk, 1))).answers[0]
        viewer = riskd.stub(Role.VIEWER)
        request = pb.GetDecisionRequest(decision_id=answer.decision_id)
        in_memory = await viewer.GetDecision(request)
        riskd.gate.decider.decisions.clear()
        await riskd.live.settle()
        in_journal = await viewer.GetDecision(request)

        assert in_memory == in_journal
        assert in_memory.decision.intent_id == "i1"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await viewer.GetDecision(pb.GetDecisionRequest(decision_id="nope"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_audit_trail_is_newest_first_and_carries_the_hash_chain(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        await raise_hold(riskd, reason="drill")
        audit = await riskd.stub(Role.VIEWER).ListAudit(pb.ListAuditRequest(limit=2))

        assert [(r.command, r.operator, r.role) for r in audit.records] == [
            ("RAISE HALTED", "ana", "trader"),
            ("HOLD RAISED HALTED", "ana", ""),
        ]
        assert len({r.record_hash for r in audit.records}) == 2


async def test_limits_and_status_tell_what_is_in_force(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, clock) as riskd:
        viewer = riskd.stub(Role.VIEWER)
        limits = await viewer.GetLimits(pb.GetLimitsRequest())
        status = await viewer.WatchStatus(pb.WatchStatusRequest()).read()
        settings = {check.check_id: check for check in limits.checks}

        assert limits.profile == "demo"
        assert (settings["SIZ-02"].status, settings["SIZ-02"].limit) == (
            "enforced",
            "max_pct_of_equity 10, max_notional 2000",
        )
        assert settings["MKT-05"].reason.startswith("one price source only: the venue's own book")
        assert "execd has no session" in status.status.summary
        assert not status.session_up


def stop(riskd: Live, command_id: str = "stop-1") -> stop_pb.StopResponse:
    """Stop from a plain thread, as an operator's process would."""
    with open_sync_channel(riskd.common, "riskd.stop", Role.TRADER) as channel:
        request = stop_pb.StopRequest(
            command_id=command_id, level=stop_pb.STOP_LEVEL_HALT, operator="ana", reason="drill"
        )
        answer: stop_pb.StopResponse = StopServiceStub(channel).Stop(request, timeout=5)
        return answer


async def test_a_stop_is_acknowledged_while_the_loop_hangs_and_refuses_at_once(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)
        answers: list[tuple[stop_pb.StopResponse, float]] = []

        def timed() -> None:
            stop(riskd, "warm-up-of-the-channel")
            started = time.monotonic()
            answers.append((stop(riskd), time.monotonic() - started))

        thread = threading.Thread(target=timed)
        thread.start()
        thread.join(10)  # the loop hangs: it waits right here
        flagged = riskd.gate.stop_flag.level.name
        in_loop = riskd.gate.state.holds.find_latch("stop-1")
        await session.ask(SessionUp(ping=LeasePing(1, desk.now_ns)))
        (answer, took_s) = answers[0]

        assert (flagged, in_loop) == ("HALTED", None)
        assert answer.level == stop_pb.STOP_LEVEL_HALT
        assert answer.handled_us < 50_000
        assert took_s < 1
        assert riskd.gate.state.holds.find_latch("stop-1") is not None
        refused = await session.ask(one_ask(desk, 1))
        while not refused.answers:
            refused = await session.hear()
        assert refused.answers[0].reason == "TRADING_HALTED"


async def test_a_stop_is_idempotent_and_survives_a_restart_until_its_hold_is_cleared(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with running(tmp_path, clock) as riskd:
        for _ in range(2):
            await asyncio.to_thread(stop, riskd)
        await asyncio.sleep(0.05)
        assert len([h for h in riskd.gate.state.holds.holds.values() if h.latch_id]) == 1
    async with running(tmp_path, clock) as riskd:
        hold = riskd.gate.state.holds.find_latch("stop-1")
        assert hold is not None
        channel = open_channel(riskd.common, "riskd.stop", Role.VIEWER)
        ping = await StopServiceStub(channel).Ping(stop_pb.PingRequest())
        await channel.close()
        assert ping.level == stop_pb.STOP_LEVEL_HALT
        cleared = await riskd.stub(Role.TRADER).ClearHold(
            pb.ClearHoldRequest(hold_id=hold.hold_id, reason="drill is over", operator="ana", command_id="c")
        )
        assert cleared.cleared
        assert riskd.gate.stop_flag.level.name == "RUNNING"


async def test_a_timed_hold_is_extended_and_limits_are_changed_over_the_wire(
    tmp_path: Path, clock: ManualClock
) -> None:
    text = (ROOT / "config" / "limits" / "demo.yaml").read_text(encoding="utf-8")
    async with running(tmp_path, clock, parse_limits(text)) as riskd:
        hold = (await raise_hold(riskd, duration_s=60)).hold
        trader, risk = riskd.stub(Role.TRADER), riskd.stub(Role.RISK)
        extended = await trader.ExtendHold(
            pb.ExtendHoldRequest(hold_id=hold.hold_id, extra_s=60, operator="ana", command_id="x1")
        )
        unknown = await trader.ExtendHold(
            pb.ExtendHoldRequest(hold_id="H99", extra_s=60, operator="ana", command_id="x2")
        )
        tight = text.replace("max_notional: 2000}", "max_notional: 1000}")
        command: dict[str, Any] = {"limits_yaml": tight, "reason": "after the review", "operator": "ana"}
        shown = await trader.SetLimits(pb.SetLimitsRequest(**command, command_id="l1", dry_run=True))
        refused = await trader.SetLimits(pb.SetLimitsRequest(**command, command_id="l2"))
        done = await risk.SetLimits(pb.SetLimitsRequest(**command, command_id="l3"))
        limits = await trader.GetLimits(pb.GetLimitsRequest())
        with pytest.raises(grpc.aio.AioRpcError, match="LIMITS_INVALID"):
            await risk.SetLimits(pb.SetLimitsRequest(**(command | {"limits_yaml": "profile: x"}), command_id="l4"))

    assert extended.extended
    assert extended.hold.until_time_ns == hold.until_time_ns + 60 * 10**9
    assert (unknown.extended, unknown.reason) == (False, "UNKNOWN_HOLD")
    assert (shown.accepted, shown.reason, shown.detail) == (False, "DRY_RUN", "NOT_PERMITTED")
    assert [(c.path, c.ratio, c.direction) for c in shown.changes] == [
        ("checks/SIZ-02/max_notional", "0.500", pb.LIMIT_DIRECTION_TIGHTENS)
    ]
    assert (refused.accepted, refused.reason) == (False, "NOT_PERMITTED")
    assert done.accepted
    assert limits.hash == done.hash
    async with running(tmp_path, clock, parse_limits(text)) as riskd:
        assert riskd.gate.limits.hash == done.hash


async def test_a_kill_minus_nine_loses_nothing_that_was_answered(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path / "a", clock) as riskd:
        desk, session = await connect(riskd)
        await session.ask(one_ask(desk, 1))
        await raise_hold(riskd, reason="drill")
        digest = riskd.gate.state.digest()
        # What is on the disk now is all that a killed process leaves behind.
        copy = tmp_path / "b" / "journal" / "riskd"
        copy.mkdir(parents=True)
        for segment in (tmp_path / "a" / "journal" / "riskd").glob("*"):
            if segment.is_file():
                (copy / segment.name).write_bytes(segment.read_bytes())
    gate = Desk(limits=riskd.gate.limits, connect=False).new_gate(MemorySink())
    gate.restore((record.record_type, record.payload) for record in read_journal(copy))
    assert gate.state.digest() == digest


async def test_a_recorder_of_another_build_is_refused_by_name_until_one_of_ours_connects(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with running(tmp_path, clock) as riskd:
        desk, session = await connect(riskd)

        async def told_by(role: Role) -> ApprovalAnswer:
            await riskd.stub(role).WatchRiskEvents(pb.WatchRiskEventsRequest(build_hash="old")).read()
            return (await session.ask(one_ask(desk, desk.asks + 1))).answers[0]

        assert (await told_by(Role.VIEWER)).verdict is not Verdict.BLOCK  # what operators run says nothing
        answer = await told_by(Role.RECORDER)
        assert answer.verdict is Verdict.BLOCK
        assert answer.check_id == "AUT-05"
        assert "recorder runs old; riskd runs build" in answer.detail

        await riskd.stub(Role.RECORDER).WatchRiskEvents(pb.WatchRiskEventsRequest(build_hash="build")).read()

        assert (await session.ask(one_ask(desk, desk.asks + 1))).answers[0].verdict is not Verdict.BLOCK


async def test_a_daemon_raises_and_clears_its_own_hold_over_its_own_socket(tmp_path: Path, clock: ManualClock) -> None:
    venue = level_pb2.Scope(kind=level_pb2.SCOPE_KIND_VENUE, name="binance")
    async with running(tmp_path, clock) as riskd:
        await connect(riskd)
        paused = level_pb2.TRADING_LEVEL_PAUSED
        answer = await raise_hold(
            riskd, Role.MARKETDATA, level=paused, scope=venue, operator="somebody", command_id="m1"
        )
        assert (answer.hold.cause, answer.hold.raised_by) == ("MARKETDATA", "marketdata")
        for role, level, scope in (
            (Role.MARKETDATA, HALTED, venue), (Role.RECORDER, paused, SYSTEM), (Role.ENGINE, paused, venue),
        ):  # fmt: skip
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await raise_hold(riskd, role, level=level, scope=scope, command_id=f"{role}2")
            assert "NOT_PERMITTED" in (refused.value.details() or "")
        request = pb.ClearHoldRequest(hold_id=answer.hold.hold_id, reason="", operator="x", command_id="m2")
        assert not (await riskd.stub(Role.RECORDER).ClearHold(request)).cleared

        request.command_id = "m3"
        assert (await riskd.stub(Role.MARKETDATA).ClearHold(request)).cleared
