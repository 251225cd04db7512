"""Bare order chain: market data -> engine -> execution <-> risk -> venue socket, four processes, no logic.

Streams are grpc.aio bidi or server streams over Unix sockets on uvloop, one message per write, garbage collector
frozen, like the daemons. `python -m benchmarks.floors.chain ROLE CONFIG_JSON` is one process; `run_chain` starts all.
Latency is the clock after the venue write minus the clock at the market data write (the intended send time where the
pacing loop is more than 2 ms late, so that saturation shows).
"""

from __future__ import annotations

import asyncio
import collections
import gc
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop
from picows import WSListener, WSMsgType, ws_connect

from benchmarks.figures import LatencySummary
from benchmarks.floors.messages import FloorOrder, make_order
from benchmarks.processes import Group

now = time.monotonic_ns
WARM_UP_S: Final = 1.0
LATE_NS: Final = 2_000_000
SATURATION_QUEUE: Final = 512
"""Messages in flight from the market data process in a saturation run."""
_SERIALIZE = FloorOrder.SerializeToString
_PARSE = FloorOrder.FromString
_ROLES: Final = ("risk", "execution", "market", "engine")


def _freeze() -> None:
    gc.collect()
    gc.freeze()
    gc.disable()


async def _serve(address: str, handlers: dict[str, Any]) -> grpc.aio.Server:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor.S", handlers),))
    server.add_insecure_port(address)
    await server.start()
    return server


async def _dial(address: str) -> grpc.aio.Channel:
    channel = grpc.aio.insecure_channel(address)
    await channel.channel_ready()
    return channel


def _ready() -> None:
    _freeze()
    print("READY", flush=True)


def _order_body(order: Any) -> bytes:
    return (
        b'{"id":"%b","method":"order.place","params":{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT",'
        b'"price":"%d","quantity":"%d","timestamp":%d}}' % (order.id.encode(), order.price, order.qty, order.sent_ns)
    )


async def risk(config: dict[str, Any], stop: asyncio.Event) -> None:
    """Echo every message."""

    async def session(requests: Any, _context: Any) -> Any:
        async for message in requests:
            message.strategy = ""
            yield message

    handler = grpc.stream_stream_rpc_method_handler(session, _PARSE, _SERIALIZE)
    server = await _serve(config["risk"], {"Session": handler})
    _ready()
    await stop.wait()
    del server


async def execution(config: dict[str, Any], stop: asyncio.Event) -> None:
    """Ask risk about every order, write it to the venue socket when the answer comes, keep the times."""
    channel = await _dial(config["risk"])
    transport, _ = await ws_connect(WSListener, config["venue"])
    session = channel.stream_stream("/floor.S/Session", _SERIALIZE, _PARSE)()
    pending: dict[int, Any] = {}
    rows: list[tuple[int, int, int, int]] = []

    async def answers() -> None:
        while (message := await session.read()) is not grpc.aio.EOF:
            answered = now()
            order = pending.pop(message.sequence)  # type: ignore[attr-defined]  # EOF is compared above
            transport.send(WSMsgType.TEXT, _order_body(order))
            rows.append((order.sent_ns, order.ask_ns, answered, now()))

    async def orders(requests: Any, _context: Any) -> Any:
        async for message in requests:
            message.ask_ns = now()
            pending[message.sequence] = message
            await session.write(message)
        yield FloorOrder()

    reader = asyncio.create_task(answers())
    handler = grpc.stream_stream_rpc_method_handler(orders, _PARSE, _SERIALIZE)
    server = await _serve(config["execution"], {"Orders": handler})
    _ready()
    await stop.wait()
    reader.cancel()
    Path(config["out"]).write_text(json.dumps(rows))
    del server


