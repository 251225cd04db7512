"""Bare stream round trip: a 100-byte message to another process and back over grpc.aio, one at a time.

`python -m benchmarks.floors.round_trip ADDRESS SECONDS` is the asking side and prints its median; the echo is the risk
process of the bare chain.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from typing import Any, Final

import grpc
import uvloop

from benchmarks.figures import LatencySummary
from benchmarks.floors.messages import FloorOrder, make_order
from benchmarks.processes import Group

WARM_UP_ROUNDS: Final = 500


async def ask(address: str, seconds: float) -> None:
    """Send, wait for the echo, send the next; print the times."""
    samples: list[int] = []
    async with grpc.aio.insecure_channel(address) as channel:
        session: Any = channel.stream_stream("/floor.S/Session", FloorOrder.SerializeToString, FloorOrder.FromString)()
        gc.collect()
        gc.freeze()
        gc.disable()
        end, sequence = time.monotonic() + seconds, 0
        while sequence < WARM_UP_ROUNDS or time.monotonic() < end:
            message = make_order(sequence, 0)
            began_ns = time.monotonic_ns()
            await session.write(message)
            await session.read()
            samples.append(time.monotonic_ns() - began_ns)
            sequence += 1
        await session.done_writing()
    print(f"SAMPLES {json.dumps(samples[WARM_UP_ROUNDS:])}", flush=True)


def measure(seconds: float) -> LatencySummary:
    """Run both processes once."""
    with tempfile.TemporaryDirectory(prefix="tb-trip-", dir="/tmp") as folder, Group() as group:
        address = f"unix:{folder}/echo.sock"
        config = json.dumps({"risk": address})
        group.start([sys.executable, "-m", "benchmarks.floors.chain", "risk", config], ready="READY")
        asking = group.start([sys.executable, "-m", "benchmarks.floors.round_trip", address, str(seconds)])
        return LatencySummary.of_ns(json.loads(asking.wait_line("SAMPLES ", seconds + 30)[8:]))


if __name__ == "__main__":
    uvloop.run(ask(sys.argv[1], float(sys.argv[2])))
