"""Servers over Unix sockets: a socket per role, the table enforced, errors translated."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from tests.runtime.echo_service import (
    BIDI,
    DOWN,
    NAME,
    TABLE,
    UNARY,
    UP,
    EchoServicer,
    call,
    call_all_shapes,
    echo_binding,
    may_end_with,
    status_of_call,
    uds_config,
)
from tradebot.core.errors import (
    ConfigError,
    InvariantError,
    RateLimitedError,
    RejectedError,
    TransientError,
    UnknownOutcomeError,
)
from tradebot.runtime import grpc_client
from tradebot.runtime.config import CommonConfig, Mode
from tradebot.runtime.endpoints import MAX_SOCKET_PATH_BYTES, bind_unix, socket_path
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import MethodTable, Role
from tradebot.runtime.outbox import OutboxFullError
from tradebot.runtime.stream_hub import SlowReaderError

open_channel: Any = grpc_client.open_channel  # untyped here: the stubs cannot say "raw bytes"
Crashes = list[tuple[str, BaseException]]


@asynccontextmanager
async def serving(
    common: CommonConfig, servicer: EchoServicer, crashes: Crashes | None = None, **options: Any
) -> AsyncIterator[RpcServer]:
    """A riskd that serves the echo service."""
    seen = [] if crashes is None else crashes
    server = RpcServer(
        Role.RISKD,
        common,
        [echo_binding(servicer)],
        table=TABLE,
        on_crash=lambda method, error: seen.append((method, error)),
        **options,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


async def test_all_four_shapes_work_and_know_their_caller(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.TRADER) as channel:
        answers = await call_all_shapes(channel, b"hi")

    assert answers == [b"trader:hi", b"trader:hi0", b"trader:hi1", b"trader:hi2", b"trader:hi", b"trader:hi"]


async def test_every_role_may_call_exactly_what_the_table_says(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    denied: list[tuple[str, str]] = []
    async with serving(
        common, EchoServicer(), roles=frozenset(Role), on_denied=lambda role, method: denied.append((role, method))
    ):
        for role, method in itertools.product(Role, (UNARY, DOWN, UP, BIDI)):
            async with open_channel(common, "riskd", role) as channel:
                status = await status_of_call(channel, method)

            assert status in may_end_with(method, allowed=TABLE.allows(role, method)), (role, method)

    assert len(denied) == len(Role) * 4 - sum(TABLE.allows(r, m) for r in Role for m in (UNARY, DOWN, UP, BIDI))


async def test_a_refusal_names_role_and_method(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.VIEWER) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, UNARY)

    assert caught.value.details() == f"role viewer may not call {UNARY}"


async def test_a_refused_stream_that_sends_nothing_is_answered_at_once(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.VIEWER) as channel:
        silent = channel.stream_stream(BIDI, None, None)(timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent.read()

    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_unknown_method_is_refused_not_unimplemented(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.TRADER) as channel:
        status = await status_of_call(channel, f"/{NAME}/Nothing/Unary")

    assert status is grpc.StatusCode.PERMISSION_DENIED


async def test_metadata_cannot_change_the_role(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.ENGINE) as channel:
        answer = await channel.unary_unary(UNARY, None, None)(b"", metadata=(("role", "trader"),))

    assert answer == b"engine:"


async def test_only_roles_that_may_call_something_get_a_socket_and_it_has_mode_0660(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()):
        sockets = sorted(common.run_dir.iterdir())
        modes = {path.stat().st_mode & 0o777 for path in sockets}

    assert [path.name for path in sockets] == [f"riskd.{role}.sock" for role in ("engine", "execd", "trader", "viewer")]
    assert modes == {0o660}
    assert common.run_dir.stat().st_mode & 0o007 == 0


def test_a_method_without_a_rule_stops_the_start() -> None:
    table = MethodTable({UNARY: frozenset({Role.TRADER})})

    with pytest.raises(InvariantError, match=r"without a rule .*Bidi"):
        RpcServer(
            Role.RISKD,
            uds_config(Path("unused")),
            [echo_binding(EchoServicer.__new__(EchoServicer))],
            table=table,
            on_crash=lambda *_: None,
        )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RejectedError("PRC-01", "price outside collar"), grpc.StatusCode.FAILED_PRECONDITION),
        (SlowReaderError("slow reader"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (OutboxFullError("outbox full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (RateLimitedError("slow down"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (TransientError("not yet"), grpc.StatusCode.UNAVAILABLE),
        (UnknownOutcomeError("no idea"), grpc.StatusCode.UNKNOWN),
        (InvariantError("corrupt"), grpc.StatusCode.INTERNAL),
        (KeyError("bug in one handler"), grpc.StatusCode.INTERNAL),
    ],
)
@pytest.mark.parametrize("method", [UNARY, DOWN, UP, BIDI])
async def test_an_error_in_a_handler_becomes_its_status_and_only_corrupt_state_stops_the_daemon(
    short_tmp_path: Path, error: Exception, status: grpc.StatusCode, method: str
) -> None:
    common = uds_config(short_tmp_path)
    servicer, crashes = EchoServicer(), list[tuple[str, BaseException]]()
    servicer.errors[b"bad"] = error
    async with serving(common, servicer, crashes), open_channel(common, "riskd", Role.TRADER) as channel:
        found = await status_of_call(channel, method, b"bad")
        still_serves = await call(channel, UNARY, b"ok")

    assert found is status
    assert still_serves == b"trader:ok"
    assert crashes == ([(method, error)] if isinstance(error, InvariantError) else [])


async def test_the_text_of_an_unexpected_error_stays_in_our_log(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    servicer = EchoServicer()
    servicer.errors[b"bad"] = KeyError("canary")
    async with serving(common, servicer), open_channel(common, "riskd", Role.TRADER) as channel:
        with capture_logs() as lines, pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, UNARY, b"bad")

    assert caught.value.details() == f"internal error in {UNARY}: KeyError"
    assert [(line["event"], line["error"]) for line in lines] == [("handler_failed", "KeyError('canary')")]


async def test_a_stream_handler_is_closed_when_its_client_goes_away(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    servicer = EchoServicer()
    async with serving(common, servicer), open_channel(common, "riskd", Role.TRADER) as channel:
        stream = channel.unary_stream(DOWN, None, None)(b"endless")
        await stream.read()
        stream.cancel()
        await asyncio.wait_for(servicer.closed.wait(), 5)

    assert servicer.streams_closed == 1


async def test_health_says_not_serving_until_told(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()) as server, open_channel(common, "riskd", Role.VIEWER) as channel:
        stub = cast(Any, health_pb2_grpc).HealthStub(channel)
        statuses = []
        for serving_now in (None, True, False):
            if serving_now is not None:
                await server.set_serving(serving_now)
            statuses += [(await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in ("", NAME)]

    names = health_pb2.HealthCheckResponse
    assert statuses == [names.NOT_SERVING] * 2 + [names.SERVING] * 2 + [names.NOT_SERVING] * 2


async def reflected_services(common: CommonConfig, role: Role) -> list[str] | grpc.StatusCode:
    async def ask() -> AsyncIterator[Any]:
        yield cast(Any, reflection_pb2).ServerReflectionRequest(list_services="")

    async with open_channel(common, "riskd", role) as channel:
        stub = cast(Any, reflection_pb2_grpc).ServerReflectionStub(channel)
        try:
            async for answer in stub.ServerReflectionInfo(ask()):
                return sorted(service.name for service in answer.list_services_response.service)
        except grpc.aio.AioRpcError as exc:
            return exc.code()
    return []


@pytest.mark.parametrize(
    ("mode", "switch", "reflects"),
    [
        (Mode.DEMO, None, True),
        (Mode.TESTNET, None, True),
        (Mode.REAL, None, False),
        (Mode.REAL, True, True),
        (Mode.DEMO, False, False),
    ],
)
async def test_reflection_is_for_operators_and_off_in_real_unless_set(
    short_tmp_path: Path, mode: Mode, switch: bool | None, reflects: bool
) -> None:
    common = uds_config(short_tmp_path, mode, reflection=switch)
    async with serving(common, EchoServicer()):
        operator = await reflected_services(common, Role.VIEWER)
        daemon = await reflected_services(common, Role.ENGINE)

    assert daemon is grpc.StatusCode.PERMISSION_DENIED
    if reflects:
        assert operator == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            NAME,
        ]
    else:
        assert operator is grpc.StatusCode.UNIMPLEMENTED


async def test_a_second_instance_cannot_take_a_live_socket(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.TRADER) as channel:
        with pytest.raises(ConfigError, match=r"riskd\.engine\.sock is in use: another instance runs"):
            async with serving(common, EchoServicer()):
                pass

        assert await call(channel, UNARY) == b"trader:x"


async def test_a_socket_left_by_a_dead_process_is_replaced(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    common.run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(common.run_dir, "riskd", Role.TRADER)))
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.TRADER) as channel:
        assert await call(channel, UNARY) == b"trader:x"


def test_a_socket_path_beyond_the_systems_limit_is_one_clear_line() -> None:
    fits = Path("/" + "d" * (MAX_SOCKET_PATH_BYTES - len("/riskd.trader.sock") - 1))
    socket_path(fits, "riskd", Role.TRADER)

    with pytest.raises(ConfigError, match=r"has 108 bytes, the limit is 107: set a shorter transport\.run_dir"):
        socket_path(Path(f"{fits}d"), "riskd", Role.TRADER)


def test_an_unusable_run_folder_and_an_unknown_group_are_clear_lines(short_tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"check transport\.run_dir"):
        bind_unix(Path("/proc/tradebot/x.sock"), None, lambda _: 1)
    with pytest.raises(ConfigError, match="there is no Unix group 'no-such-group'"):
        bind_unix(short_tmp_path / "x.sock", "no-such-group", lambda _: 1)


async def test_a_client_connects_within_a_second_of_the_server_coming_back(short_tmp_path: Path) -> None:
    common = uds_config(short_tmp_path)
    async with open_channel(common, "riskd", Role.TRADER) as channel:
        early = asyncio.ensure_future(channel.unary_unary(UNARY, None, None)(b"x", timeout=10, wait_for_ready=True))
        await asyncio.sleep(0.3)
        async with serving(common, EchoServicer()):
            assert await asyncio.wait_for(early, 2) == b"trader:x"
        async with serving(common, EchoServicer()):
            again = channel.unary_unary(UNARY, None, None)(b"y", timeout=10, wait_for_ready=True)
            assert await asyncio.wait_for(again, 2) == b"trader:y"


async def test_messages_above_the_bound_are_refused(short_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = uds_config(short_tmp_path)
    async with serving(common, EchoServicer()), open_channel(common, "riskd", Role.TRADER) as channel:
        status = await status_of_call(channel, UNARY, bytes((16 << 20) + 1))

    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
