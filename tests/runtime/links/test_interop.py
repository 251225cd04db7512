"""Links against the real gRPC library, both ways: what one says the other understands."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop

from tests.runtime.links.kit import (
    NAME,
    PING,
    PREFACE,
    SETTINGS,
    Echo,
    Frame,
    grpcio_channel,
    grpcio_server,
    link_server,
)
from tradebot.runtime.links.channel import LinkChannel
from tradebot.runtime.links.stream import MAX_CUT_MESSAGES

Pair = Callable[..., AbstractAsyncContextManager[tuple[Echo, Any]]]
UNARY, DOWN, UP, BIDI = (f"/{NAME}/{name}" for name in ("Unary", "Down", "Up", "Bidi"))
BIGGEST = (16 << 20) - 64


@asynccontextmanager
async def _grpcio_calls_link(folder: Path) -> AsyncIterator[tuple[Echo, Any]]:
    echo = Echo()
    async with link_server(folder, echo) as (_, target), grpcio_channel(target) as channel:
        yield echo, channel


@asynccontextmanager
async def _link_calls_grpcio(folder: Path) -> AsyncIterator[tuple[Echo, Any]]:
    echo = Echo()
    async with grpcio_server(folder, echo) as (_, target), LinkChannel(target) as channel:
        yield echo, channel


@asynccontextmanager
async def _link_calls_link(folder: Path) -> AsyncIterator[tuple[Echo, Any]]:
    echo = Echo()
    async with link_server(folder, echo) as (_, target), LinkChannel(target) as channel:
        yield echo, channel


@pytest.fixture(params=[_grpcio_calls_link, _link_calls_grpcio, _link_calls_link])
def pair(request: pytest.FixtureRequest) -> Pair:
    made: Pair = request.param
    return made


async def _all_of(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def _status(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_all_four_shapes(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (_, channel):
        unary = await channel.unary_unary(UNARY)(b"one", timeout=20)
        down = [m async for m in channel.unary_stream(DOWN)(b"a||b", timeout=20)]
        up = await channel.stream_unary(UP)(_all_of(b"a", b"", b"b"), timeout=20)
        bidi = [m async for m in channel.stream_stream(BIDI)(_all_of(b"x", b"", b"y"), timeout=20)]
        plain = [m async for m in channel.stream_stream(BIDI)(iter([b"p", b"q"]), timeout=20)]

    assert (unary, down, up, bidi) == (b"one", [b"a", b"", b"b"], b"ab", [b"x", b"", b"y"])
    assert plain == [b"p", b"q"]


async def test_messages_up_to_the_bound_arrive_whole(pair: Pair, short_tmp_path: Path) -> None:
    sizes = (0, 1, 16_384 - 5, 16_384, 65_530, 65_536, 262_139, 262_140, 2 << 20, (2 << 20) - 4, 4 << 20, BIGGEST)
    async with pair(short_tmp_path) as (_, channel):
        call = channel.stream_stream(BIDI)()
        for size in sizes:
            message = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
            await call.write(message)

            assert await asyncio.wait_for(call.read(), 30) == message, size
        await call.done_writing()

        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_many_calls_with_big_and_small_messages_at_the_same_time(pair: Pair, short_tmp_path: Path) -> None:
    async def one(number: int) -> bool:
        messages = [b"%d:%d:" % (number, i) + bytes(1 << (i + number) % 19) for i in range(20)]
        return [m async for m in channel.stream_stream(BIDI)(_all_of(*messages))] == messages

    async with pair(short_tmp_path) as (_, channel):
        assert all(await asyncio.wait_for(asyncio.gather(*(one(n) for n in range(40))), 50))


async def test_a_reader_that_sleeps_loses_nothing(pair: Pair, short_tmp_path: Path) -> None:
    """More messages than lie ready, more bytes than a window; the echo waits for us meanwhile."""
    messages = [b"%d" % i for i in range(3 * MAX_CUT_MESSAGES)] + [bytes([i]) * 300_000 for i in range(40)]
    async with pair(short_tmp_path) as (echo, channel):
        call = channel.stream_stream(BIDI)(_all_of(*messages))
        await asyncio.wait_for(echo.until_seen(3 * MAX_CUT_MESSAGES), 20)
        found = [m async for m in call]

    assert found == messages


@pytest.mark.parametrize(
    "details", ["plain", "käse, 100 %", "many\nlines\r\n\ttabs", "日本語 🚀", "%41 %zz %", "  spaces  ", "x" * 2_000]
)
async def test_status_and_details_travel(pair: Pair, short_tmp_path: Path, details: str) -> None:
    async with pair(short_tmp_path) as (_, channel):
        request = f"abort FAILED_PRECONDITION {details}".encode()
        expected = (grpc.StatusCode.FAILED_PRECONDITION, details)

        assert await _status(channel.unary_unary(UNARY)(request, timeout=20)) == expected
        assert await _status(channel.stream_stream(BIDI)(_all_of(request), timeout=20).read()) == expected


async def test_every_code_travels(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (_, channel):
        for code in grpc.StatusCode:
            if code is not grpc.StatusCode.OK:
                call = channel.unary_unary(UNARY)(f"abort {code.name} why".encode(), timeout=20)

                assert await _status(call) == (code, "why")


async def test_messages_before_a_failure_are_read_first(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (_, channel):
        call = channel.unary_stream(DOWN)(b"one|two|abort ABORTED late", timeout=20)

        assert [await call.read(), await call.read()] == [b"one", b"two"]
        assert await _status(call.read()) == (grpc.StatusCode.ABORTED, "late")


async def test_metadata_reaches_the_handler(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (echo, channel):
        await channel.unary_unary(UNARY)(b"x", metadata=(("trace-id", "0af7"), ("empty", "")), timeout=20)

    assert (echo.metadata["trace-id"], echo.metadata["empty"]) == ("0af7", "")


async def test_an_unknown_method_is_unimplemented(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (_, channel):
        code, _ = await _status(channel.unary_unary(f"/{NAME}/Missing")(b"x", timeout=20))

    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_bug_in_a_handler_is_internal_and_the_connection_goes_on(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (_, channel):
        code, _ = await _status(channel.unary_unary(UNARY)(b"bug", timeout=20))

        assert code is grpc.StatusCode.INTERNAL
        assert await channel.unary_unary(UNARY)(b"still here", timeout=20) == b"still here"


@pytest.mark.parametrize("shape", ["unary_unary", "stream_stream"])
async def test_a_deadline_ends_the_call_on_both_sides(pair: Pair, short_tmp_path: Path, shape: str) -> None:
    async with pair(short_tmp_path) as (echo, channel):
        for timeout_s in (0.1, 1.0, 10.0):  # a busy machine may need longer to bring the request there at all
            if shape == "unary_unary":
                call = channel.unary_unary(UNARY)(b"wait", timeout=timeout_s)
            else:
                call = channel.stream_stream(BIDI)(_all_of(b"wait"), timeout=timeout_s).read()
            code, _ = await _status(call)
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            if echo.seen:
                break
        await asyncio.wait_for(echo.ended.wait(), 20)


async def test_a_caller_that_cancels_ends_the_handler(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (echo, channel):
        call = channel.stream_stream(BIDI)()
        await call.write(b"x")
        await call.read()
        call.cancel()
        await asyncio.wait_for(echo.ended.wait(), 20)

        assert await channel.unary_unary(UNARY)(b"y", timeout=20) == b"y"


async def test_a_task_that_is_canceled_in_a_unary_call_ends_the_handler(pair: Pair, short_tmp_path: Path) -> None:
    async with pair(short_tmp_path) as (echo, channel):

        async def calls() -> None:
            await channel.unary_unary(UNARY)(b"wait")

        task = asyncio.create_task(calls())
        await asyncio.wait_for(echo.until_seen(1), 20)
        task.cancel()
        await asyncio.wait_for(echo.ended.wait(), 20)


async def test_a_server_may_answer_before_it_has_read_everything(pair: Pair, short_tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"enough"
        await asyncio.Event().wait()

    async with pair(short_tmp_path) as (_, channel):
        assert await channel.stream_unary(UP)(endless(), timeout=20) == b"a"
        assert [m async for m in channel.stream_stream(BIDI)(endless(), timeout=20)] == [b"a"]


async def test_nobody_there_is_unavailable(short_tmp_path: Path) -> None:
    async with LinkChannel(f"unix:{short_tmp_path}/nobody.sock") as channel:
        code, details = await _status(channel.unary_unary(UNARY)(b"x"))

    assert code is grpc.StatusCode.UNAVAILABLE
    assert "nobody.sock" in details


async def test_a_grpcio_server_that_goes_away_lets_running_calls_finish(short_tmp_path: Path) -> None:
    echo = Echo()
    async with grpcio_server(short_tmp_path, echo) as (server, target), LinkChannel(target) as channel:
        call = channel.stream_stream(BIDI)()
        await call.write(b"before")
        assert await call.read() == b"before"
        stopping = asyncio.create_task(server.stop(20))
        await asyncio.sleep(0.05)
        await call.write(b"after")

        assert await call.read() == b"after"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await stopping


# ---- the daemons' own event loop


@pytest.mark.parametrize(
    "scenario",
    [
        test_all_four_shapes,
        test_messages_up_to_the_bound_arrive_whole,
        test_many_calls_with_big_and_small_messages_at_the_same_time,
        test_a_reader_that_sleeps_loses_nothing,
        test_a_caller_that_cancels_ends_the_handler,
        test_a_server_may_answer_before_it_has_read_everything,
    ],
)
@pytest.mark.parametrize("chosen", [_link_calls_grpcio, _link_calls_link])
def test_the_same_on_uvloop(
    scenario: Callable[[Pair, Path], Coroutine[Any, Any, None]], chosen: Pair, short_tmp_path: Path
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(chosen, short_tmp_path))


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_peer_that_never_reads_is_cut_and_the_others_go_on(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], short_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebot.runtime.links.connection.FLUSH_S", 0.02)
    pings = Frame(PING, 0, 0, bytes(8)).pack() * 1_000

    async def scenario() -> None:
        errors = list[dict[str, Any]]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with link_server(short_tmp_path, Echo()) as (server, target), LinkChannel(target) as channel:
            call = channel.stream_stream(BIDI)()
            _, writer = await asyncio.open_unix_connection(target.removeprefix("unix:"), limit=1)
            writer.write(PREFACE + Frame(SETTINGS, 0, 0, b"").pack())

            async def flood() -> None:
                for number in itertools.count():
                    writer.write(pings)
                    await asyncio.wait_for(writer.drain(), 10)
                    await call.write(b"%d" % number)
                    assert await call.read() == b"%d" % number

            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await flood()
            writer.close()

            assert len(server.connections) == 1
            call.cancel()
        assert errors == []

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(scenario(), 40))
