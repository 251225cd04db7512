"""Every message arrives exactly once, in order and unaltered, however the bytes are cut and the windows are set."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.links.kit import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OPENING,
    PADDED,
    SETTINGS,
    WINDOW,
    Accepting,
    Frame,
    Wire,
    frames_of,
    grpc_message,
    grpc_messages,
    joined,
    read_all,
)
from tradebot.runtime.endpoints import MAX_MESSAGE_BYTES
from tradebot.runtime.links.call import CallOptions
from tradebot.runtime.links.channel import ClientConnection
from tradebot.runtime.links.frames import CONNECTION_WINDOW, DEFAULT_WINDOW, MAX_FRAME_BYTES, PREFACE, STREAM_WINDOW
from tradebot.runtime.links.stream import MAX_CUT_MESSAGES, Stream

OPTIONS = CallOptions(None, False, ())
SIZES = st.one_of(
    st.integers(0, 40),
    st.sampled_from([16_379, 16_380, 65_530, 65_531, MAX_FRAME_BYTES - 5, MAX_FRAME_BYTES - 4]),
    st.integers(0, 400_000),
)
CALLS = st.lists(st.lists(SIZES, max_size=12), min_size=1, max_size=5)


def _messages(calls: list[list[int]], rng: random.Random) -> list[list[bytes]]:
    return [[rng.randbytes(size) for size in sizes] for sizes in calls]


@settings(max_examples=60, deadline=None)
@given(calls=CALLS, seed=st.integers(0, 1 << 32), room=st.sampled_from([1, 700, 70_000, 1 << 30]))
def test_between_two_connections_over_sockets_of_any_size(calls: list[list[int]], seed: int, room: int) -> None:
    """Small socket buffers, random reads; writes, reads and ends interleave at random."""
    rng = random.Random(seed)
    messages = _messages([[min(size, 100 * room) for size in sizes] for sizes in calls], rng)

    async def run() -> list[list[bytes]]:
        client, server = ClientConnection(), Accepting()
        up, down = joined(client), joined(server, room)
        assert up.take(len(PREFACE)) == PREFACE
        up.room = room
        streams = [client.begin("/x", OPTIONS) for _ in messages]
        left = [list(some) for some in messages]
        writable = list(range(len(messages)))
        readers = dict[int, asyncio.Task[list[bytes]]]()
        while writable or up.out or down.out:
            _carry(up, server, rng)
            _carry(down, client, rng)
            for number, stream in server.streams.items():
                if number not in readers and rng.random() < 0.3:
                    readers[number] = asyncio.create_task(read_all(stream))
            if writable and rng.random() < 0.7:
                which = rng.choice(writable)
                if left[which]:
                    streams[which].send(left[which].pop(0))
                else:
                    streams[which].end()
                    writable.remove(which)
            if rng.random() < 0.2:
                await asyncio.sleep(0)
        for number, stream in server.streams.items():
            if number not in readers:
                readers[number] = asyncio.create_task(read_all(stream))
        while not all(task.done() for task in readers.values()) or up.out or down.out:
            _carry(up, server, rng)
            _carry(down, client, rng)
            await asyncio.sleep(0)
        return [readers[stream.stream_id].result() for stream in streams]

    assert asyncio.run(asyncio.wait_for(run(), 50)) == messages


def _carry(wire: Wire, to: Accepting | ClientConnection, rng: random.Random) -> None:
    data = wire.take(rng.choice((1, 8, 9, 1_000, 30_000, 1 << 20)))
    if data:
        to.data_received(data)


class _Meter:
    """A peer that keeps the windows it granted, by the book, and takes nothing beyond."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.connection = DEFAULT_WINDOW
        self.initial = DEFAULT_WINDOW
        self.max_frame = 16_384
        self.windows = dict[int, int]()
        self.bodies = dict[int, bytearray]()
        self.ended = set[int]()

    def take(self, data: bytes) -> None:
        for frame in frames_of(data):
            if frame.kind == HEADERS:
                self.windows[frame.stream], self.bodies[frame.stream] = self.initial, bytearray()
            if frame.kind == DATA:
                assert frame.stream not in self.ended
                assert len(frame.payload) <= self.max_frame
                self.connection -= len(frame.payload)
                self.windows[frame.stream] -= len(frame.payload)
                assert not frame.payload or min(self.connection, self.windows[frame.stream]) >= 0
                self.bodies[frame.stream] += frame.payload
                if frame.flags & END_STREAM:
                    self.ended.add(frame.stream)

    def change(self) -> bytes:
        """Say something about windows."""
        rng = self.rng
        match rng.randrange(4):
            case 0:
                initial = rng.choice((0, 1, 100, 70_000))
                for stream in self.windows:
                    self.windows[stream] += initial - self.initial
                self.initial = initial
                self.max_frame = rng.choice((16_384, 20_000, 1 << 20))
                return Frame(SETTINGS, 0, 0, _setting(4, initial) + _setting(5, self.max_frame)).pack()
            case 1:
                more = rng.randint(1, 100_000)
                self.connection += more
                return Frame(WINDOW, 0, 0, more.to_bytes(4, "big")).pack()
            case _:
                if not self.windows:
                    return b""
                stream, more = rng.choice(list(self.windows)), rng.randint(1, 60_000)
                self.windows[stream] += more
                return Frame(WINDOW, 0, stream, more.to_bytes(4, "big")).pack()


