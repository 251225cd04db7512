"""Market data fan-out: rows per second to each of 1 and 4 subscribers, marketdata's own service beside a bare stream.

Both send the same packed columns (`SubscribeResponse{rows}`), BATCH_ROWS per message, to the same client over a Unix
socket. The bare one encodes each message once and writes it to everybody; it knows nothing of sequences, filters,
resuming or slow readers. Ours is the whole daemon but its venue: rows enter at the publisher, one batch when every
reader has been handed the one before, so that joined messages give no edge.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop

from benchmarks.processes import Group
from marketdata.config import MarketdataConfig
from marketdata.feed import Room
from marketdata.market import Market
from marketdata.row_log import join_rows
from marketdata.shell import App
from marketdata.stream_client import LinkState
from tradebot.core.instruments import Instrument, Product
from tradebot.core.market import BUY_FLAG, LAST_FLAG, HistoryBar, MarketRow, RowColumns, RowKind
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as pb
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.runtime.identity import Role
from tradebot.runtime.service_main import ServiceShell, run_service
from tradebot.wire.market import rows_from_wire, slice_rows

BATCH_ROWS: Final = 1024
PREPARED_ROWS: Final = 1 << 15
METHOD: Final = "/tradebot.rpc.marketdata.v1.MarketDataService/Subscribe"
SETTLE_S: Final = 0.3


def prepared_rows() -> RowColumns:
    """Return book-like rows, seeded: prices near 60,000.00 in ticks of 0.01."""
    rng = random.Random(1)
    rows = RowColumns()
    now = 1_763_700_000_000_000_000
    price = 6_000_000
    for number in range(PREPARED_ROWS):
        now += rng.randrange(1, 1_000_000)
        price += rng.randrange(-20, 21)
        rows.append(
            MarketRow(
                RowKind.BOOK_LEVEL, 0, BUY_FLAG | LAST_FLAG, price, rng.randrange(10**6), 10**9 + number, now, now + 1
            )
        )
    return rows


def batches() -> list[RowColumns]:
    """Return the prepared rows in batches."""
    rows = prepared_rows()
    return [slice_rows(rows, start, start + BATCH_ROWS) for start in range(0, PREPARED_ROWS, BATCH_ROWS)]


# ---- the bare stream


async def bare_server(address: str, subscribers: int, seconds: float) -> None:
    """Encode each batch once, write it to every subscriber."""
    contexts: list[Any] = []
    all_here, done = asyncio.Event(), asyncio.Event()

    async def subscribe(_request: Any, context: Any) -> None:
        contexts.append(context)
        if len(contexts) == subscribers:
            all_here.set()
        await done.wait()

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(subscribe, pb.SubscribeRequest.FromString, _same_bytes)
    service, _, method = METHOD[1:].partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(address)
    await server.start()
    print("READY", flush=True)
    await all_here.wait()
    await asyncio.sleep(SETTLE_S)
    prepared, sequence, number = batches(), 1, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = prepared[number % len(prepared)]
        message = pb.SubscribeResponse(
            rows=rows_pb2.Rows(
                first_sequence=sequence,
                kind=rows.kind,
                instrument=rows.instrument,
                side_flags=rows.side_flags,
                price=rows.price,
                qty=rows.qty,
                id=rows.id,
                event_time_ns=rows.event_time_ns,
                receive_time_ns=rows.receive_time_ns,
                sent_time_ns=time.time_ns(),
            )
        ).SerializeToString()
        sequence += BATCH_ROWS
        number += 1
        if subscribers == 1:
            await contexts[0].write(message)
        else:
            await asyncio.gather(*[context.write(message) for context in contexts])
    done.set()
    await server.stop(1.0)


def _same_bytes(data: bytes) -> bytes:
    return data


# ---- ours


class PreparedSource:
    """Delivers prepared rows as fast as the readers take them, once all of them are there."""

    frames = 0
    bad_frames = 0
    bar_intervals_ms: frozenset[int] = frozenset()

    def __init__(self, market: Market, subscribers: int, seconds: float) -> None:
        self._market = market
        self._subscribers = subscribers
        self._seconds = seconds
        self._room = Room(market, BATCH_ROWS)

    async def load(self) -> None:
        """One instrument is enough: indexes are one byte either way."""
        self._market.add([_instrument()], MarketdataConfig().book_rules)

    async def run(self) -> None:
        """Wait for the subscribers, deliver for the given time, end the process."""
        market, room = self._market, self._room
        while market.publisher.readers < self._subscribers:  # noqa: ASYNC110  # the publisher has no reader event
            await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLE_S)
        prepared, number = batches(), 0
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            join_rows(market.log.tail, prepared[number % len(prepared)])
            market.commit()
            number += 1
            await room.wait()
            await asyncio.sleep(0)
        print("DONE", flush=True)
        await asyncio.Event().wait()

    async def bars(self, index: int, interval_ms: int, limit: int, end_time_ns: int) -> list[HistoryBar]:
        """No history."""
        return []

    def covers(self, index: int) -> bool:
        """The only one."""
        return True

    def links(self, now_ns: int) -> list[LinkState]:
        """No connection."""
        return []

    async def close(self) -> None:
        """Nothing is open."""


def _instrument() -> Instrument:
    return Instrument(
        "bench:BTC-USDT", "bench", "BTCUSDT", Product.SPOT, "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"),
        Decimal("0.00001"), Decimal(9000), Decimal(100), Decimal(5),
    )  # fmt: skip


async def _serve_ours(shell: ServiceShell[MarketdataConfig]) -> None:
    subscribers, seconds = shell.args.subscribers, shell.args.seconds
    app = App(shell, feed=lambda market: [PreparedSource(market, subscribers, seconds)])
    await app.start()
    shell.ready()
    print("READY", flush=True)
    await shell.wait_stop()
    await app.stop()


def ours_server(arguments: Sequence[str]) -> int:
    """Run marketdata with the prepared source."""

    def add_arguments(parser: Any) -> None:
        parser.add_argument("--subscribers", type=int, required=True)
        parser.add_argument("--seconds", type=float, required=True)

    return run_service(Role.MARKETDATA, MarketdataConfig, _serve_ours, arguments, add_arguments=add_arguments)


# ---- the client, the same for both


async def client(address: str) -> None:
    """Read to the end; print rows per second over the time rows came in."""
    got, first, last = 0, 0.0, 0.0
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_stream(METHOD, pb.SubscribeRequest.SerializeToString, pb.SubscribeResponse.FromString)(
            pb.SubscribeRequest(lossless=True), wait_for_ready=True
        )
        idle_s = 30.0
        try:
            while True:
                message: Any = await asyncio.wait_for(call.read(), idle_s)
                if message is grpc.aio.EOF:
                    break
                count = len(rows_from_wire(message.rows).kind)
                if message.snapshot or not count:
                    continue
                now = time.monotonic()
                first, last = first or now, now
                got += count
                idle_s = 1.0
        except (TimeoutError, grpc.aio.AioRpcError):
            pass
    print(f"ROWS {json.dumps({'rows': got, 'seconds': last - first})}", flush=True)


def measure(kind: str, subscribers: int, seconds: float) -> float:
    """Return the rows per second that each subscriber got, averaged; kind is "bare" or "ours"."""
    with tempfile.TemporaryDirectory(prefix="tb-fan-", dir="/tmp") as folder, Group() as group:
        module = [sys.executable, "-m", "benchmarks.fanout"]
        if kind == "bare":
            address = f"unix:{folder}/bare.sock"
            group.start([*module, "bare", address, str(subscribers), str(seconds)], ready="READY")
        else:
            config = Path(folder) / "bench.yaml"
            config.write_text("mode: backtest\nlog: {level: warning}\nvenues: {}\nmarketdata: {}\n")
            address = f"unix:{folder}/run/marketdata.recorder.sock"
            arguments = ["--config", str(config), "--state", folder, "--subscribers", str(subscribers)]
            group.start([*module, "ours", *arguments, "--seconds", str(seconds)], ready="READY")
        clients = [group.start([*module, "client", address]) for _ in range(subscribers)]
        results = [json.loads(member.wait_line("ROWS ", seconds + 40)[5:]) for member in clients]
    return float(sum(result["rows"] / result["seconds"] for result in results)) / subscribers


if __name__ == "__main__":
    match sys.argv[1]:
        case "bare":
            uvloop.run(bare_server(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
        case "ours":
            sys.exit(ours_server(sys.argv[2:]))
        case "client":
            uvloop.run(client(sys.argv[2]))
        case _:
            sys.exit("usage: python -m benchmarks.fanout bare|ours|client ...")
