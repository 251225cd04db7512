"""Interceptors that enforce the method table, once per RPC: a stream pays nothing per message.

Fixed role (Unix socket): decided before the handler is looked up. Role from the certificate (TCP): the handler is
wrapped, because grpcio shows the peer only there. A refusal names role and method, is logged, and counted by the
callback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
import structlog

from tradebot.runtime.identity import MethodTable, Role, role_of_certificate, set_caller_role
from tradebot.runtime.rpc_handlers import Handler, behavior_of, rebuild_handler, refusal_of

_SAN_PROPERTY = "x509_subject_alternative_name"

_log = structlog.get_logger(__name__)

OnDenied = Callable[[str, str], None]
"""Called with (role or "none", method)."""


def ignore_denied(role: str, method: str) -> None:
    """Default for `on_denied`."""


class _Guard:
    def __init__(self, table: MethodTable, role: Role | None, on_denied: OnDenied) -> None:
        self._table = table
        self._role = role
        self._on_denied = on_denied

    def denial(self, role: Role | None, method: str) -> str | None:
        """Return why this call is refused, or None. Binds the caller's role when it is allowed."""
        if role is not None and self._table.allows(role, method):
            set_caller_role(role)
            return None
        name = role or "none"
        self._on_denied(name, method)
        _log.warning("call_denied", role=name, method=method)
        if role is None:
            return f"no role: the client certificate must carry one URI SAN tradebot://role/<role>; {method} refused"
        return f"role {role} may not call {method}"


class AioGuard(_Guard, grpc.aio.ServerInterceptor):
    """For grpc.aio servers. `role` None means: take it from the certificate."""

    def __init__(self, table: MethodTable, role: Role | None, on_denied: OnDenied = ignore_denied) -> None:
        _Guard.__init__(self, table, role, on_denied)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        method = handler_call_details.method
        if self._role is None:
            return _checked_aio(await continuation(handler_call_details), method, self)
        reason = self.denial(self._role, method)
        return _denying_aio(reason) if reason else await continuation(handler_call_details)


class SyncGuard(_Guard, grpc.ServerInterceptor):
    """For the sync StopService server."""

    def __init__(self, table: MethodTable, role: Role | None, on_denied: OnDenied = ignore_denied) -> None:
        _Guard.__init__(self, table, role, on_denied)

    def intercept_service(
        self, continuation: Callable[[Any], Handler], handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        method, fixed = handler_call_details.method, self._role
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            reason = f"{method} is not served here"
            return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(_DENIED, reason))
        inner = handler.unary_unary

        def checked(request: Any, context: grpc.ServicerContext) -> Any:
            # Checked in the worker thread: the interceptor runs in another one, where a context variable is lost.
            reason = self.denial(fixed or peer_role(context), method)
            if reason:
                context.abort(_DENIED, reason)
            try:
                return inner(request, context)
            except Exception as error:
                if cast(Any, context).code() is not None:  # the handler aborted, that is its answer
                    raise
                context.abort(*refusal_of(error, method))

        return grpc.unary_unary_rpc_method_handler(checked, handler.request_deserializer, handler.response_serializer)


_DENIED = grpc.StatusCode.PERMISSION_DENIED


def peer_role(context: Any) -> Role | None:
    """Return the role in the verified peer certificate, None without one."""
    return role_of_certificate(context.auth_context().get(_SAN_PROPERTY, ()))


def _denying_aio(reason: str) -> Handler:
    async def deny(request_iterator: Any, context: Any) -> None:
        await context.abort(_DENIED, reason)

    return grpc.stream_stream_rpc_method_handler(deny)  # answers unary callers as well, without waiting for a request


def _checked_aio(handler: Handler, method: str, guard: _Guard) -> Handler:
    if handler is None:
        return _denying_aio(f"{method} is not served here")
    behavior = behavior_of(handler)

    async def checked(request: Any, context: Any) -> Any:
        reason = guard.denial(peer_role(context), method)
        if reason:
            await context.abort(_DENIED, reason)
        return await behavior(request, context)  # a coroutine for streams too, see rpc_handlers

    return rebuild_handler(handler, checked, handler.response_serializer)
