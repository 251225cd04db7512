"""Messages taken by a plain function: the same over links, over grpc.aio and from an iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.runtime.links.kit import NAME, Echo, grpcio_channel, link_server
from tradebot.core.errors import InvariantError
from tradebot.runtime.feeding import feed
from tradebot.runtime.links.channel import LinkChannel

DOWN, BIDI = f"/{NAME}/Down", f"/{NAME}/Bidi"
BIG = b"x" * (5 << 20)


async def many(count: int, message: bytes = b"m") -> AsyncIterator[bytes]:
    for number in range(count):
        yield message + str(number).encode()


@pytest.mark.parametrize("dial", [LinkChannel, grpcio_channel])
async def test_every_message_is_taken_once_and_in_order(short_tmp_path: Path, dial: type) -> None:
    async with link_server(short_tmp_path, Echo()) as (_, target), dial(target) as channel:
        direct: list[bytes] = []
        read = [m async for m in channel.stream_stream(BIDI)(many(3_000))]
        await feed(channel.stream_stream(BIDI)(many(3_000)), direct.append)

    assert direct == read
    assert len(direct) == 3_000


async def test_messages_longer_than_a_window_are_taken_whole(short_tmp_path: Path) -> None:
    async with link_server(short_tmp_path, Echo()) as (_, target), LinkChannel(target) as channel:
        taken: list[bytes] = []
        await feed(channel.stream_stream(BIDI)(many(4, BIG)), taken.append)

    assert len(taken) == 4
    assert all(BIG in message for message in taken)


async def test_what_came_before_the_feeding_is_taken_first(short_tmp_path: Path) -> None:
    async with link_server(short_tmp_path, Echo()) as (_, target), LinkChannel(target) as channel:
        call = channel.stream_stream(BIDI)(many(5))
        first = await call.read()
        rest: list[bytes] = []
        await feed(call, rest.append)

    assert first.endswith(b"m0")
    assert [message[-2:] for message in rest] == [b"m1", b"m2", b"m3", b"m4"]


async def test_what_the_taker_raises_ends_the_feeding_and_takes_nothing_more(short_tmp_path: Path) -> None:
    taken: list[bytes] = []

    def take(message: bytes) -> None:
        taken.append(message)
        if len(taken) == 2:
            raise InvariantError("enough")

    async with link_server(short_tmp_path, Echo()) as (_, target), LinkChannel(target) as channel:
        with pytest.raises(InvariantError, match="enough"):
            await feed(channel.stream_stream(BIDI)(many(50)), take)

    assert len(taken) == 2


async def test_a_call_that_fails_raises_its_status(short_tmp_path: Path) -> None:
    async with link_server(short_tmp_path, Echo()) as (_, target), LinkChannel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await feed(channel.unary_stream(f"/{NAME}/Nothing")(b""), print)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_iterator_is_read_to_its_end() -> None:
    taken: list[bytes] = []
    await feed(many(3), taken.append)

    assert taken == [b"m0", b"m1", b"m2"]