def _setting(key: int, value: int) -> bytes:
    return key.to_bytes(2, "big") + value.to_bytes(4, "big")


@settings(max_examples=60, deadline=None)
@given(calls=CALLS, seed=st.integers(0, 1 << 32))
def test_the_sender_keeps_to_windows_that_change_at_any_moment(calls: list[list[int]], seed: int) -> None:
    rng = random.Random(seed)
    messages = _messages(calls, rng)
    client, meter = ClientConnection(), _Meter(rng)
    wire = joined(client)
    meter.take(wire.take()[len(PREFACE) :])
    streams = [client.begin("/x", OPTIONS) for _ in messages]
    left = [list(some) for some in messages]
    for _ in range(200_000):
        if len(meter.ended) == len(messages):
            break
        which = rng.randrange(len(messages))
        if rng.random() < 0.3:
            if left[which]:
                streams[which].send(left[which].pop(0))
            else:
                streams[which].end()
        meter.take(wire.take())
        client.data_received(meter.change())
        meter.take(wire.take())

    assert [grpc_messages(bytes(meter.bodies[stream.stream_id])) for stream in streams] == messages
    assert meter.ended == {stream.stream_id for stream in streams}


@settings(max_examples=60, deadline=None)
@given(calls=CALLS, seed=st.integers(0, 1 << 32))
def test_the_receiver_puts_together_any_frames_and_always_gives_the_windows_back(
    calls: list[list[int]], seed: int
) -> None:
    """Random frames with padding, random interleaving, random cuts; the sender stops at a window that is used up."""
    rng = random.Random(seed)
    messages = _messages(calls, rng)

    async def run() -> list[list[bytes]]:
        client = ClientConnection()
        wire = joined(client)
        wire.take()
        streams = {stream.stream_id: stream for stream in (client.begin("/x", OPTIONS) for _ in messages)}
        readers = {n: asyncio.create_task(read_all(stream)) for n, stream in streams.items()}
        windows = dict.fromkeys([0, *streams], 0) | {0: CONNECTION_WINDOW} | dict.fromkeys(streams, STREAM_WINDOW)
        bodies = {n: bytearray(b"".join(map(grpc_message, some))) for n, some in zip(streams, messages, strict=True)}
        for _ in range(100_000):
            if not bodies:
                break
            await asyncio.sleep(0)
            for frame in wire.frames():
                if frame.kind == WINDOW:
                    windows[frame.stream] += int.from_bytes(frame.payload, "big")
                    assert windows[frame.stream] <= (STREAM_WINDOW if frame.stream else CONNECTION_WINDOW)
            stream = rng.choice(list(bodies))
            frame = _random_frame(stream, bodies[stream], min(windows[0], windows[stream]), rng)
            windows[0] -= len(frame.payload)
            windows[stream] -= len(frame.payload)
            if frame.flags & END_STREAM:
                del bodies[stream]
            _in_pieces(client, frame.pack(), rng)
        return [await reader for reader in readers.values()]

    assert asyncio.run(asyncio.wait_for(run(), 50)) == messages


