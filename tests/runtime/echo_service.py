"""A service of raw bytes with all four shapes, registered the way generated code does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from tradebot.runtime.config import CommonConfig, Mode, TransportConfig
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import MethodTable, Role, caller_role
from tradebot.runtime.methods import STANDARD_RULES

NAME = "tradebot.test.v1.EchoService"
UNARY, DOWN, UP, BIDI = (f"/{NAME}/{name}" for name in ("Unary", "Down", "Up", "Bidi"))
TABLE = MethodTable(
    STANDARD_RULES
    | {
        UNARY: frozenset({Role.TRADER, Role.ENGINE}),
        DOWN: frozenset({Role.TRADER, Role.VIEWER}),
        UP: frozenset({Role.TRADER}),
        BIDI: frozenset({Role.TRADER, Role.EXECD}),
    }
)


class EchoServicer:
    """Answers with the caller's role and what it was sent; a request may name an error to raise."""

    def __init__(self) -> None:
        self.errors: dict[bytes, Exception] = {}
        self.streams_closed = 0
        self.closed = asyncio.Event()

    def _say(self, request: bytes) -> bytes:
        if request in self.errors:
            raise self.errors[request]
        return caller_role().encode() + b":" + request

    async def Unary(self, request: bytes, context: Any) -> bytes:
        return self._say(request)

    async def Down(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for i in range(3):
                yield self._say(request) + b"%d" % i
            if request == b"endless":
                await asyncio.Event().wait()
        finally:
            self.streams_closed += 1
            self.closed.set()

    async def Up(self, request_iterator: AsyncIterator[bytes], context: Any) -> bytes:
        return self._say(b"".join([request async for request in request_iterator]))

    async def Bidi(self, request_iterator: AsyncIterator[bytes], context: Any) -> None:
        async for request in request_iterator:  # the coroutine form of a stream handler
            await context.write(self._say(request))


def add_echo(servicer: EchoServicer, server: Any) -> None:
    """What generated code would do."""
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(servicer.Unary, bytes, _serialize),
        "Down": grpc.unary_stream_rpc_method_handler(servicer.Down, bytes, _serialize),
        "Up": grpc.stream_unary_rpc_method_handler(servicer.Up, bytes, _serialize),
        "Bidi": grpc.stream_stream_rpc_method_handler(servicer.Bidi, bytes, _serialize),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    server.add_registered_method_handlers(NAME, handlers)


def _serialize(message: str) -> bytes:
    return message.encode()  # bytes never get here: ready-made bytes bypass it


def echo_binding(servicer: EchoServicer) -> ServiceBinding:
    return ServiceBinding(NAME, add_echo, servicer)


def uds_config(state_dir: Path, mode: Mode = Mode.DEMO, **transport: Any) -> CommonConfig:
    """Configuration over Unix sockets in a folder with a short path."""
    return CommonConfig(mode=mode, state_dir=state_dir, transport=TransportConfig(**transport))


async def call_all_shapes(channel: Any, payload: bytes) -> list[bytes]:
    """Call the four methods, each with `payload`, and return their answers."""
    unary = await channel.unary_unary(UNARY, None, None)(payload)
    down = [message async for message in channel.unary_stream(DOWN, None, None)(payload)]
    up = await channel.stream_unary(UP, None, None)(_once(payload))
    bidi = [message async for message in channel.stream_stream(BIDI, None, None)(_once(payload))]
    return [unary, *down, up, *bidi]


async def _once(payload: bytes) -> AsyncIterator[bytes]:
    yield payload


async def call(channel: Any, method: str, payload: bytes = b"x") -> Any:
    """Call any of the four by name and return the first answer."""
    match method.rpartition("/")[2]:
        case "Unary":
            return await channel.unary_unary(method, None, None)(payload, timeout=5)
        case "Down":
            return await channel.unary_stream(method, None, None)(payload, timeout=5).read()
        case "Up":
            return await channel.stream_unary(method, None, None)(_once(payload), timeout=5)
        case _:
            return await channel.stream_stream(method, None, None)(_once(payload), timeout=5).read()


async def status_of_call(channel: Any, method: str, payload: bytes = b"x") -> grpc.StatusCode:
    """Return how the call ended."""
    try:
        await call(channel, method, payload)
    except grpc.aio.AioRpcError as exc:
        return exc.code()
    return grpc.StatusCode.OK


def may_end_with(method: str, *, allowed: bool) -> set[grpc.StatusCode]:
    """Return the statuses of a call by a role. grpcio's client says INTERNAL when its first write comes after the
    refusal of a stream.
    """
    if allowed:
        return {grpc.StatusCode.OK}
    refused = {grpc.StatusCode.PERMISSION_DENIED}
    return refused | {grpc.StatusCode.INTERNAL} if method == BIDI else refused
