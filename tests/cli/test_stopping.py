"""HALT and KILL fan-out: parallel, retried, bounded, truthful."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from cli.client import Daemons
from cli.command_ids import new_command_id, ulid
from cli.stopping import fan_out, headline, ping_all, readiness
from cli.views import StopAck, StopView
from tradebot.rpc.stop.v1 import stop_service_pb2 as pb
from tradebot.rpc.stop.v1 import stop_service_pb2_grpc as pb_grpc
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import Role
from tradebot.runtime.stop_service import StopServer


class Latch(pb_grpc.StopServiceServicer):
    """A StopService that remembers what it was told."""

    def __init__(self, daemon: str) -> None:
        self.daemon = daemon
        self.requests: list[pb.StopRequest] = []

    def Stop(self, request: pb.StopRequest, context: object) -> pb.StopResponse:
        self.requests.append(request)
        return pb.StopResponse(daemon=self.daemon, level=request.level, latch_id=request.command_id)

    def Ping(self, request: pb.PingRequest, context: object) -> pb.PingResponse:
        return pb.PingResponse(daemon=self.daemon)


def serve(common: CommonConfig, role: Role) -> tuple[Latch, StopServer]:
    latch = Latch(role)
    binding = ServiceBinding("tradebot.rpc.stop.v1.StopService", pb_grpc.add_StopServiceServicer_to_server, latch)
    server = StopServer(role, common, binding)
    server.start()
    return latch, server


@pytest.fixture
def common(short_tmp_path: Path) -> CommonConfig:
    return CommonConfig.model_validate({"mode": "demo", "state_dir": str(short_tmp_path)})


def halt(daemons: Daemons, max_attempts: int = 3) -> StopView:
    command_id = new_command_id()
    return fan_out(
        "HALT",
        command_id,
        lambda daemon, deadline_s: daemons.stop(daemon, "HALT", command_id, "test", deadline_s),
        lambda *_: None,
        max_attempts=max_attempts,
    )


def test_both_daemons_get_the_same_command_and_the_headline_counts_them(common: CommonConfig) -> None:
    (riskd, riskd_server), (execd, execd_server) = serve(common, Role.RISKD), serve(common, Role.EXECD)
    try:
        with Daemons(common, Role.TRADER, "ana") as daemons:
            view = halt(daemons)
            pings = ping_all(daemons.ping_stop)
    finally:
        riskd_server.stop()
        execd_server.stop()

    assert headline(view).startswith("HALTED 2/2 ")
    assert {request.command_id for request in (*riskd.requests, *execd.requests)} == {view.command_id}
    assert (execd.requests[0].operator, execd.requests[0].reason) == ("ana", "test")
    assert readiness(pings).startswith("STOP ok 2/2 ")


def test_a_dead_riskd_does_not_delay_execd_and_is_named(common: CommonConfig) -> None:
    execd, server = serve(common, Role.EXECD)
    try:
        with Daemons(common, Role.TRADER, "ana") as daemons:
            view = halt(daemons, max_attempts=2)
            pings = ping_all(daemons.ping_stop)
    finally:
        server.stop()

    assert len(execd.requests) == 1
    assert view.acks[1].ms < 1_000
    assert headline(view) == "HALTING 1/2 (riskd: UNAVAILABLE)"
    assert readiness(pings) == "STOP 1/2 (riskd does not answer)"


def test_a_daemon_that_comes_back_gets_the_retried_command(common: CommonConfig) -> None:
    _, riskd_server = serve(common, Role.RISKD)
    late: list[tuple[Latch, StopServer]] = []
    timer = threading.Timer(0.7, lambda: late.append(serve(common, Role.EXECD)))
    timer.start()
    try:
        with Daemons(common, Role.TRADER, "ana") as daemons:
            view = halt(daemons, max_attempts=10)
    finally:
        timer.join()
        riskd_server.stop()
        late[0][1].stop()

    assert view.acked == 2
    assert view.ms >= 700


def test_a_viewer_may_ping_and_not_stop(common: CommonConfig) -> None:
    execd, server = serve(common, Role.EXECD)
    try:
        with Daemons(common, Role.VIEWER, "guest") as daemons:
            ack = daemons.stop("execd", "HALT", "c1", "", 1.0)
            ping = daemons.ping_stop("execd", 1.0)
    finally:
        server.stop()

    assert (ack.acked, ping.acked) == (False, True)
    assert execd.requests == []


@pytest.mark.parametrize(("slow_s", "announced"), [(0.05, []), (0.6, [(1, 2)])])
def test_a_stop_that_is_not_complete_at_once_says_how_far_it_is(
    slow_s: float, announced: list[tuple[int, int]]
) -> None:
    seen: list[tuple[int, int]] = []

    def ask(daemon: str, deadline_s: float) -> StopAck:
        time.sleep(slow_s if daemon == "riskd" else 0)
        return StopAck(daemon, True, 1.0)

    view = fan_out("KILL", "c", ask, lambda acked, asked: seen.append((acked, asked)))

    assert seen == announced
    assert view.acked == 2


def test_ulids_sort_by_time_and_have_26_characters() -> None:
    first, second = ulid(1_700_000_000_000, 5), ulid(1_700_000_000_001, 0)

    assert len(first) == 26
    assert first < second
    assert new_command_id() != new_command_id()
