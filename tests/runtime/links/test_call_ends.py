"""However a call ends, everybody who waits for it is told, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hpack import Encoder

from tests.runtime.links.kit import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    NAME,
    OPENING,
    RST,
    WINDOW,
    Accepting,
    Echo,
    Everybody,
    Frame,
    LocalServer,
    Wire,
    grpc_message,
    grpcio_channel,
    joined,
    link_server,
    turns,
)
from tradebot.runtime.endpoints import MAX_MESSAGE_BYTES
from tradebot.runtime.links.call import CallOptions, Deserializer, LinkCall
from tradebot.runtime.links.channel import ClientConnection, LinkChannel
from tradebot.runtime.links.connection import FLUSH_S, MAX_UNSENT_BYTES
from tradebot.runtime.links.frames import Reason
from tradebot.runtime.links.server import LinkServer, ServerConnection
from tradebot.runtime.links.status import MAX_DETAILS_BYTES, status_in, timeout_s, timeout_text, trailers_of
from tradebot.runtime.links.stream import LinkClosedError

UNARY, DOWN, UP, BIDI = (f"/{NAME}/{name}" for name in ("Unary", "Down", "Up", "Bidi"))
Status = tuple[grpc.StatusCode, str]


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task of ours outlives a test, and nothing reaches the loop's exception handler, which would stop a daemon."""
    errors = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    before = asyncio.all_tasks()
    yield
    await turns()
    assert errors == []
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


async def _status(call: Awaitable[Any]) -> Status:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call, 10)
    return caught.value.code(), caught.value.details() or ""


