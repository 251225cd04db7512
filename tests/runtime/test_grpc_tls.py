"""Links between hosts: mutual TLS, the role from the certificate, and nobody can pose as a daemon."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tests.runtime.echo_service import (
    BIDI,
    DOWN,
    TABLE,
    UNARY,
    UP,
    EchoServicer,
    call_all_shapes,
    echo_binding,
    may_end_with,
    status_of_call,
)
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.runtime.certs import make_ca_and_certs
from tradebot.runtime.config import CommonConfig, Mode, TransportConfig
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.grpc_server import COMMON_SERVER_OPTIONS, MIN_PING_INTERVAL_MS, RpcServer
from tradebot.runtime.identity import Role


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA and a certificate per role."""
    directory = tmp_path_factory.mktemp("certs")
    make_ca_and_certs(directory)
    return directory


def tcp_config(certs: Path, address: str = "127.0.0.1:0") -> CommonConfig:
    transport = TransportConfig(kind="tcp", addresses={"riskd": address}, tls_dir=certs)
    return CommonConfig(mode=Mode.DEMO, transport=transport)


@asynccontextmanager
async def serving(
    certs: Path, servicer: EchoServicer | None = None, on_crash: Callable[[str, BaseException], None] = lambda *_: None
) -> AsyncIterator[CommonConfig]:
    """A riskd over TCP; yields the configuration that dials it."""
    server = RpcServer(
        Role.RISKD, tcp_config(certs), [echo_binding(servicer or EchoServicer())], table=TABLE, on_crash=on_crash
    )
    await server.start()
    try:
        yield tcp_config(certs, f"127.0.0.1:{server.port}")
    finally:
        await server.stop(0)


async def test_all_four_shapes_work_and_the_role_comes_from_the_certificate(certs: Path) -> None:
    async with serving(certs) as common, open_channel(common, "riskd", Role.TRADER) as channel:
        answers = await call_all_shapes(channel, b"hi")

    assert answers == [b"trader:hi", b"trader:hi0", b"trader:hi1", b"trader:hi2", b"trader:hi", b"trader:hi"]


async def test_every_role_may_call_exactly_what_the_table_says(certs: Path) -> None:
    async with serving(certs) as common:
        for role in Role:
            async with open_channel(common, "riskd", role) as channel:
                for method in (UNARY, DOWN, UP, BIDI):
                    status = await status_of_call(channel, method)

                    assert status in may_end_with(method, allowed=TABLE.allows(role, method)), (role, method)


