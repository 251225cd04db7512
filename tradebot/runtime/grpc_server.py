"""gRPC server of one daemon: one socket per caller role, the method table enforced, health and reflection.

A stream handler may yield ready-made `bytes` instead of messages: they go out as they are, so a market data batch is
serialised once for all subscribers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tradebot.runtime.config import CommonConfig
from tradebot.runtime.endpoints import MAX_MESSAGE_BYTES, bind_tcp, bind_unix, listen_address, socket_path
from tradebot.runtime.identity import DAEMON_ROLES, MethodTable, Role
from tradebot.runtime.links.server import LinkServer
from tradebot.runtime.methods import METHOD_TABLE
from tradebot.runtime.reflection import add_reflection, reflects
from tradebot.runtime.rpc_guard import AioGuard, OnDenied, ignore_denied
from tradebot.runtime.rpc_handlers import HandlerTap, OnCrash, guard_aio_handler
from tradebot.runtime.tls import server_credentials

MAX_STREAMS_PER_CONNECTION = 64
MIN_PING_INTERVAL_MS = 1_000
STOP_GRACE_S = 1.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

COMMON_SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
    ("grpc.so_reuseport", 0),  # a second instance must fail, not share the port
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """One service to be served."""

    name: str
    """Full name, e.g. tradebot.rpc.risk.v1.RiskService."""
    add_to_server: Callable[[Any, Any], None]
    """Generated add_XServicer_to_server."""
    servicer: object


class RpcServer:
    """All sockets of one daemon. Start it before `ready`, stop it first on the way down."""

    def __init__(
        self,
        daemon: Role,
        common: CommonConfig,
        services: Sequence[ServiceBinding],
        *,
        table: MethodTable = METHOD_TABLE,
        roles: frozenset[Role] | None = None,
        on_denied: OnDenied = ignore_denied,
        on_crash: OnCrash,
    ) -> None:
        """Prepare; nothing is bound yet.

        Args:
            daemon: Whose server this is.
            common: Shared configuration.
            services: What to serve.
            table: Who may call what.
            roles: Caller roles that get a socket; by default those that may call at least one of the services.
            on_denied: Counts refusals.
            on_crash: Stops the daemon when a handler raised InvariantError; pass `shell.crash`.

        Raises:
            InvariantError: If a served method has no rule in the table.
        """
        self._daemon = daemon
        self._common = common
        self._table = table
        self._on_denied = on_denied
        self._names = [service.name for service in services]
        self._health = health.aio.HealthServicer()
        tap = HandlerTap(lambda handler, method: guard_aio_handler(handler, method, on_crash))
        for service in services:
            service.add_to_server(service.servicer, tap)
        self._roles = table.callers(tap.methods()) if roles is None else roles
        health_pb2_grpc.add_HealthServicer_to_server(self._health, cast(Any, tap))
        table.require_covered(tap.methods())
        self._tap = tap
        self._servers: list[grpc.aio.Server | LinkServer] = []
        self.port: int | None = None
        """TCP port in use, None over Unix sockets."""

    async def start(self) -> None:
        """Bind every socket and start serving; health says NOT_SERVING until `set_serving`.

        Raises:
            ConfigError: If an address is taken or unusable.
        """
        await self._set_health(_NOT_SERVING)
        if self._common.transport.kind == "tcp":
            server = self._make_server(None)
            credentials = server_credentials(self._common, self._daemon)
            self.port = bind_tcp(
                listen_address(self._common, self._daemon), lambda address: server.add_secure_port(address, credentials)
            )
        else:
            for role in sorted(self._roles):
                server = self._make_server(role)
                path = socket_path(self._common.run_dir, self._daemon, role)
                bind_unix(path, self._common.transport.groups.get(role), server.add_insecure_port)
        for server in self._servers:
            await server.start()

    async def set_serving(self, serving: bool) -> None:
        """Answer health checks with SERVING or NOT_SERVING."""
        await self._set_health(_SERVING if serving else _NOT_SERVING)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Stop accepting, give running calls `grace_s`, then cut them."""
        await self._health.enter_graceful_shutdown()
        for server in self._servers:
            await server.stop(grace_s)
        self._servers.clear()

    def _make_server(self, role: Role | None) -> Any:
        guard = AioGuard(self._table, role, self._on_denied)
        if role in DAEMON_ROLES:
            link = LinkServer(self._tap.handlers_by_method(), guard)
            self._servers.append(link)
            return link
        server = grpc.aio.server(interceptors=(guard,), options=COMMON_SERVER_OPTIONS)
        server.add_generic_rpc_handlers(self._tap.generic_handlers())
        if reflects(self._common, role):
            add_reflection(server, (*self._names, health.SERVICE_NAME))
        self._servers.append(server)
        return server

    async def _set_health(self, status: Any) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)