async def engine(config: dict[str, Any], stop: asyncio.Event) -> None:
    """Turn every market data message into an order."""
    execution_channel = await _dial(config["execution"])
    market_channel = await _dial(config["market"])
    orders = execution_channel.stream_stream("/floor.S/Orders", _SERIALIZE, _PARSE)()
    ticks = market_channel.unary_stream("/floor.S/Ticks", _SERIALIZE, _PARSE)(FloorOrder(id="subscribe"))

    async def forward() -> None:
        async for message in ticks:
            message.engine_ns = now()
            await orders.write(message)

    task = asyncio.create_task(forward())
    _ready()
    await stop.wait()
    task.cancel()


async def market(config: dict[str, Any], stop: asyncio.Event) -> None:
    """Send messages at a rate, or as fast as the chain takes them (rate 0)."""
    queue: collections.deque[Any] = collections.deque()
    filled, subscribed, drained = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ticks(_request: Any, context: Any) -> None:
        subscribed.set()
        while True:
            if not queue:
                drained.set()
                filled.clear()
                await filled.wait()
            await context.write(queue.popleft())

    handler = grpc.unary_stream_rpc_method_handler(ticks, _PARSE, _SERIALIZE)
    server = await _serve(config["market"], {"Ticks": handler})
    print("READY", flush=True)
    await subscribed.wait()
    _freeze()
    await asyncio.sleep(0.3)
    rate, seconds = config["rate"], config["seconds"] + WARM_UP_S
    sequence = 0
    if rate:
        gap = 1_000_000_000 // rate
        due = now() + 20_000_000
        end = due + int(seconds * 1e9)
        while due < end:
            wait = due - now()
            if wait > 0:
                await asyncio.sleep(wait / 1e9)
            elif sequence % 64 == 0:
                await asyncio.sleep(0)
            current = now()
            queue.append(make_order(sequence, current if current - due < LATE_NS else due))
            filled.set()
            sequence += 1
            due += gap
    else:
        end = now() + int(seconds * 1e9)
        while now() < end:
            drained.clear()
            for _ in range(SATURATION_QUEUE):
                queue.append(make_order(sequence, now()))
                sequence += 1
            filled.set()
            await drained.wait()
    print("DONE", flush=True)
    await stop.wait()
    del server


async def _main(role: str, config: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await {"risk": risk, "execution": execution, "engine": engine, "market": market}[role](config, stop)
    sys.stdout.flush()
    os._exit(0)  # a floor process owns nothing that needs an orderly end


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """One run of the bare chain."""

    tick_to_wire: LatencySummary
    risk_leg: LatencySummary
    orders_per_s: float


def run_chain(rate: int, seconds: float) -> ChainFigures:
    """Run the bare chain once.

    Args:
        rate: Messages per second; 0 = as fast as the chain takes them.
        seconds: Measured time after the warm-up.
    """
    with tempfile.TemporaryDirectory(prefix="tb-floor-") as folder, Group() as group:
        out = f"{folder}/rows.json"
        config = {role: f"unix:{folder}/{role}.sock" for role in _ROLES}
        sink_port = group.start_and_read_port([sys.executable, "-m", "benchmarks.sink", "discard"])
        full = {**config, "venue": f"ws://127.0.0.1:{sink_port}/", "rate": rate, "seconds": seconds, "out": out}
        members = {
            role: group.start([sys.executable, "-m", "benchmarks.floors.chain", role, json.dumps(full)], ready="READY")
            for role in _ROLES
        }
        members["market"].wait_line("DONE", timeout_s=seconds + 30)
        time.sleep(0.3)
        members["execution"].terminate()
        rows = [tuple(row) for row in json.loads(Path(out).read_text())]
    start = rows[0][3] + int(WARM_UP_S * 1e9)
    measured = [row for row in rows if row[3] >= start]
    span_s = (measured[-1][3] - measured[0][3]) / 1e9
    return ChainFigures(
        LatencySummary.of_ns([row[3] - row[0] for row in measured]),
        LatencySummary.of_ns([row[2] - row[1] for row in measured]),
        len(measured) / span_s,
    )


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], json.loads(sys.argv[2])))