@pytest.mark.slow
async def test_a_stream_that_is_quiet_for_long_is_kept_open_by_pings(
    certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not know how often its clients ping cuts the link after the third ping."""
    monkeypatch.setattr("tradebot.runtime.grpc_client.KEEPALIVE_TIME_MS", 1_000)  # gRPC pings no oftener
    eager = [(name, 50 if at == MIN_PING_INTERVAL_MS else at) for name, at in COMMON_SERVER_OPTIONS]
    monkeypatch.setattr("tradebot.runtime.grpc_server.COMMON_SERVER_OPTIONS", tuple(eager))
    quiet = asyncio.Event()

    async def seldom() -> AsyncIterator[bytes]:
        yield b"first"
        await quiet.wait()
        yield b"last"

    async with serving(certs) as common, open_channel(common, "riskd", Role.TRADER) as channel:
        stream = channel.stream_stream(BIDI, None, None)(seldom())
        heard = [await stream.read()]
        await asyncio.sleep(6)  # pings
        quiet.set()
        heard.append(await stream.read())

    assert heard == [b"trader:first", b"trader:last"]


async def test_corrupt_state_found_by_a_handler_stops_the_daemon_here_too(certs: Path) -> None:
    servicer, crashes = EchoServicer(), list[str]()
    servicer.errors[b"bad"] = InvariantError("corrupt")
    async with (
        serving(certs, servicer, lambda method, _: crashes.append(method)) as common,
        open_channel(common, "riskd", Role.TRADER) as channel,
    ):
        found = [await status_of_call(channel, method, b"bad") for method in (UNARY, DOWN)]

    assert found == [grpc.StatusCode.INTERNAL] * 2
    assert crashes == [UNARY, DOWN]


async def test_a_client_without_certificate_does_not_get_past_the_handshake(certs: Path) -> None:
    async with serving(certs) as common:
        target = common.transport.addresses["riskd"]
        credentials = grpc.ssl_channel_credentials((certs / "ca.pem").read_bytes())
        options = [("grpc.ssl_target_name_override", "riskd.tradebot")]
        async with (
            grpc.aio.secure_channel(target, credentials, options=options) as bare,
            grpc.aio.insecure_channel(target) as plain,
        ):
            found = [await status_of_call(channel, UNARY) for channel in (bare, plain)]

    assert set(found) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


async def test_a_certificate_of_another_ca_is_refused(certs: Path, tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path, (Role.TRADER,))
    shutil.copy(certs / "ca.pem", tmp_path / "ca.pem")
    async with serving(certs) as common:
        foreign = tcp_config(tmp_path, common.transport.addresses["riskd"])
        async with open_channel(foreign, "riskd", Role.TRADER) as channel:
            assert await status_of_call(channel, UNARY) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("impostor", [Role.EXECD, Role.TRADER])
async def test_a_server_with_another_roles_certificate_cannot_pose_as_riskd(
    certs: Path, tmp_path: Path, impostor: Role
) -> None:
    shutil.copy(certs / "ca.pem", tmp_path / "ca.pem")
    for suffix in ("pem", "key"):
        shutil.copy(certs / f"{impostor}.{suffix}", tmp_path / f"riskd.{suffix}")
    async with serving(tmp_path) as common:
        honest = tcp_config(certs, common.transport.addresses["riskd"])
        async with open_channel(honest, "riskd", Role.TRADER) as channel:
            assert await status_of_call(channel, UNARY) is grpc.StatusCode.UNAVAILABLE


async def test_a_taken_port_is_one_clear_line(certs: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = RpcServer(
            Role.RISKD,
            tcp_config(certs, address),
            [echo_binding(EchoServicer())],
            table=TABLE,
            on_crash=lambda *_: None,
        )
        with pytest.raises(ConfigError, match=f"address {address} cannot be bound"):
            await server.start()


async def test_two_servers_never_share_a_port(certs: Path) -> None:
    async with serving(certs) as common:
        again = RpcServer(Role.RISKD, common, [echo_binding(EchoServicer())], table=TABLE, on_crash=lambda *_: None)
        with pytest.raises(ConfigError, match="cannot be bound"):
            await again.start()


@pytest.mark.parametrize(
    ("transport", "line"),
    [
        ({"addresses": {}}, r"transport\.addresses\.riskd is missing"),
        ({"addresses": {"riskd": "nowhere"}}, "'nowhere' is not host:port"),
        ({"addresses": {"riskd": "127.0.0.1:1"}}, r"transport\.tls_dir is missing"),
        ({"addresses": {"riskd": "127.0.0.1:1"}, "tls_dir": "/nonexistent"}, "run `tradebot certs init`"),
    ],
)
def test_incomplete_tcp_configuration_is_one_clear_line(transport: dict[str, object], line: str) -> None:
    common = CommonConfig(mode=Mode.DEMO, transport=TransportConfig.model_validate({"kind": "tcp", **transport}))

    with pytest.raises(ConfigError, match=line):
        open_channel(common, "riskd", Role.TRADER)


def test_a_readable_private_key_is_refused(tmp_path: Path) -> None:
    make_ca_and_certs(tmp_path, (Role.TRADER,))
    (tmp_path / "trader.key").chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        open_channel(tcp_config(tmp_path, "127.0.0.1:1"), "riskd", Role.TRADER)
