"""What a peer that breaks the rules can do: lose its own connection, and nothing else."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hpack import Encoder

from tests.runtime.links.kit import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    OPENING,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    WITH_PRIORITY,
    Echo,
    Everybody,
    Frame,
    LocalServer,
    Wire,
    go_away_of,
    grpc_message,
    joined,
    link_server,
    turns,
)
from tradebot.runtime.links.call import CallOptions
from tradebot.runtime.links.channel import ClientConnection, LinkChannel
from tradebot.runtime.links.connection import MAX_STREAMS, MAX_UNSENT_BYTES
from tradebot.runtime.links.frames import MAX_FRAME_BYTES, MAX_HEADER_BYTES, Reason
from tradebot.runtime.links.server import MAX_CONNECTIONS, MAX_TASKS, LinkServer, ServerConnection
from tradebot.runtime.links.status import status_in
from tradebot.runtime.links.stream import LinkClosedError, Stream

LoopErrors = list[dict[str, Any]]


@pytest.fixture(autouse=True)
async def loop_errors() -> Any:
    """Whatever reaches the loop's exception handler would stop a daemon: it must be nothing."""
    errors = LoopErrors()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    yield errors
    await turns()
    assert errors == []


@pytest.fixture
async def local() -> LocalServer:
    made = LocalServer(Echo().handlers())
    made.wire.take()
    return made


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _headers(block: bytes, flags: int = END_HEADERS, stream: int = 1) -> bytes:
    return Frame(HEADERS, flags, stream, block).pack()


async def _one_call(local: LocalServer, stream: int) -> None:
    local.open(stream)
    local.request(stream, b"hi")
    await turns()

    assert local.answers()[stream] == ([b"hi"], dict(OPENING) | {"grpc-status": "0"})


async def test_a_call_as_the_books_say(local: LocalServer) -> None:
    await _one_call(local, 1)
    await _one_call(local, 3)
    assert local.connection.streams == {}
    assert local.connection.tasks == set()


async def test_headers_may_come_in_pieces_with_padding_and_priority(local: LocalServer) -> None:
    block = local.call_headers()
    first = bytes([3]) + bytes(5) + block[:10] + bytes(3)
    local.send(Frame(HEADERS, PADDED | WITH_PRIORITY, 1, first).pack())
    local.send(Frame(CONTINUATION, 0, 1, b"").pack() + Frame(CONTINUATION, END_HEADERS, 1, block[10:]).pack())
    local.request(1, b"hi")
    await turns()

    assert local.answers()[1][0] == [b"hi"]


async def test_frames_nobody_needs_are_ignored(local: LocalServer) -> None:
    local.send(Frame(PRIORITY, 0, 7, bytes(5)).pack() + Frame(0xFA, 255, 9, b"grease").pack())
    local.send(Frame(SETTINGS, 0, 0, b"\xfa\xfa" + bytes(4)).pack() + Frame(SETTINGS, ACK, 0, b"").pack())
    await _one_call(local, 1)


async def test_the_reserved_bit_is_ignored(local: LocalServer) -> None:
    local.open(1)
    local.send(Frame(DATA, END_STREAM, 1 | 1 << 31, grpc_message(b"hi")).pack())
    await turns()

    assert local.answers()[1][0] == [b"hi"]