class Local:
    """A caller on a wire in memory; the test is the server."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.connection = ClientConnection()
        self.wire = joined(self.connection)
        self.wire.take()
        self.wire.room = room
        self._encoder = Encoder()

    def usable(self) -> ClientConnection | None:
        return self.connection

    async def connect(self, *, wait: bool) -> ClientConnection:
        return self.connection

    def call(self, timeout_s: float | None = None, deserialize: Deserializer = None) -> LinkCall:
        call = LinkCall(self, BIDI, None, deserialize, CallOptions(timeout_s, False, ()))
        call.watch_deadline()
        return call

    def answer(self, *messages: bytes, stream: int = 1) -> None:
        self._headers(OPENING, 0, stream)
        for message in messages:
            self.connection.data_received(Frame(DATA, 0, stream, grpc_message(message)).pack())

    def end(self, status: int = 0, text: str = "", stream: int = 1) -> None:
        self._headers([("grpc-status", str(status)), ("grpc-message", text)], END_STREAM, stream)

    def _headers(self, fields: list[tuple[str, str]], flags: int, stream: int) -> None:
        block = bytes(self._encoder.encode(fields))
        self.connection.data_received(Frame(HEADERS, END_HEADERS | flags, stream, block).pack())

    def resets(self) -> list[int]:
        return [int.from_bytes(f.payload, "big") for f in self.wire.frames() if f.kind == RST]


# ---- dialling


async def test_cancel_ends_the_waiting_for_somebody_to_dial(short_tmp_path: Path) -> None:
    """Before: who waited for a daemon that is down went on waiting after `cancel`."""
    async with LinkChannel(f"unix:{short_tmp_path}/nobody.sock") as channel:
        call = channel.stream_stream(BIDI)(wait_for_ready=True)
        reader, writer = asyncio.create_task(_status(call.read())), asyncio.create_task(_status(call.write(b"x")))
        await asyncio.sleep(0.02)
        call.cancel()

        assert await reader == await writer == (grpc.StatusCode.CANCELLED, "canceled here")
        assert (await _status(call.read()))[0] is grpc.StatusCode.CANCELLED


async def test_a_deadline_holds_while_dialling(short_tmp_path: Path) -> None:
    async with LinkChannel(f"unix:{short_tmp_path}/nobody.sock") as channel:
        call = channel.stream_stream(BIDI)(wait_for_ready=True, timeout=0.05)

        assert (await _status(call.read()))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        unary = channel.unary_unary(UNARY)(b"x", wait_for_ready=True, timeout=0.05)
        assert (await _status(unary))[0] is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_canceled_task_leaves_the_dialling_to_the_others(short_tmp_path: Path) -> None:
    echo = Echo()
    async with LinkChannel(f"unix:{short_tmp_path}/link.sock") as channel:
        call = channel.stream_stream(BIDI)(wait_for_ready=True)
        gone, waiting = asyncio.create_task(call.wait_for_connection()), asyncio.create_task(call.write(b"x"))
        await asyncio.sleep(0.02)
        gone.cancel()
        async with link_server(short_tmp_path, echo):
            await asyncio.wait_for(waiting, 10)

            assert await asyncio.wait_for(call.read(), 10) == b"x"
            call.cancel()


async def test_a_dial_that_fails_after_its_caller_left_is_no_news(short_tmp_path: Path) -> None:
    async with LinkChannel(f"unix:{short_tmp_path}/nobody.sock") as channel:
        for steps in range(6):
            task = asyncio.create_task(channel.stream_stream(BIDI)().wait_for_connection())
            await turns(steps)
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                assert isinstance(task.exception(), grpc.aio.AioRpcError)


async def test_closing_the_channel_ends_dialling_and_calls(short_tmp_path: Path) -> None:
    channel = LinkChannel(f"unix:{short_tmp_path}/link.sock")
    waiting = asyncio.create_task(_status(channel.stream_stream(BIDI)(wait_for_ready=True).read()))
    await asyncio.sleep(0.02)
    await channel.close()
    assert (await waiting)[0] is grpc.StatusCode.CANCELLED

    async with link_server(short_tmp_path, Echo()) as (server, target):
        channel = LinkChannel(target)
        await channel.channel_ready()
        call = channel.stream_stream(BIDI)()
        await call.write(b"x")
        await call.read()
        for connection in server.connections:
            connection.go_away()
        again = channel.stream_stream(BIDI)()
        while channel.usable() is not None:  # noqa: ASYNC110  the good-bye is on its way
            await asyncio.sleep(0)
        await again.wait_for_connection()
        await channel.close()

        assert (await _status(call.read()))[0] is grpc.StatusCode.UNAVAILABLE  # also on the connection before
        assert (await _status(again.read()))[0] is grpc.StatusCode.UNAVAILABLE


async def test_reader_and_writer_open_one_call_together(short_tmp_path: Path) -> None:
    echo = Echo()
    async with link_server(short_tmp_path, echo) as (server, target), LinkChannel(target) as channel:
        call = channel.stream_stream(BIDI)()
        answers = await asyncio.gather(call.read(), call.write(b"a"), call.write(b"b"))
        await call.read()

        assert (answers[0], echo.seen) == (b"a", [b"a", b"b"])
        assert sum(len(connection.streams) for connection in server.connections) == 1
        call.cancel()


async def test_a_call_on_a_connection_that_is_gone_fails_at_once() -> None:
    """Before: a call opened between the loss and the next dial was never told."""
    local = Local()
    local.connection.connection_lost(None)

    assert await _status(local.call().read()) == (grpc.StatusCode.UNAVAILABLE, "the connection is closed")


# ---- waiting


@pytest.mark.parametrize(("size", "lost"), [(1_000, False), (1_000_000, True)])
async def test_a_writer_that_waits_for_the_socket_goes_on_when_the_peer_ended_the_call(size: int, lost: bool) -> None:
    """Before: with a full socket it waited for ever, because nobody woke a call that was over."""
    local = Local(room=200)
    call = local.call()
    writing = asyncio.create_task(call.write(bytes(size)))
    await turns()
    assert not writing.done()
    local.answer()
    local.end(8, "too much")
    await turns()

    assert writing.done()
    assert await _status(call.read()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
    if lost:
        assert await _status(writing) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
    else:
        await writing


@pytest.mark.parametrize("room", [10, 1 << 40])
async def test_a_lost_connection_ends_every_waiting(room: int) -> None:
    local = Local(room)
    call = local.call()
    writing, reading = asyncio.create_task(call.write(bytes(1_000_000))), asyncio.create_task(call.read())
    await turns()
    assert not writing.done()
    local.connection.connection_lost(ConnectionResetError("reset"))

    expected = (grpc.StatusCode.UNAVAILABLE, "connection lost: reset")
    assert await _status(writing) == await _status(reading) == expected


async def test_a_canceled_writer_leaves_its_message_in_order() -> None:
    local = Local(room=10)
    call = local.call()
    writing = asyncio.create_task(call.write(b"first"))
    await turns()
    writing.cancel()
    await asyncio.wait((writing,))
    assert not call.write_now(b"early")
    local.wire.room = 1 << 40
    local.wire.take()
    assert call.write_now(b"second")
    call.cancel()

    data = bytes(local.wire.out)
    assert data.index(b"first") < data.index(b"second")
    assert b"early" not in data


async def test_a_canceled_reader_loses_no_message() -> None:
    local = Local()
    call = local.call()
    reading = asyncio.create_task(call.read())
    await turns()
    local.answer(b"one", b"two")
    reading.cancel()  # woken already, but not yet run
    await asyncio.wait((reading,))

    assert reading.cancelled()
    assert [await call.read(), await call.read()] == [b"one", b"two"]
    call.cancel()


async def test_a_second_reader_is_an_error_instead_of_a_hang() -> None:
    local = Local()
    call = local.call()
    first = asyncio.create_task(call.read())
    await turns()
    with pytest.raises(RuntimeError, match="two readers"):
        await asyncio.wait_for(call.read(), 5)
    local.answer(b"one")

    assert await first == b"one"
    call.cancel()


async def test_a_deadline_ends_a_stream_whose_server_is_silent() -> None:
    """Before: only the server was told; a stopped server left the caller waiting."""
    local = Local()
    call = local.call(timeout_s=0.02)

    assert (await _status(call.read()))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert local.resets() == [Reason.CANCEL]


# ---- ends


async def test_nothing_is_written_after_the_end() -> None:
    local = Local()
    call = local.call()
    await call.write(b"x")
    await call.done_writing()
    await call.done_writing()
    assert not call.write_now(b"late")
    assert (await _status(call.write(b"late")))[0] is grpc.StatusCode.UNAVAILABLE
    local.answer(b"y")
    local.end()
    assert [await call.read(), await call.read()] == [b"y", grpc.aio.EOF]
    assert not call.write_now(b"late")

    assert b"late" not in bytes(local.wire.out)
    assert not call.cancel()


async def test_a_write_after_a_good_end_is_no_error_called_ok() -> None:
    local = Local()
    call = local.call()
    await call.write(b"x")
    local.answer()
    local.end()

    assert (await _status(call.write(b"late")))[0] is grpc.StatusCode.UNAVAILABLE


async def test_an_answer_cut_inside_a_message_is_no_success() -> None:
    """Before: the error carried the status of the trailers, OK."""
    local = Local()
    call = local.call()
    await call.wait_for_connection()
    local.answer(b"whole")
    local.connection.data_received(Frame(DATA, 0, 1, grpc_message(b"half")[:7]).pack())
    local.end()

    assert await call.read() == b"whole"
    assert await _status(call.read()) == (grpc.StatusCode.UNAVAILABLE, "the call ended inside a message")


async def test_an_answer_that_is_no_message_ends_the_call() -> None:
    def deserialize(data: bytes) -> bytes:
        raise DecodeError("truncated")

    local = Local()
    call = local.call(deserialize=deserialize)
    await call.wait_for_connection()
    local.answer(b"x")

    assert (await _status(call.read()))[0] is grpc.StatusCode.INTERNAL
    assert local.resets() == [Reason.CANCEL]


async def test_requests_that_fail_end_the_call() -> None:
    """Before: both sides waited for ever, and the loop was told of an exception that nobody took."""

    async def requests() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    local = Local()
    call = local.call()
    call.write_from(requests())
    code, details = await _status(call.read())

    assert code is grpc.StatusCode.CANCELLED
    assert "ZeroDivisionError" in details


async def test_requests_that_wait_are_given_up_with_the_call() -> None:
    left = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            left.set()

    local = Local()
    call = local.call()
    call.write_from(requests())
    await turns()
    local.answer()
    local.end(7, "no")
    assert (await _status(call.read()))[0] is grpc.StatusCode.PERMISSION_DENIED

    await asyncio.wait_for(left.wait(), 5)


async def test_a_message_that_no_peer_takes_ends_its_call_here() -> None:
    local = Local()
    call = local.call()
    code, details = await _status(call.write(bytes(MAX_MESSAGE_BYTES + 1)))

    assert code is grpc.StatusCode.UNAVAILABLE
    assert str(MAX_MESSAGE_BYTES) in details
    assert local.resets() == [Reason.INTERNAL_ERROR]


async def test_a_message_announced_larger_than_the_bound_ends_the_call() -> None:
    local = Local()
    call = local.call()
    await call.wait_for_connection()
    local.answer()
    local.connection.data_received(Frame(DATA, 0, 1, b"\0" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")).pack())

    assert (await _status(call.read()))[0] is grpc.StatusCode.UNAVAILABLE
    assert local.resets() == [Reason.ENHANCE_YOUR_CALM]


async def test_calls_that_nobody_reads_end_their_connection_at_the_bound() -> None:
    """A stopped daemon that is asked again and again."""
    local = Local(room=10)
    calls = 0
    while not local.wire.closed:
        call = local.call()
        await call.wait_for_connection()
        call.cancel()
        calls += 1
        await asyncio.sleep(0)
        assert local.wire.get_write_buffer_size() < MAX_UNSENT_BYTES + 1_000

    assert calls > 1_000


async def test_going_away_fails_only_calls_that_the_server_did_not_take() -> None:
    local = Local()
    calls = [local.call() for _ in range(3)]
    for call in calls:
        await call.wait_for_connection()
    local.connection.data_received(Frame(GOAWAY, 0, 0, (3).to_bytes(4, "big") + bytes(4)).pack())

    assert not local.connection.usable
    assert (await _status(calls[2].read()))[0] is grpc.StatusCode.UNAVAILABLE
    local.answer(b"still", stream=3)
    assert await calls[1].read() == b"still"
    for call in calls:
        call.cancel()


@pytest.mark.parametrize("text", ["", "x" * 100_000, "ü" * 100_000, "%" * 100_000, "🚀" * 100_000, "a\ud800b"])
def test_details_are_bounded_and_stay_text(text: str) -> None:
    """Before: 32 KiB of details ended the connection with every call on it."""
    trailers = trailers_of(grpc.StatusCode.ABORTED, text)
    found = dict(trailers).get("grpc-message", "")
    code, details = status_in(dict(trailers))

    assert len(found) <= MAX_DETAILS_BYTES
    assert code is grpc.StatusCode.ABORTED
    assert details.rstrip("\ufffd") == text.replace("\ud800", "?")[: len(details.rstrip("\ufffd"))]


@pytest.mark.parametrize("seconds", [0.001, 0.25, 5.0, 99_999.0])
def test_a_timeout_is_read_as_it_was_written(seconds: float) -> None:
    assert timeout_s(timeout_text(seconds)) == seconds


# ---- the server


@pytest.mark.parametrize("kind", ["link", "grpcio"])
async def test_details_of_any_length_leave_the_connection_alone(short_tmp_path: Path, kind: str) -> None:
    make: Any = LinkChannel if kind == "link" else grpcio_channel
    async with link_server(short_tmp_path, Echo()) as (_, target), make(target) as channel:
        other = channel.stream_stream(BIDI)()
        await other.write(b"x")
        await other.read()
        code, _ = await _status(channel.unary_unary(UNARY)(b"abort ABORTED " + b"x" * 100_000))
        assert code is grpc.StatusCode.ABORTED
        await other.write(b"y")

        assert await other.read() == b"y"
        other.cancel()


async def test_a_failure_outside_the_handler_is_answered() -> None:
    """Before: a response that could not be serialized left its caller waiting, and stopped the daemon."""

    def serialize(message: object) -> bytes:
        raise TypeError("not a response")

    handlers = Echo().handlers()
    local = LocalServer(handlers | {UNARY: handlers[UNARY]._replace(response_serializer=serialize)})
    local.wire.take()
    local.open(1)
    local.request(1, b"x")
    await turns()

    assert local.answers()[1][1]["grpc-status"] == "13"


async def test_a_handler_that_answers_while_the_socket_is_full_ends_in_order() -> None:
    local = LocalServer(Echo().handlers(), room=0)
    local.open(1, "Bidi")
    for i in range(5):
        local.request(1, b"%d" % i, end=i == 4)
    await turns(20)
    assert local.connection.streams
    local.wire.room = 1 << 40
    frames = b""
    for _ in range(20):
        frames += local.wire.take()
        await turns()
    local.wire.out += frames

    messages, fields = local.answers()[1]
    assert messages == [b"0", b"1", b"2", b"3", b"4"]
    assert fields["grpc-status"] == "0"
    assert local.connection.streams == {}


@pytest.mark.parametrize("together", [True, False])
async def test_a_reset_after_the_whole_answer_takes_nothing_of_it_back(together: bool) -> None:
    """A server that did not wait for the end of the request says after its answer that it need not come."""
    connection = ClientConnection()
    joined(connection)
    encoder = Encoder()
    stream = connection.begin(UNARY, CallOptions(None, False, ()))
    stream.send(b"request")
    stream.end()
    parts = [
        Frame(HEADERS, END_HEADERS, stream.stream_id, encoder.encode(OPENING)).pack(),
        Frame(DATA, 0, stream.stream_id, grpc_message(b"answer")).pack(),
        Frame(HEADERS, END_HEADERS | END_STREAM, stream.stream_id, encoder.encode([("grpc-status", "0")])).pack(),
        Frame(RST, 0, stream.stream_id, bytes(4)).pack(),
    ]
    for data in [b"".join(parts)] if together else parts:
        connection.data_received(data)

    assert await stream.receive() == b"answer"
    assert await stream.receive() is None
    assert stream.trailers_in == {"grpc-status": "0"}
    assert connection.streams == {}, "a call that is over is forgotten"


async def test_an_answer_before_the_end_of_the_requests_tells_the_caller_to_stop() -> None:
    local = LocalServer(Echo().handlers())
    local.wire.take()
    local.open(1, "Up")
    local.request(1, b"enough", end=False)
    await turns()
    frames = local.wire.frames()

    assert [frame.kind for frame in frames] == [HEADERS, DATA, HEADERS, RST]
    assert frames[2].flags & END_STREAM
    assert frames[3].payload == bytes(4)
    local.request(1, b"on its way already", end=False)
    assert not local.wire.closed


async def test_a_reader_task_of_a_handler_ends_with_the_call() -> None:
    """Before: one that the handler had forgotten waited for ever."""
    readers = list[asyncio.Task[list[bytes]]]()

    async def handler(requests: Any, context: Any) -> None:
        async def read() -> list[bytes]:
            return [request async for request in requests]

        readers.append(asyncio.create_task(read()))
        await turns()

    handlers: dict[str, Any] = {BIDI: grpc.stream_stream_rpc_method_handler(handler)}
    local = LocalServer(handlers)
    local.open(1, "Bidi")
    local.request(1, b"x", end=False)
    await turns(20)

    assert await asyncio.wait_for(readers[0], 5) == [b"x"]


async def test_write_now_of_a_context_refuses_when_the_call_is_over() -> None:
    kept = list[Any]()
    started = asyncio.Event()

    async def handler(requests: Any, context: Any) -> None:
        kept.append(context)
        assert context.write_now(b"now")
        started.set()
        await asyncio.Event().wait()

    handlers: dict[str, Any] = {BIDI: grpc.stream_stream_rpc_method_handler(handler)}
    local = LocalServer(handlers)
    local.wire.take()
    local.open(1, "Bidi")
    await started.wait()
    assert local.answers()[1][0] == [b"now"]
    local.send(Frame(RST, 0, 1, bytes(4)).pack())
    await turns()

    assert not kept[0].write_now(b"late")
    assert local.wire.frames() == []


async def test_stop_lets_running_calls_finish(short_tmp_path: Path) -> None:
    async with link_server(short_tmp_path, Echo()) as (server, target), LinkChannel(target) as channel:
        call = channel.stream_stream(BIDI)()
        await call.write(b"x")
        await call.read()
        stopping = asyncio.create_task(server.stop(20))
        await turns()
        assert (await _status(channel.unary_unary(UNARY)(b"new")))[0] is grpc.StatusCode.UNAVAILABLE
        await call.write(b"y")
        assert await call.read() == b"y"
        await call.done_writing()

        assert await call.read() is grpc.aio.EOF
        await asyncio.wait_for(stopping, 10)


async def test_stop_cuts_what_does_not_end_and_waits_for_its_handlers(short_tmp_path: Path) -> None:
    """Before: handlers were still cleaning up when `stop` returned."""
    echo = Echo()
    async with link_server(short_tmp_path, echo) as (server, target), LinkChannel(target) as channel:
        call = channel.stream_stream(BIDI)()
        await call.write(b"wait")
        await echo.until_seen(1)
        await asyncio.wait_for(server.stop(0.01), 10)

        assert echo.ended.is_set()
        assert (await _status(call.read()))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_never_started_gives_its_socket_back(short_tmp_path: Path) -> None:
    server = LinkServer({}, Everybody())
    server.add_insecure_port(f"unix:{short_tmp_path}/link.sock")
    await server.stop(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(f"{short_tmp_path}/link.sock")


async def test_a_connection_accepted_while_stopping_is_not_served() -> None:
    server = LinkServer(Echo().handlers(), Everybody())
    await server.stop(0)

    assert joined(ServerConnection(server)).closed


async def test_a_peer_that_ends_but_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: its calls stayed, since the transport reports the end only when its last bytes are gone."""
    monkeypatch.setattr("tradebot.runtime.links.connection.FLUSH_S", 0.01)
    assert FLUSH_S < 5
    local = LocalServer(Echo().handlers(), room=0)
    local.open(1)
    local.connection.eof_received()
    assert local.connection.streams == {}
    assert not local.wire.aborted
    await asyncio.sleep(0.05)

    assert local.wire.aborted