def _random_frame(stream: int, body: bytearray, window: int, rng: random.Random) -> Frame:
    size = min(len(body), rng.choice((0, 1, 4, 5, 6, 300, 20_000, MAX_FRAME_BYTES - 300)), max(0, window - 256))
    chunk = bytes(body[:size])
    del body[:size]
    ended = END_STREAM if not body else 0
    if rng.random() < 0.4:
        padding = rng.randrange(256)
        return Frame(DATA, ended | PADDED, stream, bytes([padding]) + chunk + bytes(padding))
    return Frame(DATA, ended, stream, chunk)


def _in_pieces(connection: ClientConnection, data: bytes, rng: random.Random) -> None:
    while data:
        size = rng.choice((1, 9, 10, 5_000, len(data)))
        connection.data_received(data[:size])
        data = data[size:]


def _accepted(wire: Wire | None = None) -> tuple[Accepting, Wire, Stream]:
    server = Accepting()
    made = joined(server)
    made.take()
    server.data_received(Frame(HEADERS, END_HEADERS, 1, server._encoder.encode(OPENING)).pack())
    return server, made, server.streams[1]


async def test_padding_is_given_back_so_a_padded_call_never_stalls() -> None:
    """Before: padding of frames that held parts of messages was never granted again."""
    server, wire, stream = _accepted()
    window = STREAM_WINDOW
    server.data_received(Frame(DATA, 0, 1, grpc_message(bytes(100_000))[:5]).pack())
    for _ in range(40_000):  # 10 MiB, nearly all of it padding
        window -= 257
        assert window >= 0
        server.data_received(Frame(DATA, PADDED, 1, bytes([255]) + b"x" + bytes(255)).pack())
        window += sum(int.from_bytes(f.payload, "big") for f in wire.frames() if f.kind == WINDOW and f.stream == 1)
    assert stream.failure is None