BROKEN = {
    "a frame too large": (Frame(DATA, 0, 1, b"").pack()[3:].rjust(9, b"\xff"), Reason.FRAME_SIZE_ERROR),
    "data of an idle call": (Frame(DATA, 0, 5, b"x").pack(), Reason.PROTOCOL_ERROR),
    "data of no call": (Frame(DATA, 0, 0, b"x").pack(), Reason.PROTOCOL_ERROR),
    "headers of no call": (_headers(b"", stream=0), Reason.PROTOCOL_ERROR),
    "a call with an even number": (_headers(Encoder().encode(OPENING), stream=2), Reason.PROTOCOL_ERROR),
    "headers without their priority": (_headers(b"ab", END_HEADERS | WITH_PRIORITY), Reason.FRAME_SIZE_ERROR),
    "headers with too much padding": (_headers(b"\x09ab", END_HEADERS | PADDED), Reason.PROTOCOL_ERROR),
    "an interrupted header block": (_headers(b"", 0) + Frame(PING, 0, 0, bytes(8)).pack(), Reason.PROTOCOL_ERROR),
    "data in a header block": (_headers(b"", 0) + Frame(DATA, 0, 1, b"").pack(), Reason.PROTOCOL_ERROR),
    "continuation of nothing": (Frame(CONTINUATION, 0, 1, b"").pack(), Reason.PROTOCOL_ERROR),
    "push": (Frame(PUSH, 0, 1, bytes(4)).pack(), Reason.PROTOCOL_ERROR),
    "reset of an idle call": (Frame(RST, 0, 9, bytes(4)).pack(), Reason.PROTOCOL_ERROR),
    "reset of no call": (Frame(RST, 0, 0, bytes(4)).pack(), Reason.PROTOCOL_ERROR),
    "a short reset": (Frame(RST, 0, 1, bytes(3)).pack(), Reason.FRAME_SIZE_ERROR),
    "settings of a call": (Frame(SETTINGS, 0, 1, b"").pack(), Reason.PROTOCOL_ERROR),
    "half a setting": (Frame(SETTINGS, 0, 0, bytes(7)).pack(), Reason.FRAME_SIZE_ERROR),
    "an acknowledgment that says more": (Frame(SETTINGS, ACK, 0, bytes(6)).pack(), Reason.FRAME_SIZE_ERROR),
    "a window of 2**31": (Frame(SETTINGS, 0, 0, b"\0\4\x80\0\0\0").pack(), Reason.FLOW_CONTROL_ERROR),
    "a tiny largest frame": (Frame(SETTINGS, 0, 0, b"\0\5\0\0\0\1").pack(), Reason.PROTOCOL_ERROR),
    "a ping of a call": (Frame(PING, 0, 1, bytes(8)).pack(), Reason.PROTOCOL_ERROR),
    "a long ping": (Frame(PING, 0, 0, bytes(9)).pack(), Reason.FRAME_SIZE_ERROR),
    "a short good-bye": (Frame(GOAWAY, 0, 0, bytes(7)).pack(), Reason.FRAME_SIZE_ERROR),
    "a window update by nothing": (Frame(WINDOW, 0, 0, bytes(4)).pack(), Reason.PROTOCOL_ERROR),
    "a window update of an idle call": (Frame(WINDOW, 0, 9, _u32(1)).pack(), Reason.PROTOCOL_ERROR),
    "a window beyond 2**31": (Frame(WINDOW, 0, 0, _u32(2**31 - 1)).pack(), Reason.FLOW_CONTROL_ERROR),
    "a short window update": (Frame(WINDOW, 0, 0, b"x").pack(), Reason.FRAME_SIZE_ERROR),
    "headers out of the table": (_headers(b"\xfe"), Reason.COMPRESSION_ERROR),
    "an index of thousands of digits": (_headers(b"\xff" + b"\xff" * 9_000 + b"\1"), Reason.COMPRESSION_ERROR),
    "a number without an end": (_headers(b"\xff" + b"\xff" * 9_000), Reason.COMPRESSION_ERROR),
    "headers that are not text": (_headers(b"\0\1\xff\1\xff"), Reason.COMPRESSION_ERROR),
    "headers that inflate": (_headers(b"\x40\1a\x7f\xe1\x1e" + b"v" * 4_000 + b"\xbe" * 900), Reason.COMPRESSION_ERROR),
    "a header block without an end": (
        _headers(bytes(9), 0) + Frame(CONTINUATION, 0, 1, bytes(9_000)).pack() * (MAX_HEADER_BYTES // 9_000 + 1),
        Reason.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("size", [1 << 20, 7])
async def test_a_broken_rule_ends_the_connection_with_its_reason(name: str, size: int) -> None:
    data, reason = BROKEN[name]
    local = LocalServer(Echo().handlers())
    local.wire.take()
    for start in range(0, len(data), size):
        local.send(data[start : start + size])

    assert go_away_of(local.wire.frames()) == reason
    assert local.wire.closed
    assert not local.server.connections


async def test_a_caller_that_does_not_speak_http2_is_cut() -> None:
    server = LinkServer(Echo().handlers(), Everybody())
    wire = joined(ServerConnection(server))
    for byte in b"PRI * HTTP/1":
        if not wire.closed:
            wire.protocol.data_received(bytes([byte]))

    assert go_away_of(wire.frames()) == Reason.PROTOCOL_ERROR
    assert not server.connections


async def test_windows_of_a_call_do_not_overflow(local: LocalServer) -> None:
    local.open(1)
    local.send(Frame(WINDOW, 0, 1, _u32(2**31 - 1 - 65_535)).pack())
    assert not local.wire.closed
    local.send(Frame(SETTINGS, 0, 0, b"\0\4" + _u32(65_536)).pack())

    assert go_away_of(local.wire.frames()) == Reason.FLOW_CONTROL_ERROR


# ---- things that pile up


async def test_a_call_number_used_again_is_not_served_again() -> None:
    """Before: HEADERS of the newest call, when it was over, ran its method a second time."""
    echo = Echo()
    local = LocalServer(echo.handlers())
    for _ in range(2):
        local.open(1)
        local.request(1, b"order")
        await turns()

    assert echo.seen == [b"order"]
    assert not local.wire.closed


async def test_data_after_the_end_of_a_call_is_no_message(local: LocalServer) -> None:
    """Before: it was handed to the handler like any other."""
    local.open(1, "Up")
    local.request(1, b"a")
    local.request(1, b"b")
    await turns()

    assert [f.payload for f in local.wire.frames() if f.kind == RST] == [_u32(Reason.STREAM_CLOSED)]


async def test_more_calls_than_allowed_are_refused_and_the_others_go_on(local: LocalServer) -> None:
    for number in range(MAX_STREAMS + 5):
        local.open(2 * number + 1)
    refused = [f for f in local.wire.frames() if f.kind == RST]
    assert [f.payload for f in refused] == [_u32(Reason.REFUSED_STREAM)] * 5
    local.request(1, b"hi")
    await turns()

    assert local.answers()[1][0] == [b"hi"]


async def test_opening_and_canceling_makes_no_more_handlers_than_allowed(local: LocalServer) -> None:
    """CVE-2023-44487: the limit of calls never counts them, since each is over at once."""
    opened = [
        Frame(HEADERS, END_HEADERS, 2 * n + 1, local.call_headers()).pack() + Frame(RST, 0, 2 * n + 1, _u32(8)).pack()
        for n in range(5_000)
    ]
    local.send(b"".join(opened))

    assert len(local.connection.tasks) == MAX_TASKS
    await turns()
    assert local.connection.tasks == set()
    await _one_call(local, 20_001)


FLOODS = {
    "pings": Frame(PING, 0, 0, bytes(8)).pack(),
    "settings": Frame(SETTINGS, 0, 0, b"").pack(),
}


@pytest.mark.parametrize("name", [*FLOODS, "refused calls", "calls of nothing", "broken calls"])
async def test_answers_that_nobody_reads_are_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: only pings were; calls to an unknown method, say, made the buffer grow for ever."""
    bound = MAX_UNSENT_BYTES if name == "pings" else MAX_UNSENT_BYTES // 8  # the others are slow to make
    monkeypatch.setattr("tradebot.runtime.links.connection.MAX_UNSENT_BYTES", bound)
    local = LocalServer(Echo().handlers(), room=1_000)
    method = "Nothing" if name == "calls of nothing" else "Up"
    ended = END_STREAM if name == "calls of nothing" else 0
    local.send(_headers(local.call_headers(method)))
    block = local.call_headers(method)  # from now on always the same bytes
    number = 3
    for _ in range(1_000):
        if name in FLOODS:
            some = FLOODS[name] * 1_000
        else:
            frames = list[bytes]()
            for _ in range(200):
                frames.append(_headers(block, END_HEADERS | ended, number))
                if name == "broken calls":
                    frames.append(Frame(DATA, 0, number, b"\1compressed").pack())
                number += 2
            some = b"".join(frames)
        local.send(some)
        await turns(3)

        assert local.wire.get_write_buffer_size() < 2 * bound
        assert len(local.connection.streams) <= MAX_STREAMS
        assert len(local.connection.tasks) <= MAX_TASKS
        if local.wire.closed:
            break
    assert local.wire.closed


async def test_empty_frames_take_no_room(local: LocalServer) -> None:
    local.open(1, "Up")
    for _ in range(20):
        local.send(Frame(DATA, 0, 1, b"").pack() * 5_000)
    stream = local.connection.streams[1]
    assert not stream._inbox
    assert not stream._partial
    local.request(1, b"hi")
    await turns()

    assert local.answers()[1][0] == [b"hi"]


async def test_a_frame_that_trickles_is_put_together_in_one_go(local: LocalServer) -> None:
    """A quarter of a MiB byte by byte. Before, each byte copied all those before it."""
    local.open(1)
    for byte in Frame(DATA, END_STREAM, 1, grpc_message(bytes(MAX_FRAME_BYTES - 5))).pack():
        local.connection.data_received(bytes([byte]))
    await turns()

    assert local.connection.streams[1].backed_up  # the answer waits for a window of 64 KiB


async def test_a_big_message_is_cut_without_copying_its_rest_each_time() -> None:
    """16 MiB for a peer that takes 16 KiB frames: 1,024 cuts. Before, each copied the rest, 8 GB in one turn."""
    client = ClientConnection()
    joined(client)
    stream = client.begin("/x", CallOptions(None, False, ()))
    stream.send(bytes(16 << 20))
    whole = stream._pending[0].obj
    for _ in range(100):
        client.data_received(Frame(WINDOW, 0, 1, _u32(16_384)).pack() + Frame(WINDOW, 0, 0, _u32(16_384)).pack())

    assert stream._pending[0].nbytes < (15 << 20)
    assert stream._pending[0].obj is whole


async def test_connections_beyond_the_bound_are_refused_and_the_others_go_on() -> None:
    server = LinkServer(Echo().handlers(), Everybody())
    wires = [joined(ServerConnection(server)) for _ in range(MAX_CONNECTIONS + 2)]

    assert [wire.closed for wire in wires] == [False] * MAX_CONNECTIONS + [True] * 2
    wires[0].protocol.connection_lost(None)
    assert not joined(ServerConnection(server)).closed


@pytest.mark.parametrize("timeout", ["\u00b2S", "S", "", "-1S", "123456789S", "1x", "\u0663S", "99999999H"])
async def test_a_deadline_that_is_none_is_ignored(local: LocalServer, timeout: str) -> None:
    """Before: a superscript two, which is a digit, ended in the loop's exception handler, and that stops a daemon."""
    local.open(1, grpc_timeout=timeout)
    local.request(1, b"hi")
    await turns()

    assert local.answers()[1][0] == [b"hi"]


@pytest.mark.parametrize("status", ["\u00b2", "", "-1", "999", "x"])
async def test_a_status_that_is_none_is_unknown(status: str) -> None:
    """Before: int() of a superscript two raised ValueError out of the caller's read."""
    client = ClientConnection()
    joined(client)
    stream = client.begin("/x", CallOptions(None, False, ()))
    block = Encoder().encode([*OPENING, ("grpc-status", status)])
    client.data_received(Frame(HEADERS, END_HEADERS | END_STREAM, 1, block).pack())
    assert stream.closed
    assert await stream.receive() is None

    assert status_in(stream.trailers_in or {})[0].name == "UNKNOWN"


# ---- fuzz


def _random_frame(rng: random.Random, encoder: Encoder) -> bytes:
    kind = rng.choice((DATA, DATA, HEADERS, HEADERS, *range(11)))
    stream = rng.choice((0, 1, 2, 3, 5, 7, 9, 11, 2**31 - 1))
    payload = rng.choice(
        (
            b"",
            rng.randbytes(rng.randrange(40)),
            grpc_message(rng.randbytes(rng.randrange(30))),
            _u32(rng.randrange(1 << 16)),
            bytes(encoder.encode([(":path", f"/test.Echo/{rng.choice(('Unary', 'Up', 'Down', 'Bidi', '?'))}")])),
            bytes(encoder.encode([("content-type", "application/grpc"), ("grpc-timeout", "1m")])),
        )
    )
    flags = rng.choice((0, END_STREAM, END_HEADERS, END_HEADERS | END_STREAM, PADDED, rng.randrange(256)))
    return Frame(kind, flags, stream, payload).pack()


def _good_session(local: LocalServer, rng: random.Random) -> bytes:
    data = b""
    for number in range(1, 20, 2):
        method = rng.choice(("Unary", "Up", "Down", "Bidi"))
        data += Frame(HEADERS, END_HEADERS, number, local.call_headers(method)).pack()
        for _ in range(rng.randrange(4)):
            data += Frame(DATA, 0, number, grpc_message(rng.randbytes(rng.randrange(50)))).pack()
        data += Frame(DATA, END_STREAM, number, b"").pack()
    return data


@pytest.mark.parametrize("seed", range(4))
async def test_random_frames_end_at_most_their_own_connection(seed: int) -> None:
    rng = random.Random(seed)
    handlers = Echo().handlers()
    for _ in range(150):
        local = LocalServer(handlers, room=rng.choice((100, 1 << 30)))
        for _ in range(rng.randrange(60)):
            local.send(_random_frame(rng, local.encoder))
            if rng.random() < 0.1:
                await turns(2)
        await turns(4)
        local.connection.connection_lost(None)
        await turns(4)

        assert local.connection.tasks == set()
        assert local.connection.streams == {}


@pytest.mark.parametrize("seed", range(4))
async def test_a_session_with_bytes_changed_dropped_and_doubled_does_no_harm(seed: int) -> None:
    rng = random.Random(seed)
    handlers = Echo().handlers()
    for _ in range(150):
        local = LocalServer(handlers)
        data = bytearray(_good_session(local, rng))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    del data[at : at + rng.randrange(1, 20)]
                case _:
                    data[at:at] = data[at : at + rng.randrange(1, 40)]
        while data:
            size = rng.randrange(1, 300)
            local.send(bytes(data[:size]))
            del data[:size]
            if rng.random() < 0.2:
                await turns(2)
        local.connection.connection_lost(None)
        await turns(6)

        assert local.connection.tasks == set()
        assert local.connection.streams == {}


@pytest.mark.parametrize("seed", range(4))
async def test_a_caller_survives_a_server_that_says_anything(seed: int) -> None:
    """Every call ends: none waits for an answer that cannot come any more."""
    rng = random.Random(seed)
    for _ in range(150):
        client = ClientConnection()
        wire = joined(client)
        streams = [client.begin("/x", CallOptions(None, False, ())) for _ in range(4)]
        encoder = Encoder()
        for _ in range(rng.randrange(40)):
            if not wire.closed:
                client.data_received(_random_frame(rng, encoder))
        client.connection_lost(None)
        for stream in streams:
            await asyncio.wait_for(_drain(stream), 5)
        assert client.streams == {}


async def _drain(stream: Stream) -> None:
    try:
        while await stream.receive() is not None:
            pass
    except LinkClosedError:
        pass


async def test_other_connections_go_on_beside_a_broken_one(short_tmp_path: Path) -> None:
    rng = random.Random(1)
    async with link_server(short_tmp_path, Echo()) as (_, target), LinkChannel(target) as channel:
        call = channel.stream_stream("/test.Echo/Bidi")()
        for number in range(30):
            reader, writer = await asyncio.open_unix_connection(target.removeprefix("unix:"))
            encoder = Encoder()
            writer.write(PREFACE + b"".join(_random_frame(rng, encoder) for _ in range(50)))
            await call.write(b"%d" % number)
            assert await asyncio.wait_for(call.read(), 10) == b"%d" % number
            writer.close()
            del reader


def test_the_wire_of_these_tests_pauses_like_a_socket() -> None:
    said = list[str]()

    class Writer(asyncio.Protocol):
        paused = False

        def pause_writing(self) -> None:
            self.paused = True
            said.append("pause")

        def resume_writing(self) -> None:
            self.paused = False
            said.append("resume")

    wire = Wire(Writer(), room=3)
    wire.write(b"12345")
    assert (said, wire.get_write_buffer_size()) == (["pause"], 2)
    assert (wire.take(), said) == (b"123", ["pause", "resume"])
    assert wire.take() == b"45"
