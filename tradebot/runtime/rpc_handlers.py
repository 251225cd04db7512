"""What every async handler gets around it: ready-made bytes pass the serializer, and our errors become status codes.

A servicer raises the error that is true (STYLE's tree) and this file translates at the boundary. An InvariantError also
stops the daemon; any other unexpected exception is our bug in one handler: the caller gets INTERNAL, the log the
traceback, and the daemon goes on, because a malformed request must not be able to stop riskd.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from tradebot.core.errors import InvariantError, RateLimitedError, RejectedError, TradebotError, TransientError
from tradebot.runtime.outbox import OutboxFullError
from tradebot.runtime.stream_hub import SlowReaderError, TooManySubscribersError

_log = structlog.get_logger(__name__)

Handler = Any
"""grpc.RpcMethodHandler; its stub is generic in two types that nobody here knows."""
OnCrash = Callable[[str, BaseException], None]
"""Called with (method, error) when a handler found corrupt state; the daemon stops."""

_EXHAUSTED = (SlowReaderError, TooManySubscribersError, OutboxFullError, RateLimitedError)


def status_of(error: TradebotError) -> grpc.StatusCode:
    """Return the status code for one of our errors."""
    match error:
        case RejectedError():
            return grpc.StatusCode.FAILED_PRECONDITION
        case _ if isinstance(error, _EXHAUSTED):
            return grpc.StatusCode.RESOURCE_EXHAUSTED
        case TransientError():
            return grpc.StatusCode.UNAVAILABLE
        case InvariantError():
            return grpc.StatusCode.INTERNAL
        case _:
            return grpc.StatusCode.UNKNOWN


class HandlerTap:
    """Stands in for a server while generated code registers handlers, so that we see and adapt each of them."""

    def __init__(self, adapt: Callable[[Handler, str], Handler]) -> None:
        """`adapt` gets each handler with its full method name and returns the one to serve."""
        self._adapt = adapt
        self.services: dict[str, dict[str, Handler]] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        """The same handlers arrive by add_registered_method_handlers."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, Handler]) -> None:
        self.services[service_name] = {
            name: self._adapt(handler, f"/{service_name}/{name}") for name, handler in method_handlers.items()
        }

    def methods(self) -> frozenset[str]:
        """Full names of everything registered."""
        return frozenset(f"/{service}/{name}" for service, handlers in self.services.items() for name in handlers)

    def handlers_by_method(self) -> dict[str, Handler]:
        """What a link server takes."""
        return {
            f"/{service}/{name}": handler for service, some in self.services.items() for name, handler in some.items()
        }

    def generic_handlers(self) -> tuple[Any, ...]:
        """What a real server takes."""
        return tuple(grpc.method_handlers_generic_handler(name, handlers) for name, handlers in self.services.items())


def guard_aio_handler(handler: Handler, method: str, on_crash: OnCrash) -> Handler:
    """Return the handler with its errors translated. Streams become coroutines that write; that costs nothing per
    message.
    """
    behavior = behavior_of(handler)

    async def answer(request: Any, context: Any) -> Any:
        try:
            return await behavior(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  the top of an RPC's task
            await _abort(error, method, context, on_crash)

    async def stream(request: Any, context: Any) -> None:
        try:
            result = behavior(request, context)
            if inspect.isasyncgen(result):
                async with aclosing(result) as messages:
                    await _write_all(messages, context)
            else:
                await result
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  the top of an RPC's task
            await _abort(error, method, context, on_crash)

    guarded = stream if handler.response_streaming else answer
    return rebuild_handler(handler, guarded, _bytes_or(handler.response_serializer))


async def _write_all(messages: AsyncIterator[Any], context: Any) -> None:
    write = context.write
    async for message in messages:
        await write(message)


async def _abort(error: Exception, method: str, context: Any, on_crash: OnCrash) -> None:
    status, text = refusal_of(error, method)
    if isinstance(error, InvariantError):
        on_crash(method, error)
    await context.abort(status, text)


def refusal_of(error: Exception, method: str) -> tuple[grpc.StatusCode, str]:
    """Log a handler's error and return what its caller is told. The text of an unexpected one stays in our log."""
    if isinstance(error, TradebotError):
        _log.info("call_refused", method=method, error=str(error))
        return status_of(error), str(error)
    _log.error("handler_failed", method=method, error=repr(error), exc_info=error)
    return grpc.StatusCode.INTERNAL, f"internal error in {method}: {type(error).__name__}"


def behavior_of(handler: Handler) -> Any:
    """Return the callable inside a handler."""
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def rebuild_handler(handler: Handler, behavior: Any, response_serializer: Any) -> Handler:
    """Return a handler of the same shape with another behavior and serializer."""
    build: Any
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            build = grpc.unary_unary_rpc_method_handler
        case False, True:
            build = grpc.unary_stream_rpc_method_handler
        case True, False:
            build = grpc.stream_unary_rpc_method_handler
        case _:
            build = grpc.stream_stream_rpc_method_handler
    return build(behavior, handler.request_deserializer, response_serializer)


def _bytes_or(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Let ready-made bytes through; costs 0.05 us per message."""
    return lambda message: message if message.__class__ is bytes else serialize(message)
