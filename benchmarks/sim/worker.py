"""One side of the simulator benchmarks as a process of its own: jobs in as JSON lines, results out as JSON lines.

Imported by our driver and by the peer's, each under its own interpreter, so it needs the standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

Job = dict[str, str]
"""data: folder; mode: mm, grid, replay or packet; queue: risk or prob2."""
Result = dict[str, Any]
"""counters: list of int; fills, position_lots: int; equity: float; wall_s: float, the simulation alone."""
END_TIMEOUT_S: Final = 20.0


def peak_rss_mib() -> float:
    """Return this process's largest resident size; getrusage would count the parent's from before exec."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def serve(run: Callable[[Job], Result]) -> None:
    """Answer jobs until standard input ends; with arguments, do that one job and print its result."""
    if len(sys.argv) > 1:
        data, mode, queue = sys.argv[1:]
        print(json.dumps({**run({"data": data, "mode": mode, "queue": queue}), "peak_rss_mib": peak_rss_mib()}))
        return
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


class Worker:
    """A driver process that keeps its data and its compiled code between jobs."""

    def __init__(self, python: Path, module: str) -> None:
        self._process = subprocess.Popen(
            (str(python), "-m", module), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def run(self, data: Path, mode: str, queue: str) -> Result:
        """Do one job."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        print(json.dumps({"data": str(data), "mode": mode, "queue": queue}), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the driver ended during {mode} {queue}")
        result: Result = json.loads(answer)
        return result