async def test_an_unread_call_holds_a_window_of_bytes_and_few_objects() -> None:
    """4 MiB of empty messages are 800,000; before, each became an object at once."""
    server, wire, stream = _accepted()
    count = STREAM_WINDOW // 5
    sent = 0
    while sent < count:
        some = min(count - sent, MAX_FRAME_BYTES // 5)
        server.data_received(Frame(DATA, 0, 1, grpc_message(b"") * some).pack())
        sent += some

    assert len(stream._inbox) <= MAX_CUT_MESSAGES
    assert len(stream._partial) <= STREAM_WINDOW
    assert not [frame for frame in wire.frames() if frame.kind == WINDOW and frame.stream == 1]
    server.data_received(Frame(DATA, END_STREAM, 1, b"").pack())

    assert len(await read_all(stream)) == count


async def test_messages_that_came_before_the_connection_was_lost_are_all_read() -> None:
    server, _, stream = _accepted()
    for i in range(3 * MAX_CUT_MESSAGES):
        server.data_received(Frame(DATA, 0, 1, grpc_message(b"%d" % i)).pack())
    server.connection_lost(None)

    found = [await stream.receive() for _ in range(3 * MAX_CUT_MESSAGES)]
    assert found == [b"%d" % i for i in range(3 * MAX_CUT_MESSAGES)]
    assert stream.failure is not None


@pytest.mark.parametrize(
    "sizes",
    [
        [MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES],
        [STREAM_WINDOW // 2 - 100, STREAM_WINDOW - 5],  # the first is read, but not yet given back
        [STREAM_WINDOW // 2 - 6, STREAM_WINDOW // 2 + 6, STREAM_WINDOW // 2],
    ],
)
async def test_big_messages_pass_a_window_smaller_than_they_are(sizes: list[int]) -> None:
    server, wire, stream = _accepted()
    reader = asyncio.create_task(read_all(stream))
    body, window = memoryview(b"".join(grpc_message(bytes(size)) for size in sizes)), STREAM_WINDOW
    window_of_all = CONNECTION_WINDOW
    while body:
        size = min(MAX_FRAME_BYTES, window, len(body))
        assert size, "stalled"
        server.data_received(Frame(DATA, 0 if len(body) > size else END_STREAM, 1, bytes(body[:size])).pack())
        body, window, window_of_all = body[size:], window - size, window_of_all - size
        await asyncio.sleep(0)
        for frame in wire.frames():
            if frame.kind == WINDOW and frame.stream:
                window += int.from_bytes(frame.payload, "big")
            elif frame.kind == WINDOW:
                window_of_all += int.from_bytes(frame.payload, "big")
        assert 0 <= window <= STREAM_WINDOW
        assert 0 <= window_of_all <= CONNECTION_WINDOW

    assert [len(message) for message in await reader] == sizes


async def test_a_larger_first_window_lets_go_what_waits_and_a_smaller_one_holds_it() -> None:
    client = ClientConnection()
    wire = joined(client)
    stream = client.begin("/x", OPTIONS)
    client.data_received(Frame(SETTINGS, 0, 0, _setting(4, 10)).pack())
    wire.take()
    stream.send(bytes(15))
    assert [len(frame.payload) for frame in wire.frames()] == [10]
    client.data_received(Frame(SETTINGS, 0, 0, _setting(4, 5)).pack())  # now 5 below nothing
    client.data_received(Frame(WINDOW, 0, 1, (5).to_bytes(4, "big")).pack())
    assert [frame.kind for frame in wire.frames()] == [SETTINGS]
    client.data_received(Frame(SETTINGS, 0, 0, _setting(4, 100)).pack())

    assert [(frame.kind, len(frame.payload)) for frame in wire.frames()] == [(SETTINGS, 0), (DATA, 10)]


async def test_each_window_lets_go_what_waited_for_it() -> None:
    client = ClientConnection()
    wire = joined(client)
    streams = [client.begin("/x", OPTIONS) for _ in range(2)]
    wire.take()
    for stream in streams:
        stream.send(bytes(DEFAULT_WINDOW + 995))
    assert sum(len(frame.payload) for frame in wire.frames()) == DEFAULT_WINDOW
    client.data_received(Frame(WINDOW, 0, 0, (70_000).to_bytes(4, "big")).pack())
    assert sum(len(frame.payload) for frame in wire.frames()) == DEFAULT_WINDOW  # of the second call
    for stream in streams:
        client.data_received(Frame(WINDOW, 0, stream.stream_id, (1_000).to_bytes(4, "big")).pack())

        assert [len(frame.payload) for frame in wire.frames()] == [1_000]


async def test_no_frame_is_larger_than_we_would_take_ourselves() -> None:
    client = ClientConnection()
    wire = joined(client)
    stream = client.begin("/x", OPTIONS)
    client.data_received(Frame(SETTINGS, 0, 0, _setting(4, 1 << 24) + _setting(5, (1 << 24) - 1)).pack())
    client.data_received(Frame(WINDOW, 0, 0, (1 << 24).to_bytes(4, "big")).pack())
    wire.take()
    stream.send(bytes(1 << 20))

    assert max(len(frame.payload) for frame in wire.frames()) == MAX_FRAME_BYTES


async def test_while_the_socket_is_full_messages_and_ends_wait_in_their_calls() -> None:
    """The transport's buffer does not grow with what is sent."""
    client = ClientConnection()
    wire = joined(client, room=0)
    streams = [client.begin("/x", OPTIONS) for _ in range(3)]
    unsent = wire.get_write_buffer_size()
    for stream in streams[1:]:
        for _ in range(10):
            stream.send(bytes(1_000))
        stream.end()
    streams[0].end()
    assert wire.get_write_buffer_size() == unsent
    wire.room = 1 << 40
    wire.take()

    frames = frames_of(wire.take()[len(PREFACE) :])
    assert len([frame for frame in frames if frame.kind == DATA and frame.flags & END_STREAM]) == 3


async def test_window_bytes_beyond_what_was_granted_end_the_connection() -> None:
    server, wire, stream = _accepted()
    frame = Frame(DATA, 0, 1, grpc_message(bytes(MAX_FRAME_BYTES - 5))).pack()
    for _ in range(STREAM_WINDOW // MAX_FRAME_BYTES):
        server.data_received(frame)
    assert not wire.is_closing()
    server.data_received(Frame(DATA, 0, 1, b"\0").pack())

    assert wire.is_closing()
    assert "more data than its window" in str(stream.failure)
