"""The stop path works while the event loop hangs, and only for those who may stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from tests.runtime.echo_service import uds_config
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.rpc.stop.v1 import stop_service_pb2, stop_service_pb2_grpc
from tradebot.runtime.certs import make_ca_and_certs
from tradebot.runtime.config import CommonConfig, Mode, TransportConfig
from tradebot.runtime.grpc_client import open_sync_channel
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import Role, caller_role
from tradebot.runtime.stop_service import StopServer


class Latch(stop_service_pb2_grpc.StopServiceServicer):
    """Remembers who stopped us."""

    def __init__(self) -> None:
        self.stopped_by: list[Role] = []

    def Stop(
        self, request: stop_service_pb2.StopRequest, context: grpc.ServicerContext
    ) -> stop_service_pb2.StopResponse:
        if request.reason:
            raise InvariantError(request.reason)
        self.stopped_by.append(caller_role())
        return stop_service_pb2.StopResponse(daemon="execd", level=request.level, latch_id=request.command_id)

    def Ping(
        self, request: stop_service_pb2.PingRequest, context: grpc.ServicerContext
    ) -> stop_service_pb2.PingResponse:
        return stop_service_pb2.PingResponse(daemon="execd")


@contextmanager
def stoppable(common: CommonConfig, latch: Latch) -> Iterator[None]:
    binding = ServiceBinding(
        "tradebot.rpc.stop.v1.StopService", stop_service_pb2_grpc.add_StopServiceServicer_to_server, latch
    )
    server = StopServer(Role.EXECD, common, binding)
    server.start()
    try:
        yield
    finally:
        server.stop()


def stop(common: CommonConfig, role: Role, reason: str = "") -> stop_service_pb2.StopResponse | grpc.StatusCode:
    """Call Stop as `role`."""
    with open_sync_channel(common, "execd.stop", role) as channel:
        stub = stop_service_pb2_grpc.StopServiceStub(channel)
        request = stop_service_pb2.StopRequest(command_id="c1", level=stop_service_pb2.STOP_LEVEL_HALT, reason=reason)
        try:
            return stub.Stop(request, timeout=5)
        except grpc.RpcError as exc:
            status: grpc.StatusCode = exc.code()
            return status


@pytest.mark.parametrize("role", [Role.TRADER, Role.RISK])
def test_operators_with_hands_can_stop_and_are_known(short_tmp_path: Path, role: Role) -> None:
    common, latch = uds_config(short_tmp_path), Latch()
    with stoppable(common, latch):
        answer = stop(common, role)

    assert isinstance(answer, stop_service_pb2.StopResponse)
    assert answer.latch_id == "c1"
    assert latch.stopped_by == [role]


def test_a_viewer_cannot_stop_and_a_role_without_rights_has_no_socket(short_tmp_path: Path) -> None:
    common, latch = uds_config(short_tmp_path), Latch()
    with stoppable(common, latch):
        found = [stop(common, role) for role in (Role.VIEWER, Role.ENGINE)]

    assert found == [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE]
    assert latch.stopped_by == []


def test_an_error_in_the_handler_is_answered_as_such(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    with stoppable(common, Latch()):
        assert stop(common, Role.TRADER, "broken latch") is grpc.StatusCode.INTERNAL


async def test_stopping_works_while_the_event_loop_hangs(short_tmp_path: Path) -> None:
    common, latch = uds_config(short_tmp_path), Latch()
    with stoppable(common, latch):
        caller = threading.Thread(target=stop, args=(common, Role.TRADER))
        caller.start()
        deadline = time.monotonic() + 5
        while not latch.stopped_by and time.monotonic() < deadline:
            time.sleep(0.005)  # blocks this loop: nothing asynchronous can run
        caller.join()

    assert latch.stopped_by == [Role.TRADER]


def test_an_unknown_method_is_refused(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    with (
        stoppable(common, Latch()),
        open_sync_channel(common, "execd.stop", Role.TRADER) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        cast(Any, channel).unary_unary("/tradebot.rpc.stop.v1.StopService/Start", None, None)(b"", timeout=5)

    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_second_instance_cannot_take_the_stop_socket(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    with stoppable(common, Latch()), pytest.raises(ConfigError, match="is in use"), stoppable(common, Latch()):
        pass


def test_over_tcp_the_role_comes_from_the_certificate(tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path, (Role.EXECD, Role.TRADER, Role.VIEWER))
    port = free_port()
    transport = TransportConfig(kind="tcp", addresses={"execd.stop": f"127.0.0.1:{port}"}, tls_dir=tmp_path)
    common, latch = CommonConfig(mode=Mode.DEMO, transport=transport), Latch()
    with stoppable(common, latch):
        stop(common, Role.TRADER)
        refused = stop(common, Role.VIEWER)

    assert latch.stopped_by == [Role.TRADER]
    assert refused is grpc.StatusCode.PERMISSION_DENIED


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