# ---- loss at every point


async def test_a_connection_lost_after_any_byte_ends_every_call_with_what_had_arrived() -> None:
    """Both directions of a session are cut after each byte; what was complete before is there, nothing else."""
    whole = await _session(1 << 40)
    assert whole == ([b"a", b"bb", b"ccc"], "end")
    for cut in range(0, 700, 3):
        messages, end = await _session(cut)
        assert messages == whole[0][: len(messages)], cut
        assert end == ("end" if len(messages) == 3 and end == "end" else "lost"), cut


async def _session(cut: int) -> tuple[list[bytes], str]:
    """Return what the caller read of three echoes, and how it ended, with the connection lost after `cut` bytes."""
    local = LocalServer(Echo().handlers())
    caller = Local()
    down, up = local.wire, caller.wire
    call = caller.call()
    call.write_from(_three())
    reading = asyncio.create_task(_read(call))
    total = 0
    for _ in range(30):
        for wire, to in ((up, local.connection), (down, caller.connection)):
            for byte in wire.take():
                if total < cut:
                    to.data_received(bytes([byte]))
                total += 1
        if total >= cut:
            break
        await turns(5)
    caller.connection.connection_lost(None)
    local.connection.connection_lost(None)
    return await asyncio.wait_for(reading, 5)


