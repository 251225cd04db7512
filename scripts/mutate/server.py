"""Runs tests with one mutant after another, a fork for each: `python -m scripts.mutate.server KIND OPTIONS_FILE`.

`living`: pytest has collected the room's tests; a fork swaps the code of living functions, which takes milliseconds.
`fresh`: what no mutant changes is imported; a fork imports the rest with its change, for what runs at import.

A request is one line of JSON on stdin, {"path": ..., "index": n or null, "tests": [node id, ...], "wall_s": n}; the
answer one line {"code": n, "test": node id}: pytest's exit code or one of those below, and the test that noticed.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import pytest

from scripts.mutate.plugin import SelectPlugin, run_items
from scripts.mutate.swap import LiveFunctions, change_import

OPTIONS: Final = (
    "-x", "-q", "-p", "no:cacheprovider", "-p", "scripts.mutate.plugin",
    "-m", "not slow and not component and not volume",
    "--hypothesis-seed=0", "--timeout=0",
)  # fmt: skip
"""Hypothesis draws the same examples each time. No test has a time-out of its own: a machine that stands still is no
failed test.
"""
SURVIVED: Final = 0
NOTICED: Final = 1
UNREACHED: Final = 122
"""The change reaches no living function: ask the fresh server."""
OUT_OF_BUDGET: Final = 123
"""The tests so far passed, and their processor time is used up."""
TIMED_OUT: Final = 124
STOOD_STILL: Final = 125
"""Something failed, and the machine stood still meanwhile: a test that waits in real time may fail of that alone."""
ENDLESS_CPU_S: Final = 60
"""Beyond the budget: a test that computes as long as this never ends."""
HARD_CPU_S: Final = 5
"""More, and the system kills without a word."""
MAX_MEMORY: Final = 16 << 30
"""Bytes of address space: a mutant that appends for ever fails instead of taking the machine."""
MAX_NAME: Final = 4096
"""Bytes of a test's name."""
_POLL_S: Final = 0.005
_STILL_S: Final = 2.0
_STEP_S: Final = 0.1
"""Most of a time-out that one poll may use up: a machine that stood still for minutes is no endless loop."""

Answer = tuple[int, str]


class Forks:
    """Answers each request in a fork of this process."""

    def __init__(self, requests: IO[str], answers: IO[str], budget_s: float) -> None:
        self._requests, self._answers, self._budget_s = requests, answers, budget_s

    def serve(self, run: Callable[[dict[str, Any]], Answer]) -> None:
        """Answer until the requests end; `run` is called in the fork."""
        for line in self._requests:
            code, test = self._fork(json.loads(line), run)
            self._answers.write(json.dumps({"code": code, "test": test}) + "\n")
            self._answers.flush()

    def _fork(self, request: dict[str, Any], run: Callable[[dict[str, Any]], Answer]) -> Answer:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            code, test = pytest.ExitCode.INTERNAL_ERROR.value, ""
            with suppress(BaseException):
                used = int(time.process_time() + self._budget_s + ENDLESS_CPU_S)
                resource.setrlimit(resource.RLIMIT_CPU, (used, used + HARD_CPU_S))
                resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
                code, test = run(request)
            os.write(writer, test.encode()[:MAX_NAME])
            os._exit(code)
        os.close(writer)
        code = self._wait(child, float(request["wall_s"]))
        os.set_blocking(reader, False)  # a process that a test left behind may hold the other end
        said = b""
        with suppress(BlockingIOError):
            said = os.read(reader, MAX_NAME)
        os.close(reader)
        return code, said.decode(errors="replace")

    @staticmethod
    def _wait(child: int, left_s: float) -> int:
        before_s, stood_still = time.monotonic(), False
        while left_s > 0:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                if code == -signal.SIGXCPU:
                    return TIMED_OUT
                return STOOD_STILL if code == NOTICED and stood_still else code
            time.sleep(_POLL_S)
            now_s = time.monotonic()
            stood_still = stood_still or now_s - before_s > _STILL_S
            left_s, before_s = left_s - min(now_s - before_s, _STEP_S), now_s
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return TIMED_OUT


class LivingPlugin:
    """Serves instead of running what was collected."""

    def __init__(self, forks: Forks, budget_s: float) -> None:
        self._forks, self._budget_s = forks, budget_s

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = LiveFunctions()

        def run(request: dict[str, Any]) -> Answer:
            if request["index"] is not None and not functions.swap(Path(request["path"]).resolve(), request["index"]):
                return UNREACHED, ""
            return _judge(run_items(session, [items[name] for name in request["tests"]], self._budget_s))

        self._forks.serve(run)
        return True


def _judge(end: tuple[str, bool]) -> Answer:
    failed, complete = end
    return (NOTICED, failed) if failed else (SURVIVED if complete else OUT_OF_BUDGET, "")


def _run_fresh(request: dict[str, Any], budget_s: float) -> Answer:
    if request["index"] is not None:
        change_import(Path(request["path"]).resolve(), request["index"])
    chosen = SelectPlugin(request["tests"], budget_s)
    code = int(pytest.main([*OPTIONS, *sorted({name.split("::")[0] for name in request["tests"]})], plugins=[chosen]))
    if chosen.end is not None:
        return _judge(chosen.end)
    # Not even begun: the module cannot be imported, or pytest broke down.
    return (NOTICED, "the import") if code == pytest.ExitCode.INTERRUPTED else (code, "")


def main() -> None:
    """Prepare, then serve until stdin ends."""
    kind, options = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    forks = Forks(requests, answers, options["budget_s"])
    if kind == "living":
        pytest.main([*OPTIONS, options["tests"]], plugins=[LivingPlugin(forks, options["budget_s"])])
        return
    for name in options["modules"]:
        with suppress(Exception):  # it is imported later, where it is needed: only speed is lost
            importlib.import_module(name)
    forks.serve(lambda request: _run_fresh(request, options["budget_s"]))


if __name__ == "__main__":
    main()
