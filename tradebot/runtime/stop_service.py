"""Host of the StopService: a sync gRPC server in its own threads on its own sockets, so that a stop works while the
loop hangs.

What stopping means is the servicer's business (it sets a latch that the gateway reads before each send). Handlers run
in worker threads: they may touch only what is safe to touch from there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc

from tradebot.runtime.config import CommonConfig
from tradebot.runtime.endpoints import bind_tcp, bind_unix, listen_address, socket_path
from tradebot.runtime.grpc_server import COMMON_SERVER_OPTIONS, ServiceBinding
from tradebot.runtime.identity import MethodTable, Role
from tradebot.runtime.methods import METHOD_TABLE
from tradebot.runtime.rpc_guard import OnDenied, SyncGuard, ignore_denied
from tradebot.runtime.rpc_handlers import HandlerTap
from tradebot.runtime.tls import server_credentials

WORKERS_PER_ROLE = 2
STOP_GRACE_S = 0.5


class StopServer:
    """Serves one sync service on `<run_dir>/<daemon>.stop.<role>.sock`, or on `<daemon>.stop` over TCP."""

    def __init__(
        self,
        daemon: Role,
        common: CommonConfig,
        service: ServiceBinding,
        *,
        table: MethodTable = METHOD_TABLE,
        roles: frozenset[Role] | None = None,
        on_denied: OnDenied = ignore_denied,
    ) -> None:
        """Prepare; arguments as for RpcServer. The servicer's methods are plain functions (request, context)."""
        self._daemon = daemon
        self._common = common
        self._table = table
        self._on_denied = on_denied
        tap = HandlerTap(lambda handler, _: handler)
        service.add_to_server(service.servicer, tap)
        table.require_covered(tap.methods())
        self._roles = table.callers(tap.methods()) if roles is None else roles
        self._handlers = tap.generic_handlers()
        self._servers: list[grpc.Server] = []

    def start(self) -> None:
        """Bind and serve; returns at once.

        Raises:
            ConfigError: If an address is taken or unusable.
        """
        endpoint = f"{self._daemon}.stop"
        if self._common.transport.kind == "tcp":
            server = self._make_server(None)
            credentials = server_credentials(self._common, self._daemon)
            bind_tcp(
                listen_address(self._common, endpoint), lambda address: server.add_secure_port(address, credentials)
            )
        else:
            for role in sorted(self._roles):
                server = self._make_server(role)
                path = socket_path(self._common.run_dir, endpoint, role)
                bind_unix(path, self._common.transport.groups.get(role), server.add_insecure_port)
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        """Stop serving; running calls get half a second."""
        for stopped in [server.stop(STOP_GRACE_S) for server in self._servers]:
            stopped.wait()
        self._servers.clear()

    def _make_server(self, role: Role | None) -> grpc.Server:
        server = grpc.server(
            ThreadPoolExecutor(WORKERS_PER_ROLE, thread_name_prefix=f"stop-{role or 'tcp'}"),
            interceptors=[SyncGuard(self._table, role, self._on_denied)],
            options=COMMON_SERVER_OPTIONS,
        )
        server.add_generic_rpc_handlers(self._handlers)
        self._servers.append(server)
        return server