async def _three() -> AsyncIterator[bytes]:
    for message in (b"a", b"bb", b"ccc"):
        yield message


async def _read(call: LinkCall) -> tuple[list[bytes], str]:
    found = list[bytes]()
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            found.append(message)
    except grpc.aio.AioRpcError as exc:
        return found, "lost" if exc.code() is grpc.StatusCode.UNAVAILABLE else str(exc)
    return found, "end"


async def test_a_stream_that_failed_takes_nothing_more() -> None:
    server = Accepting()
    wire: Wire = joined(server)
    server.data_received(Frame(HEADERS, END_HEADERS, 1, Encoder().encode(OPENING)).pack())
    stream = server.streams[1]
    stream.fail("test", Reason.CANCEL)
    wire.take()
    stream.end([("grpc-status", "0")])
    stream.send_headers(OPENING)
    server.data_received(Frame(WINDOW, 0, 1, (5).to_bytes(4, "big")).pack())
    with pytest.raises(LinkClosedError):
        stream.send(b"x")

    assert wire.take() == b""


async def test_what_ends_a_call_twice_cancels_its_handler_once(short_tmp_path: Path) -> None:
    """The caller leaves, and while the handler cleans up the connection ends, too."""
    echo = Echo()
    async with link_server(short_tmp_path, echo) as (_, target):
        async with LinkChannel(target) as channel:
            call = asyncio.ensure_future(channel.unary_unary(UNARY)(b"wait"))
            while not echo.seen:  # noqa: ASYNC110
                await asyncio.sleep(0)
            call.cancel()
            await turns(5)
        await asyncio.wait_for(echo.ended.wait(), 20)
