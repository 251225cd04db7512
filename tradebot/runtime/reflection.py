"""Server reflection for grpcurl and other scripts, under both names that clients ask for.

grpcio-reflection serves `grpc.reflection.v1alpha`; newer clients ask for `grpc.reflection.v1` first and take a denial
for an answer. The messages of both are the same on the wire, so the same servicer stands behind both names.
Stop sockets have none on purpose: an open reflection stream would hold one of the few threads that a stop needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tradebot.runtime.config import CommonConfig, Mode
from tradebot.runtime.identity import OPERATOR_ROLES, Role

REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


def reflects(common: CommonConfig, role: Role | None) -> bool:
    """Return whether a server for this caller role offers reflection: for operators, and in `real` only when set."""
    switch = common.transport.reflection
    if switch is None:
        switch = common.mode is not Mode.REAL
    return switch and (role is None or role in OPERATOR_ROLES)  # over TCP the table keeps daemons out


def add_reflection(server: grpc.aio.Server, names: Iterable[str]) -> None:
    """Serve reflection over these services, and over itself."""
    servicer: Any = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME, REFLECTION_V1))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {_METHOD: handler})
            for name in (reflection.SERVICE_NAME, REFLECTION_V1)
        )
    )
